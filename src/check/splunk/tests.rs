#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn spec() -> Spec {
    serde_json::from_value(json!({
        "host": "registry", "api": "https://registry.lab:8089", "user": "admin", "password": "pppppppp", "index": "lab",
        "forwarders": ["app"], "domain": "lab", "image": "busybox", "patience": 0,
    }))
    .unwrap()
}

#[test]
fn a_line_must_come_from_where_it_was_printed() {
    let marker = |container: Option<&str>, from: &'static str| Marker {
        what: "x".into(),
        host: "app".into(),
        text: "poclab-1-x".into(),
        container: container.map(str::to_owned),
        from,
    };
    let found = |host: &str, name: &str, source: &str| {
        Found::from([("{\"log\":\"poclab-1-x\"}".to_owned(), vec![(host.to_owned(), name.to_owned(), source.to_owned())])])
    };
    let judge = |marker: &Marker, found: &Found| marker.judge(&spec(), found, None);
    let log = "/var/lib/docker/containers/c/c-json.log.1";
    assert!(matches!(judge(&marker(Some("api"), "/var/lib/docker/"), &found("app.lab", "api", log)), Verdict::Passed(_)));
    assert!(matches!(judge(&marker(None, "journald://"), &found("app.lab", "", "journald://lab")), Verdict::Passed(_)));
    for (host, name, want) in [("other.lab", "api", "must be host app.lab"), ("app.lab", "", "must be host app.lab, container api")] {
        let verdict = judge(&marker(Some("api"), ""), &found(host, name, log));
        assert!(matches!(&verdict, Verdict::Failed(why) if why.contains(want)), "{verdict:?}");
    }
    // syslog wrote the journal's line into a file, and that is what was sent: the journal is not proven by it.
    let verdict = judge(&marker(None, "journald://"), &found("app.lab", "", "/var/log/messages"));
    assert!(
        matches!(&verdict, Verdict::Failed(why) if why.contains("from /var/log/messages") && why.ends_with("from journald://…")),
        "{verdict:?}"
    );
    let none = judge(&marker(None, ""), &Found::new());
    assert!(matches!(none, Verdict::Failed(why) if why.contains("was not found") && why.contains("splunkd.log")));
    let known = marker(None, "").judge(&spec(), &Found::new(), Some("its forwarder is broken"));
    assert!(matches!(&known, Verdict::Failed(why) if why.ends_with("within 0 s; its forwarder is broken")), "{known:?}");
}

#[test]
fn without_a_way_to_ask_it_is_skipped_and_said() {
    let nobody = crate::check::testing::Scripted::new(|_, _, _| panic!("nothing is asked"));
    let spec = Spec { api: String::new(), ..spec() };
    let outcomes = spec.run(&nobody, &mut |_| {});
    assert!(matches!(&outcomes[..], [Outcome { verdict: Verdict::Skipped(why), .. }] if why.contains("splunk_api_url")), "{outcomes:?}");
    assert!(spec.arrivals(&nobody).is_none());
}

