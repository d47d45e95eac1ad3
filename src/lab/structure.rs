//! Checks a document against a JSON schema and says in plain words what is wrong where.

use jsonschema::{Draft, ValidationError, Validator, error::ValidationErrorKind};
use serde_json::{Map, Value};

use super::document::{Document, join};
use super::problem::{Problem, listed, nearest};

/// A compiled schema.
pub struct Structure {
    schema: Value,
    validator: Option<Validator>,
}

/// What was wrong with a value: problems, and the pointers of fields that are unknown and can be left out.
#[derive(Debug, Default)]
pub struct Findings {
    /// The mistakes.
    pub problems: Vec<Problem>,
    /// JSON pointers (within the value) of unknown fields.
    pub unknown: Vec<String>,
    /// Whether anything but unknown fields is wrong.
    pub broken: bool,
    /// (mapping, known field) for every unknown field that looks like a slip.
    misspelt: Vec<(String, String)>,
    /// (index into problems, mapping, field) for every missing field.
    missing: Vec<(usize, String, String)>,
}

impl Structure {
    /// Compiles a schema.
    pub fn new(schema: Value) -> Self {
        // Read as draft 7, which says the same for what our schemas use (a test sees to that). The library checks every
        // schema against its draft's own schema, and of a later draft that one costs 60 MB and 0.1 s of CPU to compile.
        let options = jsonschema::options().with_draft(Draft::Draft7);
        let validator = options.should_validate_formats(true).should_ignore_unknown_formats(true).build(&schema).ok();
        Self { schema, validator }
    }

    /// Checks a value that is written at a pointer of a document.
    pub fn check(&self, document: &Document, pointer: &str, value: &Value) -> Findings {
        let mut findings = Findings::default();
        match &self.validator {
            Some(validator) => {
                for error in validator.iter_errors(value) {
                    self.explain(document, pointer, value, &error, &mut findings);
                }
            }
            None => {
                findings.broken = true;
                findings.problems.push(document.problem(pointer, "poclab's schema for this is not valid; please report this"));
            }
        }
        forget_misspelt(&mut findings);
        findings
    }

