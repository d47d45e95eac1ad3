//! The four-host container lab: real sshd, sudo, systemd, firewalld, yum, Docker and registry.
//!
//! Run by `make lab-test` (it needs root or a docker socket, and minutes): `cargo test --test lab -- --ignored --nocapture`.
//! The lab is a copy of the rehearsal on a network of its own, so it leaves a running rehearsal alone. The stages share
//! one lab and run in order, as each needs what the one before built.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests may panic")]

#[path = "support/container_lab.rs"]
mod container_lab;

use std::collections::BTreeSet;

use container_lab::{HOSTS, Project, changes, of_kind, set};

#[test]
#[ignore = "needs docker and minutes: make lab-test"]
fn four_bare_hosts_become_a_verified_lab() {
    let lab = Project::new("labtest", "10.91");
    let up = lab.poclab(&["rehearse", "up"]);
    assert!(up.status.success());

    plan_works_on_bare_hosts(&lab);
    bootstrap_sets_up_and_verifies(&lab);
    a_second_run_changes_nothing_in_one_exec_per_host(&lab);
    status_says_what_is_on_the_hosts(&lab);
    damage_is_named_and_repaired_exactly(&lab);
    wrong_inputs_are_named_and_the_other_hosts_finish(&lab);
}

fn plan_works_on_bare_hosts(lab: &Project) {
    let (exit, events) = lab.events(&["plan"]);
    assert_eq!(exit, 2);
    assert_eq!(of_kind(&events, "observed").len(), 4);
    assert!(changes(&events).len() > 40);
}

fn bootstrap_sets_up_and_verifies(lab: &Project) {
    let (exit, events) = lab.events(&["bootstrap"]);
    let bad: Vec<_> =
        events.iter().filter(|e| e["event"] == "role_failed" || (e["event"] == "check_result" && e["status"] == "failed")).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert_eq!(exit, 0);
    let results = of_kind(&events, "check_result");
    let controls = results.iter().filter(|event| event["control"] == true && event["status"] == "passed").count();
    assert!(results.len() >= 20 && controls >= 5, "{} lines, {controls} controls", results.len());
}

fn a_second_run_changes_nothing_in_one_exec_per_host(lab: &Project) {
    let before: Vec<_> = HOSTS.iter().map(|host| lab.sessions(host)).collect();
    let (exit, events) = lab.events(&["bootstrap"]);
    assert_eq!((exit, changes(&events)), (0, BTreeSet::new()));
    assert_eq!(of_kind(&events, "run_done")[0]["changed"], 0);
    for (host, (connections, execs)) in HOSTS.iter().zip(before) {
        assert_eq!(lab.sessions(host), (connections + 1, execs + 1), "{host}: one connection with one exec");
    }
    assert_eq!(lab.poclab(&["plan"]).status.code(), Some(0));
}

