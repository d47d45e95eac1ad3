//! Scripted runs for tests.

use crate::engine::{CheckCounts, Event, HostSummary, Member, RoleTime, RunKind, Scope, ServiceLink, Status, Summary};
use crate::lab::Flow;

/// An event's name.
pub fn tag(event: &Event) -> &'static str {
    match event {
        Event::RunStarted { .. } => "run_started",
        Event::Scope(_) => "scope",
        Event::Connecting { .. } => "connecting",
        Event::Observed { .. } => "observed",
        Event::HostFailed { .. } => "host_failed",
        Event::HostWarning { .. } => "host_warning",
        Event::Change { .. } => "change",
        Event::ResourceSkipped { .. } => "resource_skipped",
        Event::ResourceUnknown { .. } => "resource_unknown",
        Event::RoleStarted { .. } => "role_started",
        Event::StepStarted { .. } => "step_started",
        Event::Uploading { .. } => "uploading",
        Event::StepDone { .. } => "step_done",
        Event::HandlerDone { .. } => "handler_done",
        Event::RoleDone { .. } => "role_done",
        Event::RoleFailed { .. } => "role_failed",
        Event::RoleNotReached { .. } => "role_not_reached",
        Event::RoleNotConfigured { .. } => "role_not_configured",
        Event::Command { .. } => "command",
        Event::ChecksStarted { .. } => "checks_started",
        Event::CheckStarted { .. } => "check_started",
        Event::CheckProgress { .. } => "check_progress",
        Event::CheckResult { .. } => "check_result",
        Event::LastData { .. } => "last_data",
        Event::CheckDone { .. } => "check_done",
        Event::Reservation { .. } => "reservation",
        Event::Note { .. } => "note",
        Event::RunDone(_) => "run_done",
    }
}

/// All names, from the schema: what is not sampled cannot hide.
pub fn all_tags() -> Vec<String> {
    let schema = super::event_schema().to_value();
    let variants = schema["oneOf"].as_array().unwrap().iter();
    variants.map(|variant| variant["properties"]["event"]["const"].as_str().unwrap().to_owned()).collect()
}

fn s(text: &str) -> String {
    text.to_owned()
}

pub fn started(kind: RunKind) -> Event {
    let hosts = ["deploy", "app", "registry", "gitlab"].map(s).to_vec();
    let roles = ["base", "firewall", "docker", "registry"].map(s).to_vec();
    Event::RunStarted { kind, lab: s("poclab"), version: s("0.1.0"), hosts, roles, started: s("2026-11-21T08:00:00Z") }
}

fn flow(to: &[&str], ports: &[&str], from: &[&str], why: &str) -> Flow {
    Flow {
        to: to.iter().map(|name| s(name)).collect(),
        ports: ports.iter().map(|port| s(port)).collect(),
        from_hosts: from.iter().filter(|name| **name != "operators").map(|name| s(name)).collect(),
        from_networks: Vec::new(),
        from_operators: from.contains(&"operators"),
        from_any: false,
        published: why == "website",
        why: s(why),
    }
}

pub fn scope() -> Event {
    let all = ["deploy", "app", "registry", "gitlab"];
    let member = |(name, end): (&str, usize)| Member {
        name: s(name),
        address: format!("192.168.56.{end}"),
        groups: vec![s("all"), s("docker")],
        rehearsal: true,
    };
    Event::Scope(Box::new(Scope {
        operator: s("ada@bastion"),
        inventory: s("inventory/lab.yml"),
        inventory_sha256: "0123456789abcdef".repeat(4),
        narrowed: vec![s("--host app")],
        members: all.into_iter().zip(11..).map(member).collect(),
        operators: vec![s("192.168.56.1/32")],
        flows: vec![
            flow(&all, &["22/tcp"], &["operators"], "administration"),
            flow(&["deploy"], &["123/udp"], &all, "time from the lab's clock"),
            flow(&["registry"], &["5000/tcp", "5443/tcp"], &["deploy", "operators"], "images"),
            flow(&["app"], &["80/tcp"], &["deploy", "operators"], "website"),
        ],
    }))
}

