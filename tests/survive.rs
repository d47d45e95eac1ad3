//! Faults on the four-host container lab (real sshd, systemd, firewalld, Docker): the tool is killed, two operators meet,
//! a restart is lost, a firewall policy locks its operator out.
//!
//! Run by `make lab-test`, like tests/lab.rs. The stages share one lab and run in order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests may panic")]

#[path = "support/container_lab.rs"]
mod container_lab;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use container_lab::{HOSTS, Project, changes, of_kind, set};
use serde_json::Value;

/// Seconds after which a host undoes a firewall change that nobody confirms, in these tests.
const BOUND: u64 = 15;

/// No checks but this one, which is quick: what is tested here is not what they prove.
const QUICK: &[&str] = &["--check", "selinux_enforcing"];

#[test]
#[ignore = "needs docker and minutes: make lab-test"]
fn faults_are_survived() {
    let lab = Project::new("locktest", "10.92");
    assert!(lab.poclab(&["rehearse", "up"]).status.success());
    let started = Instant::now();
    let stage = |name: &str| eprintln!("=== {name} ({:.0} s)", started.elapsed().as_secs_f64());
    stage("killed on the way");
    killed_on_the_way(&lab);
    stage("two operators");
    two_operators(&lab);
    stage("a hanging connection");
    a_hanging_connection(&lab);
    stage("a lost restart");
    a_lost_restart(&lab);
    stage("confirmed");
    a_confirmed_change_stays(&lab);
    stage("killed before the confirmation");
    killed_before_the_confirmation(&lab);
    stage("rebooted before the confirmation");
    rebooted_before_the_confirmation(&lab);
    stage("locked out");
    locked_out(&lab);
    stage("done");
}

/// A bootstrap that is watched event by event.
struct Watched {
    child: Child,
    events: BufReader<std::process::ChildStdout>,
}

impl Watched {
    fn bootstrap(folder: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_poclab"))
            .args(["--inventory", "inventory/rehearsal.yml", "bootstrap", "--format", "json"])
            .args(args)
            .current_dir(folder)
            .env("POCLAB_IDENTITY", folder.join("identity.txt"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let events = BufReader::new(child.stdout.take().unwrap());
        Self { child, events }
    }

    /// Reads on to the first event of this kind that `is` it.
    fn until(&mut self, mut is: impl FnMut(&Value) -> bool) -> Value {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.events.read_line(&mut line).unwrap() > 0, "the run ended before");
            let event: Value = serde_json::from_str(&line).unwrap();
            if is(&event) {
                eprintln!("--- at {line}");
                return event;
            }
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(process, signal).unwrap();
    }
}

fn quick<'a>(words: &[&'a str]) -> Vec<&'a str> {
    words.iter().chain(QUICK).copied().collect()
}

fn notes(events: &[Value]) -> String {
    of_kind(events, "note").iter().map(|event| format!("{}\n", event["text"].as_str().unwrap())).collect()
}

fn good(lab: &Project, args: &[&str]) -> Vec<Value> {
    let (exit, events) = lab.events(&quick(args));
    assert_eq!(exit, 0, "{events:#?}");
    events
}

/// Nothing of ours lies about on any host when no run is under way.
fn nothing_left(lab: &Project) {
    for host in HOSTS {
        let left = lab.on(
            host,
            "find / -xdev -name '.poclab*' 2>/dev/null; find /var/lib/poclab -mindepth 1 ! -name lock ! -path '*/pending' ! -path '*/confirm' ! -path '*/removed*'; \
             ls -d /run/poclab-* /tmp/poclab-* /tmp/tmp.* /var/lib/docker/tmp/poclab-* 2>/dev/null; \
             ls /etc/systemd/system/*/poclab-* /etc/systemd/system/poclab-* 2>/dev/null; \
             systemctl list-units --all --plain --no-legend 'poclab-*'; exit 0",
        );
        assert_eq!(left, "", "{host}");
    }
}

