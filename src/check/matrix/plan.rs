//! Who probes what, and what must come of it.

use std::collections::BTreeSet;

use crate::check::shapes::{Flow, Host, Protocol, contains};

/// The first choice for a port that no flow names; nothing is registered there.
const UNLISTED: u16 = 47113;

/// Where a probe starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Index of a host.
    Host(usize),
    /// The control machine (it stands for the operators).
    Control,
}

/// One TCP probe and its expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Where it starts.
    pub source: Source,
    /// Index of the host that is probed.
    pub target: usize,
    /// The port.
    pub port: u16,
    /// Whether the flows allow it.
    pub allowed: bool,
    /// Whether the port is a container's published one.
    pub published: bool,
}

/// The whole measurement.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The hosts: sources and targets.
    pub hosts: Vec<Host>,
    /// Every ordered pair of different hosts, and the control machine to every host, times every port.
    pub probes: Vec<Probe>,
    /// The port that no flow names.
    pub unlisted: u16,
    /// Another such port, that no check opens: the closed port of the loopback control.
    pub closed: u16,
    /// Where sshd listens on every host: the open port of the loopback control.
    pub ssh_port: u16,
    /// Flows over UDP, as `host:port`.
    pub udp: Vec<String>,
}

impl Plan {
    /// The name of a source, for people.
    pub fn source_name(&self, source: Source) -> &str {
        match source {
            Source::Host(index) => &self.hosts[index].name,
            Source::Control => "the control machine",
        }
    }

    /// `deploy -> registry:5000/tcp`
    pub fn label(&self, probe: &Probe) -> String {
        format!("{} -> {}:{}/tcp", self.source_name(probe.source), self.hosts[probe.target].name, probe.port)
    }

    /// The ports of a target that containers may publish.
    pub fn published_ports(&self, target: usize) -> Vec<u16> {
        let ports: BTreeSet<u16> = self.probes.iter().filter(|p| p.target == target && p.published).map(|p| p.port).collect();
        ports.into_iter().collect()
    }
}

/// Derives the measurement from the flow matrix. `operators`: networks that operators come from (a lab host inside one of them
/// may do what operators may).
pub fn plan(hosts: &[Host], flows: &[Flow], operators: &[String], unlisted: Option<u16>, ssh_port: u16) -> Result<Plan, String> {
    for network in operators.iter().chain(flows.iter().flat_map(|f| &f.from_networks)) {
        if contains(network, std::net::Ipv4Addr::LOCALHOST).is_none() {
            return Err(format!("`{network}` is not a network like 192.168.56.0/24; correct it in the inventory"));
        }
    }
    if let Some(flow) = flows.iter().find(|flow| !hosts.iter().any(|host| host.name == flow.to)) {
        return Err(format!("a flow goes to `{}`, which is not among the hosts of this check; give it all hosts of the lab", flow.to));
    }
    let tcp = || flows.iter().filter(|flow| flow.protocol == Protocol::Tcp);
    let listed: BTreeSet<u16> = tcp().map(|flow| flow.port).collect();
    let unlisted = match unlisted {
        Some(port) if listed.contains(&port) => {
            return Err(format!("unlisted_port {port} is named in the flow matrix; choose another"));
        }
        Some(port) => port,
        None => (1024..=UNLISTED).rev().find(|port| !listed.contains(port)).ok_or("every port is in the flow matrix")?,
    };
    let closed =
        (1024..=UNLISTED).rev().find(|port| !listed.contains(port) && *port != unlisted).ok_or("every port is in the flow matrix")?;
    let mut ports = listed;
    ports.insert(unlisted);

    let sources = (0..hosts.len()).map(Source::Host).chain([Source::Control]);
    let mut probes = Vec::new();
    for source in sources {
        for (target, host) in hosts.iter().enumerate().filter(|(index, _)| Source::Host(*index) != source) {
            for &port in &ports {
                let mut about = tcp().filter(|flow| flow.to == host.name && flow.port == port).peekable();
                let published = about.peek().is_some_and(|flow| flow.published);
                let allowed = about.any(|flow| allows(flow, source, hosts, operators));
                probes.push(Probe { source, target, port, allowed, published });
            }
        }
    }
    let udp = flows.iter().filter(|flow| flow.protocol == Protocol::Udp).map(|flow| format!("{}:{}", flow.to, flow.port)).collect();
    Ok(Plan { hosts: hosts.to_vec(), probes, unlisted, closed, ssh_port, udp })
}

