//! Searches as the lab makes them: `search index=lab "text" host=a earliest=-15m | stats count by host, container_name`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::wire::Event;

/// A search.
#[derive(Debug, PartialEq)]
pub struct Search {
    texts: Vec<String>,
    fields: Vec<(String, String)>,
    earliest: Option<f64>,
    stats: Option<Stats>,
}

#[derive(Debug, PartialEq)]
struct Stats {
    what: What,
    name: String,
    by: Vec<String>,
}

#[derive(Debug, PartialEq)]
enum What {
    Count,
    Distinct(String),
    Latest(String),
}

/// Words; what is in quotes is one word, and keeps its quotes. Commas are words.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut all, mut word, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for c in text.chars() {
        match c {
            _ if escaped => {
                word.push(c);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => {
                quoted = !quoted;
                word.push(c);
            }
            ' ' | '\t' | '\n' | ',' if !quoted => {
                if !word.is_empty() {
                    all.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(c),
        }
    }
    if quoted {
        return Err("Error in 'SearchParser': Mismatched quotes".to_owned());
    }
    all.extend((!word.is_empty()).then_some(word));
    Ok(all)
}

fn bare(word: &str) -> String {
    word.trim_matches('"').to_owned()
}

/// `-15m`, `-1h`, `-30s` as seconds before now; `0` is the beginning.
fn ago(text: &str) -> Option<f64> {
    if text == "0" {
        return Some(f64::INFINITY);
    }
    let text = text.strip_prefix('-')?;
    let unit = text.chars().last()?;
    let number: f64 = text[..text.len() - 1].parse().ok()?;
    Some(
        number
            * match unit {
                's' => 1.0,
                'm' => 60.0,
                'h' => 3600.0,
                'd' => 86_400.0,
                _ => return None,
            },
    )
}

impl Search {
    /// Reads a search, or says what is not understood in Splunk's way.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split('|').map(str::trim);
        let first = parts.next().unwrap_or_default();
        let unknown = |word: &str| format!("Unknown search command '{word}' (of the rehearsal's Splunk).");
        let rest = first.strip_prefix("search ").ok_or_else(|| unknown(first.split(' ').next().unwrap_or_default()))?;
        let mut search = Self { texts: Vec::new(), fields: Vec::new(), earliest: None, stats: None };
        for word in words(rest)? {
            match word.split_once('=').filter(|_| !word.starts_with('"')) {
                Some(("earliest", value)) => search.earliest = Some(ago(&bare(value)).ok_or("Invalid value for time term 'earliest'")?),
                Some((field, value)) => search.fields.push((field.to_owned(), bare(value))),
                None => search.texts.push(bare(&word)),
            }
        }
        for part in parts {
            let all = words(part)?;
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            let ["stats", function, rest @ ..] = all.as_slice() else { return Err(unknown(all.first().copied().unwrap_or_default())) };
            let inside =
                |name: &str| function.strip_prefix(name).and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')')).map(str::to_owned);
            let what = match (*function, inside("dc"), inside("latest")) {
                ("count", ..) => What::Count,
                (_, Some(field), _) => What::Distinct(field),
                (_, _, Some(field)) => What::Latest(field),
                _ => return Err(format!("Error in 'stats' command: The argument '{function}' is invalid.")),
            };
            let (name, rest) = match rest {
                ["as" | "AS", name, rest @ ..] => ((*name).to_owned(), rest),
                rest => ((*function).to_owned(), rest),
            };
            let by = match rest {
                [] => Vec::new(),
                ["by" | "BY", fields @ ..] => fields.iter().map(|field| (*field).to_owned()).collect(),
                [other, ..] => return Err(format!("Error in 'stats' command: The argument '{other}' is invalid.")),
            };
            search.stats = Some(Stats { what, name, by });
        }
        Ok(search)
    }

    /// Whether it asks for an index that does not exist.
    pub fn indexes(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(|(field, _)| field == "index").map(|(_, value)| value.as_str())
    }

    /// The rows of its result.
    pub fn rows(&self, events: &[Event], now: f64) -> Vec<Map<String, Value>> {
        let from = self.earliest.map_or(f64::NEG_INFINITY, |ago| now - ago);
        let fits = |event: &&Event| {
            event.time >= from
                && self.texts.iter().all(|text| text == "*" || event.raw.contains(text.as_str()))
                && self.fields.iter().all(|(field, wanted)| field_of(event, field).is_some_and(|value| like(wanted, &value)))
        };
        let found: Vec<&Event> = events.iter().filter(fits).collect();
        let Some(stats) = &self.stats else {
            return found
                .iter()
                .rev()
                .take(100)
                .map(|event| {
                    ["_time", "host", "source", "sourcetype", "index", "container_name", "_raw"]
                        .iter()
                        .filter_map(|field| Some(((*field).to_owned(), json!(field_of(event, field)?))))
                        .collect()
                })
                .collect();
        };
        let mut groups: BTreeMap<Vec<String>, Vec<&Event>> = BTreeMap::new();
        for event in found {
            // As Splunk does: what lacks a field is in no group.
            if let Some(key) = stats.by.iter().map(|field| field_of(event, field)).collect::<Option<Vec<_>>>() {
                groups.entry(key).or_default().push(event);
            }
        }
        if stats.by.is_empty() {
            groups.entry(Vec::new()).or_default();
        }
        let row = |(key, events): (Vec<String>, Vec<&Event>)| {
            let value = match &stats.what {
                What::Count => json!(events.len().to_string()),
                What::Distinct(field) => {
                    json!(events.iter().filter_map(|event| field_of(event, field)).collect::<BTreeSet<_>>().len().to_string())
                }
                What::Latest(field) => {
                    let last = events.iter().max_by(|a, b| a.time.total_cmp(&b.time));
                    json!(last.and_then(|event| field_of(event, field)))
                }
            };
            stats.by.iter().cloned().zip(key.into_iter().map(Value::String)).chain([(stats.name.clone(), value)]).collect()
        };
        groups.into_iter().map(row).collect()
    }
}

