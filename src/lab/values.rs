//! What poclab gives to templates: the lab, its hosts, groups and flows, secrets, certificates.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::flows::{Flows, Members};
use super::inventory::{Inventory, Secret as Declared};
use super::model::{DeclaredSecret, Os};
use super::problem::Sink;
use super::project::Project;
use super::variables::At;
use super::vault::Vault;
use crate::base::Secret;

/// In place of a host key that nobody has seen yet. No SSH client takes it for a key.
const NO_KEY: &str = "ssh-ed25519 not-known-yet";

/// What a host is for templates of other hosts.
fn host_value(name: &str, address: &str, inventory: &Inventory, groups: &[String]) -> Value {
    json!({"name": name, "fqdn": format!("{name}.{}", inventory.domain), "address": address, "groups": groups})
}

/// What does not depend on the host: `lab`, `hosts`, `groups`, `sources`. `keys` has the host keys, as far as they are known.
pub fn common(root: &Path, inventory: &Inventory, members: &Members, flows: &Flows, keys: &[Option<String>]) -> Map<String, Value> {
    let hosts: Vec<(String, Value)> = members
        .hosts
        .iter()
        .enumerate()
        .map(|(index, (name, address))| (name.clone(), host_value(name, &address.to_string(), inventory, &groups_of(members, index))))
        .collect();
    let groups: Map<String, Value> = members
        .groups
        .iter()
        .map(|(name, hosts)| (name.clone(), hosts.iter().map(|host| Value::String(members.hosts[*host].0.clone())).collect()))
        .collect();
    let with_key = |(index, (name, mut host)): (usize, (String, Value))| {
        host["host_key"] = json!(keys.get(index).and_then(Option::as_deref).unwrap_or(NO_KEY));
        (name, host)
    };
    let lab = json!({
        "name": inventory.lab, "folder": root.display().to_string(), "domain": inventory.domain, "operators": inventory.operators,
        "hosts": hosts.iter().map(|(_, host)| host.clone()).collect::<Vec<_>>(), "flows": flows.all,
    });
    Map::from_iter([
        ("lab".to_owned(), lab),
        ("hosts".to_owned(), Value::Object(hosts.into_iter().enumerate().map(with_key).collect())),
        ("groups".to_owned(), Value::Object(groups)),
    ])
}

/// The variable `host`. What `flows` has for it moves there.
pub fn host(inventory: &Inventory, members: &Members, flows: &mut Flows, index: usize, os: Os) -> Value {
    let Some((name, address)) = members.hosts.get(index) else { return Value::Null };
    let mut host = host_value(name, &address.to_string(), inventory, &groups_of(members, index));
    host["os"] = json!(os);
    host["rehearsal"] = json!(os == Os::Rehearsal);
    host["allow"] = flows.allow.get_mut(index).map(Value::take).unwrap_or_default();
    host["published"] = flows.published.get_mut(index).map(Value::take).unwrap_or_default();
    host
}

/// Names of the groups that a host is in, `all` first.
pub fn groups_of(members: &Members, host: usize) -> Vec<String> {
    members.groups.iter().filter(|(_, hosts)| hosts.contains(&host)).map(|(name, _)| name.clone()).collect()
}

/// The declared secrets with their values.
#[derive(Debug, Default)]
pub struct Secrets {
    /// The variable `secrets`.
    pub variable: Map<String, Value>,
    /// The declarations.
    pub declared: Vec<DeclaredSecret>,
    /// All values, by name.
    pub values: Vec<(String, Secret)>,
}

impl Secrets {
    /// Something in the place of a secret that is missing: one mistake is not to be told again wherever the secret is used.
    fn stand_in(&mut self, name: &str, user: &str) {
        self.variable.insert(name.to_owned(), json!({"user": user, "password": "", "htpasswd": ""}));
    }
}

