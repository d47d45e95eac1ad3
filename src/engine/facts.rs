//! What a host says about itself, read in the same exec as its resources.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::quote;
use crate::lab::{Host, Os};
use crate::resource::confirm;

use super::lock::{self, Record};

/// Folder on the host where restarts that are still to be made are written down.
pub const PENDING_DIR: &str = "/var/lib/poclab/pending";

/// The script on the host that removes what an exec which was killed has left; there only while an exec runs, and after a kill.
pub const UNFINISHED: &str = "/var/lib/poclab/unfinished";

/// The marker file of rehearsal hosts.
const REHEARSAL_MARKER: &str = "/etc/poclab-rehearsal";

/// Facts of one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// First line of /etc/centos-release, else PRETTY_NAME of /etc/os-release.
    pub system: String,
    /// `uname -r`
    pub kernel: String,
    /// Seconds since it was started: the age of its first process, which is that of a container, too.
    pub uptime: Option<u64>,
    /// Text of the rehearsal marker, if the host carries it.
    pub rehearsal: Option<String>,
    /// Names of the files in [`PENDING_DIR`].
    pub pending: BTreeSet<String>,
    /// The run that holds the host.
    pub lock: Option<Record>,
    /// Whether an exec was cut off and may have left temporary files.
    pub unfinished: bool,
    /// Changes that wait for their confirmation, or that the host has undone: names of their timers.
    pub unconfirmed: BTreeSet<String>,
}

/// The fragment that prints the facts, one `key=value` line each.
pub fn fragment() -> String {
    format!(
        r#"if [ -r /etc/centos-release ]; then IFS= read -r poclab_os </etc/centos-release
else poclab_os=$(sed -n 's/^PRETTY_NAME="\{{0,1\}}\([^"]*\)"\{{0,1\}}$/\1/p' /etc/os-release 2>/dev/null); fi
printf 'system=%s\n' "$poclab_os"
printf 'kernel=%s\n' "$(uname -r)"
if [ -r /proc/uptime ] && [ -r /proc/1/stat ]; then
  # Field 22: ticks (100 per second) from the machine's start to the process'; its name may hold blanks, so count from behind it.
  read -r poclab_up poclab_f </proc/uptime; read -r poclab_f </proc/1/stat
  set -f; set -- ${{poclab_f##*)}}; set +f
  printf 'uptime=%s\n' "$((${{poclab_up%%.*}} - ${{20}} / 100))"
fi
if [ -r {marker} ]; then printf 'rehearsal=%s\n' "$(head -n 1 {marker})"; fi
for poclab_f in {pending}/*; do [ -e "$poclab_f" ] && printf 'pending=%s\n' "${{poclab_f##*/}}"; done
for poclab_f in {unfinished} /var/lib/poclab/*.new; do [ -e "$poclab_f" ] && echo unfinished=yes; done
for poclab_f in {confirm}/*/revert.sh; do [ -e "$poclab_f" ] && poclab_f=${{poclab_f%/*}} && printf 'unconfirmed=%s\n' "${{poclab_f##*/}}"; done
{lock}exit 0"#,
        marker = quote(REHEARSAL_MARKER),
        pending = quote(PENDING_DIR),
        unfinished = quote(UNFINISHED),
        confirm = quote(confirm::FOLDER),
        lock = lock::look(),
    )
}

/// Reads what [`fragment`] printed.
pub fn parse(text: &str) -> Facts {
    let mut facts = Facts::default();
    let mut single: BTreeMap<&str, String> = BTreeMap::new();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        match key {
            "pending" => drop(facts.pending.insert(value.to_owned())),
            "unconfirmed" => drop(facts.unconfirmed.insert(value.to_owned())),
            _ => drop(single.insert(key, value.to_owned())),
        }
    }
    facts.lock = Record::parse(text);
    facts.unfinished = single.remove("unfinished").is_some();
    facts.system = single.remove("system").unwrap_or_default();
    facts.kernel = single.remove("kernel").unwrap_or_default();
    facts.uptime = single.remove("uptime").and_then(|seconds| seconds.parse().ok());
    facts.rehearsal = single.remove("rehearsal");
    facts
}

impl Facts {
    /// For people: system and kernel.
    pub fn describe(&self) -> String {
        format!("{}, kernel {}", self.system.trim(), self.kernel)
    }

    /// Whether the host is what the inventory says; otherwise why not and what to do.
    pub fn fits(&self, host: &Host) -> Result<(), String> {
        match (host.os, &self.rehearsal) {
            (Os::Rehearsal, None) => Err(format!(
                "the inventory calls this host a rehearsal host, but it has no {REHEARSAL_MARKER} ({}); use the inventory of the real lab (os: centos7)",
                self.system
            )),
            (Os::Centos7, Some(_)) => {
                Err("this is a rehearsal host, but the inventory says os: centos7; use inventory/rehearsal.yml".to_owned())
            }
            (Os::Centos7, None) if !(self.system.starts_with("CentOS Linux release 7")) => {
                Err(format!("expected CentOS Linux 7, found \"{}\"; poclab's roles are made for CentOS 7.6", self.system))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_centos_host() {
        let facts = parse("system=CentOS Linux release 7.6.1810 (Core) \nkernel=3.10.0-957.el7.x86_64\npending=docker--restart-docker\n");
        assert_eq!(facts.system, "CentOS Linux release 7.6.1810 (Core) ");
        assert!(facts.pending.contains("docker--restart-docker"));
        assert_eq!(facts.rehearsal, None);
    }

    #[test]
    fn the_fragment_runs_in_a_real_shell() {
        let out = std::process::Command::new("sh").arg("-c").arg(fragment()).output().unwrap();
        assert!(out.status.success());
        let facts = parse(&String::from_utf8_lossy(&out.stdout));
        assert!(!facts.system.is_empty() && !facts.kernel.is_empty());
        let machine: f64 = std::fs::read_to_string("/proc/uptime").unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(facts.uptime.is_some_and(|seconds| seconds > 0 && seconds as f64 <= machine), "{facts:?}");
    }
}
