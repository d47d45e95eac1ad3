//! Attack files: Gherkin in, scenarios with understood steps out. Whatever is not understood is a problem with file and line.

use std::fmt;
use std::path::{Path, PathBuf};

use gherkin::{Feature, GherkinEnv, ParseFileError};

use super::step::Step;

/// One attack file.
#[derive(Debug, Clone)]
pub struct Attack {
    /// Where it is.
    pub file: PathBuf,
    /// The feature's name.
    pub name: String,
    /// In the order of the file; of an outline one per example.
    pub scenarios: Vec<Scenario>,
}

/// One scenario, with the steps of its backgrounds.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name; of an outline with the example's values.
    pub name: String,
    /// Where it begins, from 1.
    pub line: usize,
    /// Its tags and those of everything around it, without `@`.
    pub tags: Vec<String>,
    /// What to do.
    pub(super) steps: Vec<Line>,
}

/// A step and where it is.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// As it is written: `Then the output should contain "x"`.
    pub text: String,
    /// What it means.
    pub step: Step,
}

/// What is wrong with an attack file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    file: PathBuf,
    line: usize,
    text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.text)
    }
}

/// Reads an attack file. `Err`: everything that is wrong with it.
pub fn read(file: &Path) -> Result<Attack, Vec<Problem>> {
    let problem = |line: usize, text: String| Problem { file: file.to_owned(), line, text };
    let feature = Feature::parse_path(file, GherkinEnv::default()).map_err(|error| {
        let (line, text) = not_gherkin(&error);
        vec![problem(line, text)]
    })?;
    let mut reader = Reader { file, problems: Vec::new() };
    let scenarios = reader.feature(&feature);
    match reader.problems {
        problems if problems.is_empty() => Ok(Attack { file: file.to_owned(), name: feature.name.trim().to_owned(), scenarios }),
        problems => Err(problems),
    }
}

/// Where reading ended, and why.
fn not_gherkin(error: &ParseFileError) -> (usize, String) {
    match error {
        ParseFileError::Reading { source, .. } => (1, format!("cannot be read: {source}")),
        ParseFileError::Parsing { path, .. } if std::fs::read_to_string(path).is_ok_and(|text| text.trim().is_empty()) => {
            (1, "it is empty, so it would attack nothing".to_owned())
        }
        ParseFileError::Parsing { error, source, .. } => {
            // `Error at LINE:COLUMN: …`: what was expected there is a long list in no order.
            let text = source.to_string();
            let line = text.strip_prefix("Error at ").and_then(|rest| rest.split(':').next()?.parse().ok());
            let why = match error {
                Some(gherkin::EnvError::InconsistentCellCount(_)) => "the rows of this table differ in length",
                _ => {
                    "this is no Gherkin: a keyword (Feature:, Background:, Scenario:, Given, When, Then, And, But) is misspelled, or a text is not closed with \"\"\""
                }
            };
            (line.unwrap_or(1), why.to_owned())
        }
    }
}

