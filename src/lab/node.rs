//! What one role is on one host: its resources, handlers, services and checks, all rendered.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Map, Value};
use tera::Context;

use super::ca;
use super::document::join;
use super::entry;
use super::flows::wrong;
use super::model::{Check, Handler, HandlerAction, Os, Probe, Resource, Service};
use super::network::Port;
use super::paths;
use super::problem::Sink;
use super::project::RoleFile;
use super::resolve::{Plan, Resolver, Watched};
use super::role::Role;
use super::schema::Flavour;
use super::values;
use super::variables::{At, RawVars, Scope};
use super::vault::Vault;
use crate::base::{Redactor, Secret};
use crate::{check, resource};

/// The parts of a node.
#[derive(Default)]
pub struct Work {
    /// In the order of the file.
    pub resources: Vec<Resource>,
    /// In the order of the file.
    pub handlers: Vec<Handler>,
    /// What it offers.
    pub services: Vec<Service>,
    /// Its checks; those that run once are with the first host on which the role is configured.
    pub checks: Vec<Check>,
    /// Its checks that wait for those of all roles.
    pub late_checks: Vec<Check>,
    /// What people have to give before any of it can be.
    pub not_configured: Option<String>,
    ports: Vec<(Port, String, At)>,
}

struct Open<'a> {
    file: &'a RoleFile,
    role: &'a Role,
    scope: Scope<'a>,
}

/// Renders all nodes of the plan; the result has one entry for each, in the plan's order.
pub fn work(resolver: &mut Resolver<'_>, plan: &Plan, vault: &mut dyn Vault, sink: &mut Sink) -> Vec<Work> {
    let mut common = Context::new();
    for (name, value) in std::mem::take(&mut resolver.common) {
        common.insert(name, &value);
    }
    let certs: Vec<Value> = certificates(resolver, plan, &mut common, vault, sink).into_iter().map(Value::Object).collect();
    // Shorter values would mark ordinary words as secret.
    let secrets: Vec<Secret> = resolver
        .known
        .iter()
        .map(|(_, value)| Secret::new(value.expose().trim_end()))
        .filter(|value| value.expose().len() >= Redactor::MIN_LEN)
        .collect();
    let mut all: Vec<Work> = Vec::new();
    let mut of_role = Sink::default();
    let (mut lacking, mut once_is_due) = (Vec::new().into_iter(), false);
    for (index, (role, host)) in plan.nodes.iter().enumerate() {
        if index == 0 || plan.nodes[index - 1].0 != *role {
            lacking = lacks(resolver, plan, *role, &certs, &mut common, &mut of_role).into_iter();
            once_is_due = true;
        }
        let mut work = Work { not_configured: lacking.next().flatten(), ..Work::default() };
        let configured = work.not_configured.is_none();
        if configured && let Some(mut node) = resolver.open(&plan.roles[*role], *host, true, &mut common) {
            node.scope.give("certs", &certs[*host]);
            let name = &resolver.members.hosts[*host].0;
            of_role.on_host(name, |sink| work = resolver.node(&plan.roles[*role], name, &mut node, &secrets, sink));
        }
        if configured
            && std::mem::take(&mut once_is_due)
            && let Some(mut once) = resolver.open(&plan.roles[*role], *host, false, &mut common)
        {
            checks(resolver, &plan.roles[*role], None, &mut once, &secrets, &mut work, sink);
        }
        all.push(work);
        // Nodes go role by role: after the last one of a role, what shows on all its hosts is said without them.
        if plan.nodes.get(index + 1).is_none_or(|(next, _)| next != role) {
            of_role.everywhere(&plan.hosts_of(*role).map(|host| resolver.members.hosts[host].0.clone()).collect());
            sink.extend(std::mem::take(&mut of_role));
        }
    }
    twice(resolver, plan, &all, sink);
    all
}

/// What a role lacks on each of its hosts. Gives the variable `role_hosts` to all that is rendered for it afterwards.
fn lacks(
    resolver: &Resolver<'_>,
    plan: &Plan,
    role: usize,
    certs: &[Value],
    common: &mut Context,
    of_role: &mut Sink,
) -> Vec<Option<String>> {
    let content = resolver.project.roles.get(&plan.roles[role]).and_then(|file| file.as_ref()?.role.as_ref());
    let asks = content.is_some_and(|role| !role.configured.is_empty());
    let mut all = Vec::new();
    let mut hosts: Vec<&str> = Vec::new();
    for host in plan.hosts_of(role) {
        let name = resolver.members.hosts[host].0.as_str();
        let mut why = None;
        if asks && let Some(mut node) = resolver.open(&plan.roles[role], host, true, common) {
            node.scope.give("certs", &certs[host]);
            of_role.on_host(name, |sink| why = missing(&mut node, sink));
        }
        if why.is_none() {
            hosts.push(name);
        }
        all.push(why);
    }
    common.insert("role_hosts", &hosts);
    all
}

