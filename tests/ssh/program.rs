//! Local programs instead of SSH.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use poclab::base::Payload;
use poclab::ssh::*;

use crate::lab::{exec, stdout};

fn connect(argv: &[&str], interrupted: &Arc<AtomicBool>) -> Result<Box<dyn Transport>, SshError> {
    let policy = HostKeyPolicy { known_hosts: "/nonexistent".into(), accept_new: false };
    Ssh::new(policy, Arc::clone(interrupted)).connect(&Reach::Program(argv.iter().map(|&word| word.to_owned()).collect()))
}

#[test]
fn a_program_runs_scripts_with_all_three_streams() {
    let mut transport = connect(&["env", "MARK=yes"], &Arc::default()).unwrap();
    assert_eq!(stdout(&mut *transport, "echo $MARK"), "yes\n");
    let payload: Vec<u8> = (0..8_000_000u32).map(|n| (n / 3) as u8).collect();
    let tee = Exec { script: "tee /dev/stderr; exit 3".into(), stdin: vec![Payload::Bytes(payload.clone())] };
    let (mut sent, mut back) = (0, Vec::new());
    let out = transport.exec(&tee, &mut |bytes| back.extend_from_slice(bytes), &mut |n| sent = n).unwrap();
    assert!(out.status == 3 && back == payload && payload.ends_with(&out.stderr) && out.stderr.len() > 250 << 10);
    assert_eq!(sent, 8_000_000);
    assert_eq!(exec(&mut *transport, "kill -KILL $$").unwrap().status, 137);
    let ignored = Exec { script: "exit 5".into(), stdin: vec![Payload::Bytes(vec![0; 5_000_000])] };
    assert_eq!(transport.exec(&ignored, &mut |_| {}, &mut |_| {}).unwrap().status, 5);
}

#[test]
fn a_program_that_cannot_start_the_script_says_why() {
    let error = exec(&mut *connect(&["/no/such/program"], &Arc::default()).unwrap(), "true").unwrap_err();
    assert!(matches!(&error, SshError::Local(why) if why.contains("/no/such/program")), "{error}");
    let error = exec(&mut *connect(&["sh", "-c", "echo no such container >&2; exit 1"], &Arc::default()).unwrap(), "true").unwrap_err();
    assert!(matches!(&error, SshError::NotStarted { status: 1, output } if output == "no such container"), "{error}");
    assert!(connect(&[], &Arc::default()).is_err());
}

#[test]
fn an_interruption_ends_the_program_and_what_it_started() {
    let flag = Arc::new(AtomicBool::new(false));
    let mut transport = connect(&["env"], &flag).unwrap();
    let mut pid = String::new();
    let script = Exec { script: "sleep 300 & echo $!; wait".into(), stdin: vec![] };
    let started = Instant::now();
    let mut seen = |bytes: &[u8]| {
        pid.push_str(&String::from_utf8_lossy(bytes));
        flag.store(true, Ordering::Relaxed);
    };
    assert_eq!(transport.exec(&script, &mut seen, &mut |_| {}).unwrap_err(), SshError::Interrupted);
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(!pid.trim().is_empty());
    // A killed process may take a moment to go, and stays a zombie if nobody reaps it.
    loop {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        if status.is_empty() || status.contains(") Z ") {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(5), "the sleep still runs: {status}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
