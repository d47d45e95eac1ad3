//! The checks with their evidence.

use serde::Serialize;

use super::run::Run;
use crate::engine::Status;
use crate::report::line::duration;

/// A check.
#[derive(Debug, Serialize)]
pub struct Check {
    pub name: String,
    pub role: String,
    /// Empty: it did not end.
    pub took: String,
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    /// Controls among the results.
    pub controls: usize,
    /// The worst of its results: `failed`, `skipped`, `passed`.
    pub status: &'static str,
    pub results: Vec<Proof>,
}

/// One line of its report.
#[derive(Debug, Serialize)]
pub struct Proof {
    /// `failed`, `skipped`, `passed`.
    pub status: &'static str,
    pub control: bool,
    pub title: String,
    pub detail: String,
}

/// All checks, in the order in which they ran.
pub fn all(run: &Run) -> Vec<Check> {
    let check = |check: &super::run::Check| {
        let count = |status| check.results.iter().filter(|result| result.status == status).count();
        let (passed, failed, skipped) = (count(Status::Passed), count(Status::Failed), count(Status::Skipped));
        let status = match (failed, passed, skipped) {
            (0, 0, 0) => "unended",
            (0, _, 0) => "passed",
            (0, _, _) => "skipped",
            _ => "failed",
        };
        Check {
            name: check.name.clone(),
            role: check.role.clone(),
            took: check.seconds.map(duration).unwrap_or_default(),
            passed,
            failed,
            skipped,
            controls: check.results.iter().filter(|result| result.control).count(),
            status: if check.seconds.is_none() && failed == 0 { "unended" } else { status },
            results: check.results.iter().map(proof).collect(),
        }
    };
    run.checks.iter().map(check).collect()
}

fn proof(result: &super::run::Proof) -> Proof {
    Proof { status: word(result.status), control: result.control, title: result.title.clone(), detail: result.detail.clone() }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Passed => "passed",
        Status::Failed => "failed",
        Status::Skipped => "skipped",
    }
}
