//! The role `gitlab` sends GitLab's API only what GitLab publishes that it takes (tests/golden/gitlab).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests may panic")]

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

/// Calls whose description could not be had; nothing may be added without a reason.
const UNSEEN: [&str; 6] = [
    "PUT /application/settings",
    "PUT /groups/{id}",
    "PUT /projects/{id}",
    "PUT /projects/{id}/members/{user_id}",
    "PUT /users/{id}",
    "POST /projects",
];

type Table = BTreeMap<String, Option<BTreeMap<String, String>>>;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn table() -> Table {
    serde_json::from_str(&read("tests/golden/gitlab/parameters.json")).unwrap()
}

/// Method, path and body of each call, as role.yml writes them: expressions are left as they are.
fn calls(role: &Value) -> Vec<(String, String, Map<String, Value>)> {
    let mut found = Vec::new();
    for object in role["resources"].as_array().unwrap().iter().filter_map(|resource| resource.get("api_object")) {
        let map = |value: &Value| value.as_object().cloned().unwrap_or_default();
        for (way, method) in [("create", "POST"), ("update", "PUT")] {
            let Some(call) = object.get(way) else { continue };
            let mut body = call.get("body").map_or_else(|| map(&object["want"]), map);
            body.extend(map(&object["write_only"]));
            body.extend(map(&call["numbers"]).into_iter().map(|(field, _)| (field, 0.into())));
            let method = call.get("method").and_then(Value::as_str).unwrap_or(method);
            found.push((method.to_owned(), call["path"].as_str().unwrap().to_owned(), body));
        }
    }
    found
}

/// The table's name of a call: expressions and fields in a path are names there.
fn key(table: &Table, method: &str, path: &str) -> Option<String> {
    let project = "{{ gitlab_group }}%2F{{ gitlab_project }}";
    let path = path.replace(project, "{id}");
    let fits = |known: &&String| {
        let Some((verb, known)) = known.split_once(' ') else { return false };
        let (a, b): (Vec<&str>, Vec<&str>) = (known.split('/').collect(), path.split('/').collect());
        verb == method && a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a == b || (a.starts_with('{') && b.starts_with('{')))
    };
    table.keys().find(fits).cloned()
}

/// What is wrong with a body.
fn wrong(known: &BTreeMap<String, String>, body: &Map<String, Value>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, value) in body {
        let kind = known.get(name).or_else(|| known.get(&format!("{name}*")));
        let fits = match (kind.map(String::as_str), value) {
            (None, _) => false,
            // A whole expression may come to anything.
            (_, Value::String(text)) if text.starts_with("{{") && text.ends_with("}}") => true,
            (Some("string"), Value::String(_)) | (Some("boolean"), Value::Bool(_)) | (Some("array"), Value::Array(_)) => true,
            (Some("integer"), Value::Number(_)) => true,
            _ => false,
        };
        if !fits {
            wrong.push(format!("{name}: {value}"));
        }
    }
    let missing = known.keys().filter_map(|name| name.strip_suffix('*')).filter(|name| !body.contains_key(*name));
    wrong.extend(missing.map(|name| format!("{name} is missing")));
    wrong
}

#[test]
fn the_role_sends_what_gitlab_takes() {
    let table = table();
    let role: Value = serde_yaml::from_str(&read("roles/gitlab/role.yml")).unwrap();
    let calls = calls(&role);
    assert!(calls.len() >= 12, "{}", calls.len());
    let mut unseen = std::collections::BTreeSet::new();
    for (method, path, body) in calls {
        let name = key(&table, &method, &path).unwrap_or_else(|| panic!("{method} {path} is in no description"));
        match &table[&name] {
            None => drop(unseen.insert(name)),
            Some(known) => assert_eq!(wrong(known, &body), [""; 0], "{name}"),
        }
    }
    eprintln!("not compared, as their description could not be had: {unseen:?}");
    assert!(unseen.iter().all(|name| UNSEEN.contains(&name.as_str())), "{unseen:?}");
}

#[test]
fn a_mistake_is_found() {
    let table = table();
    let hooks = table[&key(&table, "POST", "/projects/{{ gitlab_group }}%2F{{ gitlab_project }}/hooks").unwrap()].clone().unwrap();
    let body = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
    assert_eq!(wrong(&hooks, &body(r#"{"url": "{{ x }}", "push_events": true}"#)), [""; 0]);
    assert_eq!(wrong(&hooks, &body(r#"{"url": "a", "push_event": true}"#)), ["push_event: true"]);
    assert_eq!(wrong(&hooks, &body(r#"{"push_events": "yes"}"#)), ["push_events: \"yes\"", "url is missing"]);
    assert_eq!(key(&table, "POST", "/projects/x/hook"), None);
}
