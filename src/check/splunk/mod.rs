//! Splunk has what containers, hosts and the application print: asked by searches, not at the forwarders.

mod api;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;

use super::run::{Framed, blind, names, on_all, succeed};
use super::{Arrival, CheckKind, Outcome, Reach, Verdict, shapes};
use crate::base::frame::nonce;
use crate::base::{Secret, quote};
pub(super) use api::Api;

/// Splunk answers and has room; every forwarder runs and may read the containers' logs; a unique line that a container, the journal and
/// the application print is found by a search, with its host and (of a container) its name.
///
/// Controls: a wrong password must be refused, and a line that nobody printed must not be found.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of Splunk's host, which asks.
    pub host: String,
    /// Splunk's API: `https://registry.lab.example:8089`.
    pub api: String,
    /// Who asks.
    pub user: String,
    /// The password.
    #[serde(deserialize_with = "shapes::secret")]
    #[schemars(with = "String")]
    pub password: Secret,
    /// The index that everything goes to.
    pub index: String,
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

/// Where a line was printed, and how it must be found.
#[derive(Debug, Clone, PartialEq)]
struct Marker {
    what: String,
    host: String,
    text: String,
    /// The container's name, if a container printed it.
    container: Option<String>,
}

/// A row of a search: host, container (may be empty), and where it was read.
type Found = BTreeMap<String, Vec<(String, String, String)>>;

impl Spec {
    fn api<'a>(&'a self, reach: &'a dyn Reach) -> Api<'a> {
        Api { reach, host: &self.host, url: &self.api, user: &self.user, password: &self.password }
    }

    fn fqdn(&self, host: &str) -> String {
        format!("{host}.{}", self.domain)
    }

    /// Whether the forwarder of a host runs and may read what belongs to root.
    fn forwarder(&self, reach: &dyn Reach, host: &str) -> Verdict {
        let asked = Framed::new()
            .ask("active", "systemctl is-active SplunkForwarder 2>&1")
            .ask(
                "process",
                "pid=$(systemctl show -p MainPID SplunkForwarder | cut -d= -f2) && [ \"$pid\" -gt 0 ] && \
                 awk '$1 == \"Uid:\" { print \"uid\", $3 } $1 == \"CapEff:\" { print \"capabilities\", $2 }' /proc/\"$pid\"/status",
            )
            .ask(
                "log",
                "tail -n 200 /opt/splunkforwarder/var/log/splunk/splunkd.log 2>/dev/null | grep -i 'permission denied' | tail -n 1",
            );
        match asked.run(reach, host, Vec::new(), Duration::from_secs(60)) {
            Err(why) => blind(host, &why),
            Ok(frames) => {
                let text = |id: &str| frames.get(id).map(|frame| frame.text().trim().to_owned()).unwrap_or_default();
                judge_forwarder(&text("active"), &text("process"), &text("log"))
            }
        }
    }

