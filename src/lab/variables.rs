//! The variables of one role on one host: resolved when they are needed, each once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};
use tera::Context;

use super::ast;
use super::document::{Document, join};
use super::problem::{Problem, Sink, listed, nearest};
use super::template::{Fault, Templates};

/// Names that poclab gives; no variable may have one.
pub const GIVEN: &[&str] = &["lab", "host", "hosts", "groups", "role_hosts", "secrets", "certs", "ca", "mirror", "sources", "item", "loop"];

/// A place in a file.
#[derive(Debug, Clone)]
pub struct At {
    /// The file.
    pub document: Arc<Document>,
    /// JSON pointer of the value.
    pub pointer: String,
}

impl At {
    /// A place.
    pub fn new(document: &Arc<Document>, pointer: impl Into<String>) -> Self {
        Self { document: Arc::clone(document), pointer: pointer.into() }
    }

    /// A problem here.
    pub fn problem(&self, what: impl Into<String>) -> Problem {
        self.document.problem(&self.pointer, what)
    }
}

/// A variable as written.
#[derive(Debug, Clone)]
pub struct Raw {
    value: Value,
    at: At,
}

/// Variables as written; the last one added under a name wins.
#[derive(Debug, Clone, Default)]
pub struct RawVars(BTreeMap<String, Raw>);

impl RawVars {
    /// Adds the variables of a mapping at a pointer of a file.
    pub fn add(&mut self, document: &Arc<Document>, pointer: &str, vars: &Map<String, Value>) {
        // Those with the name of something given are a problem of their own.
        for (name, value) in vars.iter().filter(|(name, _)| !GIVEN.contains(&name.as_str())) {
            self.0.insert(name.clone(), Raw { value: value.clone(), at: At::new(document, join(pointer, name)) });
        }
    }

    /// Adds variables that win over those that are there.
    pub fn win(&mut self, others: &RawVars) {
        self.0.extend(others.0.iter().map(|(name, raw)| (name.clone(), raw.clone())));
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Done,
    Failed,
}

/// The variables of one role on one host.
///
/// What is the same on every host is lent to it and not copied: it grows with the lab, and so does the number of scopes.
pub struct Scope<'a> {
    templates: &'a Templates,
    /// What poclab gives on every host, and for as long as this scope lives what is of this host only.
    context: &'a mut Context,
    /// Names of what was given for this host only.
    own: Vec<String>,
    raw: RawVars,
    state: HashMap<String, State>,
    /// Names of the variables being resolved, outermost first.
    open: Vec<String>,
    /// Whether `mirror` is not there and its values are made up as they are asked for.
    mirror_made_up: bool,
}

impl<'a> Scope<'a> {
    /// A scope with what poclab gives on every host and the variables as written.
    pub fn new(templates: &'a Templates, context: &'a mut Context, raw: RawVars, mirror_made_up: bool) -> Self {
        Self { templates, context, own: Vec::new(), raw, state: HashMap::new(), open: Vec::new(), mirror_made_up }
    }

    /// Adds or replaces something that poclab gives on this host.
    pub fn give(&mut self, name: &str, value: &Value) {
        self.context.insert(name, value);
        self.own.push(name.to_owned());
    }

    /// Runs `work` with the variable `item`.
    pub fn with_item<T>(&mut self, item: Option<&Value>, work: impl FnOnce(&mut Self) -> T) -> T {
        if let Some(item) = item {
            self.context.insert("item", item);
        }
        let result = work(self);
        if item.is_some() {
            self.context.remove("item");
        }
        result
    }

    /// What a variable comes to and where it is set; `None` when there is none of that name. What is made of secrets, or of
    /// a mirror that is not there, is `Err` with the reason.
    pub fn watched(&mut self, name: &str) -> Option<(Result<Value, String>, String)> {
        let raw = self.raw.0.get(name)?.clone();
        let mut roots = BTreeSet::new();
        self.roots(&raw.value, &mut roots);
        let origin = if raw.at.document.text.is_empty() { raw.at.document.file.clone() } else { raw.at.document.origin(&raw.at.pointer) };
        if roots.contains("secrets") || roots.contains("certs") {
            return Some((Err("not shown: it is made of secrets".to_owned()), origin));
        }
        if self.mirror_made_up && roots.contains("mirror") {
            return Some((Err("not known: it comes from the mirror, which is not there".to_owned()), origin));
        }
        let mut sink = Sink::default();
        self.variable(&raw.at, name, &mut sink);
        let value = self.context.get(name).cloned();
        Some((value.ok_or_else(|| "not known: it is wrong (poclab validate)".to_owned()), origin))
    }

