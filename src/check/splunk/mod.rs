//! Splunk has what containers, hosts and the application print: asked by searches, not at the forwarders.

mod api;
mod collector;
mod marker;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;

use super::run::{blind, names, on_all, succeed};
use super::{Arrival, CheckKind, Outcome, Reach, Verdict, shapes, splunk_forwarder};
use crate::base::frame::nonce;
use crate::base::{Secret, quote};
pub(super) use api::{Api, Row, Unsearched};
use collector::Collector;
use marker::{Found, Marker};

/// Splunk answers and has room; its event collector takes what has the token; a unique line that a container, the journal and the
/// application print is found by a search, with its host, where it was read and (of a container) its name.
///
/// Controls: a wrong password, another token and an index that does not exist must be refused, and a line that nobody printed must not
/// be found.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the host that asks: Splunk's own.
    pub host: String,
    /// Splunk's API: `https://registry.lab.example:8089`. Empty: nobody can ask, and all of this is skipped, with that reason.
    pub api: String,
    /// File on the host that asks with the authorities that are trusted. Default, and when empty: the host's own.
    #[serde(default)]
    pub ca: String,
    /// Who asks.
    pub user: String,
    /// The password.
    #[serde(deserialize_with = "shapes::secret")]
    #[schemars(with = "String")]
    pub password: Secret,
    /// The index that everything goes to.
    pub index: String,
    /// Its HTTP event collector. Default: none is asked.
    #[serde(default)]
    pub collector: Option<Collector>,
    /// Whether forwarders send the journal; otherwise a line of syslog has to come from a file. Default: true.
    #[serde(default = "yes")]
    pub journal: bool,
    /// Names of the hosts with a forwarder.
    pub forwarders: Vec<String>,
    /// What follows a host's name in the name that its forwarder reports: `lab.example`.
    pub domain: String,
    /// Hosts whose containers of the application (compose project `student_list`) must be heard.
    #[serde(default)]
    pub application_hosts: Vec<String>,
    /// What a container is started from, to print a line: any image with a shell.
    pub image: String,
    /// How long a line may take until it is found, in seconds. Default: 180.
    #[serde(default = "patience")]
    pub patience: u64,
}

fn patience() -> u64 {
    180
}

fn yes() -> bool {
    true
}

impl Spec {
    fn api<'a>(&'a self, reach: &'a dyn Reach) -> Api<'a> {
        Api { reach, host: &self.host, url: &self.api, ca: &self.ca, user: &self.user, password: &self.password }
    }

    fn fqdn(&self, host: &str) -> String {
        format!("{host}.{}", self.domain)
    }

    /// Prints a line everywhere; what could not be printed is told.
    fn print(&self, reach: &dyn Reach, run: &str, out: &mut Vec<Outcome>) -> Vec<Marker> {
        let mut markers = Vec::new();
        let mut print =
            |out: &mut Vec<Outcome>, marker: Marker, shell: &str| match succeed(reach, &marker.host, shell, Duration::from_secs(120)) {
                Ok(_) => markers.push(marker),
                Err(why) => out.push(Outcome::new(format!("{} can print a line", marker.what), Verdict::Failed(why))),
            };
        for host in &self.forwarders {
            let (text, name) = (format!("poclab-{run}-container-{host}"), format!("poclab-marker-{run}"));
            // It stays for a while: with the container its log would go.
            let inside = format!("echo {text}; sleep 900");
            let image = quote(&self.image);
            let shell = format!(
                "for old in $(docker ps -aq --filter name=^/poclab-marker-); do docker rm -f \"$old\" >/dev/null; done\n\
                 docker run -d --name {name} --read-only --cap-drop ALL --network none {image} sh -c {} >/dev/null",
                quote(&inside)
            );
            let of = |what: String, text: &str, container: Option<String>, from: &'static str| Marker {
                what,
                host: host.clone(),
                text: text.to_owned(),
                container,
                from,
            };
            print(out, of(format!("a container on {host}"), &text, Some(name), "/var/lib/docker/containers/"), &shell);
            let text = format!("poclab-{run}-journal-{host}");
            // The same line may be in a file that is sent as well: where it was read tells the two apart.
            let (what, from) = if self.journal { ("journal", "journald://") } else { ("syslog", "/") };
            print(out, of(format!("the {what} of {host}"), &text, None, from), &format!("logger -t poclab {text}"));
        }
        for host in &self.application_hosts {
            match application(reach, host) {
                Err(why) => out.push(Outcome::new(format!("the application on {host} can print a line"), blind(host, &why))),
                Ok(all) if all.is_empty() => {
                    let why = "nothing is deployed yet: the first push to GitLab does that";
                    out.push(Outcome::new(format!("a line of the application on {host} is found"), Verdict::Skipped(why.to_owned())));
                }
                Ok(all) => {
                    for name in all {
                        let text = format!("poclab-{run}-application-{name}");
                        let shell = format!("docker exec {} sh -c {}", quote(&name), quote(&format!("echo {text} >/proc/1/fd/1")));
                        // By the forwarder or by Docker's own driver.
                        let what = format!("the application's container {name} on {host}");
                        print(out, Marker { what, host: host.clone(), text, container: Some(name), from: "" }, &shell);
                    }
                }
            }
        }
        markers
    }

    fn found(&self, api: &Api<'_>, run: &str) -> Result<Found, Unsearched> {
        let search =
            |by: &str| format!("search index={} \"poclab-{run}-\" earliest=-30m | stats count by _raw, host, source{by}", self.index);
        // What is no container's has no such field, and would be left out of a search that groups by it.
        let mut found = Found::new();
        for by in [", container_name", ""] {
            for row in api.search(&search(by))? {
                let text = |field: &str| row.get(field).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
                found.entry(text("_raw")).or_default().push((text("host"), text("container_name"), text("source")));
            }
        }
        Ok(found)
    }

    /// Whether something that this host printed was not found.
    fn misses(&self, host: &str, markers: &[Marker], found: &Found) -> bool {
        markers.iter().any(|marker| marker.host == host && matches!(marker.judge(self, found, None), Verdict::Failed(_)))
    }

    fn clean(&self, reach: &dyn Reach, run: &str) {
        on_all(&self.forwarders, |host| {
            // What this leaves is removed by the next run, and ends by itself.
            let _ = succeed(reach, host, &format!("docker rm -f poclab-marker-{run} >/dev/null 2>&1 || :"), Duration::from_secs(60));
        });
    }
}

