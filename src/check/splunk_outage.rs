//! Splunk goes away and comes back: the application does not notice, and nothing is lost.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::run::{last_line, succeed};
use super::splunk::{Api, Row, Unsearched, application};
use super::{CheckKind, Outcome, Reach, Verdict, shapes};
use crate::base::frame::nonce;
use crate::base::{Secret, quote};

/// Splunk's container is stopped, the application's containers print numbered lines and go on, Splunk is started again: all of the lines
/// are found afterwards, each with its container. Interrupts Splunk, and nothing else; should the check itself be cut off, the host
/// starts Splunk again by a timer.
///
/// Control: while Splunk is stopped its container must be stopped, and a search must be refused a connection.
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
    /// File on its host with the authorities that are trusted. Default, and when empty: the host's own.
    #[serde(default)]
    pub ca: String,
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
/// The timer that starts Splunk again should nobody else do it.
const TIMER: &str = "poclab-splunk-back";
/// After how many seconds: more than printing may take.
const BACK: u64 = 600;

impl Spec {
    fn api<'a>(&'a self, reach: &'a dyn Reach) -> Api<'a> {
        Api { reach, host: &self.host, url: &self.api, ca: &self.ca, user: &self.user, password: &self.password }
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

    /// Which of the lines of this container are found, by their numbers.
    fn arrived(&self, reach: &dyn Reach, run: &str, host: &str, name: &str) -> Result<BTreeSet<usize>, Unsearched> {
        let text = format!("poclab-outage-{run}-{name}-");
        let search = format!("search index={} \"{text}\" earliest=-30m | stats count by _raw, host, container_name", self.index);
        let rows = self.api(reach).search(&search)?;
        let fqdn = format!("{host}.{}", self.domain);
        let is = |row: &Row, field: &str, wanted: &str| row.get(field).and_then(Value::as_str) == Some(wanted);
        let of_it = rows.iter().filter(|row| is(row, "host", &fqdn) && is(row, "container_name", name));
        Ok(of_it.filter_map(|row| number(row.get("_raw")?.as_str()?, &text)).collect())
    }

    /// Arms the timer, and stops Splunk.
    fn stop(&self, reach: &dyn Reach) -> Result<(), String> {
        let name = quote(&self.container);
        let shell = format!(
            "systemctl stop {TIMER}.timer >/dev/null 2>&1 || :\n\
             systemctl reset-failed {TIMER}.timer {TIMER}.service >/dev/null 2>&1 || :\n\
             systemd-run --unit={TIMER} --on-active={BACK} --timer-property=AccuracySec=1s /bin/sh -c {} >/dev/null || exit 1\n\
             docker stop -t 120 {name} >/dev/null || {{ systemctl stop {TIMER}.timer; exit 1; }}",
            quote(&format!("docker start {name}"))
        );
        succeed(reach, &self.host, &shell, Duration::from_secs(180)).map(drop)
    }

    /// Starts Splunk, and disarms the timer: only what runs again needs none.
    fn start(&self, reach: &dyn Reach) -> Result<(), String> {
        let shell = format!(
            "docker start {} >/dev/null && systemctl stop {TIMER}.timer >/dev/null && {}",
            quote(&self.container),
            quote(&self.ready)
        );
        succeed(reach, &self.host, &shell, Duration::from_secs(900)).map(drop)
    }

    /// Whether it is really away: by Docker's word, and by that of a search.
    fn away(&self, reach: &dyn Reach) -> Verdict {
        let shell = format!("docker inspect -f '{{{{.State.Running}}}}' {}", quote(&self.container));
        match succeed(reach, &self.host, &shell, Duration::from_secs(60)).map(|ran| ran.text().trim().to_owned()) {
            Ok(running) if running == "false" => {}
            Ok(running) => return Verdict::Failed(format!("its container's State.Running is `{running}`, must be `false`")),
            Err(why) => return Verdict::Failed(format!("the state of its container is not known: {why}")),
        }
        match self.api(reach).search("search index=main | stats count") {
            Ok(_) => Verdict::Failed("a search was answered while it was stopped".to_owned()),
            // The 7 is curl's, for a connection that was not made.
            Err(no) if no.why.contains("curl: (7)") => Verdict::Passed(last_line(&no.why).to_owned()),
            Err(no) => Verdict::Failed(format!("a search failed otherwise than by a refused connection: {}", no.why)),
        }
    }
}

/// The number behind a text, if nothing but it follows.
fn number(raw: &str, text: &str) -> Option<usize> {
    let rest = &raw[raw.find(text)? + text.len()..];
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    // A name may go on where this one ends: `api-1` and the container `api-1-2`.
    if rest[digits..].starts_with('-') { None } else { rest[..digits].parse().ok() }
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
        if let Err(why) = self.stop(reach) {
            return vec![Outcome::new(title, Verdict::Failed(format!("Splunk could not be stopped: {why}")))];
        }
        // The first thing that is asked while it is stopped.
        let away = self.away(reach);
        let printed: Vec<Result<String, String>> = containers.iter().map(|(host, name)| Self::print(reach, host, name, &run)).collect();
        progress("starting Splunk again");
        let started = self.start(reach);
        out.push(Outcome::control("Splunk was really away", away));
        if let Err(why) = started {
            out.push(Outcome::new(
                "Splunk comes back",
                Verdict::Failed(format!(
                    "{why}; `docker start {}` on {}; if it is still stopped, the host does that within {BACK} s",
                    self.container, self.host
                )),
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
                let found = self.arrived(reach, &run, host, name);
                let enough = match &found {
                    Ok(found) => found.len() >= LINES,
                    Err(no) => no.lasting,
                };
                if enough || begun.elapsed() >= Duration::from_secs(self.patience) {
                    break found;
                }
                std::thread::sleep(Duration::from_secs(2));
            };
            let verdict = match found {
                Ok(found) if found == (1..=LINES).collect() => Verdict::Passed(format!("all {LINES} lines of the outage are found")),
                Ok(found) => {
                    let lost: Vec<String> = (1..=LINES).filter(|n| !found.contains(n)).map(|n| n.to_string()).collect();
                    Verdict::Failed(format!(
                        "{} of {LINES} lines are found after {} s; not found: {}",
                        found.len(),
                        self.patience,
                        lost.join(", ")
                    ))
                }
                Err(no) => Verdict::Failed(no.why),
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
    use crate::check::testing::{Scripted, framed, ran, shellcheck};

    fn spec() -> Spec {
        serde_json::from_value(json!({
            "host": "registry", "container": "splunk", "ready": "/ready", "api": "https://r:8089", "user": "admin", "password": "pppppppp",
            "index": "lab", "domain": "lab", "application_hosts": ["app"], "patience": 0,
        }))
        .unwrap()
    }

    /// What is wrong with a lab.
    #[derive(Clone, Copy, Default)]
    struct Lab {
        /// Lines that are not found.
        lost: usize,
        /// The container is still there.
        stayed: bool,
        /// What a search says while Splunk is stopped, as curl does. Default: a refused connection.
        said: Option<&'static str>,
        /// The application was restarted.
        restarted: bool,
        /// Another container's lines are found, too.
        others: bool,
    }

    fn lab(is: Lab) -> Scripted<'static> {
        Scripted::new(move |_, script, stdin| {
            let sent = String::from_utf8_lossy(stdin).into_owned();
            if script.contains("label=com.docker.compose") {
                return Ok(ran("api\n"));
            }
            if script.contains("docker exec") {
                return Ok(ran(if is.restarted { "running later\n" } else { "running earlier\n" }));
            }
            if script.contains(".State.Running") {
                return Ok(ran(if is.stayed { "true\n" } else { "false\n" }));
            }
            if script.contains("docker inspect") {
                return Ok(ran("running earlier\n"));
            }
            if script.contains("docker stop") {
                shellcheck(script);
                assert!(script.find("systemd-run --unit=poclab-splunk-back --on-active=600") < script.find("docker stop"), "{script}");
            }
            if script.contains("docker start") && !script.contains("systemd-run") {
                assert!(script.contains("systemctl stop poclab-splunk-back.timer"), "{script}");
            }
            if sent.contains("main") {
                return Ok(framed(script, &[("status0", is.said.unwrap_or("curl: (7) refused\n"), 0), ("body0", "", 0)]));
            }
            if script.contains("curl") {
                let run = sent.split("poclab-outage-").nth(1).or_else(|| sent.split("poclab%2Doutage%2D").nth(1)).unwrap();
                let run = run.split(['-', '%']).next().unwrap();
                let line = |name: &str, text: &str| {
                    let raw = json!({"log": format!("{text}\n")}).to_string();
                    format!("{}\n", json!({"result": {"_raw": raw, "host": "app.lab", "container_name": name}}))
                };
                let mut body: String = (1..=LINES - is.lost).map(|n| line("api", &format!("poclab-outage-{run}-api-{n}"))).collect();
                if is.others {
                    body.push_str(&line("api-20", &format!("poclab-outage-{run}-api-20-3")));
                    body.push_str(&line("other", &format!("poclab-outage-{run}-api-20")));
                }
                return Ok(framed(script, &[("status0", "200\n", 0), ("body0", &body, 0)]));
            }
            Ok(ran(""))
        })
    }

    #[test]
    fn a_lost_line_a_restart_and_a_splunk_that_stayed_are_noticed() {
        let failed = |is: Lab| {
            let outcomes = spec().run(&lab(is), &mut |_| {});
            let wrong = outcomes.into_iter().filter_map(|line| match line.verdict {
                Verdict::Failed(why) => Some(format!("{}: {why}", line.title)),
                _ => None,
            });
            wrong.collect::<Vec<_>>()
        };
        let none = Lab::default();
        assert_eq!(failed(none), [""; 0]);
        let lost = "what api on app printed meanwhile arrives: 19 of 20 lines are found after 0 s; not found: 20";
        assert_eq!(failed(Lab { lost: 1, ..none }), [lost]);
        assert_eq!(failed(Lab { lost: 1, others: true, ..none }), [lost], "lines of other containers are not counted");
        assert!(failed(Lab { restarted: true, ..none })[0].starts_with("api on app goes on without Splunk: "));
        assert!(failed(Lab { stayed: true, ..none })[0].starts_with("Splunk was really away: its container's State.Running is `true`"));
        let away = "Splunk was really away: a search ";
        assert!(failed(Lab { said: Some("200\n"), ..none })[0].starts_with(&format!("{away}was answered while")));
        for other in ["curl: (28) timed out\n", "401\n", "503\n"] {
            assert!(failed(Lab { said: Some(other), ..none })[0].starts_with(&format!("{away}failed otherwise")), "{other}");
        }
    }

    #[test]
    fn numbers_are_exact() {
        let of = |raw: &str| number(raw, "x-api-");
        assert_eq!(
            (of("x-api-12"), of("{\"log\":\"x-api-7\\n\"}"), of("x-api-1-2"), of("x-api-"), of("y")),
            (Some(12), Some(7), None, None, None)
        );
    }
}
