//! JSON schemas of the YAML files, for editors and for our own checks.

use serde_json::{Map, Value, json};

use super::inventory::Inventory;
use super::role::{CheckEntry, ResourceEntry, Role};
use crate::{check, resource};

/// The schemas by file name, as they are committed in docs/schema/.
pub fn schemas() -> Vec<(&'static str, Value)> {
    vec![("inventory.schema.json", inventory()), ("role.schema.json", role())]
}

/// The schema of inventory/*.yml.
pub fn inventory() -> Value {
    schemars::schema_for!(Inventory).to_value()
}

/// The schema of role.yml as far as it does not depend on kinds.
pub fn role_frame() -> Value {
    schemars::schema_for!(Role).to_value()
}

/// Resources or checks: the two lists of entries with kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// `resources:`
    Resource,
    /// `checks:`
    Check,
}

impl Flavour {
    /// Names of its kinds.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Flavour::Resource => resource::NAMES,
            Flavour::Check => check::NAMES,
        }
    }

    /// Schema of one of its kinds.
    pub fn schema(self, kind: &str) -> Option<Value> {
        match self {
            Flavour::Resource => resource::Spec::schema(kind),
            Flavour::Check => check::Spec::schema(kind),
        }
        .map(schemars::Schema::to_value)
    }

    /// Keys that go with every kind.
    pub fn meta(self) -> &'static [&'static str] {
        match self {
            Flavour::Resource => &["for_each", "when", "notify"],
            Flavour::Check => &["for_each", "when", "once", "after"],
        }
    }

    /// `resource` or `check`.
    pub fn word(self) -> &'static str {
        match self {
            Flavour::Resource => "resource",
            Flavour::Check => "check",
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Flavour::Resource => Flavour::Check,
            Flavour::Check => Flavour::Resource,
        }
    }
}

/// The schema of a kind as it is written in role.yml: a field that is not text may be a template, and `template` may stand for `content`.
pub fn as_written(mut schema: Value) -> Value {
    let has_content = schema.pointer("/properties/content").is_some();
    let text = schema
        .pointer("/properties/content/type")
        .is_some_and(|kind| *kind == json!("string") || kind.as_array().is_some_and(|kinds| kinds.contains(&json!("string"))));
    let content = has_content
        && (text || schema.pointer("/properties/content/$ref").is_some() || schema.pointer("/properties/content/anyOf").is_some());
    templated(&mut schema);
    if content {
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert(
                "template".to_owned(),
                json!({"type": "string", "description": "A file in templates/ that makes the content, instead of `content`."}),
            );
        }
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|field| field != "content");
        }
    }
    schema
}

/// Lets every field within a schema be a template too.
fn templated(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    for definition in map.get_mut("$defs").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        templated(definition);
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        map.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().for_each(templated);
    }
    for property in map.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        wrap(property);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = map.get_mut(key).filter(|inner| inner.is_object()) {
            wrap(inner);
        }
    }
}

fn wrap(schema: &mut Value) {
    templated(schema);
    if takes_any_text(schema) {
        return;
    }
    *schema = or_template(schema.take());
}

/// The schema, or text with a template in it.
fn or_template(mut schema: Value) -> Value {
    let mut outer = Map::new();
    for key in ["description", "default"] {
        if let Some(value) = schema.as_object_mut().and_then(|inner| inner.shift_remove(key)) {
            outer.insert(key.to_owned(), value);
        }
    }
    outer.insert("anyOf".to_owned(), json!([schema, {"type": "string", "pattern": "\\{[{%]"}]));
    Value::Object(outer)
}

fn takes_any_text(schema: &Value) -> bool {
    let Some(map) = schema.as_object() else { return true };
    if ["enum", "const", "format", "pattern", "$ref", "anyOf", "oneOf", "allOf"].iter().any(|key| map.contains_key(*key)) {
        return false;
    }
    match map.get("type") {
        None => !map.contains_key("properties"),
        Some(Value::String(one)) => one == "string",
        Some(Value::Array(many)) => many.contains(&json!("string")),
        Some(_) => false,
    }
}

/// The schema of role.yml, with all kinds.
pub fn role() -> Value {
    let mut schema = role_frame();
    let mut definitions =
        schema.get_mut("$defs").map(Value::take).and_then(|definitions| definitions.as_object().cloned()).unwrap_or_default();
    for (flavour, name, frame) in [
        (Flavour::Resource, "ResourceEntry", schemars::schema_for!(ResourceEntry).to_value()),
        (Flavour::Check, "CheckEntry", schemars::schema_for!(CheckEntry).to_value()),
    ] {
        let entry = entry(flavour, frame, &mut definitions);
        definitions.insert(name.to_owned(), entry);
    }
    schema["$defs"] = Value::Object(definitions);
    schema
}

