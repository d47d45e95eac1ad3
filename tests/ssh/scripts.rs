//! Running scripts: outputs, inputs, statuses, timing.

use std::time::{Duration, Instant};

use poclab::base::Payload;
use poclab::base::frame::{ScriptBuilder, nonce};
use poclab::ssh::*;

use crate::lab::*;
use crate::need_sshd;

#[test]
fn outputs_are_kept_apart_and_binary_safe() {
    need_sshd!();
    let sshd = Sshd::start();
    let mut transport = sshd.connect();
    let out = exec(&mut *transport, "printf '\\000\\377\\036a\\037\\n'; printf 'err\\001' >&2; exit 7").unwrap();
    assert_eq!(out, Output { status: 7, stdout: b"\x00\xff\x1ea\x1f\n".to_vec(), stderr: b"err\x01".to_vec() });
    // The connection is used again, by a new channel.
    assert_eq!(exec(&mut *transport, "true").unwrap(), Output::default());
    assert_eq!(exec(&mut *transport, "kill -TERM $$").unwrap().status, 128 + 15);
    assert_eq!(exec(&mut *transport, "exit 255").unwrap().status, 255);
    assert_eq!(exec(&mut *transport, "not-a-command").unwrap().status, 127);
    let log = sshd.log();
    assert_eq!(log.matches("Accepted publickey").count(), 1, "{log}");
    assert_eq!(log.matches("Starting session: command").count(), 5, "{log}");
}

#[test]
fn frames_come_through_as_they_arrive() {
    need_sshd!();
    let sshd = Sshd::start();
    let mut builder = ScriptBuilder::new(&nonce());
    builder.fragment("a", "echo one");
    builder.step("b", "sleep 1; cat", true);
    let (script, mut reader) = builder.finish();
    let mut seen = Vec::new();
    let started = Instant::now();
    let exec = Exec { script, stdin: vec![Payload::Bytes(b"payload".to_vec())] };
    sshd.connect()
        .exec(&exec, &mut |bytes| seen.extend(reader.feed(bytes).into_iter().map(|s| (format!("{s:?}"), started.elapsed()))), &mut |_| {})
        .unwrap();
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert!(seen[1].0.contains("End") && seen[1].1 < Duration::from_millis(900), "the first frame must not wait for the second: {seen:?}");
    assert!(seen[3].0.contains("status: 0") && seen[3].1 >= Duration::from_secs(1), "{seen:?}");
}

