//! "May I sign this?": the answer, what speaks against it, and what was not looked at.

use serde::Serialize;

use super::hosts;
use super::run::Run;
use crate::engine::{RunKind, Summary};
use crate::report::line::count;
use crate::report::summary::together;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// Worth knowing.
    Note,
    /// A reader must accept it before signing.
    Reservation,
    /// Speaks against signing.
    Against,
}

/// One thing that a reader must know.
#[derive(Debug, Serialize)]
pub struct Point {
    pub tone: Tone,
    /// In bold.
    pub what: String,
    pub why: String,
    /// Single things, when there are several.
    pub list: Vec<String>,
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Sign {
    /// `good`, `warn`, `bad`.
    pub class: &'static str,
    /// In a few words.
    pub answer: &'static str,
    /// The run's own verdict.
    pub verdict: String,
    pub points: Vec<Point>,
}

/// Judges a run. What was not seen is never called good.
pub fn judge(run: &Run) -> Sign {
    let mut points = Vec::new();
    match &run.done {
        Some(done) => {
            against(run, done, &mut points);
            not_proven(run, done, &mut points);
        }
        None => points.push(point(
            Tone::Against,
            "The run did not come to its end",
            "It was killed, or it is still running: this report holds what had happened up to then.",
            Vec::new(),
        )),
    }
    points.extend(run.notes.iter().map(|text| point(Tone::Note, "Note of the run", text, Vec::new())));
    // The order within a tone stays.
    points.sort_by_key(|point| std::cmp::Reverse(point.tone));
    let (class, answer) = match (points.iter().map(|point| point.tone).max(), run.kind) {
        (Some(Tone::Against), _) => ("bad", "No"),
        (_, RunKind::Plan) => ("warn", "Not by itself: a plan changes nothing and proves nothing"),
        (Some(Tone::Reservation), _) => ("warn", "Only with the reservations below"),
        _ => ("good", "Nothing in this run speaks against it"),
    };
    let verdict = if run.done.is_some() { run.verdict() } else { "the record of this run has no end".to_owned() };
    Sign { class, answer, verdict, points }
}

fn point(tone: Tone, what: &str, why: &str, list: Vec<String>) -> Point {
    Point { tone, what: what.to_owned(), why: sentence(why), list }
}

/// With a capital letter and a full stop.
pub fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let Some(first) = rest.next() else { return String::new() };
    let stop = if text.ends_with(['.', ':', '!', '?']) { "" } else { "." };
    format!("{}{}{stop}", first.to_uppercase(), rest.as_str())
}

/// What went wrong.
fn against(run: &Run, done: &Summary, points: &mut Vec<Point>) {
    let mut bad = |what: &str, why: &str, list: Vec<String>| points.push(point(Tone::Against, what, why, list));
    if done.exit == 130 {
        bad("The run was interrupted", "What was begun is finished by the next run.", Vec::new());
    }
    let lost: Vec<String> =
        done.hosts.iter().filter_map(|host| host.error.as_ref().map(|error| format!("{}: {error}", host.name))).collect();
    if !lost.is_empty() {
        bad(&format!("{} could not be looked at", count(lost.len(), "host")), "Nothing in this report is about their state.", lost);
    }
    let pairs = |pairs: &[(String, String)]| pairs.iter().map(|(what, why)| format!("{what}: {why}")).collect::<Vec<_>>();
    let told = &run.told;
    if !told.failed_roles.is_empty() {
        bad(&format!("{} failed", count(told.failed_roles.len(), "role")), "", pairs(&told.failed_roles));
    }
    if !told.not_reached.is_empty() {
        bad(&format!("{} not reached", count(told.not_reached.len(), "role")), "What they need was not there.", pairs(&told.not_reached));
    }
    if !told.failed.is_empty() {
        bad(&format!("{} failed", count(told.failed.len(), "check result")), "", pairs(&told.failed));
    }
    // Whatever the reason is: no other exit code may look good.
    if !matches!(done.exit, 0 | 2) && points.is_empty() {
        points.push(point(Tone::Against, &format!("Exit code {}", done.exit), "", Vec::new()));
    }
}

