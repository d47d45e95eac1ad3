//! What a host does with packets for published ports.

use super::chains::{gone, published};
use crate::resource::firewalld::{Rules, Sections, read_direct};

/// The policy on disk and in the kernel.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Whether firewalld is installed.
    pub installed: bool,
    /// Whether firewalld runs.
    pub running: bool,
    /// Interfaces with a global IPv4 address, without Docker's and the loopback.
    pub interfaces: Vec<String>,
    /// Whether direct.xml declares the chain.
    pub chain_on_disk: bool,
    /// Priority and rule of direct.xml, in the order in which firewalld adds them. `Err` = the file cannot be read.
    pub disk: Result<Vec<(i32, String)>, String>,
    /// Whether the chain is in the kernel.
    pub enforced: bool,
    /// Its rules, without the RETURN that Docker appends.
    pub live: Vec<String>,
    /// Priority and rule of the guard in direct.xml (mangle FORWARD).
    pub guard_disk: Vec<(i32, String)>,
    /// The guard's rules in the kernel.
    pub guard_live: Vec<String>,
    /// What of Docker's own rules is missing while it runs.
    pub gone: Vec<String>,
}

/// Looks, without firewall-cmd (which is slow): files and the kernel say it all. Right after its start firewalld
/// answers before its rules are in the kernel, and after a reload Docker puts its own back one by one: both is waited for.
pub const FRAGMENT: &str = "\
if command -v firewall-cmd >/dev/null 2>&1; then echo '@ installed yes'; else echo '@ installed no'; fi
if [ -f /etc/firewalld/direct.xml ]; then
  echo '@ file /etc/firewalld/direct.xml'
  sed 's/^/|/' /etc/firewalld/direct.xml
fi
if systemctl is-active --quiet firewalld; then
  echo '@ running yes'
  if [ -f /etc/firewalld/direct.xml ] && grep -q DOCKER-USER /etc/firewalld/direct.xml; then
    poclab_i=0
    until iptables -w -S DOCKER-USER 2>/dev/null | grep -q -e '-j DROP' || [ \"$poclab_i\" -ge 15 ]; do
      poclab_i=$((poclab_i + 1))
      sleep 0.2
    done
  fi
fi
if systemctl is-active --quiet docker; then
  poclab_out=$(timeout 20 docker ps --format '{{.Ports}}' 2>&1)
  printf '@ docker %s\\n' \"$?\"
  printf '%s\\n' \"$poclab_out\" | sed 's/^/|/'
  poclab_ports=$(printf '%s\\n' \"$poclab_out\" | tr ',' '\\n' | grep -c '^ *[0-9][0-9.]*:.*->')
  poclab_i=0
  until [ \"$(iptables -w -t nat -S DOCKER 2>/dev/null | grep -c -e ' DNAT ')\" -ge \"$poclab_ports\" ] || [ \"$poclab_i\" -ge 25 ]; do
    poclab_i=$((poclab_i + 1))
    sleep 0.2
  done
fi
poclab_out=$(ip -4 -o addr show scope global 2>&1)
printf '@ addresses %s\\n' \"$?\"
printf '%s\\n' \"$poclab_out\" | sed 's/^/|/'
if command -v iptables >/dev/null 2>&1; then
  poclab_out=$(iptables -w -S 2>&1)
  printf '@ rules %s\\n' \"$?\"
  printf '%s\\n' \"$poclab_out\" | sed 's/^/|/'
  poclab_out=$(iptables -w -t mangle -S 2>&1)
  printf '@ mangle %s\\n' \"$?\"
  printf '%s\\n' \"$poclab_out\" | sed 's/^/|/'
  poclab_out=$(iptables -w -t nat -S 2>&1)
  printf '@ nat %s\\n' \"$?\"
  printf '%s\\n' \"$poclab_out\" | sed 's/^/|/'
fi
";

impl Observed {
    /// Reads the fragment's output. `Err` = could not look.
    pub fn read(text: &str) -> Result<Self, String> {
        let sections = Sections::read(text);
        let addresses = sections.content("addresses").unwrap_or_default();
        match sections.value("addresses") {
            Some("0") => {}
            Some(status) => {
                return Err(format!("ip addr ended with exit status {status}: {}", addresses.lines().last().unwrap_or("nothing")));
            }
            None => return Err("the observation ended early".to_owned()),
        }
        // What a command of the fragment printed; `None` when there is no such program.
        let said = |section: &str, command: &str| match sections.value(section) {
            Some("0") => Ok(sections.content(section)),
            Some(status) => {
                let said = sections.content(section).unwrap_or_default();
                Err(format!("{command} ended with exit status {status}: {}", said.lines().last().unwrap_or("nothing")))
            }
            None => Ok(None),
        };
        let table = |section: &str, command: &str| said(section, command).map(|text| Rules::read(&text.unwrap_or_default()));
        let (rules, mangle) = (table("rules", "iptables -S")?, table("mangle", "iptables -t mangle -S")?);
        let gone = match said("docker", "docker ps")? {
            Some(ports) => gone(&rules, &table("nat", "iptables -t nat -S")?, &published(&ports)),
            None => Vec::new(),
        };
        let direct = sections.file("/etc/firewalld/direct.xml").map_or_else(|| Ok(Vec::new()), |text| read_direct(&text));
        let ours = |tag: &'static str| direct.iter().flatten().filter(move |entry| entry.is_docker_user() && entry.tag == tag);
        let mut disk: Vec<(i32, String)> = ours("rule").map(|entry| (entry.priority, entry.args.clone())).collect();
        disk.sort_by_key(|(priority, _)| *priority);
        let guard = direct.iter().flatten().filter(|entry| entry.is_docker_guard());
        let mut guard_disk: Vec<(i32, String)> = guard.map(|entry| (entry.priority, entry.args.clone())).collect();
        guard_disk.sort_by_key(|(priority, _)| *priority);
        let mut live: Vec<String> = rules.of("DOCKER-USER").map(str::to_owned).collect();
        if live.last().is_some_and(|rule| rule == "-j RETURN") {
            live.pop();
        }
        // Rules that nothing leads to guard nothing.
        let guarded = mangle.of("FORWARD").any(|rule| rule == "-j FORWARD_direct");
        let guard_live = if guarded { mangle.of("FORWARD_direct").map(str::to_owned).collect() } else { Vec::new() };
        Ok(Self {
            installed: sections.value("installed") == Some("yes"),
            running: sections.value("running") == Some("yes"),
            interfaces: interfaces(&addresses),
            chain_on_disk: ours("chain").next().is_some(),
            disk: direct.clone().map(|_| disk),
            enforced: rules.has("DOCKER-USER"),
            live,
            guard_disk,
            guard_live,
            gone,
        })
    }
}

/// Names in `ip -4 -o addr show scope global` (`2: eth0@if7    inet …`), each once.
fn interfaces(text: &str) -> Vec<String> {
    let dockers = |name: &str| name == "lo" || ["docker", "br-", "veth"].iter().any(|prefix| name.starts_with(prefix));
    let mut names: Vec<String> = Vec::new();
    for line in text.lines() {
        let Some(name) = line.split_whitespace().nth(1) else { continue };
        let name = name.split('@').next().unwrap_or(name);
        if !dockers(name) && !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    names
}
