use std::sync::{Arc, Mutex};

use super::*;
use crate::check::testing::{Asked, Ca, Scripted, TlsServer, framed, lab_ca, shellcheck};

/// What is wrong with GitLab.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    NotReady,
    Unmonitored,
    OtherVersion,
    AnyToken,
    OtherUser,
    JenkinsIsAdmin,
    SignupOpen,
    SignupForm,
    DeveloperLockedOut,
    Public,
    NoHook,
    TwoHooks,
    HookDisabled,
    HookWithoutTls,
    AnyHook,
    Unprotected,
    ForcePush,
    BranchDeleted,
    KeyMayPush,
    NoKey,
    SshRefused,
    SshPushes,
    SshOtherReason,
}

const HOOK: &str = "https://deploy.lab.example:8080/project/student_list";

fn answer(fault: Fault, asked: &Asked) -> (u16, &'static str) {
    const DEVELOPER: &str = "Basic ZGV2ZWxvcGVyOmRldi1wYXNzd29yZA==";
    let admin = asked.token == "root-token";
    let jenkins = asked.token == "jenkins-token";
    let known = admin || jenkins || (fault == Fault::AnyToken && !asked.token.is_empty());
    let path = asked.path.strip_prefix("/api/v4");
    match (asked.method.as_str(), path) {
        ("GET", None) if asked.path == "/-/readiness" => match fault {
            Fault::NotReady => (503, r#"{"status":"failed"}"#),
            Fault::Unmonitored => (404, ""),
            _ => (200, r#"{"status":"ok"}"#),
        },
        ("GET", None) if asked.path == "/users/sign_up" => (if fault == Fault::SignupForm { 200 } else { 302 }, ""),
        ("GET", None) => {
            let login = asked.authorization == DEVELOPER && fault != Fault::DeveloperLockedOut;
            (if login || (fault == Fault::Public && asked.authorization.is_empty()) { 200 } else { 401 }, "")
        }
        (_, Some(_)) if !known => (401, r#"{"message":"401 Unauthorized"}"#),
        ("GET", Some("/version")) => {
            (200, if fault == Fault::OtherVersion { r#"{"version":"16.0.1"}"# } else { r#"{"version":"17.7.7"}"# })
        }
        ("GET", Some("/user")) => {
            (200, if jenkins && fault != Fault::OtherUser { r#"{"username":"jenkins"}"# } else { r#"{"username":"root"}"# })
        }
        ("GET", Some("/application/settings")) if admin || fault == Fault::JenkinsIsAdmin => {
            (200, if fault == Fault::SignupOpen { r#"{"signup_enabled":true}"# } else { r#"{"signup_enabled":false}"# })
        }
        ("GET", Some("/projects/pozos%2Fstudent%5Flist/hooks?per_page=100")) => match fault {
            Fault::NoHook => (200, "[]"),
            Fault::TwoHooks => (200, TWO),
            Fault::HookDisabled => (200, DISABLED),
            Fault::HookWithoutTls => (200, WITHOUT_TLS),
            _ => (200, ONE),
        },
        ("POST", Some("/projects/pozos%2Fstudent%5Flist/hooks")) if fault == Fault::AnyHook => (201, r#"{"id":9}"#),
        ("POST", Some("/projects/pozos%2Fstudent%5Flist/hooks")) => (422, r#"{"error":"Invalid url given"}"#),
        ("DELETE", Some("/projects/pozos%2Fstudent%5Flist/hooks/9")) => (204, ""),
        ("GET", Some("/projects/pozos%2Fstudent%5Flist/protected_branches/main")) => match fault {
            Fault::Unprotected => (404, r#"{"message":"404 Not found"}"#),
            Fault::ForcePush => (200, r#"{"name":"main","allow_force_push":true}"#),
            _ => (200, r#"{"name":"main","allow_force_push":false}"#),
        },
        ("DELETE", Some("/projects/pozos%2Fstudent%5Flist/repository/branches/main")) => {
            (if fault == Fault::BranchDeleted { 204 } else { 405 }, "")
        }
        ("GET", Some("/projects/pozos%2Fstudent%5Flist/deploy_keys?per_page=100")) => match fault {
            Fault::KeyMayPush => (200, r#"[{"title":"jenkins","can_push":false},{"title":"other","can_push":true}]"#),
            Fault::NoKey => (200, "[]"),
            _ => (200, r#"[{"title":"jenkins","can_push":false}]"#),
        },
        _ => (403, r#"{"message":"403 Forbidden"}"#),
    }
}

const ONE: &str = r#"[{"url":"https://other"},{"url":"https://deploy.lab.example:8080/project/student_list","push_events":true,"enable_ssl_verification":true,"alert_status":"executable"}]"#;
const TWO: &str =
    r#"[{"url":"https://deploy.lab.example:8080/project/student_list"},{"url":"https://deploy.lab.example:8080/project/student_list"}]"#;
const DISABLED: &str = r#"[{"url":"https://deploy.lab.example:8080/project/student_list","push_events":true,"enable_ssl_verification":true,"alert_status":"disabled"}]"#;
const WITHOUT_TLS: &str = r#"[{"url":"https://deploy.lab.example:8080/project/student_list","push_events":true,"enable_ssl_verification":false,"alert_status":"executable"}]"#;

fn spec(port: u16) -> Spec {
    serde_json::from_value(serde_json::json!({
        "name": "gitlab.lab.example", "address": "127.0.0.1", "port": port, "version": "17.7.7", "token": "root-token",
        "status_token": "jenkins-token", "developer_password": "dev-password", "project": "pozos/student_list", "branch": "main",
        "hook_url": HOOK, "ssh_from": "deploy", "host_key": "ssh-ed25519 AAAA", "checkout_key": "private-half\n",
    }))
    .unwrap()
}

fn run(ca: &Ca, fault: Fault) -> (Vec<Outcome>, Vec<String>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let server = TlsServer::start(ca, "gitlab.lab.example", move |asked: &Asked| {
        log.lock().unwrap().push(format!("{} {}", asked.method, asked.path));
        let (status, body) = answer(fault, asked);
        (status, vec![], body.as_bytes().to_vec())
    });
    let mut reach = Scripted::new(move |host, script, stdin| {
        assert_eq!((host, stdin), ("deploy", b"private-half\n".as_slice()));
        assert!(!script.contains("private-half"));
        let refs = "00fa1e5f0d6c refs/heads/main\n0000";
        let refused = "remote: ERROR: This deploy key does not have write access to this project.\n";
        let read = if fault == Fault::SshRefused { "git@gitlab.lab.example: Permission denied (publickey).\n" } else { refs };
        let write = match fault {
            Fault::SshPushes => refs,
            Fault::SshRefused | Fault::SshOtherReason => "git@gitlab.lab.example: Permission denied (publickey).\n",
            _ => refused,
        };
        Ok(framed(script, &[("key", "", 0), ("read", read, 0), ("write", write, 0)]))
    });
    reach.ca = Some(ca);
    let out = spec(server.address.port()).run(&reach, &mut |_| {});
    let seen = seen.lock().unwrap().clone();
    (out, seen)
}

fn failed(out: &[Outcome]) -> Vec<&str> {
    out.iter().filter(|o| matches!(o.verdict, Verdict::Failed(_))).map(|o| o.title.as_str()).collect()
}

#[test]
fn a_good_gitlab_passes() {
    let (out, _) = run(&lab_ca(), Fault::None);
    assert_eq!(failed(&out), [] as [&str; 0], "{out:?}");
    assert_eq!((out.len(), out.iter().filter(|o| o.control).count()), (16, 7));
}

#[test]
fn every_fault_is_found_by_the_line_that_is_about_it() {
    let ca = lab_ca();
    for (fault, about) in [
        (Fault::NotReady, "is ready"),
        (Fault::Unmonitored, "is ready"),
        (Fault::OtherVersion, "is GitLab 17.7.7"),
        (Fault::AnyToken, "refuses a wrong token"),
        (Fault::OtherUser, "jenkins' token is jenkins'"),
        (Fault::JenkinsIsAdmin, "may not read the settings"),
        (Fault::SignupOpen, "nobody can register"),
        (Fault::SignupForm, "nobody can register"),
        (Fault::DeveloperLockedOut, "developer reads"),
        (Fault::Public, "without a login"),
        (Fault::NoHook, "is told to Jenkins"),
        (Fault::TwoHooks, "is told to Jenkins"),
        (Fault::HookDisabled, "is told to Jenkins"),
        (Fault::HookWithoutTls, "is told to Jenkins"),
        (Fault::AnyHook, "another address of the lab is refused"),
        (Fault::Unprotected, "main is protected"),
        (Fault::ForcePush, "main is protected"),
        (Fault::BranchDeleted, "main cannot be deleted"),
        (Fault::KeyMayPush, "may only read"),
        (Fault::NoKey, "may only read"),
        (Fault::SshPushes, "cannot push with the deploy key"),
        (Fault::SshOtherReason, "cannot push with the deploy key"),
    ] {
        let (out, seen) = run(&ca, fault);
        let failed = failed(&out);
        assert!(failed.len() == 1 && failed[0].contains(about), "{fault:?}: {failed:?}");
        // What a control should not have been able to make is taken away again.
        let removed = seen.iter().any(|line| line == "DELETE /api/v4/projects/pozos%2Fstudent%5Flist/hooks/9");
        assert_eq!(removed, fault == Fault::AnyHook);
    }
    // Of a key that is refused altogether neither line is true.
    assert_eq!(failed(&run(&ca, Fault::SshRefused).0).len(), 2);
}

#[test]
fn a_gitlab_that_is_away_fails_in_every_line() {
    let ca = lab_ca();
    let mut reach = Scripted::new(|_, _, _| Err("away".into()));
    reach.ca = Some(&ca);
    let out = spec(1).run(&reach, &mut |_| {});
    assert_eq!(failed(&out).len(), out.len(), "{out:?}");
}

#[test]
fn the_script_is_clean_and_holds_no_secret() {
    let text = ssh::script(&spec(443)).text();
    shellcheck(&text);
    assert!(!text.contains("private-half"));
}