    /// The names that a value is made of, through other variables too.
    fn roots(&self, value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => {
                for path in self.templates.variables_of_text(text).unwrap_or_default() {
                    let root = ast::root(&path).to_owned();
                    if found.insert(root.clone())
                        && let Some(raw) = self.raw.0.get(&root)
                    {
                        self.roots(&raw.value, found);
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.roots(item, found)),
            Value::Object(map) => map.values().for_each(|item| self.roots(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Whether a text uses the variable `item`.
    pub fn uses_item(&self, text: &str) -> bool {
        self.templates.variables_of_text(text).is_ok_and(|paths| paths.iter().any(|path| ast::root(path) == "item"))
    }

    /// Renders all texts in a value that is written at this place. `None` = it failed, and the problem is noted.
    pub fn render(&mut self, at: &At, value: &Value, sink: &mut Sink) -> Option<Value> {
        match value {
            Value::String(text) => self.text(at, text, sink),
            Value::Array(items) => {
                let rendered: Vec<Option<Value>> = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| self.render(&At::new(&at.document, format!("{}/{index}", at.pointer)), item, sink))
                    .collect();
                rendered.into_iter().collect::<Option<Vec<Value>>>().map(Value::Array)
            }
            Value::Object(map) => {
                let rendered: Vec<(String, Option<Value>)> = map
                    .iter()
                    .map(|(key, item)| (key.clone(), self.render(&At::new(&at.document, join(&at.pointer, key)), item, sink)))
                    .collect();
                rendered
                    .into_iter()
                    .map(|(key, item)| item.map(|item| (key, item)))
                    .collect::<Option<Map<String, Value>>>()
                    .map(Value::Object)
            }
            other => Some(other.clone()),
        }
    }

    /// Renders one text to text.
    pub fn string(&mut self, at: &At, text: &str, sink: &mut Sink) -> Option<String> {
        match self.text(at, text, sink)? {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            other => {
                sink.push(at.problem(format!("expected text, found {}", super::structure::kind_word(&other))));
                None
            }
        }
    }

    /// Renders a file of templates/ that is named at this place.
    pub fn file(&mut self, at: &At, name: &str, sink: &mut Sink) -> Option<String> {
        if !self.templates.exists(name) {
            sink.push(at.problem(format!("there is no templates/{name}")).did_you_mean(name, self.templates.names()));
            return None;
        }
        if self.templates.is_broken(name) || !self.need(at, self.templates.variables_of_file(name).iter().map(String::as_str), sink) {
            return None;
        }
        match self.templates.file(name, self.context) {
            Ok(text) => Some(text),
            Err(faults) => {
                for fault in faults {
                    let (file, word) = match &fault {
                        Fault::Undefined { path, template } => (template.as_deref().unwrap_or(name), path.as_str()),
                        Fault::Other { .. } => (name, ""),
                    };
                    let place = if word.is_empty() { (0, 0) } else { self.templates.place_in(file, word) };
                    let file = format!("templates/{file}");
                    sink.push(self.explain(Problem::new(file, place, ""), &fault));
                }
                None
            }
        }
    }

    fn text(&mut self, at: &At, text: &str, sink: &mut Sink) -> Option<Value> {
        if !text.contains("{{") && !text.contains("{%") && !text.contains("{#") {
            return Some(Value::String(text.to_owned()));
        }
        let paths = match self.templates.variables_of_text(text) {
            Ok(paths) => paths,
            Err(fault) => {
                sink.push(self.explain(at.problem(""), &fault));
                return None;
            }
        };
        if !self.need(at, paths.iter().map(String::as_str), sink) {
            return None;
        }
        match self.templates.text(text, self.context) {
            Ok(value) => Some(value),
            Err(faults) => {
                for fault in faults {
                    let place = match &fault {
                        Fault::Undefined { path, .. } => at.document.place_of(&at.pointer, path),
                        Fault::Other { .. } => at.document.place(&at.pointer),
                    };
                    sink.push(self.explain(Problem::new(&at.document.file, place, ""), &fault));
                }
                None
            }
        }
    }

    /// Resolves the variables that these paths begin with. `false` = one of them failed.
    fn need<'p>(&mut self, at: &At, paths: impl Iterator<Item = &'p str>, sink: &mut Sink) -> bool {
        let mut fine = true;
        for path in paths {
            let name = ast::root(path);
            if self.mirror_made_up && name == "mirror" {
                self.make_up(path);
            }
            fine &= self.variable(at, name, sink);
        }
        fine
    }

    fn variable(&mut self, at: &At, name: &str, sink: &mut Sink) -> bool {
        match self.state.get(name) {
            Some(State::Done) => return true,
            Some(State::Failed) => return false,
            Some(State::Open) => {
                let from = self.open.iter().position(|open| open == name).unwrap_or(0);
                let circle: Vec<String> = self.open[from..].iter().map(|name| format!("`{name}`")).collect();
                let place = at.document.place_of(&at.pointer, name);
                sink.push(Problem::new(
                    &at.document.file,
                    place,
                    format!("variable `{name}` needs itself: {} -> `{name}`", circle.join(" -> ")),
                ));
                return false;
            }
            None => {}
        }
        let Some(raw) = self.raw.0.get(name).cloned() else {
            // Not a variable: given by poclab, a loop's own, or undefined; rendering will tell.
            return true;
        };
        // `item` belongs to an entry, not to the variables.
        let item = self.context.remove("item");
        self.state.insert(name.to_owned(), State::Open);
        self.open.push(name.to_owned());
        let value = self.render(&raw.at, &raw.value, sink);
        self.open.pop();
        if let Some(item) = item {
            self.context.insert("item", &item);
        }
        let fine = value.is_some();
        if let Some(value) = value {
            self.context.insert(name, &value);
        }
        self.state.insert(name.to_owned(), if fine { State::Done } else { State::Failed });
        fine
    }

    fn make_up(&mut self, path: &str) {
        let mut mirror = self.context.get("mirror").cloned().unwrap_or_else(|| Value::Object(Map::new()));
        let mut here = &mut mirror;
        let names = ast::names(path);
        let parts = names.get(1..).unwrap_or_default();
        for (index, part) in parts.iter().enumerate() {
            let Some(map) = here.as_object_mut() else { return };
            let last = index + 1 == parts.len();
            let thing = parts[index.saturating_sub(1)];
            let value = || if last { made_up_value(thing, part) } else { Value::Object(Map::new()) };
            here = map.entry((*part).to_owned()).or_insert_with(value);
        }
        self.context.insert("mirror", &mirror);
    }

    fn explain(&self, mut problem: Problem, fault: &Fault) -> Problem {
        match fault {
            Fault::Other { what, suggestion } => {
                problem.what.clone_from(what);
                problem.suggestion.clone_from(suggestion);
                problem
            }
            Fault::Undefined { path, .. } => {
                let root = ast::root(path);
                let Some(mut here) = self.context.get(root) else {
                    problem.what = format!("undefined variable `{path}`");
                    let known = GIVEN.iter().copied().filter(|name| self.context.contains_key(name)).chain(self.raw.names());
                    return match root {
                        "host" => problem.suggest("a check that runs once has no host; use `hosts.<name>` or leave out `once`"),
                        "mirror" => problem.suggest("the inventory has no `sources.mirror`"),
                        _ => match ["host", "lab", "secrets", "certs", "groups"]
                            .iter()
                            .find(|name| self.context.get(name).is_some_and(|given| given.get(root).is_some()))
                        {
                            Some(given) => problem.suggest(format!("did you mean `{given}.{root}`?")),
                            None => problem.did_you_mean(root, known),
                        },
                    };
                };
                let mut walked = root.to_owned();
                for part in ast::names(path).into_iter().skip(1) {
                    let next = part.parse::<usize>().ok().and_then(|index| here.get(index)).or_else(|| here.get(part));
                    match next {
                        Some(next) => {
                            here = next;
                            walked = format!("{walked}.{part}");
                        }
                        None => {
                            problem.what = format!("undefined variable `{path}`: `{walked}` has no `{part}`");
                            let keys: Vec<&str> = here.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
                            return match nearest(part, keys.iter().copied()) {
                                Some(near) => problem.suggest(format!("did you mean `{walked}.{near}`?")),
                                None if !keys.is_empty() && keys.len() <= 12 => problem.suggest(format!("it has {}", listed(keys))),
                                None => problem,
                            };
                        }
                    }
                }
                problem.what = format!("undefined variable `{path}`");
                problem
            }
        }
    }
}

impl Drop for Scope<'_> {
    /// Nothing of this host stays behind for the next one.
    fn drop(&mut self) {
        for name in self.own.iter().chain(self.raw.0.keys()) {
            self.context.remove(name);
        }
    }
}

/// A value of the form that the mirror's would have: kinds have rules for versions, paths and the like.
fn made_up_value(thing: &str, field: &str) -> Value {
    Value::String(match field {
        "version" => "0-0".to_owned(),
        "archive" => "/mirror/image.tar".to_owned(),
        "sha256" => "0".repeat(64),
        "id" => format!("sha256:{}", "0".repeat(64)),
        // Two images are not the same one.
        "reference" => format!("placeholder-{}:0", thing.to_lowercase()),
        _ => "placeholder".to_owned(),
    })
}
