//! A zone's content, wherever it was read: the listing, an XML file, a spec.

use std::collections::BTreeSet;

use super::{Allow, Source};

/// One thing that a zone allows or does. Ordered, so that plans are stable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// A named service.
    Service(String),
    /// `5000/tcp`
    Port(String),
    /// An IP protocol.
    Protocol(String),
    /// `port=80:proto=tcp:toport=8080:toaddr=`
    ForwardPort(String),
    /// `53/udp`
    SourcePort(String),
    /// An ICMP type.
    IcmpBlock(String),
    /// Only the listed ICMP types are let in.
    IcmpInversion,
    /// Source addresses of forwarded packets are replaced.
    Masquerade,
    /// Forwarding between interfaces of the zone (firewalld 0.9 and later).
    Forward,
    /// A rich rule in firewalld's own print form.
    Rich(String),
    /// A setting of a later firewalld that this program does not know.
    Other(String, String),
}

impl std::fmt::Display for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Item::Service(name) => write!(f, "service {name}"),
            Item::Port(port) => write!(f, "port {port}"),
            Item::Protocol(name) => write!(f, "protocol {name}"),
            Item::ForwardPort(port) => write!(f, "forward port {port}"),
            Item::SourcePort(port) => write!(f, "source port {port}"),
            Item::IcmpBlock(name) => write!(f, "icmp block {name}"),
            Item::IcmpInversion => f.write_str("icmp block inversion"),
            Item::Masquerade => f.write_str("masquerading"),
            Item::Forward => f.write_str("forwarding inside the zone"),
            Item::Rich(rule) => f.write_str(rule),
            Item::Other(key, value) => write!(f, "{key}: {value}"),
        }
    }
}

impl Item {
    /// What an allowed flow is in a zone: a plain port for everybody, a rich rule for one network.
    pub fn of(allow: &Allow) -> Self {
        match &allow.source {
            Source::Any => Item::Port(format!("{}/{}", allow.port, allow.protocol)),
            net @ Source::Net(..) => Item::Rich(format!(
                r#"rule family="ipv4" source address="{net}" port port="{}" protocol="{}" accept"#,
                allow.port, allow.protocol
            )),
        }
    }

    /// Options of `firewall-cmd` that add and remove it at runtime; `None` when only a reload can.
    pub fn options(&self) -> Option<(String, String)> {
        let (name, value) = match self {
            Item::Service(v) => ("service", v),
            Item::Port(v) => ("port", v),
            Item::Protocol(v) => ("protocol", v),
            Item::ForwardPort(v) => ("forward-port", v),
            Item::SourcePort(v) => ("source-port", v),
            Item::IcmpBlock(v) => ("icmp-block", v),
            Item::Rich(v) => ("rich-rule", v),
            Item::IcmpInversion => return Some(("--add-icmp-block-inversion".into(), "--remove-icmp-block-inversion".into())),
            Item::Masquerade => return Some(("--add-masquerade".into(), "--remove-masquerade".into())),
            Item::Forward => return Some(("--add-forward".into(), "--remove-forward".into())),
            Item::Other(..) => return None,
        };
        Some((format!("--add-{name}={value}"), format!("--remove-{name}={value}")))
    }
}

/// A zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zone {
    /// `public`
    pub name: String,
    /// `default`, `ACCEPT`, `DROP`, `%%REJECT%%`.
    pub target: String,
    /// Interfaces bound to it.
    pub interfaces: BTreeSet<String>,
    /// Source networks bound to it.
    pub sources: BTreeSet<String>,
    /// What it allows or does.
    pub items: BTreeSet<Item>,
}

impl Zone {
    /// An empty zone.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), target: "default".to_owned(), ..Self::default() }
    }
}
