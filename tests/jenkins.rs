//! The role jenkins on container hosts: Jenkins from code, twice the same, restored after a total loss, drift named and repaired.
//! GitLab is not needed here; what both do together is the check `pipeline`'s business.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests may panic")]

#[path = "support/container_lab.rs"]
mod container_lab;

use std::collections::BTreeSet;

use container_lab::{Project, changes, of_kind, set};

/// The other hosts stay bare: they are other tests' business.
const ONLY: [&str; 4] = ["--host", "deploy", "--check", "jenkins"];

fn run(lab: &Project, what: &str) -> (i32, Vec<serde_json::Value>) {
    let arguments = if what == "plan" { &ONLY[..2] } else { &ONLY[..] };
    let (exit, events) = lab.events(&[&[what], arguments].concat());
    let bad: Vec<_> = events.iter().filter(|e| e["event"] == "role_failed" || e["event"] == "host_failed").collect();
    assert!(bad.is_empty(), "{bad:#?}");
    (exit, events)
}

/// The check's lines that are not as they should be.
fn failures(events: &[serde_json::Value]) -> Vec<String> {
    let results = of_kind(events, "check_result");
    let failed = results.iter().filter(|event| event["status"] == "failed");
    failed.map(|event| event.to_string()).collect()
}

#[test]
#[ignore = "needs docker and minutes: make lab-test"]
fn jenkins_is_what_its_code_says() {
    let lab = Project::with("jenkins4", "10.96", &["deployment", "jenkins"]);
    assert!(lab.poclab(&["rehearse", "up"]).status.success());

    from_nothing(&lab);
    a_second_run_changes_nothing_in_one_exec(&lab);
    secrets_are_nowhere(&lab);
    drift_is_named_and_repaired(&lab);
    a_total_loss_is_restored(&lab);
    wrong_configuration_is_refused_in_jenkins_words(&lab);
}

fn from_nothing(lab: &Project) {
    let (exit, _) = run(lab, "bootstrap");
    assert_eq!(exit, 0);
    let (exit, events) = lab.events(&["verify", "--check", "jenkins"]);
    assert_eq!((exit, failures(&events)), (0, Vec::new()));
    let results = of_kind(&events, "check_result");
    let controls = results.iter().filter(|event| event["control"] == true && event["status"] == "passed").count();
    assert!(results.len() >= 10 && controls == 4, "{} lines, {controls} controls", results.len());
}

fn a_second_run_changes_nothing_in_one_exec(lab: &Project) {
    let (exit, events) = run(lab, "bootstrap");
    assert_eq!((exit, changes(&events)), (0, BTreeSet::new()));
    // The check that runs then costs execs of its own.
    let (connections, execs) = lab.sessions("deploy");
    assert_eq!(run(lab, "plan").0, 0);
    assert_eq!(lab.sessions("deploy"), (connections + 1, execs + 1), "one connection with one exec");
}

/// Neither in the environment nor in a command line of the container, and its files are for their reader alone.
fn secrets_are_nowhere(lab: &Project) {
    let secrets = lab.on("deploy", "cat /srv/jenkins/secrets/jenkins_admin /srv/jenkins/secrets/gitlab_hook");
    let shown = lab.on(
        "deploy",
        "docker inspect jenkins jenkins-tls; docker history --no-trunc poclab/jenkins:lab; ps axww; docker logs jenkins 2>&1",
    );
    for secret in secrets.lines() {
        assert!(secret.len() >= 12 && !shown.contains(secret), "a secret of Jenkins shows");
    }
    let modes = lab.on("deploy", "stat -c '%a %U:%G' /srv/jenkins/secrets /srv/jenkins/secrets/*");
    assert!(modes.lines().skip(1).all(|line| line == "440 root:jenkins") && modes.starts_with("750 root:jenkins"), "{modes}");
}

fn drift_is_named_and_repaired(lab: &Project) {
    lab.on("deploy", "sed -i 's/numExecutors: 2/numExecutors: 9/' /srv/jenkins/config/jenkins.yml");
    lab.on("deploy", "echo other >/srv/jenkins/secrets/gitlab_hook");
    lab.on("deploy", "chmod 0644 /srv/jenkins/secrets/jenkins_admin");
    // Somebody installs a plugin.
    lab.on(
        "deploy",
        "docker exec jenkins sh -c 'cd /var/jenkins_home/plugins && sed s/^Short-Name:.*/Short-Name:\\ extra/ structs.jpi >extra.jpi'",
    );
    lab.on(
        "deploy",
        "docker restart jenkins >/dev/null && /srv/jenkins/wait-ready && ! docker exec jenkins test -e /var/jenkins_home/plugins/extra.jpi",
    );
    lab.on("deploy", "docker tag $(docker inspect -f '{{.Image}}' jenkins-tls) poclab/jenkins:lab");
    let (exit, events) = run(lab, "plan");
    let want = set(&[
        "deploy: file /srv/jenkins/config/jenkins.yml",
        "deploy: file /srv/jenkins/secrets/gitlab_hook",
        "deploy: file /srv/jenkins/secrets/jenkins_admin",
        "deploy: docker_build poclab/jenkins:lab",
        "deploy: container jenkins",
    ]);
    assert_eq!((exit, changes(&events)), (2, want));
    let (exit, _) = run(lab, "bootstrap");
    assert_eq!(exit, 0);
    assert_eq!(run(lab, "plan").0, 0);

    // Another plugin list makes another image, and the check sees that the set is the new one.
    let old = lab.edit_inventory("scanner: clair", "scanner: clair\n  jenkins_executors: 1");
    let (exit, events) = run(lab, "plan");
    assert_eq!((exit, changes(&events)), (2, set(&["deploy: file /srv/jenkins/config/jenkins.yml"])));
    std::fs::write(lab.inventory(), old).unwrap();
}

fn a_total_loss_is_restored(lab: &Project) {
    lab.on("deploy", "docker rm -f jenkins && docker volume rm jenkins_home && docker rmi -f poclab/jenkins:lab");
    let (exit, events) = run(lab, "bootstrap");
    assert_eq!(exit, 0);
    let want = set(&["deploy: docker_build poclab/jenkins:lab", "deploy: container jenkins", "deploy: command Jenkins is ready"]);
    assert!(changes(&events).is_superset(&set(&["deploy: docker_build poclab/jenkins:lab", "deploy: container jenkins"])));
    assert!(changes(&events).is_subset(&want), "{:?}", changes(&events));
    let (exit, events) = lab.events(&["verify", "--check", "jenkins"]);
    assert_eq!((exit, failures(&events)), (0, Vec::new()));
}

fn wrong_configuration_is_refused_in_jenkins_words(lab: &Project) {
    lab.on("deploy", "sed -i 's/numExecutors/numExecutorz/' /srv/jenkins/config/jenkins.yml && docker restart jenkins >/dev/null; sleep 3");
    let log = lab.on("deploy", "docker logs --tail 5 jenkins 2>&1");
    assert!(log.contains("ConfiguratorException: jenkins: Invalid configuration elements: numExecutorz"), "{log}");
    let (exit, events) = lab.events(&["verify", "--check", "jenkins", "--host", "deploy"]);
    assert!(exit == 3 && !failures(&events).is_empty(), "a Jenkins that does not start is no good one");
    let (exit, _) = run(lab, "bootstrap");
    assert_eq!(exit, 0);
    let (exit, events) = lab.events(&["verify", "--check", "jenkins"]);
    assert_eq!((exit, failures(&events)), (0, Vec::new()));
}
