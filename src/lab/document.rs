//! YAML files as JSON values that remember where everything is written. The only place that knows a YAML parser.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use marked_yaml::types::{MarkedScalarNode, Node};
use marked_yaml::{LoadError, LoaderOptions, Marker, parse_yaml_with_options};
use serde_json::{Map, Number, Value};

use super::problem::Problem;

/// A line and a column, each from 1.
pub type Place = (usize, usize);

/// Deepest nesting of a file; deeper ones are refused, as the parser is recursive.
const DEEPEST: usize = 100;
/// Largest file in bytes.
const LARGEST: usize = 512 * 1024;

#[derive(Debug, Clone, Default)]
struct Spot {
    value: Option<Place>,
    key: Option<Place>,
    raw: Option<String>,
}

/// One YAML file.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// Its name relative to the project's root.
    pub file: String,
    /// Its text.
    pub text: String,
    /// Its content.
    pub value: Value,
    spots: HashMap<String, Spot>,
}

impl Document {
    /// A document without text, for values that come from elsewhere.
    pub fn nameless(source: &str) -> Self {
        Self { file: source.to_owned(), ..Self::default() }
    }

    /// Parses a file that must hold one mapping. Always gives a document (of what could be read) unless the syntax is wrong.
    pub fn parse(file: &str, text: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        let mut document =
            Document { file: file.to_owned(), text: text.to_owned(), value: Value::Object(Map::new()), spots: HashMap::new() };
        if let Some(why) = too_much(text) {
            problems.push(Problem::new(file, (0, 0), why));
            return None;
        }
        match load(text, true) {
            Ok(node) => document.add("", &node),
            Err(LoadError::DuplicateKey(inner)) => {
                let key = inner.key.as_str();
                let first = inner.prev_key.span().start().map(place).map_or(String::new(), |(line, _)| format!(" (first in line {line})"));
                let second = inner.key.span().start().map_or((0, 0), place);
                problems.push(Problem::new(file, second, format!("`{key}` is written twice{first}")).suggest("keep one of them"));
                // The rest of the file can still be checked.
                document.add("", &load(text, false).ok()?);
            }
            Err(error) => {
                problems.push(syntax(file, text, &error));
                return None;
            }
        }
        Some(document)
    }

    /// Where the value at a JSON pointer is written, or the nearest thing around it.
    pub fn place(&self, pointer: &str) -> Place {
        self.nearest(pointer, |spot| spot.value)
    }

    /// Where the key of the value at a JSON pointer is written, or the nearest thing around it.
    pub fn key_place(&self, pointer: &str) -> Place {
        self.nearest(pointer, |spot| spot.key.or(spot.value))
    }

    /// The scalar at a JSON pointer as it is written (`0644`, `1.10`).
    pub fn raw(&self, pointer: &str) -> Option<&str> {
        self.spots.get(pointer)?.raw.as_deref()
    }

    /// Where a word is written within the value at a JSON pointer; the value's own place when it is not found.
    pub fn place_of(&self, pointer: &str, word: &str) -> Place {
        let (line, column) = self.place(pointer);
        for (index, text) in self.text.lines().enumerate().skip(line.saturating_sub(1)).take(60) {
            let from =
                if index + 1 == line { text.char_indices().nth(column.saturating_sub(1)).map_or(text.len(), |(at, _)| at) } else { 0 };
            if let Some(at) = find_word(&text[from..], word) {
                return (index + 1, text[..from + at].chars().count() + 1);
            }
        }
        (line, column)
    }

    /// A problem at the value of a JSON pointer.
    pub fn problem(&self, pointer: &str, what: impl Into<String>) -> Problem {
        Problem::new(&self.file, self.place(pointer), what)
    }

    /// `roles/docker/role.yml:17`
    pub fn origin(&self, pointer: &str) -> String {
        format!("{}:{}", self.file, self.key_place(pointer).0)
    }