pub fn connecting(host: &str) -> Event {
    Event::Connecting { host: s(host), address: s("ops@192.168.56.11:22") }
}

pub fn observed(host: &str, rehearsal: bool) -> Event {
    Event::Observed { host: s(host), resources: 31, seconds: 0.8, system: system(rehearsal), rehearsal }
}

fn system(rehearsal: bool) -> String {
    s(if rehearsal { "Debian GNU/Linux 12, kernel 6.18" } else { "CentOS Linux release 7.6.1810 (Core), kernel 3.10.0-957" })
}

pub fn change(host: &str, role: &str, resource: &str, reasons: &[&str], diff: Option<&str>) -> Event {
    Event::Change {
        host: s(host),
        role: s(role),
        resource: s(resource),
        reasons: reasons.iter().map(|r| s(r)).collect(),
        diff: diff.map(s),
        origin: format!("roles/{role}/role.yml:17"),
    }
}

pub fn step(host: &str, role: &str, label: &str, number: usize) -> Event {
    Event::StepStarted { host: s(host), role: s(role), label: s(label), number, steps: 3 }
}

pub fn step_done(host: &str, role: &str, label: &str, seconds: f64) -> Event {
    Event::StepDone { host: s(host), role: s(role), label: s(label), seconds }
}

pub fn role_done(host: &str, role: &str, changed: usize, seconds: f64) -> Event {
    Event::RoleDone { host: s(host), role: s(role), changed, seconds }
}

pub fn check_started(check: &str) -> Event {
    Event::CheckStarted { check: s(check), role: s("registry") }
}

pub fn result(check: &str, title: &str, status: Status, control: bool, detail: &str) -> Event {
    Event::CheckResult { check: s(check), role: s("registry"), title: s(title), status, control, detail: s(detail) }
}

pub fn check_done(check: &str, seconds: f64) -> Event {
    Event::CheckDone { check: s(check), role: s("registry"), seconds }
}

fn role(role: &str, seconds: f64, changed: usize, state: &str) -> RoleTime {
    RoleTime { role: s(role), seconds, changed, state: s(state) }
}

pub fn host(name: &str, end: &str, rehearsal: bool, roles: &[RoleTime]) -> HostSummary {
    let changed = roles.iter().map(|role| role.changed).sum();
    HostSummary {
        warnings: Vec::new(),
        name: s(name),
        address: format!("192.168.56.{end}"),
        system: system(rehearsal),
        rehearsal,
        changed,
        error: None,
        roles: roles.to_vec(),
    }
}

pub fn services() -> Vec<ServiceLink> {
    vec![ServiceLink {
        name: s("registry"),
        host: s("registry"),
        url: s("https://registry.lab.example:5000"),
        login: Some(s("poclab secrets show registry_push")),
    }]
}

const DIFF: &str = "--- /etc/docker/daemon.json\n+++ /etc/docker/daemon.json\n@@ -1,3 +1,3 @@\n {\n-  \"live-restore\": false\n+  \"live-restore\": true\n }";

