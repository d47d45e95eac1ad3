//! The agent: measures every few seconds and sends it; what could not be sent is kept and sent later.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::blocking::Client;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::configuration::Configuration;
use super::control::{self, Health, Shared, Verdict};
use super::docker::Docker;
use super::host::{self, Cpu};
use super::payload::{MetricPayload, MetricPoint, MetricSeries, Resource, pack};

/// Seconds between two looks. The real agent takes 15.
const INTERVAL: u64 = 5;
/// Requests that are kept while the intake does not answer; older ones are lost, as the real agent's memory is bounded, too.
const KEPT: usize = 500;
/// How often it asks whether its key is valid, as the real one does: a key that is revoked meanwhile is not noticed before.
const VALIDATED: Duration = Duration::from_secs(3600);
/// The authorities that the system trusts, as EL7 has them.
const AUTHORITIES: &str = "/etc/pki/tls/certs/ca-bundle.crt";

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
    let health: Shared = Arc::new(Mutex::new(Health::new(&configuration.key)));
    control::open(&configuration, &health)?;
    let client = client(&configuration)?;
    let with_docker = checks.join("docker.d/conf.yaml").is_file() || Path::new("/var/run/docker.sock").exists();
    println!("Datadog Agent {} is running: {} to {}", super::VERSION, configuration.hostname, configuration.url);
    let mut agent = Agent { configuration, client, health, queue: VecDeque::new() };
    agent.introduce();
    let (mut docker, mut before) = (Docker::new(agent.configuration.labels.clone()), None);
    let mut validated: Option<Instant> = None;
    loop {
        if validated.is_none_or(|at| at.elapsed() >= VALIDATED) {
            agent.validate();
            validated = Some(Instant::now());
        }
        agent.look(&mut before, with_docker.then_some(&mut docker));
        agent.send();
        std::thread::sleep(Duration::from_secs(INTERVAL));
    }
}

/// A client that trusts what the system trusts.
fn client(configuration: &Configuration) -> Result<Client, String> {
    let builder = Client::builder().timeout(Duration::from_secs(20)).no_proxy();
    let builder = match &configuration.proxy {
        Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy).map_err(|why| format!("Error: proxy {proxy}: {why}"))?),
        None => builder,
    };
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

    /// Asks whether the key is valid. Without an answer it is taken for good, so that an outage there ends no agent.
    fn validate(&self) {
        let url = format!("{}/api/v1/validate?api_key={}", self.configuration.url, self.configuration.key);
        let verdict = match self.client.get(url).send().map(|answer| answer.status().as_u16()) {
            Ok(200) => Verdict::Valid,
            Ok(403) => Verdict::Invalid,
            Ok(_) => Verdict::Unexpected,
            Err(_) => Verdict::Unreachable,
        };
        self.know(|health| health.key = verdict);
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
            let status = match request.send() {
                Ok(answer) => answer.status().as_u16(),
                Err(why) => {
                    self.know(|health| health.failed(why.is_connect()));
                    self.queue.push_front(waiting);
                    let mut cause: &dyn std::error::Error = &why;
                    while let Some(inner) = cause.source() {
                        cause = inner;
                    }
                    eprintln!("error while sending transaction, rescheduling it: {}: {cause}", self.configuration.url);
                    break;
                }
            };
            let path = waiting.path;
            self.know(|health| health.answered(status));
            match status {
                200..=299 => {}
                // As the real one: what is refused for its key, or for itself, is dropped.
                403 => eprintln!("API Key invalid, dropping transaction for {path}"),
                400 | 413 => eprintln!("error code {status} received while sending transaction to {path}, dropping it"),
                _ => {
                    self.queue.push_front(waiting);
                    eprintln!("error {status} while sending transaction to {path}, rescheduling it");
                    break;
                }
            }
        }
        let waiting = self.queue.len() as u64;
        self.know(|health| health.waiting = waiting);
    }
}