/// Versions, ends of certificates and answers of links are those of real hosts; it costs one exec per host.
fn status_says_what_is_on_the_hosts(lab: &Project) {
    let before: Vec<_> = HOSTS.iter().map(|host| lab.sessions(host)).collect();
    let output = lab.poclab(&["status", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0));
    for (host, (connections, execs)) in HOSTS.iter().zip(before) {
        assert_eq!(lab.sessions(host), (connections + 1, execs + 1), "{host}: one connection with one exec");
    }
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let host = seen["hosts"].as_array().unwrap().iter().find(|host| host["name"] == "registry").unwrap();
    assert!(host["uptime"].as_u64().is_some_and(|seconds| seconds < 24 * 3600), "the container's age: {}", host["uptime"]);
    let details = |kind: &str| host["details"].as_array().unwrap().iter().filter(|d| d["kind"] == kind).cloned().collect::<Vec<_>>();
    let installed = lab.on("registry", "rpm -q --qf '%{VERSION}-%{RELEASE}' docker-ce");
    assert!(details("package").iter().any(|d| d["name"] == "docker-ce" && d["version"] == installed.trim()), "{installed}");
    assert!(details("unit").iter().any(|d| d["name"] == "docker" && d["state"] == "active (running, enabled)"), "{:?}", details("unit"));
    assert!(details("container").iter().filter(|d| d["state"] == "running").count() == 2, "{:?}", details("container"));
    let file = "/srv/registry/certs/registry.crt";
    let certificate = details("certificate").into_iter().find(|d| d["path"] == file).unwrap();
    let end = lab.on("registry", &format!("date -u -d \"$(openssl x509 -enddate -noout <{file} | cut -d= -f2)\" +%Y-%m-%dT%H:%M:%SZ"));
    assert_eq!(certificate["ends"], end.trim());
    for link in seen["links"].as_array().unwrap() {
        assert_eq!((&link["says"], &link["certificate_ends"]), (&"answers 401 as it should".into(), &certificate["ends"]), "{link}");
    }
    lab.on("registry", "docker stop registry >/dev/null");
    let output = lab.poclab(&["status", "--host", "registry", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "a report");
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["hosts"].as_array().unwrap().len(), 1);
    let reached: Vec<_> = seen["links"].as_array().unwrap().iter().map(|link| link["reached"].as_str().unwrap()).collect();
    assert_eq!(reached, ["no", "yes"]);
    lab.on("registry", "docker start registry >/dev/null");
}

