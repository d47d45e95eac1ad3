//! The server: receiving from forwarders, HTTP event collector, REST API and a page.
//!
//! Configured as the image of Splunk Enterprise: SPLUNK_START_ARGS and SPLUNK_GENERAL_TERMS in the environment,
//! /tmp/defaults/default.yml for the rest. As there, a file that may not be read is the same as none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::events::Events;
use super::rest::Objects;
use super::wire::{Ack, Batch, Event};
use crate::common::http::{Handler, Request, serve};
use crate::common::store::Store;

const DEFAULTS: &str = "/tmp/defaults/default.yml";

/// What default.yml and the environment say.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The administrator's password.
    pub password: String,
    /// The event collector's token.
    pub token: String,
    /// Indexes that exist from the start.
    pub indexes: BTreeSet<String>,
    /// Megabytes that must be free; with less, nothing is indexed.
    pub min_free: u64,
    ports: Ports,
    certificate: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Ports {
    api: u16,
    collector: u16,
    receive: u16,
    web: u16,
}

impl Settings {
    /// Reads them; what the image refuses is refused.
    pub fn read(environment: &dyn Fn(&str) -> String, defaults: &str) -> Result<Self, String> {
        if !environment("SPLUNK_START_ARGS").contains("--accept-license") {
            return Err("License not accepted, please adjust SPLUNK_START_ARGS to indicate you have accepted the license.".to_owned());
        }
        if environment("SPLUNK_GENERAL_TERMS") != "--accept-sgt-current-at-splunk-com" {
            return Err("License not accepted, please set SPLUNK_GENERAL_TERMS (the Splunk General Terms).".to_owned());
        }
        let value: Value = serde_yaml::from_str(defaults).map_err(|why| format!("default.yml: {why}"))?;
        let splunk = &value["splunk"];
        let text = |path: &str| splunk.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let password = Some(environment("SPLUNK_PASSWORD")).filter(|given| !given.is_empty()).unwrap_or_else(|| text("/password"));
        if password.len() < 8 {
            return Err(
                "Splunk password must be supplied, with at least 8 characters: splunk.password in default.yml (is it readable?) or \
                        SPLUNK_PASSWORD"
                    .to_owned(),
            );
        }
        let port = |path: &str, default: u16| {
            splunk.pointer(path).and_then(Value::as_u64).and_then(|port| port.try_into().ok()).unwrap_or(default)
        };
        for part in ["s2s", "hec", "ssl"] {
            let on = |field: &str| splunk[part][field] == true;
            if !on("enable") || !(part == "ssl" || on("ssl")) {
                return Err(format!("default.yml: (of the rehearsal) splunk.{part} must be enabled, with TLS"));
            }
        }
        let mut indexes: BTreeSet<String> = ["main", "_internal"].map(str::to_owned).into();
        let mut min_free = 5000;
        for conf in splunk["conf"].as_array().into_iter().flatten() {
            let content = &conf["value"]["content"];
            match conf["key"].as_str() {
                Some("indexes") => indexes.extend(content.as_object().into_iter().flat_map(|all| all.keys().cloned())),
                Some("server") => {
                    if let Some(wanted) = content["diskUsage"]["minFreeSpace"].as_u64() {
                        min_free = wanted;
                    }
                }
                _ => {}
            }
        }
        let ports = Ports {
            api: port("/svc_port", 8089),
            collector: port("/hec/port", 8088),
            receive: port("/s2s/port", 9997),
            web: port("/http_port", 8000),
        };
        Ok(Self { password, token: text("/hec/token"), indexes, min_free, ports, certificate: text("/s2s/cert").into() })
    }
}

/// How Splunk begins what it says about a disk that is full.
const PAUSED: &str = "The index processor has paused data flow.";

/// The service.
pub struct Splunk {
    /// How it is set up.
    pub settings: Settings,
    /// Indexes, and whether each is disabled. A restart makes of them what default.yml says.
    pub indexes: Mutex<BTreeMap<String, bool>>,
    events: Mutex<Events>,
    /// What people see at the top of every page.
    pub messages: Mutex<BTreeSet<String>>,
    /// Saved searches and views.
    pub objects: Store<Objects>,
}

impl Splunk {
    /// What was indexed in this folder before, set up like this.
    pub fn open(settings: Settings, folder: &Path) -> Result<Self, String> {
        let indexes = Mutex::new(settings.indexes.iter().map(|name| (name.clone(), false)).collect());
        let events = Events::open(folder).map_err(|why| format!("{}: {why}", folder.display()))?;
        let objects = Store::open(&folder.join("objects.json")).map_err(|why| why.to_string())?;
        Ok(Self { settings, indexes, events: Mutex::new(events), messages: Mutex::default(), objects })
    }

    /// All events.
    pub fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something to everybody.
    pub fn say(&self, text: String) {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).insert(text);
    }

    /// All indexes.
    pub fn indexes(&self) -> MutexGuard<'_, BTreeMap<String, bool>> {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether events of this index are kept: it exists, and is not disabled.
    pub fn takes(&self, index: &str) -> bool {
        self.indexes().get(index) == Some(&false)
    }

    /// Whether there is room for more. If not, it says so, in Splunk's words.
    pub fn has_room(&self) -> bool {
        let free = self.events().free().unwrap_or(0);
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.retain(|text| !text.starts_with(PAUSED));
        if free >= self.settings.min_free {
            return true;
        }
        messages.insert(format!(
            "{PAUSED} Current free disk space on partition '/opt/splunk/var' has fallen to {free}MB, below the minimum of {}MB. Data writes \
             to index path '/opt/splunk/var/lib/splunk/audit/db'cannot safely proceed. Increase free disk space on partition \
             '/opt/splunk/var' by removing or relocating data.",
            self.settings.min_free
        ));
        false
    }

    /// Keeps what is for an index that exists; the rest is dropped, and said. `false`: nothing may be kept now.
    pub fn index(&self, events: Vec<Event>) -> bool {
        if !self.has_room() {
            return false;
        }
        let (known, unknown): (Vec<Event>, Vec<Event>) = events.into_iter().partition(|event| self.takes(&event.index));
        for event in unknown {
            self.say(format!(
                "Received event for unconfigured/disabled/deleted index={} with source={} host={}.",
                event.index, event.source, event.host
            ));
        }
        self.events().add(known).is_ok()
    }
}

