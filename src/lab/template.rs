//! Tera, made strict: undefined variables are errors everywhere, nothing is HTML-escaped, values keep their types.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tera::{Context, Template, Tera};

use super::ast::{self, Uses};
use super::problem::{Problem, nearest};
use crate::base::quote;

/// What is wrong with a template or its rendering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A variable is not defined: its path as written, and the template (`None` = the text itself).
    Undefined { path: String, template: Option<String> },
    /// Anything else.
    Other { what: String, suggestion: Option<String> },
}

/// A parsed text.
struct Parsed {
    uses: Uses,
    single: bool,
}

/// Renders texts and the files in templates/.
pub struct Templates {
    tera: RefCell<Tera>,
    captured: Arc<Mutex<Option<Value>>>,
    /// Sources of the files in templates/ by name.
    files: BTreeMap<String, String>,
    /// Files that do not parse.
    broken: BTreeSet<String>,
    texts: RefCell<HashMap<String, Result<Arc<Parsed>, Fault>>>,
}

impl Templates {
    /// Reads all files below `templates/`; mistakes in their syntax are problems.
    pub fn load(folder: &Path, problems: &mut Vec<Problem>) -> Self {
        let mut files = BTreeMap::new();
        collect(folder, folder, &mut files, problems);
        Self::from_files(files, problems)
    }

    /// Templates with these sources.
    pub fn from_files(files: BTreeMap<String, String>, problems: &mut Vec<Problem>) -> Self {
        let captured = Arc::new(Mutex::new(None));
        let mut tera = Tera::default();
        tera.autoescape_on(Vec::new());
        // The environment of this machine is no part of the lab.
        tera.functions.remove("get_env");
        register(&mut tera, &captured);
        let mut templates = Self { tera: RefCell::new(tera), captured, files, broken: BTreeSet::new(), texts: RefCell::default() };
        templates.add_files(problems);
        templates
    }

    fn add_files(&mut self, problems: &mut Vec<Problem>) {
        let mut parsed = BTreeMap::new();
        for (name, source) in &self.files {
            let file = format!("templates/{name}");
            match Template::new(name, None, source) {
                Err(error) => {
                    self.broken.insert(name.clone());
                    problems.push(syntax(&file, &error));
                }
                Ok(template) => {
                    let uses = ast::uses(&template.ast);
                    for problem in self.unknown_names(&uses) {
                        let (what, suggestion, word) = problem;
                        let place = find_in_tags(source, &word).unwrap_or((1, 1));
                        problems.push(Problem { suggestion, ..Problem::new(&file, place, what) });
                        self.broken.insert(name.clone());
                    }
                    for used in uses.templates.iter().filter(|used| !self.files.contains_key(*used)) {
                        let place = find_in_tags(source, used).unwrap_or((1, 1));
                        problems.push(
                            Problem::new(&file, place, format!("there is no templates/{used}"))
                                .did_you_mean(used, self.files.keys().map(String::as_str)),
                        );
                        self.broken.insert(name.clone());
                    }
                    parsed.insert(name.clone(), (template, uses.templates));
                }
            }
        }
        // What uses a broken template is broken too, without a problem of its own.
        while let Some(name) = parsed
            .iter()
            .find(|(name, (_, used))| !self.broken.contains(*name) && used.iter().any(|used| self.broken.contains(used)))
            .map(|(name, _)| name.clone())
        {
            self.broken.insert(name);
        }
        let mut tera = self.tera.borrow_mut();
        for (name, (mut template, _)) in parsed {
            if !self.broken.contains(&name) {
                ast::make_strict(&mut template.ast);
                template.blocks.values_mut().for_each(|block| ast::make_strict(&mut block.body));
                template.macros.values_mut().for_each(|definition| ast::make_strict(&mut definition.body));
                tera.templates.insert(name, template);
            }
        }
        if let Err(error) = tera.build_inheritance_chains() {
            problems.push(Problem::new("templates", (0, 0), chain(&error)));
        }
        if let Err(error) = tera.check_macro_files() {
            problems.push(Problem::new("templates", (0, 0), chain(&error)));
        }
    }

