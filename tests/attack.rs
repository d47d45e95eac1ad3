//! Attacks on the container lab: the deployed application withstands them, the twin falls for each, with the real curl, nmap and
//! wapiti in containers of the deployment server.
//!
//! Run by `make lab-test`. The stages share one lab and run in order. GitLab and Jenkins are not on this lab: tests/pipeline.rs has
//! the attacks on them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests may panic")]

#[path = "support/container_lab.rs"]
mod container_lab;
#[path = "deploy/versions.rs"]
mod versions;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use container_lab::{Project, changes, of_kind, set};
use serde_json::Value;
use versions::Versions;

const ROLES: &[&str] = &[
    "--role",
    "base",
    "--role",
    "firewall",
    "--role",
    "docker",
    "--role",
    "registry",
    "--role",
    "app",
    "--role",
    "deployment",
    "--role",
    "security_tests",
];

#[test]
#[ignore = "needs docker and minutes: make lab-test"]
fn the_application_withstands_and_the_twin_does_not() {
    let lab = Project::with("attack5", "10.101", &["app", "deployment", "security-tests"]);
    lab.edit_inventory("vars:\n", "vars:\n  app_health_seconds: 40\n");
    assert!(lab.poclab(&["rehearse", "up"]).status.success());
    let started = Instant::now();
    let stage = |name: &str| eprintln!("=== {name} ({:.0} s)", started.elapsed().as_secs_f64());

    stage("bare hosts");
    assert_eq!(lab.poclab(&[&["bootstrap", "--check", "deployment"], ROLES].concat()).status.code(), Some(0));
    stage("nothing is deployed yet");
    not_deployed(&lab);
    stage("a version, built, pushed and deployed");
    let versions = Versions::build(&lab);
    let commit = &versions.a.commit;
    lab.on(
        "deploy",
        &format!(
            "cp /root/app/pushed/{commit}/* /root/app/build/ && PATH=/usr/local/bin:$PATH DEPLOY_KEY=/root/key /root/app/ci/deploy >&2"
        ),
    );
    stage("the pipeline's stage");
    stage_of_the_pipeline(&lab, &versions);
    stage("the check");
    checked(&lab);
    stage("every demand can say no");
    every_demand_can_say_no(&lab);
    stage("a port that nobody promised");
    open_port(&lab);
    stage("drift");
    let (exit, events) = lab.events(&[&["plan"], ROLES].concat());
    assert_eq!((exit, changes(&events)), (0, set(&[])));
    let left = lab
        .on("deploy", "docker ps -a --format '{{.Names}}'; docker network ls --format '{{.Name}}'; docker volume ls --format '{{.Name}}'");
    assert!(!left.contains("poclab-attack") && !left.contains("student_list-"), "{left}");
    stage("done");
}

/// What the check `attacks` said, by the name of the feature.
fn lines(events: &[Value], control: bool) -> Vec<(String, String)> {
    let all = of_kind(events, "check_result");
    let ours = all.iter().filter(|event| event["check"].as_str().unwrap().starts_with("attacks") && event["control"] == control);
    ours.map(|event| (event["title"].as_str().unwrap().split(':').next().unwrap().to_owned(), event["status"].as_str().unwrap().to_owned()))
        .collect()
}

fn with(lines: &[(String, String)], status: &str) -> usize {
    lines.iter().filter(|line| line.1 == status).count()
}

fn not_deployed(lab: &Project) {
    let (_, events) = lab.events(&["verify", "--check", "deployment"]);
    assert_eq!(of_kind(&events, "check_result")[0]["status"], "skipped");
    // Where nobody answers nothing is known, which is no success.
    let nobody = "APP_URL=http://127.0.0.1:81 WEBSITE_URL=http://127.0.0.1:81";
    let files = "/srv/security_tests/headers.attack /srv/security_tests/ports.attack";
    let (exit, said) = run(lab, &format!("PATH=/usr/local/bin:$PATH {nobody} poclab attack --patience 3 {files}"));
    assert_eq!(exit, 4, "{said}");
    assert!(said.contains("0 attacks withstood, 0 succeeded") && said.contains("curl: (7) Failed to connect"), "{said}");
}

/// Runs a command on the deployment server; exit code and output.
fn run(lab: &Project, script: &str) -> (i32, String) {
    let output = Command::new("docker").args(["exec", &lab.container("deploy"), "sh", "-c", script]).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    eprintln!("{said}");
    (output.status.code().unwrap(), said)
}

