//! Two operators at once, and what is left of one that is gone.

use std::process::Child;
use std::time::Duration;

use crate::kill::left_behind;
use crate::lab::Lab;

/// A lab on whose host `web` a bootstrap is in the middle of a step.
fn busy() -> (Lab, Child) {
    let lab = Lab::new();
    lab.replace("roles/site/role.yml", "echo data >{{ root }}/data", "touch {{ root }}/here; sleep 300; echo data >{{ root }}/data");
    let run = lab.poclab("bootstrap").spawn();
    while !lab.path("hosts/web/here").exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    (lab, run)
}

/// The same lab in another folder of the same machine.
fn second_folder(lab: &Lab) {
    std::fs::create_dir(lab.path("second")).unwrap();
    for name in ["inventory", "roles", "templates", "hosts", "fake-host"] {
        std::os::unix::fs::symlink(lab.path(name), lab.path("second").join(name)).unwrap();
    }
}

#[test]
fn a_second_operator_is_refused_before_anything_is_changed() {
    let (lab, run) = busy();
    second_folder(&lab);
    std::fs::remove_file(lab.path("hosts/db/etc/motd")).unwrap();

    let same_folder = lab.poclab("bootstrap").exits(1);
    assert!(same_folder.stderr.contains(&format!("runs on this machine (process {}, since 20", run.id())), "{same_folder}");

    let ran = lab.poclab("bootstrap").within("second").exits(1);
    assert!(ran.stdout.contains("web: FAILED: another poclab run holds this host: tester@"), "{ran}");
    assert!(ran.stdout.contains(" since 20") && ran.stdout.contains("`poclab unlock`"), "{ran}");
    assert!(!lab.path("hosts/db/etc/motd").exists(), "nothing is changed on any host: {ran}");
    let plan = lab.poclab("plan").within("second").run();
    assert!(plan.stdout.contains("note: web: another poclab run holds this host: tester@"), "{plan}");
    // Another host is free.
    lab.poclab("bootstrap --host db").within("second").exits(0);

    let locks = lab.poclab("unlock").within("second").exits(1);
    assert!(locks.stdout.contains("web   HELD") && locks.stdout.contains("db    none"), "{locks}");
    assert!(lab.path("hosts/web/var/lib/poclab/holder").exists());
    // An interrupt ends its script, too.
    let process = rustix::process::Pid::from_raw(i32::try_from(run.id()).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    assert_eq!(run.wait_with_output().unwrap().status.code(), Some(130));
}

#[test]
fn the_lock_of_a_run_that_is_gone_is_recognised_and_taken_over() {
    let (lab, mut run) = busy();
    run.kill().unwrap();
    run.wait().unwrap();
    second_folder(&lab);
    let plan = lab.poclab("plan").within("second").exits(2);
    assert!(plan.stdout.contains("web: an earlier run left the lock of tester@"), "{plan}");
    assert!(plan.stdout.contains("its process on this machine is gone"), "{plan}");
    let status = lab.poclab("status --no-links").within("second").exits(0);
    assert!(status.stdout.contains("left behind   the lock of tester@") && !status.stdout.contains("held by"), "{status}");
    // The script that the dead run has left is still there: it is not worked around.
    lab.program("hosts/web/bin/flock", "[ \"$1\" = -w ] && shift 2 && exec /usr/bin/flock -w 1 \"$@\"\nexec /usr/bin/flock \"$@\"");
    let ran = lab.poclab("bootstrap").exits(1);
    assert!(ran.stdout.contains("a step of an earlier run, which was cut off, still works on this host (process "), "{ran}");
    let process = ran.stdout.split("still works on this host (process ").nth(1).unwrap().split(')').next().unwrap();
    // It is the script, alone in its group.
    let process = rustix::process::Pid::from_raw(process.parse().unwrap()).unwrap();
    rustix::process::kill_process_group(process, rustix::process::Signal::KILL).unwrap();
    lab.replace("roles/site/role.yml", "sleep 300; ", "");
    let ran = lab.poclab("bootstrap").exits(0);
    assert!(ran.stdout.contains("note: web: took over from tester@"), "{ran}");
    assert_eq!(left_behind(&lab), [""; 0]);
}

/// The record of a run on another machine.
fn foreign(lab: &Lab, host: &str) {
    lab.write(
        &format!("hosts/{host}/var/lib/poclab/holder"),
        "run=0123456789abcdef\nowner=bob@far\nsince=2026-11-21T08:00:00Z\ncontrol=a/b/c\nprocess=1 1\nfrom=10.0.0.99\nsshd=\n",
    );
}

#[test]
fn unlock_needs_force_for_a_run_that_may_be_alive() {
    let lab = Lab::bootstrapped();
    foreign(&lab, "db");
    let ran = lab.poclab("bootstrap").exits(1);
    assert!(
        ran.stdout.contains("db: FAILED: another poclab run holds this host: bob@far (from 10.0.0.99) since 2026-11-21T08:00:00Z"),
        "{ran}"
    );
    let status = lab.poclab("status --no-links").exits(0);
    assert!(status.stdout.contains("held by       a run of bob@far (from 10.0.0.99) since"), "{status}");
    lab.poclab("unlock").exits(1);
    lab.poclab("unlock --host web").exits(0);
    lab.poclab("unlock --host wbe").exits(64);
    let ran = lab.poclab("unlock --force --format json").exits(0);
    let locks: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&locks[1]["state"], &locks[1]["owner"]), (&"removed".into(), &"bob@far".into()));
    assert_eq!(left_behind(&lab), [""; 0]);
    lab.poclab("bootstrap").exits(0);
    lab.write("hosts/web/down", "no route to host\n");
    lab.poclab("unlock").exits(4);
}

#[test]
fn a_run_that_comes_between_the_look_and_the_change_is_seen() {
    let lab = Lab::bootstrapped();
    lab.write("hosts/web/etc/motd", "damaged\n");
    foreign(&lab, "db");
    std::fs::rename(lab.path("hosts/db/var/lib/poclab/holder"), lab.path("foreign")).unwrap();
    let holder = lab.path("hosts/web/var/lib/poclab/holder");
    let plant = format!("[ \"$2 $3\" != 'begin lock' ] || cp {} {}", lab.path("foreign").display(), holder.display());
    lab.program("hosts/web/bin/boundary", &plant);
    let ran = lab.poclab("bootstrap").exits(1);
    assert!(ran.stdout.contains("web base: FAILED: another poclab run holds this host: bob@far"), "{ran}");
    assert_eq!((lab.read("hosts/web/etc/motd").as_str(), holder.exists()), ("damaged\n", true), "{ran}");
}

#[test]
fn a_lock_costs_no_exec_of_its_own_and_is_given_back_after_a_failure_too() {
    let lab = Lab::bootstrapped();
    lab.write("hosts/web/etc/motd", "damaged\n");
    // Without the checks, which have execs of their own: none of this kind is there.
    lab.poclab("bootstrap --check port_matrix").exits(0);
    assert_eq!((lab.take_execs("web"), lab.take_execs("db"), left_behind(&lab)), (2, 1, vec![]));
    std::fs::remove_file(lab.path("hosts/web/data")).unwrap();
    lab.replace("roles/site/role.yml", "echo data >{{ root }}/data", "false");
    lab.poclab("bootstrap").exits(1);
    assert_eq!(left_behind(&lab), [""; 0]);
}