/// Kills at some step boundaries of the first bootstrap (tests/cli has every one of them, on fake hosts), and in the middle of
/// the transfer of an image; then it converges.
fn killed_on_the_way(lab: &Project) {
    let seed = u64::from(std::process::id());
    for number in [2 + seed % 5, 3 + seed % 7] {
        let mut run = Watched::bootstrap(lab.folder(), QUICK);
        let mut left = number;
        run.until(|event| {
            left -= u64::from(event["event"] == "step_started");
            left == 0
        });
        run.kill();
    }
    let mut run = Watched::bootstrap(lab.folder(), QUICK);
    run.until(|event| event["event"] == "uploading" && event["sent"].as_u64().unwrap() * 2 > event["total"].as_u64().unwrap());
    run.kill();
    good(lab, &["bootstrap"]);
    nothing_left(lab);
    let before: Vec<_> = HOSTS.iter().map(|host| lab.sessions(host)).collect();
    let (exit, events) = lab.events(&["plan"]);
    assert_eq!((exit, changes(&events)), (0, set(&[])));
    for (host, (connections, execs)) in HOSTS.iter().zip(before) {
        assert_eq!(lab.sessions(host), (connections + 1, execs + 1), "{host}: one connection with one exec");
    }
}

/// The project of another operator on this machine.
fn another_operator(lab: &Project) -> tempfile::TempDir {
    let other = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-a").arg(format!("{}/.", lab.folder().display())).arg(other.path()).status().unwrap();
    assert!(copied.success());
    other
}

/// Two roles of this host have something to do, so that its lock is held between two execs.
fn damage_two_roles(lab: &Project, host: &str) {
    lab.on(host, "sed -i '$d' /etc/chrony.conf; firewall-cmd -q --permanent --add-port=4444/tcp");
}