/// What a role lacks on a host that only people can give; the first such thing.
fn missing(node: &mut Open<'_>, sink: &mut Sink) -> Option<String> {
    node.role.configured.iter().enumerate().find_map(|(index, condition)| {
        let at = |field: &str| At::new(&node.file.document, format!("/configured/{index}/{field}"));
        match entry::holds_when(Some(&condition.when), &at("when"), &mut node.scope, sink) {
            Some(false) => node.scope.string(&at("missing"), &condition.missing, sink),
            // What cannot be evaluated is a problem that ends the run.
            Some(true) | None => None,
        }
    })
}

impl<'a> Resolver<'a> {
    /// The scope of a role on a host; without `host` for what is once for the lab. `None` = the role could not be read.
    fn open<'s>(&self, role: &str, host: usize, with_host: bool, common: &'s mut Context) -> Option<Open<'s>>
    where
        'a: 's,
    {
        let file = self.project.roles.get(role)?.as_ref()?;
        let content = file.role.as_ref()?;
        let mut raw = RawVars::default();
        raw.add(&file.document, "/defaults", &content.defaults);
        match self.os.get(host)? {
            Os::Centos7 => raw.add(&file.document, "/os_defaults/centos7", &content.os_defaults.centos7),
            Os::Rehearsal => raw.add(&file.document, "/os_defaults/rehearsal", &content.os_defaults.rehearsal),
        }
        let document = &self.project.document;
        raw.add(document, "/vars", &self.inventory.vars);
        let (name, _) = self.members.hosts.get(host)?;
        for (group, hosts) in &self.members.groups {
            if let (true, Some(group_)) = (hosts.contains(&host), self.inventory.groups.get(group)) {
                raw.add(document, &format!("{}/vars", join("/groups", group)), &group_.vars);
            }
        }
        if let Some(about) = self.inventory.hosts.get(name) {
            raw.add(document, &format!("{}/vars", join("/hosts", name)), &about.vars);
        }
        raw.win(self.overrides);
        let mut scope = Scope::new(&self.project.templates, common, raw, self.mirror_made_up);
        if with_host {
            scope.give("host", self.host_values.get(host)?);
        }
        Some(Open { file, role: content, scope })
    }

    /// What is to be copied (`source`), a file or (of other kinds) a folder: its place, and that it is there.
    fn find_source(&self, kind: &str, value: &mut Value, at: &At, sink: &mut Sink) {
        let Some(written) = value.get("source").and_then(Value::as_str) else { return };
        let at = At::new(&at.document, join(&at.pointer, "source"));
        match paths::expand(&self.project.root, written) {
            Err(why) => sink.push(at.problem(why)),
            Ok(path) => {
                let (what, there) = if kind == "file" { ("file", path.is_file()) } else { ("folder", path.is_dir()) };
                if !self.offline && !there {
                    let problem = at.problem(format!("the {what} {} is not there", path.display()));
                    // What we build ourselves has a name of its own; anything else the user knows better.
                    let ours = written.starts_with("target/");
                    sink.push(if ours { problem.suggest("run `make build`, which builds it") } else { problem });
                }
                value["source"] = Value::String(path.display().to_string());
            }
        }
    }

    fn node(&self, role: &str, host: &str, node: &mut Open<'_>, secrets: &[Secret], sink: &mut Sink) -> Work {
        let document = &node.file.document;
        let content = node.role;
        let mut work = Work::default();
        for entry in &node.file.resources {
            let Some(meta) = content.resources.get(entry.index) else { continue };
            let at = At::new(document, format!("/resources/{}", entry.index));
            entry::expand(&at, meta.when.as_ref(), meta.for_each.as_ref(), &mut node.scope, sink, &mut |scope, sink| {
                let at = At::new(document, entry.pointer.as_str());
                let Some(mut value) = self.project.kinds.render(Flavour::Resource, entry, &at, scope, secrets, sink) else { return };
                self.find_source(&entry.kind, &mut value, &at, sink);
                match resource::Spec::read(&entry.kind, value) {
                    Some(Ok(spec)) => {
                        let wrong = spec.check();
                        if wrong.is_empty() {
                            let notify = meta.notify.iter().flat_map(|notify| notify.at("")).map(|(_, name)| name.to_owned()).collect();
                            work.resources.push(Resource { spec, notify, origin: document.origin(&entry.pointer) });
                        }
                        wrong.into_iter().for_each(|why| sink.push(at.problem(format!("{}: {why}", entry.kind))));
                    }
                    Some(Err(why)) => sink.push(at.problem(format!("{}: {why}", entry.kind))),
                    None => {}
                }
            });
        }
        for (name, handler) in content.handlers.iter() {
            let at = |field: &str| At::new(document, format!("{}/{field}", join("/handlers", name)));
            let action = match (&handler.restart, &handler.reload, &handler.run) {
                (Some(unit), ..) => node.scope.string(&at("restart"), unit, sink).map(HandlerAction::Restart),
                (_, Some(unit), _) => node.scope.string(&at("reload"), unit, sink).map(HandlerAction::Reload),
                (.., Some(script)) => node.scope.string(&at("run"), script, sink).map(HandlerAction::Run),
                _ => None,
            };
            work.handlers.extend(action.map(|action| Handler { name: name.to_owned(), action }));
        }
        for (index, service) in content.services.iter().enumerate() {
            let at = At::new(document, format!("/services/{index}"));
            entry::expand(&at, service.when.as_ref(), None, &mut node.scope, sink, &mut |scope, sink| {
                let mut field = |field: &str, text: &str, sink: &mut Sink| {
                    scope.string(&At::new(document, format!("/services/{index}/{field}")), text, sink)
                };
                let (name, url) = (field("name", &service.name, sink), field("url", &service.url, sink));
                let login = service.login.as_ref().map(|login| field("login", login, sink));
                let path = service.probe.as_ref().map(|probe| (field("probe/path", &probe.path, sink), probe.status));
                let probe = path.and_then(|(path, status)| Some(Probe { path: path?, status }));
                if let (Some(name), Some(url)) = (name, url) {
                    work.services.push(Service {
                        name,
                        host: host.to_owned(),
                        url,
                        login: login.flatten(),
                        probe,
                        outside: service.outside,
                    });
                }
            });
        }
        for (index, claimed) in content.ports.iter().enumerate() {
            let at = At::new(document, format!("/ports/{index}/port"));
            let Some(text) = node.scope.string(&at, &claimed.port, sink) else { continue };
            match Port::parse(&text) {
                Ok(port) => work.ports.push((port, claimed.what.clone(), at)),
                Err(why) => sink.push(wrong(document, &at.pointer, why)),
            }
        }
        checks(self, role, Some(host), node, secrets, &mut work, sink);
        if let Some(watch) = self.watch
            && let Some((value, origin)) = node.scope.watched(&watch.name)
        {
            watch.seen.borrow_mut().push(Watched { role: role.to_owned(), host: host.to_owned(), value, origin });
        }
        work
    }
}

