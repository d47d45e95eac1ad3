//! `poclab bootstrap`

use super::args::{Bootstrap, Global};
use super::{Stop, runs};
use crate::base::Exit;

pub fn run(global: &Global, command: &Bootstrap) -> Result<Exit, Stop> {
    runs::run(global, "bootstrap", &command.narrow, &command.checks, &command.page, |engine| {
        engine.always_verify = command.verify;
        engine.bootstrap()
    })
}
