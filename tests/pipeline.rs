//! The whole lab on container hosts: a push becomes the running application, and nothing else does. GitLab and Jenkins are the
//! rehearsal's stand-ins; git, sshd, Docker, compose, registry, deployment and application are real.
//!
//! Run by `make lab-test`. The stages share one lab and run in order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests may panic")]

#[path = "support/container_lab.rs"]
mod container_lab;

use std::collections::BTreeSet;
use std::time::Instant;

use container_lab::{HOSTS, Project, changes, of_kind};
use serde_json::Value;

const GROUPS: [&str; 7] = ["gitlab", "jenkins", "app", "deployment", "clair", "security-tests", "pipeline"];
/// What a push goes through.
const STAGES: [&str; 8] = ["checkout", "quality gates", "build", "test", "scan", "push", "deploy", "security tests"];

#[test]
#[ignore = "needs docker and minutes: make lab-test"]
fn a_push_becomes_the_running_application() {
    let lab = Project::with("pipeline4", "10.97", &GROUPS);
    let started = Instant::now();
    let stage = |name: &str| eprintln!("=== {name} ({:.0} s)", started.elapsed().as_secs_f64());
    lab.edit_inventory("vars:\n", "vars:\n  app_health_seconds: 40\n");
    assert!(lab.poclab(&["rehearse", "up"]).status.success());

    stage("from bare hosts to a push that runs");
    from_nothing(&lab);
    stage("a second run");
    a_second_run_changes_nothing(&lab);
    stage("what the terminal shows");
    the_pipeline_is_shown(&lab);
    stage("Jenkins' data is lost");
    jenkins_data_is_lost(&lab);
    stage("done");
}

fn failures(events: &[Value]) -> Vec<String> {
    let bad = |e: &&Value| {
        e["event"] == "role_failed" || e["event"] == "host_failed" || (e["event"] == "check_result" && e["status"] == "failed")
    };
    events.iter().filter(bad).map(Value::to_string).collect()
}

/// The lines of the check `pipeline` with this status: titles of proofs, and of controls.
fn lines(events: &[Value], status: &str) -> (Vec<String>, Vec<String>) {
    let all = of_kind(events, "check_result");
    let ours = all.iter().filter(|e| e["check"].as_str().unwrap().starts_with("pipeline") && e["status"] == status);
    let (controls, proofs): (Vec<&&Value>, Vec<&&Value>) = ours.partition(|e| e["control"] == true);
    let titles = |list: Vec<&&Value>| list.iter().map(|e| e["title"].as_str().unwrap().to_owned()).collect();
    (titles(proofs), titles(controls))
}

/// All that the check must have proven.
fn proven(events: &[Value]) {
    assert_eq!(failures(events), Vec::<String>::new());
    let (passed, controls) = lines(events, "passed");
    for stage in &STAGES {
        assert!(passed.contains(&format!("stage `{stage}`")), "{stage}: {passed:#?}");
    }
    for start in [
        "developer pushes",
        "GitLab delivers",
        "Jenkins builds that commit, started by GitLab",
        "/status answers",
        "the website",
        "GitLab shows",
    ] {
        assert!(passed.iter().any(|title| title.starts_with(start)), "{start}: {passed:#?}");
    }
    assert_eq!(passed.iter().filter(|title| title.contains("by the digest that the registry has")).count(), 2);
    assert_eq!(controls.len(), 6, "{controls:#?}");
    assert!(controls.contains(&"a commit that brings a package with a known vulnerability goes red".to_owned()), "{controls:#?}");
    let (skipped, _) = lines(events, "skipped");
    assert_eq!(skipped, Vec::<String>::new());
}

fn from_nothing(lab: &Project) {
    let (exit, events) = lab.events(&["bootstrap"]);
    assert_eq!(failures(&events), Vec::<String>::new());
    assert_eq!(exit, 0);
    proven(&events);
}

fn a_second_run_changes_nothing(lab: &Project) {
    let before: Vec<_> = HOSTS.iter().map(|host| lab.sessions(host)).collect();
    let (exit, events) = lab.events(&["bootstrap"]);
    assert_eq!((exit, changes(&events)), (0, BTreeSet::new()));
    for (host, (connections, execs)) in HOSTS.iter().zip(before) {
        assert_eq!(lab.sessions(host), (connections + 1, execs + 1), "one connection with one exec on {host}");
    }
}

fn the_pipeline_is_shown(lab: &Project) {
    let output = lab.poclab(&["pipeline"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for stage in &STAGES {
        assert!(text.contains(stage), "{stage}: {text}");
    }
    assert!(text.contains("https://deploy.lab.example:8080/job/student_list/"), "{text}");
}

/// One bootstrap brings jobs, plugins and credentials back, and the next push builds.
fn jenkins_data_is_lost(lab: &Project) {
    lab.on("deploy", "docker rm -f jenkins jenkins-tls && docker volume rm jenkins_home && rm -rf /srv/jenkins");
    let (exit, events) = lab.events(&["bootstrap", "--check", "pipeline"]);
    assert_eq!(exit, 0);
    assert!(changes(&events).contains("deploy: container jenkins"));
    proven(&events);
    let (_, events) = lab.events(&["pipeline"]);
    assert_eq!(events.last().unwrap()["build"]["number"], 3, "the history began anew: a broken commit, a vulnerable one, a good one");
}
