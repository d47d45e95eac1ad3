//! What the server answers over HTTPS: the management API, the event collector, and a page for people.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::search::Search;
use super::server::Splunk;
use super::wire::Event;
use crate::common::http::{Request, Response};

/// Saved searches and views, by kind and name.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Objects(BTreeMap<String, Map<String, Value>>);

fn messages(status: u16, kind: &str, text: &str) -> Response {
    Response::json(status, &json!({"messages": [{"type": kind, "text": text}]}))
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// The management API.
pub fn api(splunk: &Splunk, request: &Request) -> Response {
    let wanted = format!("Basic {}", STANDARD.encode(format!("admin:{}", splunk.settings.password)));
    if request.header("authorization") != wanted {
        return messages(401, "WARN", "call not properly authenticated");
    }
    let parameters = request.parameters().unwrap_or_default();
    // A form needs no Content-Type here, as with curl's default.
    let text = |field: &str| parameters.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let segments = request.segments();
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (request.method.as_str(), path.as_slice()) {
        ("GET", ["services", "server", "info"]) => Response::json(
            200,
            &json!({"entry": [{"name": "server-info", "content": {"version": super::VERSION, "product_type": "enterprise"}}]}),
        ),
        ("GET", ["services", "messages"]) => {
            splunk.has_room();
            let all = splunk.messages.lock().unwrap_or_else(PoisonError::into_inner);
            let entries: Vec<Value> =
                all.iter().map(|text| json!({"name": "message", "content": {"message": text, "severity": "warn"}})).collect();
            Response::json(200, &json!({"entry": entries}))
        }
        (method, ["services", "data", "indexes", rest @ ..]) if rest.len() < 3 => index(splunk, method, rest, &text("name")),
        ("POST", ["services", "search", "jobs", "export"]) => search(splunk, &text("search")),
        (method, ["servicesNS", _, _, "saved", "searches", rest @ ..]) if rest.len() < 2 => {
            object(splunk, "saved", method, rest.first().copied(), parameters)
        }
        (method, ["servicesNS", _, _, "data", "ui", "views", rest @ ..]) if rest.len() < 2 => {
            object(splunk, "view", method, rest.first().copied(), parameters)
        }
        _ => messages(404, "ERROR", "Not Found (of the rehearsal's Splunk)"),
    }
}

/// Indexes: looked at, made, enabled, disabled, deleted.
fn index(splunk: &Splunk, method: &str, rest: &[&str], wanted: &str) -> Response {
    let name = rest.first().copied().unwrap_or(wanted);
    let mut all = splunk.indexes();
    match (method, rest, all.contains_key(name)) {
        ("POST", [], _) if name.is_empty() => return messages(400, "ERROR", "The following required arguments are missing: name."),
        ("POST", [], true) => return messages(409, "ERROR", &format!("Index name={name} already exists")),
        ("POST", [], false) | ("POST", [_, "enable"], true) => _ = all.insert(name.to_owned(), false),
        ("POST", [_, "disable"], true) => _ = all.insert(name.to_owned(), true),
        ("DELETE", [_], true) => {
            all.remove(name);
            return Response::json(200, &json!({"entry": []}));
        }
        ("GET", [_], true) => {}
        (_, _, false) => return messages(404, "ERROR", &format!("Could not find object id={name}")),
        _ => return messages(405, "ERROR", "Method Not Allowed"),
    }
    let disabled = all.get(name).copied().unwrap_or_default();
    drop(all);
    let count = splunk.events().all.iter().filter(|event| event.index == name).count();
    let status = if rest.is_empty() { 201 } else { 200 };
    Response::json(status, &json!({"entry": [{"name": name, "content": {"totalEventCount": count, "disabled": disabled}}]}))
}

fn search(splunk: &Splunk, text: &str) -> Response {
    if !splunk.has_room() {
        let why = format!(
            "Search not executed: The minimum free disk space ({}MB) reached for /opt/splunk/var/run/splunk/dispatch. user=admin.",
            splunk.settings.min_free
        );
        return messages(503, "FATAL", &why);
    }
    let search = match Search::parse(text) {
        Ok(search) => search,
        Err(why) => return messages(400, "FATAL", &why),
    };
    let rows = search.rows(&splunk.events().all, now());
    let last = rows.len().saturating_sub(1);
    let mut out = String::new();
    for (offset, row) in rows.into_iter().enumerate() {
        let mut line = json!({"preview": false, "offset": offset, "result": row});
        if offset == last {
            line["lastrow"] = json!(true);
        }
        out.push_str(&format!("{line}\n"));
    }
    if out.is_empty() {
        out.push_str("{\"preview\":false,\"lastrow\":true}\n");
    }
    Response::text(200, "application/json", out)
}

fn object(splunk: &Splunk, kind: &str, method: &str, name: Option<&str>, mut fields: Map<String, Value>) -> Response {
    fields.remove("output_mode");
    let entry = |name: &str, content: &Map<String, Value>| json!({"entry": [{"name": name, "content": content}]});
    let missing = |name: &str| messages(404, "ERROR", &format!("Could not find object id={name}"));
    let done = splunk.objects.change(|objects| match (method, name) {
        ("POST", None) => {
            let Some(name) = fields.remove("name").and_then(|name| name.as_str().map(str::to_owned)) else {
                return messages(400, "ERROR", "The following required arguments are missing: name.");
            };
            let key = format!("{kind}/{name}");
            if objects.0.contains_key(&key) {
                return messages(409, "ERROR", &format!("Unable to create {kind} with name '{name}'. It already exists."));
            }
            objects.0.insert(key.clone(), fields);
            Response::json(201, &entry(&name, &objects.0[&key]))
        }
        ("POST", Some(name)) => match objects.0.get_mut(&format!("{kind}/{name}")) {
            Some(known) => {
                known.extend(fields);
                Response::json(200, &entry(name, known))
            }
            None => missing(name),
        },
        ("GET", Some(name)) => {
            objects.0.get(&format!("{kind}/{name}")).map_or_else(|| missing(name), |known| Response::json(200, &entry(name, known)))
        }
        ("DELETE", Some(name)) => match objects.0.remove(&format!("{kind}/{name}")) {
            Some(_) => Response::json(200, &json!({"entry": []})),
            None => missing(name),
        },
        _ => messages(405, "ERROR", "Method Not Allowed"),
    });
    done.unwrap_or_else(|why| messages(500, "ERROR", &why.to_string()))
}

/// The event collector.
pub fn collector(splunk: &Splunk, request: &Request) -> Response {
    let said = |status: u16, text: &str, code: u8| Response::json(status, &json!({"text": text, "code": code}));
    if request.path == "/services/collector/health" {
        return if splunk.has_room() { said(200, "HEC is healthy", 17) } else { said(503, "HEC is unhealthy, queues are full", 18) };
    }
    match request.header("authorization").strip_prefix("Splunk ") {
        None if request.header("authorization").is_empty() => return said(401, "Token is required", 2),
        None => return said(401, "Invalid authorization", 3),
        Some(token) if token != splunk.settings.token => return said(403, "Invalid token", 4),
        Some(_) => {}
    }
    if request.method == "OPTIONS" {
        return said(200, "OK", 0);
    }
    if !matches!(request.path.as_str(), "/services/collector/event" | "/services/collector/event/1.0" | "/services/collector") {
        return said(404, "The requested URL was not found on this server.", 0);
    }
    let mut events = Vec::new();
    for value in serde_json::Deserializer::from_slice(&request.body).into_iter::<Value>() {
        let Ok(value) = value else { return said(400, "Invalid data format", 6) };
        let text = |field: &str, default: &str| value[field].as_str().unwrap_or(default).to_owned();
        let index = text("index", "main");
        if !splunk.takes(&index) {
            return said(400, "Incorrect index", 7);
        }
        let raw = match &value["event"] {
            Value::Null => return said(400, "Event field is required", 12),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let time = value["time"].as_f64().or_else(|| value["time"].as_str()?.parse().ok()).unwrap_or_else(now);
        events.push(Event {
            time,
            host: text("host", ""),
            source: text("source", "http"),
            sourcetype: text("sourcetype", "httpevent"),
            index,
            raw,
        });
    }
    if events.is_empty() {
        return said(400, "No data", 5);
    }
    if splunk.index(events) { said(200, "Success", 0) } else { said(503, "Server is busy", 9) }
}

/// A page for people: which hosts sent something, and when.
pub fn web(splunk: &Splunk, request: &Request) -> Response {
    if request.path == "/" {
        return Response { status: 303, headers: vec![("Location".into(), "/en-US/account/login".into())], body: Vec::new() };
    }
    let mut last: BTreeMap<String, f64> = BTreeMap::new();
    for event in &splunk.events().all {
        let known = last.entry(event.host.clone()).or_insert(event.time);
        *known = known.max(event.time);
    }
    let mut text = "Splunk of the poclab rehearsal; it is not Splunk\n\nlast event of each host:\n".to_owned();
    for (host, at) in last {
        text.push_str(&format!("  {host}: {:.0} s ago\n", now() - at));
    }
    Response::text(200, "text/plain; charset=utf-8", text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::server::Settings;
    use super::*;

    const TEXT: &str = "splunk: {password: long-enough, hec: {enable: true, ssl: true, token: t}, s2s: {enable: true, ssl: true, cert: /c}, \
                        ssl: {enable: true}, conf: [{key: server, value: {content: {diskUsage: {minFreeSpace: FREE}}}}]}";

    /// A Splunk in a folder that wants so many megabytes to be free.
    fn splunk(folder: &std::path::Path, free: u64) -> Splunk {
        let environment = |name: &str| match name {
            "SPLUNK_START_ARGS" => "--accept-license".to_owned(),
            "SPLUNK_GENERAL_TERMS" => "--accept-sgt-current-at-splunk-com".to_owned(),
            _ => String::new(),
        };
        let settings = Settings::read(&environment, &TEXT.replace("FREE", &free.to_string())).unwrap();
        Splunk::open(settings, folder).unwrap()
    }

    fn request(method: &str, path: &str, login: &str, body: &str) -> Request {
        let mut headers = hyper::header::HeaderMap::new();
        headers.insert("authorization", login.parse().unwrap());
        headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
        let peer = std::net::IpAddr::from([127, 0, 0, 1]);
        Request { method: method.into(), path: path.into(), query: String::new(), headers, body: body.into(), peer }
    }

    fn ask(splunk: &Splunk, method: &str, path: &str, body: &str) -> (u16, String) {
        let login = format!("Basic {}", STANDARD.encode("admin:long-enough"));
        let request = request(method, path, &login, body);
        let answer = api(splunk, &request);
        (answer.status, String::from_utf8(answer.body).unwrap())
    }

    fn send(splunk: &Splunk, token: &str, index: &str) -> (u16, Value) {
        let body = json!({"event": "x", "index": index}).to_string();
        let answer = collector(splunk, &request("POST", "/services/collector/event", &format!("Splunk {token}"), &body));
        (answer.status, serde_json::from_slice::<Value>(&answer.body).unwrap()["code"].clone())
    }

    #[test]
    fn an_index_is_made_disabled_enabled_and_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let splunk = splunk(folder.path(), 0);
        let lab = "/services/data/indexes/lab";
        assert_eq!(ask(&splunk, "GET", lab, "").0, 404);
        assert_eq!(send(&splunk, "t", "lab"), (400, json!(7)));
        assert_eq!(ask(&splunk, "POST", "/services/data/indexes", "name=lab").0, 201);
        assert_eq!(ask(&splunk, "POST", "/services/data/indexes", "name=lab").0, 409);
        assert_eq!(send(&splunk, "t", "lab"), (200, json!(0)));
        assert_eq!(send(&splunk, "other", "lab"), (403, json!(4)));
        assert_eq!(ask(&splunk, "POST", &format!("{lab}/disable"), "").0, 200);
        assert!(ask(&splunk, "GET", lab, "").1.contains(r#""disabled":true"#) && !splunk.takes("lab"));
        assert_eq!(ask(&splunk, "POST", &format!("{lab}/enable"), "").0, 200);
        assert!(splunk.takes("lab"));
        assert_eq!((ask(&splunk, "DELETE", lab, "").0, ask(&splunk, "GET", lab, "").0), (200, 404));
    }

    #[test]
    fn a_full_disk_is_said_in_splunks_words_and_searches_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let full = splunk(folder.path(), u64::MAX);
        let (status, said) = ask(&full, "GET", "/services/messages", "");
        assert!(status == 200 && said.contains("has paused data flow") && said.contains("below the minimum of"), "{said}");
        let (status, said) = ask(&full, "POST", "/services/search/jobs/export", "search=search index=main");
        assert!(status == 503 && said.contains("Search not executed: The minimum free disk space"), "{status} {said}");
        assert_eq!(send(&full, "t", "main"), (503, json!(9)));
    }
}
