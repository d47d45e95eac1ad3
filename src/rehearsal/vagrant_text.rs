//! What vagrant writes, read; and the inventory that it leads to. No I/O here.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::{Context as _, bail};
use serde_yaml::{Mapping, Value};

/// How vagrant gets into a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The management address: often 127.0.0.1 with a forwarded port, never what other hosts use.
    pub address: String,
    /// SSH port.
    pub port: u16,
    /// Login user.
    pub user: String,
    /// Private key file.
    pub key: String,
}

/// Reads `vagrant ssh-config`: OpenSSH blocks, values perhaps quoted.
pub fn parse_ssh_config(text: &str) -> anyhow::Result<BTreeMap<String, Machine>> {
    let mut blocks: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (word, value) =
            line.split_once([' ', '\t', '=']).with_context(|| format!("vagrant ssh-config wrote a line without a value: {line}"))?;
        let (word, value) = (word.to_ascii_lowercase(), unquote(value.trim()));
        if word == "host" {
            blocks.push((value, BTreeMap::new()));
        } else if let Some((_, fields)) = blocks.last_mut() {
            // as in OpenSSH, the first value of a field counts
            fields.entry(word).or_insert(value);
        } else {
            bail!("vagrant ssh-config wrote no Host before: {line}");
        }
    }
    let machine = |(name, mut fields): (String, BTreeMap<String, String>)| {
        let mut take = |field: &str| fields.remove(field).with_context(|| format!("vagrant ssh-config wrote no {field} for {name}"));
        let port = take("port")?;
        let port = port.parse().with_context(|| format!("vagrant ssh-config wrote a port for {name} that is none: {port}"))?;
        let machine = Machine { address: take("hostname")?, port, user: take("user")?, key: take("identityfile")? };
        Ok((name, machine))
    };
    blocks.into_iter().map(machine).collect()
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return value.to_owned() };
    inner.replace("\\\"", "\"").replace("\\\\", "\\")
}

/// Reads `vagrant status --machine-readable`: state by machine.
pub fn parse_status(text: &str) -> BTreeMap<String, String> {
    let state = |line: &str| {
        let mut fields = line.split(',').skip(1);
        let (name, kind, value) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "state" && !name.is_empty()).then(|| (name.to_owned(), value.trim().to_owned()))
    };
    text.lines().filter_map(state).collect()
}

/// Names and lab addresses of an inventory's hosts.
pub fn hosts(inventory: &str) -> anyhow::Result<Vec<(String, String)>> {
    let inventory: Value = serde_yaml::from_str(inventory)?;
    let hosts = inventory.get("hosts").and_then(Value::as_mapping).context("it has no `hosts`")?;
    let host = |(name, host): (&Value, &Value)| {
        let name = name.as_str().context("a host's name is no text")?;
        let address = host.get("address").and_then(Value::as_str).with_context(|| format!("host `{name}` has no `address`"))?;
        Ok((name.to_owned(), address.to_owned()))
    };
    hosts.iter().map(host).collect()
}

/// The lab's name.
pub fn lab(inventory: &str) -> anyhow::Result<String> {
    let inventory: Value = serde_yaml::from_str(inventory)?;
    inventory.get("lab").and_then(Value::as_str).map(str::to_owned).context("it has no `lab`")
}

/// The same inventory with the way in that vagrant made, for every host, and the network that this machine then comes from.
pub fn with_machines(inventory: &str, machines: &BTreeMap<String, Machine>) -> anyhow::Result<String> {
    let mut document: Value = serde_yaml::from_str(inventory)?;
    let mut operators = Vec::new();
    let hosts = document.get_mut("hosts").and_then(Value::as_mapping_mut).context("it has no `hosts`")?;
    for (name, host) in hosts.iter_mut() {
        let name = name.as_str().context("a host's name is no text")?;
        let machine =
            machines.get(name).with_context(|| format!("vagrant has no machine for the host `{name}`; run `vagrant up {name}`"))?;
        let host = host.as_mapping_mut().with_context(|| format!("host `{name}` is no mapping"))?;
        let ssh = host.entry("ssh".into()).or_insert_with(|| Value::Mapping(Mapping::new()));
        let ssh = ssh.as_mapping_mut().with_context(|| format!("`ssh` of host `{name}` is no mapping"))?;
        for (field, value) in [
            ("address", Value::from(machine.address.as_str())),
            ("port", Value::from(u64::from(machine.port))),
            ("user", Value::from(machine.user.as_str())),
            ("key", Value::from(machine.key.as_str())),
            ("sudo", Value::from("nopasswd")),
        ] {
            ssh.insert(field.into(), value);
        }
        let operator = operator(&machine.address);
        if !operators.contains(&operator) {
            operators.push(operator);
        }
    }
    let list =
        document.as_mapping_mut().context("it is no mapping")?.entry("operators".into()).or_insert_with(|| Value::Sequence(Vec::new()));
    let list = list.as_sequence_mut().context("`operators` is no list")?;
    for operator in operators {
        if !list.iter().any(|known| known.as_str() == Some(operator.as_str())) {
            list.push(operator.into());
        }
    }
    Ok(format!(
        "# Written by `poclab rehearse up --backend vagrant` from the inventory and `vagrant ssh-config`.\n{}",
        serde_yaml::to_string(&document)?
    ))
}

