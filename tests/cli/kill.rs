//! Everything may be killed at any moment: the tool, or the host's side of it. The next run converges and leaves nothing behind.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::lab::Lab;

/// Counts the frames' boundaries of the host and at one of them runs a command; `$1` is the process of poclab.
fn boundary(lab: &Lab, at: usize, then: &str) {
    let counter = lab.path("hosts/web/boundaries").display().to_string();
    let _ = std::fs::remove_file(&counter);
    lab.program(
        "hosts/web/bin/boundary",
        &format!("n=$(($(cat {counter} 2>/dev/null || echo 0) + 1))\necho $n >{counter}\n[ $n -ne {at} ] || {then}"),
    );
}

/// What must not be there when no run is under way.
pub fn left_behind(lab: &Lab) -> Vec<String> {
    let hosts = lab.path("hosts").display().to_string();
    let find = format!(
        "find {hosts} \\( -name '.poclab*' -o -path '*/var/lib/poclab/?*' ! -path '*/poclab/pending' ! -path '*/poclab/lock' \\) -print"
    );
    let out = Command::new("sh").args(["-c", &find]).output().unwrap();
    String::from_utf8(out.stdout).unwrap().lines().map(|line| line.replace(&hosts, "")).collect()
}

/// Reads a file again and again; everything that was ever in it.
struct Reader {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<std::collections::BTreeSet<String>>,
}

impl Reader {
    fn start(path: &Path) -> Self {
        let (stop, path) = (Arc::new(AtomicBool::new(false)), path.to_owned());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen = std::collections::BTreeSet::new();
            while !stopped.load(Ordering::Relaxed) {
                seen.insert(std::fs::read_to_string(&path).unwrap_or_else(|_| "(gone)".to_owned()));
                std::thread::sleep(Duration::from_millis(1));
            }
            seen
        });
        Self { stop, thread }
    }

    fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap().into_iter().collect()
    }
}

/// Bootstraps a damaged lab again and again, each time cut off at the next boundary; how many there were.
fn at_every_boundary(then: &str, cut: impl Fn(i32) -> bool) -> usize {
    let lab = Lab::bootstrapped();
    let good = lab.read("hosts/web/etc/site.conf");
    for at in 1.. {
        lab.write("hosts/web/etc/site.conf", "old\n");
        std::fs::remove_file(lab.path("hosts/web/data")).unwrap();
        let _ = std::fs::remove_file(lab.path("hosts/web/restarts"));
        boundary(&lab, at, then);
        let reader = Reader::start(&lab.path("hosts/web/etc/site.conf"));
        // Without checks: their scripts have boundaries, too, but nothing to lose.
        let status = lab.poclab("bootstrap --check port_matrix").run();
        std::fs::remove_file(lab.path("hosts/web/bin/boundary")).unwrap();
        if lab.read("hosts/web/boundaries").trim().parse().unwrap_or(at) < at {
            reader.stop();
            assert_eq!((status.status, left_behind(&lab)), (0, vec![]), "{status}");
            return at - 1;
        }
        assert!(cut(status.status), "boundary {at}: {status}");
        let ran = lab.poclab("bootstrap").exits(0);
        assert_eq!((lab.read("hosts/web/etc/site.conf"), lab.read("hosts/web/data").as_str()), (good.clone(), "data\n"), "{at}: {ran}");
        assert!(lab.read("hosts/web/restarts").contains("restarted"), "boundary {at}: the restart was lost: {ran}");
        assert_eq!(left_behind(&lab), [""; 0], "boundary {at}: {ran}");
        let seen = reader.stop();
        assert!(seen.iter().all(|text| *text == good || text == "old\n"), "boundary {at}: half-written: {seen:?}");
        // A run in between, to see that the one before has left nothing to be done.
        if at % 4 == 0 {
            let (_, _) = (lab.take_execs("web"), lab.take_execs("db"));
            let last = lab.poclab("bootstrap --format json").exits(0);
            assert_eq!((last.changes().len(), lab.take_execs("web"), lab.take_execs("db")), (0, 1, 1), "boundary {at}: {last}");
        }
    }
    unreachable!()
}

#[test]
fn killed_at_every_boundary_the_next_run_converges() {
    // The tool alone is killed: its script on the host goes on until it notices.
    let boundaries = at_every_boundary("kill -9 $1", |status| status == -1);
    assert!(boundaries >= 20, "only {boundaries} boundaries");
}

#[test]
fn a_host_that_loses_its_power_at_every_boundary_converges() {
    // Everything of the run on the host dies at once, without a chance to tidy up. What was lost while looking only is made
    // good by the same run.
    let boundaries = at_every_boundary("kill -9 0", |status| [0, 1, 4].contains(&status));
    assert!(boundaries >= 20, "only {boundaries} boundaries");
}

#[test]
fn what_a_killed_step_left_is_removed_though_nothing_else_is_to_be_done() {
    let lab = Lab::bootstrapped();
    let motd = lab.read("hosts/db/etc/motd");
    lab.replace(
        "roles/base/role.yml",
        "      content:",
        "      validate: \"[ ! -e {{ root }}/crash ] || . {{ root }}/crash; : %s\"\n      content:",
    );
    lab.write("hosts/db/etc/motd", "damaged\n");
    // Both sides at once: the tool would tidy up after a host, and a host's script after itself.
    lab.write("hosts/db/crash", "g=$(ps -o pgid= -p $$); kill -9 $(ps -o ppid= -p $g); kill -9 0\n");
    lab.poclab("bootstrap --host db").exits(-1);
    let left = left_behind(&lab);
    assert!(left.iter().any(|path| path.starts_with("/db/etc/.poclab.")), "the fault was not injected: {left:?}");
    assert_eq!(lab.read("hosts/db/etc/motd"), "damaged\n");
    // Somebody mends the file by hand: nothing has to be written there any more.
    std::fs::remove_file(lab.path("hosts/db/crash")).unwrap();
    lab.write("hosts/db/etc/motd", &motd);
    let plan = lab.poclab("plan").exits(2);
    assert!(plan.stdout.contains("db: an earlier run left a step that was cut off"), "{plan}");
    assert!(!left_behind(&lab).is_empty(), "a plan changes nothing");
    lab.poclab("bootstrap").exits(0);
    assert_eq!(left_behind(&lab), [""; 0]);
    lab.poclab("plan").exits(0);
}

#[test]
fn a_script_that_outlives_its_run_is_waited_for() {
    let lab = Lab::new();
    let slow = "echo begin >>{{ root }}/log; until [ -e {{ root }}/go ]; do sleep 0.1; done; echo end >>{{ root }}/log; echo data >{{ root }}/data";
    lab.replace("roles/site/role.yml", "echo data >{{ root }}/data", slow);
    let mut first = lab.poclab("bootstrap").spawn();
    while !lab.path("hosts/web/log").exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    first.kill().unwrap();
    first.wait().unwrap();
    let mut second = lab.poclab("bootstrap").spawn();
    let mut stdout = BufReader::new(second.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("note: web: a step of an earlier run still works there; waiting for it") {
        assert!(stdout.read_line(&mut said).unwrap() > 0, "{said}");
    }
    lab.write("hosts/web/go", "");
    stdout.read_to_string(&mut said).unwrap();
    assert_eq!(second.wait().unwrap().code(), Some(0), "{said}");
    // The first one's step came to its end before anything else was done; the second found its work done.
    assert_eq!(lab.read("hosts/web/log"), "begin\nend\n", "{said}");
    assert_eq!((lab.read("hosts/web/restarts").as_str(), left_behind(&lab)), ("restarted\n", vec![]));
}