fn damage_is_named_and_repaired_exactly(lab: &Project) {
    let allowed = r#"rule family="ipv4" source address="10.91.0.11/32" port port="5000" protocol="tcp" accept"#;
    lab.on("registry", &format!("firewall-cmd --zone=public --remove-rich-rule='{allowed}'"));
    lab.on("deploy", "sed -i 's/10m/11m/' /etc/docker/daemon.json");
    lab.on("registry", "docker stop registry");
    lab.on("registry", "chmod 0644 /srv/registry/certs/registry.key");
    lab.on("registry", "sed -i '$d' /srv/registry/auth/htpasswd");
    lab.on("gitlab", "firewall-cmd --permanent --zone=public --add-port=4444/tcp && firewall-cmd --zone=public --add-port=4444/tcp");
    lab.on("gitlab", "rpm -e --nodeps chrony");
    let (exit, events) = lab.events(&["plan"]);
    assert_eq!(exit, 2);
    let planned = changes(&events);
    let expected = set(&[
        "registry: firewall_zone public",
        "deploy: file /etc/docker/daemon.json",
        "registry: container registry",
        "registry: file /srv/registry/certs/registry.key",
        "registry: file /srv/registry/auth/htpasswd",
        "gitlab: firewall_zone public",
        "gitlab: package ca-certificates and 2 more",
    ]);
    assert!(expected.is_subset(&planned), "planned {planned:#?}");
    // Without the package its files and its service are gone as well; nothing else may be named.
    let rest: Vec<_> =
        planned.difference(&expected).filter(|change| !change.starts_with("gitlab: ") || !change.contains("chron")).collect();
    assert!(rest.is_empty(), "also planned: {rest:?}");
    let reason = |resource: &str| {
        of_kind(&events, "change").iter().filter(|e| e["resource"] == resource).map(|e| e["reasons"].to_string()).collect::<String>()
    };
    assert!(reason("firewall_zone public").contains("4444/tcp"), "{}", reason("firewall_zone public"));
    assert_eq!(reason("package ca-certificates and 2 more"), r#"["chrony: not installed"]"#, "the one of the three that is gone");
    assert!(reason("file /srv/registry/certs/registry.key").contains("0644"));
    assert!(!reason("file /srv/registry/auth/htpasswd").contains("$2"), "hashes of secret files only");

    let (exit, events) = lab.events(&["bootstrap"]);
    assert_eq!(exit, 0);
    assert_eq!(changes(&events), planned, "exactly what was planned");
    assert_eq!(lab.poclab(&["plan"]).status.code(), Some(0));
}

fn wrong_inputs_are_named_and_the_other_hosts_finish(lab: &Project) {
    let failed = |events: &[serde_json::Value]| {
        let failed = of_kind(events, "host_failed");
        failed.iter().map(|e| (e["host"].as_str().unwrap().to_owned(), e["error"].as_str().unwrap().to_owned())).collect::<Vec<_>>()
    };
    let observed = |events: &[serde_json::Value]| of_kind(events, "observed").len();

    // A wrong sudo password.
    let password = lab.folder().join(".poclab/labtest/sudo-password-app");
    let good = std::fs::read_to_string(&password).unwrap();
    std::fs::write(&password, "wrong-password\n").unwrap();
    let (exit, events) = lab.events(&["plan"]);
    std::fs::write(&password, good).unwrap();
    let errors = failed(&events);
    assert_eq!((exit, errors.len(), observed(&events)), (4, 1, 3));
    assert!(errors[0].0 == "app" && errors[0].1.contains("sudo refused"), "{errors:?}");

    // A host that is not there.
    let old = lab.edit_inventory("address: 10.91.0.14", "address: 10.91.0.99");
    let (exit, events) = lab.events(&["bootstrap", "--host", "gitlab", "--host", "deploy"]);
    std::fs::write(lab.inventory(), &old).unwrap();
    let errors = failed(&events);
    assert_eq!((exit, errors.len(), observed(&events)), (4, 1, 1), "{errors:?}");
    assert!(errors[0].0 == "gitlab" && errors[0].1.contains("10.91.0.99"), "{errors:?}");

    // A changed host key.
    let known = lab.folder().join(".poclab/labtest/known_hosts");
    let good = std::fs::read_to_string(&known).unwrap();
    let deploy = good.lines().find(|line| line.starts_with("10.91.0.11 ")).unwrap();
    let app = good.lines().find(|line| line.starts_with("10.91.0.12 ")).unwrap();
    let swapped = good.replace(deploy, &app.replace("10.91.0.12", "10.91.0.11"));
    std::fs::write(&known, swapped).unwrap();
    let (exit, events) = lab.events(&["plan"]);
    std::fs::write(&known, good).unwrap();
    let errors = failed(&events);
    assert_eq!((exit, errors.len(), observed(&events)), (4, 1, 3));
    assert!(errors[0].1.contains("expected SHA256:") && errors[0].1.contains("got SHA256:"), "both fingerprints: {errors:?}");

    // A missing key file.
    let old = lab.edit_inventory(".poclab/labtest/id_ed25519", ".poclab/labtest/no-such-key");
    let output = lab.poclab(&["plan"]);
    std::fs::write(lab.inventory(), &old).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("no-such-key"), "{text}");

    // A full disk on one host.
    lab.on(
        "gitlab",
        "mount -t tmpfs -o size=8k tmpfs /etc/yum.repos.d && dd if=/dev/zero of=/etc/yum.repos.d/fill bs=1k count=64 2>/dev/null; true",
    );
    lab.on("deploy", "sed -i 's/10m/11m/' /etc/docker/daemon.json");
    let (exit, events) = lab.events(&["bootstrap"]);
    lab.on("gitlab", "umount /etc/yum.repos.d");
    assert_eq!(exit, 1);
    let failures = of_kind(&events, "role_failed");
    assert_eq!(failures.len(), 1, "{failures:#?}");
    assert_eq!(failures[0]["host"], "gitlab");
    assert!(failures[0]["hint"].as_str().is_some_and(|hint| hint.contains("disk is full")), "{failures:#?}");
    assert!(lab.on("deploy", "cat /etc/docker/daemon.json").contains("10m"), "the other hosts finish");
    assert_eq!(lab.poclab(&["bootstrap"]).status.code(), Some(0));
}
