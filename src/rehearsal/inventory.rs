//! The little that the containers backend needs of an inventory. `poclab validate` checks the whole of it; here the file
//! may be half-written: hosts can be up before the lab is right.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::RehearsalHost;

/// What hosts are made from.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// The lab's name.
    pub lab: String,
    /// In name order.
    pub hosts: Vec<RehearsalHost>,
    /// The /24 that all addresses are in.
    pub network: String,
    /// Login user on every host.
    pub user: String,
}

#[derive(Deserialize)]
struct Inventory {
    lab: String,
    #[serde(default)]
    ssh: Ssh,
    hosts: BTreeMap<String, Host>,
}

#[derive(Default, Deserialize)]
struct Ssh {
    user: Option<String>,
    sudo: Option<String>,
}

#[derive(Deserialize)]
struct Host {
    address: Ipv4Addr,
    #[serde(default)]
    ssh: Ssh,
}

/// Reads the inventory.
pub fn read(path: &Path) -> anyhow::Result<Plan> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the inventory {}", path.display()))?;
    plan(&text).with_context(|| format!("inventory {}", path.display()))
}

fn plan(text: &str) -> anyhow::Result<Plan> {
    let inventory: Inventory = serde_yaml::from_str(text)?;
    if !plain_name(&inventory.lab) {
        bail!("the lab's name `{}` is not made of small letters, digits and dashes", inventory.lab);
    }
    let user = inventory.ssh.user.unwrap_or_else(|| "ops".to_owned());
    if user == "root" || !plain_name(&user) {
        bail!("rehearsal hosts are entered as a plain user with sudo, not as `{user}`: write `ssh: user: ops`");
    }
    let mut hosts: Vec<RehearsalHost> = Vec::new();
    for (name, host) in inventory.hosts {
        if !plain_name(&name) {
            bail!("the host name `{name}` is not made of small letters, digits and dashes");
        }
        if let Some(other) = hosts.iter().find(|other| other.address == host.address) {
            bail!("hosts `{}` and `{name}` have the same address {}", other.name, host.address);
        }
        if host.ssh.user.as_ref().is_some_and(|own| *own != user) {
            bail!("host `{name}` has a login user of its own; the rehearsal makes one user, `{user}`, on all hosts");
        }
        let sudo = host.ssh.sudo.as_deref().or(inventory.ssh.sudo.as_deref());
        hosts.push(RehearsalHost { name, address: host.address, sudo_password: sudo == Some("password") });
    }
    let Some(first) = hosts.first() else { bail!("there are no hosts in it") };
    let [a, b, c, _] = first.address.octets();
    for host in &hosts {
        let [x, y, z, last] = host.address.octets();
        if [x, y, z] != [a, b, c] {
            bail!(
                "host `{}` ({}) is not in {a}.{b}.{c}.0/24, where `{}` is: rehearsal hosts share one network",
                host.name,
                host.address,
                first.name
            );
        }
        if [0, 1, 255].contains(&last) {
            bail!("host `{}` cannot have the address {}: .1 is this machine, .0 and .255 are the network's own", host.name, host.address);
        }
    }
    Ok(Plan { lab: inventory.lab, hosts, network: format!("{a}.{b}.{c}.0/24"), user })
}

/// Names end up in container names, file names and user names.
fn plain_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
lab: rehearsal
domain: lab.example
ssh: {user: ops, sudo: nopasswd}
hosts:
  deploy: {address: 10.90.0.11}
  app: {address: 10.90.0.12, ssh: {sudo: password}}
roles: [base]
";

    #[test]
    fn reads_what_it_needs_and_ignores_the_rest() {
        let plan = plan(GOOD).unwrap();
        assert_eq!(plan.lab, "rehearsal");
        assert_eq!(plan.user, "ops");
        assert_eq!(plan.network, "10.90.0.0/24");
        let hosts: Vec<_> = plan.hosts.iter().map(|host| (host.name.as_str(), host.sudo_password)).collect();
        assert_eq!(hosts, [("app", true), ("deploy", false)]);
    }

    #[test]
    fn refuses_what_no_hosts_can_be_made_from() {
        for (change, expected) in [
            (("10.90.0.12", "10.91.0.12"), "is not in 10.90.0.0/24"),
            (("10.90.0.12", "10.90.0.11"), "have the same address"),
            (("10.90.0.12", "10.90.0.1"), ".1 is this machine"),
            (("user: ops", "user: root"), "not as `root`"),
            (("app:", "../app:"), "not made of small letters"),
            (("lab: rehearsal", "lab: a/b"), "not made of small letters"),
        ] {
            let text = GOOD.replace(change.0, change.1);
            let found = plan(&text).unwrap_err().to_string();
            // the same network is named from whichever host comes first
            assert!(found.contains(expected) || found.contains("is not in 10.91.0.0/24"), "{change:?}: {found}");
        }
        assert!(plan("lab: x\nhosts: {}\n").unwrap_err().to_string().contains("no hosts"));
    }
}
