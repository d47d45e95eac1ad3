//! The forwarder: tails files and the journal, sends batches over TLS, and goes on only with what was acknowledged.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde::{Deserialize, Serialize};

use super::conf::Conf;
use super::tail::{self, news};
use super::wire::{Ack, Batch, Event};
use super::{first, journal};
use crate::common::store::save;

/// Most events of one batch.
const BATCH: usize = 500;
/// Time for an acknowledgement.
const PATIENCE: Duration = Duration::from_secs(15);

/// What it is told to do, from inputs.conf, outputs.conf and server.conf.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Patterns of files, with the host's name, index and sourcetype.
    pub files: Vec<Input>,
    /// The journal's stanza, with the same.
    pub journal: Option<Input>,
    /// `name:port` of the server.
    pub server: String,
    /// PEM file of the authorities.
    pub authorities: PathBuf,
}

/// Something to read.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Path with `*`, or the journal's source.
    pub what: String,
    /// The name of the host that its events have.
    pub host: String,
    /// The index.
    pub index: String,
    /// The sourcetype.
    pub sourcetype: String,
}

impl Settings {
    /// Reads the files; what the real one would refuse, or would do without protection, is an error.
    pub fn read(home: &Path) -> Result<Self, String> {
        let (inputs, outputs, server) = (Conf::read(home, "inputs")?, Conf::read(home, "outputs")?, Conf::read(home, "server")?);
        let group = format!("tcpout:{}", outputs.get("tcpout", "defaultGroup"));
        let address = outputs.get(&group, "server").to_owned();
        if address.is_empty() {
            return Err("ERROR outputs.conf names no server".to_owned());
        }
        if !outputs.yes(&group, "useSSL") || !outputs.yes(&group, "sslVerifyServerCert") {
            return Err(
                "ERROR (of the rehearsal) only TLS with a verified certificate: useSSL and sslVerifyServerCert must be true".to_owned()
            );
        }
        if !outputs.yes(&group, "useACK") {
            return Err("ERROR (of the rehearsal) useACK must be true: nothing may be lost".to_owned());
        }
        // What a stanza does not say is said by [default].
        let said = |stanza: &str, key: &str| {
            let own = inputs.get(stanza, key);
            if own.is_empty() { inputs.get("default", key).to_owned() } else { own.to_owned() }
        };
        let input = |what: &str, stanza: &str| {
            let index = said(stanza, "index");
            Input {
                what: what.to_owned(),
                host: said(stanza, "host"),
                index: if index.is_empty() { "main".to_owned() } else { index },
                sourcetype: said(stanza, "sourcetype"),
            }
        };
        let wanted: Vec<&String> = inputs.0.keys().filter(|stanza| !inputs.yes(stanza, "disabled")).collect();
        let files = wanted.iter().filter_map(|stanza| Some(input(stanza.strip_prefix("monitor://")?, stanza))).collect();
        let journal = wanted.iter().find(|stanza| stanza.starts_with("journald://")).map(|stanza| input(stanza, stanza));
        Ok(Self { files, journal, server: address, authorities: server.get("sslConfig", "sslRootCAPath").into() })
    }
}

type Stream = BufReader<StreamOwned<ClientConnection, TcpStream>>;

/// How far it has read; on disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Positions {
    files: tail::Positions,
    cursor: Option<String>,
}

struct Forwarder {
    home: PathBuf,
    settings: Settings,
    positions: Positions,
    connection: Option<Stream>,
    batch: u64,
    told: BTreeSet<String>,
}

