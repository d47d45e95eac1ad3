//! The role clair on container hosts: the real Clair with a small recorded feed. It knows what it must, tells an empty database from a
//! full one, the gate says no when it must, and what is damaged or rotated is repaired.
//!
//! Run by `make lab-test`. The stages share one lab and run in order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests may panic")]

#[path = "support/container_lab.rs"]
mod container_lab;

use std::collections::BTreeSet;
use std::time::Instant;

use container_lab::{Project, changes, of_kind, set};
use serde_json::Value;

const ONLY: [&str; 4] = ["--host", "deploy", "--host", "registry"];
const SQL: &str = "docker exec clair-database psql -U clair -d clair -qc";

fn run(lab: &Project, what: &str) -> (i32, Vec<Value>) {
    let check = if what == "bootstrap" { &["--check", "clair"][..] } else { &[] };
    let (exit, events) = lab.events(&[&[what], &ONLY[..], check].concat());
    let bad: Vec<_> = events.iter().filter(|e| e["event"] == "role_failed" || e["event"] == "host_failed").collect();
    assert!(bad.is_empty(), "{bad:#?}");
    (exit, events)
}

/// The check's lines by their status: title and what was said.
fn lines(events: &[Value], status: &str) -> Vec<String> {
    let results = of_kind(events, "check_result");
    results.iter().filter(|event| event["status"] == status).map(|event| format!("{}: {}", event["title"], event["detail"])).collect()
}

fn verify(lab: &Project) -> (i32, Vec<Value>) {
    lab.events(&["verify", "--check", "clair"])
}

fn proven(lab: &Project) {
    let (exit, events) = verify(lab);
    assert_eq!((exit, lines(&events, "failed"), lines(&events, "skipped")), (0, vec![], vec![]));
    let controls = of_kind(&events, "check_result").iter().filter(|event| event["control"] == true && event["status"] == "passed").count();
    assert_eq!((lines(&events, "passed").len(), controls), (11, 8));
}

/// The gate as the pipeline calls it: its exit status, and what it said.
fn gate(lab: &Project, arguments: &str) -> (i32, String) {
    let said = lab.on("deploy", &format!("docker exec jenkins /opt/lab/bin/poclab scan {arguments} 2>&1; echo \"exit $?\""));
    let (text, exit) = said.trim_end().rsplit_once("exit ").unwrap();
    (exit.parse().unwrap(), text.to_owned())
}

#[test]
#[ignore = "needs docker and minutes: make lab-test"]
fn clair_says_no_when_it_must() {
    let lab = Project::with("clair5", "10.100", &["clair", "jenkins", "deployment"]);
    let started = Instant::now();
    let stage = |name: &str| eprintln!("=== {name} ({:.0} s)", started.elapsed().as_secs_f64());
    assert!(lab.poclab(&["rehearse", "up"]).status.success());

    stage("from bare hosts");
    assert_eq!(run(&lab, "bootstrap").0, 0);
    proven(&lab);
    stage("a second run");
    a_second_run_changes_nothing_in_one_exec(&lab);
    stage("secrets");
    secrets_are_nowhere(&lab);
    stage("an empty database");
    an_empty_database_is_an_error(&lab);
    stage("Debian's data is lost");
    data_that_is_lost_is_seen_although_its_log_is_there(&lab);
    stage("old data");
    old_data_is_a_change(&lab);
    stage("rotated secrets");
    rotated_secrets_reach_all_who_need_them(&lab);
    stage("a lost database");
    a_lost_database_is_made_anew(&lab);
    stage("done");
}

fn a_second_run_changes_nothing_in_one_exec(lab: &Project) {
    let (connections, execs) = lab.sessions("deploy");
    let (exit, events) = run(lab, "plan");
    assert_eq!((exit, changes(&events)), (0, BTreeSet::new()));
    assert_eq!(lab.sessions("deploy"), (connections + 1, execs + 1), "one connection with one exec");
}

/// Neither in the environment nor in a command line of the containers, nor in a log.
fn secrets_are_nowhere(lab: &Project) {
    let secrets = lab.on("deploy", "cat /srv/clair/secrets/database /srv/jenkins/secrets/clair_psk /srv/jenkins/secrets/registry_pull");
    let shown = lab.on(
        "deploy",
        "docker inspect clair clair-database; ps axww; docker logs clair 2>&1; docker logs clair-database 2>&1; cat /etc/poclab/scan.yml",
    );
    for secret in secrets.lines() {
        assert!(secret.len() >= 12 && !shown.contains(secret), "a secret of Clair shows");
    }
    let modes = lab.on("deploy", "stat -c '%a %U:%G' /srv/clair/config/config.yaml /srv/clair/secrets/database");
    assert_eq!(modes, "440 root:clair\n440 root:clair\n");
}

/// An image of Debian with one package, pushed for the test: its name by digest.
fn pushed_image(lab: &Project) -> String {
    let image = "registry.lab.example:5000/poclab/scan-test";
    lab.on(
        "deploy",
        &format!(
            "set -e; work=$(mktemp -d); cd $work; mkdir -p etc var/lib/dpkg/info; printf 'ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n' >etc/os-release
             printf 'Package: base-files\nStatus: install ok installed\nArchitecture: amd64\nVersion: 12.4+deb12u5\n\n' >var/lib/dpkg/status
             tar -cf - etc var | docker import - {image}:1 >&2
             DOCKER_CONFIG=$work/docker; export DOCKER_CONFIG
             docker login -u push --password-stdin registry.lab.example:5000 </srv/jenkins/secrets/registry_push >&2
             docker push -q {image}:1 >&2
             docker image inspect --format '{{{{index .RepoDigests 0}}}}' {image}:1; rm -rf $work"
        ),
    )
    .trim()
    .to_owned()
}

