//! Datadog gets what the hosts measure: asked at its API, not at the agents.

mod judge;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;

use super::run::{Framed, blind, last_line, names, on_all};
use super::web::{self, Answer, Request, word};
use super::{Arrival, CheckKind, Outcome, Reach, Verdict, shapes};
use crate::base::Secret;
use crate::base::frame::nonce;
use judge::{Seen, age, latest};

/// Every agent is healthy, Datadog takes the lab's key, and what came from each host is not older than `fresh` seconds:
/// `system.cpu.user`, on Docker's hosts the number of running containers, and a metric of every container of the application.
///
/// Asked from one of the hosts, at Datadog's API. Controls: another key must be refused, and a host that does not exist must have
/// no metrics. Without an application key nothing can be asked for: what arrived is skipped then.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Names of the hosts with an agent.
    pub hosts: Vec<String>,
    /// What follows a host's name in the name that its agent reports: `lab.example`.
    pub domain: String,
    /// Of these, the ones with Docker.
    #[serde(default)]
    pub docker_hosts: Vec<String>,
    /// Hosts whose running containers must each have a metric.
    #[serde(default)]
    pub containers_of: Vec<String>,
    /// Name of the host that asks.
    pub ask_from: String,
    /// Datadog's API: `https://api.datadoghq.com`.
    pub api: String,
    /// What the host asks through, e.g. `http://proxy.example:3128`. Default: nothing.
    #[serde(default)]
    pub proxy: String,
    /// The API key.
    #[serde(deserialize_with = "shapes::secret")]
    #[schemars(with = "String")]
    pub api_key: Secret,
    /// The application key, which reading needs; may be empty.
    #[serde(deserialize_with = "shapes::secret")]
    #[schemars(with = "String")]
    pub app_key: Secret,
    /// The metric that every container has.
    pub container_metric: String,
    /// How old the last point may be, in seconds. Default: 120.
    #[serde(default = "fresh")]
    pub fresh: i64,
    /// How long to wait for the first points, in seconds. Default: 300.
    #[serde(default = "patience")]
    pub patience: u64,
}

fn fresh() -> i64 {
    120
}

fn patience() -> u64 {
    300
}

/// How far back is asked, in seconds.
const BACK: i64 = 900;
/// The metric that every agent sends.
const SYSTEM: &str = "system.cpu.user";
/// The metric of the integration with Docker.
const DOCKER: &str = "docker.containers.running";

/// What the API said about all hosts.
struct Known {
    now: i64,
    system: Seen,
    docker: Seen,
    containers: Seen,
    /// Series of a host that does not exist.
    ghosts: usize,
}

impl Spec {
    fn request(&self, path: &str, key: &str) -> Request {
        let mut headers = vec![("DD-API-KEY".to_owned(), key.to_owned())];
        if !self.app_key.expose().is_empty() {
            headers.push(("DD-APPLICATION-KEY".to_owned(), self.app_key.expose().to_owned()));
        }
        let proxy = (!self.proxy.is_empty()).then(|| self.proxy.clone());
        Request { url: format!("{}{path}", self.api), headers, proxy, ..Request::default() }
    }

    fn query(&self, now: i64, query: &str) -> Request {
        self.request(&format!("/api/v1/query?from={}&to={now}&query={}", now - BACK, word(query)), self.api_key.expose())
    }

    fn fqdn(&self, host: &str) -> String {
        format!("{host}.{}", self.domain)
    }

