//! The flow matrix: who may reach which port of whom, worked out to addresses.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::document::{Document, join};
use super::inventory::Inventory;
use super::model::Flow;
use super::network::{Network, Port};
use super::problem::{Problem, Sink};
use crate::ssh;

/// Names of hosts and what belongs to them, as far as flows and lists need it.
#[derive(Debug, Clone, Default)]
pub struct Members {
    /// Hosts in inventory order.
    pub hosts: Vec<(String, Ipv4Addr)>,
    /// Groups in inventory order with the indexes of their hosts; `all` first.
    pub groups: Vec<(String, Vec<usize>)>,
}

impl Members {
    /// The hosts that a host's or group's name means. A host's name wins.
    pub fn meant(&self, name: &str) -> Option<Vec<usize>> {
        let host = self.hosts.iter().position(|(host, _)| host == name).map(|index| vec![index]);
        host.or_else(|| self.groups.iter().find(|(group, _)| group == name).map(|(_, hosts)| hosts.clone()))
    }

    /// All names of hosts and groups.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(|(name, _)| name.as_str()).chain(self.groups.iter().map(|(name, _)| name.as_str()))
    }
}

/// Where connections may come from; `Any` sorts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Any,
    Net(Network),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rule {
    port: Port,
    source: Source,
    operators: bool,
}

/// The resolved matrix.
#[derive(Debug, Clone, Default)]
pub struct Flows {
    /// `host.allow` by host.
    pub allow: Vec<Value>,
    /// `host.published` by host.
    pub published: Vec<Value>,
    /// `lab.flows`
    pub all: Vec<Value>,
    /// The lines of the matrix as they are written, for reports.
    pub lines: Vec<Flow>,
    rules: Vec<[BTreeSet<Rule>; 2]>,
}

#[derive(Debug, Default)]
struct From {
    hosts: BTreeSet<usize>,
    operators: bool,
    any: bool,
    networks: BTreeSet<Network>,
}

/// Works out the matrix; wrong lines are problems and left out.
pub fn resolve(inventory: &Inventory, document: &Document, members: &Members, sink: &mut Sink) -> Flows {
    let operators: Vec<Network> = networks(document, "/operators", &inventory.operators, sink);
    let mut flows = Flows { rules: vec![Default::default(); members.hosts.len()], ..Flows::default() };
    for (index, flow) in inventory.flows.iter().enumerate() {
        let pointer = format!("/flows/{index}");
        let from = sources(document, &format!("{pointer}/from"), &flow.from, members, sink);
        let mut ports = Vec::new();
        for (at, text) in flow.port.at(&format!("{pointer}/port")) {
            match Port::parse(text) {
                Ok(port) => ports.push(port),
                Err(why) => sink.push(wrong(document, &at, why)),
            }
        }
        let mut targets = Vec::new();
        for (at, name) in flow.to.at(&format!("{pointer}/to")) {
            match members.meant(name) {
                Some(hosts) => targets.extend(hosts),
                None => sink.push(document.problem(&at, format!("no host or group `{name}`")).did_you_mean(name, members.names())),
            }
        }
        let mut seen = BTreeSet::new();
        targets.retain(|target| seen.insert(*target));
        flows.lines.push(line(flow, &from, &targets, &ports, members));
        for target in targets {
            for port in &ports {
                flows.add(target, port, flow.published, &flow.why, &from, &operators, members);
            }
        }
    }
    let shown = |rules: &BTreeSet<Rule>| {
        let open: BTreeSet<&Port> = rules.iter().filter(|rule| rule.source == Source::Any).map(|rule| &rule.port).collect();
        let mut seen = BTreeSet::new();
        let list: Vec<Value> = rules
            .iter()
            .filter(|rule| rule.source == Source::Any || !open.contains(&rule.port))
            .filter(|rule| seen.insert((&rule.port, rule.source)))
            .map(|rule| {
                let source = match rule.source {
                    Source::Any => "any".to_owned(),
                    Source::Net(network) => network.to_string(),
                };
                json!({"source": source, "port": rule.port.number, "protocol": rule.port.protocol})
            })
            .collect();
        Value::Array(list)
    };
    flows.allow = flows.rules.iter().map(|[allow, _]| shown(allow)).collect();
    flows.published = flows.rules.iter().map(|[_, published]| shown(published)).collect();
    flows
}

