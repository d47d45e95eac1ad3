//! Splunk goes away and comes back: the application does not notice, and nothing is lost.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;

use super::run::{last_line, succeed};
use super::splunk::{Api, application};
use super::{CheckKind, Outcome, Reach, Verdict, shapes};
use crate::base::frame::nonce;
use crate::base::{Secret, quote};

/// Splunk's container is stopped, the application's containers print numbered lines and go on, Splunk is started again: all of the lines
/// are found afterwards. Interrupts Splunk, and nothing else.
///
/// Control: while Splunk is stopped a search must fail.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of Splunk's host.
    pub host: String,
    /// Splunk's container.
    pub container: String,
    /// Program on its host that waits until it is ready.
    pub ready: String,
    /// Splunk's API.
    pub api: String,
    /// Who asks.
    pub user: String,
    /// The password.
    #[serde(deserialize_with = "shapes::secret")]
    #[schemars(with = "String")]
    pub password: Secret,
    /// The index.
    pub index: String,
    /// What follows a host's name in the name that its forwarder reports.
    pub domain: String,
    /// Hosts with containers of the application.
    pub application_hosts: Vec<String>,
    /// How long the lines may take until they are found, in seconds. Default: 180.
    #[serde(default = "patience")]
    pub patience: u64,
}

fn patience() -> u64 {
    180
}

/// Lines that each container prints.
const LINES: usize = 20;

impl Spec {
    fn api<'a>(&'a self, reach: &'a dyn Reach) -> Api<'a> {
        Api { reach, host: &self.host, url: &self.api, user: &self.user, password: &self.password }
    }

    /// Prints the lines in a container, and says how it is.
    fn print(reach: &dyn Reach, host: &str, name: &str, run: &str) -> Result<String, String> {
        let inside = format!("i=0; while [ $i -lt {LINES} ]; do i=$((i + 1)); echo poclab-outage-{run}-{name}-$i >/proc/1/fd/1; done");
        let shell = format!(
            "docker exec {} sh -c {} || exit 1\ndocker inspect -f '{{{{.State.Status}}}} {{{{.State.StartedAt}}}}' {}",
            quote(name),
            quote(&inside),
            quote(name)
        );
        Ok(succeed(reach, host, &shell, Duration::from_secs(60))?.text().trim().to_owned())
    }

    fn state(reach: &dyn Reach, host: &str, name: &str) -> Result<String, String> {
        let shell = format!("docker inspect -f '{{{{.State.Status}}}} {{{{.State.StartedAt}}}}' {}", quote(name));
        Ok(succeed(reach, host, &shell, Duration::from_secs(60))?.text().trim().to_owned())
    }

    /// How many different lines of this container are found.
    fn count(&self, reach: &dyn Reach, run: &str, name: &str) -> Result<usize, String> {
        let search = format!("search index={} \"poclab-outage-{run}-{name}-\" earliest=-30m | stats count by _raw", self.index);
        Ok(self.api(reach).search(&search)?.len())
    }
}

impl CheckKind for Spec {
    const NAME: &'static str = "splunk_outage";

    fn id(&self) -> String {
        self.host.clone()
    }