/// Up is not enough: Clair answers, is ready, and would call every image clean.
fn an_empty_database_is_an_error(lab: &Project) {
    assert_eq!(gate(lab, "--feeds").0, 0);
    let image = pushed_image(lab);
    let scan = format!("--policy /dev/null {image}");
    let (exit, said) = gate(lab, &scan);
    assert_eq!(exit, 0, "{said}");
    lab.on(
        "deploy",
        &format!(
            "{SQL} 'TRUNCATE vuln, uo_vuln, update_operation, enrichment CASCADE; REFRESH MATERIALIZED VIEW latest_update_operations'"
        ),
    );
    lab.on("deploy", "curl -fsS http://127.0.0.1:6061/readyz >/dev/null");
    let (exit, said) = gate(lab, "--feeds");
    assert!(exit == 4 && said.contains("database of vulnerabilities is empty"), "{exit}: {said}");
    let (exit, said) = gate(lab, &scan);
    assert!(exit == 4 && said.contains("could not look at"), "{exit}: {said}");
    let (exit, events) = verify(lab);
    let failed = lines(&events, "failed");
    assert!(exit == 3 && failed.len() == 1 && failed[0].contains("no updater has loaded anything"), "{exit}: {failed:#?}");
    assert_eq!(lines(&events, "skipped").len(), 4, "nothing is proven by an empty database");
    let (exit, events) = run(lab, "plan");
    assert_eq!((exit, changes(&events)), (2, loads(&["debian/updater", "osv/pypi", "clair.cvss"])));
    assert_eq!(run(lab, "bootstrap").0, 0);
    proven(lab);
    assert_eq!(gate(lab, &scan).0, 0);
}

/// What a plan says of updaters whose data is not there, or too old.
fn loads(updaters: &[&str]) -> BTreeSet<String> {
    updaters.iter().map(|name| format!("deploy: command Clair knows what {name} knows, as of the last 36500 days")).collect()
}

/// Nobody but the rows themselves knows: the log of updates is whole, and there is other data.
fn data_that_is_lost_is_seen_although_its_log_is_there(lab: &Project) {
    for (lose, updater) in
        [("DELETE FROM vuln WHERE updater = '\\''debian/updater'\\''", "debian/updater"), ("TRUNCATE uo_enrich, enrichment", "clair.cvss")]
    {
        lab.on("deploy", &format!("{SQL} '{lose}'"));
        assert_eq!(gate(lab, "--feeds").0, 0, "the log says that it was loaded");
        let (exit, events) = verify(lab);
        let failed = lines(&events, "failed");
        assert!(exit == 3 && failed.len() == 1 && failed[0].contains("not refused for openssl"), "{updater}: {exit}: {failed:#?}");
        let (exit, events) = run(lab, "plan");
        assert_eq!((exit, changes(&events)), (2, loads(&[updater])));
        assert_eq!(run(lab, "bootstrap").0, 0);
        proven(lab);
        assert_eq!(run(lab, "plan").0, 0);
    }
}

/// Every scan would end with 4: that is no lab in sync. From a file nothing newer can come, and the role says so.
fn old_data_is_a_change(lab: &Project) {
    let inventory = lab.edit_inventory("vars:\n", "vars:\n  clair_max_age_days: 1\n");
    let (exit, events) = lab.events(&[&["bootstrap"], &ONLY[..], &["--check", "clair"]].concat());
    let failed = of_kind(&events, "role_failed");
    assert_eq!((exit, failed.len()), (1, 1), "{failed:#?}");
    let said = failed[0].to_string();
    assert!(said.contains("too old to judge by: debian/updater (") && said.contains("name it in clair_feed"), "{said}");
    std::fs::write(lab.inventory(), inventory).unwrap();
    assert_eq!(run(lab, "bootstrap").0, 0);
    proven(lab);
}

fn rotated_secrets_reach_all_who_need_them(lab: &Project) {
    for secret in ["clair_psk", "clair_database"] {
        assert!(lab.poclab(&["secrets", "rotate", secret]).status.success());
    }
    let (exit, events) = run(lab, "plan");
    let want = set(&[
        "deploy: file /srv/clair/config/config.yaml",
        "deploy: file /srv/clair/secrets/database",
        "deploy: file /srv/jenkins/secrets/clair_psk",
    ]);
    assert_eq!((exit, changes(&events)), (2, want));
    assert_eq!(run(lab, "bootstrap").0, 0);
    proven(lab);
}

fn a_lost_database_is_made_anew(lab: &Project) {
    lab.on("deploy", "docker rm -f clair clair-database && docker volume rm clair_database clair_spool");
    let (exit, events) = run(lab, "bootstrap");
    assert_eq!(exit, 0);
    assert!(changes(&events).contains("deploy: container clair-database"), "{:?}", changes(&events));
    proven(lab);
}
