//! Entries of `resources:` and `checks:`: found by kind, checked as written, then rendered and read for a host.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::document::{Document, join};
use super::problem::{Problem, Sink, listed, nearest};
use super::role::Condition;
use super::schema::{self, Flavour};
use super::structure::{Structure, is_template};
use super::variables::{At, Scope};
use crate::base::Secret;

/// An entry whose structure is right.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its place in the list.
    pub index: usize,
    /// Its kind.
    pub kind: String,
    /// JSON pointer of the kind's value.
    pub pointer: String,
    /// The kind's value as written.
    pub value: Value,
}

struct Kind {
    written: Structure,
    rendered: Structure,
    /// Whether a `template` makes its `content`.
    has_template: bool,
    /// Whether it has a field `sensitive`.
    has_sensitive: bool,
}

/// The kinds' schemas, compiled when they are first needed.
#[derive(Default)]
pub struct Kinds {
    known: RefCell<HashMap<(bool, String), Rc<Kind>>>,
}

impl Kinds {
    fn get(&self, flavour: Flavour, kind: &str) -> Option<Rc<Kind>> {
        let key = (flavour == Flavour::Resource, kind.to_owned());
        if let Some(known) = self.known.borrow().get(&key) {
            return Some(Rc::clone(known));
        }
        let made = Rc::new(Kind::new(flavour.schema(kind)?));
        self.known.borrow_mut().insert(key, Rc::clone(&made));
        Some(made)
    }

    /// Checks the structure of the entries in a list; only those that are right come back.
    pub fn entries(
        &self,
        flavour: Flavour,
        document: &Document,
        list: &str,
        kinds: &[&Map<String, Value>],
        problems: &mut Vec<Problem>,
    ) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (index, keys) in kinds.iter().enumerate() {
            let pointer = format!("{list}/{index}");
            match find_kind(flavour, document, &pointer, keys) {
                Err(problem) => problems.extend(problem),
                Ok(kind) => {
                    let (Some(about), Some(value)) = (self.get(flavour, &kind), keys.get(&kind)) else { continue };
                    let pointer = join(&pointer, &kind);
                    // A whole resource may come from a variable (`yum_repo: "{{ item }}"`); it is checked when it is rendered.
                    let found = if is_template(value) { Vec::new() } else { about.written.check(document, &pointer, value).problems };
                    if found.is_empty() {
                        entries.push(Entry { index, kind, pointer, value: value.clone() });
                    }
                    problems.extend(found);
                }
            }
        }
        entries
    }

    /// Renders an entry for a host and checks the result. `None` = it failed, and why is noted.
    pub fn render(
        &self,
        flavour: Flavour,
        entry: &Entry,
        document: &At,
        scope: &mut Scope<'_>,
        secrets: &[Secret],
        sink: &mut Sink,
    ) -> Option<Value> {
        let about = self.get(flavour, &entry.kind)?;
        let at = At::new(&document.document, entry.pointer.as_str());
        about.render(&entry.value, &at, scope, secrets, sink)
    }
}

impl Kind {
    fn new(schema: Value) -> Self {
        let written = schema::as_written(schema.clone());
        Self {
            has_template: written.pointer("/properties/template").is_some() && written.pointer("/properties/content").is_some(),
            has_sensitive: schema.pointer("/properties/sensitive").is_some(),
            written: Structure::new(written),
            rendered: Structure::new(schema),
        }
    }

    fn render(&self, written: &Value, at: &At, scope: &mut Scope<'_>, secrets: &[Secret], sink: &mut Sink) -> Option<Value> {
        let before = sink.len();
        let mut value = if written.is_string() { scope.render(at, written, sink)? } else { written.clone() };
        let mut content = None;
        if self.has_template
            && let Some(fields) = value.as_object_mut()
            && let Some(template) = fields.shift_remove("template")
        {
            let at = At::new(&at.document, join(&at.pointer, "template"));
            if fields.contains_key("content") {
                sink.push(at.problem("both `content` and `template`").suggest("keep one of them"));
                return None;
            }
            let name = scope.string(&at, template.as_str().unwrap_or_default(), sink)?;
            content = scope.file(&at, &name, sink);
            // The other fields may have mistakes of their own.
            if content.is_none() {
                scope.render(&at, &value, sink);
                return None;
            }
        }
        // What came out of a variable is rendered already.
        let mut value = if written.is_string() { value } else { scope.render(at, &value, sink)? };
        if let (Some(content), Some(fields)) = (content, value.as_object_mut()) {
            fields.insert("content".to_owned(), Value::String(content));
        }
        if self.has_sensitive
            && holds(&value, secrets)
            && let Some(fields) = value.as_object_mut()
        {
            fields.insert("sensitive".to_owned(), Value::Bool(true));
        }
        let findings = self.rendered.check(&at.document, &at.pointer, &value);
        for problem in findings.problems {
            let content = self.has_template && problem.what == "missing field `content`";
            sink.push(if content { problem.suggest("write `content: …` or `template: …`") } else { problem });
        }
        (sink.len() == before).then_some(value)
    }
}