#[test]
fn megabytes_in_all_three_directions_do_not_block_each_other() {
    need_sshd!();
    let sshd = Sshd::start();
    let payload: Vec<u8> = (0..20_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let file = sshd.path("payload");
    std::fs::write(&file, &payload[1000..]).unwrap();
    let stdin = vec![Payload::Bytes(payload[..1000].to_vec()), Payload::File { path: file, len: 19_999_000 }];
    let mut progress = Vec::new();
    let exec = Exec { script: "tee /dev/stderr".into(), stdin };
    let mut back = Vec::new();
    let out = sshd.connect().exec(&exec, &mut |bytes| back.extend_from_slice(bytes), &mut |sent| progress.push(sent)).unwrap();
    assert!(back == payload, "{} of {} bytes came back unharmed", back.len(), payload.len());
    assert!(out.stdout == out.stderr && payload.ends_with(&out.stderr), "the end of both is kept");
    assert!((255 << 10..=256 << 10).contains(&out.stderr.len()), "whole lines of 256 KiB, got {}", out.stderr.len());
    assert_eq!(progress.last(), Some(&20_000_000));
    assert!(progress.len() > 20 && progress.is_sorted());
}

#[test]
fn a_script_may_be_larger_than_any_command_line() {
    need_sshd!();
    let sshd = Sshd::start();
    let script = format!("v='{}'\nprintf %s \"${{#v}}\"; cat", "0123456789abcdef".repeat(40_000));
    let exec = Exec { script, stdin: vec![Payload::Bytes(b"<tail>".to_vec())] };
    let out = sshd.connect().exec(&exec, &mut |_| {}, &mut |_| {}).unwrap();
    assert_eq!(String::from_utf8(out.stdout).unwrap(), "640000<tail>");
}

#[test]
fn a_script_that_does_not_read_its_stdin_ends_anyway() {
    need_sshd!();
    let sshd = Sshd::start();
    let mut transport = sshd.connect();
    let exec_ = Exec { script: "exit 4".into(), stdin: vec![Payload::Bytes(vec![0; 30_000_000])] };
    assert_eq!(transport.exec(&exec_, &mut |_| {}, &mut |_| {}).unwrap().status, 4);
    assert_eq!(stdout(&mut *transport, "echo still here"), "still here\n");
}

#[test]
fn a_file_that_changed_stops_before_anything_runs() {
    need_sshd!();
    let sshd = Sshd::start();
    let mut transport = sshd.connect();
    let (file, ran) = (sshd.path("short"), sshd.path("ran"));
    std::fs::write(&file, b"12345").unwrap();
    let exec_ = Exec { script: format!("touch {}", ran.display()), stdin: vec![Payload::File { path: file, len: 6 }] };
    let error = transport.exec(&exec_, &mut |_| {}, &mut |_| {}).unwrap_err();
    assert!(matches!(&error, SshError::Local(why) if why.contains("5 bytes instead of 6")), "{error}");
    assert!(!ran.exists());
    assert_eq!(stdout(&mut *transport, "echo still here"), "still here\n");
}

#[test]
fn a_noisy_login_shell_does_not_reach_the_output() {
    need_sshd!();
    let (sshd, user) = (Sshd::start(), User::new("/bin/bash"));
    std::fs::write(format!("/home/{}/.bashrc", user.name), "echo NOISE; echo NOISE >&2; PS1=x\n").unwrap();
    let mut transport = sshd.connect_with(user.target(&sshd), Sudo::Never, false).unwrap();
    let out = exec(&mut *transport, "echo out; echo err >&2").unwrap();
    assert_eq!((out.stdout, out.stderr), (b"out\n".to_vec(), b"err\n".to_vec()));
}

#[test]
fn a_login_without_a_shell_says_so() {
    need_sshd!();
    let (sshd, user) = (Sshd::start(), User::new("/usr/sbin/nologin"));
    let mut transport = sshd.connect_with(user.target(&sshd), Sudo::Never, false).unwrap();
    let error = exec(&mut *transport, "true").unwrap_err();
    assert!(matches!(&error, SshError::NotStarted { output, .. } if output.contains("not available")), "{error}");
}

#[test]
fn several_workers_connect_at_once() {
    need_sshd!();
    let sshd = Sshd::start();
    let target = SshTarget { host_key: None, ..sshd.target() };
    std::thread::scope(|scope| {
        for n in 0..6 {
            let (sshd, target) = (&sshd, target.clone());
            scope.spawn(move || {
                let mut transport = sshd.connect_with(target, Sudo::Never, true).unwrap();
                assert_eq!(stdout(&mut *transport, &format!("echo {n}")), format!("{n}\n"));
            });
        }
    });
    assert_eq!(std::fs::read_to_string(sshd.path("known/hosts")).unwrap().lines().count(), 1);
}

/// Run by hand, in a release build: `cargo test --release --test ssh speed -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn speed() {
    need_sshd!();
    // A fresh user: whatever the machine's own root runs in ~/.bashrc would be measured too.
    let (sshd, user) = (Sshd::start(), User::new("/bin/bash"));
    let connect = || sshd.connect_with(user.target(&sshd), Sudo::Never, false).unwrap();
    let file = sshd.path("big");
    std::fs::write(&file, vec![7u8; 256 << 20]).unwrap();
    let cpu = || {
        std::fs::read_to_string("/proc/self/stat").unwrap().split(' ').skip(13).take(2).map(|t| t.parse::<u64>().unwrap()).sum::<u64>() * 10
    };
    let (started, before) = (Instant::now(), cpu());
    for _ in 0..10 {
        connect();
    }
    eprintln!("connect and leave: {:?} each, {} ms CPU each", started.elapsed() / 10, (cpu() - before) / 10);
    let mut transport = connect();
    let started = Instant::now();
    for _ in 0..50 {
        exec(&mut *transport, "true").unwrap();
    }
    eprintln!("no-op exec: {:?} each", started.elapsed() / 50);
    let started = Instant::now();
    let upload = Exec { script: "cat >/dev/null".into(), stdin: vec![Payload::File { path: file, len: 256 << 20 }] };
    transport.exec(&upload, &mut |_| {}, &mut |_| {}).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("upload: {:.0} MB/s", f64::from(256 << 20) / 1e6 / seconds);
    let started = Instant::now();
    exec(&mut *transport, "head -c 268435456 /dev/zero").unwrap();
    eprintln!("download: {:.0} MB/s", f64::from(256 << 20) / 1e6 / started.elapsed().as_secs_f64());
}
