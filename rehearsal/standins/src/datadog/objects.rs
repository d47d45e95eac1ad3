//! Dashboards and monitors: kept as they were sent, with the fields that Datadog adds.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::common::{now, random};

/// What is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Objects {
    dashboards: Vec<Map<String, Value>>,
    monitors: Vec<Map<String, Value>>,
    last: u64,
}

/// Status and body.
pub type Answer = (u16, Value);

fn missing(what: &str) -> Answer {
    (404, json!({"errors": [format!("{what} not found")]}))
}

fn demand(body: &Map<String, Value>, fields: &[&str]) -> Result<(), Answer> {
    match fields.iter().find(|field| !body.contains_key(**field)) {
        Some(field) => Err((400, json!({"errors": [format!("Missing required attribute: {field}")]}))),
        None => Ok(()),
    }
}

/// Datadog makes of many a `metric alert` a `query alert`: here of every one, so that whoever compares the type is found out.
fn converted(mut body: Map<String, Value>) -> Map<String, Value> {
    if body.get("type") == Some(&json!("metric alert")) {
        body.insert("type".to_owned(), json!("query alert"));
    }
    body
}

impl Objects {
    /// Dashboards; `id` is the rest of the path.
    pub fn dashboards(&mut self, method: &str, id: Option<&str>, body: Map<String, Value>) -> Answer {
        let at = |all: &[Map<String, Value>], id: &str| all.iter().position(|one| one.get("id") == Some(&json!(id)));
        match (method, id) {
            ("GET", None) => {
                let short = |one: &Map<String, Value>| {
                    let mut short = one.clone();
                    short.retain(|field, _| {
                        ["id", "title", "description", "layout_type", "url", "created_at", "modified_at"].contains(&field.as_str())
                    });
                    Value::Object(short)
                };
                (200, json!({"dashboards": self.dashboards.iter().map(short).collect::<Vec<_>>()}))
            }
            ("POST", None) | ("PUT", Some(_)) => {
                if let Err(answer) = demand(&body, &["title", "layout_type", "widgets"]) {
                    return answer;
                }
                let mut one = body;
                one.insert("modified_at".to_owned(), json!(now()));
                match id {
                    None => {
                        let id = format!("{}-{}-{}", &random(2)[..3], &random(2)[..3], &random(2)[..3]);
                        one.insert("url".to_owned(), json!(format!("/dashboard/{id}")));
                        one.insert("id".to_owned(), json!(id));
                        one.insert("created_at".to_owned(), json!(now()));
                        self.dashboards.push(one.clone());
                    }
                    Some(id) => {
                        let Some(at) = at(&self.dashboards, id) else { return missing("Dashboard") };
                        for field in ["id", "url", "created_at"] {
                            one.insert(field.to_owned(), self.dashboards[at].get(field).cloned().unwrap_or_default());
                        }
                        self.dashboards[at] = one.clone();
                    }
                }
                (200, Value::Object(one))
            }
            ("GET", Some(id)) => at(&self.dashboards, id).map_or_else(|| missing("Dashboard"), |at| (200, json!(self.dashboards[at]))),
            ("DELETE", Some(id)) => match at(&self.dashboards, id) {
                Some(at) => (200, json!({"deleted_dashboard_id": self.dashboards.remove(at).get("id")})),
                None => missing("Dashboard"),
            },
            _ => (405, json!({"errors": ["Method not allowed"]})),
        }
    }

    /// Monitors; of the list, those whose name has `name` in it.
    pub fn monitors(&mut self, method: &str, id: Option<&str>, name: &str, body: Map<String, Value>) -> Answer {
        let at = |all: &[Map<String, Value>], id: &str| {
            let number: u64 = id.parse().ok()?;
            all.iter().position(|one| one.get("id").and_then(Value::as_u64) == Some(number))
        };
        match (method, id) {
            ("GET", None) => {
                let fits = |one: &&Map<String, Value>| {
                    one.get("name").and_then(Value::as_str).unwrap_or_default().to_lowercase().contains(&name.to_lowercase())
                };
                (200, Value::Array(self.monitors.iter().filter(fits).cloned().map(Value::Object).collect()))
            }
            ("POST", None) => {
                if let Err(answer) = demand(&body, &["name", "type", "query"]) {
                    return answer;
                }
                self.last += 1;
                let mut one = converted(body);
                one.insert("id".to_owned(), json!(self.last));
                one.insert("created".to_owned(), json!(now()));
                one.insert("overall_state".to_owned(), json!("No Data"));
                self.monitors.push(one.clone());
                (200, Value::Object(one))
            }
            ("PUT", Some(id)) => match at(&self.monitors, id) {
                Some(at) => {
                    self.monitors[at].extend(converted(body));
                    (200, json!(self.monitors[at]))
                }
                None => missing("Monitor"),
            },
            ("GET", Some(id)) => at(&self.monitors, id).map_or_else(|| missing("Monitor"), |at| (200, json!(self.monitors[at]))),
            ("DELETE", Some(id)) => match at(&self.monitors, id) {
                Some(at) => (200, json!({"deleted_monitor_id": self.monitors.remove(at).get("id")})),
                None => missing("Monitor"),
            },
            _ => (405, json!({"errors": ["Method not allowed"]})),
        }
    }

    /// Titles of the dashboards with their paths.
    pub fn links(&self) -> Vec<(String, String)> {
        let text = |one: &Map<String, Value>, field: &str| one.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        self.dashboards.iter().map(|one| (text(one, "title"), text(one, "url"))).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn body(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn dashboards_come_and_go() {
        let mut objects = Objects::default();
        let lab = json!({"title": "lab", "layout_type": "ordered", "widgets": [], "description": "1"});
        assert_eq!(objects.dashboards("POST", None, body(json!({"title": "x"}))).0, 400);
        let (status, made) = objects.dashboards("POST", None, body(lab.clone()));
        let id = made["id"].as_str().unwrap().to_owned();
        assert_eq!(status, 200);
        let listed = objects.dashboards("GET", None, Map::new()).1;
        assert!(listed["dashboards"][0]["title"] == "lab" && listed["dashboards"][0].get("widgets").is_none());
        let mut changed = lab;
        changed["description"] = json!("2");
        assert_eq!(objects.dashboards("PUT", Some(&id), body(changed)).1["id"], json!(id));
        assert_eq!(objects.dashboards("GET", Some(&id), Map::new()).1["description"], "2");
        assert_eq!(objects.dashboards("DELETE", Some(&id), Map::new()).0, 200);
        assert_eq!(objects.dashboards("DELETE", Some(&id), Map::new()).0, 404);
    }

    #[test]
    fn monitors_come_and_go() {
        let mut objects = Objects::default();
        let (_, made) = objects.monitors("POST", None, "", body(json!({"name": "lab: silent", "type": "metric alert", "query": "q"})));
        assert_eq!(made["type"], "query alert");
        assert_eq!(objects.monitors("GET", None, "lab: ", Map::new()).1.as_array().unwrap().len(), 1);
        assert_eq!(objects.monitors("GET", None, "other", Map::new()).1, json!([]));
        let id = made["id"].to_string();
        assert_eq!(objects.monitors("PUT", Some(&id), "", body(json!({"query": "r"}))).1["query"], "r");
        assert_eq!(
            (objects.monitors("DELETE", Some(&id), "", Map::new()).0, objects.monitors("GET", Some(&id), "", Map::new()).0),
            (200, 404)
        );
    }
}
