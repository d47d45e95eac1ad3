use std::sync::{Arc, Mutex};

use super::*;
use crate::check::testing::{Scripted, TlsServer, framed, lab_ca, shellcheck};

fn spec() -> Spec {
    serde_json::from_value(serde_json::json!({
        "host": "deploy", "address": "127.0.0.1", "api": "http://127.0.0.1:6060", "health": "http://127.0.0.1:6061", "database_port": 5432,
        "key": "c2VjcmV0LWtleS1vZi10ZXN0", "issuer": "poclab", "updaters": ["debian/updater", "osv/pypi", "clair.cvss"], "max_age_days": 7, "container": "jenkins",
        "registry": {"url": "https://registry.x:5000", "address": "127.0.0.1", "user": "push", "password": "hunter22-and-more"},
    }))
    .unwrap()
}

/// What Clair on the host answers, by fragment; today's date in the operations.
type Answers = Vec<(&'static str, String, i32)>;

fn operations(updaters: &[&str]) -> String {
    let now = crate::base::now();
    let all: Vec<String> = updaters.iter().map(|name| format!("\"{name}\":[{{\"date\":\"{now}\",\"fingerprint\":\"x\"}}]")).collect();
    format!("{{{}}}\n200", all.join(","))
}

fn document(verdict: &str, findings: &str) -> String {
    format!(
        "{{\"format\":\"poclab scan 1\",\"verdict\":\"{verdict}\",\"packages\":2,\"counts\":{{}},\"findings\":[{findings}]}}\nerror: refused\n"
    )
}

fn unseen(why: &str) -> String {
    format!("{{\"format\":\"poclab scan 1\",\"verdict\":\"could not look\",\"why\":\"{why}\"}}\nerror: could not look\n")
}

const LISTENING: &str = "0100007F:17AC\n0100007F:17AD\n0100007F:1538\n00000000:0016\n";
const OPENSSL: &str = r#"{"vulnerability":"CVE-2023-5363","package":"openssl","score":7.5,"policy":"refused"}"#;
const PYYAML: &str = r#"{"vulnerability":"GHSA-8q59-q68h-6hv4","package":"pyyaml","policy":"refused"}"#;

fn good() -> Answers {
    vec![
        ("ready", "\n200".into(), 0),
        ("nobody", "\n401".into(), 0),
        ("wrong", "\n401".into(), 0),
        ("database", "psql: error: fe_sendauth: no password supplied\n".into(), 2),
        ("listening", LISTENING.into(), 0),
        ("known", operations(&["debian/updater", "osv/pypi"]), 0),
        ("enriched", operations(&["clair.cvss"]), 0),
        ("clean-image", "sha256:aa\n".into(), 0),
        ("bad-image", "sha256:bb\n".into(), 0),
        ("login", "Login Succeeded\n".into(), 0),
        ("push", String::new(), 0),
        ("digests", "x\n".into(), 0),
        ("clean", document("passed", ""), 0),
        ("bad", document("refused", &format!("{PYYAML},{OPENSSL}")), 3),
        ("missing", unseen("Clair has not loaded everything that it must know: nothing of poclab-none yet; see"), 4),
    ]
}

fn with(changed: &[(&'static str, &str, i32)]) -> Answers {
    let mut answers = good();
    for (id, text, status) in changed {
        let answer = answers.iter_mut().find(|answer| answer.0 == *id).unwrap();
        (answer.1, answer.2) = ((*text).to_owned(), *status);
    }
    answers
}

fn run_as(spec: &Spec, answers: Answers, tcp: Tcp) -> Vec<Outcome> {
    spec.run(&reach(answers, tcp), &mut |_| {})
}

fn reach(answers: Answers, tcp: Tcp) -> Scripted<'static> {
    let mut reach = Scripted::new(move |host, script, _| {
        assert_eq!(host, "deploy");
        assert!(!script.contains("hunter22") && !script.contains("c2VjcmV0"), "a secret in a script");
        shellcheck(script);
        let asked = |id: &str| script.lines().any(|line| line == format!("poclab_begin {id}"));
        let frames: Vec<(&str, &str, i32)> =
            answers.iter().filter(|answer| asked(answer.0)).map(|(id, text, status)| (*id, text.as_str(), *status)).collect();
        Ok(framed(script, &frames))
    });
    reach.tcp = Box::new(move |_| Ok(tcp));
    reach
}

fn run(answers: Answers) -> Vec<Outcome> {
    run_as(&spec(), answers, Tcp::Dropped)
}

/// Titles of what was not proven, with what was said.
fn failures(outcomes: &[Outcome]) -> Vec<String> {
    let told = |outcome: &Outcome| match &outcome.verdict {
        Verdict::Passed(_) => None,
        Verdict::Failed(why) => Some(format!("{}: {why}", outcome.title)),
        Verdict::Skipped(why) => Some(format!("{}: skipped: {why}", outcome.title)),
    };
    outcomes.iter().filter_map(told).collect()
}

#[test]
fn all_is_well() {
    let outcomes = run(good());
    assert_eq!(failures(&outcomes), [""; 0]);
    assert_eq!((outcomes.len(), outcomes.iter().filter(|outcome| outcome.control).count()), (11, 8));
}

#[test]
fn each_fault_fails_its_line_alone() {
    for (changed, want) in [
        (("ready", "curl: (7) Failed to connect", 7), "Clair is ready: curl on its host ended with 7"),
        (("nobody", "{}\n200", 0), "without a key is refused: it answers 200, must be 401"),
        (("wrong", "{}\n200", 0), "a wrong key is refused: it answers 200, must be 401"),
        (("database", "1\n", 0), "without a password: it lets in whoever asks"),
        (("database", "could not connect", 2), "it refuses for another reason"),
        (("clean", &document("refused", PYYAML), 3), "passes the gate: the gate ended with 3: refused"),
        (("clean", "error: could not look\n", 4), "the gate ended with 4 and said: error: could not look"),
        (("bad", &document("refused", OPENSSL), 3), "but not for pyyaml: CVE-2023-5363 in openssl (CVSS 7.5)"),
        // PyPI's data alone says nothing about Debian's.
        (("bad", &document("refused", PYYAML), 3), "not refused for openssl: Debian's data or its CVSS scores is not there"),
        (("bad", &document("refused", &[PYYAML, &OPENSSL.replace("refused", "tolerated")].join(",")), 3), "not refused for openssl"),
        (("missing", &document("passed", ""), 0), "counts for nothing: the gate ended with 0, must be 4"),
        (("missing", &unseen("the layer cannot be had"), 4), "must be 4 because of poclab-none: the layer cannot be had"),
        (("missing", "error: no such container\n", 1), "the gate ended with 1 and said: error: no such container"),
        (("listening", &LISTENING.replace("0100007F:17AC", "00000000:17AC"), 0), "something listens at 0.0.0.0:6060"),
        (("listening", &LISTENING.replace("0100007F:1538", "0B00640A:1538"), 0), "something listens at 10.100.0.11:5432"),
        (("listening", &LISTENING.replace("0100007F:17AD\n", ""), 0), "nothing listens at port 6061"),
        (("listening", "cannot open\n", 1), "loopback only: `listening` exited with 1"),
    ] {
        let failed = failures(&run(with(&[changed])));
        assert!(failed.len() == 1 && failed[0].contains(want), "{want}: {failed:?}");
    }
    let passed = failures(&run(with(&[("bad", &document("passed", ""), 0)])));
    assert!(passed.len() == 2 && passed[0].contains("is refused: the gate ended with 0, must be 3"), "{passed:?}");
    let open = failures(&run_as(&spec(), good(), Tcp::Open));
    assert!(open.len() == 1 && open[0].contains("can be reached from the control machine"), "{open:?}");
}

#[test]
fn an_empty_or_old_database_is_an_error_and_nothing_is_proven_by_it() {
    for (known, want) in [
        ("{}\n200", "no updater has loaded anything"),
        (
            "{\"debian/updater\":[{\"date\":\"2020-01-01T00:00:00Z\"}],\"osv/pypi\":[{\"date\":\"2999-01-01T00:00:00Z\"}],\"clair.cvss\":[{\"date\":\"2999-01-01T00:00:00Z\"}]}\n200",
            "too old to judge by",
        ),
        ("\n401", "answers 401 to the lab's key"),
        ("null\n200", "no updater has loaded anything"),
        (&operations(&["debian/updater", "osv/pypi"]), "nothing of clair.cvss yet"),
    ] {
        let failed = failures(&run(with(&[("known", known, 0), ("enriched", "{}\n200", 0)])));
        assert!(failed.len() == 5 && failed[0].contains(want), "{known}: {failed:?}");
        assert!(failed[1..].iter().all(|line| line.contains("skipped: ")), "{failed:?}");
    }
}

#[test]
fn images_that_cannot_be_pushed_prove_nothing() {
    let failed = failures(&run(with(&[("push", "denied\n", 1)])));
    assert!(failed.len() == 4 && failed.iter().all(|line| line.contains("cannot be made and pushed")), "{failed:?}");
}

#[test]
fn what_nobody_wants_to_know_is_skipped_and_said() {
    let wanting = |updaters: &[&str]| Spec { updaters: updaters.iter().map(|name| (*name).to_owned()).collect(), ..spec() };
    let bad = |findings: &[&str]| with(&[("bad", &document("refused", &findings.join(",")), 3)]);
    let told = failures(&run_as(&wanting(&["osv/*", "clair.cvss"]), bad(&[PYYAML]), Tcp::Dropped));
    assert_eq!(told, ["so is one with a known vulnerability of Debian's: skipped: debian/updater is not among clair_updaters"]);
    let told = failures(&run_as(&wanting(&["debian/updater", "clair.cvss"]), bad(&[OPENSSL]), Tcp::Dropped));
    assert_eq!(told, ["an image with a known vulnerability is refused: skipped: osv/pypi is not among clair_updaters"]);
    // What nobody rates is found, and passes.
    let unrated = OPENSSL.replace("refused", "tolerated");
    let spec = wanting(&["debian/updater", "osv/pypi"]);
    assert_eq!(failures(&run_as(&spec, bad(&[PYYAML, &unrated]), Tcp::Dropped)), [""; 0]);
    let told = failures(&run_as(&spec, bad(&[PYYAML]), Tcp::Dropped));
    assert!(told.len() == 1 && told[0].contains("Debian's data is not there"), "{told:?}");
}

/// Also when the second push failed, so that nothing was said about digests.
#[test]
fn what_was_pushed_is_removed_however_far_the_check_came() {
    let ca = lab_ca();
    let digest = format!("sha256:{}", "a".repeat(64));
    let deleted = Arc::new(Mutex::new(Vec::new()));
    let (seen, answer) = (deleted.clone(), digest.clone());
    let server = TlsServer::start(&ca, "registry.x", move |asked| {
        if asked.method == "DELETE" {
            seen.lock().unwrap().push(asked.path.clone());
        }
        let status = if asked.path.ends_with("-bad") { 404 } else { 200 };
        (status, vec![("Docker-Content-Digest".into(), answer.clone())], vec![])
    });
    let mut spec = spec();
    spec.registry.url = format!("https://registry.x:{}", server.address.port());
    let reach = Scripted { ca: Some(&ca), ..reach(with(&[("push", "denied\n", 1)]), Tcp::Dropped) };
    spec.run(&reach, &mut |_| {});
    assert_eq!(*deleted.lock().unwrap(), [format!("/v2/poclab/scan-probe/manifests/{digest}")]);
}