/// Changes on two hosts, then checks.
pub fn bootstrap() -> Vec<Event> {
    let long: String = (0..40).map(|n| format!("+line {n}\n")).collect();
    vec![
        started(RunKind::Bootstrap),
        scope(),
        connecting("deploy"),
        connecting("app"),
        observed("deploy", true),
        observed("app", true),
        change("deploy", "docker", "package docker-ce", &["is not installed, wanted 26.1.4-1.el7"], None),
        change("app", "base", "file /etc/hosts.lab", &["does not exist"], Some(&long)),
        change("app", "docker", "file /etc/docker/daemon.json", &["content differs", "mode is 0666, wanted 0644"], Some(DIFF)),
        Event::RoleNotConfigured { host: s("app"), role: s("datadog"), why: s("no Datadog API key: poclab secrets set datadog_api_key") },
        Event::RoleNotConfigured {
            host: s("deploy"),
            role: s("datadog"),
            why: s("no Datadog API key: poclab secrets set datadog_api_key"),
        },
        Event::ResourceSkipped { host: s("app"), role: s("base"), resource: s("selinux_boolean a"), why: s("no SELinux in this kernel") },
        Event::ResourceSkipped {
            host: s("deploy"),
            role: s("base"),
            resource: s("selinux_boolean a"),
            why: s("no SELinux in this kernel"),
        },
        Event::ResourceUnknown {
            host: s("deploy"),
            role: s("docker"),
            resource: s("docker_image registry"),
            why: s("docker is not there yet"),
            deferred: true,
        },
        Event::RoleStarted { host: s("deploy"), role: s("docker"), steps: 3 },
        step("deploy", "docker", "package docker-ce", 1),
        step_done("deploy", "docker", "package docker-ce", 45.2),
        step("deploy", "docker", "docker_image registry", 2),
        Event::Uploading { host: s("deploy"), label: s("docker_image registry"), sent: 12_300_000, total: 25_000_000 },
        step_done("deploy", "docker", "docker_image registry", 0.4),
        Event::HandlerDone { host: s("deploy"), role: s("docker"), name: s("restart docker"), seconds: 3.1 },
        role_done("deploy", "docker", 2, 50.0),
        role_done("app", "docker", 1, 2.5),
        role_done("app", "firewall", 0, 0.0),
        Event::ChecksStarted { checks: 1 },
        check_started("registry_tls"),
        Event::CheckProgress { check: s("registry_tls"), note: s("waiting for port 5000") },
        result("registry_tls", "TLS by the lab CA", Status::Passed, false, "200 after 31 ms"),
        result("registry_tls", "without the lab CA", Status::Passed, true, "refused: unknown issuer"),
        Event::LastData { source: s("Datadog"), host: s("app"), last: Some(s("2026-11-21T08:00:59Z")) },
        Event::LastData { source: s("Datadog"), host: s("deploy"), last: None },
        check_done("registry_tls", 1.2),
        Event::RunDone(Box::new(Summary {
            exit: 0,
            seconds: 63.4,
            resources: 62,
            changed: 3,
            unknown: 1,
            skipped: 2,
            checks: Some(CheckCounts { passed: 2, failed: 0, skipped: 0 }),
            checks_note: None,
            hosts: vec![
                host("deploy", "11", true, &[role("base", 0.0, 0, "ok"), role("docker", 50.0, 2, "changed")]),
                host("app", "12", true, &[role("base", 0.0, 0, "ok"), role("docker", 2.5, 1, "changed")]),
            ],
            services: services(),
            stand_ins: vec![
                s("docker-ce: Debian docker.io 20.10.24 repackaged"),
                s("container-selinux: Placeholder: a rehearsal host has no SELinux"),
                s("firewalld: Debian firewalld 1.3.3 repackaged"),
            ],
            next: vec![s("log of this run: .poclab/poclab/runs/20261121T080000Z-bootstrap.jsonl")],
        })),
    ]
}

pub fn plan() -> Vec<Event> {
    vec![
        started(RunKind::Plan),
        observed("app", false),
        change("app", "docker", "file /etc/docker/daemon.json", &["content differs"], Some(DIFF)),
        change("app", "docker", "handler restart docker", &["still to be done from an earlier run that did not finish"], None),
        Event::RunDone(Box::new(Summary {
            exit: 2,
            seconds: 1.4,
            resources: 31,
            changed: 2,
            hosts: vec![host("app", "12", false, &[role("base", 0.0, 0, "ok"), role("docker", 0.0, 2, "would change")])],
            services: services(),
            next: vec![s("`poclab bootstrap` makes these changes")],
            ..Summary::default()
        })),
    ]
}

