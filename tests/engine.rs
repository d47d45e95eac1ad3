//! The engine on local folders: one exec when nothing changes, exact damage, restarts that survive a failure, isolation.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests may panic")]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use poclab::base::Exit;
use poclab::engine::{Engine, Event, Selection, Summary};
use poclab::lab::{HandlerAction, Lab};
use poclab::ssh::{Connector, Exec, Output, Reach, SshError, Transport};
use serde_json::json;
use support::{Folders, host, lab, node, resource, take_execs};

/// Runs something on a lab; the exit code and what was reported.
fn run(lab: &Lab, work: impl FnOnce(&Engine) -> Exit) -> (Exit, Vec<Event>) {
    run_over(&Folders, lab, work)
}

fn run_over(connector: &dyn Connector, lab: &Lab, work: impl FnOnce(&Engine) -> Exit) -> (Exit, Vec<Event>) {
    let (events, received) = mpsc::channel();
    let interrupted = AtomicBool::new(false);
    let engine = Engine {
        lab,
        connector,
        events,
        verbose: false,
        parallel: 4,
        selection: Selection::default(),
        interrupted: &interrupted,
        always_verify: false,
        reservations: Vec::new(),
    };
    let exit = work(&engine);
    drop(engine);
    (exit, received.into_iter().collect())
}

fn bootstrap(lab: &Lab) -> (Exit, Vec<Event>) {
    run(lab, |engine| engine.bootstrap())
}

fn plan(lab: &Lab) -> (Exit, Vec<Event>) {
    run(lab, |engine| engine.plan())
}

fn changes(events: &[Event]) -> Vec<(String, String)> {
    let change = |event: &Event| match event {
        Event::Change { host, resource, .. } => Some((host.clone(), resource.clone())),
        _ => None,
    };
    events.iter().filter_map(change).collect()
}

fn summary(events: &[Event]) -> Summary {
    match events.last() {
        Some(Event::RunDone(summary)) => (**summary).clone(),
        other => panic!("the last event is {other:?}"),
    }
}

fn file(root: &Path, host: &str, name: &str, content: &str, notify: &[&str]) -> poclab::lab::Resource {
    let me = std::process::Command::new("id").arg("-un").output().unwrap();
    let group = std::process::Command::new("id").arg("-gn").output().unwrap();
    let text = |out: std::process::Output| String::from_utf8(out.stdout).unwrap().trim().to_owned();
    let path = root.join(host).join(name);
    resource("file", json!({"path": path, "content": content, "mode": "0644", "owner": text(me), "group": text(group)}), notify)
}

/// Two hosts; a file each, and a second role on the second host that needs the first host's.
fn two_hosts(root: &Path) -> Lab {
    let counter = root.join("one/restarts");
    let nodes = vec![
        node(
            0,
            "web",
            &[],
            vec![file(root, "one", "a.conf", "a\n", &["restart"])],
            &[("restart", &format!("echo restarted >>{}", counter.display()))],
        ),
        node(1, "web", &[], vec![file(root, "two", "a.conf", "a\n", &[])], &[]),
        node(1, "client", &[0], vec![file(root, "two", "b.conf", "b\n", &[])], &[]),
    ];
    lab(root, vec![host(root, "one"), host(root, "two")], nodes)
}

fn restarts(root: &Path) -> usize {
    std::fs::read_to_string(root.join("one/restarts")).unwrap_or_default().lines().count()
}

#[test]
fn bare_then_done_then_nothing_in_one_exec() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let lab = two_hosts(root);
    let (exit, events) = plan(&lab);
    assert_eq!((exit, changes(&events).len()), (Exit::Changes, 3));
    assert!(!root.join("one/a.conf").exists(), "a plan changes nothing");

    let (exit, events) = bootstrap(&lab);
    assert_eq!(exit, Exit::Done, "{events:#?}");
    assert_eq!((summary(&events).changed, restarts(root)), (3, 1));
    assert_eq!(std::fs::read_to_string(root.join("two/b.conf")).unwrap(), "b\n");

    let _ = (take_execs(root, "one"), take_execs(root, "two"));
    let (exit, events) = bootstrap(&lab);
    assert_eq!((exit, summary(&events).changed, restarts(root)), (Exit::Done, 0, 1));
    assert_eq!((take_execs(root, "one"), take_execs(root, "two")), (1, 1));
    assert_eq!(plan(&lab).0, Exit::Done);
}

#[test]
fn damage_is_named_and_repaired_exactly() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let lab = two_hosts(root);
    bootstrap(&lab);
    std::fs::write(root.join("two/a.conf"), "other\n").unwrap();
    let damaged = vec![("two".to_owned(), format!("file {}", root.join("two/a.conf").display()))];
    let (exit, events) = plan(&lab);
    assert_eq!((exit, changes(&events)), (Exit::Changes, damaged.clone()));
    let (exit, events) = bootstrap(&lab);
    assert_eq!((exit, changes(&events), summary(&events).changed), (Exit::Done, damaged, 1));
    assert_eq!(plan(&lab).0, Exit::Done);
}

