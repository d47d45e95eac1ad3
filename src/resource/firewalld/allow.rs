//! One allowed flow, as roles write it (`host.allow`, `host.published`).

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::Deserialize;

/// Who may reach which port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// An IPv4 network (`10.0.0.11/32`; an address alone means /32), or `any`.
    pub source: Source,
    /// 1–65535.
    pub port: u16,
    /// `tcp` (default) or `udp`.
    #[serde(default)]
    pub protocol: Protocol,
}

/// Transport protocol of an allowed flow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// Where connections may come from: `any`, or an IPv4 network in canonical form (host bits zero), as the kernel prints it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub enum Source {
    /// Anyone.
    Any,
    /// `address/prefix`.
    Net(Ipv4Addr, u8),
}

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "any" {
            return Ok(Source::Any);
        }
        let wrong = || format!("`{text}` is not an IPv4 network: write 10.0.0.11/32, 10.0.0.0/24 or any");
        let (address, prefix) = text.split_once('/').unwrap_or((&text, "32"));
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().ok().filter(|p| *p <= 32).ok_or_else(wrong)?;
        if prefix == 0 {
            return Ok(Source::Any);
        }
        Ok(Source::Net(Ipv4Addr::from(u32::from(address) & (u32::MAX << (32 - prefix))), prefix))
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Any => f.write_str("any"),
            Source::Net(address, prefix) => write!(f, "{address}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_become_canonical() {
        let read = |s: &str| Source::try_from(s.to_owned()).map(|s| s.to_string());
        assert_eq!(read("10.0.0.11"), Ok("10.0.0.11/32".into()));
        assert_eq!(read("10.0.0.11/24"), Ok("10.0.0.0/24".into()));
        assert_eq!(read("0.0.0.0/0"), Ok("any".into()));
        assert_eq!(read("any"), Ok("any".into()));
        for wrong in ["", "10.0.0", "10.0.0.1/33", "deploy", "fe80::1/64"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
