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
        ("GET", ["services", "data", "indexes", name]) => {
            if splunk.settings.indexes.contains(*name) {
                let count = splunk.events().all.iter().filter(|event| event.index == *name).count();
                Response::json(200, &json!({"entry": [{"name": name, "content": {"totalEventCount": count, "disabled": false}}]}))
            } else {
                messages(404, "ERROR", &format!("Could not find object id={name}"))
            }
        }
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

fn search(splunk: &Splunk, text: &str) -> Response {
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
        if !splunk.settings.indexes.contains(&index) {
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
