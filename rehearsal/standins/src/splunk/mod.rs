//! The Splunk stand-in: a universal forwarder that tails the same files with the same configuration and keeps its position, and a
//! server with receiving, HTTP event collector and the part of the REST API that the lab uses. It is no Splunk and does not become one.
//!
//! Between the two: JSON lines over TLS, acknowledged one by one. Splunk's own protocol is not public.

mod cli;
pub mod conf;
mod events;
mod first;
pub mod forwarder;
mod journal;
mod rest;
pub mod search;
pub mod server;
mod tail;
mod wire;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// What it calls itself: the product that it speaks for, and that it is not it.
pub const VERSION: &str = "9.4.1-rehearsal";

/// Does what its name and first arguments say: `splunk` of the forwarder, or the image's `server`.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let home = std::env::var("SPLUNK_HOME").unwrap_or_else(|_| "/opt/splunkforwarder".to_owned());
    let done = match words.as_slice() {
        ["healthy"] => server::healthy().map(|()| String::new()),
        ["server"] => server::run().map(|()| String::new()),
        ["_internal_launch_under_systemd"] => forwarder::run(Path::new(&home)).map(|()| String::new()),
        rest => cli::run(Path::new(&home), rest),
    };
    match done {
        Ok(text) => {
            let _ = write!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "{why}");
            ExitCode::FAILURE
        }
    }
}
