//! Things that break in the middle.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use poclab::base::Payload;
use poclab::ssh::*;

use crate::lab::*;
use crate::need_sshd;

#[test]
fn silence_ends_in_a_timeout_but_output_does_not() {
    need_sshd!();
    let sshd = Sshd::start();
    let timeouts = Timeouts { idle: Duration::from_millis(900), ..Timeouts::default() };
    let mut transport = sshd.connect_with(SshTarget { timeouts, ..sshd.target() }, Sudo::Never, false).unwrap();
    assert_eq!(stdout(&mut *transport, "for i in 1 2 3 4; do sleep 0.5; echo $i; done"), "1\n2\n3\n4\n");
    let started = Instant::now();
    let error = exec(&mut *transport, "sleep 30").unwrap_err();
    assert!(matches!(&error, SshError::Timeout { doing, after } if doing.contains("running") && *after == timeouts.idle), "{error}");
    drop(transport);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn an_interruption_ends_a_script_and_a_login_at_once() {
    need_sshd!();
    let sshd = Sshd::start();
    let mut transport = sshd.connect();
    let flag = Arc::clone(&sshd.interrupted);
    let setter = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        flag.store(true, Ordering::Relaxed);
    });
    let started = Instant::now();
    assert_eq!(exec(&mut *transport, "sleep 30").unwrap_err(), SshError::Interrupted);
    drop(transport);
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
    setter.join().unwrap();
    assert_eq!(sshd.refused(sshd.target()), SshError::Interrupted);
}

#[test]
fn an_interrupted_script_loses_its_stdin_and_output() {
    need_sshd!();
    let sshd = Sshd::start();
    let mut transport = sshd.connect();
    let flag = Arc::clone(&sshd.interrupted);
    let ended = sshd.path("ended");
    let mut interrupt = |_: &[u8]| flag.store(true, Ordering::Relaxed);
    let script = Exec {
        script: format!("trap 'touch {}' EXIT; trap 'exit 1' PIPE; while sleep 0.1; do echo x; done", ended.display()),
        stdin: vec![],
    };
    assert_eq!(transport.exec(&script, &mut interrupt, &mut |_| {}).unwrap_err(), SshError::Interrupted);
    drop(transport);
    let deadline = Instant::now() + Duration::from_secs(5);
    while !ended.exists() {
        assert!(Instant::now() < deadline, "the script still runs on the host");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_killed_server_is_a_lost_connection() {
    need_sshd!();
    let sshd = Sshd::start();
    let mut transport = sshd.connect();
    let error = exec(&mut *transport, "echo before; sleep 0.5; kill -9 $PPID; sleep 5").unwrap_err();
    assert!(matches!(&error, SshError::Lost { doing, .. } if doing.contains("running")), "{error}");
    let error = exec(&mut *transport, "true").unwrap_err();
    assert!(matches!(&error, SshError::Dead { why } if why.contains("earlier error")), "{error}");
}

#[test]
fn a_server_that_dies_during_an_upload_is_a_lost_connection() {
    need_sshd!();
    let sshd = Sshd::start();
    let mut transport = sshd.connect();
    let script = Exec { script: "head -c 3000000 >/dev/null; kill -9 $PPID".into(), stdin: vec![Payload::Bytes(vec![1; 50_000_000])] };
    let error = transport.exec(&script, &mut |_| {}, &mut |_| {}).unwrap_err();
    assert!(matches!(&error, SshError::Lost { doing, .. } if doing.contains("sending files")), "{error}");
}

#[test]
fn a_connection_that_died_between_two_scripts_is_noticed() {
    need_sshd!();
    let sshd = Sshd::start();
    let mut transport = sshd.connect();
    let pid = stdout(&mut *transport, "echo $PPID");
    sh(&format!("kill -9 {pid}"));
    let error = exec(&mut *transport, "true").unwrap_err();
    assert!(matches!(error, SshError::Dead { .. }), "nothing was sent, so it may be tried again: {error}");
}

#[test]
fn a_frozen_host_is_lost_after_three_keepalives() {
    need_sshd!();
    let sshd = Sshd::start();
    // The idle limit only bounds the test, should keepalives not work.
    let timeouts = Timeouts { keepalive: Duration::from_secs(2), idle: Duration::from_secs(25), ..Timeouts::default() };
    let mut transport = sshd.connect_with(SshTarget { timeouts, ..sshd.target() }, Sudo::Never, false).unwrap();
    let pid = stdout(&mut *transport, "echo $PPID");
    let started = Instant::now();
    let error = exec(&mut *transport, "sleep 1; kill -STOP $PPID; sleep 30").unwrap_err();
    sh(&format!("kill -9 {pid}"));
    assert!(matches!(&error, SshError::Lost { why, .. } if why.contains("keepalives")), "{error}");
    assert!((8..14).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

#[test]
fn keepalives_keep_a_silent_script_alive() {
    need_sshd!();
    let sshd = Sshd::start();
    let timeouts = Timeouts { keepalive: Duration::from_secs(2), ..Timeouts::default() };
    let mut transport = sshd.connect_with(SshTarget { timeouts, ..sshd.target() }, Sudo::Never, false).unwrap();
    assert_eq!(stdout(&mut *transport, "sleep 11; echo done"), "done\n");
    assert_eq!(stdout(&mut *transport, "echo again"), "again\n");
}
