//! Networks and ports as written in the flow matrix.

use std::fmt;
use std::net::Ipv4Addr;

/// An IPv4 network; no bits set outside of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    /// First address.
    pub address: Ipv4Addr,
    /// 0 to 32.
    pub prefix: u8,
}

impl Network {
    /// One address only.
    pub fn host(address: Ipv4Addr) -> Self {
        Self { address, prefix: 32 }
    }

    /// Reads `10.0.0.0/8`, or an address alone (`/32`). The error says what is wrong and, maybe, what to write.
    pub fn parse(text: &str) -> Result<Self, (String, Option<String>)> {
        let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
        let parsed: Ipv4Addr = address.parse().map_err(|_| (format!("`{address}` is not an IPv4 address"), None))?;
        let length: u8 = prefix
            .parse()
            .ok()
            .filter(|length| *length <= 32)
            .ok_or((format!("`/{prefix}` is not a prefix length from /0 to /32"), None))?;
        let network = Self { address: Ipv4Addr::from(u32::from(parsed) & mask(length)), prefix: length };
        if network.address != parsed {
            return Err((
                format!("`{text}` has bits set outside of its network"),
                Some(format!("write `{network}` for the network, `{parsed}/32` for the address")),
            ));
        }
        Ok(network)
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == u32::from(self.address)
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A port of a protocol.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// 1 to 65535.
    pub number: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
}

impl Port {
    /// Reads `5000/tcp`.
    pub fn parse(text: &str) -> Result<Self, (String, Option<String>)> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, ""));
        let number = number.parse::<u16>().ok().filter(|number| *number > 0);
        match (number, protocol) {
            (Some(number), "tcp" | "udp") => Ok(Self { number, protocol: protocol.to_owned() }),
            (Some(number), "") => Err((format!("port `{text}` has no protocol"), Some(format!("write `{number}/tcp` or `{number}/udp`")))),
            (Some(_), _) => Err((format!("port `{text}`: the protocol must be tcp or udp"), None)),
            (None, _) => {
                Err((format!("`{text}` is not a port"), Some("write a number from 1 to 65535 and the protocol: `5000/tcp`".to_owned())))
            }
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn networks() {
        assert_eq!(Network::parse("10.0.0.1").unwrap().to_string(), "10.0.0.1/32");
        assert_eq!(Network::parse("0.0.0.0/0").unwrap().to_string(), "0.0.0.0/0");
        assert!(Network::parse("192.168.56.0/24").unwrap().contains("192.168.56.7".parse().unwrap()));
        assert_eq!(
            Network::parse("192.168.56.1/24").unwrap_err().1.unwrap(),
            "write `192.168.56.0/24` for the network, `192.168.56.1/32` for the address"
        );
        for wrong in ["10.0.0.300/8", "10.0.0.0/33", "x", "10.0.0.0/", "::1/128"] {
            assert!(Network::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ports() {
        assert_eq!(Port::parse("53/udp").unwrap(), Port { number: 53, protocol: "udp".into() });
        for wrong in ["53", "0/tcp", "70000/tcp", "5/sctp", "", "/tcp", "http/tcp"] {
            assert!(Port::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_network_or_not(text in "[0-9./a-f]{0,20}") {
            if let Ok(network) = Network::parse(&text) {
                prop_assert_eq!(Network::parse(&network.to_string()), Ok(network));
            }
            let _ = Port::parse(&text);
        }
    }
}
