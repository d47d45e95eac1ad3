//! From the project's files to the resolved [`Lab`].

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::flows::{self, Flows, Members};
use super::inventory::Inventory;
use super::model::{Host, Lab, NamedSecret, Node, Os, Source};
use super::node::Work;
use super::problem::{Problem, Problems, Sink};
use super::project::{self, Project};
use super::reach::Reacher;
use super::variables::RawVars;
use super::vault::{Placeholder, Vault};
use super::{mirror, names, node, overrides, paths, requires, values};
use crate::base::{Redactor, Secret};
use crate::ssh;

/// Reads only the inventory: the lab's name and its folder `.poclab/<name>`, where the secrets are.
pub fn peek(inventory: &Path) -> Result<(String, PathBuf), Problems> {
    let mut sink = Sink::default();
    match project::inventory(inventory, &mut sink) {
        // Unknown fields and the like are for `load` to tell, together with everything else.
        Some(content) => Ok((content.lab.clone(), state_dir(&paths::root(inventory), &content.lab))),
        None => sink.finish(None),
    }
}

/// Reads only the inventory: the folder of its mirror, if it names one. Whether that is there is another question.
pub fn mirror_folder(inventory: &Path) -> Result<Option<PathBuf>, Problems> {
    let mut sink = Sink::default();
    let Some(content) = project::inventory(inventory, &mut sink) else { return sink.finish(None) };
    let root = paths::root(inventory);
    let Some(written) = &content.sources.mirror else { return Ok(None) };
    match paths::expand(&root, written) {
        Ok(folder) => Ok(Some(folder)),
        Err(why) => {
            sink.push(Problem::new(paths::shown(&root, inventory), (0, 0), format!("sources.mirror: {why}")));
            sink.finish(None)
        }
    }
}

/// Resolves a lab: every value, secret, certificate and template. No connection is made.
///
/// `overrides` are variables that win over all others (`--set name=value`).
pub fn load(inventory: &Path, vault: &mut dyn Vault, overrides: &[(String, String)]) -> Result<Lab, Problems> {
    resolve(inventory, vault, overrides, false, None)
}

/// Checks all files of a lab; needs no secrets, no mirror and no connection, and writes nothing.
///
/// The lab has placeholders for secrets; [`Lab::notes`] says what could not be checked.
pub fn validate(inventory: &Path, overrides: &[(String, String)]) -> Result<Lab, Problems> {
    resolve(inventory, &mut Placeholder::default(), overrides, true, None)
}

/// What a variable comes to for every role on every host that knows it; offline, as [`validate`], and without secrets.
pub(super) fn watch(inventory: &Path, overrides: &[(String, String)], name: &str) -> Result<Vec<Watched>, Problems> {
    let watch = Watch { name: name.to_owned(), seen: RefCell::default() };
    let lab = resolve(inventory, &mut Placeholder::default(), overrides, true, Some(&watch))?;
    let clean = |seen: Watched| Watched { value: seen.value.map(|value| redacted_value(&value, &lab.redactor)), ..seen };
    Ok(watch.seen.into_inner().into_iter().map(clean).collect())
}

/// A variable that is watched while a lab is resolved.
pub(super) struct Watch {
    /// Its name.
    pub name: String,
    /// What was seen.
    pub seen: RefCell<Vec<Watched>>,
}

/// What a watched variable came to.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    pub role: String,
    pub host: String,
    /// `Err`: why it is not shown.
    pub value: Result<Value, String>,
    /// Where it is set.
    pub origin: String,
}

fn redacted_value(value: &Value, redactor: &Redactor) -> Value {
    match value {
        Value::String(text) => Value::String(redactor.redact(text)),
        Value::Array(items) => items.iter().map(|item| redacted_value(item, redactor)).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, item)| (redactor.redact(key), redacted_value(item, redactor))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

fn state_dir(root: &Path, lab: &str) -> PathBuf {
    root.join(".poclab").join(lab)
}

/// What resolving collects on its way.
pub(super) struct Resolver<'a> {
    pub project: &'a Project,
    pub inventory: &'a Inventory,
    pub members: &'a Members,
    /// Variables of hosts as written in the inventory, with overrides apart.
    pub overrides: &'a RawVars,
    /// What poclab gives on every host.
    pub common: Map<String, Value>,
    /// The variable `host` by host.
    pub host_values: Vec<Value>,
    pub os: Vec<Os>,
    /// Secrets by name, for the redactor and to find out what is sensitive.
    pub known: Vec<(String, Secret)>,
    /// Whether the mirror is not there and its values are made up as they are asked for.
    pub mirror_made_up: bool,
    /// Nothing is going to be done: local files need not be there.
    pub offline: bool,
    pub ca_pem: String,
    /// A variable that somebody wants to know about.
    pub watch: Option<&'a Watch>,
}

