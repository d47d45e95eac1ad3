//! Datadog gets what the hosts measure: asked at its API, not at the agents.

mod agents;
mod api;
mod containers;
mod judge;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;

use super::run::{blind, names, on_all, parallel};
use super::{Arrival, CheckKind, Outcome, Reach, Verdict, shapes};
use crate::base::Secret;
use agents::Stats;
use api::{BACK, DOCKER, Known, SYSTEM, Trouble};
use containers::Container;
use judge::{Seen, age};

/// Every agent is healthy, Datadog takes the lab's key, and what came from each host is not older than `fresh` seconds:
/// `system.cpu.user`, on Docker's hosts the number of running containers, and a metric of every container of the application.
///
/// Asked from one of the hosts, at Datadog's API, about what has the lab's own tag. Controls: another key must be refused, and a host
/// that does not exist must have no metrics. Without an application key nothing can be asked for: what arrived is skipped then.
/// Where something is wrong the agents are looked at again: what became of their requests meanwhile tells why.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Names of the hosts with an agent.
    pub hosts: Vec<String>,
    /// What follows a host's name in the name that its agent reports: `lab.example`.
    pub domain: String,
    /// The hosts whose agent asks Docker; those that are not among `hosts` are left out.
    #[serde(default)]
    pub docker_hosts: Vec<String>,
    /// Hosts whose containers of the application must each have a metric; those whose agent does not ask Docker are left out.
    #[serde(default)]
    pub containers_of: Vec<String>,
    /// The application's compose project. Default: student_list.
    #[serde(default = "compose_project")]
    pub compose_project: String,
    /// The tag that everything of this lab has: `lab:NAME`.
    pub tag: String,
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

fn compose_project() -> String {
    "student_list".to_owned()
}

fn fresh() -> i64 {
    120
}

fn patience() -> u64 {
    300
}

/// Seconds between two looks at an agent, if there is the patience: it sends something every 15.
const LOOK: u64 = 20;

/// The containers of the application, by host.
type Containers = Vec<(String, Result<Vec<Container>, String>)>;

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
        let known = self.known(reach).map_err(|trouble| trouble.why);
        Some(known.map(|known| self.hosts.iter().map(|host| arrival(&known, host)).collect()))
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        if self.hosts.is_empty() {
            return vec![Outcome::new("Datadog can be asked", Verdict::Failed("hosts must not be empty: nothing would be proven".into()))];
        }
        progress(&format!("asking the agents of {}", names(&self.hosts)));
        let begun = Instant::now();
        let looks = on_all(&self.hosts, |host| agents::look(reach, host));
        progress(&format!("asking {}", self.api));
        let mut others = self.key(reach);
        others.extend(self.arrived(reach, progress));
        let odd = others.iter().any(|outcome| matches!(outcome.verdict, Verdict::Failed(_)))
            || looks.iter().any(|look| look.as_ref().is_ok_and(|stats| stats.waiting > 0));
        let verdicts = if odd {
            self.look_again(reach, looks, begun, progress)
        } else {
            looks.into_iter().map(|look| look.map_or_else(|verdict| verdict, |stats| agents::well(&stats))).collect()
        };
        let titled = self.hosts.iter().zip(verdicts);
        let mut out: Vec<Outcome> =
            titled.map(|(host, verdict)| Outcome::new(format!("the agent of {host} is healthy"), verdict)).collect();
        out.extend(others);
        out
    }
}

impl Spec {
    /// Hosts whose agent asks Docker.
    fn with_docker(&self) -> impl Iterator<Item = &String> {
        self.docker_hosts.iter().filter(|host| self.hosts.contains(host))
    }

    fn fqdn(&self, host: &str) -> String {
        format!("{host}.{}", self.domain)
    }

    /// Looks at the agents a second time, and says what became of their requests since `begun`.
    fn look_again(
        &self,
        reach: &dyn Reach,
        looks: Vec<Result<Stats, Verdict>>,
        begun: Instant,
        progress: &mut dyn FnMut(&str),
    ) -> Vec<Verdict> {
        progress(&format!("asking the agents of {} again", names(&self.hosts)));
        std::thread::sleep(Duration::from_secs(LOOK.min(self.patience)).saturating_sub(begun.elapsed()));
        let looks: Vec<(&String, Result<Stats, Verdict>)> = self.hosts.iter().zip(looks).collect();
        parallel(&looks, |(host, look)| match look {
            Err(verdict) => verdict.clone(),
            Ok(before) => match agents::look(reach, host) {
                Err(verdict) => verdict,
                Ok(after) => agents::judge(before, &after, begun.elapsed().as_secs(), host),
            },
        })
    }