fn poclab_in(folder: &Path, words: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_poclab"))
        .args(["--inventory", "inventory/rehearsal.yml"])
        .args(words)
        .current_dir(folder)
        .env("POCLAB_IDENTITY", folder.join("identity.txt"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    eprintln!("--- second operator: {words:?}\n{text}");
    (output.status.code().unwrap(), text)
}

fn two_operators(lab: &Project) {
    let second = another_operator(lab);
    damage_two_roles(lab, "gitlab");
    lab.on("deploy", "sed -i '$d' /etc/chrony.conf");
    let mut first = Watched::bootstrap(lab.folder(), &quick(&["--host", "gitlab"]));
    first.until(|event| event["event"] == "role_done" && event["changed"] != 0);
    first.signal(rustix::process::Signal::STOP);
    let holder = lab.on("gitlab", "cat /var/lib/poclab/holder");
    assert!(holder.contains("\nfrom=10.92.0.1\n") && holder.contains("\nsshd="), "{holder}");

    let (exit, text) = poclab_in(second.path(), &quick(&["bootstrap"]));
    assert_eq!(exit, 1);
    assert!(text.contains("gitlab: FAILED: another poclab run holds this host: ") && text.contains(" (from 10.92.0.1) since 20"), "{text}");
    assert_eq!(poclab_in(second.path(), &["plan", "--host", "deploy"]).0, 2, "nothing was changed elsewhere either");
    // As it looks from another machine: only the connection tells that the run lives.
    lab.on("gitlab", "sed -i 's,^control=.*,control=another/one/here,' /var/lib/poclab/holder");
    assert_eq!(poclab_in(second.path(), &quick(&["bootstrap", "--host", "gitlab"])).0, 1);
    let (exit, text) = poclab_in(second.path(), &["unlock"]);
    assert!(exit == 1 && text.contains("gitlab    HELD"), "{text}");
    // ... and that it is gone.
    first.kill();
    let (exit, text) = poclab_in(second.path(), &quick(&["bootstrap"]));
    assert_eq!(exit, 0);
    assert!(text.contains("gitlab: an earlier run left the lock of") && text.contains("its connection is gone"), "{text}");
    assert!(text.contains("gitlab: took over from"), "{text}");
    assert_eq!(poclab_in(second.path(), &["unlock"]).0, 0);
    nothing_left(lab);
}

/// The operator dies while the network to the host swallows everything: the host does not hear of it.
fn a_hanging_connection(lab: &Project) {
    damage_two_roles(lab, "gitlab");
    let mut run = Watched::bootstrap(lab.folder(), &quick(&["--host", "gitlab"]));
    run.until(|event| event["event"] == "role_done" && event["changed"] != 0);
    run.signal(rustix::process::Signal::STOP);
    let sshd = lab.on("gitlab", "sed -n 's/^sshd=\\([0-9]*\\) .*/\\1/p' /var/lib/poclab/holder");
    let sshd = sshd.trim();
    let port = lab.on(
        "gitlab",
        &format!("ss -Htnp state established sport = :22 | grep 'pid={sshd},' | sed -n 's/.*10.92.0.1:\\([0-9]*\\).*/\\1/p' | head -n 1"),
    );
    assert!(!port.trim().is_empty(), "the holder's connection is known");
    let rule = format!("INPUT -s 10.92.0.1 -p tcp --sport {} -j DROP", port.trim());
    lab.on("gitlab", &format!("iptables -I {rule}"));
    run.kill();
    std::thread::sleep(Duration::from_secs(1));
    lab.on("gitlab", &format!("test -d /proc/{sshd}"));
    let events = good(lab, &["bootstrap", "--host", "gitlab"]);
    let said = notes(&events);
    assert!(said.contains("gitlab: an earlier run left the lock of") && said.contains("its process on this machine is gone"), "{said}");
    lab.on(
        "gitlab",
        &format!("iptables -D {rule} 2>/dev/null; for i in 1 2 3 4 5 6 7 8 9; do test -d /proc/{sshd} || exit 0; sleep 0.3; done; exit 1"),
    );
    nothing_left(lab);
}

/// The file is written, then the host's side dies instead of restarting Docker: the next run has nothing to do but the restart.
fn a_lost_restart(lab: &Project) {
    let since = || lab.on("deploy", "systemctl show -p ActiveEnterTimestampMonotonic docker");
    let before = since();
    lab.on("deploy", "sed -i 's/10m/11m/' /etc/docker/daemon.json");
    // The first call of systemctl that would restart Docker takes the whole script with it, as a power failure would.
    lab.on(
        "deploy",
        "printf '%s\\n' '#!/bin/sh' 'case \"$*\" in \"restart docker\"*) rm -f \"$0\"; kill -9 $PPID $(ps -o ppid= -p $PPID); exit 1;; esac' 'exec /usr/bin/systemctl \"$@\"' >/usr/local/bin/systemctl; chmod 0755 /usr/local/bin/systemctl",
    );
    let (exit, _) = lab.events(&quick(&["bootstrap"]));
    assert_eq!(exit, 1);
    assert!(lab.on("deploy", "cat /etc/docker/daemon.json; ls /usr/local/bin").contains("10m"));
    assert_eq!(since(), before, "Docker was not restarted");
    let (exit, events) = lab.events(&["plan"]);
    let planned: Vec<String> = changes(&events).into_iter().collect();
    assert!(exit == 2 && planned.len() == 1 && planned[0].starts_with("deploy: handler "), "{planned:?}");
    good(lab, &["bootstrap"]);
    assert_ne!(since(), before, "the restart that was lost is made up for");
    nothing_left(lab);
    assert_eq!(lab.poclab(&["plan"]).status.code(), Some(0));
}

fn timers(lab: &Project, host: &str) -> String {
    lab.on(host, "systemctl list-timers --all --no-legend 'poclab-*'; systemctl list-units --all --plain --no-legend 'poclab-*'")
}

fn zone(lab: &Project, host: &str) -> String {
    lab.on(host, "firewall-cmd --list-rich-rules | sort; cat /etc/firewalld/zones/public.xml")
}

fn bound() -> String {
    format!("firewall_confirm_seconds={BOUND}")
}

/// Opens one more port on a host, in the inventory; the old inventory.
fn open_port(lab: &Project, host: &str, port: u16) -> String {
    lab.edit_inventory("flows:\n", &format!("flows:\n  - {{to: {host}, port: {port}/tcp, from: [operators], why: a test}}\n"))
}

fn a_confirmed_change_stays(lab: &Project) {
    open_port(lab, "app", 4001);
    good(lab, &["bootstrap", "-e", &bound()]);
    assert_eq!(timers(lab, "app"), "", "disarmed at once");
    nothing_left(lab);
    let new = zone(lab, "app");
    assert!(new.contains("4001"));
    std::thread::sleep(Duration::from_secs(BOUND + 3));
    assert_eq!(zone(lab, "app"), new, "the timer of a confirmed change never fires");
}

/// Makes a change on a host and kills the tool before it can confirm; the host's zone before that.
fn armed_and_killed(lab: &Project, host: &str, port: u16) -> String {
    let before = zone(lab, host);
    open_port(lab, host, port);
    let mut run = Watched::bootstrap(lab.folder(), &quick(&["-e", &bound(), "--host", host]));
    run.until(|event| event["event"] == "step_started" && event["label"].as_str().unwrap().starts_with("set the firewall policy"));
    // Stopped at once, killed when its script is through: no event says so in time.
    run.signal(rustix::process::Signal::STOP);
    let port = port.to_string();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !zone(lab, host).split("<?xml").next().unwrap().contains(&port) {
        assert!(Instant::now() < deadline, "the change was not made");
        std::thread::sleep(Duration::from_millis(100));
    }
    run.kill();
    assert!(timers(lab, host).contains("poclab-revert-firewall.timer"), "{}", timers(lab, host));
    before
}

fn killed_before_the_confirmation(lab: &Project) {
    // The next run comes within the bound: its own login is the proof.
    armed_and_killed(lab, "app", 4002);
    let events = good(lab, &["bootstrap", "-e", &bound()]);
    assert!(
        notes(&events).contains("app: an earlier run left a change that was not confirmed (poclab-revert-firewall)"),
        "{}",
        notes(&events)
    );
    nothing_left(lab);
    std::thread::sleep(Duration::from_secs(BOUND + 3));
    assert!(zone(lab, "app").contains("4002"));
    // Nobody comes: the host undoes it by itself, and the timer is gone with it.
    let before = armed_and_killed(lab, "app", 4003);
    let armed = Instant::now();
    while zone(lab, "app") != before {
        assert!(armed.elapsed() < Duration::from_secs(BOUND + 10), "not undone within its bound: {}", zone(lab, "app"));
        std::thread::sleep(Duration::from_millis(500));
    }
    eprintln!("undone by the host {:.0} s after it was seen armed", armed.elapsed().as_secs_f64());
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(timers(lab, "app"), "");
    let events = good(lab, &["bootstrap", "-e", &bound()]);
    assert!(notes(&events).contains("the host has put the old state back"), "{}", notes(&events));
    assert!(zone(lab, "app").contains("4003"));
    nothing_left(lab);
}

/// A timer does not outlive a reboot: the host must not come up with what nobody has confirmed.
fn rebooted_before_the_confirmation(lab: &Project) {
    let before = armed_and_killed(lab, "gitlab", 4004);
    let boot = "systemctl show -p UserspaceTimestampMonotonic";
    let old = lab.on("gitlab", boot);
    let container = lab.container("gitlab");
    assert!(Command::new("docker").args(["restart", "-t", "20", &container]).output().unwrap().status.success());
    let deadline = Instant::now() + Duration::from_secs(60);
    let running = || {
        let output =
            Command::new("docker").args(["exec", &container, "sh", "-c", &format!("{boot}; firewall-cmd --state")]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success() && !text.starts_with(old.trim())
    };
    while !running() {
        assert!(Instant::now() < deadline, "the host does not come up");
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(zone(lab, "gitlab"), before, "undone at boot");
    good(lab, &["bootstrap", "-e", &bound()]);
    assert!(zone(lab, "gitlab").contains("4004"));
    nothing_left(lab);
}

/// A policy that lets the operator no longer in: another address is the operators'.
fn locked_out(lab: &Project) {
    let before = zone(lab, "app");
    let good_inventory = std::fs::read_to_string(lab.inventory()).unwrap();
    lab.edit_inventory("operators: [10.92.0.1/32]", "operators: [10.92.0.77/32]");
    let started = Instant::now();
    let (exit, events) = lab.events(&quick(&["bootstrap", "--host", "app", "-e", &bound()]));
    assert_eq!(exit, 1);
    let failed = of_kind(&events, "role_failed");
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!((&failed[0]["host"], &failed[0]["role"]), (&"app".into(), &"firewall".into()));
    assert!(failed[0]["error"].as_str().unwrap().contains("afterwards no new login was possible"), "{failed:#?}");
    let hint = format!("the host puts the old state back by itself, {BOUND} s after the change");
    assert!(failed[0]["hint"].as_str().unwrap().contains(&hint), "{failed:#?}");
    std::fs::write(lab.inventory(), good_inventory).unwrap();
    let deadline = started + Duration::from_secs(BOUND + 60);
    while zone(lab, "app") != before {
        assert!(Instant::now() < deadline, "not undone: {}", zone(lab, "app"));
        std::thread::sleep(Duration::from_millis(500));
    }
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(timers(lab, "app"), "");
    good(lab, &["bootstrap", "-e", &bound()]);
    nothing_left(lab);
    assert_eq!(lab.poclab(&["plan", "-e", &bound()]).status.code(), Some(0));
}
