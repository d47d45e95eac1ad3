//! Runs scenarios, several at a time, and says of each what came of it.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use gherkin::tagexpr::TagOperation;
use rayon::prelude::*;
use serde::Serialize;

use super::feature::{Attack, Scenario};
use super::launch::Launcher;
use super::scenario;

/// How long things may take and how many run at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Scenarios at the same time.
    pub parallel: usize,
    /// What the time limits are multiplied by.
    pub patience: u32,
}

impl Limits {
    /// How long one command of a scenario may take: 10 s, 30 s with the tag `@slow`, 600 s with `@reallyslow`.
    pub(super) fn of(self, tags: &[String]) -> Duration {
        let has = |wanted: &str| tags.iter().any(|tag| tag == wanted);
        let seconds = if has("reallyslow") {
            600
        } else if has("slow") {
            30
        } else {
            10
        };
        Duration::from_secs(seconds * u64::from(self.patience.max(1)))
    }
}

/// What came of a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "why", rename_all = "snake_case")]
pub enum Verdict {
    /// Every step holds: the attack was withstood.
    Passed,
    /// A step does not hold: the attack succeeded.
    Failed(String),
    /// The attack could not be carried out, so nothing is known.
    Error(String),
    /// It was not wanted; why.
    Skipped(String),
}

/// A command that was launched.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Launched {
    /// Its words, without secrets.
    pub command: Vec<String>,
    /// Exit status.
    pub status: i32,
    /// How long it took.
    pub seconds: f64,
    /// What it printed, shortened and without secrets.
    pub stdout: String,
    /// The same for standard error.
    pub stderr: String,
}

/// A step that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Where it is in the file.
    pub line: usize,
    /// As it is written.
    pub step: String,
    /// What was seen instead.
    pub why: String,
}

/// One scenario's result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// The attack file.
    pub file: PathBuf,
    /// The feature.
    pub feature: String,
    /// The scenario.
    pub scenario: String,
    /// Where it begins; of an outline where the example is.
    pub line: usize,
    /// Its tags.
    pub tags: Vec<String>,
    /// What came of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The step that decided; empty when all hold.
    pub step: String,
    /// Where that is in the file; 0 when all hold.
    pub step_line: usize,
    /// Further steps about the same attack that do not hold either. A control shows by them that each demand can say no.
    pub more: Vec<Broken>,
    /// How long it took.
    pub seconds: f64,
    /// What was launched.
    pub launched: Vec<Launched>,
}

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Whether this is a control: the target is weak on purpose, and every attack must succeed.
    pub control: bool,
    /// How long it took.
    pub seconds: f64,
    /// In the order of the files.
    pub scenarios: Vec<Outcome>,
}

impl Report {
    /// Numbers of scenarios: passed, failed, errors, skipped.
    pub fn counts(&self) -> [usize; 4] {
        let mut counts = [0; 4];
        for outcome in &self.scenarios {
            counts[match outcome.verdict {
                Verdict::Passed => 0,
                Verdict::Failed(_) => 1,
                Verdict::Error(_) => 2,
                Verdict::Skipped(_) => 3,
            }] += 1;
        }
        counts
    }
}

/// Runs all scenarios that are wanted. `told` gets each when it is over, in the order in which they end.
pub fn run(
    attacks: &[Attack],
    wanted: Option<&TagOperation>,
    launcher: &dyn Launcher,
    limits: Limits,
    stop: &AtomicBool,
    told: &(dyn Fn(&Outcome) + Sync),
) -> Result<Vec<Outcome>, String> {
    let all: Vec<(&Attack, &Scenario)> = attacks.iter().flat_map(|attack| attack.scenarios.iter().map(move |one| (attack, one))).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(limits.parallel.max(1)).build().map_err(|error| error.to_string())?;
    let one_at_a_time = Mutex::new(());
    let results = pool.install(|| {
        // In order, each thread taking the next one: a list of files is worked through from its beginning.
        all.par_iter()
            .with_max_len(1)
            .map(|(attack, scenario)| {
                let outcome = scenario::run(attack, scenario, wanted, launcher, limits, stop);
                let _told = one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
                told(&outcome);
                outcome
            })
            .collect()
    });
    Ok(results)
}

/// The tags that an expression speaks of.
pub fn named(expression: &TagOperation) -> Vec<&str> {
    match expression {
        TagOperation::And(a, b) | TagOperation::Or(a, b) => [named(a), named(b)].concat(),
        TagOperation::Not(a) => named(a),
        TagOperation::Tag(tag) => vec![tag],
    }
}

/// Whether an expression of tags holds.
pub fn wants(expression: &TagOperation, tags: &[String]) -> bool {
    match expression {
        TagOperation::And(a, b) => wants(a, tags) && wants(b, tags),
        TagOperation::Or(a, b) => wants(a, tags) || wants(b, tags),
        TagOperation::Not(a) => !wants(a, tags),
        TagOperation::Tag(tag) => tags.contains(tag),
    }
}
