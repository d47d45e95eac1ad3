//! What the API answered, and how that differs from what is wanted.

use serde_json::{Map, Value};

use super::script::{Answer, Answers};
use super::{Observed, Presence, Spec};
use crate::resource::{Change, State};

/// A page of a list has at most so many objects.
const PAGE: usize = 100;
/// Characters of a value that are shown.
const SHOWN: usize = 100;

impl Spec {
    /// What an answer says about this object; an error when it says nothing.
    pub(super) fn seen(&self, answers: Result<&Answers, &String>, index: usize) -> Result<Observed, String> {
        let answers = answers.map_err(Clone::clone)?;
        let kept = answers.kept.get(&index).cloned();
        let path = self.read.as_ref().or(self.list.as_ref()).map_or("", String::as_str);
        let objects = match answers.of.get(&index) {
            None => return Err("the observation said nothing about it".to_owned()),
            Some(Answer::NotInstalled) => return Ok(Observed { installed: false, objects: Vec::new(), kept }),
            Some(Answer::Silent(why)) => return Err(format!("the API did not answer: {why}")),
            // Of a list it means that what the list belongs to is not there.
            Some(Answer::Status(404, _)) => Vec::new(),
            Some(Answer::Status(200, body)) => self.found(path, body)?,
            Some(Answer::Status(status @ (401 | 403), body)) => {
                let next = "the key or password for this API is wrong or was revoked, or may not do this";
                return Err(format!("GET {path} was refused with {status} ({}): {next}", words(body)));
            }
            Some(Answer::Status(status, body)) => return Err(format!("GET {path} was answered with {status}: {}", words(body))),
        };
        Ok(Observed { installed: true, objects, kept })
    }

    fn found(&self, path: &str, body: &[u8]) -> Result<Vec<Map<String, Value>>, String> {
        let value: Value = serde_json::from_slice(body).map_err(|why| format!("GET {path} was not answered with JSON: {why}"))?;
        let value = match &self.list_field {
            Some(field) => value.get(field).cloned().ok_or_else(|| format!("GET {path} was answered without the field {field}"))?,
            None => value,
        };
        match (value, self.list.is_some()) {
            (Value::Object(object), false) => Ok(vec![object]),
            (Value::Array(items), true) => {
                let all = items.len();
                let wanted = Value::Object(self.matching.clone());
                let matches = items.into_iter().filter(|item| differences("", &wanted, item).is_empty());
                let objects: Vec<_> =
                    matches.filter_map(|item| if let Value::Object(object) = item { Some(object) } else { None }).collect();
                if objects.is_empty() && all >= PAGE {
                    return Err(format!("GET {path} answered {all} objects, and it may be on a later page: narrow the path"));
                }
                Ok(objects)
            }
            (_, list) => Err(format!("GET {path} was not answered with {}", if list { "a list" } else { "an object" })),
        }
    }

    /// Observed against desired.
    pub(super) fn state_of(&self, observed: &Observed) -> State {
        let drift = |what: &str| State::Drift(vec![Change::new(what)]);
        if self.state == Presence::Absent {
            return match observed.objects.len() {
                0 => State::InSync,
                1 => drift("is there, want it gone"),
                n => drift(&format!("is there {n} times, want it gone")),
            };
        }
        if !observed.installed {
            return drift("its product is not installed yet");
        }
        let Some(object) = observed.objects.first() else {
            return match self.create {
                Some(_) => drift("does not exist"),
                None => State::Unknown("the API does not know it (404), and it cannot be created".to_owned()),
            };
        };
        let mut changes: Vec<Change> =
            differences("", &Value::Object(self.want.clone()), &Value::Object(object.clone())).into_iter().map(Change::new).collect();
        if !self.write_only.is_empty() && observed.kept != Some((self.hash(), id_of(object))) {
            let fields: Vec<&str> = self.write_only.keys().map(String::as_str).collect();
            changes.push(Change::new(format!("{}: not what was sent last (the API never tells it)", fields.join(", "))));
        }
        match (observed.objects.len(), &self.delete) {
            (1, _) => {}
            (n, Some(_)) => changes.push(Change::new(format!("is there {n} times, want it once"))),
            (n, None) => return State::Unknown(format!("there are {n} objects that match: say in match which one is meant")),
        }
        if changes.is_empty() { State::InSync } else { State::Drift(changes) }
    }
}

/// The id by which the next run knows that it is the same object.
pub(super) fn id_of(object: &Map<String, Value>) -> String {
    match object.get("id") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// What an error's body says.
fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let said = serde_json::from_slice::<Value>(body).ok().and_then(|value| {
        let field = ["message", "error_description", "error"].iter().find_map(|key| value.get(key))?.clone();
        Some(field.as_str().map_or_else(|| field.to_string(), str::to_owned))
    });
    let line = said.unwrap_or_else(|| text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("(nothing)").to_owned());
    short(&line)
}

/// Each difference in words.
pub(super) fn differences(path: &str, want: &Value, have: &Value) -> Vec<String> {
    let name = if path.is_empty() { "it" } else { path };
    match (want, have) {
        (Value::Object(want), Value::Object(have)) => {
            let one = |(key, want): (&String, &Value)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match have.get(key) {
                    None if want.is_null() => Vec::new(),
                    None => vec![format!("{path} is missing, want {}", shown(want))],
                    Some(have) => differences(&path, want, have),
                }
            };
            want.iter().flat_map(one).collect()
        }
        (Value::Array(wanted), Value::Array(items)) if same_items(wanted, items) => Vec::new(),
        (want, have) if want == have => Vec::new(),
        (want, have) => vec![format!("{name} is {}, want {}", shown(have), shown(want))],
    }
}

/// Whether each wanted item has an item of its own that fits, and none is left over.
fn same_items(wanted: &[Value], items: &[Value]) -> bool {
    let mut left: Vec<&Value> = items.iter().collect();
    let taken = wanted.iter().all(|want| {
        let at = left.iter().position(|have| differences("", want, have).is_empty());
        at.map(|at| left.swap_remove(at)).is_some()
    });
    taken && left.is_empty()
}

fn shown(value: &Value) -> String {
    short(&value.to_string())
}

fn short(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match clean.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &clean[..at]),
        None => clean,
    }
}