impl Flows {
    #[allow(clippy::too_many_arguments, reason = "the parts of one line of the matrix")]
    fn add(&mut self, target: usize, port: &Port, published: bool, why: &str, from: &From, operators: &[Network], members: &Members) {
        let Some((name, address)) = members.hosts.get(target) else { return };
        let hosts: Vec<usize> = from.hosts.iter().copied().filter(|host| *host != target).collect();
        let Some(rules) = self.rules.get_mut(target).map(|both| &mut both[usize::from(published)]) else { return };
        let mut add = |source, operators| {
            rules.insert(Rule { port: port.clone(), source, operators });
        };
        hosts.iter().for_each(|host| add(Source::Net(Network::host(members.hosts[*host].1)), false));
        from.networks.iter().for_each(|network| add(Source::Net(*network), false));
        if from.operators {
            operators.iter().for_each(|network| add(Source::Net(*network), true));
        }
        if from.any {
            add(Source::Any, false);
        }
        let names: Vec<&str> = hosts.iter().map(|host| members.hosts[*host].0.as_str()).collect();
        let networks: Vec<String> = from.networks.iter().map(ToString::to_string).collect();
        self.all.push(json!({
            "to": name, "to_address": address.to_string(), "port": port.number, "protocol": port.protocol,
            "from_hosts": names, "from_networks": networks, "from_operators": from.operators, "from_any": from.any,
            "published": published, "why": why,
        }));
    }

    /// Whether the matrix lets operators in at the SSH port of a host (through its jump host, if it has one).
    pub fn lets_in(&self, host: usize, address: Ipv4Addr, reach: &ssh::Reach) -> Result<(), u16> {
        let ssh::Reach::Ssh { target, .. } = reach else { return Ok(()) };
        // Another address is a forwarded port; what listens in the host is the usual one then.
        let port = if target.address == address.to_string() { target.port } else { 22 };
        let jump: Option<Ipv4Addr> = target.jump.as_ref().and_then(|jump| jump.address.parse().ok());
        let open = self.rules.get(host).is_some_and(|[allow, _]| {
            allow.iter().filter(|rule| rule.port == Port { number: port, protocol: "tcp".to_owned() }).any(|rule| {
                match (rule.source, jump) {
                    (Source::Any, _) => true,
                    (Source::Net(network), Some(jump)) => network.contains(jump),
                    (Source::Net(_), None) => rule.operators,
                }
            })
        });
        if open { Ok(()) } else { Err(port) }
    }
}

fn line(flow: &super::inventory::Flow, from: &From, to: &[usize], ports: &[Port], members: &Members) -> Flow {
    let name = |host: &usize| members.hosts[*host].0.clone();
    Flow {
        to: to.iter().map(name).collect(),
        ports: ports.iter().map(ToString::to_string).collect(),
        from_hosts: from.hosts.iter().map(name).collect(),
        from_networks: from.networks.iter().map(ToString::to_string).collect(),
        from_operators: from.operators,
        from_any: from.any,
        published: flow.published,
        why: flow.why.clone(),
    }
}

fn sources(document: &Document, pointer: &str, from: &[String], members: &Members, sink: &mut Sink) -> From {
    let mut found = From::default();
    for (index, name) in from.iter().enumerate() {
        match name.as_str() {
            "operators" => found.operators = true,
            "any" => found.any = true,
            network if network.starts_with(|c: char| c.is_ascii_digit()) && members.meant(network).is_none() => {
                match Network::parse(network) {
                    Ok(network) => {
                        found.networks.insert(network);
                    }
                    Err(why) => sink.push(wrong(document, &format!("{pointer}/{index}"), why)),
                }
            }
            name => match members.meant(name) {
                Some(hosts) => found.hosts.extend(hosts),
                None => sink.push(
                    document
                        .problem(&format!("{pointer}/{index}"), format!("no host or group `{name}`"))
                        .did_you_mean(name, members.names().chain(["operators", "any"])),
                ),
            },
        }
    }
    found
}

fn networks(document: &Document, pointer: &str, texts: &[String], sink: &mut Sink) -> Vec<Network> {
    let mut networks = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match Network::parse(text) {
            Ok(network) => networks.push(network),
            Err(why) => sink.push(wrong(document, &join(pointer, &index.to_string()), why)),
        }
    }
    networks
}

