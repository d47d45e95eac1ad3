//! Runs scenarios, several at a time, and says of each what came of it.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gherkin::tagexpr::TagOperation;
use rayon::prelude::*;
use serde::Serialize;

use super::feature::{Attack, Scenario};
use super::judge::{Against, judge, shown};
use super::launch::{Launcher, Ran};
use super::profile::Profile;
use super::step::Step;

/// Longest output that a report keeps of one command and stream, in characters.
const KEPT: usize = 4000;

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
    fn of(self, tags: &[String]) -> Duration {
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
    /// Where it begins.
    pub line: usize,
    /// Its tags.
    pub tags: Vec<String>,
    /// What came of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The step that decided; empty when all hold.
    pub step: String,
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
                let outcome = scenario_of(attack, scenario, wanted, launcher, limits, stop);
                let _told = one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
                told(&outcome);
                outcome
            })
            .collect()
    });
    Ok(results)
}

/// Whether an expression of tags holds.
fn wants(expression: &TagOperation, tags: &[String]) -> bool {
    match expression {
        TagOperation::And(a, b) => wants(a, tags) && wants(b, tags),
        TagOperation::Or(a, b) => wants(a, tags) || wants(b, tags),
        TagOperation::Not(a) => !wants(a, tags),
        TagOperation::Tag(tag) => tags.contains(tag),
    }
}

fn scenario_of(
    attack: &Attack,
    scenario: &Scenario,
    wanted: Option<&TagOperation>,
    launcher: &dyn Launcher,
    limits: Limits,
    stop: &AtomicBool,
) -> Outcome {
    let start = Instant::now();
    let mut outcome = Outcome {
        file: attack.file.clone(),
        feature: attack.name.clone(),
        scenario: scenario.name.clone(),
        line: scenario.line,
        tags: scenario.tags.clone(),
        verdict: Verdict::Passed,
        step: String::new(),
        more: Vec::new(),
        seconds: 0.0,
        launched: Vec::new(),
    };
    if wanted.is_some_and(|wanted| !wants(wanted, &scenario.tags)) {
        outcome.verdict = Verdict::Skipped("its tags are not among those that are wanted".to_owned());
        return outcome;
    }
    let limit = limits.of(&scenario.tags);
    let folder = tempfile::Builder::new().prefix("poclab-attack-").tempdir();
    let mut work = match folder.as_ref().map_err(|error| format!("no folder can be made for it: {error}")).and_then(|folder| {
        launcher.prepare(folder.path())?;
        Ok(Work { launcher, folder: folder.path(), limit, scenario, profile: Profile::default(), last: None, launched: Vec::new() })
    }) {
        Ok(work) => work,
        Err(why) => {
            outcome.verdict = Verdict::Error(why);
            return outcome;
        }
    };
    for (at, line) in scenario.steps.iter().enumerate() {
        let succeeded = outcome.verdict != Verdict::Passed;
        if succeeded && !line.step.asserts() {
            break;
        }
        let done = if stop.load(Ordering::Relaxed) { Err(Against::Blind("interrupted".to_owned())) } else { work.step(at, &line.step) };
        let done = if succeeded { done } else { done.and_then(|()| work.settle(at)) };
        match done.map_err(|against| against.redacted(&work.profile)) {
            Ok(()) => {}
            Err(Against::Seen(why)) if succeeded => outcome.more.push(Broken { step: line.text.clone(), why }),
            // That one thing cannot be seen takes nothing away from another that was.
            Err(Against::Blind(_)) if succeeded => {}
            Err(Against::Seen(why)) => {
                outcome.step.clone_from(&line.text);
                outcome.verdict = Verdict::Failed(why);
            }
            Err(Against::Blind(why)) => {
                outcome.step.clone_from(&line.text);
                outcome.verdict = Verdict::Error(why);
                break;
            }
        }
    }
    outcome.launched = work.launched;
    outcome.seconds = start.elapsed().as_secs_f64();
    outcome
}

