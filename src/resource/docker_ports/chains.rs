//! Docker's own chains: without them published ports lead nowhere, or past the policy.

use crate::resource::firewalld::Rules;

/// A port that a running container publishes on an IPv4 address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// `tcp`, `udp` or `sctp`.
    protocol: String,
    /// On the host.
    outside: u16,
    /// In the container.
    inside: u16,
}

/// Reads `docker ps --format '{{.Ports}}'`: `0.0.0.0:80->8080/tcp, [::]:80->8080/tcp, 0.0.0.0:90-91->90-91/udp, 5000/tcp`.
pub fn published(text: &str) -> Vec<Published> {
    let mut all = Vec::new();
    for entry in text.split(['\n', ',']).map(str::trim) {
        let Some((from, to)) = entry.split_once("->") else { continue };
        let Some((address, outside)) = from.rsplit_once(':') else { continue };
        let Some((inside, protocol)) = to.split_once('/') else { continue };
        if address.contains(':') {
            // IPv6 has tables of its own, which this policy does not speak about.
            continue;
        }
        for (outside, inside) in range(outside).zip(range(inside)) {
            let port = Published { protocol: protocol.to_owned(), outside, inside };
            if !all.contains(&port) {
                all.push(port);
            }
        }
    }
    all
}

/// `80` or `80-82`.
fn range(text: &str) -> std::ops::RangeInclusive<u16> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) => first..=last,
        // Empty: what cannot be read names no port.
        _ => std::ops::RangeInclusive::new(1, 0),
    }
}

/// What of Docker's rules the kernel lacks (Docker 20.10 to 26.1).
///
/// The place of the jump to DOCKER-USER is Docker's business: 20.10 may leave it behind rules that accept after a reload of
/// firewalld, or after a restart with containers that kept running (seen); the guard holds all the same.
pub fn gone(filter: &Rules, nat: &Rules, published: &[Published]) -> Vec<String> {
    let mut gone = Vec::new();
    let mut need = |there: bool, what: String| {
        if !there {
            gone.push(what);
        }
    };
    for chain in ["DOCKER-USER", "DOCKER-ISOLATION-STAGE-1"] {
        need(filter.of("FORWARD").any(|rule| rule == format!("-j {chain}")), format!("the jump from FORWARD to {chain}"));
    }
    need(filter.of("FORWARD").any(|rule| rule.ends_with(" -j DOCKER")), "the jump from FORWARD to DOCKER".to_owned());
    need(filter.has("DOCKER"), "the chain DOCKER".to_owned());
    for chain in ["DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2"] {
        need(filter.of(chain).any(|rule| rule == "-j RETURN"), format!("the rules of {chain}"));
    }
    need(nat.has("DOCKER"), "the chain DOCKER in nat".to_owned());
    for chain in ["PREROUTING", "OUTPUT"] {
        need(nat.of(chain).any(|rule| rule.ends_with(" -j DOCKER")), format!("the jump from {chain} to DOCKER in nat"));
    }
    for port in published {
        let Published { protocol, outside, inside } = port;
        let led = |rule: &str| rule.contains(&format!("-p {protocol} ")) && rule.contains(&format!("--dport {outside} -j DNAT"));
        need(nat.of("DOCKER").any(led), format!("the way of port {outside}/{protocol} to its container"));
        let let_in = |rule: &str| rule.contains(&format!("-p {protocol} ")) && rule.contains(&format!("--dport {inside} -j ACCEPT"));
        need(filter.of("DOCKER").any(let_in), format!("the permission for port {outside}/{protocol} in DOCKER"));
    }
    gone
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Recorded on a rehearsal host: Docker 20.10.24, one container with `-p 80:8080 -p 9999:8080`.
    const FILTER: &str = "\
-N DOCKER
-N DOCKER-ISOLATION-STAGE-1
-N DOCKER-ISOLATION-STAGE-2
-N DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A FORWARD -j DOCKER-USER
-A DOCKER -d 10.201.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 8080 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
";
    pub const NAT: &str = "\
-N DOCKER
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 9999 -j DNAT --to-destination 10.201.0.2:8080
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.201.0.2:8080
";
    const PORTS: &str = "0.0.0.0:80->8080/tcp, 0.0.0.0:9999->8080/tcp\n\n5000/tcp\n";

    fn missing(filter: &str, nat: &str) -> Vec<String> {
        gone(&Rules::read(filter), &Rules::read(nat), &published(PORTS))
    }

    #[test]
    fn nothing_is_missed_where_all_is_there() {
        assert_eq!(missing(FILTER, NAT), [""; 0]);
    }

    #[test]
    fn each_missing_line_is_noticed() {
        // Lines that packets of the policy need; the accepting ones of FORWARD are Docker's own convenience.
        let convenience = |line: &str| line.contains("FORWARD") && line.ends_with("ACCEPT");
        let by_hand = |line: &str| line.starts_with("-N DOCKER-") || line.contains(" -i docker0") || line.contains("-o docker0 -j DROP");
        for line in FILTER.lines().filter(|line| !convenience(line) && !by_hand(line)) {
            assert_ne!(missing(&FILTER.replace(&format!("{line}\n"), ""), NAT), [""; 0], "{line}");
        }
        for line in NAT.lines().filter(|line| *line != "-A DOCKER -i docker0 -j RETURN") {
            assert_ne!(missing(FILTER, &NAT.replace(&format!("{line}\n"), "")), [""; 0], "{line}");
        }
        assert_eq!(missing(FILTER, &NAT.replace("--dport 80 ", "--dport 8 ")), ["the way of port 80/tcp to its container"]);
    }

    #[test]
    fn ports_as_docker_ps_prints_them() {
        let port = |protocol: &str, outside, inside| Published { protocol: protocol.to_owned(), outside, inside };
        assert_eq!(published(PORTS), [port("tcp", 80, 8080), port("tcp", 9999, 8080)]);
        let text = "0.0.0.0:90-91->70-71/udp, :::90-91->70-71/udp, [::]:80->80/tcp, 10.0.0.1:443->8443/tcp, x->y, 1:99999->1/tcp";
        assert_eq!(published(text), [port("udp", 90, 70), port("udp", 91, 71), port("tcp", 443, 8443)]);
    }
}
