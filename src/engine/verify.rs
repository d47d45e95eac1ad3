//! Runs the checks and remembers whether they passed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::base::{moment, now};
use crate::check::{Outcome, Verdict};
use crate::lab::{Check, Lab};

use super::reach::HostReach;
use super::selection::Selection;
use super::session::Wires;
use super::{Event, LastChecks, Status};

/// What the checks came to: lines of their reports.
#[derive(Debug, Clone, Default)]
pub struct Result {
    /// Proven.
    pub passed: usize,
    /// Disproven, or could not be proven.
    pub failed: usize,
    /// Did not run, for stated reasons.
    pub skipped: usize,
    /// Whether every check of the lab was run.
    complete: bool,
}

/// Runs the selected checks, one after another.
pub fn run(lab: &Lab, selection: &Selection, reach: &HostReach, wires: &Wires, interrupted: &AtomicBool) -> Result {
    let checks: Vec<&Check> = lab.checks.iter().filter(|check| selection.check(check)).collect();
    wires.send(Event::ChecksStarted { checks: checks.len() });
    let mut result = Result { complete: checks.len() == lab.checks.len(), ..Result::default() };
    for check in checks {
        if interrupted.load(Ordering::SeqCst) {
            result.complete = false;
            break;
        }
        let (name, role) = (label(check), check.role.clone());
        wires.send(Event::CheckStarted { check: name.clone(), role: role.clone() });
        let started = Instant::now();
        let mut progress = |note: &str| wires.send(Event::CheckProgress { check: name.clone(), note: note.to_owned() });
        let mut outcomes = check.spec.run(reach, &mut progress);
        if outcomes.is_empty() {
            // A check that proves nothing must not look like one that passed.
            outcomes.push(Outcome::new(&name, Verdict::Failed("the check reported nothing".to_owned())));
        }
        for outcome in outcomes {
            let (status, detail) = match outcome.verdict {
                Verdict::Passed(seen) => (Status::Passed, seen),
                Verdict::Failed(why) => (Status::Failed, why),
                Verdict::Skipped(why) => (Status::Skipped, why),
            };
            match status {
                Status::Passed => result.passed += 1,
                Status::Failed => result.failed += 1,
                Status::Skipped => result.skipped += 1,
            }
            wires.send(Event::CheckResult {
                check: name.clone(),
                role: role.clone(),
                title: outcome.title,
                status,
                control: outcome.control,
                detail,
            });
        }
        // Why it is not known is among the results already.
        for arrival in check.spec.arrivals(reach).and_then(std::result::Result::ok).unwrap_or_default() {
            wires.send(Event::LastData { source: arrival.source, host: arrival.host, last: arrival.at.map(moment) });
        }
        wires.send(Event::CheckDone { check: name, role, seconds: started.elapsed().as_secs_f64() });
    }
    result
}

fn label(check: &Check) -> String {
    match (check.spec.id().as_str(), &check.host) {
        ("", None) => check.spec.kind().to_owned(),
        ("", Some(host)) => format!("{} {host}", check.spec.kind()),
        (id, _) => format!("{} {id}", check.spec.kind()),
    }
}

/// The last complete verification.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    passed: bool,
    at: String,
    /// The checks of the lab at that time: a new check asks for a new verification.
    checks: Vec<String>,
}

fn record_file(lab: &Lab) -> PathBuf {
    lab.state_dir.join("verified.json")
}

/// Remembers the result: a failure always, a pass only when every check was run.
pub fn remember(lab: &Lab, result: &Result) -> anyhow::Result<()> {
    let passed = result.failed == 0;
    if passed && !result.complete {
        return Ok(());
    }
    let at = now();
    let record = Record { passed, at, checks: lab.checks.iter().map(label).collect() };
    let file = record_file(lab);
    let temporary = file.with_extension("tmp");
    std::fs::create_dir_all(&lab.state_dir).with_context(|| format!("cannot create {}", lab.state_dir.display()))?;
    std::fs::write(&temporary, serde_json::to_vec_pretty(&record)?).with_context(|| format!("cannot write {}", temporary.display()))?;
    std::fs::rename(&temporary, &file).with_context(|| format!("cannot write {}", file.display()))
}

/// The lab's last complete verification, if there was one.
pub fn last(lab: &Lab) -> Option<LastChecks> {
    let record: Record = serde_json::from_slice(&std::fs::read(record_file(lab)).ok()?).ok()?;
    let same = record.checks == lab.checks.iter().map(label).collect::<Vec<_>>();
    Some(LastChecks { passed: record.passed, at: record.at, same })
}

/// When the lab's checks last passed, if that was their last complete run and they are still the same checks.
pub fn passed_at(lab: &Lab) -> Option<String> {
    last(lab).filter(|last| last.passed && last.same).map(|last| last.at)
}
