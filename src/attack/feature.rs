//! Attack files: Gherkin in, scenarios with understood steps out. Whatever is not understood is a problem with file and line.

use std::path::{Path, PathBuf};

use gherkin::{Feature, GherkinEnv, ParseFileError};

use super::profile::filled;
use super::step::Step;
use super::{names, rows};
use crate::lab::Problem;

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
    /// Where it begins, from 1; of an outline where the example is.
    pub line: usize,
    /// Its tags and those of everything around it, without `@`.
    pub tags: Vec<String>,
    /// What to do.
    pub(super) steps: Vec<Line>,
}

/// A step and where it is.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Where it is, from 1.
    pub line: usize,
    /// As it is written: `Then the output should contain "x"`.
    pub text: String,
    /// What it means.
    pub step: Step,
}

/// Reads an attack file. `Err`: everything that is wrong with it.
pub fn read(file: &Path) -> Result<Attack, Vec<Problem>> {
    let problem = |(line, text): (usize, String)| Problem::new(file.display().to_string(), (line, 0), text);
    let text = std::fs::read_to_string(file).map_err(|error| vec![problem((0, format!("cannot be read: {error}")))])?;
    let tables = rows::tables(&text).map_err(|mistakes| mistakes.into_iter().map(problem).collect::<Vec<_>>())?;
    let feature = Feature::parse_path(file, GherkinEnv::default()).map_err(|error| vec![problem(not_gherkin(&error, &text))])?;
    let mut reader = Reader { file, tables, problems: Vec::new() };
    let scenarios = reader.feature(&feature);
    match reader.problems {
        problems if problems.is_empty() => Ok(Attack { file: file.to_owned(), name: feature.name.trim().to_owned(), scenarios }),
        problems => Err(problems),
    }
}

/// Where reading ended, and why.
fn not_gherkin(error: &ParseFileError, text: &str) -> (usize, String) {
    match error {
        ParseFileError::Reading { source, .. } => (0, format!("cannot be read: {source}")),
        ParseFileError::Parsing { .. } if text.trim().is_empty() => (1, "it is empty, so it would attack nothing".to_owned()),
        ParseFileError::Parsing { source, .. } => {
            // `Error at LINE:COLUMN: …`: what was expected there is a long list in no order.
            let text = source.to_string();
            let line = text.strip_prefix("Error at ").and_then(|rest| rest.split(':').next()?.parse().ok());
            let why = "this is no Gherkin: a keyword (Feature:, Rule:, Background:, Scenario:, Given, When, Then, And, But) is misspelled, or a text is not closed with \"\"\"";
            (line.unwrap_or(1), why.to_owned())
        }
    }
}