fn entry(flavour: Flavour, mut frame: Value, definitions: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    for kind in flavour.names() {
        let Some(schema) = flavour.schema(kind) else { continue };
        let mut schema = as_written(schema);
        let prefix = format!("{}.{kind}", flavour.word());
        rename_references(&mut schema, &prefix);
        if let Some(map) = schema.as_object_mut() {
            map.shift_remove("$schema");
            map.shift_remove("title");
            for (name, definition) in map.shift_remove("$defs").and_then(|inner| inner.as_object().cloned()).unwrap_or_default() {
                definitions.insert(format!("{prefix}.{name}"), definition);
            }
        }
        properties.insert((*kind).to_owned(), or_template(schema));
    }
    let known = frame.get_mut("properties").map(Value::take).and_then(|known| known.as_object().cloned()).unwrap_or_default();
    properties.extend(known);
    let one_of: Vec<Value> = flavour.names().iter().map(|kind| json!({"required": [kind]})).collect();
    if let Some(map) = frame.as_object_mut() {
        for key in ["$schema", "title", "$defs"] {
            map.shift_remove(key);
        }
        map.insert("properties".to_owned(), Value::Object(properties));
        map.insert("additionalProperties".to_owned(), Value::Bool(false));
        map.insert("oneOf".to_owned(), Value::Array(one_of));
    }
    frame
}

fn rename_references(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                match inner.as_str().and_then(|reference| reference.strip_prefix("#/$defs/")) {
                    Some(name) if key == "$ref" => *inner = Value::String(format!("#/$defs/{prefix}.{name}")),
                    _ => rename_references(inner, prefix),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename_references(item, prefix)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_are_not_text_may_be_templates() {
        let schema = as_written(json!({
            "properties": {"content": {"type": "string"}, "port": {"type": "integer", "description": "d"}, "names": {"type": "array", "items": {"type": "string"}}},
            "required": ["content", "port"]
        }));
        let validator = jsonschema::validator_for(&schema).unwrap();
        for (value, good) in [
            (json!({"template": "x", "port": 5, "names": ["a"]}), true),
            (json!({"content": "x", "port": "{{ p }}", "names": "{{ n }}"}), true),
            (json!({"content": "x", "port": "5"}), false),
            (json!({"content": "x"}), false),
        ] {
            assert_eq!(validator.is_valid(&value), good, "{value}");
        }
        assert_eq!(schema.pointer("/properties/port/description"), Some(&json!("d")));
    }

    /// What is wrong with a schema if it is read as draft 7: newer keywords, which would be ignored, and keywords beside a
    /// reference, which would be ignored too.
    fn not_draft_7(schema: &Value, pointer: &str, wrong: &mut Vec<String>) {
        const SAME: &[&str] = &[
            "$schema",
            "$defs",
            "$ref",
            "title",
            "description",
            "default",
            "examples",
            "type",
            "format",
            "enum",
            "const",
            "pattern",
            "minLength",
            "maxLength",
            "minimum",
            "maximum",
            "properties",
            "required",
            "additionalProperties",
            "minProperties",
            "maxProperties",
            "patternProperties",
            "propertyNames",
            "items",
            "minItems",
            "maxItems",
            "uniqueItems",
            "anyOf",
            "oneOf",
            "allOf",
        ];
        const SAYS_NOTHING: &[&str] = &["$schema", "$defs", "$ref", "title", "description", "default", "examples"];
        match schema {
            Value::Object(map) => {
                for (key, inner) in map {
                    let pointer = format!("{pointer}/{key}");
                    if !SAME.contains(&key.as_str()) || (map.contains_key("$ref") && !SAYS_NOTHING.contains(&key.as_str())) {
                        wrong.push(pointer.clone());
                    }
                    match (key.as_str(), inner) {
                        // Names of the user's fields, not keywords.
                        ("properties" | "$defs" | "patternProperties", Value::Object(fields)) => {
                            fields.iter().for_each(|(name, field)| not_draft_7(field, &format!("{pointer}/{name}"), wrong));
                        }
                        ("default" | "examples" | "enum" | "const", _) => {}
                        ("items", Value::Array(_)) => wrong.push(pointer),
                        _ => not_draft_7(inner, &pointer, wrong),
                    }
                }
            }
            Value::Array(list) => list.iter().for_each(|inner| not_draft_7(inner, pointer, wrong)),
            _ => {}
        }
    }

    #[test]
    fn every_schema_means_the_same_in_draft_7() {
        let mut all = vec![("inventory".to_owned(), inventory()), ("role".to_owned(), role_frame())];
        for flavour in [Flavour::Resource, Flavour::Check] {
            for kind in flavour.names() {
                let schema = flavour.schema(kind).unwrap();
                all.push((format!("{kind} as written"), as_written(schema.clone())));
                all.push(((*kind).to_owned(), schema));
            }
        }
        let mut wrong = Vec::new();
        all.iter().for_each(|(name, schema)| not_draft_7(schema, name, &mut wrong));
        assert!(wrong.is_empty(), "{wrong:#?}");

        let mut seen = Vec::new();
        not_draft_7(&json!({"$ref": "#/$defs/x", "minimum": 1, "properties": {"minimum": {"dependentRequired": {}}}}), "", &mut seen);
        assert_eq!(seen, ["/minimum", "/properties", "/properties/minimum/dependentRequired"]);
    }
}