    fn explain(&self, document: &Document, base: &str, value: &Value, error: &ValidationError<'_>, findings: &mut Findings) {
        let within = error.instance_path().as_str();
        let pointer = format!("{base}{within}");
        let found = value.pointer(within).unwrap_or(value);
        let problem = |what: String| document.problem(&pointer, what);
        let name = within.rsplit('/').next().filter(|name| !name.is_empty() && name.parse::<usize>().is_err());
        let of = name.map_or(String::new(), |name| format!("`{name}`: "));
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let known = self.properties(error.schema_path().as_str());
                for field in unexpected {
                    let field = field.as_str();
                    let inner = join(&pointer, field);
                    findings.unknown.push(join(within, field));
                    let problem = Problem::new(&document.file, document.key_place(&inner), format!("unknown field `{field}`"));
                    findings.problems.push(match nearest(field, known.iter().map(String::as_str)) {
                        Some(near) => {
                            findings.misspelt.push((pointer.clone(), near.to_owned()));
                            problem.suggest(format!("did you mean `{near}`?"))
                        }
                        // `{why: code, API}` is a field `API` without a value.
                        None if found.get(field).is_some_and(Value::is_null) => {
                            problem.suggest("put text that contains a comma into quotes")
                        }
                        None => problem.suggest(format!("known fields are {}", listed(known.iter().map(String::as_str)))),
                    });
                }
                return;
            }
            ValidationErrorKind::Required { property } => {
                let field = property.as_str().unwrap_or_default();
                findings.missing.push((findings.problems.len(), pointer.clone(), field.to_owned()));
                findings.problems.push(problem(format!("missing field `{field}`")));
            }
            ValidationErrorKind::Type { .. } => {
                let at = self.at(error.schema_path().as_str());
                let wanted = at.map_or("something else".to_owned(), |(_, parent)| wanted(parent));
                let mut problem = problem(format!("{of}expected {wanted}, found {}", shown(found, document.raw(&pointer))));
                if wanted.starts_with("text") && (found.is_number() || found.is_boolean()) {
                    problem = problem.suggest(format!(
                        "put it into quotes: \"{}\"",
                        document.raw(&pointer).filter(|raw| !raw.contains("{{")).map_or_else(|| found.to_string(), str::to_owned)
                    ));
                    if document.raw(&pointer).is_some_and(|raw| raw.contains("{{")) {
                        problem = problem.suggest("add the filter `| as_str`");
                    }
                } else if found.is_null() {
                    problem = problem.suggest("write a value, or leave the field out");
                } else if wanted.starts_with("a list") && !found.is_array() && !found.is_object() {
                    problem = problem.suggest("put it into brackets: [ … ]");
                }
                findings.problems.push(problem);
            }
            ValidationErrorKind::Enum { options } => {
                let options: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                findings.problems.push(one_of(
                    problem(format!("{of}{} is not one of {}", shown(found, None), listed(options.iter().copied()))),
                    found,
                    &options,
                ));
            }
            ValidationErrorKind::Constant { expected_value } => {
                findings.problems.push(problem(format!("{of}expected {expected_value}, found {}", shown(found, None))));
            }
            ValidationErrorKind::AnyOf { .. } | ValidationErrorKind::OneOfNotValid { .. } => {
                self.explain_choice(document, &pointer, within, found, error.schema_path().as_str(), findings);
                return;
            }
            ValidationErrorKind::Minimum { limit } | ValidationErrorKind::ExclusiveMinimum { limit } => {
                findings.problems.push(problem(format!("{of}{found} is too small; the least is {limit}")));
            }
            ValidationErrorKind::Maximum { limit } | ValidationErrorKind::ExclusiveMaximum { limit } => {
                findings.problems.push(problem(format!("{of}{found} is too large; the most is {limit}")));
            }
            ValidationErrorKind::Format { format } => {
                let what = match format.as_str() {
                    "ipv4" => "an IPv4 address",
                    "ip" => "an IP address",
                    other => other,
                };
                findings.problems.push(problem(format!("{of}{} is not {what}", shown(found, None))));
            }
            ValidationErrorKind::Pattern { pattern } => {
                findings.problems.push(problem(format!("{of}{} does not have the form {pattern}", shown(found, None))));
            }
            ValidationErrorKind::MinItems { limit } => findings.problems.push(problem(format!("{of}needs at least {limit} items"))),
            ValidationErrorKind::MaxItems { limit } => findings.problems.push(problem(format!("{of}has more than {limit} items"))),
            ValidationErrorKind::UniqueItems => findings.problems.push(problem(format!("{of}holds the same item twice"))),
            _ => findings.problems.push(problem(format!("{of}{}", error.masked_with("the value")))),
        }
        findings.broken = true;
    }

    /// None of several alternatives fits: explains the one that was probably meant.
    fn explain_choice(&self, document: &Document, pointer: &str, within: &str, found: &Value, schema_path: &str, findings: &mut Findings) {
        let mut resolved: Vec<&Value> = Vec::new();
        for schema in self.at(schema_path).and_then(|(here, _)| here.as_array()).into_iter().flatten() {
            self.leaves(schema, &mut resolved, 0);
        }
        // Documented enums are written as alternatives of one constant each.
        let constants: Vec<&str> = resolved.iter().flat_map(|schema| constants(schema)).collect();
        if !constants.is_empty() && (found.is_string() || constants.len() == resolved.len()) && !is_template(found) {
            let problem = document
                .problem(pointer, format!("{} is not one of {}", shown(found, document.raw(pointer)), listed(constants.iter().copied())));
            findings.problems.push(one_of(problem, found, &constants));
            findings.broken = true;
            return;
        }
        let fitting =
            resolved.iter().position(|schema| types(schema).iter().any(|kind| *kind == kind_of(found)) && schema.get("pattern").is_none());
        if let Some(alternative) = fitting.and_then(|index| resolved.get(index)) {
            let mut schema = alternative.as_object().cloned().unwrap_or_default();
            if let Some(definitions) = self.schema.get("$defs") {
                schema.insert("$defs".to_owned(), definitions.clone());
            }
            let inner = Structure::new(Value::Object(schema)).check(document, pointer, found);
            if !inner.problems.is_empty() {
                findings.unknown.extend(inner.unknown.iter().map(|unknown| format!("{within}{unknown}")));
                findings.broken |= inner.broken;
                findings.problems.extend(inner.problems);
                return;
            }
        }
        let mut wants: Vec<String> = resolved
            .iter()
            .filter(|schema| schema.get("pattern").is_none() && types(schema) != ["null"])
            .map(|schema| wanted(schema))
            .collect();
        wants.dedup();
        let name = within.rsplit('/').next().filter(|name| !name.is_empty() && name.parse::<usize>().is_err());
        let of = name.map_or(String::new(), |name| format!("`{name}`: "));
        let mut problem =
            document.problem(pointer, format!("{of}expected {}, found {}", wants.join(" or "), shown(found, document.raw(pointer))));
        if wants.iter().any(|want| want.starts_with("text")) && (found.is_number() || found.is_boolean()) {
            problem = problem
                .suggest(format!("put it into quotes: \"{}\"", document.raw(pointer).map_or_else(|| found.to_string(), str::to_owned)));
        } else if wants.iter().any(|want| want.starts_with("a list")) && found.is_string() {
            problem = problem.suggest("put it into brackets: [ … ]");
        }
        findings.problems.push(problem);
        findings.broken = true;
    }

    /// The schema node at a path of keywords (through `$ref`), and the node around it.
    fn at(&self, path: &str) -> Option<(&Value, &Value)> {
        let mut here = &self.schema;
        let mut around = here;
        for part in path.split('/').skip(1) {
            if part == "$ref" {
                here = self.deref(here);
                continue;
            }
            // A path may name the target of a reference without saying so.
            let part = part.replace("~1", "/").replace("~0", "~");
            let next = step(here, &part).or_else(|| step(self.deref(here), &part))?;
            around = here;
            here = next;
        }
        Some((here, self.deref(around)))
    }

    fn deref<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        target.and_then(|pointer| self.schema.pointer(pointer)).unwrap_or(schema)
    }

    /// The alternatives of a schema, alternatives of alternatives included.
    fn leaves<'a>(&'a self, schema: &'a Value, into: &mut Vec<&'a Value>, depth: usize) {
        let schema = self.deref(schema);
        let inner = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array);
        match inner {
            Some(inner) if depth < 8 && schema.get("properties").is_none() => {
                inner.iter().for_each(|schema| self.leaves(schema, into, depth + 1))
            }
            _ => into.push(schema),
        }
    }

    fn properties(&self, schema_path: &str) -> Vec<String> {
        let around = self.at(schema_path).map(|(_, around)| around);
        around
            .and_then(|schema| schema.get("properties"))
            .and_then(Value::as_object)
            .map(|properties| properties.keys().cloned().collect())
            .unwrap_or_default()
    }
}

