#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::judge::latest;
use super::*;
use crate::check::Ran;
use crate::check::testing::{Scripted, framed};

/// Written from documentation (GET /api/v1/query).
fn answer(points: &[(&str, i64)]) -> Value {
    let series = points.iter().map(|(scope, at)| {
        json!({"metric": "m", "scope": scope, "pointlist": [[(at - 20) as f64 * 1000.0, 1.5], [at * 1000, 2.5], [(at + 20) * 1000, null]], "interval": 20})
    });
    json!({"status": "ok", "res_type": "time_series", "series": series.collect::<Vec<_>>()})
}

#[test]
fn the_last_value_of_each_counts() {
    let seen = latest(
        &answer(&[("container_name:api,host:a.lab", 1000), ("host:a.lab,container_name:web", 900), ("host:a.lab", 5)]),
        &["host", "container_name"],
    );
    let seen = seen.unwrap();
    let key = |name: &str| vec!["a.lab".to_owned(), name.to_owned()];
    assert_eq!((seen.len(), seen[&key("api")], seen[&key("web")]), (2, 1000, 900));
    assert_eq!(age(&seen, &key("api"), 1010), Some(10));
    assert_eq!(age(&seen, &key("other"), 1010), None);
    assert!(latest(&json!({"status": "error", "error": "Invalid query"}), &["host"]).unwrap_err().contains("Invalid query"));
    assert!(latest(&json!({}), &["host"]).is_err());
    assert!(latest(&json!({"series": []}), &["host"]).unwrap().is_empty());
}

fn spec(app_key: &str) -> Spec {
    serde_json::from_value(json!({
        "hosts": ["deploy", "app"], "domain": "lab", "docker_hosts": ["app"], "containers_of": ["app"], "ask_from": "deploy",
        "tag": "lab:x", "api": "https://api.example", "api_key": "kkkkkkkkkkkk", "app_key": app_key, "container_metric": "container.cpu.usage", "patience": 0,
    }))
    .unwrap()
}

/// A lab in which one thing is wrong.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    Stopped,
    Revoked,
    TakesAnyKey,
    Silent,
    Old,
    ContainerMissing,
    Ghosts,
    AppKeyRevoked,
    NoWay,
    TooOften,
    NothingDeployed,
    Restarting,
    /// The agent of `app` runs and cannot send.
    Stuck,
}

/// What `datadog-agent status --json` prints. Written from the agent's sources.
fn told(sent: u64, failed: u64, refused: u64) -> String {
    json!({"forwarderStats": {"APIKeyStatus": {"API key ending with kkkkk": "API Key valid"}, "Transactions": {
        "Success": sent, "Errors": failed, "Dropped": refused, "HTTPErrorsByCode": {"403": refused}, "RetryQueueSize": failed,
    }}})
    .to_string()
}

