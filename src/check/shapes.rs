//! What the checks' specs are given from the lab's variables: `{{ lab.hosts }}` and `{{ lab.flows }}`.
//!
//! Unknown fields are let through on purpose: these values come from poclab itself, not from a person's typing, and may grow.

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::base::Secret;

/// One of `{{ lab.hosts }}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Host {
    /// Name in the inventory.
    pub name: String,
    /// Full name. Default: empty.
    #[serde(default)]
    pub fqdn: String,
    /// Address in the lab.
    #[schemars(with = "String")]
    pub address: Ipv4Addr,
    /// Groups the host is in.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Whether it is a rehearsal host.
    #[serde(default)]
    pub rehearsal: bool,
}

/// Transport protocol of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP: measured.
    Tcp,
    /// UDP: nobody can tell an open UDP port from a dropped packet without speaking the service's own protocol.
    Udp,
}

/// One of `{{ lab.flows }}`: who may reach one port of one host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Flow {
    /// Name of the host that is reached.
    pub to: String,
    /// The port.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// Names of the hosts that may.
    #[serde(default)]
    pub from_hosts: Vec<String>,
    /// Networks (`10.0.0.0/24`) that may. Default: none.
    #[serde(default)]
    pub from_networks: Vec<String>,
    /// Whether operators (the control machine) may.
    #[serde(default)]
    pub from_operators: bool,
    /// Whether anybody may.
    #[serde(default)]
    pub from_any: bool,
    /// Whether the port is published by a container (then it is guarded by the DOCKER-USER policy, not by the zone).
    #[serde(default)]
    pub published: bool,
    /// Why the flow exists.
    #[serde(default)]
    pub why: String,
}

/// Whether an address is inside a network written as `a.b.c.d/n` or `a.b.c.d`; `None` when the text is no network.
pub fn contains(network: &str, address: Ipv4Addr) -> Option<bool> {
    let (base, bits) = network.split_once('/').unwrap_or((network, "32"));
    let (base, bits): (Ipv4Addr, u32) = (base.parse().ok()?, bits.parse().ok().filter(|b| *b <= 32)?);
    let mask = if bits == 0 { 0 } else { u32::MAX << (32 - bits) };
    Some(u32::from(base) & mask == u32::from(address) & mask)
}

/// Reads a [`Secret`] from a string.
pub(super) fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    String::deserialize(from).map(Secret::new)
}

/// The same where there may be none.
pub fn secret_if_any<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    Option::<String>::deserialize(from).map(|text| text.map(Secret::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_shapes_are_read() {
        let flows: Vec<Flow> = serde_json::from_value(serde_json::json!([{
            "to": "registry", "to_address": "10.9.0.13", "port": 5000, "protocol": "tcp", "from_hosts": ["deploy", "app"],
            "from_operators": true, "from_any": false, "published": false, "why": "push and pull"
        }]))
        .unwrap();
        assert_eq!((flows[0].port, flows[0].protocol, flows[0].from_hosts.len()), (5000, Protocol::Tcp, 2));
        let host: Host = serde_json::from_value(serde_json::json!({
            "name": "app", "fqdn": "app.lab.example", "address": "10.9.0.12", "groups": ["all"], "rehearsal": true, "later": 1
        }))
        .unwrap();
        assert!(host.rehearsal);
    }

    #[test]
    fn networks() {
        let at = |text: &str| text.parse().unwrap();
        assert_eq!(contains("10.0.0.0/8", at("10.9.0.1")), Some(true));
        assert_eq!(contains("10.9.0.1", at("10.9.0.2")), Some(false));
        assert_eq!(contains("0.0.0.0/0", at("1.2.3.4")), Some(true));
        assert_eq!(contains("10.0.0.0/33", at("10.9.0.1")), None);
        assert_eq!(contains("nonsense", at("10.9.0.1")), None);
    }
}