/// Where this machine's connections come from, seen from inside: VirtualBox forwards a port of 127.0.0.1 and shows itself as
/// 10.0.2.2; libvirt's own network has this machine at .1.
fn operator(address: &str) -> String {
    match address.parse::<Ipv4Addr>() {
        Ok(address) if !address.is_loopback() => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.1/32")
        }
        _ => "10.0.2.2/32".to_owned(),
    }
}

/// `known_hosts` lines of a machine from its public keys (`ssh_host_*_key.pub`, as vagrant's own login shows them).
pub fn known_hosts(machine: &Machine, keys: &str) -> anyhow::Result<String> {
    let place = if machine.port == 22 { machine.address.clone() } else { format!("[{}]:{}", machine.address, machine.port) };
    let mut lines = String::new();
    for key in keys.lines() {
        let mut words = key.split_whitespace();
        if let (Some(kind), Some(key)) = (words.next(), words.next())
            && (kind.starts_with("ssh-") || kind.starts_with("ecdsa-"))
        {
            lines.push_str(&format!("{place} {kind} {key}\n"));
        }
    }
    if lines.is_empty() {
        bail!("the machine at {place} showed no host key");
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the form that Vagrant 2.3.4 writes, with VirtualBox and with libvirt, and a quoted path. Written by hand after
    /// its template (no VM runs on the machine where this was written).
    const CONFIG: &str = include_str!("../../tests/golden/vagrant-ssh-config.txt");

    const INVENTORY: &str = "lab: lab\noperators: [192.168.56.1/32]\nssh: {user: vagrant}\nhosts:\n  deploy: {address: 192.168.56.11, vagrant: {memory: 8192, cpus: 2}}\n  app: {address: 192.168.56.12, ssh: {sudo: password}}\n";

    #[test]
    fn ssh_config_golden() {
        let machines = parse_ssh_config(CONFIG).unwrap();
        let deploy = Machine {
            address: "127.0.0.1".into(),
            port: 2222,
            user: "vagrant".into(),
            key: "/home/me/my labs/.vagrant/machines/deploy/virtualbox/private_key".into(),
        };
        let app = Machine {
            address: "192.168.121.45".into(),
            port: 22,
            user: "vagrant".into(),
            key: "/home/me/.vagrant/machines/app/libvirt/private_key".into(),
        };
        assert_eq!(machines, BTreeMap::from([("deploy".to_owned(), deploy), ("app".to_owned(), app)]));
    }

    #[test]
    fn ssh_config_that_is_not_one() {
        for (text, expected) in [
            ("HostName x\n", "no Host before"),
            ("Host a\n  Port 22\n  User u\n  IdentityFile k\n", "no hostname for a"),
            ("Host a\n  HostName h\n  Port many\n", "port for a that is none"),
            ("nonsense\n", "without a value"),
        ] {
            let error = format!("{:#}", parse_ssh_config(text).unwrap_err());
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        assert!(parse_ssh_config("").unwrap().is_empty());
    }

    #[test]
    fn machine_readable_status() {
        let text = "1424098924,deploy,metadata,provider,virtualbox\n1424098924,deploy,state,running\n1424098924,deploy,state-human-short,running\n1424098925,app,state,not_created\n1424098925,,ui,info,Current machine states:\n";
        assert_eq!(
            parse_status(text),
            BTreeMap::from([("deploy".to_owned(), "running".to_owned()), ("app".to_owned(), "not_created".to_owned())])
        );
    }

    #[test]
    fn the_inventory_gets_the_way_in() {
        let machines = parse_ssh_config(CONFIG).unwrap();
        let text = with_machines(INVENTORY, &machines).unwrap();
        let written: Value = serde_yaml::from_str(&text).unwrap();
        let deploy = &written["hosts"]["deploy"];
        assert_eq!(deploy["address"], "192.168.56.11");
        assert_eq!(deploy["ssh"]["address"], "127.0.0.1");
        assert_eq!(deploy["ssh"]["port"], 2222);
        assert_eq!(written["hosts"]["app"]["ssh"]["sudo"], "nopasswd");
        assert_eq!(written["operators"], serde_yaml::from_str::<Value>("[192.168.56.1/32, 10.0.2.2/32, 192.168.121.1/32]").unwrap());
        let error = with_machines(INVENTORY, &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.contains("vagrant up deploy"), "{error}");
    }

    #[test]
    fn known_hosts_with_and_without_a_port() {
        let machines = parse_ssh_config(CONFIG).unwrap();
        assert_eq!(known_hosts(&machines["deploy"], "ssh-ed25519 AAAA root@x\r\nnoise\n").unwrap(), "[127.0.0.1]:2222 ssh-ed25519 AAAA\n");
        assert_eq!(known_hosts(&machines["app"], "ssh-rsa BBBB\n").unwrap(), "192.168.121.45 ssh-rsa BBBB\n");
        assert!(known_hosts(&machines["app"], "").is_err());
    }

    #[test]
    fn hosts_of_an_inventory() {
        assert_eq!(
            hosts(INVENTORY).unwrap(),
            [("deploy".to_owned(), "192.168.56.11".to_owned()), ("app".to_owned(), "192.168.56.12".to_owned())]
        );
        assert_eq!(lab(INVENTORY).unwrap(), "lab");
    }
}