    /// Whether everything that is wanted is fresh.
    fn complete(&self, known: &Known, containers: &Containers) -> bool {
        let fresh = |seen: &Seen, key: &[String]| age(seen, key, known.now).is_some_and(|age| age <= self.fresh);
        let settled = |host: &str, container: &Container| {
            container.trouble(host).is_none() && fresh(&known.containers, &[self.fqdn(host), container.name.clone()])
        };
        self.hosts.iter().all(|host| fresh(&known.system, &[self.fqdn(host)]))
            && self.with_docker().all(|host| fresh(&known.docker, &[self.fqdn(host)]))
            && containers.iter().all(|(host, all)| all.as_ref().is_ok_and(|all| all.iter().all(|one| settled(host, one))))
    }

    fn judge(&self, known: &Known, seen: &Seen, host: &str, key: &[String], what: &str) -> Verdict {
        match age(seen, key, known.now) {
            Some(age) if age <= self.fresh => Verdict::Passed(format!("{what}: last point {age} s ago")),
            Some(age) => Verdict::Failed(format!(
                "{what}: the last point is {age} s old; see `systemctl status datadog-agent` and `datadog-agent status` on {host}"
            )),
            None => Verdict::Failed(format!(
                "{what}: nothing with the tag {} came within {} minutes; see `datadog-agent status` on {host}, and that its way to {} is open",
                self.tag,
                BACK / 60,
                self.api
            )),
        }
    }

    /// Asks until everything is fresh, patience ends, or asking again is of no use.
    fn wait(&self, reach: &dyn Reach) -> (Result<Known, Trouble>, Containers) {
        let hosts: Vec<String> = self.with_docker().filter(|host| self.containers_of.contains(host)).cloned().collect();
        let (begun, patience) = (Instant::now(), Duration::from_secs(self.patience));
        loop {
            let found = containers::of(reach, &hosts, &self.compose_project);
            let containers: Containers = hosts.iter().cloned().zip(found).collect();
            let known = self.known(reach);
            let pause = match &known {
                Ok(known) if self.complete(known, &containers) => None,
                Ok(_) => Some(self.pause()),
                Err(trouble) => trouble.again.map(|again| again.max(self.pause())),
            };
            let left = patience.saturating_sub(begun.elapsed());
            match pause {
                Some(seconds) if !left.is_zero() => std::thread::sleep(Duration::from_secs(seconds).min(left)),
                _ => return (known, containers),
            }
        }
    }

    fn arrived(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        let title = "what the hosts measure arrives";
        if self.app_key.expose().is_empty() {
            let why = "Datadog tells nothing without an application key: poclab secrets set datadog_app_key";
            return vec![Outcome::new(title, Verdict::Skipped(why.to_owned()))];
        }
        progress(&format!("waiting up to {} s for metrics of {}", self.patience, names(&self.hosts)));
        let (known, containers) = self.wait(reach);
        let known = match known {
            Ok(known) => known,
            Err(trouble) => return vec![Outcome::new(title, Verdict::Failed(trouble.why))],
        };
        let mut out = Vec::new();
        for host in &self.hosts {
            let verdict = self.judge(&known, &known.system, host, &[self.fqdn(host)], SYSTEM);
            out.push(Outcome::new(format!("metrics of {host} arrive"), verdict));
        }
        for host in self.with_docker() {
            let verdict = self.judge(&known, &known.docker, host, &[self.fqdn(host)], DOCKER);
            out.push(Outcome::new(format!("metrics of Docker on {host} arrive"), verdict));
        }
        for (host, found) in &containers {
            match found {
                Ok(all) => out.extend(self.application(&known, host, all)),
                Err(why) => out.push(Outcome::new(format!("the containers of {host} are known"), blind(host, why))),
            }
        }
        let verdict = match known.ghosts {
            0 => Verdict::Passed("no series".to_owned()),
            n => Verdict::Failed(format!("{n} series of a host that does not exist: the answers above prove nothing")),
        };
        out.push(Outcome::control("a host that does not exist has no metrics", verdict));
        out
    }

    fn application(&self, known: &Known, host: &str, all: &[Container]) -> Vec<Outcome> {
        if all.is_empty() {
            let why = format!("there is no container of the compose project {}: nothing is deployed yet", self.compose_project);
            return vec![Outcome::new(format!("metrics of the containers of {host} arrive"), Verdict::Skipped(why))];
        }
        let outcome = |one: &Container| {
            let verdict = match one.trouble(host) {
                Some(why) => Verdict::Failed(why),
                None => self.judge(known, &known.containers, host, &[self.fqdn(host), one.name.clone()], &self.container_metric),
            };
            Outcome::new(format!("metrics of container {} of {host} arrive", one.name), verdict)
        };
        all.iter().map(outcome).collect()
    }
}