    /// Names of the files.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Whether a file exists.
    pub fn exists(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// Whether a file cannot be rendered; that was said when it was read.
    pub fn is_broken(&self, name: &str) -> bool {
        self.broken.contains(name)
    }

    /// Where a word is within the tags of a file: line and column.
    pub fn place_in(&self, name: &str, word: &str) -> (usize, usize) {
        self.files.get(name).and_then(|source| find_in_tags(source, word)).unwrap_or((1, 1))
    }

    /// Paths of the variables that a text uses.
    pub fn variables_of_text(&self, text: &str) -> Result<BTreeSet<String>, Fault> {
        Ok(self.parse(text)?.uses.variables.clone())
    }

    /// Paths of the variables that a file and all it includes use.
    pub fn variables_of_file(&self, name: &str) -> BTreeSet<String> {
        let tera = self.tera.borrow();
        let mut variables = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![name.to_owned()];
        while let Some(name) = open.pop() {
            if let (true, Ok(template)) = (seen.insert(name.clone()), tera.get_template(&name)) {
                let uses = ast::uses(&template.ast);
                variables.extend(uses.variables);
                open.extend(uses.templates);
            }
        }
        variables
    }

    /// Renders a text. A text that is exactly one `{{ expression }}` becomes the expression's value, with its type.
    pub fn text(&self, text: &str, context: &Context) -> Result<Value, Vec<Fault>> {
        let parsed = self.parse(text).map_err(|fault| vec![fault])?;
        let written = self.render(text, context)?;
        if parsed.single {
            let mut captured = self.captured.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            return Ok(captured.take().unwrap_or(Value::Null));
        }
        Ok(Value::String(written))
    }

    /// Renders a file.
    pub fn file(&self, name: &str, context: &Context) -> Result<String, Vec<Fault>> {
        self.render(name, context)
    }

    /// Renders a known template; undefined variables are all found, not only the first.
    fn render(&self, name: &str, context: &Context) -> Result<String, Vec<Fault>> {
        let first = match self.tera.borrow().render(name, context) {
            Ok(written) => return Ok(written),
            Err(error) => fault(&error, name),
        };
        let mut faults = vec![first.clone()];
        let mut next = first;
        let mut trial = self.tera.borrow().clone();
        while let Fault::Undefined { path, .. } = &next {
            for template in trial.templates.values_mut() {
                ast::blank(&mut template.ast, path);
                template.macros.values_mut().for_each(|definition| ast::blank(&mut definition.body, path));
                template.blocks_definitions.values_mut().flatten().for_each(|(_, block)| ast::blank(&mut block.body, path));
            }
            match trial.render(name, context) {
                Ok(_) => break,
                Err(error) => next = fault(&error, name),
            }
            // Whatever else goes wrong now may come from the blanks.
            if !matches!(next, Fault::Undefined { .. }) || faults.contains(&next) || faults.len() >= 50 {
                break;
            }
            faults.push(next.clone());
        }
        Err(faults)
    }

    fn parse(&self, text: &str) -> Result<Arc<Parsed>, Fault> {
        if let Some(known) = self.texts.borrow().get(text) {
            return known.clone();
        }
        let result = self.parse_new(text);
        self.texts.borrow_mut().insert(text.to_owned(), result.clone());
        result
    }

    fn parse_new(&self, text: &str) -> Result<Arc<Parsed>, Fault> {
        let mut template = Template::new(text, None, text).map_err(|error| {
            let (_, what) = syntax_text(&error);
            Fault::Other { what, suggestion: None }
        })?;
        let uses = ast::uses(&template.ast);
        if let Some((what, suggestion, _)) = self.unknown_names(&uses).into_iter().next() {
            return Err(Fault::Other { what, suggestion });
        }
        if !uses.templates.is_empty() || template.parent.is_some() || !template.blocks.is_empty() {
            return Err(Fault::Other {
                what: "a text cannot include templates or have blocks".to_owned(),
                suggestion: Some("make it a file in templates/".to_owned()),
            });
        }
        let single = ast::single_expression(&template.ast);
        ast::make_strict(&mut template.ast);
        if single {
            ast::make_captured(&mut template.ast);
        }
        self.tera.borrow_mut().templates.insert(text.to_owned(), template);
        Ok(Arc::new(Parsed { uses, single }))
    }

    /// Unknown filters, tests and functions: what, suggestion, word.
    fn unknown_names(&self, uses: &Uses) -> Vec<(String, Option<String>, String)> {
        let tera = self.tera.borrow();
        let filters: Vec<&str> = tera.filters.keys().map(String::as_str).chain(["default", "safe"]).collect();
        let tests: Vec<&str> = tera.testers.keys().map(String::as_str).collect();
        let functions: Vec<&str> =
            tera.functions.keys().map(String::as_str).filter(|name| !name.starts_with("poclab_")).chain(["super"]).collect();
        let mut unknown = Vec::new();
        for (kind, used, known) in
            [("filter", &uses.filters, filters), ("test", &uses.tests, tests), ("function", &uses.functions, functions)]
        {
            for name in used.iter().filter(|name| !known.contains(&name.as_str())) {
                let mut known = known.clone();
                known.sort_unstable();
                let suggestion = nearest(name, known).map(|near| format!("did you mean `{near}`?"));
                unknown.push((format!("there is no {kind} `{name}`"), suggestion, name.clone()));
            }
        }
        unknown
    }
}

fn register(tera: &mut Tera, captured: &Arc<Mutex<Option<Value>>>) {
    let cell = Arc::clone(captured);
    tera.register_function(ast::CAPTURE, move |args: &HashMap<String, Value>| {
        *cell.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = args.get("value").cloned();
        Ok(Value::Bool(true))
    });
    tera.register_function(ast::TRUTHY, |args: &HashMap<String, Value>| {
        Ok(Value::Bool(match args.get("value") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(value)) => *value,
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(map)) => !map.is_empty(),
        }))
    });
    tera.register_filter("sh", |value: &Value, _: &HashMap<String, Value>| Ok(Value::String(quote(&as_text(value)?))));
    tera.register_filter("b64", |value: &Value, _: &HashMap<String, Value>| Ok(Value::String(base64(as_text(value)?.as_bytes()))));
    for name in ["json", "to_json"] {
        tera.register_filter(name, |value: &Value, args: &HashMap<String, Value>| {
            let pretty = args.get("pretty").and_then(Value::as_bool).unwrap_or(false);
            let text = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
            text.map(Value::String).map_err(tera::Error::json)
        });
    }
}

