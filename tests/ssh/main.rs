//! SSH against a real sshd that the tests start themselves on loopback.
//!
//! Needs root (temporary users and sudo rules) and openssh-server; POCLAB_REQUIRE_SSHD=1 turns a skip into a failure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod faults;
mod hostile;
mod lab;
mod login;
mod program;
mod scripts;
mod sudo;
