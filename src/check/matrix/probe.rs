//! The script that one source host runs, and what it printed.
//!
//! Probes use bash's /dev/tcp because it is on every EL7 and Debian host; nothing is installed for a check.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use crate::check::Tcp;

/// How long one probe waits for an answer, in seconds: long enough for a second SYN, which is sent after one.
pub const WAIT: u64 = 2;
/// How many probes run at once on one source. Each costs its host some 4 ms of one processor.
pub const AT_ONCE: usize = 64;

/// What one source host saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// By address and port, loopback included. Errors: the probe itself did not work.
    pub met: BTreeMap<(Ipv4Addr, u16), Result<Tcp, String>>,
    /// The host's own IPv4 addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// Neighbours on the same network: whether they answered the last question for their address (ARP).
    pub neighbours: BTreeMap<Ipv4Addr, bool>,
    /// By port: whether a running container publishes it. Errors: Docker could not be asked.
    pub published: BTreeMap<u16, Result<bool, String>>,
}

/// The script: all probes of one source, and which of `published` ports containers publish on it now.
pub fn script(probes: &[(Ipv4Addr, u16)], published: &[u16]) -> String {
    let mut s = String::from(
        "LC_ALL=C; export LC_ALL
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH
for tool in bash timeout xargs ip awk; do
  command -v \"$tool\" >/dev/null 2>&1 || { echo \"the probe needs $tool, which this host lacks\" >&2; exit 69; }
done
ip -4 -o addr show </dev/null | awk '{ sub(/\\/.*/, \"\", $4); print \"address\", $4 }'
",
    );
    // Old answers to ARP are forgotten first: an entry that is complete afterwards was answered now.
    let targets: BTreeSet<Ipv4Addr> = probes.iter().map(|probe| probe.0).filter(|address| !address.is_loopback()).collect();
    for target in targets {
        let _ = writeln!(s, "ip -4 neigh flush to {target} >/dev/null 2>&1 </dev/null || true");
    }
    // One line per probe in one write, so that probes that run at once do not tear each other's lines.
    let _ = writeln!(
        s,
        "# shellcheck disable=SC2016 # expanded by the inner bash
xargs -P {AT_ONCE} -n 2 bash -c '
  said=$(timeout {WAIT} bash -c \"exec 3<>/dev/tcp/$0/$1\" 2>&1 </dev/null); status=$?
  printf \"probe %s %s %s %s\\n\" \"$0\" \"$1\" \"$status\" \"${{said//[^[:print:]]/ }}\"
' <<'POCLAB_PROBES'"
    );
    for (address, port) in probes {
        let _ = writeln!(s, "{address} {port}");
    }
    s.push_str("POCLAB_PROBES\n");
    s.push_str("awk 'NR > 1 { print \"neighbour\", $1, $3 }' /proc/net/arp\n");
    for port in published {
        let _ = writeln!(
            s,
            "if ! command -v docker >/dev/null 2>&1; then echo 'published {port} no'
elif said=$(timeout 20 docker ps --filter publish={port}/tcp --format '{{{{.ID}}}}' 2>&1 </dev/null); then
  if [ -n \"$said\" ]; then echo 'published {port} yes'; else echo 'published {port} no'; fi
else printf 'published {port} error %s\\n' \"$(printf %s \"$said\" | tr '\\n' ' ')\"; fi"
        );
    }
    s.push_str("echo 'end of probes'\n");
    s
}

/// Reads the script's output. An output without its last line is incomplete and an error.
pub fn parse(text: &str) -> Result<Seen, String> {
    if text.lines().last() != Some("end of probes") {
        return Err("the probes did not come to their end".into());
    }
    let mut seen = Seen::default();
    for line in text.lines() {
        let mut words = line.splitn(5, ' ');
        let (word, first, second) = (words.next(), words.next(), words.next());
        match (word, first.and_then(|w| w.parse::<Ipv4Addr>().ok())) {
            (Some("probe"), Some(address)) => {
                let port = second.and_then(|w| w.parse().ok()).ok_or_else(|| format!("unreadable line: {line}"))?;
                let status = words.next().and_then(|w| w.parse().ok()).ok_or_else(|| format!("unreadable line: {line}"))?;
                seen.met.insert((address, port), classify(status, words.next().unwrap_or_default()));
            }
            (Some("address"), Some(address)) => seen.addresses.push(address),
            // Flag 2: the entry is complete, the neighbour has answered. (/proc/net/arp, proc(5))
            (Some("neighbour"), Some(address)) => {
                let flags = second.and_then(|w| u32::from_str_radix(w.trim_start_matches("0x"), 16).ok()).unwrap_or(0);
                seen.neighbours.insert(address, flags & 2 != 0);
            }
            (Some("published"), None) => {
                let port = first.and_then(|w| w.parse().ok()).ok_or_else(|| format!("unreadable line: {line}"))?;
                let rest: Vec<&str> = words.collect();
                let answer = match second {
                    Some("yes") => Ok(true),
                    Some("no") => Ok(false),
                    _ => Err(rest.join(" ").trim().to_owned()),
                };
                seen.published.insert(port, answer);
            }
            _ => {}
        }
    }
    Ok(seen)
}

/// What a probe's exit status and words mean. A missing route or a local prohibition says nothing about the target's firewall.
fn classify(status: i32, said: &str) -> Result<Tcp, String> {
    match status {
        0 => Ok(Tcp::Open),
        124 => Ok(Tcp::Dropped),
        _ if said.contains("Connection refused") => Ok(Tcp::Refused),
        _ if said.contains("No route to host") => Ok(Tcp::Rejected),
        _ if said.contains("Connection timed out") => Ok(Tcp::Dropped),
        _ => {
            // bash says it twice, the second time with the address; the last words are the reason.
            let reason = said.rsplit(": ").next().unwrap_or_default().trim();
            Err(format!("the probe failed by itself (exit status {status}): {reason}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{sh, shellcheck};

    /// bash 4.2 (EL7) and 5.2 (Debian 12) texts.
    const RECORDED: &str = "\
address 127.0.0.1
address 10.9.0.11
probe 127.0.0.1 22 0 
probe 127.0.0.1 47113 1 bash: connect: Connection refused bash: /dev/tcp/127.0.0.1/47113: Connection refused
probe 10.9.0.12 80 1 bash: connect: No route to host bash: line 1: /dev/tcp/10.9.0.12/80: No route to host
probe 10.9.0.12 81 124 
probe 10.9.0.13 80 1 bash: connect: Network is unreachable bash: /dev/tcp/10.9.0.13/80: Network is unreachable
neighbour 10.9.0.12 0x2
neighbour 10.9.0.13 0x0
published 80 yes
published 81 no
published 82 error Cannot connect to the Docker daemon
end of probes
";

    #[test]
    fn recorded_output() {
        let seen = parse(RECORDED).unwrap();
        let at = |address: &str, port| seen.met[&(address.parse().unwrap(), port)].clone();
        assert_eq!(at("127.0.0.1", 22), Ok(Tcp::Open));
        assert_eq!(at("127.0.0.1", 47113), Ok(Tcp::Refused));
        assert_eq!(at("10.9.0.12", 80), Ok(Tcp::Rejected));
        assert_eq!(at("10.9.0.12", 81), Ok(Tcp::Dropped));
        assert!(at("10.9.0.13", 80).unwrap_err().contains("Network is unreachable"));
        assert_eq!(seen.neighbours.values().copied().collect::<Vec<_>>(), [true, false]);
        assert_eq!(seen.published[&80], Ok(true));
        assert_eq!(seen.published[&81], Ok(false));
        assert_eq!(seen.published[&82], Err("Cannot connect to the Docker daemon".into()));
        assert_eq!(seen.addresses.len(), 2);
    }

    #[test]
    fn half_an_output_is_an_error() {
        let half = RECORDED.rsplit_once("published 82").unwrap().0;
        assert!(parse(half).is_err());
        assert!(parse("").is_err());
        assert!(classify(127, "bash: timeout: command not found").is_err());
    }

    #[test]
    fn a_real_shell_tells_open_from_refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap().port();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let home = Ipv4Addr::LOCALHOST;
        // More probes than run at once.
        let mut probes = vec![(home, open), (home, closed)];
        probes.extend((1..=78).map(|last| (Ipv4Addr::new(127, 0, 1, last), closed)));
        let script = script(&probes, &[80]);
        assert!(!script.contains("flush"));
        shellcheck(&script);
        for shell in [["sh", "-c"], ["bash", "-c"]] {
            let ran = sh(&shell, &script, b"");
            assert_eq!(ran.status, 0, "{}", ran.last_line());
            let seen = parse(&ran.text()).unwrap();
            assert_eq!(seen.met.len(), 80);
            assert_eq!(seen.met[&(home, open)], Ok(Tcp::Open));
            assert_eq!(seen.met.values().filter(|met| **met == Ok(Tcp::Refused)).count(), 79);
            assert!(seen.addresses.contains(&home));
        }
    }
}
