//! `poclab observe`

use super::args::{Global, Observe};
use super::{Stop, files};
use crate::base::Exit;
use crate::{engine, report};

pub fn run(global: &Global, command: &Observe) -> Result<Exit, Stop> {
    let lab = files::load(global)?;
    let names = lab.hosts.iter().map(|host| host.name.as_str());
    let host = lab.hosts.iter().position(|host| host.name == command.host);
    let host = host.ok_or_else(|| Stop::usage(files::no_such("host", &command.host, names)))?;
    let (script, _) = engine::observation_script(&lab, host).finish();
    report::print_text(&lab.redactor.redact(&script));
    Ok(Exit::Done)
}