fn step<'a>(schema: &'a Value, part: &str) -> Option<&'a Value> {
    match schema {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        other => other.get(part),
    }
}

fn one_of(problem: Problem, found: &Value, options: &[&str]) -> Problem {
    problem.did_you_mean(found.as_str().unwrap_or_default(), options.iter().copied())
}

fn constants(schema: &Value) -> Vec<&str> {
    let one = schema.get("const").and_then(Value::as_str);
    let many = schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let nested = schema
        .get("oneOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|inner| inner.get("const"))
        .filter_map(Value::as_str);
    one.into_iter().chain(many).chain(nested).collect()
}

/// Whether a value is text with a template in it.
pub fn is_template(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains("{{") || text.contains("{%"))
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ if schema.get("properties").is_some() => vec!["object"],
        _ => Vec::new(),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn wanted(schema: &Value) -> String {
    let words: Vec<&str> = types(schema)
        .into_iter()
        .filter(|kind| *kind != "null")
        .map(|kind| match kind {
            "string" => "text",
            "integer" => "a whole number",
            "number" => "a number",
            "boolean" => "true or false",
            "array" => "a list",
            "object" => "a mapping (`key: value`)",
            other => other,
        })
        .collect();
    if words.is_empty() { "something else".to_owned() } else { words.join(" or ") }
}

/// A value in an error text. Long texts are cut: they may be whole files.
fn shown(value: &Value, raw: Option<&str>) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) => value.to_string(),
        Value::Number(_) => {
            format!("the number {}", raw.filter(|raw| !raw.contains("{{")).map_or_else(|| value.to_string(), str::to_owned))
        }
        Value::String(text) if text.chars().count() > 40 || text.contains('\n') => "text".to_owned(),
        Value::String(text) => format!("\"{text}\""),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

/// A misspelt required field is one mistake, not two: drops `missing field` next to its misspelling.
fn forget_misspelt(findings: &mut Findings) {
    let doubled: Vec<usize> = findings
        .missing
        .iter()
        .filter(|(_, mapping, field)| findings.misspelt.iter().any(|(place, near)| place == mapping && near == field))
        .map(|(index, _, _)| *index)
        .collect();
    let mut index = 0;
    findings.problems.retain(|_| {
        index += 1;
        !doubled.contains(&(index - 1))
    });
    findings.missing.clear();
    findings.misspelt.clear();
}

/// Removes the fields at these pointers.
pub fn without(value: &mut Value, pointers: &[String]) {
    for pointer in pointers {
        let Some((parent, key)) = pointer.rsplit_once('/') else { continue };
        if let Some(map) = value.pointer_mut(parent).and_then(Value::as_object_mut) {
            remove(map, &key.replace("~1", "/").replace("~0", "~"));
        }
    }
}

fn remove(map: &mut Map<String, Value>, key: &str) {
    map.shift_remove(key);
}

/// What a value is, in a word.
pub fn kind_word(value: &Value) -> String {
    shown(value, None)
}