/// Adds the checks of a role for one host, or (without a host) those that run once for the lab.
fn checks(
    resolver: &Resolver<'_>,
    role: &str,
    host: Option<&str>,
    node: &mut Open<'_>,
    secrets: &[Secret],
    work: &mut Work,
    sink: &mut Sink,
) {
    let document = &node.file.document;
    for entry in &node.file.checks {
        let Some(meta) = node.role.checks.get(entry.index).filter(|meta| meta.once == host.is_none()) else { continue };
        let at = At::new(document, format!("/checks/{}", entry.index));
        let found = if meta.after.is_some() { &mut work.late_checks } else { &mut work.checks };
        entry::expand(&at, meta.when.as_ref(), meta.for_each.as_ref(), &mut node.scope, sink, &mut |scope, sink| {
            let at = At::new(document, entry.pointer.as_str());
            let Some(value) = resolver.project.kinds.render(Flavour::Check, entry, &at, scope, secrets, sink) else { return };
            match check::Spec::read(&entry.kind, value) {
                Some(Ok(spec)) => found.push(Check { role: role.to_owned(), host: host.map(str::to_owned), spec }),
                Some(Err(why)) => sink.push(at.problem(format!("{}: {why}", entry.kind))),
                None => {}
            }
        });
    }
}

/// The variable `certs` of each host: the certificates of all its roles.
fn certificates(
    resolver: &mut Resolver<'_>,
    plan: &Plan,
    common: &mut Context,
    vault: &mut dyn Vault,
    sink: &mut Sink,
) -> Vec<Map<String, Value>> {
    let mut certs: Vec<BTreeMap<String, (Value, String)>> = vec![BTreeMap::new(); resolver.members.hosts.len()];
    for (role, host) in &plan.nodes {
        let Some(mut node) = resolver.open(&plan.roles[*role], *host, true, common) else { continue };
        let name_of_host = resolver.members.hosts[*host].0.clone();
        for (name, declared) in node.role.certificates.iter() {
            let pointer = join("/certificates", name);
            let at = At::new(&node.file.document, pointer.as_str());
            if let Some((_, first)) = certs[*host].get(name) {
                sink.push(at.problem(format!("certificate `{name}` is declared in {first} too, for the same host")).suggest("rename one"));
                continue;
            }
            let made = sink.on_host(&name_of_host, |sink| {
                let mut list = |field: &str, texts: &[String], sink: &mut Sink| -> Option<Vec<String>> {
                    texts
                        .iter()
                        .enumerate()
                        .map(|(index, text)| {
                            node.scope.string(&At::new(&node.file.document, format!("{pointer}/{field}/{index}")), text, sink)
                        })
                        .collect()
                };
                let names = list("names", &declared.names, sink);
                let texts = list("addresses", &declared.addresses, sink)?;
                let mut addresses = Vec::new();
                for (index, text) in texts.iter().enumerate() {
                    match text.parse::<IpAddr>() {
                        Ok(address) => addresses.push(address),
                        Err(_) => sink.push(
                            node.file.document.problem(&format!("{pointer}/addresses/{index}"), format!("`{text}` is not an IP address")),
                        ),
                    }
                }
                let days = declared.days.unwrap_or(ca::HOST_DAYS);
                match values::certificate(name, &name_of_host, &names?, &addresses, days, &resolver.ca_pem, vault) {
                    Ok(made) => Some(made),
                    Err(error) => {
                        sink.push(at.problem(format!("certificate `{name}` cannot be made: {error:#}")));
                        None
                    }
                }
            });
            if let Some((value, key)) = made {
                certs[*host].insert(name.to_owned(), (value, node.file.document.origin(&pointer)));
                resolver.known.push((format!("{name}.{name_of_host}"), key));
            }
        }
    }
    certs.into_iter().map(|certs| certs.into_iter().map(|(name, (value, _))| (name, value)).collect()).collect()
}

