//! `poclab attack`: attack files in Gauntlt's language (Gherkin, `.attack`), run with real tools against what is deployed.
//!
//! Files are read whole before anything is launched ([`feature`], [`step`]): what is not understood stops everything. Tools run
//! in containers or from the PATH ([`launch`], [`tools`]); what they printed or wrote is judged without side effects ([`judge`]).

mod aliases;
mod cookies;
mod css;
mod feature;
mod findings;
mod judge;
mod launch;
mod names;
mod process;
mod profile;
mod rows;
mod run;
mod scenario;
mod step;
mod tools;
#[cfg(test)]
mod tests;

pub use feature::{Attack, Scenario, read};
pub use launch::{Launcher, Ran, Tooling};
pub use run::{Broken, Launched, Limits, Outcome, Report, Verdict, named, run, wants};
pub use step::steps;
pub use tools::Tools;

pub use gherkin::tagexpr::TagOperation as Tags;