/// Runs until it is ended.
pub fn run(home: &Path) -> Result<(), String> {
    if !home.join("etc/passwd").exists() {
        return Err("ERROR the forwarder has no administrator: user-seed.conf must be there before its first start".to_owned());
    }
    first::start(home)?;
    let settings = Settings::read(home)?;
    let positions = std::fs::read(home.join("var/lib/splunk/fishbucket.json")).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let mut forwarder = Forwarder {
        home: home.to_owned(),
        settings,
        positions: positions.unwrap_or_default(),
        connection: None,
        batch: 0,
        told: BTreeSet::new(),
    };
    forwarder.log(&format!("INFO splunkd {} started, forwarding to {}", super::VERSION, forwarder.settings.server));
    loop {
        let more = forwarder.round();
        if !more {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

impl Forwarder {
    fn log(&self, text: &str) {
        eprintln!("{text}");
        let path = self.home.join("var/log/splunk/splunkd.log");
        if let Ok(mut file) = File::options().create(true).append(true).open(path) {
            let _ = writeln!(file, "{} {text}", crate::common::now());
        }
    }

    /// Reads what is new and sends it; whether there is more to send at once.
    fn round(&mut self) -> bool {
        let (mut troubles, mut next) = (BTreeSet::new(), self.positions.clone());
        let (found, files) = news(&self.settings.files, &next.files, BATCH, &mut troubles);
        next.files = files;
        let of = |line: tail::Line| event(&self.settings.files[line.input], &line.source, line.raw, now());
        let mut events: Vec<Event> = found.into_iter().map(of).collect();
        if let Some(input) = &self.settings.journal {
            match journal::since(self.positions.cursor.as_deref(), BATCH) {
                Ok(found) => {
                    next.cursor = found.last().map(|line| line.cursor.clone()).or(next.cursor);
                    events.extend(found.into_iter().map(|line| event(input, &input.what, line.text, line.time)));
                }
                Err(why) => drop(troubles.insert(why)),
            }
        }
        for trouble in troubles.difference(&self.told) {
            self.log(&format!("ERROR TailReader - {trouble}"));
        }
        self.told = troubles;
        let full = events.len() >= BATCH;
        if events.is_empty() || self.ship(events) {
            if next != self.positions {
                self.positions = next;
                if let Err(why) = save(&self.home.join("var/lib/splunk/fishbucket.json"), &self.positions) {
                    self.log(&format!("ERROR cannot write down the positions: {why}"));
                }
            }
            return full;
        }
        false
    }

    /// Sends a batch; whether it was acknowledged. What was not is read and sent again.
    fn ship(&mut self, events: Vec<Event>) -> bool {
        self.batch += 1;
        let batch = Batch { id: self.batch, events };
        let sent = self.exchange(&batch);
        let active = sent.is_ok();
        if let Err(why) = sent {
            self.connection = None;
            self.log(&format!("WARN TcpOutputProc - {}: {why}", self.settings.server));
        }
        let _ =
            save(&self.home.join("var/run/splunk/forwards.json"), &serde_json::json!({"server": self.settings.server, "active": active}));
        active
    }

    fn exchange(&mut self, batch: &Batch) -> Result<(), String> {
        let mut stream = match self.connection.take() {
            Some(stream) => stream,
            None => connect(&self.settings)?,
        };
        let mut line = serde_json::to_vec(batch).map_err(|why| why.to_string())?;
        line.push(b'\n');
        stream.get_mut().write_all(&line).and_then(|()| stream.get_mut().flush()).map_err(|why| why.to_string())?;
        let mut answer = String::new();
        stream.read_line(&mut answer).map_err(|why| format!("no acknowledgement: {why}"))?;
        let ack: Ack = serde_json::from_str(&answer).map_err(|_| "no acknowledgement: the connection was closed".to_owned())?;
        if ack.ack != batch.id {
            return Err("an acknowledgement of something else".to_owned());
        }
        self.connection = Some(stream);
        Ok(())
    }
}

fn event(input: &Input, source: &str, raw: String, time: f64) -> Event {
    Event {
        time,
        host: input.host.clone(),
        source: source.to_owned(),
        sourcetype: input.sourcetype.clone(),
        index: input.index.clone(),
        raw,
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn connect(settings: &Settings) -> Result<Stream, String> {
    let mut roots = RootCertStore::empty();
    let wrong = |why: &dyn std::fmt::Display| format!("sslRootCAPath {}: {why}", settings.authorities.display());
    for certificate in CertificateDer::pem_file_iter(&settings.authorities).map_err(|why| wrong(&why))? {
        roots.add(certificate.map_err(|why| wrong(&why))?).map_err(|why| wrong(&why))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = settings.server.rsplit_once(':').map_or(settings.server.as_str(), |(name, _)| name).to_owned();
    let server = ServerName::try_from(name).map_err(|why| why.to_string())?;
    let tcp = TcpStream::connect(&settings.server).map_err(|why| why.to_string())?;
    tcp.set_read_timeout(Some(PATIENCE)).and_then(|()| tcp.set_write_timeout(Some(PATIENCE))).map_err(|why| why.to_string())?;
    let tls = ClientConnection::new(Arc::new(config), server).map_err(|why| why.to_string())?;
    Ok(BufReader::new(StreamOwned::new(tls, tcp)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn home(outputs: &str) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let local = home.path().join("etc/apps/poclab/local");
        std::fs::create_dir_all(&local).unwrap();
        std::fs::write(local.join("outputs.conf"), outputs).unwrap();
        std::fs::write(local.join("server.conf"), "[sslConfig]\nsslRootCAPath = /ca.pem\n").unwrap();
        std::fs::write(
            local.join("inputs.conf"),
            "[default]\nhost = other\n[monitor:///x/*/*-json.log*]\nhost = a.lab\nindex = lab\nsourcetype = docker:json\n[journald://lab]\nhost = a.lab\nindex = lab\n[monitor:///off]\ndisabled = 1\n",
        )
        .unwrap();
        home
    }

    const GOOD: &str =
        "[tcpout]\ndefaultGroup = lab\n[tcpout:lab]\nserver = r.lab:9997\nuseACK = true\nuseSSL = true\nsslVerifyServerCert = true\n";

    #[test]
    fn the_configuration_is_splunks() {
        let settings = Settings::read(home(GOOD).path()).unwrap();
        assert_eq!((settings.server.as_str(), settings.files.len()), ("r.lab:9997", 1));
        let of = |input: &Input| [&input.what, &input.host, &input.index].map(Clone::clone);
        assert_eq!(of(&settings.files[0]), ["/x/*/*-json.log*", "a.lab", "lab"]);
        assert_eq!(of(&settings.journal.unwrap())[..2], ["journald://lab", "a.lab"]);
        for line in ["useACK = true\n", "useSSL = true\n", "sslVerifyServerCert = true\n", "server = r.lab:9997\n"] {
            assert!(Settings::read(home(&GOOD.replace(line, "")).path()).is_err(), "{line}");
        }
    }
}
