//! `poclab verify`

use super::args::{Global, Verify};
use super::{Stop, runs};
use crate::base::Exit;

pub fn run(global: &Global, command: &Verify) -> Result<Exit, Stop> {
    runs::run(global, "verify", &command.narrow, &command.checks, &command.page, |engine| engine.verify())
}
