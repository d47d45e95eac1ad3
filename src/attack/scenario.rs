//! One scenario: its steps in order, and what they come to.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gherkin::tagexpr::TagOperation;

use super::feature::{Attack, Line, Scenario};
use super::judge::{Against, judge, shown};
use super::launch::{Launcher, Ran};
use super::profile::Profile;
use super::run::{Broken, Launched, Limits, Outcome, Verdict, wants};
use super::step::Step;

/// Longest output that a report keeps of one command and stream, in characters.
const KEPT: usize = 4000;

/// Runs it, if it is wanted.
pub(super) fn run(
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
        step_line: 0,
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
    work.steps(stop, &mut outcome);
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
    /// One step after the other, to the end of what is said about an attack that has succeeded or of which nothing is known.
    fn steps(&mut self, stop: &AtomicBool, outcome: &mut Outcome) {
        let lines = &self.scenario.steps;
        for (at, line) in lines.iter().enumerate() {
            let over = outcome.verdict != Verdict::Passed;
            if over && !line.step.asserts() {
                break;
            }
            if stop.load(Ordering::Relaxed) {
                decide(outcome, line, Against::Blind("interrupted".to_owned()));
                break;
            }
            let mut done = self.step(at, &line.step);
            if !over {
                done = done.and_then(|()| self.settle(at));
            }
            if let Err(against) = done {
                decide(outcome, line, against.redacted(&self.profile));
            }
            // What was launched before is no answer to what was asked about this attack.
            if matches!(outcome.verdict, Verdict::Error(_)) && !line.step.asserts() {
                break;
            }
        }
    }

    fn step(&mut self, at: usize, step: &Step) -> Result<(), Against> {
        match step {
            Step::Installed(program) => self.launcher.installed(program).map_err(Against::Blind),
            Step::Profile(pairs) => {
                pairs.iter().for_each(|(name, value)| self.profile.set(name, value));
                Ok(())
            }
            Step::Environment(pairs) => pairs.iter().try_for_each(|(name, variable)| {
                let value = self.launcher.variable(variable).ok_or_else(|| {
                    Against::Blind(format!(
                        "the environment variable {variable} is not set (for <{name}>): set it, or write it into the tools file (variables)"
                    ))
                })?;
                self.profile.set(name, &value);
                Ok(())
            }),
            Step::File { .. } => match step.filled(&self.profile) {
                Step::File { name, content } => {
                    write(&self.folder.join(&name), &content).map_err(|error| Against::Blind(format!("{name} cannot be written: {error}")))
                }
                _ => Ok(()),
            },
            Step::Launch { command } => self.launch(at, command).map_err(Against::Blind),
            _ => {
                let ran = self.last.as_ref().ok_or_else(|| Against::Blind("nothing was launched before this step".to_owned()))?;
                let demanded = ran.status == 0 || self.status_is_demanded(at, ran.status);
                match judge(&step.filled(&self.profile), ran, self.folder) {
                    // What a broken tool did not print says nothing about the target. What it did print does.
                    Err(Against::Seen(_)) if !demanded && !step.forbids() => Err(Against::Blind(format!("the attack {}", failed(ran)))),
                    Ok(()) if !demanded && step.is_silent() => Err(Against::Blind(format!(
                        "the attack {}: what it did not print proves nothing, unless a step says with which exit status it should end",
                        failed(ran)
                    ))),
                    other => other,
                }
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
        let launches = |line: &Line| matches!(line.step, Step::Launch { .. });
        let from = steps[..=at].iter().rposition(launches).map_or(0, |from| from + 1);
        steps[from..].iter().take_while(move |line| !launches(line)).map(|line| &line.step).filter(|step| step.asserts())
    }

    fn status_is_demanded(&self, at: usize, status: i32) -> bool {
        self.asserted(at).any(|step| step.demands_status(status))
    }

    /// After the last step about an attack: one that failed has proven nothing, unless the scenario says that it should fail, or
    /// something that it should have printed nevertheless was there.
    fn settle(&self, at: usize) -> Result<(), Against> {
        let next = self.scenario.steps.get(at + 1).map(|line| &line.step);
        let over = next.is_none_or(|step| matches!(step, Step::Launch { .. }));
        let Some(ran) = self.last.as_ref().filter(|ran| over && ran.status != 0) else { return Ok(()) };
        if self.status_is_demanded(at, ran.status) || self.asserted(at).any(Step::affirms) {
            return Ok(());
        }
        Err(Against::Blind(format!("the attack {}; and no step says what it should have printed all the same", failed(ran))))
    }
}

/// What a step that does not hold makes of a scenario: that something was seen counts more than that something could not be.
fn decide(outcome: &mut Outcome, line: &Line, against: Against) {
    let verdict = match (against, &outcome.verdict) {
        (Against::Seen(why), Verdict::Failed(_)) => {
            return outcome.more.push(Broken { line: line.line, step: line.text.clone(), why });
        }
        (Against::Seen(why), Verdict::Passed) => Verdict::Failed(why),
        // Only what was there: that something else is missing says nothing after an attack of which nothing is known.
        (Against::Seen(why), _) if line.step.forbids() => Verdict::Failed(why),
        (Against::Blind(why), Verdict::Passed) => Verdict::Error(why),
        _ => return,
    };
    outcome.verdict = verdict;
    (outcome.step, outcome.step_line) = (line.text.clone(), line.line);
}

/// Writes a file of the scenario anew: what a tool has left there may be a link to somewhere else.
fn write(path: &Path, content: &str) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::File::create_new(path).and_then(|mut file| std::io::Write::write_all(&mut file, content.as_bytes())),
    }
}

/// `ended with 7: curl: (7) Failed to connect …`
fn failed(ran: &Ran) -> String {
    let text = if ran.stderr.trim().is_empty() { &ran.stdout } else { &ran.stderr };
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it printed nothing");
    format!("ended with {}: {last}", ran.status)
}
