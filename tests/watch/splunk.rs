//! Stages of `watch` about Splunk: faults, what is made again, a full disk, Docker's own driver.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::container_lab::{Project, changes, set};
use super::{fails_with, failures, passes, password, run, set_up, titles};

/// The forwarder's settings of the lab.
const INPUTS: &str = "/opt/splunkforwarder/etc/apps/poclab/local/inputs.conf";

/// Splunk's API, from its host: a curl that only lacks path and options.
pub fn api(lab: &Project) -> String {
    format!("curl -sS -u admin:{} https://registry.lab.example:8089", password(lab, "splunk_admin"))
}

/// How many events of the lab's index have this text.
fn count(lab: &Project, text: &str) -> String {
    let search = format!("search=search index=lab {text} | stats count&output_mode=json");
    let found = lab.on("registry", &format!("{}/services/search/jobs/export -d '{search}'", api(lab)));
    let row: Value = serde_json::from_str(found.lines().next().unwrap()).unwrap();
    row["result"]["count"].as_str().unwrap_or_default().to_owned()
}

/// Waits until there is exactly one such event.
fn arrives_once(lab: &Project, text: &str) {
    let begun = Instant::now();
    while count(lab, text) != "1" {
        assert!(begun.elapsed() < Duration::from_secs(60), "{text}: {}", count(lab, text));
        std::thread::sleep(Duration::from_secs(2));
    }
}

pub fn faults_of_splunk(lab: &Project) {
    // With an application that prints, through an outage: nothing is lost (the check proves it, with its control).
    let (exit, events) = lab.events(&["verify", "--check", "splunk", "--check", "splunk_outage"]);
    assert_eq!((exit, failures(&events)), (0, Vec::new()));
    let passed = titles(&events, "passed");
    for line in [
        "a line of the application's container student_list-api-1 on app is found",
        "student_list-api-1 on app goes on without Splunk",
        "what student_list-api-1 on app printed meanwhile arrives",
        "Splunk was really away",
    ] {
        assert!(passed.contains(line), "{line}: {passed:#?}");
    }

    // A forwarder is stopped.
    lab.on("app", "systemctl stop SplunkForwarder");
    let inactive = "the unit SplunkForwarder is inactive; `poclab bootstrap` starts it";
    fails_with(lab, "splunk_forwarder", &[&format!("the forwarder of app runs and may read the logs of containers: {inactive}")]);
    let lost = format!("was not found within 20 s; its forwarder is not as it must be: {inactive}");
    fails_with(lab, "splunk", &[lost.as_str(); 3]);
    let (exit, events) = run(lab, "plan");
    assert_eq!((exit, changes(&events)), (2, set(&["app: service SplunkForwarder"])));
    assert_eq!(set_up(lab, "splunk_forwarder"), [""; 0]);

    lab.on("app", "rm /etc/systemd/system/SplunkForwarder.service.d/poclab.conf && systemctl daemon-reload && systemctl restart SplunkForwarder && sleep 3");
    let may_not = "may not read the logs of containers (its log:";
    fails_with(lab, "splunk_forwarder", &[may_not]);
    let (exit, events) = lab.events(&["verify", "--check", "splunk"]);
    let told = failures(&events);
    assert_eq!(exit, 3);
    assert!(
        told.iter().any(|line| line.starts_with("a line of a container on app is found: ")
            && line.contains(may_not)
            && line.contains("Permission denied"))
            && !told.iter().any(|line| line.contains("on deploy")),
        "{told:#?}"
    );
    let (exit, events) = run(lab, "plan");
    assert_eq!((exit, changes(&events)), (2, set(&["app: file /etc/systemd/system/SplunkForwarder.service.d/poclab.conf"])));
    assert_eq!(set_up(lab, "splunk"), [""; 0]);

    // Somebody sends to an index that nobody made.
    lab.on("app", &format!("sed -i 's/^index = lab$/index = nowhere/' {INPUTS} && systemctl restart SplunkForwarder && sleep 5"));
    let (exit, events) = lab.events(&["verify", "--check", "splunk"]);
    let told = failures(&events);
    assert_eq!(exit, 3);
    let want = "Splunk takes what it is sent: it says: Received event for unconfigured/disabled/deleted index=nowhere";
    for want in [want, "a line of a container on app is found: "] {
        assert!(told.iter().any(|line| line.starts_with(want)), "{want}: {told:#?}");
    }
    let (exit, events) = run(lab, "plan");
    assert_eq!((exit, changes(&events)), (2, set(&[&format!("app: file {INPUTS}")])));
    // As somebody does who has read Splunk's message: it stays until then.
    lab.on("app", &format!("sed -i 's/^index = nowhere$/index = lab/' {INPUTS} && systemctl restart SplunkForwarder"));
    lab.on("registry", "docker restart splunk >/dev/null && /srv/splunk/wait-ready");
    passes(lab, "splunk");
}

