//! The allowed/denied matrix: what the flows promise, what probes meet, and whether the two agree.
//!
//! `plan` (pure) says who probes what and what must come of it, `probe` writes the script that one source host runs and reads
//! its output, `measure` runs all of them at once, `judge` (pure) compares.

mod judge;
mod measure;
mod plan;
mod probe;
mod settle;

pub(super) use judge::{control, outcomes, report};
pub(super) use measure::measure;
pub(super) use plan::{Plan, Source, plan};
pub(super) use settle::settle;
