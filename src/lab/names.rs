//! Names and references in the files that can be checked without resolving anything.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Map, Value};

use super::document::{Document, join};
use super::flows::Members;
use super::inventory::{Inventory, Secret};
use super::named::Named;
use super::problem::{Problem, Sink, listed};
use super::project::{Project, RoleFile};
use super::variables::GIVEN;

/// Names that mean something in flows and cannot be those of hosts or groups.
const RESERVED: &[&str] = &["all", "any", "operators"];

/// Checks the inventory's names and references; gives hosts and groups.
pub fn inventory(project: &Project, inventory: &Inventory, sink: &mut Sink) -> Members {
    let document = &*project.document;
    label(document, "/lab", &inventory.lab, "the lab's name", sink);
    for part in inventory.domain.split('.') {
        label(document, "/domain", part, "every part of the domain", sink);
    }
    if inventory.hosts.names().next().is_none() {
        sink.push(document.problem("/hosts", "there are no hosts"));
    }
    let mut members = Members::default();
    let mut addresses: BTreeMap<Ipv4Addr, &str> = BTreeMap::new();
    for (name, host) in inventory.hosts.iter() {
        let pointer = join("/hosts", name);
        if name_of(document, &pointer, name, "a host's name", sink) {
            members.hosts.push((name.to_owned(), host.address));
        }
        if let Some(first) = addresses.insert(host.address, name) {
            sink.push(
                document
                    .problem(&format!("{pointer}/address"), format!("address {} is also that of host `{first}`", host.address))
                    .suggest("give each host its own"),
            );
        }
        variables(document, &format!("{pointer}/vars"), &host.vars, sink);
    }
    members.groups.push(("all".to_owned(), (0..members.hosts.len()).collect()));
    roles(project, "/roles", &inventory.roles, sink);
    for (name, group) in inventory.groups.iter() {
        let pointer = join("/groups", name);
        if !name_of(document, &pointer, name, "a group's name", sink) {
            continue;
        }
        let mut hosts = Vec::new();
        for (index, host) in group.hosts.iter().enumerate() {
            match members.hosts.iter().position(|(known, _)| known == host) {
                Some(known) => hosts.push(known),
                None => {
                    let known = inventory.hosts.names();
                    sink.push(document.problem(&format!("{pointer}/hosts/{index}"), format!("no host `{host}`")).did_you_mean(host, known));
                }
            }
        }
        if let Some(same) = members.hosts.iter().position(|(host, _)| host == name)
            && hosts != [same]
        {
            let problem = Problem::new(
                &document.file,
                document.key_place(&pointer),
                format!("`{name}` is a host and a group of other hosts; flows could mean either"),
            );
            sink.push(problem.suggest("give the group another name"));
        }
        roles(project, &format!("{pointer}/roles"), &group.roles, sink);
        variables(document, &format!("{pointer}/vars"), &group.vars, sink);
        members.groups.push((name.to_owned(), hosts));
    }
    variables(document, "/vars", &inventory.vars, sink);
    secrets(document, &inventory.secrets, sink);
    members
}

fn roles(project: &Project, pointer: &str, names: &[String], sink: &mut Sink) {
    for (index, name) in names.iter().enumerate() {
        let at = format!("{pointer}/{index}");
        match project.roles.get(name) {
            None => sink.push(
                project
                    .document
                    .problem(&at, format!("no role `{name}`: there is no roles/{name}/role.yml"))
                    .did_you_mean(name, project.role_names()),
            ),
            Some(None) if !project.root.join("roles").join(name).join("role.yml").is_file() => {
                sink.push(project.document.problem(&at, format!("role `{name}` has no file: roles/{name}/role.yml is missing")));
            }
            Some(_) => {}
        }
        if names[..index].contains(name) {
            sink.push(project.document.problem(&at, format!("role `{name}` is listed twice")).suggest("keep the first"));
        }
    }
}