fn lab(wrong: Wrong) -> Scripted<'static> {
    const NOW: i64 = 1_800_000_000;
    let looks = Arc::new(AtomicU64::new(0));
    Scripted::new(move |host, script, _| -> Result<Ran, String> {
        let text = |value: Value| value.to_string();
        if script.contains("is-active") {
            let stopped = wrong == Wrong::Stopped && host == "app";
            let (state, health) = if stopped { ("inactive\n", 1) } else { ("active\n", 0) };
            let look = looks.fetch_add(1, Ordering::SeqCst);
            let told = match wrong {
                Wrong::Stuck if host == "app" => told(9, look + 1, 0),
                Wrong::Revoked => told(9, 0, look),
                _ => told(9 + look, 0, 0),
            };
            return Ok(framed(
                script,
                &[("active", state, i32::from(stopped) * 3), ("health", "Agent health: PASS\n", health), ("told", &told, health)],
            ));
        }
        if script.contains("date +%s\n") && !script.contains("docker") {
            return Ok(framed(script, &[("now", &NOW.to_string(), 0)]));
        }
        if script.contains("docker ps") {
            let all = match wrong {
                Wrong::NothingDeployed => "",
                Wrong::Restarting => "api running 0 5\nweb restarting 4 2\n",
                _ => "api running 0 5\nweb running 0 500\n",
            };
            return Ok(framed(script, &[("ps", "", 0), ("running", all, 0)]));
        }
        if wrong == Wrong::NoWay {
            let count = if script.contains("status3") { 4 } else { 2 };
            let ids: Vec<String> = ["status", "body"].iter().flat_map(|word| (0..count).map(move |n| format!("{word}{n}"))).collect();
            let text = |id: &String| if id.starts_with("status") { "curl: (28) Connection timed out\n" } else { "" };
            return Ok(framed(script, &ids.iter().map(|id| (id.as_str(), text(id), 0)).collect::<Vec<_>>()));
        }
        if !script.contains("status3") {
            let (good, bad) = match wrong {
                Wrong::Revoked => ("403\n", "403\n"),
                Wrong::TakesAnyKey => ("200\n", "200\n"),
                _ => ("200\n", "403\n"),
            };
            return Ok(framed(
                script,
                &[("status0", good, 0), ("status1", bad, 0), ("body0", "{\"valid\":true}", 0), ("body1", "{\"valid\":true}", 0)],
            ));
        }
        let at = |host: &str| match wrong {
            Wrong::Old if host == "app" => NOW - 121,
            _ => NOW - 5,
        };
        let mut system = vec![("host:deploy.lab", at("deploy"))];
        if wrong != Wrong::Silent {
            system.push(("host:app.lab", at("app")));
        }
        let mut containers = vec![("container_name:api,host:app.lab", NOW - 9)];
        if wrong != Wrong::ContainerMissing {
            containers.push(("container_name:web,host:app.lab", NOW - 9));
        }
        let ghosts: &[(&str, i64)] = if wrong == Wrong::Ghosts { &[("host:x", NOW)] } else { &[] };
        let bodies = [answer(&system), answer(&[("host:app.lab", NOW - 3)]), answer(&containers), answer(ghosts)].map(text);
        let status = match wrong {
            Wrong::AppKeyRevoked => "403\n",
            Wrong::TooOften => "429\n",
            _ => "200\n",
        };
        let frames: Vec<(String, &str)> = (0..4)
            .map(|n| (format!("status{n}"), status))
            .chain(bodies.iter().enumerate().map(|(n, body)| (format!("body{n}"), body.as_str())))
            .collect();
        Ok(framed(script, &frames.iter().map(|(id, text)| (id.as_str(), *text, 0)).collect::<Vec<_>>()))
    })
}

fn failures(outcomes: &[Outcome]) -> Vec<String> {
    let failed = |outcome: &Outcome| match &outcome.verdict {
        Verdict::Failed(why) => Some(format!("{}: {why}", outcome.title)),
        _ => None,
    };
    outcomes.iter().filter_map(failed).collect()
}

#[test]
fn each_fault_is_reported_as_exactly_that() {
    let good = spec("aaaaaaaaaaaa").run(&lab(Wrong::Nothing), &mut |_| {});
    assert_eq!(failures(&good), [""; 0]);
    assert_eq!((good.len(), good.iter().filter(|line| line.control).count()), (10, 2));
    for (wrong, want) in [
        (Wrong::Stopped, "the agent of app is healthy: the unit datadog-agent is inactive"),
        (Wrong::TakesAnyKey, "Datadog refuses another API key: a made-up key is answered with 200"),
        (Wrong::Silent, "metrics of app arrive: system.cpu.user: nothing with the tag lab:x came within 15 minutes"),
        (Wrong::Old, "metrics of app arrive: system.cpu.user: the last point is 121 s old"),
        (Wrong::ContainerMissing, "metrics of container web of app arrive: container.cpu.usage: nothing with"),
        (Wrong::Restarting, "metrics of container web of app arrive: it is restarting, restarted 4 times"),
        (Wrong::TooOften, "what the hosts measure arrives: https://api.example: the query of system.cpu.user: 429"),
        (Wrong::Stuck, "the agent of app is healthy: it cannot send: "),
        (
            Wrong::AppKeyRevoked,
            "what the hosts measure arrives: https://api.example: the query of system.cpu.user: 403: the API key or the application key is \
             wrong or was revoked",
        ),
        (Wrong::Ghosts, "a host that does not exist has no metrics: 1 series"),
    ] {
        let failed = failures(&spec("aaaaaaaaaaaa").run(&lab(wrong), &mut |_| {}));
        assert!(failed.len() == 1 && failed[0].starts_with(want), "{want}: {failed:#?}");
    }
    // Each agent says so, too: its requests are refused.
    let failed = failures(&spec("aaaaaaaaaaaa").run(&lab(Wrong::Revoked), &mut |_| {}));
    assert!(failed.len() == 3 && failed[..2].iter().all(|line| line.contains("is refused with 403 and lost")), "{failed:#?}");
    assert!(failed[2].starts_with("Datadog takes the lab's API key: 403: the key is wrong or was revoked"), "{failed:#?}");
    // Nobody could look: nothing of it may pass.
    let failed = failures(&spec("aaaaaaaaaaaa").run(&lab(Wrong::NoWay), &mut |_| {}));
    assert!(failed.len() == 3 && failed.iter().all(|line| line.contains("curl: (28)")), "{failed:#?}");
}