fn resolve(
    file: &Path,
    vault: &mut dyn Vault,
    overrides: &[(String, String)],
    offline: bool,
    watch: Option<&Watch>,
) -> Result<Lab, Problems> {
    let mut sink = Sink::default();
    let project = Project::read(file, &mut sink);
    for (name, role) in &project.roles {
        if let Some(role) = role {
            names::role(&project, name, role, &mut sink);
        }
    }
    let mut known = Vec::new();
    let checked =
        project.inventory.as_ref().and_then(|inventory| lab(&project, inventory, vault, overrides, offline, watch, &mut known, &mut sink));
    let redactor = redactor(&known, vault);
    match sink.finish(checked) {
        Ok(mut lab) => {
            lab.redactor = redactor;
            Ok(lab)
        }
        Err(problems) => Err(redacted(problems, &redactor)),
    }
}

#[allow(clippy::too_many_arguments, reason = "each is one of the inputs that `resolve` has")]
fn lab(
    project: &Project,
    inventory: &Inventory,
    vault: &mut dyn Vault,
    overrides: &[(String, String)],
    offline: bool,
    watch: Option<&Watch>,
    known: &mut Vec<(String, Secret)>,
    sink: &mut Sink,
) -> Option<Lab> {
    let mut notes = Vec::new();
    let members = names::inventory(project, inventory, sink);
    let before = sink.len();
    let mut flows = flows::resolve(inventory, &project.document, &members, sink);
    let flows_are_right = sink.len() == before;
    let overrides = overrides::read(project, inventory, overrides, sink);
    let state_dir = state_dir(&project.root, &inventory.lab);
    let reacher = Reacher { root: &project.root, inventory, document: &project.document, offline };
    let known_hosts = reacher.known_hosts(&state_dir, sink);
    let hosts = hosts(inventory, &members, &reacher, vault, sink);
    if flows_are_right {
        guard(project, &members, &flows, &hosts, sink);
    }

    let plan = roles_of_hosts(inventory, &members);
    let declarations = values::declarations(project, inventory, &plan.roles, sink);
    let secrets = values::secrets(&declarations, vault, sink);
    for declared in &secrets.declared {
        if let Err(error) = vault.describe(&declared.name, &declared.what) {
            sink.push(Problem::new(&project.document.file, (0, 0), format!("secret `{}`: {error:#}", declared.name)));
        }
    }
    known.extend(secrets.values.iter().cloned());
    known.extend(passwords(&hosts));
    let ca_pem = vault
        .ca_pem()
        .map_err(|error| sink.push(Problem::new(&project.document.file, (0, 0), format!("the lab CA cannot be had: {error:#}"))))
        .ok()?;

    let keys: Vec<Option<String>> = hosts
        .iter()
        .map(|host| match host.as_ref().map(|host| &host.reach) {
            // An unreadable file is told by whoever connects.
            Some(ssh::Reach::Ssh { target, .. }) if !offline => ssh::known_key(&known_hosts, target).ok().flatten(),
            _ => None,
        })
        .collect();
    let mut common = values::common(&project.root, inventory, &members, &flows, &keys);
    common.insert("secrets".to_owned(), Value::Object(secrets.variable));
    common.insert("ca".to_owned(), serde_json::json!({"cert": ca_pem}));
    let mirror_made_up = sources(project, inventory, offline, &mut common, &mut notes, sink);
    let mirror = common.get("sources").and_then(|sources| sources.get("mirror")).and_then(Value::as_str).map(PathBuf::from);
    let stand_ins = common.get("mirror").map(mirror::stand_ins).unwrap_or_default();
    let os: Vec<Os> =
        members.hosts.iter().map(|(name, _)| inventory.hosts.get(name).and_then(|host| host.os).unwrap_or(inventory.os)).collect();
    let host_values = os.iter().enumerate().map(|(index, os)| values::host(inventory, &members, &mut flows, index, *os)).collect();
    let mut resolver = Resolver {
        project,
        inventory,
        members: &members,
        overrides: &overrides,
        common,
        host_values,
        os,
        known: std::mem::take(known),
        mirror_made_up,
        offline,
        ca_pem: ca_pem.clone(),
        watch,
    };
    let mut work = node::work(&mut resolver, &plan, vault, sink);
    *known = resolver.known;
    notes.extend(vault.news());
    let nodes = requires::nodes(project, &members, &plan, &mut work, sink)?;
    let services = collect(&work, |work| &work.services);
    let mut checks = collect(&work, |work| &work.checks);
    checks.extend(collect(&work, |work| &work.late_checks));
    let hosts = hosts.into_iter().collect::<Option<Vec<Host>>>()?;
    let is_new = |index: &usize| keys[*index].is_none() && matches!(hosts[*index].reach, ssh::Reach::Ssh { .. });
    let new_hosts = (0..hosts.len()).filter(is_new).collect();
    let lab = Lab {
        name: inventory.lab.clone(),
        root: project.root.clone(),
        state_dir,
        known_hosts,
        hosts,
        new_hosts,
        nodes: nodes.into_iter().map(|(node, requires)| Node { requires, ..node }).collect(),
        checks,
        services,
        stand_ins,
        notes,
        secrets: secrets.declared,
        source: Source {
            inventory: project.document.file.clone(),
            sha256: hex(&Sha256::digest(project.document.text.as_bytes())),
            operators: inventory.operators.clone(),
            flows: flows.lines,
            mirror,
        },
        ca_pem,
        redactor: Redactor::new(),
    };
    Some(lab)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Which roles run where.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Roles in use, in the order in which the inventory names them.
    pub roles: Vec<String>,
    /// Role (index into `roles`) and host of every node, role by role.
    pub nodes: Vec<(usize, usize)>,
}

