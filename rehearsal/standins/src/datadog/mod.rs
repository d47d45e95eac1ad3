//! The Datadog stand-in: an agent that measures its host and the Docker engine and sends what it measured in the agent's own
//! format, and an intake with the part of Datadog's API that the lab uses. It is no Datadog and does not become one.

pub mod agent;
mod configuration;
mod control;
mod docker;
mod host;
pub mod intake;
mod objects;
pub mod payload;
pub mod query;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// What it calls itself: the product that it speaks for, and that it is not it.
pub const VERSION: &str = "7.58.1-rehearsal";

/// Does what its first argument says: `run`, `health`, `status`, `version` of the agent, or `intake`.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let configuration = Path::new("/etc/datadog-agent/datadog.yaml");
    let done = match words.as_slice() {
        ["run", ..] => agent::run(configuration, Path::new("/etc/datadog-agent/conf.d")).map(|()| String::new()),
        ["health"] => control::ask(configuration, "/agent/status/health"),
        ["status", ..] => control::ask(configuration, "/agent/status"),
        ["version"] => Ok(format!("Agent {VERSION} - a stand-in of the poclab rehearsal")),
        ["intake"] => intake::run().map(|()| String::new()),
        _ => Err("rehearsal: the Datadog stand-in knows run, health, status, version and intake".to_owned()),
    };
    let (text, code) = match done {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(why) => (why, ExitCode::FAILURE),
    };
    if !text.is_empty() {
        let _ = writeln!(std::io::stdout(), "{text}");
    }
    code
}