/// Names of the application's containers.
pub(super) fn application(reach: &dyn Reach, host: &str) -> Result<Vec<String>, String> {
    let shell = "docker ps --filter label=com.docker.compose.project=student_list --format '{{.Names}}'";
    Ok(succeed(reach, host, shell, Duration::from_secs(60))?.text().lines().map(str::to_owned).collect())
}

impl CheckKind for Spec {
    const NAME: &'static str = "splunk";

    fn id(&self) -> String {
        self.host.clone()
    }

    fn arrivals(&self, reach: &dyn Reach) -> Option<Result<Vec<Arrival>, String>> {
        if self.api.is_empty() {
            return None;
        }
        let search = format!("search index={} earliest=-60m | stats latest(_time) as last by host", self.index);
        let rows = match self.api(reach).search(&search) {
            Ok(rows) => rows,
            Err(no) => return Some(Err(no.why)),
        };
        let last = |host: &str| {
            let row = rows.iter().find(|row| row.get("host").and_then(serde_json::Value::as_str) == Some(&self.fqdn(host)))?;
            row.get("last")?.as_str()?.parse::<f64>().ok().map(|at| at as i64)
        };
        let arrival = |host: &String| Arrival { source: "Splunk".to_owned(), host: host.clone(), at: last(host) };
        Some(Ok(self.forwarders.iter().map(arrival).collect()))
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        if self.api.is_empty() {
            let why = "nobody can search in the indexer: set splunk_api_url and splunk_api_user, and the password with `poclab secrets set \
                       splunk_api_password`";
            return vec![Outcome::new("what the hosts print arrives at the indexer", Verdict::Skipped(why.to_owned()))];
        }
        if self.forwarders.is_empty() {
            return vec![Outcome::new(
                "Splunk can be asked",
                Verdict::Failed("forwarders must not be empty: nothing would be proven".into()),
            )];
        }
        progress(&format!("asking Splunk on {}", self.host));
        let api = self.api(reach);
        let mut out = api.outcomes(&self.index);
        let failed = |verdict: &Verdict| matches!(verdict, Verdict::Failed(_));
        let refuses = out.iter().any(|outcome| failed(&outcome.verdict)).then_some("Splunk is not as it must be, as said above");
        let run = nonce();
        progress(&format!("printing lines on {}", names(&self.forwarders)));
        let mut markers = self.print(reach, &run, &mut out);
        if let Some(collector) = &self.collector {
            let (text, host) = (format!("poclab-{run}-collector"), self.fqdn(&self.host));
            let told = collector.outcomes(&api, &self.index, &host, &text);
            // What was not taken cannot be found.
            if matches!(told[0].verdict, Verdict::Passed(_)) {
                let what = "the event collector".to_owned();
                markers.push(Marker { what, host: self.host.clone(), text, container: None, from: collector::SOURCE });
            }
            out.extend(told);
        }
        progress(&format!("waiting up to {} s until they are found", self.patience));
        let begun = Instant::now();
        let found = loop {
            let found = self.found(&api, &run);
            let enough = match &found {
                Ok(found) => markers.iter().all(|marker| matches!(marker.judge(self, found, None), Verdict::Passed(_))),
                Err(no) => no.lasting,
            };
            if enough || begun.elapsed() >= Duration::from_secs(self.patience) {
                break found;
            }
            std::thread::sleep(Duration::from_secs(2));
        };
        self.clean(reach, &run);
        match found {
            Err(no) => out.push(Outcome::new("what is printed can be searched for", Verdict::Failed(no.why))),
            Ok(found) => {
                let late: Vec<&String> = self.forwarders.iter().filter(|host| self.misses(host, &markers, &found)).collect();
                let states: BTreeMap<&String, Verdict> =
                    late.iter().copied().zip(on_all(&late, |host| splunk_forwarder::state(reach, host))).collect();
                for marker in &markers {
                    let known = match states.get(&marker.host) {
                        Some(Verdict::Failed(why)) => Some(format!("its forwarder is not as it must be: {why}")),
                        _ => refuses.map(str::to_owned),
                    };
                    out.push(Outcome::new(format!("a line of {} is found", marker.what), marker.judge(self, &found, known.as_deref())));
                }
            }
        }
        out.push(Outcome::control("a line that nobody printed is not found", api.nothing(&self.index)));
        out
    }
}