impl Plan {
    /// The hosts of a role.
    pub fn hosts_of(&self, role: usize) -> impl Iterator<Item = usize> {
        self.nodes.iter().filter(move |(of, _)| *of == role).map(|(_, host)| *host)
    }
}

fn roles_of_hosts(inventory: &Inventory, members: &Members) -> Plan {
    let mut plan = Plan::default();
    let mut pairs = BTreeSet::new();
    let all = inventory.roles.iter().map(|role| ("all", role));
    let grouped = inventory.groups.iter().flat_map(|(group, content)| content.roles.iter().map(move |role| (group, role)));
    for (group, role) in all.chain(grouped) {
        let index = plan.roles.iter().position(|known| known == role).unwrap_or_else(|| {
            plan.roles.push(role.clone());
            plan.roles.len() - 1
        });
        let hosts = members.groups.iter().find(|(name, _)| name == group).map(|(_, hosts)| hosts.as_slice()).unwrap_or_default();
        pairs.extend(hosts.iter().map(|host| (index, *host)));
    }
    plan.nodes = pairs.into_iter().collect();
    plan
}

fn hosts(inventory: &Inventory, members: &Members, reacher: &Reacher<'_>, vault: &dyn Vault, sink: &mut Sink) -> Vec<Option<Host>> {
    let mut hosts = Vec::new();
    for (index, (name, address)) in members.hosts.iter().enumerate() {
        let host = inventory.hosts.get(name).and_then(|host| {
            let reach = reacher.reach(name, host, vault, sink)?;
            Some(Host {
                name: name.clone(),
                address: *address,
                os: host.os.unwrap_or(inventory.os),
                groups: values::groups_of(members, index),
                reach,
            })
        });
        hosts.push(host);
    }
    hosts
}