    /// Asks for everything at once.
    fn known(&self, reach: &dyn Reach) -> Result<Known, String> {
        let clock = Framed::new().ask("now", "date +%s").run(reach, &self.ask_from, Vec::new(), Duration::from_secs(30))?;
        let now: i64 = clock.good("now")?.parse().map_err(|_| format!("the clock of {} cannot be read", self.ask_from))?;
        let ghost = format!("poclab-control-{}", nonce());
        let requests = [
            self.query(now, &format!("avg:{SYSTEM}{{*}} by {{host}}")),
            self.query(now, &format!("avg:{DOCKER}{{*}} by {{host}}")),
            self.query(now, &format!("avg:{}{{*}} by {{host,container_name}}", self.container_metric)),
            self.query(now, &format!("avg:{SYSTEM}{{host:{ghost}}}")),
        ];
        let mut answers = web::ask(reach, &self.ask_from, &requests)?.into_iter();
        let mut next = |what: &str| -> Result<serde_json::Value, String> {
            let about = format!("{}: the query of {what}", self.api);
            match answers.next().unwrap_or_else(|| Err("no answer".to_owned())) {
                Ok(answer) if answer.status == 403 => Err(format!(
                    "{about}: 403: the API key or the application key is wrong or was revoked (datadog_api_key, datadog_app_key)"
                )),
                Ok(answer) => answer.json(200).map_err(|why| format!("{about}: {why}")),
                Err(why) => Err(format!("{about}: {why}; see that {} may reach it", self.ask_from)),
            }
        };
        Ok(Known {
            now,
            system: latest(&next(SYSTEM)?, &["host"])?,
            docker: latest(&next(DOCKER)?, &["host"])?,
            containers: latest(&next(&self.container_metric)?, &["host", "container_name"])?,
            ghosts: next("a host that does not exist")?["series"].as_array().map_or(0, Vec::len),
        })
    }

    /// Whether everything that is wanted is fresh.
    fn complete(&self, known: &Known, containers: &BTreeMap<String, Vec<String>>) -> bool {
        let fresh = |seen: &Seen, key: &[String]| age(seen, key, known.now).is_some_and(|age| age <= self.fresh);
        self.hosts.iter().all(|host| fresh(&known.system, &[self.fqdn(host)]))
            && self.docker_hosts.iter().all(|host| fresh(&known.docker, &[self.fqdn(host)]))
            && containers.iter().all(|(host, all)| all.iter().all(|name| fresh(&known.containers, &[self.fqdn(host), name.clone()])))
    }

    fn judge(&self, known: &Known, seen: &Seen, host: &str, key: &[String], what: &str) -> Verdict {
        match age(seen, key, known.now) {
            Some(age) if age <= self.fresh => Verdict::Passed(format!("{what}: last point {age} s ago")),
            Some(age) => Verdict::Failed(format!(
                "{what}: the last point is {age} s old; see `systemctl status datadog-agent` and `datadog-agent status` on {host}"
            )),
            None => Verdict::Failed(format!(
                "{what}: nothing came within {} minutes; see `datadog-agent status` on {host}, and that its way to {} is open",
                BACK / 60,
                self.api
            )),
        }
    }

    fn key(&self, reach: &dyn Reach) -> Vec<Outcome> {
        let (title, control) = ("Datadog takes the lab's API key", "Datadog refuses another API key");
        let requests =
            [self.request("/api/v1/validate", self.api_key.expose()), self.request("/api/v1/validate", &format!("not-{}", nonce()))];
        let answers = match web::ask(reach, &self.ask_from, &requests) {
            Ok(answers) => answers,
            Err(why) => return vec![Outcome::new(title, blind(&self.ask_from, &why))],
        };
        let judged = |answer: &Result<Answer, String>| {
            match answer {
            Err(why) => Verdict::Failed(format!("{} could not be asked from {}: {why}", self.api, self.ask_from)),
            Ok(answer) if answer.status == 403 => Verdict::Failed(
                "403: the key is wrong or was revoked; make a new one there, then `poclab secrets set datadog_api_key` and `poclab bootstrap`"
                    .to_owned(),
            ),
            Ok(answer) => match answer.json(200) {
                Ok(said) if said["valid"] == true => Verdict::Passed("/api/v1/validate says valid".to_owned()),
                Ok(_) => Verdict::Failed("/api/v1/validate does not say that it is valid".to_owned()),
                Err(why) => Verdict::Failed(format!("/api/v1/validate {why}")),
            },
        }
        };
        let refused = |answer: &Result<Answer, String>| match answer {
            Ok(answer) if answer.status == 403 => Verdict::Passed("403".to_owned()),
            Ok(answer) => Verdict::Failed(format!("a made-up key is answered with {}, must be 403", answer.status)),
            Err(why) => Verdict::Failed(why.clone()),
        };
        vec![Outcome::new(title, judged(&answers[0])), Outcome::control(control, refused(&answers[1]))]
    }
}

