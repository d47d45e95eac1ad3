//! The forwarder: tails files and the journal, sends batches over TLS, and goes on only with what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde::{Deserialize, Serialize};

use super::conf::Conf;
use super::journal;
use super::wire::{Ack, Batch, Event};
use crate::common::store::save;

/// Most events of one batch.
const BATCH: usize = 500;
/// Time for an acknowledgement.
const PATIENCE: Duration = Duration::from_secs(15);

/// What it is told to do, from inputs.conf, outputs.conf and server.conf.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The name that events have.
    pub host: String,
    /// Patterns of files, with index and sourcetype.
    pub files: Vec<Input>,
    /// The journal's stanza, with index and sourcetype.
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
        let input = |what: &str, stanza: &str| Input {
            what: what.to_owned(),
            index: if inputs.get(stanza, "index").is_empty() { "main".to_owned() } else { inputs.get(stanza, "index").to_owned() },
            sourcetype: inputs.get(stanza, "sourcetype").to_owned(),
        };
        let wanted: Vec<&String> = inputs.0.keys().filter(|stanza| !inputs.yes(stanza, "disabled")).collect();
        let files = wanted.iter().filter_map(|stanza| Some(input(stanza.strip_prefix("monitor://")?, stanza))).collect();
        let journal = wanted.iter().find(|stanza| stanza.starts_with("journald://")).map(|stanza| input(stanza, stanza));
        Ok(Self {
            host: inputs.get("default", "host").to_owned(),
            files,
            journal,
            server: address,
            authorities: server.get("sslConfig", "sslRootCAPath").into(),
        })
    }
}

/// How far it has read; on disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Positions {
    /// Device and inode, and bytes.
    files: BTreeMap<String, u64>,
    cursor: Option<String>,
}

/// The files of a pattern; in a pattern `*` stands for part of one name. Folders that may not be read are told in `troubles`.
pub fn matching(pattern: &str, troubles: &mut BTreeSet<String>) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for folder in found {
            let Some((start, end)) = part.split_once('*') else {
                next.push(folder.join(part));
                continue;
            };
            match std::fs::read_dir(&folder) {
                Ok(entries) => next.extend(entries.flatten().map(|entry| entry.path()).filter(|path| {
                    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                    name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
                })),
                Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                Err(why) => drop(troubles.insert(format!("error opening {}: {why}", folder.display()))),
            }
        }
        found = next;
    }
    found.sort();
    found
}

/// New whole lines of a file from a position, at most `limit`, and where they end.
pub fn lines(path: &Path, from: u64, limit: usize) -> io::Result<(Vec<String>, u64)> {
    let mut file = File::open(path)?;
    let from = if file.metadata()?.len() < from { 0 } else { from };
    file.seek(SeekFrom::Start(from))?;
    let (mut reader, mut all, mut at) = (BufReader::new(file.take(8 << 20)), Vec::new(), from);
    let mut line = Vec::new();
    while all.len() < limit {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            break;
        }
        at += line.len() as u64;
        all.push(String::from_utf8_lossy(&line).trim_end().to_owned());
    }
    Ok((all, at))
}

type Stream = BufReader<StreamOwned<ClientConnection, TcpStream>>;

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
        let (mut events, mut troubles, mut next) = (Vec::new(), BTreeSet::new(), self.positions.clone());
        let mut there = BTreeSet::new();
        for input in &self.settings.files {
            for path in matching(&input.what, &mut troubles) {
                if events.len() >= BATCH {
                    break;
                }
                let key = match std::fs::metadata(&path) {
                    Ok(about) if about.is_file() => format!("{}:{}", about.dev(), about.ino()),
                    Ok(_) => continue,
                    Err(why) if why.kind() == io::ErrorKind::NotFound => continue,
                    Err(why) => {
                        troubles.insert(format!("error opening {}: {why}", path.display()));
                        continue;
                    }
                };
                there.insert(key.clone());
                match lines(&path, self.positions.files.get(&key).copied().unwrap_or(0), BATCH - events.len()) {
                    Ok((found, at)) => {
                        next.files.insert(key, at);
                        events.extend(found.into_iter().map(|raw| self.event(input, &path.display().to_string(), raw, now())));
                    }
                    Err(why) => drop(troubles.insert(format!("error opening {}: {why}", path.display()))),
                }
            }
        }
        // A file that is gone may leave its number to another one.
        if events.len() < BATCH {
            next.files.retain(|key, _| there.contains(key));
        }
        if let Some(input) = self.settings.journal.clone() {
            match journal::since(self.positions.cursor.as_deref(), BATCH) {
                Ok(found) => {
                    next.cursor = found.last().map(|line| line.cursor.clone()).or(next.cursor);
                    events.extend(found.into_iter().map(|line| self.event(&input, &input.what, line.text, line.time)));
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

    fn event(&self, input: &Input, source: &str, raw: String, time: f64) -> Event {
        Event {
            time,
            host: self.settings.host.clone(),
            source: source.to_owned(),
            sourcetype: input.sourcetype.clone(),
            index: input.index.clone(),
            raw,
        }
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
        let local = home.path().join("etc/system/local");
        std::fs::create_dir_all(&local).unwrap();
        std::fs::write(local.join("outputs.conf"), outputs).unwrap();
        std::fs::write(local.join("server.conf"), "[sslConfig]\nsslRootCAPath = /ca.pem\n").unwrap();
        std::fs::write(
            local.join("inputs.conf"),
            "[default]\nhost = a.lab\n[monitor:///x/*/*-json.log]\nindex = lab\nsourcetype = docker:json\n[journald://lab]\nindex = lab\n[monitor:///off]\ndisabled = 1\n",
        )
        .unwrap();
        home
    }

    const GOOD: &str =
        "[tcpout]\ndefaultGroup = lab\n[tcpout:lab]\nserver = r.lab:9997\nuseACK = true\nuseSSL = true\nsslVerifyServerCert = true\n";

    #[test]
    fn the_configuration_is_splunks() {
        let settings = Settings::read(home(GOOD).path()).unwrap();
        assert_eq!((settings.host.as_str(), settings.server.as_str(), settings.files.len()), ("a.lab", "r.lab:9997", 1));
        assert_eq!((settings.files[0].what.as_str(), settings.files[0].index.as_str()), ("/x/*/*-json.log", "lab"));
        assert_eq!(settings.journal.unwrap().what, "journald://lab");
        for line in ["useACK = true\n", "useSSL = true\n", "sslVerifyServerCert = true\n", "server = r.lab:9997\n"] {
            assert!(Settings::read(home(&GOOD.replace(line, "")).path()).is_err(), "{line}");
        }
    }

    #[test]
    fn files_are_found_and_read_by_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("c1")).unwrap();
        let log = folder.path().join("c1/c1-json.log");
        std::fs::write(&log, "one\ntwo\nthr").unwrap();
        std::fs::write(folder.path().join("c1/other.txt"), "no\n").unwrap();
        let pattern = format!("{}/*/*-json.log", folder.path().display());
        assert_eq!(matching(&pattern, &mut BTreeSet::new()), std::slice::from_ref(&log));
        let (found, at) = lines(&log, 0, 10).unwrap();
        assert_eq!((found, at), (vec!["one".to_owned(), "two".to_owned()], 8));
        std::fs::write(&log, "one\ntwo\nthree\n").unwrap();
        assert_eq!(lines(&log, at, 10).unwrap(), (vec!["three".to_owned()], 14));
        // Emptied and begun anew.
        std::fs::write(&log, "new\n").unwrap();
        assert_eq!(lines(&log, 14, 10).unwrap(), (vec!["new".to_owned()], 4));
    }
}