    fn disruptive(&self) -> bool {
        true
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        let title = "nothing is lost while Splunk is away";
        let mut containers = Vec::new();
        for host in &self.application_hosts {
            match application(reach, host) {
                Ok(names) => containers.extend(names.into_iter().map(|name| (host.clone(), name))),
                Err(why) => return vec![Outcome::new(title, Verdict::Failed(format!("the containers of {host} are not known: {why}")))],
            }
        }
        if containers.is_empty() {
            let why = "nothing is deployed yet: the first push to GitLab does that";
            return vec![Outcome::new(title, Verdict::Skipped(why.to_owned()))];
        }
        let mut out = Vec::new();
        let run = nonce();
        let before: Vec<Result<String, String>> = containers.iter().map(|(host, name)| Self::state(reach, host, name)).collect();
        progress("stopping Splunk");
        if let Err(why) =
            succeed(reach, &self.host, &format!("docker stop -t 60 {} >/dev/null", quote(&self.container)), Duration::from_secs(120))
        {
            return vec![Outcome::new(title, Verdict::Failed(format!("Splunk could not be stopped: {why}")))];
        }
        // The first thing that is asked while it is stopped.
        let away = self.api(reach).search("search index=main | stats count");
        let printed: Vec<Result<String, String>> = containers.iter().map(|(host, name)| Self::print(reach, host, name, &run)).collect();
        progress("starting Splunk again");
        let start = format!("docker start {} >/dev/null && {}", quote(&self.container), quote(&self.ready));
        let started = succeed(reach, &self.host, &start, Duration::from_secs(900));
        out.push(Outcome::control(
            "Splunk was really away",
            match away {
                Err(why) => Verdict::Passed(last_line(&why).to_owned()),
                Ok(_) => Verdict::Failed("a search was answered while it was stopped".to_owned()),
            },
        ));
        if let Err(why) = started {
            out.push(Outcome::new(
                "Splunk comes back",
                Verdict::Failed(format!("{why}; `docker start {}` on {}", self.container, self.host)),
            ));
            return out;
        }
        for (((host, name), before), printed) in containers.iter().zip(&before).zip(&printed) {
            let verdict = match (before, printed) {
                (Ok(before), Ok(now)) if before == now => Verdict::Passed("runs since before".to_owned()),
                (Ok(before), Ok(now)) => Verdict::Failed(format!("was `{before}`, is `{now}`")),
                (Err(why), _) | (_, Err(why)) => Verdict::Failed(why.clone()),
            };
            out.push(Outcome::new(format!("{name} on {host} goes on without Splunk"), verdict));
        }
        progress(&format!("waiting up to {} s for what was printed meanwhile", self.patience));
        let begun = Instant::now();
        for ((host, name), _) in containers.iter().zip(&printed).filter(|(_, printed)| printed.is_ok()) {
            let found = loop {
                let found = self.count(reach, &run, name);
                if found.as_ref().is_ok_and(|found| *found >= LINES) || begun.elapsed() >= Duration::from_secs(self.patience) {
                    break found;
                }
                std::thread::sleep(Duration::from_secs(2));
            };
            let verdict = match found {
                Ok(LINES..) => Verdict::Passed(format!("all {LINES} lines of the outage are found")),
                Ok(n) => Verdict::Failed(format!("{n} of {LINES} lines are found after {} s", self.patience)),
                Err(why) => Verdict::Failed(why),
            };
            out.push(Outcome::new(format!("what {name} on {host} printed meanwhile arrives"), verdict));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::check::testing::{Scripted, framed, ran};

    fn spec() -> Spec {
        serde_json::from_value(json!({
            "host": "registry", "container": "splunk", "ready": "/ready", "api": "https://r:8089", "user": "admin", "password": "pppppppp",
            "index": "lab", "domain": "lab", "application_hosts": ["app"], "patience": 0,
        }))
        .unwrap()
    }

    /// A lab whose Splunk finds so many lines; `away`: whether it is really stopped; `restarted`: whether the application was.
    fn lab(found: usize, away: bool, restarted: bool) -> Scripted<'static> {
        Scripted::new(move |_, script, stdin| {
            let sent = String::from_utf8_lossy(stdin).into_owned();
            if script.contains("label=com.docker.compose") {
                return Ok(ran("api\n"));
            }
            if script.contains("docker exec") {
                return Ok(ran(if restarted { "running later\n" } else { "running earlier\n" }));
            }
            if script.contains("docker inspect") {
                return Ok(ran("running earlier\n"));
            }
            if sent.contains("main") && away {
                return Ok(framed(script, &[("status0", "curl: (7) refused\n", 0), ("body0", "", 0)]));
            }
            if script.contains("curl") {
                let body: String = (0..found).map(|n| format!("{{\"result\":{{\"_raw\":\"{n}\"}}}}\n")).collect();
                return Ok(framed(script, &[("status0", "200\n", 0), ("body0", &body, 0)]));
            }
            Ok(ran(""))
        })
    }

    #[test]
    fn a_lost_line_a_restart_and_a_splunk_that_stayed_are_noticed() {
        let failed = |lab: &Scripted<'_>| {
            let outcomes = spec().run(lab, &mut |_| {});
            outcomes.into_iter().filter(|line| matches!(line.verdict, Verdict::Failed(_))).map(|line| line.title).collect::<Vec<_>>()
        };
        assert_eq!(failed(&lab(LINES, true, false)), [""; 0]);
        assert_eq!(failed(&lab(LINES - 1, true, false)), ["what api on app printed meanwhile arrives"]);
        assert_eq!(failed(&lab(LINES, true, true)), ["api on app goes on without Splunk"]);
        assert_eq!(failed(&lab(LINES, false, false)), ["Splunk was really away"]);
    }
}