fn allows(flow: &Flow, source: Source, hosts: &[Host], operators: &[String]) -> bool {
    if flow.from_any {
        return true;
    }
    match source {
        Source::Control => flow.from_operators,
        Source::Host(index) => {
            let host = &hosts[index];
            let within = |networks: &[String]| networks.iter().any(|network| contains(network, host.address) == Some(true));
            flow.from_hosts.contains(&host.name) || within(&flow.from_networks) || (flow.from_operators && within(operators))
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn lab() -> (Vec<Host>, Vec<Flow>) {
        let host = |name: &str, last: u8| serde_json::json!({"name": name, "address": format!("10.9.0.{last}"), "groups": ["all"]});
        let hosts = serde_json::json!([host("deploy", 11), host("app", 12), host("registry", 13)]);
        let ssh = |to: &str| serde_json::json!({"to": to, "port": 22, "protocol": "tcp", "from_operators": true});
        let flows = serde_json::json!([
            ssh("deploy"), ssh("app"), ssh("registry"),
            {"to": "registry", "port": 5000, "protocol": "tcp", "from_hosts": ["deploy", "app"], "from_operators": true},
            {"to": "app", "port": 80, "protocol": "tcp", "from_hosts": ["deploy"], "from_operators": true, "published": true},
            {"to": "deploy", "port": 123, "protocol": "udp", "from_hosts": ["app"]},
        ]);
        (serde_json::from_value(hosts).unwrap(), serde_json::from_value(flows).unwrap())
    }

    #[test]
    fn every_ordered_pair_times_every_port() {
        let (hosts, flows) = lab();
        let plan = plan(&hosts, &flows, &[], None, 22).unwrap();
        // ports 22, 80, 5000 and the unlisted one; 3 * 2 host pairs and 3 from the control machine
        assert_eq!(plan.probes.len(), (6 + 3) * 4);
        let allowed: Vec<String> = plan.probes.iter().filter(|p| p.allowed).map(|p| plan.label(p)).collect();
        assert_eq!(
            allowed,
            [
                "deploy -> app:80/tcp",
                "deploy -> registry:5000/tcp",
                "app -> registry:5000/tcp",
                "the control machine -> deploy:22/tcp",
                "the control machine -> app:22/tcp",
                "the control machine -> app:80/tcp",
                "the control machine -> registry:22/tcp",
                "the control machine -> registry:5000/tcp",
            ]
        );
        assert_eq!((plan.published_ports(1), plan.published_ports(0)), (vec![80], vec![]));
        assert_eq!(plan.udp, ["deploy:123"]);
    }

    #[test]
    fn a_host_inside_the_operators_network_may_what_operators_may() {
        let (hosts, flows) = lab();
        let plan = plan(&hosts, &flows, &["10.9.0.11/32".into()], None, 22).unwrap();
        assert!(plan.probes.iter().any(|p| p.source == Source::Host(0) && p.target == 1 && p.port == 22 && p.allowed));
        assert!(!plan.probes.iter().any(|p| p.source == Source::Host(1) && p.target == 0 && p.port == 22 && p.allowed));
    }

    #[test]
    fn wrong_input_is_refused() {
        let (hosts, flows) = lab();
        assert!(plan(&hosts, &flows, &["10.9.0".into()], None, 22).unwrap_err().contains("10.9.0"));
        assert!(plan(&hosts, &flows, &[], Some(80), 22).unwrap_err().contains("unlisted_port"));
        assert!(plan(&hosts[..1], &flows, &[], None, 22).unwrap_err().contains("app"));
    }
}
