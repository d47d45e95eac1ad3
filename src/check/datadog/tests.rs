#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

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
        "api": "https://api.example", "api_key": "kkkkkkkkkkkk", "app_key": app_key, "container_metric": "container.cpu.usage", "patience": 0,
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
}

fn lab(wrong: Wrong) -> Scripted<'static> {
    const NOW: i64 = 1_800_000_000;
    Scripted::new(move |host, script, _| -> Result<Ran, String> {
        let text = |value: Value| value.to_string();
        if script.contains("is-active") {
            let stopped = wrong == Wrong::Stopped && host == "app";
            let (state, health) = if stopped { ("inactive\n", 1) } else { ("active\n", 0) };
            return Ok(framed(script, &[("active", state, i32::from(stopped) * 3), ("health", "Agent health: PASS\n", health)]));
        }
        if script.contains("date +%s\n") && !script.contains("docker") {
            return Ok(framed(script, &[("now", &NOW.to_string(), 0)]));
        }
        if script.contains("docker ps") {
            return Ok(framed(script, &[("ps", "", 0), ("running", "api\nweb\n", 0)]));
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
        let frames: Vec<(String, &str)> = (0..4)
            .map(|n| (format!("status{n}"), if wrong == Wrong::AppKeyRevoked { "403\n" } else { "200\n" }))
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
        (Wrong::Revoked, "Datadog takes the lab's API key: 403: the key is wrong or was revoked"),
        (Wrong::TakesAnyKey, "Datadog refuses another API key: a made-up key is answered with 200"),
        (Wrong::Silent, "metrics of app arrive: system.cpu.user: nothing came within 15 minutes"),
        (Wrong::Old, "metrics of app arrive: system.cpu.user: the last point is 121 s old"),
        (Wrong::ContainerMissing, "metrics of container web of app arrive: container.cpu.usage: nothing came"),
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