/// Whether any text in a value contains a secret.
fn holds(value: &Value, secrets: &[Secret]) -> bool {
    match value {
        Value::String(text) => secrets.iter().any(|secret| text.contains(secret.expose())),
        Value::Array(items) => items.iter().any(|item| holds(item, secrets)),
        Value::Object(map) => map.values().any(|item| holds(item, secrets)),
        _ => false,
    }
}

/// The one key of an entry that names a kind.
fn find_kind(flavour: Flavour, document: &Document, pointer: &str, keys: &Map<String, Value>) -> Result<String, Vec<Problem>> {
    let known: Vec<&String> = keys.keys().filter(|key| flavour.names().contains(&key.as_str())).collect();
    let unknown: Vec<&String> = keys.keys().filter(|key| !flavour.names().contains(&key.as_str())).collect();
    let word = flavour.word();
    if known.len() > 1 {
        let second = known[1];
        let problem = Problem::new(
            &document.file,
            document.key_place(&join(pointer, second)),
            format!("a {word} has exactly one kind, and this one has `{}` and `{second}`", known[0]),
        );
        return Err(vec![problem.suggest("write two entries")]);
    }
    let explained = unknown.iter().map(|key| {
        let place = document.key_place(&join(pointer, key));
        let problem = |what: String| Problem::new(&document.file, place, what);
        let names = flavour.names().iter().copied();
        match known.first() {
            Some(kind) => {
                let problem = problem(format!("unknown field `{key}` beside `{kind}`"));
                match nearest(key, flavour.meta().iter().copied()) {
                    Some(near) => problem.suggest(format!("did you mean `{near}`?")),
                    None => problem.suggest(format!(
                        "fields of the {kind} belong below `{kind}:`; beside it go {}",
                        listed(flavour.meta().iter().copied())
                    )),
                }
            }
            None if flavour.other().names().contains(&key.as_str()) => {
                let other = flavour.other().word();
                problem(format!("`{key}` is a kind of {other}, not of {word}")).suggest(format!("move it to `{other}s:`"))
            }
            None => match nearest(key, names.clone().chain(flavour.meta().iter().copied())) {
                Some(near) => problem(format!("unknown kind of {word} `{key}`")).suggest(format!("did you mean `{near}`?")),
                None => problem(format!("unknown kind of {word} `{key}`")).suggest(format!("the kinds are {}", listed(names))),
            },
        }
    });
    let mut problems: Vec<Problem> = explained.collect();
    match (known.first(), problems.is_empty()) {
        (Some(kind), true) => Ok((*kind).clone()),
        (None, true) => {
            problems.push(
                document
                    .problem(pointer, format!("this {word} has no kind"))
                    .suggest(format!("the kinds are {}", listed(flavour.names().iter().copied()))),
            );
            Err(problems)
        }
        (_, false) => Err(problems),
    }
}

/// Whether a `when` holds. `None` = it failed, and why is noted.
pub fn holds_when(condition: Option<&Condition>, at: &At, scope: &mut Scope<'_>, sink: &mut Sink) -> Option<bool> {
    let text = match condition {
        None => return Some(true),
        Some(Condition::Fixed(fixed)) => return Some(*fixed),
        Some(Condition::Expression(text)) => text,
    };
    if !text.contains("{{") {
        sink.push(
            at.problem(format!("`when` is the text \"{text}\", which is neither true nor false"))
                .suggest(format!("write \"{{{{ {text} }}}}\"")),
        );
        return None;
    }
    match scope.render(at, &Value::String(text.clone()), sink)? {
        Value::Bool(value) => Some(value),
        other => {
            sink.push(at.problem(format!("`when` must be true or false, and is {}", super::structure::kind_word(&other))));
            None
        }
    }
}