/// Nobody is to lock themselves out: the matrix must let operators in.
fn guard(project: &Project, members: &Members, flows: &Flows, hosts: &[Option<Host>], sink: &mut Sink) {
    for (index, host) in hosts.iter().enumerate() {
        let Some(host) = host else { continue };
        if let Err(port) = flows.lets_in(index, members.hosts[index].1, &host.reach) {
            let name = &host.name;
            let document = &project.document;
            let place = document.key_place(&format!("/hosts/{name}"));
            let from = match &host.reach {
                ssh::Reach::Ssh { target, .. } => {
                    target.jump.as_ref().map_or("operators".to_owned(), |jump| format!("{}/32", jump.address))
                }
                ssh::Reach::Program(_) => continue,
            };
            let problem = Problem::new(
                &document.file,
                place,
                format!("no flow lets operators reach host `{name}` by SSH: the firewall would lock them out"),
            );
            sink.push(
                problem.suggest(format!("add `- {{to: {name}, port: {port}/tcp, from: [{from}], why: administration}}` to `flows:`")),
            );
        }
    }
}

/// `sources` and `mirror`; whether the values of the mirror must be made up.
fn sources(
    project: &Project,
    inventory: &Inventory,
    offline: bool,
    common: &mut Map<String, Value>,
    notes: &mut Vec<String>,
    sink: &mut Sink,
) -> bool {
    let mut sources = Map::new();
    let mut made_up = false;
    if let Some(written) = &inventory.sources.mirror {
        let problem = |what: String| project.document.problem("/sources/mirror", what);
        match paths::expand(&project.root, written) {
            Err(why) => sink.push(problem(why)),
            Ok(folder) => {
                let shown = folder.display().to_string();
                sources.insert("mirror".to_owned(), Value::String(shown.clone()));
                if folder.join("mirror.yml").is_file() {
                    if let Some(value) = mirror::read(&folder, sink) {
                        common.insert("mirror".to_owned(), value);
                    }
                } else if offline {
                    notes.push(format!("the mirror {shown} is not there: what comes from it was not checked"));
                } else {
                    let why = if folder.is_dir() { "has no mirror.yml" } else { "does not exist" };
                    sink.push(problem(format!("the mirror {shown} {why}")).suggest(mirror::remedy(&folder)));
                }
                // Whatever is wrong with the mirror has been said; its values must not be undefined as well.
                made_up = !common.contains_key("mirror");
            }
        }
    }
    if made_up {
        common.insert("mirror".to_owned(), serde_json::json!({"path": sources.get("mirror"), "images": {}, "rpms": {}}));
    }
    common.insert("sources".to_owned(), Value::Object(sources));
    made_up
}

fn collect<T: Clone>(work: &[Work], pick: impl Fn(&Work) -> &Vec<T>) -> Vec<T> {
    work.iter().flat_map(|work| pick(work).iter().cloned()).collect()
}

/// Passwords by which hosts are reached.
fn passwords(hosts: &[Option<Host>]) -> Vec<(String, Secret)> {
    let mut found = Vec::new();
    for host in hosts.iter().flatten() {
        let ssh::Reach::Ssh { target, sudo } = &host.reach else { continue };
        if let ssh::Sudo::Password(password) = sudo {
            found.push((format!("sudo_password_{}", host.name), password.clone()));
        }
        for auth in &target.auth {
            match auth {
                ssh::Auth::Password(password) => found.push((format!("ssh_password_{}", host.name), password.clone())),
                ssh::Auth::Key { passphrase: Some(passphrase), .. } => found.push(("ssh_key_passphrase".to_owned(), passphrase.clone())),
                ssh::Auth::Key { .. } | ssh::Auth::Agent => {}
            }
        }
    }
    found
}

fn redactor(known: &[(String, Secret)], vault: &dyn Vault) -> Redactor {
    let mut redactor = Redactor::new();
    for NamedSecret { name, value, .. } in vault.all() {
        redactor.learn(&name, &value);
    }
    for (name, value) in known {
        redactor.learn(name, value);
    }
    redactor
}

/// Error texts quote values; none of them may be a secret.
fn redacted(problems: Problems, redactor: &Redactor) -> Problems {
    let clean = |problem: Problem| Problem {
        what: redactor.redact(&problem.what),
        suggestion: problem.suggestion.map(|text| redactor.redact(&text)),
        ..problem
    };
    Problems(problems.0.into_iter().map(clean).collect())
}