#[test]
fn a_restart_that_a_failure_swallowed_happens_on_the_next_run() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let mut lab = two_hosts(root);
    // A later resource of the same role fails after the file was changed and before its restart.
    lab.nodes[0].resources.push(resource("command", json!({"what": "fail", "run": "echo broken >&2; false", "unless": "false"}), &[]));
    let (exit, events) = bootstrap(&lab);
    assert_eq!((exit, restarts(root)), (Exit::Failed, 0));
    assert!(root.join("one/a.conf").exists());
    let failure = events.iter().find_map(|e| if let Event::RoleFailed { output, .. } = e { Some(output.clone()) } else { None });
    assert_eq!(failure.unwrap(), ["broken"]);
    // The dependent was not reached, the other role of that host was done.
    let not_reached: Vec<_> = events.iter().filter(|e| matches!(e, Event::RoleNotReached { role, .. } if role == "client")).collect();
    assert_eq!(not_reached.len(), 1);
    assert!(root.join("two/a.conf").exists() && !root.join("two/b.conf").exists());

    lab.nodes[0].resources.pop();
    assert_eq!(plan(&lab).0, Exit::Changes, "the pending restart is a change");
    let (exit, _) = bootstrap(&lab);
    assert_eq!((exit, restarts(root)), (Exit::Done, 1));
    assert_eq!(bootstrap(&lab).0, Exit::Done);
    assert_eq!(restarts(root), 1);
}

#[test]
fn a_restart_waits_for_what_can_only_be_seen_later() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let (conf, made) = (root.join("one/a.conf"), root.join("one/made"));
    let mut lab = two_hosts(root);
    // Cannot be looked at before the file is there; the restart needs what it makes.
    let guard = format!("[ -e {} ] || kill -9 $$; [ -e {} ]", conf.display(), made.display());
    lab.nodes[0].resources.push(resource(
        "command",
        json!({"what": "make it", "run": format!("touch {}", made.display()), "unless": guard}),
        &[],
    ));
    lab.nodes[0].handlers[0].action =
        HandlerAction::Run(format!("test -e {} && echo restarted >>{}", made.display(), root.join("one/restarts").display()));
    let (exit, events) = bootstrap(&lab);
    assert_eq!((exit, restarts(root)), (Exit::Done, 1), "{events:#?}");
}

#[test]
fn a_host_that_is_down_is_reported_and_the_others_finish() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let lab = two_hosts(root);
    std::fs::write(root.join("one/down"), "").unwrap();
    let (exit, events) = plan(&lab);
    assert_eq!(exit, Exit::Unobserved);
    assert_eq!(changes(&events).len(), 2);
    let (exit, events) = bootstrap(&lab);
    assert_eq!(exit, Exit::Unobserved);
    assert!(root.join("two/a.conf").exists() && !root.join("two/b.conf").exists(), "{events:#?}");
    assert!(summary(&events).hosts[0].error.as_deref().unwrap().contains("cannot reach"));
}

#[test]
fn what_cannot_be_looked_at_is_never_good() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let mut lab = two_hosts(root);
    bootstrap(&lab);
    // A command's guard that breaks the observation.
    lab.nodes[1].resources.push(resource("command", json!({"what": "odd", "run": "true", "unless": "kill -9 $$"}), &[]));
    let (exit, events) = plan(&lab);
    assert!(exit != Exit::Done, "{events:#?}");
}

#[test]
fn a_change_that_does_not_hold_did_not_converge() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let path = root.join("one/x");
    let mut lab = two_hosts(root);
    lab.nodes[0].resources.push(resource("command", json!({"what": "never true", "run": "true", "unless": "false"}), &[]));
    let (exit, events) = bootstrap(&lab);
    assert_eq!(exit, Exit::Failed);
    let error = events.iter().find_map(|e| if let Event::RoleFailed { error, .. } = e { Some(error.clone()) } else { None });
    assert!(error.unwrap().contains("did not converge"));
    assert!(!path.exists());
}

/// Connections that are dead when they are used again, as after a restart of the host; `Some` = also new ones are refused then.
struct Mortal(Option<AtomicBool>);

struct OneExec(Box<dyn Transport>, bool);

impl Connector for Mortal {
    fn connect(&self, reach: &Reach) -> Result<Box<dyn Transport>, SshError> {
        if self.0.as_ref().is_some_and(|down| down.swap(true, Ordering::SeqCst)) {
            return Err(SshError::Unreachable { address: "here".to_owned(), why: "connection refused".to_owned() });
        }
        Ok(Box::new(OneExec(Folders.connect(reach)?, false)))
    }
}

impl Transport for OneExec {
    fn exec(&mut self, exec: &Exec, on_stdout: &mut dyn FnMut(&[u8]), on_sent: &mut dyn FnMut(u64)) -> Result<Output, SshError> {
        if std::mem::replace(&mut self.1, true) {
            return Err(SshError::Dead { why: "the host was restarted".to_owned() });
        }
        self.0.exec(exec, on_stdout, on_sent)
    }
}

#[test]
fn a_connection_that_died_between_two_execs_is_opened_anew() {
    let root = tempfile::tempdir().unwrap();
    let lab = two_hosts(root.path());
    let (exit, events) = run_over(&Mortal(None), &lab, |engine| engine.bootstrap());
    assert_eq!(exit, Exit::Done, "{events:#?}");
    // Each host's first look, and one new connection per role that changed something.
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Connecting { .. })).count(), 2 + 3);
    assert_eq!(plan(&lab).0, Exit::Done);
}

#[test]
fn a_host_that_does_not_come_back_fails_with_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let mut lab = lab(root.path(), vec![host(root.path(), "one")], Vec::new());
    lab.nodes = vec![node(0, "web", &[], vec![file(root.path(), "one", "a.conf", "a\n", &[])], &[])];
    let (exit, events) = run_over(&Mortal(Some(AtomicBool::new(false))), &lab, |engine| engine.bootstrap());
    assert_eq!(exit, Exit::Failed);
    let failed = |event: &Event| matches!(event, Event::RoleFailed { error, .. } if error.contains("is the host up"));
    assert!(events.iter().any(failed), "{events:#?}");
    assert_eq!(bootstrap(&lab).0, Exit::Done, "the next run goes on");
}