/// Asks the agent; one that was started less than a minute ago may not answer yet, and is asked again.
const HEALTH: &str = "until said=$(timeout 30 datadog-agent health 2>&1); do\n  code=$?\n  \
                      since=$(systemctl show -p ActiveEnterTimestampMonotonic datadog-agent | cut -d= -f2)\n  \
                      [ $(($(cut -d. -f1 /proc/uptime) - ${since:-0} / 1000000)) -lt 60 ] || { printf '%s\\n' \"$said\"; exit \"$code\"; }\n  \
                      systemctl is-active -q datadog-agent || { printf '%s\\n' \"$said\"; exit \"$code\"; }\n  \
                      sleep 2\ndone\nprintf '%s\\n' \"$said\"";

/// What an agent says about itself.
fn health(reach: &dyn Reach, host: &str) -> Verdict {
    let asked = Framed::new().ask("active", "systemctl is-active datadog-agent 2>&1").ask("health", HEALTH);
    let frames = match asked.run(reach, host, Vec::new(), Duration::from_secs(120)) {
        Ok(frames) => frames,
        Err(why) => return blind(host, &why),
    };
    let state = frames.get("active").map(|frame| frame.text().trim().to_owned()).unwrap_or_default();
    if state != "active" {
        return Verdict::Failed(format!(
            "the unit datadog-agent is {state}; `poclab bootstrap` starts it, `journalctl -u datadog-agent` says why"
        ));
    }
    match frames.get("health") {
        Ok(frame) if frame.status == 0 => Verdict::Passed("`datadog-agent health` ends with 0".to_owned()),
        Ok(frame) => {
            // What follows `=== 1 unhealthy components ===`.
            let text = frame.text();
            let all: Vec<&str> = text.lines().skip_while(|line| !line.contains("unhealthy")).skip(1).map(str::trim).collect();
            // A name that is said again with its reason says no more.
            let again = |name: &str| all.iter().any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')));
            let bad: Vec<&str> = all.iter().copied().filter(|line| !again(line)).collect();
            let bad = if bad.is_empty() { last_line(&text).to_owned() } else { bad.join("; ") };
            Verdict::Failed(format!("`datadog-agent health` ends with {}: {bad}; see `datadog-agent status`", frame.status))
        }
        Err(why) => Verdict::Failed(why),
    }
}

/// Names of the containers that have been running for a minute, by host: no build's, which come and go.
fn running(reach: &dyn Reach, hosts: &[String]) -> Vec<Result<Vec<String>, String>> {
    on_all(hosts, |host| {
        let shell = "docker ps -q | while read -r id; do\n  \
                     docker inspect -f '{{.Name}} {{.State.StartedAt}}' \"$id\"\ndone | while read -r name started; do\n  \
                     [ $(($(date +%s) - $(date -d \"$started\" +%s))) -lt 60 ] || echo \"${name#/}\"\ndone";
        let frames = Framed::new().ask("ps", "docker ps -q >/dev/null").ask("running", shell);
        let frames = frames.run(reach, host, Vec::new(), Duration::from_secs(60))?;
        frames.good("ps")?;
        Ok(frames.good("running")?.lines().map(str::to_owned).collect())
    })
}

impl CheckKind for Spec {
    const NAME: &'static str = "datadog";

