//! The agent: measures every few seconds and sends it; what could not be sent is kept and sent later.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::blocking::Client;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::control::{self, Health, Shared, texts};
use super::docker::Docker;
use super::host::{self, Cpu};
use super::payload::{MetricPayload, MetricPoint, MetricSeries, Resource, pack};

/// Seconds between two looks. The real agent takes 15.
const INTERVAL: u64 = 5;
/// Requests that are kept while the intake does not answer; older ones are lost, as the real agent's memory is bounded, too.
const KEPT: usize = 500;
/// The authorities that the system trusts, as EL7 has them.
const AUTHORITIES: &str = "/etc/pki/tls/certs/ca-bundle.crt";

/// datadog.yaml, as far as the roles use it.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// Where metrics are sent.
    pub url: String,
    /// The API key.
    pub key: String,
    /// The name that it reports.
    pub hostname: String,
    /// Tags of everything that it sends.
    pub tags: Vec<String>,
    /// The port that `health` and `status` ask.
    pub cmd_port: u16,
    /// The port for its own numbers.
    pub expvar_port: u16,
}

impl Configuration {
    /// Reads the file; an error is what the agent says before it ends.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text =
            std::fs::read_to_string(path).map_err(|why| format!("Error: unable to load Datadog config file: {}: {why}", path.display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_yaml::from_str(text).map_err(|why| format!("Error: unable to load Datadog config file: {why}"))?;
        let word = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        let port = |field: &str, default: u16| match &value[field] {
            Value::Null => Ok(default),
            other => other.as_u64().and_then(|port| port.try_into().ok()).ok_or_else(|| format!("Error: {field} is not a port: {other}")),
        };
        let key = word("api_key");
        if key.is_empty() {
            return Err("Error: no API key configured, exiting".to_owned());
        }
        let url = match (word("dd_url"), word("site")) {
            (url, _) if !url.is_empty() => url,
            (_, site) if !site.is_empty() => format!("https://app.{site}"),
            _ => "https://app.datadoghq.com".to_owned(),
        };
        let hostname = match word("hostname") {
            name if name.is_empty() => std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
            name => name,
        };
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            key,
            hostname,
            tags: texts(&value["tags"]),
            cmd_port: port("cmd_port", 5001)?,
            expvar_port: port("expvar_port", 5000)?,
        })
    }
}

/// A request that waits.
struct Waiting {
    path: &'static str,
    kind: &'static str,
    encoding: &'static str,
    body: Vec<u8>,
}

struct Agent {
    configuration: Configuration,
    client: Client,
    health: Shared,
    queue: VecDeque<Waiting>,
}

/// Runs until it is ended.
pub fn run(configuration: &Path, checks: &Path) -> Result<(), String> {
    let configuration = Configuration::read(configuration)?;
    let health: Shared = Arc::new(Mutex::new(Health::default()));
    control::open(&configuration, &health)?;
    let client = client(&configuration)?;
    let with_docker = checks.join("docker.d/conf.yaml").is_file() || Path::new("/var/run/docker.sock").exists();
    println!("Datadog Agent {} is running: {} to {}", super::VERSION, configuration.hostname, configuration.url);
    let mut agent = Agent { configuration, client, health, queue: VecDeque::new() };
    agent.introduce();
    let (mut docker, mut before) = (Docker::default(), None);
    loop {
        agent.look(&mut before, with_docker.then_some(&mut docker));
        agent.send();
        std::thread::sleep(Duration::from_secs(INTERVAL));
    }
}

/// A client that trusts what the system trusts.
fn client(configuration: &Configuration) -> Result<Client, String> {
    let builder = Client::builder().timeout(Duration::from_secs(20)).no_proxy();
    if configuration.url.starts_with("http://") {
        return builder.build().map_err(|why| why.to_string());
    }
    let pem = std::fs::read(AUTHORITIES).map_err(|why| format!("Error: {AUTHORITIES}: {why}"))?;
    let all = reqwest::Certificate::from_pem_bundle(&pem).map_err(|why| format!("Error: {AUTHORITIES}: {why}"))?;
    all.into_iter().fold(builder, |builder, one| builder.add_root_certificate(one)).build().map_err(|why| why.to_string())
}