/// A role fails, what needs it is not reached, a host is not reachable.
pub fn failure() -> Vec<Event> {
    let mut broken = host("gitlab", "14", false, &[]);
    broken.system = String::new();
    broken.error = Some(s("cannot connect to 192.168.56.14:22: connection refused"));
    vec![
        started(RunKind::Bootstrap),
        observed("registry", false),
        Event::HostFailed { host: s("gitlab"), error: s("cannot connect to 192.168.56.14:22: connection refused\nis the host up?") },
        Event::HostWarning { host: s("registry"), warning: s("its clock is at least 9 min behind this machine's") },
        step("registry", "docker", "package docker-ce", 1),
        Event::RoleFailed {
            host: s("registry"),
            role: s("docker"),
            error: s("package docker-ce: exit status 1"),
            output: vec![s("Error downloading packages:"), s("  No space left on device")],
            hint: Some(s("the disk is full: free space (df -h), then run again")),
        },
        Event::Reservation {
            what: s("unverified: 6 of 31 artifacts have no checksum in lock.yml"),
            why: s("`poclab mirror build --pin` finds the sums out"),
            list: ["chrony 3.2-2.el7", "docker-ce 26.1.4-1.el7", "git 5.10.1", "nginx:1.28.0", "registry:2.8.3", "zap:2.16.1"]
                .map(s)
                .to_vec(),
        },
        Event::RoleNotReached { host: s("registry"), role: s("registry"), because: s("role docker on registry did not succeed") },
        Event::Note { text: s("cannot remember the result of the checks") },
        Event::RunDone(Box::new(Summary {
            exit: 1,
            seconds: 12.0,
            resources: 31,
            changed: 0,
            checks_note: Some(s("not run, as not everything could be set up")),
            hosts: vec![
                host("registry", "13", false, &[role("docker", 11.0, 0, "failed"), role("registry", 0.0, 0, "not reached")]),
                broken,
            ],
            services: services(),
            next: vec![s("mend what is said above and run `poclab bootstrap` again: it goes on where it stopped")],
            ..Summary::default()
        })),
    ]
}

pub fn nothing_changed() -> Vec<Event> {
    let hosts = [("deploy", "11"), ("app", "12"), ("registry", "13"), ("gitlab", "14")];
    let mut events = vec![started(RunKind::Bootstrap)];
    events.extend(hosts.iter().map(|(name, _)| observed(name, false)));
    events.extend(hosts.iter().map(|(name, _)| role_done(name, "base", 0, 0.0)));
    events.push(Event::RunDone(Box::new(Summary {
        exit: 0,
        seconds: 1.5,
        resources: 124,
        checks_note: Some(s("not run again, as nothing changed; they passed on 2026-11-21T08:00:00Z (`poclab verify` runs them)")),
        hosts: hosts
            .iter()
            .map(|(name, end)| host(name, end, false, &[role("base", 0.0, 0, "ok"), role("firewall", 0.0, 0, "ok")]))
            .collect(),
        services: services(),
        ..Summary::default()
    })));
    events
}

/// A control, a skip and a failure.
pub fn verify() -> Vec<Event> {
    let mut events = vec![started(RunKind::Verify), Event::ChecksStarted { checks: 2 }, check_started("connections")];
    for n in 0..8 {
        events.push(result("connections", &format!("app may reach port {n}"), Status::Passed, n % 2 == 1, "open"));
    }
    events.push(check_done("connections", 4.0));
    events.push(check_started("selinux"));
    events.push(result("selinux", "enforcing on app", Status::Skipped, false, "no SELinux in this kernel"));
    events.push(result("selinux", "enforcing on deploy", Status::Failed, false, "is permissive: run `poclab bootstrap`"));
    events.push(check_done("selinux", 0.2));
    let mut hosts = vec![host("app", "12", false, &[])];
    hosts[0].system = String::new();
    let checks = Some(CheckCounts { passed: 8, failed: 1, skipped: 1 });
    events.push(Event::RunDone(Box::new(Summary { exit: 3, seconds: 4.3, checks, hosts, services: services(), ..Summary::default() })));
    events
}

/// At least one of every kind, with every optional text present.
pub fn one_of_each() -> Vec<Event> {
    let mut all = bootstrap();
    all.extend(failure());
    all.push(Event::Command { host: s("app"), script: s("set -e\necho hi") });
    if let Some(Event::RunDone(summary)) = all.iter_mut().rev().find(|event| matches!(event, Event::RunDone(_))) {
        summary.stand_ins = vec![s("a stand-in")];
        summary.checks = Some(CheckCounts { passed: 48, failed: 0, skipped: 2 });
    }
    let mut seen = std::collections::BTreeSet::new();
    // The richest one of a kind comes last.
    all.reverse();
    all.retain(|event| seen.insert(tag(event)));
    all.reverse();
    all
}