#[test]
fn without_an_application_key_what_arrives_is_skipped_and_nothing_hides() {
    let outcomes = spec("").run(&lab(Wrong::Nothing), &mut |_| {});
    let last = outcomes.last().unwrap();
    assert!(matches!(&last.verdict, Verdict::Skipped(why) if why.contains("poclab secrets set datadog_app_key")), "{last:?}");
    assert_eq!(failures(&outcomes), [""; 0]);
    assert!(spec("").arrivals(&lab(Wrong::Nothing)).unwrap().is_err());
}

#[test]
fn the_last_data_of_each_host_is_known() {
    let arrivals = spec("aaaaaaaaaaaa").arrivals(&lab(Wrong::Silent)).unwrap().unwrap();
    let known: Vec<(&str, bool)> = arrivals.iter().map(|arrival| (arrival.host.as_str(), arrival.at.is_some())).collect();
    assert_eq!(known, [("deploy", true), ("app", false)]);
}

#[test]
fn nothing_deployed_is_said_and_not_passed() {
    let outcomes = spec("aaaaaaaaaaaa").run(&lab(Wrong::NothingDeployed), &mut |_| {});
    let skipped =
        outcomes.iter().find(|outcome| matches!(&outcome.verdict, Verdict::Skipped(why) if why.contains("nothing is deployed yet")));
    assert_eq!(skipped.unwrap().title, "metrics of the containers of app arrive");
}

#[test]
fn only_what_has_the_labs_tag_is_asked_for() {
    let asked = Arc::new(std::sync::Mutex::new(String::new()));
    let (seen, good) = (Arc::clone(&asked), lab(Wrong::Nothing));
    let reach = Scripted::new(move |host, script, stdin| {
        seen.lock().unwrap().push_str(&String::from_utf8_lossy(stdin));
        (good.exec)(host, script, stdin)
    });
    spec("aaaaaaaaaaaa").run(&reach, &mut |_| {});
    let queries: Vec<String> =
        asked.lock().unwrap().lines().filter_map(|line| line.split_once("&query=")).map(|(_, query)| query.to_owned()).collect();
    assert_eq!(queries.len(), 4);
    assert!(queries.iter().all(|query| query.contains("%7Blab%3Ax")), "{queries:#?}");
    assert!(queries[1].starts_with("avg%3Adocker%2Econtainers%2Erunning%2Etotal%7B"), "{queries:#?}");
}

#[test]
fn a_refusal_is_not_asked_for_again() {
    let asked = Arc::new(AtomicU64::new(0));
    let (count, refused) = (Arc::clone(&asked), lab(Wrong::AppKeyRevoked));
    let reach = Scripted::new(move |host, script, stdin| {
        count.fetch_add(u64::from(script.contains("status3")), Ordering::SeqCst);
        (refused.exec)(host, script, stdin)
    });
    let patient = Spec { patience: 60, ..spec("aaaaaaaaaaaa") };
    let (known, _) = patient.wait(&reach);
    assert!(known.is_err_and(|trouble| trouble.again.is_none()));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let pauses = [0, 20, 60, 300, 900].map(|patience| Spec { patience, ..spec("") }.pause());
    assert_eq!(pauses, [3, 3, 6, 15, 15]);
}

#[test]
fn a_host_whose_agent_may_not_ask_docker_is_left_out() {
    let without = Spec { docker_hosts: vec!["elsewhere".to_owned()], ..spec("aaaaaaaaaaaa") };
    let outcomes = without.run(&lab(Wrong::Nothing), &mut |_| {});
    assert!(!outcomes.iter().any(|outcome| outcome.title.contains("Docker") || outcome.title.contains("container")), "{outcomes:#?}");
    assert_eq!(failures(&outcomes), [""; 0]);
}