/// ci/attack as the pipeline runs it, and with an answer that is not withstood.
fn stage_of_the_pipeline(lab: &Project, versions: &Versions) {
    let deploy = lab.container("deploy");
    let copied =
        Command::new("docker").args(["cp", "--quiet"]).arg(versions.tree().join("security")).arg(format!("{deploy}:/root/app/")).status();
    assert!(copied.unwrap().success());
    let attack = "PATH=/usr/local/bin:$PATH ATTACK_COMMAND=\"poclab attack --tags @app\" WEB_SCANNER=wapiti";
    let (exit, said) = run(lab, &format!("{attack} /root/app/ci/attack"));
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains("withstood  a web scanner (wapiti)") && said.contains("withstood  what an attacker has stored"), "{said}");
    assert!(said.contains("only the promised ports are open"), "{said}");
    lab.on("deploy", "test -s /root/app/build/attack.html && test -s /root/app/build/stored.xml && test -s /root/app/build/attack.json");
    // The website is what the API is attacked at: it answers without credentials.
    let wrong =
        "PATH=/usr/local/bin:$PATH APP_URL=http://app.lab.example poclab attack --patience 3 /srv/security_tests/authentication.attack";
    let (exit, said) = run(lab, wrong);
    assert_eq!(exit, 3, "{said}");
    assert!(said.contains("SUCCEEDED  authentication of the API"), "{said}");
}

fn checked(lab: &Project) {
    let (exit, events) = lab.events(&["verify", "--check", "attacks"]);
    // GitLab and Jenkins are not there: what could not be attacked is no success.
    assert_eq!(exit, 3);
    let seen = lines(&events, false);
    assert_eq!(with(&seen, "passed"), 6, "{seen:#?}");
    assert_eq!(with(&seen, "failed"), 2, "{seen:#?}");
    let controls = lines(&events, true);
    assert_eq!((with(&controls, "passed"), controls.len()), (9, 9), "{controls:#?}");
}

/// Every single demand of the files that something is not there has been seen to say no, also of what is slow.
fn every_demand_can_say_no(lab: &Project) {
    let image = r#"$(sed -n 's/.*"curl": *{"image": *"\([^"]*\)".*/\1/p' /etc/poclab/attack.yml)"#;
    let script = format!(
        "PATH=/usr/local/bin:$PATH TWIN_IMAGE={image} WEB_SCANNER=wapiti /srv/security_tests/control --format json --patience 3 2>/dev/null"
    );
    let (exit, said) = run(lab, &script);
    assert_eq!(exit, 0, "{said}");
    let report: Value = serde_json::from_str(&said).unwrap();
    let mut seen = BTreeSet::new();
    for one in report["scenarios"].as_array().unwrap() {
        let file = one["file"].as_str().unwrap().strip_prefix("/srv/security_tests/").unwrap().to_owned();
        let more = one["more"].as_array().unwrap().iter().map(|more| &more["line"]);
        seen.extend(std::iter::once(&one["step_line"]).chain(more).map(|line| (file.clone(), line.as_u64().unwrap())));
    }
    let files: BTreeSet<&String> = seen.iter().map(|(file, _)| file).collect();
    let mut never = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("app/security").join(file)).unwrap();
        for (number, line) in (1..).zip(text.lines()) {
            // What a tool must not say of itself is no demand on the target.
            let demand = line.contains(" should not ") && !line.contains("the attack should not ") && !line.trim().starts_with('#');
            if demand && !seen.contains(&(file.clone(), number)) {
                never.push(format!("{file}:{number}: {line}"));
            }
        }
    }
    assert_eq!(never, Vec::<String>::new(), "these demands have never been seen to say no");
}

/// Somebody listens on the application's host, past the firewall's policy.
fn open_port(lab: &Project) {
    lab.on("app", "firewall-cmd --quiet --zone=$(firewall-cmd --get-default-zone) --add-rich-rule='rule family=ipv4 source address=10.101.0.11/32 accept'");
    lab.on("app", "(nohup python3 -m http.server 8888 >/dev/null 2>&1 &) ; sleep 1");
    let (exit, said) = run(lab, "PATH=/usr/local/bin:$PATH poclab attack --patience 3 /srv/security_tests/ports.attack");
    lab.on("app", "pkill -f '[h]ttp.server 8888'; firewall-cmd --quiet --reload");
    assert_eq!(exit, 3, "{said}");
    assert!(said.contains("8888/tcp open"), "{said}");
}