    fn nearest(&self, pointer: &str, pick: impl Fn(&Spot) -> Option<Place>) -> Place {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.spots.get(pointer).and_then(&pick) {
                return place;
            }
            match pointer.rsplit_once('/') {
                Some((parent, _)) => pointer = parent,
                None => return if self.text.is_empty() { (0, 0) } else { (1, 1) },
            }
        }
    }

    fn add(&mut self, pointer: &str, node: &Node) {
        let value = self.convert(pointer, node);
        self.value = value;
    }

    fn convert(&mut self, pointer: &str, node: &Node) -> Value {
        let mut start = node.span().start().map(place);
        // The parser puts the start of a block mapping behind its first key.
        if let Node::Mapping(entries) = node {
            let first = entries.keys().filter_map(|key| key.span().start()).map(place).min();
            start = start.min(first.or(start));
        }
        let spot = self.spots.entry(pointer.to_owned()).or_default();
        spot.value = start;
        match node {
            Node::Scalar(scalar) => {
                spot.raw = Some(scalar.as_str().to_owned());
                typed(scalar)
            }
            Node::Sequence(items) => {
                Value::Array(items.iter().enumerate().map(|(index, item)| self.convert(&format!("{pointer}/{index}"), item)).collect())
            }
            Node::Mapping(entries) => {
                let mut map = Map::new();
                for (key, item) in entries.iter() {
                    let inner = join(pointer, key.as_str());
                    self.spots.entry(inner.clone()).or_default().key = key.span().start().map(place);
                    let value = self.convert(&inner, item);
                    map.insert(key.as_str().to_owned(), value);
                }
                Value::Object(map)
            }
        }
    }
}

/// A JSON pointer with one more key.
pub fn join(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Where a whole word (not a part of a longer name) is in a text.
pub fn find_word(text: &str, word: &str) -> Option<usize> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(at, _)| at).find(|&at| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(|c| part(c) || c == '.') && !after.is_some_and(part)
    })
}

/// A scalar as a value: plain `true`, `12`, `1.5`, `null` have types as in YAML 1.2; everything quoted is text.
///
/// YAML 1.1's `yes`, `on` and octal `0644` are not special: `0644` is text, as a number it would not be what it says.
fn typed(scalar: &MarkedScalarNode) -> Value {
    let text = scalar.as_str();
    if !scalar.may_coerce() {
        return Value::String(text.to_owned());
    }
    plain(text)
}

/// The value of plain (unquoted) YAML text.
pub fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let number =
        digits.starts_with(|c: char| c.is_ascii_digit()) && !(digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0."));
    if number {
        if let Ok(integer) = text.parse::<i64>() {
            return Value::Number(integer.into());
        }
        let float = text.chars().all(|c| c.is_ascii_digit() || ".-+eE".contains(c)).then(|| text.parse::<f64>().ok()).flatten();
        if let Some(number) = float.and_then(Number::from_f64) {
            return Value::Number(number);
        }
    }
    Value::String(text.to_owned())
}

fn place(marker: &Marker) -> Place {
    (marker.line(), marker.column())
}

fn load(text: &str, strict: bool) -> Result<Node, LoadError> {
    let parse = || {
        let options = LoaderOptions::default().error_on_duplicate_keys(strict).prevent_coercion(true);
        parse_yaml_with_options(0, text, options)
    };
    // The parser has assertions of its own; a strange file must not end the program.
    catch_unwind(AssertUnwindSafe(parse)).unwrap_or(Err(LoadError::TopLevelMustBeMapping(Marker::new(0, 0, 1, 1))))
}

fn too_much(text: &str) -> Option<String> {
    if text.len() > LARGEST {
        return Some(format!("the file has {} bytes, more than the {LARGEST} that are read", text.len()));
    }
    let mut open = 0usize;
    for line in text.lines() {
        let dashes = line.split(' ').filter(|part| matches!(*part, "-" | "?")).count();
        let indent = line.chars().take_while(|c| *c == ' ').count();
        for c in line.chars() {
            match c {
                '[' | '{' => open += 1,
                ']' | '}' => open = open.saturating_sub(1),
                _ => {}
            }
        }
        if dashes > DEEPEST || open > 4 * DEEPEST || indent > 4 * DEEPEST {
            return Some("nested too deeply to be read".to_owned());
        }
    }
    None
}

