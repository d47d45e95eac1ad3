//! Datadog and Splunk on container hosts: what arrives, each fault reported as exactly that, nothing lost, not configured. Both products
//! are the rehearsal's stand-ins; hosts, Docker, the journal, TLS and the files are real.
//!
//! Run by `make lab-test`. The stages share one lab and run in order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests may panic")]

#[path = "support/container_lab.rs"]
mod container_lab;
#[path = "watch/splunk.rs"]
mod splunk;

use std::collections::BTreeSet;
use std::time::Instant;

use container_lab::{HOSTS, Project, changes, of_kind, set};
use serde_json::Value;

const GROUPS: [&str; 4] = ["datadog", "datadog-intake", "splunk-server", "splunk-forwarder"];
const CHECKS: [&str; 8] = ["--check", "datadog", "--check", "splunk_forwarder", "--check", "splunk", "--check", "splunk_outage"];

#[test]
#[ignore = "needs docker and minutes: make lab-test"]
fn what_hosts_measure_and_print_arrives() {
    let lab = Project::with("watch6", "10.103", &GROUPS);
    let started = Instant::now();
    let stage = |name: &str| eprintln!("=== {name} ({:.0} s)", started.elapsed().as_secs_f64());
    // Minutes of waiting for what is wrong on purpose would be no test.
    lab.edit_inventory("vars:\n", "vars:\n  datadog_patience: 20\n  splunk_patience: 20\n");
    assert!(lab.poclab(&["rehearse", "up"]).status.success());

    stage("from bare hosts");
    from_nothing(&lab);
    stage("a second run");
    a_second_run_changes_nothing_in_one_exec(&lab);
    stage("status");
    status_says_when_the_last_data_came(&lab);
    stage("the application in Datadog");
    containers_of_the_application_are_measured(&lab);
    stage("Datadog's objects");
    what_people_look_at_is_kept_and_removable(&lab);
    stage("Datadog's faults");
    faults_of_datadog(&lab);
    stage("Splunk's faults");
    splunk::faults_of_splunk(&lab);
    stage("Splunk's index and administrator");
    splunk::what_splunk_has_lost_is_made_again(&lab);
    stage("Splunk's disk");
    splunk::a_full_disk_loses_nothing(&lab);
    stage("Docker's own driver");
    splunk::dockers_own_driver_sends_to_the_collector(&lab);
    stage("not configured");
    without_a_key_it_is_not_configured(&lab);
    stage("done");
}

fn run(lab: &Project, what: &str) -> (i32, Vec<Value>) {
    let (exit, events) = lab.events(&if what == "plan" { vec![what] } else { [&[what], &CHECKS[..]].concat() });
    let bad: Vec<_> = events.iter().filter(|e| e["event"] == "role_failed" || e["event"] == "host_failed").collect();
    assert!(bad.is_empty(), "{bad:#?}");
    (exit, events)
}

/// Titles of the results with this status.
fn titles(events: &[Value], status: &str) -> BTreeSet<String> {
    let results = of_kind(events, "check_result");
    results.iter().filter(|event| event["status"] == status).map(|event| event["title"].as_str().unwrap().to_owned()).collect()
}

/// What went wrong, as text.
fn failures(events: &[Value]) -> Vec<String> {
    let results = of_kind(events, "check_result");
    let failed = results.iter().filter(|event| event["status"] == "failed");
    failed.map(|event| format!("{}: {}", event["title"].as_str().unwrap(), event["detail"].as_str().unwrap())).collect()
}

/// One check fails, and says exactly this.
fn fails_with(lab: &Project, check: &str, want: &[&str]) {
    let (exit, events) = lab.events(&["verify", "--check", check]);
    let told = failures(&events);
    assert_eq!(exit, 3, "{told:#?}");
    assert_eq!(told.len(), want.len(), "{told:#?}");
    for want in want {
        assert!(told.iter().any(|told| told.contains(want)), "{want}: {told:#?}");
    }
}

/// Sets up what is missing; one check afterwards.
fn set_up(lab: &Project, check: &str) -> Vec<String> {
    let (exit, events) = lab.events(&["bootstrap", "--check", check]);
    let told = failures(&events);
    assert_eq!(exit, if told.is_empty() { 0 } else { 3 }, "{told:#?}");
    told
}

fn passes(lab: &Project, check: &str) {
    let (exit, events) = lab.events(&["verify", "--check", check]);
    assert_eq!((exit, failures(&events)), (0, Vec::new()));
}

