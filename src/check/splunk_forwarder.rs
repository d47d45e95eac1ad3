//! The forwarders themselves: they run, may read what they have to send, and are connected to the indexer.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::run::{Framed, blind, names, on_all};
use super::{CheckKind, Outcome, Reach, Verdict};

/// Every forwarder runs, may read the containers' logs, and has a connection to the indexer. Whether anything arrives there is what
/// `splunk` asks, with searches.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Names of the hosts with a forwarder.
    pub hosts: Vec<String>,
    /// Where they send to: `registry.lab.example:9997`.
    pub indexer: String,
    /// How long a connection may take, in seconds. Default: 60.
    #[serde(default = "patience")]
    pub patience: u64,
}

fn patience() -> u64 {
    60
}

/// Whether the forwarder of a host runs and may read what belongs to root.
pub(super) fn state(reach: &dyn Reach, host: &str) -> Verdict {
    match asked().run(reach, host, Vec::new(), Duration::from_secs(60)) {
        Err(why) => blind(host, &why),
        Ok(frames) => {
            let text = |id: &str| frames.get(id).map(|frame| frame.text().trim().to_owned()).unwrap_or_default();
            judge(&text("active"), &text("process"), &text("log"))
        }
    }
}

fn asked() -> Framed {
    Framed::new()
        .ask("active", "systemctl is-active SplunkForwarder 2>&1")
        .ask(
            "process",
            "pid=$(systemctl show -p MainPID SplunkForwarder | cut -d= -f2) && [ \"$pid\" -gt 0 ] && \
             awk '$1 == \"Uid:\" { print \"uid\", $3 } $1 == \"CapEff:\" { print \"capabilities\", $2 }' /proc/\"$pid\"/status",
        )
        .ask("log", "tail -n 200 /opt/splunkforwarder/var/log/splunk/splunkd.log 2>/dev/null | grep -i 'permission denied' | tail -n 1")
}

fn judge(active: &str, process: &str, log: &str) -> Verdict {
    if active != "active" {
        return Verdict::Failed(format!(
            "the unit SplunkForwarder is {active}; `poclab bootstrap` starts it, `journalctl -u SplunkForwarder` says why"
        ));
    }
    let field = |name: &str| process.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let (Some(uid), Some(capabilities)) = (field("uid"), field("capabilities").and_then(|hex| u64::from_str_radix(hex, 16).ok())) else {
        return Verdict::Failed("it runs, and what it may do cannot be read from /proc".to_owned());
    };
    // CAP_DAC_READ_SEARCH is number 2, in linux/capability.h.
    if uid != "0" && capabilities & 4 == 0 {
        let said = if log.is_empty() { String::new() } else { format!(" (its log: {log})") };
        return Verdict::Failed(format!(
            "it runs as user {uid} without CAP_DAC_READ_SEARCH, and so may not read the logs of containers{said}; `poclab bootstrap` gives it \
             the capability; where systemd is too old for that, set splunk_forwarder_user: root"
        ));
    }
    Verdict::Passed(if uid == "0" { "runs as root".to_owned() } else { format!("runs as user {uid} with CAP_DAC_READ_SEARCH") })
}

impl Spec {
    /// Prints how many connections to the indexer's port are established, as soon as there is one or the time is over. The kernel is
    /// asked: the forwarder's own command wants its password as an argument.
    fn connections(&self, port: u16) -> Framed {
        let count = format!(
            "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == \"01\" && $3 ~ /:{port:04X}$/ {{ n++ }} END {{ print n + 0 }}'"
        );
        let wait = self.patience;
        Framed::new().ask(
            "connections",
            &format!(
                "end=$(($(date +%s) + {wait}))\nwhile n=$({count}) && [ \"$n\" = 0 ] && [ \"$(date +%s)\" -lt \"$end\" ]; do sleep 1; done\necho \"$n\""
            ),
        )
    }

