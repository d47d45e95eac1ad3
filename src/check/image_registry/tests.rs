use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

use super::*;
use crate::check::testing::{Asked, Ca, Scripted, TlsServer, framed, lab_ca, shellcheck};

const BODY: &[u8] = b"{\"schemaVersion\": 2}";
/// `push:right` and `pull:right` in base64.
const PUSH: &str = "Basic cHVzaDpyaWdodA==";
const PULL: &str = "Basic cHVsbDpyaWdodA==";

fn digest() -> String {
    format!("sha256:{}", Sha256::digest(BODY).iter().map(|b| format!("{b:02x}")).collect::<String>())
}

/// What is wrong with the registry or the hosts.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    AnyPassword,
    /// The endpoint for pushes knows the pull user, and lets it.
    PullUserPushes,
    /// The endpoint for pulls takes uploads of the pull user.
    PullEndpointTakes,
    OtherDigest,
    NoDeletion,
    OtherContent,
    SeenBefore,
    DockerPushWorks,
    DockerDown,
}

/// The two endpoints of one registry: each knows its own user, and the one for pulls is read-only.
fn registry(ca: &Ca, fault: Fault) -> (TlsServer, TlsServer) {
    let deleted = Arc::new(AtomicBool::new(false));
    (endpoint(ca, fault, true, deleted.clone()), endpoint(ca, fault, false, deleted))
}

fn endpoint(ca: &Ca, fault: Fault, takes: bool, deleted: Arc<AtomicBool>) -> TlsServer {
    TlsServer::start(ca, "registry.lab.example", move |asked: &Asked| {
        let mut users = vec![if takes { PUSH } else { PULL }];
        if fault == Fault::PullUserPushes {
            users = vec![PUSH, PULL];
        }
        let known =
            takes && fault == Fault::AnyPassword && !asked.authorization.is_empty() || users.contains(&asked.authorization.as_str());
        if !known {
            return (401, vec![("WWW-Authenticate".into(), "Basic realm=\"lab\"".into())], vec![]);
        }
        if !takes && asked.method != "GET" && fault != Fault::PullEndpointTakes {
            return (405, vec![], vec![]);
        }
        let pushes = asked.authorization == PUSH || [Fault::PullUserPushes, Fault::PullEndpointTakes].contains(&fault);
        match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/v2/") => (200, vec![], b"{}".to_vec()),
            ("POST", "/v2/poclab/probe/blobs/uploads/") if pushes => {
                (202, vec![("Location".into(), "/v2/poclab/probe/blobs/uploads/x".into())], vec![])
            }
            ("DELETE", "/v2/poclab/probe/blobs/uploads/x") => (204, vec![], vec![]),
            ("GET", path) if path.starts_with("/v2/poclab/probe/manifests/") => match deleted.load(Ordering::SeqCst) {
                true => (404, vec![], vec![]),
                false => {
                    let word = if fault == Fault::OtherDigest { format!("sha256:{}", "0".repeat(64)) } else { digest() };
                    (200, vec![("Docker-Content-Digest".into(), word)], BODY.to_vec())
                }
            },
            ("DELETE", _) if fault == Fault::NoDeletion => (405, vec![], vec![]),
            ("DELETE", _) if pushes => {
                deleted.store(true, Ordering::SeqCst);
                (202, vec![], vec![])
            }
            _ => (403, vec![], vec![]),
        }
    })
}

fn spec(push: u16, pull: u16) -> Spec {
    serde_json::from_value(serde_json::json!({
        "push_endpoint": format!("registry.lab.example:{push}"), "pull_endpoint": format!("registry.lab.example:{pull}"),
        "address": "127.0.0.1", "push_user": "push", "push_password": "right", "pull_user": "pull", "pull_password": "right",
        "push_from": "deploy", "pull_on": "app",
    }))
    .unwrap()
}

