//! What `poclab status` looks like.

use super::*;
use crate::engine::{LastChecks, LockStatus};
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-21 11:00:00 UTC);

fn package(name: &str, version: &str) -> Detail {
    Detail::Package { name: name.to_owned(), version: version.to_owned() }
}

fn certificate(path: &str, subject: &str, ends: &str) -> Detail {
    Detail::Certificate { path: path.to_owned(), subject: subject.to_owned(), ends: ends.to_owned() }
}

fn unit(name: &str, state: &str, good: bool) -> Detail {
    Detail::Unit { name: name.to_owned(), state: state.to_owned(), good }
}

fn finding(resource: &str, why: &[&str]) -> Finding {
    Finding { resource: resource.to_owned(), why: why.iter().map(|why| (*why).to_owned()).collect() }
}

fn role_named(name: &str) -> RoleStatus {
    RoleStatus { role: name.to_owned(), resources: 12, ..RoleStatus::default() }
}

fn link(name: &str, reached: Reached, says: &str, ends: Option<&str>) -> LinkStatus {
    LinkStatus {
        name: name.to_owned(),
        host: "registry".to_owned(),
        url: "https://registry.lab.example:5000".to_owned(),
        login: Some("poclab secrets show registry_push".to_owned()),
        reached,
        says: says.to_owned(),
        certificate_ends: ends.map(str::to_owned),
    }
}

/// Everything that can be said, in one report.
fn report() -> StatusReport {
    let registry = HostStatus {
        name: "registry".to_owned(),
        address: "192.168.56.13".to_owned(),
        system: "CentOS Linux release 7.6.1810 (Core)".to_owned(),
        kernel: "3.10.0-957.el7.x86_64".to_owned(),
        uptime: Some(279_840),
        lock: Some(LockStatus { owner: "anna@desk".to_owned(), from: "192.168.56.1".to_owned(), since: "2026-11-21T10:58:00Z".to_owned() }),
        left: vec!["a step that was cut off: it may have left temporary files".to_owned()],
        roles: vec![
            RoleStatus { skipped: vec![finding("selinux enforcing", &["no SELinux in this kernel"])], ..role_named("base") },
            RoleStatus {
                differs: vec![
                    finding("file /etc/docker/daemon.json", &["content differs (sha256 0123 instead of 4567)", "mode is 0600, want 0644"]),
                    finding("service docker", &["is failed, want it running"]),
                ],
                unknown: vec![finding("docker_image registry:2.8.3", &["docker image inspect: Cannot connect to the Docker daemon"])],
                pending: vec!["restart docker".to_owned()],
                ..role_named("docker")
            },
            role_named("registry"),
            RoleStatus {
                resources: 0,
                not_configured: Some("no Datadog API key: `poclab secrets set datadog_api_key`".to_owned()),
                ..role_named("datadog")
            },
        ],
        details: vec![
            package("docker-ce", "26.1.4-1.el7"),
            package("docker-ce-cli", "26.1.4-1.el7"),
            package("containerd.io", "1.6.33-3.1.el7"),
            package("container-selinux", "2.119.2-1.911c772.el7_8"),
            unit("chronyd", "active (running, enabled)", true),
            unit("docker", "failed (enabled)", false),
            Detail::Image { reference: "registry:2.8.3".to_owned(), id: format!("sha256:{}", "ab".repeat(32)) },
            Detail::Container {
                name: "registry".to_owned(),
                state: "running".to_owned(),
                image: "registry:2.8.3".to_owned(),
                version: Some("2.8.3".to_owned()),
                good: true,
            },
            certificate("/etc/pki/ca-trust/source/anchors/poclab-ca.pem", "poclab lab CA", "2036-11-18T00:00:00Z"),
            certificate("/etc/docker/certs.d/registry:5000/ca.crt", "poclab lab CA", "2036-11-18T00:00:00Z"),
            certificate("/srv/registry/certs/registry.crt", "registry.lab.example", "2026-12-10T00:00:00Z"),
            certificate("/srv/old.crt", "old.lab.example", "2026-11-20T00:00:00Z"),
        ],
        ..HostStatus::default()
    };
    let app = HostStatus {
        name: "app".to_owned(),
        address: "192.168.56.12".to_owned(),
        error: Some("cannot connect to ops@192.168.56.12:22: no route to host; is the host up, and is the address right?".to_owned()),
        ..HostStatus::default()
    };
    StatusReport {
        lab: "poclab".to_owned(),
        at: "2026-11-21T11:00:00Z".to_owned(),
        version: "0.1.0".to_owned(),
        exit: 4,
        hosts: vec![app, registry],
        links: vec![
            link("registry (push and pull)", Reached::Yes, "answers 401 as it should", Some("2026-12-10T00:00:00Z")),
            link("registry (pull only)", Reached::No, "no answer: connection refused (tried 192.168.56.13:5443 from this machine)", None),
        ],
        last_data: vec![
            LastData {
                source: "Datadog".to_owned(),
                host: "registry".to_owned(),
                at: Some("2026-11-21T10:59:52Z".to_owned()),
                says: "2026-11-21T10:59:52Z".to_owned(),
            },
            LastData {
                source: "Datadog".to_owned(),
                host: "gitlab".to_owned(),
                at: Some("2026-11-21T10:14:00Z".to_owned()),
                says: "2026-11-21T10:14:00Z".to_owned(),
            },
            LastData { source: "Datadog".to_owned(), host: "app".to_owned(), at: None, says: "none lately".to_owned() },
        ],
        checks: Some(LastChecks { passed: true, at: "2026-11-20T10:00:00Z".to_owned(), same: true }),
        stand_ins: vec!["docker-ce: Debian's docker.io 20.10.24".to_owned()],
    }
}

