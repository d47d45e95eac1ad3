//! The agent's ports on its own host: `cmd_port`, which `health` and `status` ask, and `expvar_port`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::configuration::Configuration;

/// What the last validation of the key came to; the texts are the real agent's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verdict {
    /// It has not been asked for yet.
    #[default]
    Unknown,
    /// 200.
    Valid,
    /// 403.
    Invalid,
    /// Something else.
    Unexpected,
    /// No answer.
    Unreachable,
}

/// What the agent knows about itself.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Of its key.
    pub key: Verdict,
    /// The last characters of the key, by which `status` names it.
    key_ends: String,
    /// Requests that the intake took.
    sent: u64,
    /// Requests that were given up.
    dropped: u64,
    /// Tries that failed and are made again.
    errors: u64,
    /// Of these, those without a connection.
    unconnected: u64,
    /// Answers that are errors, by status.
    by_status: BTreeMap<u16, u64>,
    /// Requests that wait for their next try.
    pub waiting: u64,
    /// Whether the last look at Docker worked; `None`: it is not looked at.
    pub docker: Option<Result<(), String>>,
}

impl Health {
    /// Of an agent that has just been started with this key.
    pub fn new(key: &str) -> Self {
        let before = key.chars().count().saturating_sub(5);
        Self { key_ends: key.chars().skip(before).collect(), ..Self::default() }
    }

    /// A try without an answer.
    pub fn failed(&mut self, connecting: bool) {
        self.errors += 1;
        self.unconnected += u64::from(connecting);
    }

    /// A try with an answer.
    pub fn answered(&mut self, status: u16) {
        if status >= 400 {
            *self.by_status.entry(status).or_default() += 1;
        }
        match status {
            200..=299 => self.sent += 1,
            400 | 403 | 413 => self.dropped += 1,
            _ => self.errors += 1,
        }
    }

    /// The state of its key, in the two lists that the real agent has.
    fn keys(&self) -> (Value, Value) {
        let of = |text: &str| json!({format!("API key ending with {}", self.key_ends): text});
        match self.key {
            Verdict::Unknown => (json!({}), json!({})),
            Verdict::Valid => (of("API Key valid"), json!({})),
            Verdict::Invalid => (json!({}), of("API Key invalid")),
            Verdict::Unexpected => (of("Unexpected response code from the API Key validation endpoint"), json!({})),
            Verdict::Unreachable => (of("Unable to reach the API Key validation endpoint"), json!({})),
        }
    }

    fn told(&self, path: &str) -> (u16, String) {
        match path {
            // Only a key that was found to be invalid makes it unwell: not an outage.
            "/agent/status/health" if self.key == Verdict::Invalid => {
                (500, "Agent health: FAIL\n=== 1 unhealthy components ===\nforwarder\nError: found 1 unhealthy components".to_owned())
            }
            "/agent/status/health" => (200, "Agent health: PASS".to_owned()),
            "/agent/status" => {
                let docker =
                    self.docker.as_ref().map(|seen| json!({"docker": {"LastError": seen.as_ref().err().cloned().unwrap_or_default()}}));
                let (status, failure) = self.keys();
                let by_status: BTreeMap<String, u64> = self.by_status.iter().map(|(status, count)| (status.to_string(), *count)).collect();
                let status = json!({
                    "version": super::VERSION,
                    "runnerStats": {"Checks": docker.unwrap_or_else(|| json!({}))},
                    "forwarderStats": {
                        "APIKeyStatus": status,
                        "APIKeyFailure": failure,
                        "Transactions": {
                            "Success": self.sent, "Dropped": self.dropped, "Errors": self.errors,
                            "ErrorsByType": {"ConnectionErrors": self.unconnected}, "HTTPErrors": by_status.values().sum::<u64>(),
                            "HTTPErrorsByCode": by_status, "RetryQueueSize": self.waiting,
                        },
                    },
                });
                (200, format!("{status:#}"))
            }
            _ => (404, "not found".to_owned()),
        }
    }
}

/// Shared between the loop and the ports.
pub type Shared = Arc<Mutex<Health>>;