    fn connected(&self, reach: &dyn Reach, host: &str) -> Verdict {
        let Some(port) = self.indexer.rsplit_once(':').and_then(|(_, port)| port.parse().ok()) else {
            return Verdict::Failed(format!("the indexer {:?} is not NAME:PORT; see splunk_indexer", self.indexer));
        };
        let frames = self.connections(port).run(reach, host, Vec::new(), Duration::from_secs(self.patience + 60));
        match frames.and_then(|frames| frames.good("connections")).map(|count| count.parse::<u32>()) {
            Ok(Ok(0)) => Verdict::Failed(format!(
                "there is no connection after {} s; see /opt/splunkforwarder/var/log/splunk/splunkd.log on {host}, and that {host} may reach {}",
                self.patience, self.indexer
            )),
            Ok(Ok(_)) => Verdict::Passed("a connection is established".to_owned()),
            Ok(Err(_)) => Verdict::Failed(format!("the connections of {host} cannot be read from /proc/net")),
            Err(why) => blind(host, &why),
        }
    }
}

impl CheckKind for Spec {
    const NAME: &'static str = "splunk_forwarder";

    fn id(&self) -> String {
        self.indexer.clone()
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        if self.hosts.is_empty() {
            let why = "hosts must not be empty: nothing would be proven; give the role splunk_forwarder's hosts in splunk_forwarders";
            return vec![Outcome::new("forwarders can be asked", Verdict::Failed(why.to_owned()))];
        }
        progress(&format!("asking the forwarders of {}", names(&self.hosts)));
        let of = |host: &str| {
            let state = state(reach, host);
            let runs = matches!(state, Verdict::Passed(_));
            let mut out = vec![Outcome::new(format!("the forwarder of {host} runs and may read the logs of containers"), state)];
            // One that does not run has no connection, and one message is enough.
            if runs {
                out.push(Outcome::new(format!("the forwarder of {host} is connected to {}", self.indexer), self.connected(reach, host)));
            }
            out
        };
        on_all(&self.hosts, of).into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::check::testing::{Scripted, framed, sh, shellcheck};

    fn spec(indexer: &str) -> Spec {
        serde_json::from_value(json!({"hosts": ["app"], "indexer": indexer, "patience": 0})).unwrap()
    }

    #[test]
    fn one_that_may_not_read_is_reported_as_exactly_that() {
        let good = |uid: &str, capabilities: &str| judge("active", &format!("uid {uid}\ncapabilities {capabilities}"), "");
        assert!(matches!(good("998", "0000000000000004"), Verdict::Passed(why) if why.contains("CAP_DAC_READ_SEARCH")));
        assert!(matches!(good("0", "0000000000000000"), Verdict::Passed(_)));
        let log = "ERROR TailReader - error opening /var/lib/docker/containers: Permission denied (os error 13)";
        let verdict = judge("active", "uid 998\ncapabilities 0000000000000000", log);
        assert!(
            matches!(&verdict, Verdict::Failed(why) if why.contains("may not read the logs of containers") && why.contains("Permission denied")),
            "{verdict:?}"
        );
        assert!(matches!(judge("inactive", "", ""), Verdict::Failed(why) if why.contains("is inactive")));
        assert!(matches!(judge("active", "", ""), Verdict::Failed(_)));
    }

    #[test]
    fn a_connection_is_what_the_kernel_says() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let local = Scripted::new(|_, script, stdin| {
            shellcheck(script);
            Ok(sh(&["sh", "-c"], script, stdin))
        });
        let connected = || spec(&to.to_string()).connected(&local, "app");
        // Somebody who listens there is no connection.
        assert!(matches!(connected(), Verdict::Failed(why) if why.starts_with("there is no connection after 0 s")));
        let kept = std::net::TcpStream::connect(to).unwrap();
        assert!(matches!(connected(), Verdict::Passed(_)), "{:?}", connected());
        drop(kept);
        assert!(matches!(spec("registry").connected(&local, "app"), Verdict::Failed(why) if why.contains("is not NAME:PORT")));
    }

    #[test]
    fn one_that_does_not_run_is_said_once() {
        let stopped = Scripted::new(|_, script, _| Ok(framed(script, &[("active", "inactive\n", 3), ("process", "", 1), ("log", "", 1)])));
        let outcomes = spec("r:9997").run(&stopped, &mut |_| {});
        let titles: Vec<&str> = outcomes.iter().map(|outcome| outcome.title.as_str()).collect();
        assert_eq!(titles, ["the forwarder of app runs and may read the logs of containers"]);
        assert!(matches!(&outcomes[0].verdict, Verdict::Failed(why) if why.contains("the unit SplunkForwarder is inactive")));
    }
}
