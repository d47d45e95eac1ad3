//! `poclab plan`

use super::args::{Checks, Global, Plan};
use super::{Stop, runs};
use crate::base::Exit;

pub fn run(global: &Global, command: &Plan) -> Result<Exit, Stop> {
    runs::run(global, "plan", &command.narrow, &Checks::default(), &command.page, |engine| engine.plan())
}