/// Opens its ports, and those of the process agent if there has to be one; a port that is taken ends the agent, as it does with the
/// real ones.
pub fn open(configuration: &Configuration, health: &Shared) -> Result<(), String> {
    let mut ports = vec![("cmd_port", configuration.cmd_port), ("expvar_port", configuration.expvar_port)];
    if let Some((cmd, expvar)) = configuration.process_ports {
        ports.extend([("process_config.cmd_port", cmd), ("process_config.expvar_port", expvar)]);
    }
    for (what, port) in ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .map_err(|why| format!("Error: unable to listen on {what} localhost:{port}: {why}"))?;
        let health = Arc::clone(health);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever asks and goes away is its own business.
                let _ = answer(stream, &health);
            }
        });
    }
    Ok(())
}

fn answer(mut stream: TcpStream, health: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    // To the empty line: an answer to what has not been read whole would break the connection.
    let mut head = BufReader::new(&stream).take(8192).lines();
    let request = head.next().transpose()?.unwrap_or_default();
    while head.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split_whitespace().nth(1).unwrap_or_default();
    let (status, text) = health.lock().unwrap_or_else(PoisonError::into_inner).told(path);
    write!(stream, "HTTP/1.0 {status} X\r\nContent-Type: text/plain\r\n\r\n{text}")
}

/// Asks the agent that runs here; an error is what a user sees.
pub fn ask(configuration: &Path, path: &str) -> Result<String, String> {
    let port = Configuration::read(configuration)?.cmd_port;
    let unreachable =
        |why: std::io::Error| format!("Error: could not reach the agent on localhost:{port}: {why}\nMake sure the agent is running.");
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(unreachable)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(unreachable)?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(unreachable)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(unreachable)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    if head.split_whitespace().nth(1) == Some("200") { Ok(body.to_owned()) } else { Err(body.to_owned()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A request may come in pieces: each was a packet of its own, and the first one was answered.
    #[test]
    fn a_request_in_pieces_is_one_request() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = std::thread::spawn(move || answer(listener.accept().unwrap().0, &Shared::default()));
        for piece in ["GET ", "/agent/status/health", " HTTP/1.0\r\nHost: localhost\r\n", "\r\n"] {
            client.write_all(piece.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(30));
        }
        let mut said = String::new();
        client.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.0 200 ") && said.ends_with("Agent health: PASS"), "{said}");
        server.join().unwrap().unwrap();
    }

    #[test]
    fn an_outage_is_counted_and_makes_nobody_unwell() {
        let mut health = Health { key: Verdict::Valid, waiting: 3, ..Health::new("key-abcde") };
        health.answered(202);
        health.answered(403);
        health.answered(503);
        health.failed(true);
        assert_eq!(health.told("/agent/status/health").0, 200);
        let status: Value = serde_json::from_str(&health.told("/agent/status").1).unwrap();
        let forwarder = &status["forwarderStats"];
        assert_eq!(forwarder["APIKeyStatus"], json!({"API key ending with abcde": "API Key valid"}));
        let want = json!({
            "Success": 1, "Dropped": 1, "Errors": 2, "ErrorsByType": {"ConnectionErrors": 1}, "HTTPErrors": 2,
            "HTTPErrorsByCode": {"403": 1, "503": 1}, "RetryQueueSize": 3,
        });
        assert_eq!(forwarder["Transactions"], want);
        health.key = Verdict::Unreachable;
        assert_eq!(health.told("/agent/status/health").0, 200);
    }

    #[test]
    fn a_key_that_was_found_to_be_invalid_makes_it_unwell() {
        let health = Health { key: Verdict::Invalid, ..Health::new("key-abcde") };
        let (status, text) = health.told("/agent/status/health");
        assert!(status == 500 && text.contains("=== 1 unhealthy components ===\nforwarder\n"), "{text}");
        let status: Value = serde_json::from_str(&health.told("/agent/status").1).unwrap();
        assert_eq!(status["forwarderStats"]["APIKeyFailure"], json!({"API key ending with abcde": "API Key invalid"}));
    }
}