/// A scenario that is being run.
struct Work<'a> {
    launcher: &'a dyn Launcher,
    folder: &'a Path,
    limit: Duration,
    scenario: &'a Scenario,
    profile: Profile,
    last: Option<Ran>,
    launched: Vec<Launched>,
}

impl Work<'_> {
    fn step(&mut self, at: usize, step: &Step) -> Result<(), Against> {
        match step {
            Step::Installed(program) => self.launcher.installed(program).map_err(Against::Blind),
            Step::Profile(pairs) => {
                pairs.iter().for_each(|(name, value)| self.profile.set(name, value));
                Ok(())
            }
            Step::Environment(pairs) => pairs.iter().try_for_each(|(name, variable)| {
                let value = self.launcher.variable(variable);
                let value =
                    value.ok_or_else(|| Against::Blind(format!("the environment variable {variable} is not set (for <{name}>)")))?;
                self.profile.set(name, &value);
                Ok(())
            }),
            Step::File { name, content } => std::fs::write(self.folder.join(name), content)
                .map_err(|error| Against::Blind(format!("{name} cannot be written: {error}"))),
            Step::Launch { command } => self.launch(at, command).map_err(Against::Blind),
            _ => {
                let ran = self.last.as_ref().ok_or_else(|| Against::Blind("nothing was launched before this step".to_owned()))?;
                judge(step, ran, self.folder).map_err(|against| match against {
                    // What a broken tool did not print says nothing about the target. What it did print does.
                    Against::Seen(_) if ran.status != 0 && !step.forbids() && !self.status_is_demanded(at) => {
                        Against::Blind(format!("the attack {}", failed(ran)))
                    }
                    other => other,
                })
            }
        }
    }

    fn launch(&mut self, at: usize, command: &str) -> Result<(), String> {
        let words = self.profile.command(command)?;
        // Also by a tool that makes a report of what this one leaves.
        let files = self.scenario.steps[at..].iter().any(|line| line.step.reads_files());
        let ran = self.launcher.launch(&words, self.folder, files, self.limit)?;
        self.launched.push(Launched {
            command: words.iter().map(|word| self.profile.redact(word)).collect(),
            status: ran.status,
            seconds: ran.seconds,
            stdout: shown(&self.profile, &ran.stdout, KEPT),
            stderr: shown(&self.profile, &ran.stderr, KEPT),
        });
        self.last = Some(ran);
        Ok(())
    }

    /// The assertions about the attack that step `at` launches, or is about.
    fn asserted(&self, at: usize) -> impl Iterator<Item = &Step> {
        let steps = &self.scenario.steps;
        let launches = |line: &super::feature::Line| matches!(line.step, Step::Launch { .. });
        let from = steps[..=at].iter().rposition(launches).map_or(0, |from| from + 1);
        steps[from..].iter().take_while(move |line| !launches(line)).map(|line| &line.step).filter(|step| step.asserts())
    }

    fn status_is_demanded(&self, at: usize) -> bool {
        self.asserted(at).any(|step| matches!(step, Step::ExitStatus { .. }))
    }

    /// After the last step about an attack: one that failed has proven nothing, unless the scenario says that it should fail, or
    /// something that it should have printed nevertheless was there.
    fn settle(&self, at: usize) -> Result<(), Against> {
        let next = self.scenario.steps.get(at + 1).map(|line| &line.step);
        let over = next.is_none_or(|step| matches!(step, Step::Launch { .. }));
        let Some(ran) = self.last.as_ref().filter(|ran| over && ran.status != 0) else { return Ok(()) };
        if self.status_is_demanded(at) || self.asserted(at).any(Step::affirms) {
            return Ok(());
        }
        Err(Against::Blind(format!("the attack {}; and no step says what it should have printed all the same", failed(ran))))
    }
}

/// `ended with 7: curl: (7) Failed to connect …`
fn failed(ran: &Ran) -> String {
    let text = if ran.stderr.trim().is_empty() { &ran.stdout } else { &ran.stderr };
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it printed nothing");
    format!("ended with {}: {last}", ran.status)
}
