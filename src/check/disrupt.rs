//! The interruptions that a firewall must survive, and the proof that they really happened.

use std::collections::BTreeSet;
use std::time::Duration;

use super::run::{Framed, Frames, names, on_all, said_by};
use super::{Outcome, Reach, Verdict};

/// An interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disruption {
    /// `firewall-cmd --reload`
    Reload,
    /// `systemctl restart docker`
    DockerRestart,
}

impl Disruption {
    /// Suffix for titles.
    pub fn when(self) -> &'static str {
        match self {
            Disruption::Reload => ", after a reload of the firewall",
            Disruption::DockerRestart => ", after a restart of Docker",
        }
    }

    /// Does it on all `hosts` at once. The outcomes say of each whether it happened.
    pub fn run(self, reach: &dyn Reach, hosts: &[String]) -> Vec<Outcome> {
        let results = on_all(hosts, |host| match self {
            Disruption::Reload => reload(reach, host),
            Disruption::DockerRestart => restart(reach, host),
        });
        let title = match self {
            Disruption::Reload => "the reload of the firewall really happened",
            Disruption::DockerRestart => "the restart of Docker really happened and containers kept running",
        };
        let (mut good, mut out) = (Vec::new(), Vec::new());
        for (host, result) in hosts.iter().zip(&results) {
            match result {
                Ok(seen) => good.push((host.as_str(), seen.as_str())),
                Err(why) => out.push(Outcome::control(format!("{title} on {host}"), Verdict::Failed(why.clone()))),
            }
        }
        if !good.is_empty() {
            let done = names(good.iter().map(|(host, _)| host));
            out.push(Outcome::control(format!("{title} on {done}"), Verdict::Passed(said_by(&good))));
        }
        out
    }
}

/// Puts in a rule that lives at runtime only and harms nobody: it drops an address that is reserved for documentation (RFC 5737).
/// The daemon removes it by itself after ten minutes, so nothing is left whatever happens here.
///
/// Whether it is there is asked of the kernel: that is what counts. dbus-send does what firewall-cmd does, without its third of a
/// second of Python; only the reload itself is the command that people use.
const MARKER: &str = "rule() {
  timeout 60 dbus-send --system --print-reply=literal --reply-timeout=50000 --dest=org.fedoraproject.FirewallD1 \\
    /org/fedoraproject/FirewallD1 \"org.fedoraproject.FirewallD1.zone.$1RichRule\" string:'' \\
    'string:rule family=\"ipv4\" source address=\"192.0.2.213/32\" drop' ${2:+\"$2\"} 2>&1
}
# One that an interrupted check left would be refused as known, and end at its own time.
rule remove '' >/dev/null
rule add int32:600 || exit
timeout 60 iptables-save -t filter | grep -e '-s 192[.]0[.]2[.]213'";

fn reload_script() -> Framed {
    Framed::new()
        .step("marker", MARKER, false)
        // It fails when the daemon comes back in any other state than running.
        .step("reload", "timeout 120 firewall-cmd --reload", false)
        .step("rules", "timeout 60 iptables-save -t filter", false)
}

fn reload(reach: &dyn Reach, host: &str) -> Result<String, String> {
    let frames = reload_script()
        .run(reach, host, Vec::new(), Duration::from_secs(330))
        .map_err(|why| format!("{host}: {why}; see `systemctl status firewalld` there"))?;
    (|| {
        frames.good("marker").map_err(|why| format!("a runtime-only rule could not be put into the kernel: {why}"))?;
        frames.good("reload")?;
        let rules = frames.good("rules")?;
        if !rules.contains("-A INPUT") {
            return Err("after the reload the kernel has no rules for INPUT".to_owned());
        }
        match rules.contains("192.0.2.213") {
            true => Err("a runtime-only rule is still there after the reload, so nothing was reloaded".to_owned()),
            false => Ok("a runtime-only rule was gone after it".to_owned()),
        }
    })()
    .map_err(|why: String| format!("{host}: {why}; see `systemctl status firewalld` there"))
}