pub fn what_splunk_has_lost_is_made_again(lab: &Project) {
    let api = api(lab);
    lab.on("registry", &format!("{api}/services/data/indexes/lab/disable -f -X POST"));
    let (_, events) = lab.events(&["verify", "--check", "splunk"]);
    assert!(failures(&events).iter().any(|line| line.starts_with("the index lab exists: it is disabled")), "{:#?}", failures(&events));
    lab.on("registry", &format!("{api}/services/data/indexes/lab -f -X DELETE"));
    let (_, events) = lab.events(&["verify", "--check", "splunk"]);
    assert!(failures(&events).iter().any(|line| line.starts_with("the index lab exists: answered with 404")), "{:#?}", failures(&events));
    let (exit, events) = run(lab, "plan");
    assert_eq!((exit, changes(&events)), (2, set(&["registry: api_object Splunk index lab"])));
    // What came meanwhile was dropped, and Splunk says so until somebody has read it.
    let told = set_up(lab, "splunk");
    assert!(
        told.iter().all(|line| line.starts_with("Splunk takes what it is sent: it says: Received event for unconfigured")),
        "{told:#?}"
    );
    lab.on("registry", "docker restart splunk >/dev/null && /srv/splunk/wait-ready");
    passes(lab, "splunk");

    // New passwords of both administrators: given without a new start from nothing.
    let old = password(lab, "splunk_admin");
    for name in ["splunk_admin", "splunk_forwarder_admin"] {
        assert!(lab.poclab(&["secrets", "rotate", name]).status.success());
    }
    assert_eq!(set_up(lab, "splunk"), [""; 0]);
    assert_eq!(run(lab, "plan").0, 0);
    let status = |password: &str| {
        let curl = "curl -s -o /dev/null -w '%{http_code}'";
        lab.on("registry", &format!("{curl} -u admin:{password} https://registry.lab.example:8089/services/server/info"))
    };
    assert_eq!((status(&old), status(&password(lab, "splunk_admin"))), ("401".into(), "200".into()));
    let admin = password(lab, "splunk_forwarder_admin");
    let active = lab.on("app", &format!("/opt/splunkforwarder/bin/splunk list forward-server -auth admin:{admin}"));
    assert!(active.starts_with("Active forwards:\n\tregistry.lab.example:9997\n"), "{active}");
}

/// A disk of 64 MB that is really full: what comes meanwhile waits at the forwarders.
pub fn a_full_disk_loses_nothing(lab: &Project) {
    // Such a disk lasts as long as somebody has mounted it: Splunk is restarted in between.
    lab.on(
        "registry",
        "docker rm -f splunk >/dev/null && docker volume rm splunk_var >/dev/null && \
         docker volume create --opt type=tmpfs --opt device=tmpfs --opt o=size=64m splunk_var >/dev/null && \
         docker run -d --name poclab-disk -v splunk_var:/disk $(docker images -q --filter reference=busybox | head -n 1) sleep 3600 >/dev/null",
    );
    let old = lab.edit_inventory("vars:\n", "vars:\n  splunk_min_free_mb: 32\n");
    assert_eq!(set_up(lab, "splunk"), [""; 0]);
    lab.on("registry", "docker exec poclab-disk dd if=/dev/zero of=/disk/full bs=1M count=40 2>/dev/null");
    let (exit, events) = lab.events(&["verify", "--check", "splunk"]);
    let told = failures(&events);
    assert_eq!(exit, 3);
    let says = "Splunk takes what it is sent: it says: The index processor has paused data flow. Current free disk space on partition";
    assert!(told.iter().any(|line| line.starts_with(says) && line.contains("below the minimum of 32MB")), "{told:#?}");
    let refused = "what is printed can be searched for: the search was answered with 503";
    assert!(told.iter().any(|line| line.starts_with(refused)), "{told:#?}");
    lab.on("app", "logger -t poclab poclab-waited-for-room");
    std::thread::sleep(Duration::from_secs(5));
    lab.on("registry", "docker exec poclab-disk rm /disk/full");
    arrives_once(lab, "poclab-waited-for-room");
    passes(lab, "splunk");

    lab.on("registry", "docker rm -f splunk poclab-disk >/dev/null && docker volume rm splunk_var >/dev/null");
    std::fs::write(lab.inventory(), old).unwrap();
    assert_eq!(set_up(lab, "splunk"), [""; 0]);
}

/// The driver, with the options that the application's containers get (templates/app/compose.yml.tera).
pub fn dockers_own_driver_sends_to_the_collector(lab: &Project) {
    let token = password(lab, "splunk_hec");
    let ca = lab.on("registry", "ls /etc/pki/ca-trust/source/anchors/poclab-*-ca.pem");
    let run = format!(
        "docker run -d --name poclab-driver --log-driver splunk --log-opt splunk-url=https://registry.lab.example:8088 \
         --log-opt splunk-token={token} --log-opt splunk-index=lab --log-opt splunk-sourcetype=docker:hec --log-opt splunk-format=json \
         --log-opt splunk-verify-connection=false --log-opt splunk-capath={} --log-opt tag={{{{.Name}}}} \
         $(docker images -q --filter reference=busybox | head -n 1) sh -c 'echo poclab-by-driver; sleep 60'",
        ca.trim()
    );
    lab.on("registry", &run);
    arrives_once(lab, "poclab-by-driver container_name=poclab-driver");
    lab.on("registry", "docker rm -f poclab-driver");
}