/// Runs the whole check; the hosts' Docker is scripted, the API is real HTTPS.
fn run(fault: Fault) -> Vec<Outcome> {
    let ca = lab_ca();
    let (push, pull) = registry(&ca, fault);
    let (port, pull_port) = (push.address.port(), pull.address.port());
    let marker = Mutex::new(String::new());
    let mut reach = Scripted::new(move |host, script, stdin| {
        assert!(!script.contains("right"), "a password in a script");
        if fault == Fault::DockerDown {
            return Ok(framed(script, &[("image", "Cannot connect to the Docker daemon\n", 1)]));
        }
        if host == "deploy" {
            assert_eq!(stdin, b"right");
            let word = script.split_whitespace().find(|word| word.starts_with("poclab-marker-")).unwrap();
            *marker.lock().unwrap() = word.to_owned();
            let named = format!("registry.lab.example:{port}/poclab/probe@{}\n\n", digest());
            return Ok(framed(
                script,
                &[("image", "sha256:1\n", 0), ("login", "Login Succeeded\n", 0), ("push", "digest: x\n", 0), ("digest", &named, 0)],
            ));
        }
        assert_eq!(stdin, b"right");
        // By the flow matrix the pulling host reaches nothing but the endpoint for pulls: all of it goes there.
        assert!(!script.contains(&format!("example:{port}")) && script.contains(&format!("example:{pull_port}")));
        let content = if fault == Fault::OtherContent { "else".to_owned() } else { marker.lock().unwrap().clone() };
        let absent = if fault == Fault::SeenBefore { ("absent", "[{}]\n", 0) } else { ("absent", "[]\nError: No such image: x\n", 1) };
        let forbidden = if fault == Fault::DockerPushWorks {
            ("forbidden", "digest: y\n", 0)
        } else {
            ("forbidden", "denied: requested access to the resource is denied\n", 1)
        };
        Ok(framed(
            script,
            &[("docker", "26.1.4\n", 0), absent, ("login", "", 0), ("pull", "", 0), ("marker", &content, 0), ("tag", "", 0), forbidden],
        ))
    });
    reach.ca = Some(&ca);
    let mut notes = Vec::new();
    spec(port, pull_port).run(&reach, &mut |note| notes.push(note.to_owned()))
}

fn failed(out: &[Outcome]) -> Vec<&str> {
    out.iter().filter(|o| matches!(o.verdict, Verdict::Failed(_))).map(|o| o.title.as_str()).collect()
}

#[test]
fn a_good_registry_passes() {
    let out = run(Fault::None);
    assert_eq!(failed(&out), [] as [&str; 0], "{out:?}");
    assert_eq!(out.iter().filter(|o| o.control).count(), 6);
    assert_eq!(out.len(), 14);
}

#[test]
fn every_fault_is_found_by_the_line_that_is_about_it() {
    for (fault, about) in [
        (Fault::AnyPassword, "refuses a wrong password"),
        (Fault::PullUserPushes, "pull may not upload"),
        (Fault::PullEndpointTakes, "pull may not upload"),
        (Fault::OtherDigest, "holds what was pushed"),
        (Fault::NoDeletion, "deleted by digest"),
        (Fault::OtherContent, "app pulls the image"),
        (Fault::SeenBefore, "app pulls the image"),
        (Fault::DockerPushWorks, "docker push by pull"),
        (Fault::DockerDown, "deploy pushes"),
    ] {
        let out = run(fault);
        let failed = failed(&out);
        assert!(failed.len() == 1 && failed[0].contains(about), "{fault:?}: {failed:?}");
    }
}

#[test]
fn a_registry_that_is_away_or_has_another_certificate_fails() {
    let (ca, other) = (lab_ca(), lab_ca());
    let (server, _) = registry(&other, Fault::None);
    let mut reach = Scripted::new(|_, _, _| Err("away".into()));
    reach.ca = Some(&ca);
    for port in [server.address.port(), 1] {
        let out = spec(port, port).run(&reach, &mut |_| {});
        let passed: Vec<_> = out.iter().filter(|o| matches!(o.verdict, Verdict::Passed(_))).map(|o| o.title.as_str()).collect();
        // Of a wrong certificate the control that trusts nobody is still true; of a closed port nothing is.
        assert!(passed.iter().all(|title| port != 1 && title.contains("not trusted without")), "{passed:?}");
    }
}

#[test]
fn the_scripts_are_clean_and_hold_no_secret() {
    let spec = spec(5000, 5443);
    let reach = Scripted::new(|_, _, _| Err("unused".into()));
    let trial = Trial::new(&spec, &reach).unwrap();
    for script in [images::push_script(&trial).text(), images::pull_script(&trial, &digest()).text()] {
        shellcheck(&script);
        assert!(!script.contains("right"));
    }
}

#[test]
fn wrong_specs_are_refused() {
    assert!(Endpoint::parse("registry").is_err() && Endpoint::parse("a b:1").is_err() && Endpoint::parse("r:99999").is_err());
    let reach = Scripted::new(|_, _, _| Err("unused".into()));
    let mut same = spec(1, 1);
    same.pull_on = same.push_from.clone();
    assert!(matches!(&same.run(&reach, &mut |_| {})[0].verdict, Verdict::Failed(why) if why.contains("different")));
    assert!(!format!("{:?}", spec(1, 1)).contains("right"));
}
