//! Fields from a JSON schema: name, type in words, default, meaning.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Page, Topic};

/// Deepest nesting that is listed; a jump host may have a jump host.
const DEEPEST: usize = 3;

/// A field, or a variable of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// With the names around it: `items.name`.
    pub name: String,
    /// In words: `list of text`, `true or false`.
    pub value_type: String,
    /// Whether it must be written.
    pub required: bool,
    /// What it is when it is not written.
    pub default: Option<String>,
    /// What it means.
    pub text: String,
}

/// The description of a schema, as running text: single line breaks of the doc comment are none.
pub fn text(schema: &Value) -> String {
    let written = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let paragraphs = written.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// All fields of a schema, with those inside them.
pub fn all(schema: &Value) -> Vec<Field> {
    let mut fields = Vec::new();
    collect(schema, schema, "", 0, &mut fields);
    fields
}

/// The page of a field, by its path.
pub fn page(schema: &Value, owner: &str, path: &str) -> Option<Page> {
    let fields = all(schema);
    let field = fields.iter().find(|field| field.name == path)?.clone();
    let mut page = Page::new(Topic::Field, &format!("{owner}.{path}"), field.text);
    page.facts.push(("type".to_owned(), vec![field.value_type]));
    page.facts.push(("required".to_owned(), vec![if field.required { "yes" } else { "no" }.to_owned()]));
    page.facts.extend(field.default.map(|default| ("default".to_owned(), vec![default])));
    let inner = format!("{path}.");
    page.fields = fields.into_iter().filter(|field| field.name.starts_with(&inner)).collect();
    Some(page)
}

fn collect(schema: &Value, root: &Value, prefix: &str, depth: usize, fields: &mut Vec<Field>) {
    let required: Vec<&str> = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let target = resolve(field, root);
        // A field's own words, else those of its type; those of an enumeration's values are needed, too.
        let mut words = if text(field).is_empty() { text(target) } else { text(field) };
        for (value, meaning) in values(target) {
            if !meaning.is_empty() {
                words = format!("{words}\n\n`{value}`: {meaning}");
            }
        }
        let default = field.get("default").filter(|default| !default.is_null()).map(ToString::to_string);
        let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        fields.push(Field {
            name: name.clone(),
            value_type: kind(field, root),
            required: required.contains(&name.rsplit('.').next().unwrap_or(&name)),
            default,
            text: words.trim().to_owned(),
        });
        if depth + 1 < DEEPEST {
            for inner in insides(target, root) {
                collect(inner, root, &name, depth + 1, fields);
            }
        }
    }
}

/// The schemas with fields inside one: of a mapping itself, of a list's items, of the values of a mapping from names.
fn insides<'s>(schema: &'s Value, root: &'s Value) -> Vec<&'s Value> {
    let schema = resolve(schema, root);
    if schema.get("properties").is_some() {
        return vec![schema];
    }
    let inner = ["items", "additionalProperties"].into_iter().filter_map(|key| schema.get(key)).filter(|inner| inner.is_object());
    inner.map(|inner| resolve(inner, root)).filter(|inner| inner.get("properties").is_some()).collect()
}

/// Follows references and options ("this or null") to the schema that counts.
fn resolve<'s>(schema: &'s Value, root: &'s Value) -> &'s Value {
    let mut schema = schema;
    for _ in 0..8 {
        let next = if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            name.strip_prefix('#').and_then(|pointer| root.pointer(pointer))
        } else {
            match choices(schema).as_slice() {
                [only] => Some(*only),
                _ => None,
            }
        };
        match next {
            Some(next) => schema = next,
            None => break,
        }
    }
    schema
}

/// What `anyOf` allows besides nothing.
fn choices(schema: &Value) -> Vec<&Value> {
    let any = ["anyOf", "allOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    any.filter(|choice| choice.get("type") != Some(&Value::from("null"))).collect()
}

/// The values of an enumeration, with what each means.
fn values(schema: &Value) -> Vec<(String, String)> {
    let plain = schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let plain = plain.map(|value| (value.to_owned(), String::new()));
    let told = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let told = told.flat_map(|one| {
        let consts = one.get("const").into_iter().chain(one.get("enum").and_then(Value::as_array).into_iter().flatten());
        consts.filter_map(Value::as_str).map(|value| (value.to_owned(), text(one))).collect::<Vec<_>>()
    });
    plain.chain(told).collect()
}

/// A type in words.
fn kind(schema: &Value, root: &Value) -> String {
    let schema = resolve(schema, root);
    let values = values(schema);
    if !values.is_empty() {
        return values.iter().map(|(value, _)| format!("`{value}`")).collect::<Vec<_>>().join(" or ");
    }
    let choices = choices(schema);
    if !choices.is_empty() {
        let words: Vec<String> = choices.into_iter().map(|choice| kind(choice, root)).collect();
        return words.join(" or ");
    }
    let of = |key: &str| schema.get(key).filter(|inner| inner.is_object()).map(|inner| kind(inner, root));
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).filter(|one| *one != "null").collect(),
        _ => Vec::new(),
    };
    let word = |kind: &str| match kind {
        "string" => "text".to_owned(),
        "boolean" => "true or false".to_owned(),
        "integer" => match schema.get("maximum").and_then(Value::as_u64) {
            Some(most) => format!("whole number up to {most}"),
            None => "whole number".to_owned(),
        },
        "number" => "number".to_owned(),
        "array" => of("items").map_or("list".to_owned(), |items| format!("list of {items}")),
        "object" => of("additionalProperties").map_or("mapping".to_owned(), |values| format!("mapping from names to {values}")),
        other => other.to_owned(),
    };
    if types.is_empty() { "any value".to_owned() } else { types.into_iter().map(word).collect::<Vec<_>>().join(" or ") }
}
