//! What must stay small when a lab is large. `bench/scale` measures it with real sshd.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may panic")]

mod support;

use std::fmt::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use poclab::base::Exit;
use poclab::engine::{Engine, Event, Selection};
use poclab::lab::Lab;
use poclab::ssh::{Connector, Exec, Output, Reach, SshError, Transport};

use support::{Folders, host, lab};

fn engine<'a>(
    lab: &'a Lab,
    connector: &'a dyn Connector,
    parallel: usize,
    interrupted: &'a AtomicBool,
) -> (Engine<'a>, std::sync::mpsc::Receiver<Event>) {
    let (events, received) = channel();
    let engine = Engine {
        lab,
        connector,
        events,
        verbose: false,
        parallel,
        selection: Selection::default(),
        interrupted,
        always_verify: false,
        reservations: Vec::new(),
    };
    (engine, received)
}

/// Refuses the host `h00`, but only after all others have been connected to (or ten seconds).
struct Slow {
    others: AtomicUsize,
    wanted: usize,
    /// Set when the wait was in vain.
    blocked: AtomicBool,
}

impl Connector for Slow {
    fn connect(&self, reach: &Reach) -> Result<Box<dyn Transport>, SshError> {
        let Reach::Program(argv) = reach else { panic!("test hosts are folders") };
        if !argv[0].ends_with("/h00") {
            self.others.fetch_add(1, Ordering::SeqCst);
            return Folders.connect(reach);
        }
        let start = Instant::now();
        while self.others.load(Ordering::SeqCst) < self.wanted {
            if start.elapsed() > Duration::from_secs(10) {
                self.blocked.store(true, Ordering::SeqCst);
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(SshError::Unreachable { address: argv[0].clone(), why: "no answer".to_owned() })
    }
}

#[test]
fn no_host_waits_behind_one_that_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = (0..40).map(|n| host(folder.path(), &format!("h{n:02}"))).collect();
    let lab = lab(folder.path(), hosts, Vec::new());
    let connector = Slow { others: AtomicUsize::new(0), wanted: 39, blocked: AtomicBool::new(false) };
    let interrupted = AtomicBool::new(false);
    let (engine, _received) = engine(&lab, &connector, 2, &interrupted);
    assert_eq!(engine.plan(), Exit::Unobserved);
    assert!(!connector.blocked.load(Ordering::SeqCst), "hosts waited behind the one that did not answer");
}

/// Counts the connections that are open at the same time.
#[derive(Default)]
struct Counting {
    open: std::sync::Arc<AtomicUsize>,
    most: std::sync::Arc<AtomicUsize>,
}

struct Counted {
    inner: Box<dyn Transport>,
    open: std::sync::Arc<AtomicUsize>,
}

impl Connector for Counting {
    fn connect(&self, reach: &Reach) -> Result<Box<dyn Transport>, SshError> {
        let inner = Folders.connect(reach)?;
        let now = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        Ok(Box::new(Counted { inner, open: self.open.clone() }))
    }
}

impl Transport for Counted {
    fn exec(&mut self, exec: &Exec, on_stdout: &mut dyn FnMut(&[u8]), on_sent: &mut dyn FnMut(u64)) -> Result<Output, SshError> {
        self.inner.exec(exec, on_stdout, on_sent)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn connections_to_hosts_with_nothing_to_do_do_not_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = (0..80).map(|n| host(folder.path(), &format!("h{n:02}"))).collect();
    let lab = lab(folder.path(), hosts, Vec::new());
    let interrupted = AtomicBool::new(false);
    let most = |work: &dyn Fn(&Engine) -> Exit| {
        let connector = Counting::default();
        let (engine, _received) = engine(&lab, &connector, 4, &interrupted);
        assert_eq!(work(&engine), Exit::Done);
        connector.most.load(Ordering::SeqCst)
    };
    assert!(most(&|engine| engine.plan()) <= 4, "a plan needs no connection once a host has been looked at");
    let kept = most(&|engine| engine.bootstrap());
    assert!((64..=68).contains(&kept), "{kept} connections were open, 64 are kept for the checks");
}

/// Each of 600 hosts once had a copy of everything known about all of them: 2 GB.
#[test]
fn a_lab_of_many_hosts_is_resolved_in_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let mut inventory = "lab: large\ndomain: large.example\noperators: [127.0.0.0/8]\nroles: [small]\nhosts:\n".to_owned();
    for n in 0..600 {
        let _ = writeln!(inventory, "  h{n}: {{address: 10.0.{}.{}}}", n / 200, n % 200 + 1);
    }
    inventory.push_str("flows:\n  - {to: all, port: 22/tcp, from: [operators], why: administration}\n");
    write("inventory/lab.yml", &inventory);
    let role = "description: x\nresources:\n  - file: {path: /etc/motd, content: \"{{ host.fqdn }} of {{ hosts.h7.fqdn }}\", owner: root, group: root}\n";
    write("roles/small/role.yml", role);
    // Address space in KiB; what the program and its libraries take of it is about 100 MB.
    let limited = "ulimit -v 500000; exec \"$0\" validate";
    let output = Command::new("sh").args(["-c", limited, env!("CARGO_BIN_EXE_poclab")]).current_dir(folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?} {text}", output.status);
    assert!(text.contains("600 hosts, 600 roles on them, 600 resources"), "{text}");
}