fn from_nothing(lab: &Project) {
    let (exit, events) = run(lab, "bootstrap");
    assert_eq!((exit, failures(&events)), (0, Vec::new()));
    let passed = titles(&events, "passed");
    for host in HOSTS {
        assert!(passed.contains(&format!("metrics of {host} arrive")), "{passed:#?}");
    }
    for host in ["deploy", "app", "registry"] {
        let lines = [
            format!("metrics of Docker on {host} arrive"),
            format!("a line of a container on {host} is found"),
            format!("a line of the journal of {host} is found"),
            format!("the forwarder of {host} is connected to registry.lab.example:9997"),
        ];
        assert!(lines.iter().all(|line| passed.contains(line)), "{host}: {passed:#?}");
    }
    for line in ["a line of the event collector is found", "the event collector refuses another token"] {
        assert!(passed.contains(line), "{line}: {passed:#?}");
    }
    // splunkd has written keys of its own, and that is no drift (the next stage).
    assert!(lab.on("app", "cat /opt/splunkforwarder/etc/system/local/server.conf").contains("pass4SymmKey"));
    // Nothing is deployed in this lab: said, and no success.
    assert_eq!(titles(&events, "skipped").len(), 3, "{:#?}", titles(&events, "skipped"));

    assert!(lab.poclab(&["report", "--output", "page.html"]).status.success());
    let page = std::fs::read_to_string(lab.folder().join("page.html")).unwrap().replace("&#x2F;", "/");
    for (host, source) in HOSTS.map(|host| (host, "Datadog")).into_iter().chain(["deploy", "app", "registry"].map(|host| (host, "Splunk")))
    {
        let row = page.split(&format!("<th scope=\"row\">{host}</th><td>{source}</td><td>")).nth(1);
        assert!(row.is_some_and(|rest| rest.starts_with("20")), "the report has the last data of {host} in {source}");
    }
    for link in ["https://registry.lab.example:8000/en-US/app/search/poclab", "https://deploy.lab.example:8443"] {
        assert!(page.contains(&format!("<a href=\"{link}\"")), "the report leads to {link}");
    }

    // Now something is, as compose would have it.
    lab.on(
        "app",
        "docker run -d --name student_list-api-1 --label com.docker.compose.project=student_list --restart always \
         $(docker images -q --filter reference=busybox | head -n 1) sh -c 'while :; do sleep 1; done'",
    );
}

fn a_second_run_changes_nothing_in_one_exec(lab: &Project) {
    let before: Vec<_> = HOSTS.iter().map(|host| lab.sessions(host)).collect();
    let (exit, events) = run(lab, "plan");
    assert_eq!((exit, changes(&events)), (0, BTreeSet::new()));
    let after: Vec<_> = HOSTS.iter().map(|host| lab.sessions(host)).collect();
    for (before, after) in before.iter().zip(after) {
        assert_eq!((before.0 + 1, before.1 + 1), after, "one connection with one exec");
    }
    let (exit, events) = run(lab, "bootstrap");
    assert_eq!((exit, changes(&events)), (0, BTreeSet::new()));
    let secrets = lab.on("deploy", "grep ^api_key /etc/datadog-agent/datadog.yaml | cut -d'\"' -f2; ls -l /etc/datadog-agent/datadog.yaml");
    let (key, mode) = secrets.split_once('\n').unwrap();
    assert!(mode.starts_with("-rw-r----- 1 dd-agent dd-agent"), "{mode}");
    let shown = lab.on("deploy", "ps axww; docker inspect datadog-intake; journalctl --no-pager -q -u datadog-agent");
    assert!(key.len() >= 12 && !shown.contains(key), "the key shows");
    let shown = lab.on("registry", "ps axwwe; docker inspect splunk; docker logs splunk 2>&1");
    for name in ["splunk_admin", "splunk_hec"] {
        let value = password(lab, name);
        assert!(value.len() >= 12 && !shown.contains(&value), "{name} shows");
    }
}