/// Asks the vault for every declared secret.
pub fn secrets(declared: &BTreeMap<String, (Declared, At)>, vault: &mut dyn Vault, sink: &mut Sink) -> Secrets {
    let mut secrets = Secrets::default();
    for (name, (declared, at)) in declared {
        let user = declared.user.clone().unwrap_or_else(|| name.clone());
        secrets.declared.push(DeclaredSecret {
            name: name.clone(),
            what: declared.what.clone(),
            user: user.clone(),
            given: declared.given,
        });
        if declared.given {
            match vault.get(name) {
                Some(value) => {
                    secrets.variable.insert(name.clone(), json!({"user": user, "password": value.expose()}));
                    secrets.values.push((name.clone(), value));
                }
                // Whoever uses it says what is missing without it.
                None if declared.optional => secrets.stand_in(name, &user),
                None => {
                    sink.push(
                        at.problem(format!("secret `{name}` ({}) is not set", declared.what))
                            .suggest(format!("run `poclab secrets set {name}`")),
                    );
                    secrets.stand_in(name, &user);
                }
            }
            continue;
        }
        if declared.ssh_key {
            match vault.ssh_key(name) {
                Ok(key) => {
                    secrets.variable.insert(name.clone(), json!({"public": key.public, "private": key.private.expose()}));
                    secrets.values.push((format!("{name}.private"), key.private));
                }
                Err(error) => {
                    sink.push(at.problem(format!("secret `{name}` cannot be had: {error:#}")));
                    secrets.variable.insert(name.clone(), json!({"public": "", "private": ""}));
                }
            }
            continue;
        }
        match vault.login(name, &user) {
            Ok(login) => {
                secrets.variable.insert(
                    name.clone(),
                    json!({"user": login.user, "password": login.password.expose(), "htpasswd": login.htpasswd.expose()}),
                );
                secrets.values.push((name.clone(), login.password));
                secrets.values.push((format!("{name}.htpasswd"), login.htpasswd));
            }
            Err(error) => {
                sink.push(at.problem(format!("secret `{name}` cannot be had: {error:#}")));
                secrets.stand_in(name, &user);
            }
        }
    }
    secrets
}

/// All declarations of the inventory and of these roles; two that differ are a problem.
pub fn declarations(project: &Project, inventory: &Inventory, roles: &[String], sink: &mut Sink) -> BTreeMap<String, (Declared, At)> {
    let mut declared: BTreeMap<String, (Declared, At)> = BTreeMap::new();
    let files = roles
        .iter()
        .filter_map(|role| project.roles.get(role)?.as_ref())
        .filter_map(|file| Some((&file.document, &file.role.as_ref()?.secrets)));
    for (document, secrets) in std::iter::once((&project.document, &inventory.secrets)).chain(files) {
        for (name, secret) in secrets.iter() {
            let at = At::new(document, super::document::join("/secrets", name));
            match declared.get(name) {
                Some((known, first))
                    if (&known.user, known.given, known.optional, known.ssh_key)
                        != (&secret.user, secret.given, secret.optional, secret.ssh_key) =>
                {
                    let place = first.document.origin(&first.pointer);
                    sink.push(
                        at.problem(format!("secret `{name}` is declared differently in {place}"))
                            .suggest("make both the same, or rename one"),
                    );
                }
                Some(_) => {}
                None => drop(declared.insert(name.to_owned(), (secret.clone(), at))),
            }
        }
    }
    declared
}

/// Asks the vault for a certificate: the value of `certs.<name>` and its key.
pub fn certificate(
    name: &str,
    host: &str,
    names: &[String],
    addresses: &[IpAddr],
    days: i64,
    ca: &str,
    vault: &mut dyn Vault,
) -> anyhow::Result<(Value, Secret)> {
    let made = vault.certificate(&format!("{name}.{host}"), names, addresses, days)?;
    let end = if made.cert.ends_with('\n') { "" } else { "\n" };
    let value = json!({"cert": made.cert, "key": made.key.expose(), "chain": format!("{}{end}{ca}", made.cert)});
    Ok((value, made.key))
}