/// What Splunk's API answers, and what is said of it: each fault fails its line alone.
#[test]
fn a_splunk_that_is_not_as_it_must_be_is_told_apart() {
    use crate::check::testing::{Scripted, framed};
    const GOOD: [(&str, &str); 4] = [("200", r#"{"entry":[{"content":{"version":"9"}}]}"#), ("401", ""), ("200", "{}"), ("200", "{}")];
    let failed = |answers: [(&'static str, &'static str); 4]| -> Vec<String> {
        let reach = Scripted::new(move |_, script, _| {
            let name = |what: &str| [0, 1, 2, 3].map(|number| format!("{what}{number}"));
            let (status, body) = (name("status"), name("body"));
            let codes = status.iter().zip(answers).map(|(name, (code, _))| (name.as_str(), code, 0));
            let texts = body.iter().zip(answers).map(|(name, (_, text))| (name.as_str(), text, 0));
            let frames: Vec<(&str, &str, i32)> = codes.chain(texts).collect();
            Ok(framed(script, &frames))
        });
        let told = |outcome: Outcome| match outcome.verdict {
            Verdict::Failed(why) => Some(format!("{}: {why}", outcome.title)),
            _ => None,
        };
        spec().api(&reach).outcomes("lab").into_iter().filter_map(told).collect()
    };
    assert_eq!(failed(GOOD), [""; 0]);
    for (at, answer, want) in [
        (0, ("200", "{}"), "names no version"),
        (0, ("503", ""), "Splunk at https://registry.lab:8089 answers"),
        (1, ("200", "{}"), "refuses a wrong password: a wrong password is answered with 200, must be 401"),
        (1, ("503", ""), "refuses a wrong password: a wrong password is answered with 503, must be 401"),
        (2, ("404", "{}"), "the index lab exists: "),
        (2, ("200", r#"{"entry":[{"content":{"disabled":true}}]}"#), "the index lab exists: it is disabled"),
        (3, ("401", ""), "takes what it is sent: its messages cannot be read"),
    ] {
        let mut answers = GOOD;
        answers[at] = answer;
        let told = failed(answers);
        assert!(told.len() == 1 && told[0].contains(want), "{want}: {told:?}");
    }
}

/// A lab whose Splunk answers searches with this status, and whose forwarder is in this state; how often it was asked for a search.
fn run(status: &'static str, active: &'static str) -> (Vec<Outcome>, usize) {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::check::testing::{Scripted, framed, ran};
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let reach = Scripted::new(move |_, script, stdin| {
        let sent = String::from_utf8_lossy(stdin).into_owned();
        if sent.contains("search/jobs/export") {
            count.fetch_add(1, Ordering::Relaxed);
            return Ok(framed(script, &[("status0", status, 0), ("body0", "", 0)]));
        }
        if script.contains("is-active") {
            return Ok(framed(script, &[("active", active, 0), ("process", "uid 0\ncapabilities 0\n", 0), ("log", "", 1)]));
        }
        if script.contains("curl") {
            let info = "{\"entry\":[{\"content\":{\"version\":\"9\"}}]}";
            let all = [("status0", "200", 0), ("status1", "401", 0), ("status2", "200", 0), ("status3", "200", 0)];
            let bodies = [("body0", info, 0), ("body1", "", 0), ("body2", "{}", 0), ("body3", "{}", 0)];
            return Ok(framed(script, &[all, bodies].concat()));
        }
        Ok(ran(""))
    });
    let outcomes = Spec { patience: 1, ..spec() }.run(&reach, &mut |_| {});
    (outcomes, asked.load(Ordering::Relaxed))
}

#[test]
fn a_login_that_is_refused_is_not_tried_for_minutes() {
    let (outcomes, asked) = run("401", "active");
    // The search, and the control.
    assert_eq!(asked, 2);
    let failed = |outcome: &&Outcome| matches!(&outcome.verdict, Verdict::Failed(why) if why.contains("401"));
    assert_eq!(outcomes.iter().filter(failed).count(), 2, "{outcomes:?}");
    assert!(run("503", "active").1 > 2);
}

#[test]
fn a_line_that_is_missing_is_led_back_to_its_forwarder() {
    let missing = |outcomes: &[Outcome]| {
        let lost = outcomes.iter().find(|outcome| outcome.title == "a line of the journal of app is found").unwrap();
        format!("{:?}", lost.verdict)
    };
    let stopped = missing(&run("200", "inactive").0);
    assert!(stopped.contains("within 1 s; its forwarder is not as it must be: the unit SplunkForwarder is inactive"), "{stopped}");
    let well = missing(&run("200", "active").0);
    assert!(well.contains("see /opt/splunkforwarder/var/log/splunk/splunkd.log on app"), "{well}");
}