/// Serves until it is ended.
pub fn run() -> Result<(), String> {
    let environment = |name: &str| std::env::var(name).unwrap_or_default();
    let defaults = std::fs::read_to_string(DEFAULTS).unwrap_or_default();
    let settings = Settings::read(&environment, &defaults)?;
    let folder = Path::new("/opt/splunk/var");
    let acceptor = acceptor(&settings.certificate)?;
    let splunk = Arc::new(Splunk::open(settings, folder)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|why| why.to_string())?;
    runtime.block_on(async move {
        let ports = splunk.settings.ports;
        let handler = |answer: fn(&Splunk, &Request) -> crate::common::http::Response| -> Handler {
            let splunk = Arc::clone(&splunk);
            Arc::new(move |request: Request| answer(&splunk, &request))
        };
        let listen = async |port: u16| TcpListener::bind(("0.0.0.0", port)).await.map_err(|why| format!("port {port}: {why}"));
        tokio::spawn(serve(listen(ports.api).await?, Some(acceptor.clone()), handler(super::rest::api)));
        tokio::spawn(serve(listen(ports.collector).await?, Some(acceptor.clone()), handler(super::rest::collector)));
        tokio::spawn(serve(listen(ports.web).await?, Some(acceptor.clone()), handler(super::rest::web)));
        let receiving = listen(ports.receive).await?;
        println!("Ansible playbook complete, will begin streaming splunkd_stderr.log (stand-in of the poclab rehearsal, not Splunk)");
        let receive = tokio::spawn(receive(receiving, acceptor, Arc::clone(&splunk)));
        let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(|why| why.to_string())?;
        ended.recv().await;
        receive.abort();
        Ok(())
    })
}

/// What the image's HEALTHCHECK asks: whether the service's port answers.
pub fn healthy() -> Result<(), String> {
    let defaults = std::fs::read_to_string(DEFAULTS).map_err(|why| format!("{DEFAULTS}: {why}"))?;
    let settings = Settings::read(&|name| std::env::var(name).unwrap_or_default(), &defaults)?;
    std::net::TcpStream::connect(("127.0.0.1", settings.ports.receive)).map(drop).map_err(|why| why.to_string())
}

/// The certificate and its key are in one file, as Splunk has them.
fn acceptor(file: &Path) -> Result<TlsAcceptor, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    let chain = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|why| wrong(&why))?;
    let key = PrivateKeyDer::from_pem_file(file).map_err(|why| wrong(&why))?;
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|why| wrong(&why))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn receive(listener: TcpListener, acceptor: TlsAcceptor, splunk: Arc<Splunk>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, splunk) = (acceptor.clone(), Arc::clone(&splunk));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while matches!(stream.read_line(&mut line).await, Ok(1..)) {
                let Ok(batch) = serde_json::from_str::<Batch>(&line) else { return };
                line.clear();
                let keeper = Arc::clone(&splunk);
                // Without an acknowledgement the forwarder keeps what it has, and comes again.
                if !tokio::task::spawn_blocking(move || keeper.index(batch.events)).await.unwrap_or(false) {
                    return;
                }
                let Ok(mut ack) = serde_json::to_vec(&Ack { ack: batch.id }) else { return };
                ack.push(b'\n');
                if stream.get_mut().write_all(&ack).await.is_err() || stream.get_mut().flush().await.is_err() {
                    return;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TEXT: &str = "hide_password: true\nsplunk:\n  password: long-enough\n  hec: {enable: true, ssl: true, port: 8088, token: t}\n  s2s: {enable: true, ssl: true, port: 9997, cert: /c}\n  ssl: {enable: true}\n  conf:\n    - {key: indexes, value: {directory: /d, content: {lab: {a: b}}}}\n    - {key: server, value: {directory: /d, content: {diskUsage: {minFreeSpace: 7}}}}\n";

    fn read(change: (&str, &str), defaults: &str) -> Result<Settings, String> {
        let environment = |name: &str| {
            let all = [("SPLUNK_START_ARGS", "--accept-license"), ("SPLUNK_GENERAL_TERMS", "--accept-sgt-current-at-splunk-com")];
            if name == change.0 {
                change.1.to_owned()
            } else {
                all.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()).unwrap_or_default()
            }
        };
        Settings::read(&environment, defaults)
    }

    #[test]
    fn terms_and_tls_are_demanded() {
        let settings = read(("", ""), TEXT).unwrap();
        assert!(settings.indexes.contains("lab") && settings.min_free == 7 && settings.token == "t" && settings.password == "long-enough");
        for variable in ["SPLUNK_START_ARGS", "SPLUNK_GENERAL_TERMS"] {
            assert!(read((variable, ""), TEXT).is_err(), "{variable}");
        }
        assert!(read(("", ""), &TEXT.replace("s2s: {enable: true, ssl: true", "s2s: {enable: true, ssl: false")).is_err());
        // A file that may not be read is no file: nobody has given a password.
        assert!(read(("", ""), "").unwrap_err().contains("password"));
        assert_eq!(read(("SPLUNK_PASSWORD", "from-outside"), TEXT).unwrap().password, "from-outside");
    }
}