/// Collects what is wrong on the way.
struct Reader<'a> {
    file: &'a Path,
    /// The lines of the rows of each table.
    tables: Vec<Vec<usize>>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, line: usize, text: impl Into<String>) {
        self.problems.push(Problem::new(self.file.display().to_string(), (line, 0), text));
    }

    fn feature(&mut self, feature: &Feature) -> Vec<Scenario> {
        self.no_hidden_steps(feature.position.line, "feature", feature.description.as_deref());
        let background = self.background(feature.background.as_ref());
        let mut scenarios = Vec::new();
        for scenario in &feature.scenarios {
            self.scenario(scenario, &[&feature.tags], &background, &mut scenarios);
        }
        for rule in &feature.rules {
            let known = self.problems.len();
            self.no_hidden_steps(rule.position.line, "rule", rule.description.as_deref());
            if rule.scenarios.is_empty() && self.problems.len() == known {
                self.problem(rule.position.line, "there is no scenario in this rule, so it would attack nothing");
            }
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
    fn no_hidden_steps(&mut self, at: usize, of: &str, description: Option<&str>) {
        let keywords = ["Given", "When", "Then", "And", "But", "*"];
        let hidden = |line: &str| {
            let mut words = line.split_whitespace();
            let first = words.next().unwrap_or_default();
            keywords.contains(&first) || (first.ends_with(':') && !first.starts_with('#'))
        };
        if let Some(line) = description.unwrap_or_default().lines().find(|line| hidden(line)) {
            let text = format!("`{}` is read as a part of the {of}'s description: is a keyword above it misspelled?", line.trim());
            self.problem(at, text);
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

    fn background(&mut self, background: Option<&gherkin::Background>) -> Vec<Line> {
        let Some(background) = background else { return Vec::new() };
        self.no_description(background.position.line, background.description.as_ref());
        background.steps.iter().filter_map(|step| self.step(step, &[])).collect()
    }

    fn scenario(&mut self, scenario: &gherkin::Scenario, tags: &[&Vec<String>], before: &[Line], into: &mut Vec<Scenario>) {
        let line = scenario.position.line;
        self.no_description(line, scenario.description.as_ref());
        let tags: Vec<String> = tags.iter().copied().chain([&scenario.tags]).flatten().cloned().collect();
        let name = scenario.name.trim();
        if scenario.examples.is_empty() {
            if scenario.keyword.trim().ends_with("Outline") || scenario.keyword.trim().ends_with("Template") {
                self.problem(line, "an outline without `Examples:` attacks nothing");
            }
            let steps = self.steps(scenario, before, &[]);
            into.push(Scenario { name: name.to_owned(), line, tags, steps });
            return;
        }
        for examples in &scenario.examples {
            let Some(table) = &examples.table else {
                self.problem(examples.position.line, "these examples have no table");
                continue;
            };
            let [header, rows @ ..] = table.rows.as_slice() else { continue };
            if rows.is_empty() {
                self.problem(examples.position.line, "these examples have a header and no row");
            }
            self.columns_are_used(scenario, header, table.position.line);
            let lines = self.tables.iter().find(|lines| lines.first() == Some(&table.position.line)).cloned().unwrap_or_default();
            for (at, row) in (1..).zip(rows) {
                let values: Vec<(&str, &str)> = header.iter().map(String::as_str).zip(row.iter().map(String::as_str)).collect();
                let named = fill(name, &values);
                let name = if named == name { format!("{named} ({})", row.join(", ")) } else { named };
                let tags = tags.iter().chain(&examples.tags).cloned().collect();
                let steps = self.steps(scenario, before, &values);
                into.push(Scenario { name, line: lines.get(at).copied().unwrap_or(line), tags, steps });
            }
        }
    }

    /// A column that no step uses was meant for one.
    fn columns_are_used(&mut self, scenario: &gherkin::Scenario, header: &[String], line: usize) {
        for column in header {
            let placeholder = format!("<{column}>");
            let has = |text: &String| text.contains(&placeholder);
            let uses = |step: &gherkin::Step| {
                has(&step.value)
                    || step.docstring.as_ref().is_some_and(has)
                    || step.table.as_ref().is_some_and(|table| table.rows.iter().flatten().any(has))
            };
            if !scenario.steps.iter().any(uses) {
                self.problem(
                    line,
                    format!("no step uses the column `{column}`: write {placeholder} where its values belong, or remove it"),
                );
            }
        }
    }

    /// All steps of a scenario, or of one of its examples.
    fn steps(&mut self, scenario: &gherkin::Scenario, before: &[Line], values: &[(&str, &str)]) -> Vec<Line> {
        let known = self.problems.len();
        let own = scenario.steps.iter().filter_map(|step| self.step(step, values)).collect::<Vec<_>>();
        let steps: Vec<Line> = before.iter().cloned().chain(own).collect();
        if self.problems.len() == known {
            self.names_are_known(&steps);
            self.proves_something(scenario.position.line, &steps);
        }
        steps
    }

    /// Every placeholder has a value by the time it is needed.
    fn names_are_known(&mut self, steps: &[Line]) {
        let mut known: Vec<&str> = Vec::new();
        for line in steps {
            if let Step::Profile(pairs) | Step::Environment(pairs) = &line.step {
                known.extend(pairs.iter().map(|(name, _)| name.as_str()));
            }
            if let Err(why) = names::check(&line.step, &known) {
                self.once(line.line, why);
            }
        }
    }

    /// Something is launched, and what comes of it is looked at.
    fn proves_something(&mut self, line: usize, steps: &[Line]) {
        let mut launched: Option<usize> = None;
        let mut looked = true;
        let mut early = false;
        for line in steps {
            let at = line.line;
            if matches!(line.step, Step::Launch { .. }) {
                if let Some(at) = launched.filter(|_| !looked) {
                    self.once(at, "what comes of this attack is never looked at: add `Then the output should …`".to_owned());
                }
                (launched, looked) = (Some(at), false);
            } else if line.step.asserts() {
                if launched.is_none() && !early {
                    self.once(at, "nothing was launched before this step".to_owned());
                    early = true;
                }
                looked = true;
            }
        }
        match launched {
            None if early => {}
            None => self.once(line, "this scenario launches no attack: add `When I launch a \"curl\" attack with:`".to_owned()),
            Some(at) if !looked => self.once(at, "what comes of this attack is never looked at: add `Then the output should …`".to_owned()),
            Some(_) => {}
        }
    }

    fn step(&mut self, step: &gherkin::Step, values: &[(&str, &str)]) -> Option<Line> {
        let line = step.position.line;
        let value = fill(step.value.trim(), values);
        let text = step.docstring.as_deref().map(|text| fill(&docstring(text), values));
        let cells = |row: &Vec<String>| row.iter().map(|cell| fill(cell, values)).collect::<Vec<_>>();
        let table = step.table.as_ref().map(|table| table.rows.iter().map(cells).collect::<Vec<_>>());
        match Step::parse(&value, text.as_deref(), table.as_deref()) {
            Ok(parsed) => Some(Line { line, text: format!("{} {value}", step.keyword.trim()), step: parsed }),
            Err(why) => {
                self.once(line, why);
                None
            }
        }
    }

    /// A mistake in a step of a background or an outline, which is read more than once.
    fn once(&mut self, line: usize, text: String) {
        let problem = Problem::new(self.file.display().to_string(), (line, 0), text);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

/// The text between the lines of quotes.
fn docstring(text: &str) -> String {
    text.strip_prefix('\n').unwrap_or(text).trim_end().to_owned()
}

/// Puts an example's values in for `<header>`, once.
fn fill(text: &str, values: &[(&str, &str)]) -> String {
    filled(text, |name| values.iter().find(|(header, _)| *header == name).map(|(_, value)| *value))
}