fn password(lab: &Project, name: &str) -> String {
    let output = lab.poclab_quietly(&["secrets", "show", name, "--field", "password"]);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn status_says_when_the_last_data_came(lab: &Project) {
    let output = lab.poclab(&["status", "--format", "json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let known: BTreeSet<String> = status["last_data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|data| data["at"].is_string())
        .map(|data| format!("{} {}", data["source"].as_str().unwrap(), data["host"].as_str().unwrap()))
        .collect();
    let want = ["Datadog deploy", "Datadog app", "Datadog registry", "Datadog gitlab", "Splunk deploy", "Splunk app", "Splunk registry"];
    assert_eq!(known, set(&want), "{status:#}");
    let links: Vec<&Value> =
        status["links"].as_array().unwrap().iter().filter(|link| link["name"].as_str().unwrap().contains("Splunk")).collect();
    assert!(links.len() == 2 && links.iter().all(|link| link["reached"] == "yes"), "{links:#?}");
}

fn containers_of_the_application_are_measured(lab: &Project) {
    let (exit, events) = lab.events(&["verify", "--check", "datadog"]);
    assert_eq!((exit, failures(&events), titles(&events, "skipped")), (0, Vec::new(), BTreeSet::new()));
    let passed = titles(&events, "passed");
    assert!(passed.contains("metrics of container student_list-api-1 of app arrive"), "{passed:#?}");

    // One that Docker has to start again and again.
    lab.on(
        "app",
        "docker run -d --name student_list-web-1 --label com.docker.compose.project=student_list --restart always \
         $(docker images -q --filter reference=busybox | head -n 1) sh -c 'exit 1'",
    );
    fails_with(lab, "datadog", &["metrics of container student_list-web-1 of app arrive: it is "]);
    lab.on("app", "docker rm -f student_list-web-1");
    passes(lab, "datadog");
}

fn what_people_look_at_is_kept_and_removable(lab: &Project) {
    // By hand, past poclab: a monitor is changed, a saved search is deleted.
    let api = "k=$(grep ^api_key /etc/datadog-agent/datadog.yaml | cut -d'\"' -f2); a=$(sed 's/.*\"app\": \\[\"\\([^\"]*\\).*/\\1/' /srv/datadog-intake/config/keys.json); \
               u=https://deploy.lab.example:8443/api/v1; c() { curl -fsS -H \"DD-API-KEY: $k\" -H \"DD-APPLICATION-KEY: $a\" \"$@\"; }";
    lab.on("deploy", &format!("{api}; c -X PUT -H 'Content-Type: application/json' -d '{{\"query\": \"none\"}}' $u/monitor/1"));
    let splunk = format!("{}/servicesNS/nobody/search", splunk::api(lab).replace("-sS", "-fsS"));
    lab.on("registry", &format!("{splunk}/saved/searches/lab%20errors -X DELETE"));
    let (exit, events) = run(lab, "plan");
    let want = ["deploy: api_object Datadog monitor poclab watch6: a host is silent", "registry: api_object Splunk search lab errors"];
    assert_eq!((exit, changes(&events)), (2, set(&want)));
    assert_eq!(set_up(lab, "datadog"), [""; 0]);
    assert_eq!(run(lab, "plan").0, 0);

    // Taken away again, and back.
    let old = lab.edit_inventory("vars:\n", "vars:\n  datadog_views: false\n  splunk_views: false\n");
    assert_eq!(set_up(lab, "datadog"), [""; 0]);
    assert_eq!(lab.on("deploy", &format!("{api}; c \"$u/monitor?name=poclab\"")).trim(), "[]");
    lab.on("registry", &format!("! {splunk}/data/ui/views/poclab"));
    assert_eq!(run(lab, "plan").0, 0);
    std::fs::write(lab.inventory(), old).unwrap();
    assert_eq!(set_up(lab, "datadog"), [""; 0]);
}

fn faults_of_datadog(lab: &Project) {
    lab.on("app", "systemctl stop datadog-agent");
    // What it sent is fresh for two minutes: at first only the agent itself is missed.
    fails_with(lab, "datadog", &["the agent of app is healthy: the unit datadog-agent is inactive"]);
    let (exit, events) = run(lab, "plan");
    assert_eq!((exit, changes(&events)), (2, set(&["app: service datadog-agent"])));
    assert_eq!(set_up(lab, "datadog"), [""; 0]);

    lab.on("deploy", "cp /srv/datadog-intake/config/keys.json /tmp/keys.json && sed -i 's/\"api\": \\[[^]]*\\]/\"api\": [\"other\"]/' /srv/datadog-intake/config/keys.json && sleep 8");
    let (exit, events) = lab.events(&["verify", "--check", "datadog"]);
    let told = failures(&events);
    assert_eq!(exit, 3);
    assert!(told.iter().any(|line| line.starts_with("Datadog takes the lab's API key: 403: the key is wrong or was revoked")), "{told:#?}");
    let refused = told.iter().filter(|line| line.contains("is healthy: what it sends is refused with 403 and lost")).count();
    assert_eq!(refused, 4, "every agent says so: {told:#?}");
    let health = lab.on("app", "datadog-agent health");
    assert!(health.contains("PASS"), "it asks for its key once an hour: {health}");
    lab.on("deploy", "cat /tmp/keys.json >/srv/datadog-intake/config/keys.json && sleep 8");
    passes(lab, "datadog");

    // Datadog cannot be reached: each agent says so, and so does whoever asks.
    lab.on("deploy", "docker stop -t 2 datadog-intake >/dev/null && sleep 8");
    let (exit, events) = lab.events(&["verify", "--check", "datadog"]);
    let told = failures(&events);
    assert_eq!(exit, 3);
    let unreachable = told.iter().filter(|line| line.contains("is healthy: it cannot send: ")).count();
    assert_eq!(unreachable, 4, "{told:#?}");
    assert!(told.iter().any(|line| line.contains("could not be asked from deploy")), "{told:#?}");
    assert!(told.iter().any(|line| line.starts_with("what the hosts measure arrives: ")), "{told:#?}");
    lab.on("deploy", "docker start datadog-intake >/dev/null && sleep 8");
    passes(lab, "datadog");

    // An agent that runs and sends nothing: what it sent grows old.
    let old = lab.edit_inventory("vars:\n", "vars:\n  datadog_fresh_seconds: 30\n");
    let stopped = "kill -STOP $(systemctl show -p MainPID datadog-agent | cut -d= -f2)";
    lab.on("app", &format!("{stopped} && sleep 20"));
    let (exit, events) = lab.events(&["verify", "--check", "datadog"]);
    let told = failures(&events);
    lab.on("app", &format!("{} && sleep 8", stopped.replace("STOP", "CONT")));
    std::fs::write(lab.inventory(), old).unwrap();
    assert_eq!(exit, 3, "{told:#?}");
    for want in
        ["the agent of app is healthy: `datadog-agent health` ends with", "metrics of app arrive: system.cpu.user: the last point is"]
    {
        assert!(told.iter().any(|line| line.starts_with(want)), "{want}: {told:#?}");
    }
    assert!(told.iter().all(|line| line.contains("app")), "of the others nothing: {told:#?}");
    passes(lab, "datadog");
}

fn without_a_key_it_is_not_configured(lab: &Project) {
    lab.edit_inventory("datadog_api_key: \"{{ secrets.datadog_rehearsal.password }}\"", "datadog_api_key: \"\"");
    lab.edit_inventory("splunk_general_terms: --accept-sgt-current-at-splunk-com", "splunk_general_terms: \"\"");
    for what in ["plan", "bootstrap", "verify"] {
        let args = [&[what, "--html", "not-configured.html"][..], if what == "plan" { &[] } else { &CHECKS }].concat();
        let (exit, events) = lab.events(&args);
        assert_eq!((exit, changes(&events)), (0, BTreeSet::new()), "{what}");
        let said = of_kind(&events, "role_not_configured");
        let of = |role: &str, why: &str| {
            said.iter().filter(|event| event["role"] == role && event["why"].as_str().unwrap().contains(why)).count()
        };
        let terms = "nobody has accepted Splunk's General Terms";
        let all = (of("datadog", "poclab secrets set datadog_api_key"), of("splunk_server", terms), of("splunk_forwarder", terms));
        assert_eq!((all, said.len()), ((4, 1, 3), 8), "{what}: {said:#?}");
        assert!(of_kind(&events, "check_result").is_empty(), "neither passed nor failed");
        let page = std::fs::read_to_string(lab.folder().join("not-configured.html")).unwrap();
        assert!(page.contains("3 roles not configured"), "{what}: the report says it");
        assert!(what == "plan" || page.contains("Only with the reservations below"), "{what}: nobody signs it unread");
    }
    let output = lab.poclab(&["status", "--no-links"]);
    let status = String::from_utf8_lossy(&output.stdout);
    for role in ["datadog", "splunk_server", "splunk_forwarder"] {
        assert!(status.contains(&format!("{role} NOT CONFIGURED")), "{role}");
    }
}