/// What two roles (or one twice) claim on the same host: resources and ports.
fn twice(resolver: &Resolver<'_>, plan: &Plan, all: &[Work], sink: &mut Sink) {
    let mut resources: BTreeMap<(usize, String), &str> = BTreeMap::new();
    let mut ports: BTreeMap<(usize, &Port), (&str, &str)> = BTreeMap::new();
    for ((role, host), work) in plan.nodes.iter().zip(all) {
        let name = &resolver.members.hosts[*host].0;
        let file = resolver.project.roles.get(&plan.roles[*role]).and_then(Option::as_ref);
        for resource in &work.resources {
            let label = resource.label();
            if let Some(first) = resources.get(&(*host, label.clone())) {
                let line = resource.origin.rsplit(':').next().and_then(|line| line.parse().ok()).unwrap_or(0);
                let shown = file.map_or("roles", |file| file.document.file.as_str());
                let first = if **first == *resource.origin { "the same entry, by another item".to_owned() } else { (*first).to_owned() };
                let problem = super::problem::Problem::new(shown, (line, 0), format!("{label} is managed already, by {first}"));
                sink.on_host(name, |sink| sink.push(problem.suggest("keep one of them")));
            } else {
                resources.insert((*host, label), &resource.origin);
            }
        }
        for (port, what, at) in &work.ports {
            match ports.get(&(*host, port)) {
                Some((first_role, first_what)) => {
                    let problem = at.problem(format!("port {port} ({what}) is claimed already by role `{first_role}` ({first_what})"));
                    sink.on_host(name, |sink| sink.push(problem.suggest("move one of them to another port or host")));
                }
                None => drop(ports.insert((*host, port), (&plan.roles[*role], what))),
            }
        }
    }
}
