//! `poclab plan`

use super::args::{Checks, Global, Narrow};
use super::{Stop, runs};
use crate::base::Exit;

pub fn run(global: &Global, narrow: &Narrow) -> Result<Exit, Stop> {
    runs::run(global, "plan", narrow, &Checks::default(), |engine| engine.plan())
}
