//! `poclab status`

use std::sync::Arc;
use std::sync::mpsc;

use super::args::{Global, Status};
use super::{Stop, files, runs};
use crate::base::Exit;
use crate::engine::{Engine, Selection};
use crate::report;
use crate::ssh::{HostKeyPolicy, Ssh};

pub fn run(global: &Global, command: &Status) -> Result<Exit, Stop> {
    let lab = files::load(global)?;
    runs::check_hosts(&lab, &command.hosts)?;
    let interrupted = runs::interruptible()?;
    let policy = HostKeyPolicy { known_hosts: lab.known_hosts.clone(), accept_new: global.accept_new_host_keys };
    let connector = Ssh::new(policy, Arc::clone(&interrupted));
    // Nobody is told how it goes on: it takes a second.
    let (events, _) = mpsc::channel();
    let engine = Engine {
        lab: &lab,
        connector: &connector,
        events,
        verbose: false,
        parallel: command.parallel,
        selection: Selection { hosts: command.hosts.clone(), ..Selection::default() },
        interrupted: &interrupted,
        always_verify: false,
        reservations: Vec::new(),
    };
    let seen = engine.status(!command.no_links);
    report::print_status(&seen, runs::format(global), &lab.redactor).map_err(|why| Stop::new(Exit::Failed, why))?;
    Ok(match seen.exit {
        0 => Exit::Done,
        _ => Exit::Unobserved,
    })
}