/// A pattern with `*`.
fn like(pattern: &str, value: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == value,
        Some((start, end)) => value.len() >= start.len() + end.len() && value.starts_with(start) && value.ends_with(end),
    }
}

/// A field of an event; those of a container's line come from its JSON, as props.conf of the lab's server says.
fn field_of(event: &Event, field: &str) -> Option<String> {
    match field {
        "host" => Some(event.host.clone()),
        "source" => Some(event.source.clone()),
        "sourcetype" => Some(event.sourcetype.clone()),
        "index" => Some(event.index.clone()),
        "_raw" => Some(event.raw.clone()),
        "_time" => Some(format!("{:.3}", event.time)),
        _ => {
            let inside: Value = serde_json::from_str(&event.raw).ok()?;
            let value = match field {
                "container_name" => inside.pointer("/attrs/tag").or_else(|| inside.get("tag"))?,
                other => inside.get(other)?,
            };
            Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn events() -> Vec<Event> {
        let event = |time: f64, host: &str, raw: &str| Event {
            time,
            host: host.into(),
            source: "s".into(),
            sourcetype: "t".into(),
            index: "lab".into(),
            raw: raw.into(),
        };
        vec![
            event(100.0, "a", r#"{"log":"marker-1\n","attrs":{"tag":"api"}}"#),
            event(101.0, "a", r#"{"log":"marker-2\n","attrs":{"tag":"api"}}"#),
            event(101.0, "a", r#"{"log":"marker-2\n","attrs":{"tag":"api"}}"#),
            event(150.0, "b", "logger: marker-1"),
        ]
    }

    fn ask(text: &str) -> Value {
        json!(Search::parse(text).unwrap().rows(&events(), 200.0))
    }

    #[test]
    fn counts_and_groups() {
        assert_eq!(ask("search index=lab marker | stats count"), json!([{"count": "4"}]));
        assert_eq!(ask("search index=other marker | stats count"), json!([{"count": "0"}]));
        assert_eq!(ask("search index=lab \"marker-1\" earliest=-60s | stats count by host"), json!([{"host": "b", "count": "1"}]));
        let by = ask("search index=lab marker-2 | stats count by host, container_name");
        assert_eq!(by, json!([{"host": "a", "container_name": "api", "count": "2"}]));
        assert_eq!(ask("search index=lab marker-2 | stats dc(_raw) as n"), json!([{"n": "1"}]));
        assert_eq!(ask("search index=lab * | stats latest(_time) as last by host")[1], json!({"host": "b", "last": "150.000"}));
        assert_eq!(ask("search index=lab host=b")[0]["_raw"], "logger: marker-1");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in ["index=lab", "search x | tstats count", "search \"x", "search x earliest=soon", "search x | stats median(a)"] {
            assert!(Search::parse(text).is_err(), "{text}");
        }
    }
}
