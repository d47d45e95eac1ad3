//! The real binary: what is typed, what is shown, how it ends. Its hosts are folders of this machine (`fake-host`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests may panic")]

#[macro_use]
mod lab;

#[path = "../support/upstream.rs"]
mod upstream;

mod attack;
mod command_line;
mod explain;
mod failures;
mod files;
mod formats;
mod hostile;
mod interrupt;
mod kill;
mod locks;
mod mirror;
mod not_configured;
mod report;
mod runs;
mod scan;
mod secrecy;
mod secrets;
mod shells;
mod status;