fn text(width: usize) -> String {
    let mut page = Page::new(width, false);
    write(&mut page, &report(), NOW);
    page.text()
}

#[test]
fn at_80_columns() {
    insta::assert_snapshot!("at_80_columns", text(80));
}

#[test]
fn at_120_columns() {
    insta::assert_snapshot!("at_120_columns", text(120));
}

#[test]
fn nothing_is_wider_than_the_screen() {
    for width in [60, 80, 120] {
        for line in text(width).lines() {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
    }
}

#[test]
fn ends_are_warned_about_in_time() {
    let (tone, said) = until("2026-12-21T10:59:59Z", NOW);
    assert_eq!((tone, said.as_str()), (Tone::Loud, "ENDS SOON, on 2026-12-21 (29 days left)"));
    assert_eq!(until("2026-12-21T11:00:00Z", NOW).0, Tone::Plain, "30 days are enough");
    assert_eq!(until("2026-11-21T11:00:00Z", NOW).0, Tone::Bad);
}

#[test]
fn hostile_texts_and_secrets_are_cleaned_everywhere() {
    let mut redactor = Redactor::new();
    redactor.learn("root", &crate::base::Secret::new("hunter22"));
    let mut hostile = report();
    hostile.hosts[1].system = "\x1b[2J hunter22".to_owned();
    hostile.hosts[1].details.push(package("hunter22", "\x07"));
    hostile.links[0].says = "hunter22".to_owned();
    let clean: StatusReport = clean::value(&hostile, &redactor).unwrap();
    let json = serde_json::to_string(&clean).unwrap();
    assert!(!json.contains("hunter22") && !json.contains("\\u001b") && !json.contains("\\u0007"), "{json}");
    assert_eq!(clean.hosts[1].system, "\\x1b[2J [secret root]");
}

/// The schema in docs/schema is made from the types; `POCLAB_REGENERATE=1` writes it anew.
#[test]
fn the_committed_schema_is_that_of_the_types() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema/status.schema.json");
    let made = format!("{}\n", serde_json::to_string_pretty(&crate::engine::status_schema()).unwrap());
    if std::env::var_os("POCLAB_REGENERATE").is_some() {
        std::fs::write(file, &made).unwrap();
    }
    let stale = "docs/schema/status.schema.json is stale: POCLAB_REGENERATE=1 cargo test --lib report::status";
    assert!(std::fs::read_to_string(file).unwrap_or_default() == made, "{stale}");
    let schema = jsonschema::validator_for(&crate::engine::status_schema()).unwrap();
    assert!(schema.is_valid(&serde_json::to_value(report()).unwrap()));
}
