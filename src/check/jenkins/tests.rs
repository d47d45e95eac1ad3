use super::*;
use crate::check::testing::{Ca, Scripted, TlsServer, lab_ca, ran, shellcheck};

/// `admin:right` in base64.
const ADMIN: &str = "Basic YWRtaW46cmlnaHQ=";
const PLUGINS: &str = r#"{"plugins": [{"shortName": "git", "version": "5.10.1", "active": true}]}"#;
const CLEAN: &str = "patterns 7\nkept 5\nfiles 200\n";

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    OpenToAll,
    AnyPassword,
    NotJenkins,
    MorePlugins,
    OtherVersion,
    NoJob,
    AnyToken,
}

fn server(ca: &Ca, fault: Fault) -> TlsServer {
    TlsServer::start(ca, "deploy.lab.example", move |asked| {
        let known = asked.authorization == ADMIN || fault == Fault::AnyPassword && !asked.authorization.is_empty();
        let header = if fault == Fault::NotJenkins { vec![] } else { vec![("X-Jenkins".to_owned(), "2.568.2".to_owned())] };
        match asked.path.as_str() {
            "/login" => return (200, header, vec![]),
            "/project/student_list" => return (if fault == Fault::AnyToken { 200 } else { 401 }, header, vec![]),
            _ => {}
        }
        if !known {
            let refused = if asked.authorization.is_empty() { 403 } else { 401 };
            return (if fault == Fault::OpenToAll && refused == 403 { 200 } else { refused }, header, vec![]);
        }
        let more = PLUGINS.replace("]}", r#", {"shortName": "blueocean", "version": "1", "active": true}]}"#);
        let body = match (asked.path.as_str(), fault) {
            ("/pluginManager/api/json?depth=1", Fault::MorePlugins) => more,
            ("/pluginManager/api/json?depth=1", Fault::OtherVersion) => PLUGINS.replace("5.10.1", "5.10.2"),
            ("/pluginManager/api/json?depth=1", _) => PLUGINS.to_owned(),
            ("/job/student_list/api/json", Fault::NoJob) => return (404, header, vec![]),
            _ => "{}".to_owned(),
        };
        (200, header, body.into_bytes())
    })
}

fn spec(port: u16) -> Spec {
    serde_json::from_value(serde_json::json!({
        "endpoint": format!("deploy.lab.example:{port}"), "address": "127.0.0.1", "host": "deploy", "container": "jenkins", "user": "admin",
        "password": "right", "plugins": ["git:5.10.1"], "jobs": ["student_list"], "home": "/var/jenkins_home", "secrets": "/srv/jenkins/secrets",
    }))
    .unwrap()
}

fn run(fault: Fault, search: &'static str) -> Vec<Outcome> {
    let ca = lab_ca();
    let server = server(&ca, fault);
    let mut reach = Scripted::new(move |host, script, _| {
        assert_eq!(host, "deploy");
        assert!(!script.contains("right"), "a password in a script");
        Ok(ran(search))
    });
    reach.ca = Some(&ca);
    spec(server.address.port()).run(&reach, &mut |_| {})
}

fn failures(outcomes: &[Outcome]) -> Vec<String> {
    let failed = |outcome: &Outcome| match &outcome.verdict {
        Verdict::Passed(_) => None,
        Verdict::Failed(why) => Some(format!("{}: {why}", outcome.title)),
        Verdict::Skipped(why) => Some(format!("{}: skipped: {why}", outcome.title)),
    };
    outcomes.iter().filter_map(failed).collect()
}

#[test]
fn all_is_well() {
    let outcomes = run(Fault::None, CLEAN);
    assert_eq!(failures(&outcomes), [""; 0]);
    assert_eq!((outcomes.len(), outcomes.iter().filter(|outcome| outcome.control).count()), (10, 4));
}

#[test]
fn each_fault_fails_its_line_alone() {
    for (fault, want) in [
        (Fault::OpenToAll, "shows nothing to those who have not logged in: /api/json answers 200, must be 403"),
        (Fault::AnyPassword, "refuses a wrong password: /api/json answers 200, must be 401"),
        (Fault::NotJenkins, "without X-Jenkins"),
        (Fault::MorePlugins, "blueocean is not pinned"),
        (Fault::OtherVersion, "git is 5.10.2, want 5.10.1"),
        (Fault::NoJob, "the job student_list is there: /job/student_list/api/json answers 404, must be 200"),
        (Fault::AnyToken, "the web hook refuses a wrong token: /project/student_list answers 200 to a wrong token, must be 401"),
    ] {
        let failures = failures(&run(fault, CLEAN));
        assert!(failures.len() == 1 && failures[0].contains(want), "{fault:?}: {failures:?}");
    }
}

#[test]
fn the_search_for_secrets_must_have_looked() {
    for (search, want) in [
        ("patterns 7\nkept 5\nfiles 200\nfound /var/jenkins_home/x\n", "found in /var/jenkins_home/x"),
        ("patterns 0\nkept 5\nfiles 200\n", "no secret to look for"),
        ("patterns 7\nkept 5\nfiles 0\n", "nothing was searched"),
        ("patterns 7\nkept 0\nfiles 200\n", "does not find them in /run/secrets either"),
        ("patterns 7\nkept 5\n", "not complete"),
        ("", "not complete"),
        ("oops\n", "printed `oops`"),
    ] {
        let failures = failures(&run(Fault::None, search)).join("\n");
        assert!(failures.contains(want), "{search}: {failures}");
    }
}

#[test]
fn plugins_without_versions_and_empty_lists_are_refused() {
    for (key, value) in [("plugins", serde_json::json!(["git"])), ("plugins", serde_json::json!([])), ("jobs", serde_json::json!([]))] {
        let mut spec = serde_json::to_value(serde_json::json!({
            "endpoint": "a:1", "address": "127.0.0.1", "host": "a", "container": "b", "user": "c", "password": "d", "plugins": ["git:1"],
            "jobs": ["j"], "home": "/h", "secrets": "/s",
        }))
        .unwrap();
        spec[key] = value;
        let spec: Spec = serde_json::from_value(spec).unwrap();
        let outcomes = spec.run(&Scripted::new(|_, _, _| Ok(ran(""))), &mut |_| {});
        assert!(outcomes.len() == 1 && failures(&outcomes).len() == 1, "{key}");
    }
}

#[test]
fn the_script_is_clean() {
    let spec = spec(1);
    let reach = Scripted::new(|_, _, _| Ok(ran("")));
    shellcheck(&secrets::script(&Trial::new(&spec, &reach).unwrap()));
}
