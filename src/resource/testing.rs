//! What the tests of several kinds use.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Fails when shellcheck has anything to say about a script for hosts.
pub fn shellcheck(script: &str) {
    let mut child = Command::new("shellcheck").args(["-s", "sh", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{script}\n{}", String::from_utf8_lossy(&out.stdout));
}