/// The daemon's process, then each running container with its process.
const DOCKER_STATE: &str = "systemctl show -p MainPID docker && ids=$(timeout 60 docker ps -q --no-trunc) || exit 1
# shellcheck disable=SC2086 # a list of identifiers
[ -z \"$ids\" ] || timeout 60 docker inspect --format 'container {{.Name}} {{.State.Pid}}' $ids";

fn restart_script() -> Framed {
    Framed::new()
        .step("before", DOCKER_STATE, false)
        // docker.service allows three starts a minute; an operator's bootstrap may have used them.
        .step("restart", "systemctl reset-failed docker 2>/dev/null || true\ntimeout 180 systemctl restart docker", false)
        .step("answers", "n=0\nuntil timeout 20 docker info >/dev/null 2>&1; do\n  n=$((n + 1))\n  [ \"$n\" -lt 300 ] || { echo 'docker does not answer'; exit 1; }\n  sleep 0.2\ndone", false)
        .step("after", DOCKER_STATE, false)
}

fn restart(reach: &dyn Reach, host: &str) -> Result<String, String> {
    let frames = restart_script()
        .run(reach, host, Vec::new(), Duration::from_secs(420))
        .map_err(|why| format!("{host}: {why}; see `journalctl -u docker` there"))?;
    compare(&frames).map_err(|why| format!("{host}: {why}; see `journalctl -u docker` there"))
}

fn compare(frames: &Frames) -> Result<String, String> {
    let before = frames.good("before")?;
    frames.good("restart")?;
    frames.good("answers")?;
    let after = frames.good("after")?;
    let pid = |text: &str| text.lines().find_map(|line| line.strip_prefix("MainPID=").map(str::to_owned)).filter(|pid| pid != "0");
    match (pid(&before), pid(&after)) {
        (Some(old), Some(new)) if old != new => {}
        (old, new) => {
            return Err(format!("Docker's process did not change ({old:?} before, {new:?} after)"));
        }
    }
    let containers = |text: &str| text.lines().filter(|line| line.starts_with("container ")).map(str::to_owned).collect::<BTreeSet<_>>();
    let (old, new) = (containers(&before), containers(&after));
    let lost: Vec<&str> = old.iter().filter(|line| !new.contains(*line)).filter_map(|line| line.split(' ').nth(1)).collect();
    match lost.is_empty() {
        true => Ok(format!("a new daemon process, {} containers kept running", old.len())),
        false => Err(format!("containers did not live through it: {} (is live-restore set in daemon.json?)", lost.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Scripted, framed, shellcheck};

    fn docker(before: &'static str, after: &'static str) -> Result<String, String> {
        let reach = Scripted::new(move |_, script, _| {
            Ok(framed(script, &[("before", before, 0), ("restart", "", 0), ("answers", "", 0), ("after", after, 0)]))
        });
        restart(&reach, "app")
    }

    #[test]
    fn a_restart_shows_a_new_process_and_the_old_containers() {
        let good = docker("MainPID=10\ncontainer /web 77\n", "MainPID=20\ncontainer /web 77\ncontainer /x 99\n");
        assert_eq!(good, Ok("a new daemon process, 1 containers kept running".into()));
        assert!(docker("MainPID=10\n", "MainPID=10\n").unwrap_err().contains("did not change"));
        assert!(docker("MainPID=10\n", "MainPID=0\n").unwrap_err().contains("did not change"));
        assert!(docker("MainPID=10\ncontainer /web 77\n", "MainPID=20\ncontainer /web 78\n").unwrap_err().contains("/web"));
    }

    #[test]
    fn a_reload_that_did_nothing_is_noticed() {
        let answer = |rules| {
            Scripted::new(move |_, script, _| {
                Ok(framed(
                    script,
                    &[
                        ("marker", "success\n-A IN_public_deny -s 192.0.2.213/32 -j DROP\n", 0),
                        ("reload", "success\n", 0),
                        ("rules", rules, 0),
                    ],
                ))
            })
        };
        let hosts = ["deploy".to_owned(), "app".to_owned()];
        let out = Disruption::Reload.run(&answer("-A INPUT -j INPUT_ZONES\n"), &hosts);
        assert!(out.len() == 1 && out[0].control, "{out:?}");
        assert_eq!(out[0].verdict, Verdict::Passed("a runtime-only rule was gone after it".into()));
        assert_eq!(out[0].title, "the reload of the firewall really happened on deploy, app");
        assert!(matches!(&Disruption::Reload.run(&answer(""), &hosts)[1].verdict, Verdict::Failed(why) if why.contains("no rules")));
        let out = Disruption::Reload.run(&answer("-A INPUT -j INPUT_ZONES\n-A IN_public_deny -s 192.0.2.213/32 -j DROP\n"), &hosts);
        assert!(out.len() == 2 && out.iter().all(|o| matches!(o.verdict, Verdict::Failed(_))));
        assert!(matches!(&out[0].verdict, Verdict::Failed(why) if why.contains("nothing was reloaded")));
        let dead = Scripted::new(|_, script, _| Ok(framed(script, &[("marker", "FirewallD is not running\n", 252)])));
        assert!(reload(&dead, "app").unwrap_err().contains("FirewallD is not running"));
        let away = Scripted::new(|_, _, _| Err("connection refused".into()));
        assert!(reload(&away, "app").is_err() && restart(&away, "app").is_err());
    }

    #[test]
    fn the_scripts_are_clean() {
        shellcheck(&reload_script().text());
        shellcheck(&restart_script().text());
    }
}