    fn id(&self) -> String {
        String::new()
    }

    fn arrivals(&self, reach: &dyn Reach) -> Option<Result<Vec<Arrival>, String>> {
        if self.app_key.expose().is_empty() {
            return Some(Err("without an application key Datadog tells nothing: poclab secrets set datadog_app_key".to_owned()));
        }
        let arrival = |known: &Known, host: &String| Arrival {
            source: "Datadog".to_owned(),
            host: host.clone(),
            at: known.system.get(&vec![self.fqdn(host)]).copied(),
        };
        Some(self.known(reach).map(|known| self.hosts.iter().map(|host| arrival(&known, host)).collect()))
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        if self.hosts.is_empty() {
            return vec![Outcome::new("Datadog can be asked", Verdict::Failed("hosts must not be empty: nothing would be proven".into()))];
        }
        progress(&format!("asking the agents of {}", names(&self.hosts)));
        let mut out: Vec<Outcome> = Vec::new();
        for (host, verdict) in self.hosts.iter().zip(on_all(&self.hosts, |host| health(reach, host))) {
            out.push(Outcome::new(format!("the agent of {host} is healthy"), verdict));
        }
        progress(&format!("asking {}", self.api));
        out.extend(self.key(reach));
        out.extend(self.arrived(reach, progress));
        out
    }
}

impl Spec {
    fn arrived(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        let title = "what the hosts measure arrives";
        if self.app_key.expose().is_empty() {
            let why = "Datadog tells nothing without an application key: poclab secrets set datadog_app_key";
            return vec![Outcome::new(title, Verdict::Skipped(why.to_owned()))];
        }
        let mut out = Vec::new();
        let mut containers = BTreeMap::new();
        for (host, found) in self.containers_of.iter().zip(running(reach, &self.containers_of)) {
            match found {
                Ok(names) => drop(containers.insert(host.clone(), names)),
                Err(why) => out.push(Outcome::new(format!("the containers of {host} are known"), blind(host, &why))),
            }
        }
        let begun = Instant::now();
        progress(&format!("waiting up to {} s for metrics of {}", self.patience, names(&self.hosts)));
        let known = loop {
            let known = self.known(reach);
            let done = known.as_ref().is_ok_and(|known| self.complete(known, &containers));
            if done || begun.elapsed() >= Duration::from_secs(self.patience) {
                break known;
            }
            std::thread::sleep(Duration::from_secs(3));
        };
        let known = match known {
            Ok(known) => known,
            Err(why) => {
                out.push(Outcome::new(title, Verdict::Failed(why)));
                return out;
            }
        };
        for host in &self.hosts {
            let verdict = self.judge(&known, &known.system, host, &[self.fqdn(host)], SYSTEM);
            out.push(Outcome::new(format!("metrics of {host} arrive"), verdict));
        }
        for host in &self.docker_hosts {
            let verdict = self.judge(&known, &known.docker, host, &[self.fqdn(host)], DOCKER);
            out.push(Outcome::new(format!("metrics of Docker on {host} arrive"), verdict));
        }
        for (host, all) in &containers {
            if all.is_empty() {
                let why = "no container has been running there for a minute: nothing is deployed yet";
                out.push(Outcome::new(format!("metrics of the containers of {host} arrive"), Verdict::Skipped(why.to_owned())));
            }
            for name in all {
                let key = [self.fqdn(host), name.clone()];
                let verdict = self.judge(&known, &known.containers, host, &key, &self.container_metric);
                out.push(Outcome::new(format!("metrics of container {name} of {host} arrive"), verdict));
            }
        }
        let verdict = match known.ghosts {
            0 => Verdict::Passed("no series".to_owned()),
            n => Verdict::Failed(format!("{n} series of a host that does not exist: the answers above prove nothing")),
        };
        out.push(Outcome::control("a host that does not exist has no metrics", verdict));
        out
    }
}
