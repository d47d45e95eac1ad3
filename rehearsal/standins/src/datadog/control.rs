//! The agent's ports on its own host: `cmd_port`, which `health` and `status` ask, and `expvar_port`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::agent::Configuration;

/// What the agent knows about itself.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Components that do not work, with the reason.
    pub unhealthy: Vec<(String, String)>,
    /// Requests that the intake took.
    pub sent: u64,
    /// Whether the last look at Docker worked; `None`: it is not looked at.
    pub docker: Option<Result<(), String>>,
}

impl Health {
    fn told(&self, path: &str) -> (u16, String) {
        match path {
            "/agent/status/health" if self.unhealthy.is_empty() => (200, "Agent health: PASS".to_owned()),
            "/agent/status/health" => {
                let names: Vec<&str> = self.unhealthy.iter().map(|(name, _)| name.as_str()).collect();
                let why: Vec<String> = self.unhealthy.iter().map(|(name, why)| format!("  {name}: {why}")).collect();
                (500, format!("Agent health: FAIL\n=== {} unhealthy components ===\n{}\n{}", names.len(), names.join(", "), why.join("\n")))
            }
            "/agent/status" => {
                let docker =
                    self.docker.as_ref().map(|seen| json!({"docker": {"LastError": seen.as_ref().err().cloned().unwrap_or_default()}}));
                let status = json!({
                    "version": super::VERSION,
                    "runnerStats": {"Checks": docker.unwrap_or_else(|| json!({}))},
                    "forwarderStats": {"Transactions": {"Success": self.sent}},
                });
                (200, format!("{status:#}"))
            }
            _ => (404, "not found".to_owned()),
        }
    }
}

/// Shared between the loop and the ports.
pub type Shared = Arc<Mutex<Health>>;

/// Opens both ports; a port that is taken ends the agent, as it does with the real one.
pub fn open(configuration: &Configuration, health: &Shared) -> Result<(), String> {
    for (what, port) in [("cmd_port", configuration.cmd_port), ("expvar_port", configuration.expvar_port)] {
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
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(unreachable)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(unreachable)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    if head.split_whitespace().nth(1) == Some("200") { Ok(body.to_owned()) } else { Err(body.to_owned()) }
}

/// A list of texts in a YAML document.
pub fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
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
}