fn syntax(file: &str, text: &str, error: &LoadError) -> Problem {
    let unquoted = |marker: &Marker| {
        text.lines().nth(marker.line().saturating_sub(1)).is_some_and(|line| line.contains(": {{") || line.contains("- {{"))
    };
    let quote = "put the template into quotes: \"{{ … }}\"";
    match error {
        LoadError::TopLevelMustBeMapping(marker) | LoadError::TopLevelMustBeSequence(marker) => {
            Problem::new(file, place(marker), "the file must be a mapping (`key: value` lines)")
        }
        LoadError::MappingKeyMustBeScalar(marker) => {
            let problem = Problem::new(file, place(marker), "a key must be a single word");
            if unquoted(marker) { problem.suggest(quote) } else { problem }
        }
        LoadError::UnexpectedAnchor(marker) => {
            Problem::new(file, place(marker), "anchors (`&name`) are not supported").suggest("use a variable")
        }
        LoadError::UnexpectedTag(marker) => {
            Problem::new(file, place(marker), "tags (`!name`) are not supported").suggest("put text that begins with ! into quotes")
        }
        LoadError::ScanError(marker, error) => {
            let text = error.to_string();
            let what = text.split(" at byte ").next().unwrap_or_default();
            let problem = Problem::new(file, place(marker), format!("not valid YAML: {what}"));
            match what {
                _ if unquoted(marker) => problem.suggest(quote),
                what if what.contains("mapping values are not allowed") => {
                    problem.suggest("check the indentation, and put a value that contains `: ` into quotes")
                }
                what if what.contains("tab") => problem.suggest("indent with spaces"),
                _ => problem,
            }
        }
        LoadError::DuplicateKey(inner) => Problem::new(file, inner.key.span().start().map_or((0, 0), place), "a key is written twice"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(text: &str) -> (Option<Document>, Vec<String>) {
        let mut problems = Vec::new();
        let document = Document::parse("f.yml", text, &mut problems);
        (document, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn values_have_types_and_places() {
        let (document, problems) = read("a: 1\nb:\n  - x: true\n    mode: 0644\n    v: 1.10\n    s: \"5\"\n    n:\nc: 26.1.4-1.el7\n");
        let document = document.unwrap();
        assert!(problems.is_empty());
        assert_eq!(document.value, json!({"a": 1, "b": [{"x": true, "mode": "0644", "v": 1.1, "s": "5", "n": null}], "c": "26.1.4-1.el7"}));
        assert_eq!(document.place("/b/0/x"), (3, 8));
        assert_eq!(document.key_place("/b/0/mode"), (4, 5));
        assert_eq!(document.place("/b/0/x/not/there"), (3, 8));
        assert_eq!(document.raw("/b/0/v"), Some("1.10"));
    }

    #[test]
    fn syntax_errors_have_places() {
        assert_eq!(read("a: 1\na: 2\n").1, ["f.yml:2:1: `a` is written twice (first in line 1); keep one of them"]);
        assert_eq!(read("a: 1\na: 2\n").0.unwrap().value, json!({"a": 2}));
        assert_eq!(read("a:\n  b: {{ c }}\n").1, ["f.yml:2:7: a key must be a single word; put the template into quotes: \"{{ … }}\""]);
        assert_eq!(read("- a\n").1, ["f.yml:1:1: the file must be a mapping (`key: value` lines)"]);
        assert_eq!(read("a: &x 1\n").1, ["f.yml:1:7: anchors (`&name`) are not supported; use a variable"]);
        assert_eq!(read("a: b: c\n").1.len(), 1);
        assert_eq!(read("").0.unwrap().value, json!({}));
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow() {
        for text in [
            "[".repeat(100_000),
            format!("a: {}", "{a: ".repeat(100_000)),
            format!("a:\n {}", "- ".repeat(100_000)),
            format!("{}a", "? ".repeat(100_000)),
        ] {
            assert!(read(&text).0.is_none());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z:\\-{}\\[\\]\"'!&*?|>#%@ \n\t,0-9~]{0,80}") {
            let (document, problems) = read(&text);
            prop_assert!(document.is_some() || !problems.is_empty());
        }

        #[test]
        fn any_unicode_is_read_or_refused(text in "\\PC{0,60}") {
            let (document, problems) = read(&text);
            prop_assert!(document.is_some() || !problems.is_empty());
        }
    }
}