/// The items over which an entry goes: `None` in the list = once, without an item. `None` = it failed, and why is noted.
pub fn items(for_each: Option<&Value>, at: &At, scope: &mut Scope<'_>, sink: &mut Sink) -> Option<Vec<Option<Value>>> {
    let Some(written) = for_each else { return Some(vec![None]) };
    match scope.render(at, written, sink)? {
        Value::Array(items) => Some(items.into_iter().map(Some).collect()),
        other => {
            sink.push(at.problem(format!("`for_each` must be a list, and is {}", super::structure::kind_word(&other))));
            None
        }
    }
}

/// Expands `when` and `for_each` of an entry and calls `one` for each that holds.
pub fn expand(
    entry: &At,
    when: Option<&Condition>,
    for_each: Option<&Value>,
    scope: &mut Scope<'_>,
    sink: &mut Sink,
    one: &mut dyn FnMut(&mut Scope<'_>, &mut Sink),
) {
    let when_at = At::new(&entry.document, join(&entry.pointer, "when"));
    let per_item = for_each.is_some() && matches!(when, Some(Condition::Expression(text)) if scope.uses_item(text));
    // A condition that does not depend on the item also guards the list, which may not exist otherwise.
    if !per_item && holds_when(when, &when_at, scope, sink) != Some(true) {
        return;
    }
    let list_at = At::new(&entry.document, join(&entry.pointer, "for_each"));
    for item in items(for_each, &list_at, scope, sink).unwrap_or_default() {
        scope.with_item(item.as_ref(), |scope| {
            if !per_item || holds_when(when, &when_at, scope, sink) == Some(true) {
                one(scope, sink);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde_json::json;

    use super::super::template::Templates;
    use super::super::variables::RawVars;
    use super::*;

    /// A kind with a content, as `file` has.
    fn kind() -> Kind {
        Kind::new(json!({
            "type": "object", "additionalProperties": false, "required": ["path", "content"],
            "properties": {"path": {"type": "string"}, "content": {"type": "string"}, "sensitive": {"type": "boolean"}, "size": {"type": "integer"}}
        }))
    }

    fn render(yaml: &str, secrets: &[&str]) -> (Option<Value>, Vec<String>) {
        let mut problems = Vec::new();
        let document = Arc::new(Document::parse("r.yml", yaml, &mut problems).unwrap());
        let templates = Templates::from_files(
            BTreeMap::from([("a.tera".to_owned(), "n={{ n }}\n".to_owned()), ("b.tera".to_owned(), "\n{{ nn }}{{ m }}\n".to_owned())]),
            &mut problems,
        );
        let mut given = tera::Context::from_value(json!({"n": 5})).unwrap();
        let mut scope = Scope::new(&templates, &mut given, RawVars::default(), false);
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        let mut sink = Sink::default();
        let kind = kind();
        let found = kind.written.check(&document, "", &document.value);
        found.problems.into_iter().for_each(|problem| sink.push(problem));
        let value = kind.render(&document.value, &At::new(&document, ""), &mut scope, &secrets, &mut sink);
        let problems = sink.finish(Some(())).err().map(|problems| problems.0.iter().map(ToString::to_string).collect()).unwrap_or_default();
        (value, problems)
    }

    #[test]
    fn a_template_becomes_the_content() {
        assert_eq!(
            render("path: /a\ntemplate: a.tera\nsize: \"{{ n }}\"\n", &[]).0,
            Some(json!({"path": "/a", "content": "n=5\n", "size": 5}))
        );
        assert_eq!(render("path: /a\ntemplate: a.tera\n", &["n=5"]).0, Some(json!({"path": "/a", "content": "n=5\n", "sensitive": true})));
    }

    #[test]
    fn mistakes_with_templates() {
        assert_eq!(render("path: /a\ntemplate: a.terra\n", &[]).1, ["r.yml:2:11: there is no templates/a.terra; did you mean `a.tera`?"]);
        assert_eq!(
            render("path: /a\ntemplate: b.tera\n", &[]).1,
            ["templates/b.tera:2:4: undefined variable `nn`", "templates/b.tera:2:12: undefined variable `m`"]
        );
        assert_eq!(render("path: /a\n", &[]).1, ["r.yml:1:1: missing field `content`; write `content: …` or `template: …`"]);
        assert_eq!(
            render("path: /a\ncontent: x\ntemplate: a.tera\n", &[]).1,
            ["r.yml:3:11: both `content` and `template`; keep one of them"]
        );
        assert_eq!(
            render("path: 5\ncontent: x\nsize: big\n", &[]).1[0],
            "r.yml:1:7: `path`: expected text, found the number 5; put it into quotes: \"5\""
        );
    }
}
