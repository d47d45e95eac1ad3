//! Keeps docs/json-events.md and docs/schema/events.schema.json what the types say.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::{event_schema, script};

/// Compares a committed file with what it should be; `POCLAB_REGENERATE=1 cargo test` writes it.
fn same(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("POCLAB_REGENERATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "{file} is not what the types say: run `POCLAB_REGENERATE=1 cargo test --lib report::documents`");
}

#[test]
fn the_schema_is_committed() {
    let mut text = serde_json::to_string_pretty(&event_schema()).unwrap();
    text.push('\n');
    same("docs/schema/events.schema.json", &text);
}

#[test]
fn every_event_fits_the_schema() {
    let schema = jsonschema::validator_for(event_schema().as_value()).unwrap();
    for event in script::one_of_each() {
        let value = serde_json::to_value(&event).unwrap();
        assert!(schema.is_valid(&value), "{value}");
    }
    assert!(!schema.is_valid(&serde_json::json!({"event": "note"})), "a missing field is noticed");
}

const HEAD: &str = "# JSON events

`--format json` prints one JSON object per line on standard output; nothing else is printed there. `event` is always the
first field and says what the object is. `run_started` comes first, `run_done` (the summary, with the exit code) last.
Times called `seconds` are wall-clock seconds. Events of different hosts are mixed, those of one host are in order.

Secrets are replaced by `[secret NAME]` and control characters are made visible (`\\x1b`) in every text.

Stable: fields and events are only added, in a minor version; ignore what you do not know. The schema of a line is
[schema/events.schema.json](schema/events.schema.json). The log of each run (`<state folder>/runs/`) has the same lines
with the time of the event as one more field, `at`.

This file is generated from the types (`src/engine/event.rs`); its examples are what the tests check.
";

fn kind_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        return name.rsplit('/').next().unwrap_or_default().to_owned();
    }
    if let Some(several) = schema["anyOf"].as_array() {
        return several.iter().map(kind_of).collect::<Vec<_>>().join(" or ");
    }
    match &schema["type"] {
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        Value::String(kind) if kind == "array" => format!("list of {}", kind_of(&schema["items"])),
        Value::String(kind) => kind.clone(),
        _ => String::new(),
    }
}

fn fields(text: &mut String, properties: &Value) {
    for (name, field) in properties.as_object().unwrap().iter().filter(|(name, _)| *name != "event") {
        let what = field["description"].as_str().map(|what| format!(": {}", what.replace('\n', " "))).unwrap_or_default();
        let _ = writeln!(text, "- `{name}` ({}){what}", kind_of(field));
    }
}

#[test]
fn the_document_is_committed() {
    let schema = event_schema().to_value();
    let samples = script::one_of_each();
    let mut text = HEAD.to_owned();
    text.push_str("\n## Events\n");
    for variant in schema["oneOf"].as_array().unwrap() {
        let name = variant["properties"]["event"]["const"].as_str().unwrap();
        let what = variant["description"].as_str().unwrap_or_default().replace('\n', " ");
        let _ = write!(text, "\n### {name}\n\n{what}\n\n");
        fields(&mut text, &variant["properties"]);
        if let Some(name) = variant["$ref"].as_str() {
            let _ = writeln!(text, "- and the fields of `{}`, see below", name.rsplit('/').next().unwrap());
        }
        let example = samples.iter().find(|event| script::tag(event) == name).unwrap();
        let _ = write!(text, "\n```json\n{}\n```\n", serde_json::to_string(example).unwrap());
    }
    text.push_str("\n## Parts\n");
    for (name, part) in schema["$defs"].as_object().unwrap() {
        let _ = write!(text, "\n### {name}\n\n{}\n\n", part["description"].as_str().unwrap_or_default());
        if let Some(words) = part["oneOf"].as_array() {
            for word in words {
                let _ = writeln!(text, "- `{}`: {}", word["const"].as_str().unwrap(), word["description"].as_str().unwrap_or_default());
            }
        } else {
            fields(&mut text, &part["properties"]);
        }
    }
    same("docs/json-events.md", &text);
}
