use super::*;
use crate::check::testing::{Scripted, framed, shellcheck};

fn spec() -> Spec {
    serde_json::from_value(serde_json::json!({
        "host": "deploy", "address": "127.0.0.1", "api": "http://127.0.0.1:6060", "health": "http://127.0.0.1:6061", "database_port": 5432,
        "key": "c2VjcmV0LWtleS1vZi10ZXN0", "issuer": "poclab", "updaters": ["debian/updater"], "max_age_days": 7, "container": "jenkins",
        "registry": {"url": "https://registry.x:5000", "address": "127.0.0.1", "user": "push", "password": "hunter22-and-more"},
    }))
    .unwrap()
}

/// What Clair on the host answers, by fragment; today's date in the operations.
type Answers = Vec<(&'static str, String, i32)>;

fn operations() -> String {
    format!("{{\"debian/updater\":[{{\"date\":\"{}\",\"fingerprint\":\"x\"}}]}}\n200", crate::base::now())
}

fn document(verdict: &str, findings: &str) -> String {
    format!(
        "{{\"format\":\"poclab scan 1\",\"verdict\":\"{verdict}\",\"packages\":2,\"counts\":{{}},\"findings\":[{findings}]}}\nerror: refused\n"
    )
}

const PYYAML: &str = r#"{"vulnerability":"GHSA-8q59-q68h-6hv4","package":"pyyaml","policy":"refused"}"#;

fn good() -> Answers {
    vec![
        ("ready", "\n200".into(), 0),
        ("nobody", "\n401".into(), 0),
        ("wrong", "\n401".into(), 0),
        ("database", "psql: error: fe_sendauth: no password supplied\n".into(), 2),
        ("known", operations(), 0),
        ("clean-image", "sha256:aa\n".into(), 0),
        ("bad-image", "sha256:bb\n".into(), 0),
        ("login", "Login Succeeded\n".into(), 0),
        ("push", String::new(), 0),
        ("digests", "x\n".into(), 0),
        ("clean", document("passed", ""), 0),
        ("bad", document("refused", PYYAML), 3),
        ("missing", "error: Clair has not loaded everything that it must know: nothing of poclab-none yet; see\n".into(), 4),
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

fn run_at(answers: Answers, tcp: Tcp) -> Vec<Outcome> {
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
    spec().run(&reach, &mut |_| {})
}

fn run(answers: Answers) -> Vec<Outcome> {
    run_at(answers, Tcp::Dropped)
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
    assert_eq!((outcomes.len(), outcomes.iter().filter(|outcome| outcome.control).count()), (9, 6));
}

#[test]
fn each_fault_fails_its_line_alone() {
    let other = PYYAML.replace("\"pyyaml\"", "\"openssl\"");
    for (changed, want) in [
        (("ready", "curl: (7) Failed to connect", 7), "Clair is ready: curl on its host ended with 7"),
        (("nobody", "{}\n200", 0), "without a key is refused: it answers 200, must be 401"),
        (("wrong", "{}\n200", 0), "a wrong key is refused: it answers 200, must be 401"),
        (("database", "1\n", 0), "without a password: it lets in whoever asks"),
        (("database", "could not connect", 2), "it refuses for another reason"),
        (("clean", &document("refused", PYYAML), 3), "passes the gate: the gate ended with 3: refused"),
        (("clean", "error: could not look\n", 4), "the gate ended with 4 and said: error: could not look"),
        (("bad", &document("passed", ""), 0), "is refused: the gate ended with 0, must be 3"),
        (("bad", &document("refused", &other), 3), "but not for pyyaml"),
        (("missing", "ok\n", 0), "counts for nothing: the gate ended with 0, must be 4"),
        (("missing", "error: no such container\n", 1), "ended with 1, must be 4: error: no such container"),
    ] {
        let failed = failures(&run(with(&[changed])));
        assert!(failed.len() == 1 && failed[0].contains(want), "{want}: {failed:?}");
    }
    let open = failures(&run_at(good(), Tcp::Open));
    assert!(open.len() == 1 && open[0].contains("can be reached from the control machine"), "{open:?}");
}

#[test]
fn an_empty_or_old_database_is_an_error_and_nothing_is_proven_by_it() {
    for (known, want) in [
        ("{}\n200", "no updater has loaded anything"),
        ("{\"debian/updater\":[{\"date\":\"2020-01-01T00:00:00Z\"}]}\n200", "too old to judge by"),
        ("\n401", "answers 401 to the lab's key"),
        ("null\n200", "no updater has loaded anything"),
    ] {
        let failed = failures(&run(with(&[("known", known, 0)])));
        assert!(failed.len() == 4 && failed[0].contains(want), "{known}: {failed:?}");
        assert!(failed[1..].iter().all(|line| line.contains("skipped: ")), "{failed:?}");
    }
}

#[test]
fn images_that_cannot_be_pushed_prove_nothing() {
    let failed = failures(&run(with(&[("push", "denied\n", 1)])));
    assert!(failed.len() == 3 && failed.iter().all(|line| line.contains("cannot be made and pushed")), "{failed:?}");
}