/// Checks a role's names and references.
pub fn role(project: &Project, name: &str, file: &RoleFile, sink: &mut Sink) {
    let Some(role) = &file.role else { return };
    let document = &*file.document;
    for (field, required) in [("requires", &role.requires), ("requires_elsewhere", &role.requires_elsewhere)] {
        for (index, other) in required.iter().enumerate() {
            let at = format!("/{field}/{index}");
            if !project.roles.contains_key(other) {
                sink.push(document.problem(&at, format!("no role `{other}`")).did_you_mean(other, project.role_names()));
            } else if other == name {
                sink.push(document.problem(&at, format!("role `{name}` requires itself")).suggest("remove it"));
            }
        }
    }
    variables(document, "/defaults", &role.defaults, sink);
    variables(document, "/os_defaults/centos7", &role.os_defaults.centos7, sink);
    variables(document, "/os_defaults/rehearsal", &role.os_defaults.rehearsal, sink);
    secrets(document, &role.secrets, sink);
    for name in role.certificates.names() {
        word(document, &join("/certificates", name), name, "a certificate's name", sink);
    }
    for (name, handler) in role.handlers.iter() {
        let set = [&handler.restart, &handler.reload, &handler.run].iter().filter(|field| field.is_some()).count();
        if set != 1 {
            let problem = document.problem(&join("/handlers", name), format!("handler `{name}` does {set} things"));
            sink.push(problem.suggest("write exactly one of `restart`, `reload` and `run`"));
        }
    }
    for (index, entry) in role.resources.iter().enumerate() {
        for (at, notified) in entry.notify.iter().flat_map(|notify| notify.at(&format!("/resources/{index}/notify"))) {
            if role.handlers.get(notified).is_none() {
                let problem = document
                    .problem(&at, format!("role `{name}` has no handler `{notified}`"))
                    .did_you_mean(notified, role.handlers.names());
                let known = listed(role.handlers.names());
                sink.push(if problem.suggestion.is_some() { problem } else { problem.suggest(format!("it has {known}")) });
            }
        }
    }
}

fn variables(document: &Document, pointer: &str, vars: &Map<String, Value>, sink: &mut Sink) {
    for name in vars.keys() {
        let at = join(pointer, name);
        if GIVEN.contains(&name.as_str()) {
            let problem = Problem::new(&document.file, document.key_place(&at), format!("the variable `{name}` is given by poclab"));
            sink.push(problem.suggest("give yours another name"));
        } else {
            word(document, &at, name, "a variable's name", sink);
        }
    }
}

fn secrets(document: &Document, secrets: &Named<Secret>, sink: &mut Sink) {
    for (name, secret) in secrets.iter() {
        let at = join("/secrets", name);
        word(document, &at, name, "a secret's name", sink);
        if secret.user.as_deref().is_some_and(|user| user.is_empty() || user.contains(':') || user.chars().any(char::is_whitespace)) {
            sink.push(document.problem(&format!("{at}/user"), "a user's name has no colon and no blanks, and is not empty"));
        }
        if secret.ssh_key && (secret.given || secret.user.is_some()) {
            let problem = document.problem(&format!("{at}/ssh_key"), "an SSH key pair has no user and is not set by hand");
            sink.push(problem.suggest("remove `user` and `given`, or `ssh_key`"));
        }
        if secret.optional && !secret.given {
            let problem = document.problem(&format!("{at}/optional"), "a secret that is generated is always there");
            sink.push(problem.suggest("remove `optional`, or add `given: true`"));
        }
    }
}

fn name_of(document: &Document, pointer: &str, name: &str, what: &str, sink: &mut Sink) -> bool {
    if RESERVED.contains(&name) {
        let problem = Problem::new(
            &document.file,
            document.key_place(pointer),
            format!("`{name}` has a meaning of its own in flows and cannot be {what}"),
        );
        sink.push(if name == "all" { problem.suggest("write its roles and variables at the top: `roles:`, `vars:`") } else { problem });
        return false;
    }
    label(document, pointer, name, what, sink);
    true
}

fn label(document: &Document, pointer: &str, name: &str, what: &str, sink: &mut Sink) {
    let good = !name.is_empty()
        && name.len() <= 63
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if !good {
        sink.push(Problem::new(
            &document.file,
            document.key_place(pointer),
            format!("`{name}`: {what} has small letters, digits and dashes only, at most 63"),
        ));
    }
}

fn word(document: &Document, pointer: &str, name: &str, what: &str, sink: &mut Sink) {
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !good {
        let better: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
        sink.push(
            Problem::new(
                &document.file,
                document.key_place(pointer),
                format!("`{name}`: {what} has small letters, digits and underscores only, and begins with a letter"),
            )
            .suggest(format!("write `{better}`")),
        );
    }
}