/// A problem with what is wrong and, maybe, what to write.
pub fn wrong(document: &Document, pointer: &str, (what, suggestion): (String, Option<String>)) -> Problem {
    Problem { suggestion, ..document.problem(pointer, what) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::{Reach, SshTarget, Sudo, Timeouts};

    fn resolved(flows: &str) -> (Flows, Vec<String>) {
        let hosts = "{a: {address: 10.0.0.1}, b: {address: 10.0.0.2}, c: {address: 10.0.0.3}}";
        let text = format!("lab: t\ndomain: d\noperators: [10.9.0.0/16, 10.8.0.1]\nhosts: {hosts}\nflows:\n{flows}");
        let document = Document::parse("lab.yml", &text, &mut Vec::new()).unwrap();
        let inventory: Inventory = serde_json::from_value(document.value.clone()).unwrap();
        let members = Members {
            hosts: inventory.hosts.iter().map(|(name, host)| (name.to_owned(), host.address)).collect(),
            groups: vec![("all".to_owned(), vec![0, 1, 2]), ("web".to_owned(), vec![1, 2])],
        };
        let mut sink = Sink::default();
        let flows = resolve(&inventory, &document, &members, &mut sink);
        let problems = sink.finish(Some(())).err().map(|problems| problems.0.iter().map(ToString::to_string).collect());
        (flows, problems.unwrap_or_default())
    }

    fn rules(list: &Value) -> Vec<String> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        list.as_array()
            .unwrap()
            .iter()
            .map(|rule| format!("{} {}/{}", text(&rule["source"]), rule["port"], text(&rule["protocol"])))
            .collect()
    }

    #[test]
    fn names_become_addresses_without_the_host_itself_and_without_doubles() {
        let (flows, problems) = resolved(
            "  - {to: all, port: 22/tcp, from: [operators, web, b], why: x}\n\
             \x20 - {to: [a, web], port: [80/tcp, 53/udp], from: [web, any], published: true, why: y}\n",
        );
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(rules(&flows.allow[1]), ["10.0.0.3/32 22/tcp", "10.8.0.1/32 22/tcp", "10.9.0.0/16 22/tcp"]);
        assert_eq!(rules(&flows.allow[0]), ["10.0.0.2/32 22/tcp", "10.0.0.3/32 22/tcp", "10.8.0.1/32 22/tcp", "10.9.0.0/16 22/tcp"]);
        // `any` makes single sources needless.
        assert_eq!(rules(&flows.published[0]), ["any 53/udp", "any 80/tcp"]);
        assert_eq!(flows.all.len(), 3 + 3 * 2);
        let last = json!({"to": "c", "to_address": "10.0.0.3", "port": 53, "protocol": "udp", "from_hosts": ["b"], "from_networks": [],
            "from_operators": false, "from_any": true, "published": true, "why": "y"});
        assert_eq!(flows.all[8], last);
    }

    fn target(address: &str, port: u16, jump: Option<&str>) -> SshTarget {
        let jump = jump.map(|jump| Box::new(target(jump, 22, None)));
        let timeouts = Timeouts::default();
        SshTarget { address: address.to_owned(), port, user: "u".to_owned(), auth: Vec::new(), host_key: None, jump, timeouts }
    }

    fn ssh(address: &str, port: u16, jump: Option<&str>) -> Reach {
        Reach::Ssh { target: target(address, port, jump), sudo: Sudo::Never }
    }

    #[test]
    fn who_may_come_in_by_ssh() {
        let (flows, _) = resolved(
            "  - {to: a, port: 22/tcp, from: [operators], why: x}\n\
             \x20 - {to: b, port: 2222/tcp, from: [10.7.0.0/24], why: x}\n\
             \x20 - {to: c, port: 22/tcp, from: [operators], published: true, why: x}\n",
        );
        let a = Ipv4Addr::new(10, 0, 0, 1);
        assert_eq!(flows.lets_in(0, a, &ssh("10.0.0.1", 22, None)), Ok(()));
        assert_eq!(flows.lets_in(0, a, &ssh("127.0.0.1", 2200, None)), Ok(()), "a forwarded port");
        assert_eq!(flows.lets_in(0, a, &ssh("10.0.0.1", 2200, None)), Err(2200));
        assert_eq!(flows.lets_in(0, a, &ssh("10.0.0.1", 22, Some("10.7.0.5"))), Err(22), "the jump host is no operator");
        let b = Ipv4Addr::new(10, 0, 0, 2);
        assert_eq!(flows.lets_in(1, b, &ssh("10.0.0.2", 2222, None)), Err(2222), "a network that is not the operators'");
        assert_eq!(flows.lets_in(1, b, &ssh("10.0.0.2", 2222, Some("10.7.0.5"))), Ok(()));
        assert_eq!(flows.lets_in(2, Ipv4Addr::new(10, 0, 0, 3), &ssh("10.0.0.3", 22, None)), Err(22), "a published port is a container's");
        assert_eq!(flows.lets_in(2, a, &Reach::Program(Vec::new())), Ok(()));
    }
}