impl Agent {
    fn know(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn wait(&mut self, waiting: Waiting) {
        if self.queue.len() == KEPT {
            self.queue.pop_front();
        }
        self.queue.push_back(waiting);
    }

    /// The host's own data, once.
    fn introduce(&mut self) {
        let body = json!({
            "internalHostname": self.configuration.hostname, "agentVersion": super::VERSION, "os": "linux",
            "host-tags": {"system": self.configuration.tags},
        });
        self.wait(Waiting { path: "/intake/", kind: "application/json", encoding: "identity", body: body.to_string().into_bytes() });
    }

    /// One look at everything.
    fn look(&mut self, before: &mut Option<Cpu>, docker: Option<&mut Docker>) {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let mut measured: Vec<(&'static str, Vec<String>, f64)> = Vec::new();
        let cpu = std::fs::read_to_string("/proc/stat").ok().and_then(|text| host::cpu(&text));
        if let (Some(before), Some(cpu)) = (*before, cpu) {
            measured.extend(host::cpu_metrics(before, cpu).into_iter().map(|(name, value)| (name, Vec::new(), value)));
        }
        *before = cpu;
        measured.extend(host::other_metrics(Path::new("/proc")).into_iter().map(|(name, value)| (name, Vec::new(), value)));
        measured.push(("datadog.agent.running", vec![format!("version:{}", super::VERSION)], 1.0));
        let mut up = vec![("datadog.agent.up", 0)];
        if let Some(docker) = docker {
            let seen = docker.measure();
            up.push(("docker.service_up", if seen.is_ok() { 0 } else { 2 }));
            if let Err(why) = &seen {
                eprintln!("Error running check docker: {why}");
            }
            let state = seen.as_ref().map(|_| ()).map_err(ToString::to_string);
            measured.extend(seen.unwrap_or_default());
            self.know(|health| health.docker = Some(state));
        }
        let (hostname, tags) = (self.configuration.hostname.clone(), self.configuration.tags.clone());
        let series = measured.into_iter().map(|(name, own, value)| MetricSeries {
            resources: vec![Resource { kind: "host".to_owned(), name: hostname.clone() }],
            metric: name.to_owned(),
            tags: own.into_iter().chain(tags.iter().cloned()).collect(),
            points: vec![MetricPoint { value, timestamp: now }],
            kind: 3,
            source_type_name: "System".to_owned(),
            interval: INTERVAL as i64,
            ..MetricSeries::default()
        });
        match pack(&MetricPayload { series: series.collect() }) {
            Ok(body) => self.wait(Waiting { path: "/api/v2/series", kind: "application/x-protobuf", encoding: "deflate", body }),
            Err(why) => eprintln!("cannot pack the metrics: {why}"),
        }
        let checks: Vec<Value> = up
            .into_iter()
            .map(|(check, status)| json!({"check": check, "host_name": hostname, "timestamp": now, "status": status, "tags": tags}))
            .collect();
        let body = Value::Array(checks).to_string().into_bytes();
        self.wait(Waiting { path: "/api/v1/check_run", kind: "application/json", encoding: "identity", body });
    }

    /// Sends what waits, oldest first; stops at the first that cannot be sent.
    fn send(&mut self) {
        while let Some(waiting) = self.queue.pop_front() {
            let request =
                self.client.post(format!("{}{}", self.configuration.url, waiting.path)).header("DD-API-KEY", &self.configuration.key);
            let request =
                request.header("Content-Type", waiting.kind).header("Content-Encoding", waiting.encoding).body(waiting.body.clone());
            let trouble = match request.send().map(|answer| answer.status().as_u16()) {
                Ok(200..=299) => {
                    self.know(|health| {
                        health.sent += 1;
                        health.unhealthy.clear();
                    });
                    continue;
                }
                // As the real one: what is refused for its key is dropped.
                Ok(403) => "API Key invalid, dropping transaction".to_owned(),
                Ok(413) => "the intake says that the payload is too large, dropping transaction".to_owned(),
                Ok(status) => {
                    self.queue.push_front(waiting);
                    format!("the intake answers {status}")
                }
                Err(why) => {
                    self.queue.push_front(waiting);
                    let mut cause: &dyn std::error::Error = &why;
                    while let Some(inner) = cause.source() {
                        cause = inner;
                    }
                    format!("cannot reach {}: {cause}", self.configuration.url)
                }
            };
            eprintln!("forwarder: {trouble}");
            self.know(|health| health.unhealthy = vec![("forwarder".to_owned(), trouble)]);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_configuration_is_the_agents() {
        let read = Configuration::parse("api_key: k\nsite: datadoghq.eu\nhostname: a.lab\ntags: [lab:x]\nexpvar_port: 6062\n").unwrap();
        let want = Configuration {
            url: "https://app.datadoghq.eu".into(),
            key: "k".into(),
            hostname: "a.lab".into(),
            tags: vec!["lab:x".into()],
            cmd_port: 5001,
            expvar_port: 6062,
        };
        assert_eq!(read, want);
        assert_eq!(Configuration::parse("api_key: k\nsite: a\ndd_url: https://x:8443/\n").unwrap().url, "https://x:8443");
        assert_eq!(Configuration::parse("site: a\n").unwrap_err(), "Error: no API key configured, exiting");
        assert!(Configuration::parse("api_key: k\ncmd_port: many\n").is_err());
    }
}