    /// Prints a line everywhere; what could not be printed is told.
    fn print(&self, reach: &dyn Reach, run: &str, out: &mut Vec<Outcome>) -> Vec<Marker> {
        let mut markers = Vec::new();
        let mut print =
            |out: &mut Vec<Outcome>, what: String, host: &str, text: String, container: Option<String>, shell: String| match succeed(
                reach,
                host,
                &shell,
                Duration::from_secs(120),
            ) {
                Ok(_) => markers.push(Marker { what, host: host.to_owned(), text, container }),
                Err(why) => out.push(Outcome::new(format!("{what} can print a line"), Verdict::Failed(why))),
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
            print(out, format!("a container on {host}"), host, text, Some(name), shell);
            let text = format!("poclab-{run}-journal-{host}");
            print(out, format!("the journal of {host}"), host, text.clone(), None, format!("logger -t poclab {text}"));
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
                        print(out, format!("the application's container {name} on {host}"), host, text, Some(name.clone()), shell);
                    }
                }
            }
        }
        markers
    }

    fn found(&self, api: &Api<'_>, run: &str) -> Result<Found, String> {
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

fn judge_forwarder(active: &str, process: &str, log: &str) -> Verdict {
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

/// Whether a line was found as what printed it; `known` says what is wrong with its way, if that was seen before.
fn judge_marker(spec: &Spec, marker: &Marker, found: &Found, known: Option<&str>) -> Verdict {
    let rows: Vec<&(String, String, String)> =
        found.iter().filter(|(raw, _)| raw.contains(&marker.text)).flat_map(|(_, rows)| rows).collect();
    let host = spec.fqdn(&marker.host);
    if rows.is_empty() {
        let log = format!("see /opt/splunkforwarder/var/log/splunk/splunkd.log on {0}, and that {0} may reach the indexer", marker.host);
        let next = known.map_or(log, |known| format!("{known}, as said above"));
        return Verdict::Failed(format!("{} was not found within {} s; {next}", marker.text, spec.patience));
    }
    let as_wanted = |row: &&&(String, String, String)| row.0 == host && marker.container.as_ref().is_none_or(|name| row.1 == *name);
    match rows.iter().find(as_wanted) {
        Some((_, name, source)) if name.is_empty() => Verdict::Passed(format!("found with host {host}, from {source}")),
        Some((_, name, _)) => Verdict::Passed(format!("found with host {host} and container {name}")),
        None => {
            let seen: Vec<String> = rows.iter().map(|(host, name, _)| format!("host {host}, container `{name}`")).collect();
            Verdict::Failed(format!(
                "found as something else ({}), must be host {host}{}; containers that are older than the daemon's log options lack their name: \
                 make them anew",
                seen.join("; "),
                marker.container.as_ref().map(|name| format!(", container {name}")).unwrap_or_default()
            ))
        }
    }
}

impl CheckKind for Spec {
    const NAME: &'static str = "splunk";

    fn id(&self) -> String {
        self.host.clone()
    }

    fn arrivals(&self, reach: &dyn Reach) -> Option<Result<Vec<Arrival>, String>> {
        let search = format!("search index={} earliest=-60m | stats latest(_time) as last by host", self.index);
        let rows = match self.api(reach).search(&search) {
            Ok(rows) => rows,
            Err(why) => return Some(Err(why)),
        };
        let last = |host: &str| {
            let row = rows.iter().find(|row| row.get("host").and_then(serde_json::Value::as_str) == Some(&self.fqdn(host)))?;
            row.get("last")?.as_str()?.parse::<f64>().ok().map(|at| at as i64)
        };
        let arrival = |host: &String| Arrival { source: "Splunk".to_owned(), host: host.clone(), at: last(host) };
        Some(Ok(self.forwarders.iter().map(arrival).collect()))
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
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
        let refuses = out.iter().any(|outcome| failed(&outcome.verdict)).then_some("Splunk is not as it must be");
        let mut broken = BTreeSet::new();
        for (host, verdict) in self.forwarders.iter().zip(on_all(&self.forwarders, |host| self.forwarder(reach, host))) {
            if failed(&verdict) {
                broken.insert(host.clone());
            }
            out.push(Outcome::new(format!("the forwarder of {host} runs and may read the logs of containers"), verdict));
        }
        let run = nonce();
        progress(&format!("printing lines on {}", names(&self.forwarders)));
        let markers = self.print(reach, &run, &mut out);
        progress(&format!("waiting up to {} s until they are found", self.patience));
        let begun = Instant::now();
        let found = loop {
            let found = self.found(&api, &run);
            let all = found
                .as_ref()
                .is_ok_and(|found| markers.iter().all(|marker| matches!(judge_marker(self, marker, found, None), Verdict::Passed(_))));
            if all || begun.elapsed() >= Duration::from_secs(self.patience) {
                break found;
            }
            std::thread::sleep(Duration::from_secs(2));
        };
        self.clean(reach, &run);
        match found {
            Err(why) => out.push(Outcome::new("what is printed can be searched for", Verdict::Failed(why))),
            Ok(found) => {
                for marker in &markers {
                    let known = broken.contains(&marker.host).then_some("its forwarder is not as it must be").or(refuses);
                    out.push(Outcome::new(format!("a line of {} is found", marker.what), judge_marker(self, marker, &found, known)));
                }
            }
        }
        out.push(Outcome::control("a line that nobody printed is not found", api.nothing(&self.index)));
        out
    }
}