/// What was not looked at, or holds only with a reservation.
fn not_proven(run: &Run, done: &Summary, points: &mut Vec<Point>) {
    let lacking = &run.told.not_configured;
    let told_lacking: Vec<String> = lacking.iter().map(|((role, why), hosts)| format!("{role} on {}: {why}", hosts.join(", "))).collect();
    let mut reserve = |what: &str, why: &str, list: Vec<String>| points.push(point(Tone::Reservation, what, why, list));
    let rehearsing: Vec<String> = hosts::all(run).into_iter().filter(|host| host.rehearsal).map(|host| host.name).collect();
    if !rehearsing.is_empty() {
        reserve(
            "This is a rehearsal",
            &format!("{} not the real systems; what is said here holds for rehearsal hosts only.", are(&rehearsing)),
            Vec::new(),
        );
    } else if !done.stand_ins.is_empty() {
        reserve("This is a rehearsal", "The lab's software comes from a mirror of stand-ins.", Vec::new());
    }
    if !done.stand_ins.is_empty() {
        let why = "They are used in place of the real products; the section \"Stand-ins\" says what each of them is.";
        reserve(&count(done.stand_ins.len(), "stand-in"), why, Vec::new());
    }
    if !run.warnings.is_empty() {
        reserve(&count(run.warnings.len(), "warning"), "", run.warnings.clone());
    }
    for (what, why, list) in &run.reservations {
        reserve(sentence(what).trim_end_matches('.'), why, list.clone());
    }
    if run.kind == RunKind::Plan && done.changed > 0 {
        reserve(&format!("{} would change", count(done.changed, "resource")), "The lab is not as it should be.", Vec::new());
    }
    match done.checks {
        None => {
            let why = done.checks_note.clone().unwrap_or_else(|| match run.kind {
                RunKind::Plan => "a plan looks at the hosts and changes nothing; `poclab verify` runs the checks".to_owned(),
                RunKind::Bootstrap | RunKind::Verify => "not run".to_owned(),
            });
            reserve("No check was run", &why, Vec::new());
        }
        Some(checks) if checks.passed == 0 => reserve("No check passed", "Nothing was proven.", Vec::new()),
        Some(_) => {}
    }
    if !run.scope.narrowed.is_empty() {
        reserve("The run was narrowed", "Only a part of the lab was looked at:", run.scope.narrowed.clone());
    }
    if !run.told.skipped.is_empty() {
        let list = grouped(run.told.skipped.iter().map(|(what, why)| (what.clone(), why.clone())));
        reserve(&format!("{} skipped and not proven", count(run.told.skipped.len(), "check result")), "", list);
    }
    if !told_lacking.is_empty() {
        let why = "Nothing of them was set up or proven until somebody gives what they lack.";
        reserve(&format!("{} not configured", count(told_lacking.len(), "role")), why, told_lacking);
    }
    if !run.unknown.is_empty() {
        let list = grouped(run.unknown.iter().map(|left| (format!("{} on {}", left.resource, left.host), left.why.clone())));
        reserve(&format!("{} could not be looked at", count(run.unknown.len(), "resource")), "", list);
    }
    if !run.skipped.is_empty() {
        let list = grouped(run.skipped.iter().map(|left| (format!("{} on {}", left.resource, left.host), left.why.clone())));
        reserve(&format!("{} left out", count(run.skipped.len(), "resource")), "By a rule that the lab states.", list);
    }
    if run.kind == RunKind::Verify {
        let why = "A verification measures what the lab does; it does not compare each file and package (`poclab plan` does).";
        points.push(point(Tone::Note, "Resources were not compared", why, Vec::new()));
    }
}

fn are(names: &[String]) -> String {
    let list = names.iter().take(12).cloned().collect::<Vec<_>>().join(", ");
    let more = if names.len() > 12 { format!(" and {} more", names.len() - 12) } else { String::new() };
    if names.len() == 1 { format!("the host {list} is") } else { format!("the hosts {list}{more} are") }
}

/// `why: this; that`, so that a reason stands once.
fn grouped(pairs: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (what, why) in pairs {
        match groups.iter_mut().find(|(known, _)| *known == why) {
            Some((_, list)) => list.push(what),
            None => groups.push((why, vec![what])),
        }
    }
    let titles = |list: &[String]| together(&list.iter().map(String::as_str).collect::<Vec<_>>());
    groups.into_iter().map(|(why, list)| format!("{}: {why}", titles(&list))).collect()
}