/// Collects what is wrong on the way.
struct Reader<'a> {
    file: &'a Path,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, line: usize, text: impl Into<String>) {
        self.problems.push(Problem { file: self.file.to_owned(), line, text: text.into() });
    }

    fn feature(&mut self, feature: &Feature) -> Vec<Scenario> {
        self.no_hidden_steps(feature);
        let background = self.background(feature.background.as_ref());
        let mut scenarios = Vec::new();
        for scenario in &feature.scenarios {
            self.scenario(scenario, &[&feature.tags], &background, &mut scenarios);
        }
        for rule in &feature.rules {
            let mut before = background.clone();
            before.extend(self.background(rule.background.as_ref()));
            for scenario in &rule.scenarios {
                self.scenario(scenario, &[&feature.tags, &rule.tags], &before, &mut scenarios);
            }
        }
        if scenarios.is_empty() && self.problems.is_empty() {
            self.problem(feature.position.line, "there is no scenario in it, so it would attack nothing");
        }
        scenarios
    }

    /// A description takes whatever line is no keyword: a misspelled scenario would disappear in it without a word.
    fn no_hidden_steps(&mut self, feature: &Feature) {
        let keywords = ["Given", "When", "Then", "And", "But", "*"];
        let hidden = |line: &str| {
            let mut words = line.split_whitespace();
            let first = words.next().unwrap_or_default();
            keywords.contains(&first) || (first.ends_with(':') && !first.starts_with('#'))
        };
        if let Some(line) = feature.description.as_deref().unwrap_or_default().lines().find(|line| hidden(line)) {
            let text = format!("`{}` is read as a part of the feature's description: is a keyword above it misspelled?", line.trim());
            self.problem(feature.position.line, text);
        }
    }

    fn no_description(&mut self, line: usize, description: Option<&String>) {
        let lines = description.map(String::as_str).unwrap_or_default().lines().map(str::trim);
        if let Some(text) = lines.into_iter().find(|line| !line.is_empty() && !line.starts_with('#')) {
            let text = text.to_owned();
            self.problem(
                line,
                format!("`{text}` is no step: steps begin with Given, When, Then, And or But; write explanations as # comments"),
            );
        }
    }

    fn background(&mut self, background: Option<&gherkin::Background>) -> Vec<(usize, Line)> {
        let Some(background) = background else { return Vec::new() };
        self.no_description(background.position.line, background.description.as_ref());
        background.steps.iter().filter_map(|step| self.step(step, &[])).collect()
    }

    fn scenario(&mut self, scenario: &gherkin::Scenario, tags: &[&Vec<String>], before: &[(usize, Line)], into: &mut Vec<Scenario>) {
        let line = scenario.position.line;
        self.no_description(line, scenario.description.as_ref());
        let tags: Vec<String> = tags.iter().copied().chain([&scenario.tags]).flatten().cloned().collect();
        if scenario.examples.is_empty() {
            if scenario.keyword.trim().ends_with("Outline") || scenario.keyword.trim().ends_with("Template") {
                self.problem(line, "an outline without `Examples:` attacks nothing");
            }
            self.one(scenario, scenario.name.trim().to_owned(), tags, before, &[], into);
            return;
        }
        for examples in &scenario.examples {
            let rows = examples.table.as_ref().map(|table| table.rows.as_slice()).unwrap_or_default();
            let [header, rows @ ..] = rows else {
                self.problem(examples.position.line, "these examples have no table");
                continue;
            };
            if rows.is_empty() {
                self.problem(examples.position.line, "these examples have a header and no row");
            }
            for row in rows {
                let values: Vec<(&str, &str)> = header.iter().map(String::as_str).zip(row.iter().map(String::as_str)).collect();
                let named = fill(scenario.name.trim(), &values);
                let name = if named == scenario.name.trim() { format!("{named} ({})", row.join(", ")) } else { named };
                let tags = tags.iter().chain(&examples.tags).cloned().collect();
                self.one(scenario, name, tags, before, &values, into);
            }
        }
    }

    fn one(
        &mut self,
        scenario: &gherkin::Scenario,
        name: String,
        tags: Vec<String>,
        before: &[(usize, Line)],
        values: &[(&str, &str)],
        into: &mut Vec<Scenario>,
    ) {
        let known = self.problems.len();
        let own = scenario.steps.iter().filter_map(|step| self.step(step, values)).collect::<Vec<_>>();
        let steps: Vec<(usize, Line)> = before.iter().cloned().chain(own).collect();
        if self.problems.len() == known {
            self.proves_something(scenario.position.line, &steps);
        }
        let steps = steps.into_iter().map(|(_, line)| line).collect();
        into.push(Scenario { name, line: scenario.position.line, tags, steps });
    }

    /// Something is launched, and what comes of it is looked at.
    fn proves_something(&mut self, line: usize, steps: &[(usize, Line)]) {
        let mut launched: Option<usize> = None;
        let mut looked = true;
        let mut early = false;
        for (at, line) in steps {
            if matches!(line.step, Step::Launch { .. }) {
                if let Some(at) = launched.filter(|_| !looked) {
                    self.problem(at, "what comes of this attack is never looked at: add `Then the output should …`");
                }
                (launched, looked) = (Some(*at), false);
            } else if line.step.asserts() {
                if launched.is_none() && !early {
                    self.problem(*at, "nothing was launched before this step");
                    early = true;
                }
                looked = true;
            }
        }
        match launched {
            None if early => {}
            None => self.problem(line, "this scenario launches no attack: add `When I launch a \"curl\" attack with:`"),
            Some(at) if !looked => self.problem(at, "what comes of this attack is never looked at: add `Then the output should …`"),
            Some(_) => {}
        }
    }

    fn step(&mut self, step: &gherkin::Step, values: &[(&str, &str)]) -> Option<(usize, Line)> {
        let line = step.position.line;
        let value = fill(step.value.trim(), values);
        let text = step.docstring.as_deref().map(|text| fill(&docstring(text), values));
        let cells = |row: &Vec<String>| row.iter().map(|cell| fill(cell, values)).collect::<Vec<_>>();
        let table = step.table.as_ref().map(|table| table.rows.iter().map(cells).collect::<Vec<_>>());
        match Step::parse(&value, text.as_deref(), table.as_deref()) {
            Ok(parsed) => Some((line, Line { text: format!("{} {value}", step.keyword.trim()), step: parsed })),
            Err(why) => {
                // A background's or an outline's step is read more than once.
                let problem = Problem { file: self.file.to_owned(), line, text: why };
                if !self.problems.contains(&problem) {
                    self.problems.push(problem);
                }
                None
            }
        }
    }
}

/// The text between the lines of quotes.
fn docstring(text: &str) -> String {
    text.strip_prefix('\n').unwrap_or(text).trim_end().to_owned()
}

/// Puts an example's values in for `<header>`.
fn fill(text: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("<{name}>"), value))
}