fn as_text(value: &Value) -> tera::Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        _ => Err(tera::Error::msg("it takes text, a number, true or false")),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * index) & 63) as usize];
            text.push(if index <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>, problems: &mut Vec<Problem>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(root, &path, files, problems);
            continue;
        }
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(source) => drop(files.insert(name, source)),
            Err(error) => problems.push(Problem::new(format!("templates/{name}"), (0, 0), format!("cannot be read: {error}"))),
        }
    }
}

/// The error and all its causes in one line.
fn chain(error: &tera::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn fault(error: &tera::Error, rendered: &str) -> Fault {
    let mut messages = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        messages.push(error.to_string());
        cause = error.source();
    }
    for message in messages.iter().rev() {
        if let Some(rest) = message.strip_prefix("Variable `")
            && let Some((path, rest)) = rest.split_once('`')
        {
            let template = rest.split_once("while rendering '").and_then(|(_, rest)| rest.split('\'').next()).map(str::to_owned);
            return Fault::Undefined { path: path.to_owned(), template: template.filter(|template| template != rendered) };
        }
    }
    // The first message only says which template it is.
    let what: Vec<&str> = messages
        .iter()
        .map(String::as_str)
        .filter(|message| !message.starts_with("Failed to render '") && !message.contains("'poclab_"))
        .collect();
    let what = if what.is_empty() { chain(error) } else { what.join(": ") };
    Fault::Other { what: what.split_whitespace().collect::<Vec<_>>().join(" "), suggestion: None }
}

/// Place and text of a syntax error.
fn syntax_text(error: &tera::Error) -> ((usize, usize), String) {
    let text = error.to_string();
    let place = text.split_once("--> ").map_or("", |(_, rest)| rest).lines().next().unwrap_or_default();
    let place = place.trim().split_once(':').and_then(|(line, column)| Some((line.parse().ok()?, column.parse().ok()?)));
    let what = match text.rsplit_once("= ") {
        Some((_, what)) => what.trim().to_owned(),
        None => chain(error),
    };
    (place.unwrap_or((0, 0)), format!("the template is not well-formed: {}", what.split_whitespace().collect::<Vec<_>>().join(" ")))
}

fn syntax(file: &str, error: &tera::Error) -> Problem {
    let (place, what) = syntax_text(error);
    Problem::new(file, place, what)
}

/// Where a word is written within `{{ }}` or `{% %}`.
fn find_in_tags(source: &str, word: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(at) = super::document::find_word(&source[from..], word).map(|at| from + at) {
        let before = &source[..at];
        let opened = before.rfind("{{").max(before.rfind("{%"));
        let closed = before.rfind("}}").max(before.rfind("%}"));
        if opened.is_some_and(|opened| closed.is_none_or(|closed| closed < opened)) {
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            return Some((line, column));
        }
        from = at + word.len().max(1);
        if !source.is_char_boundary(from) || from >= source.len() {
            return None;
        }
    }
    None
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
