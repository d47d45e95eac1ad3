//! What bootstrap, plan and verify share: load, connect events to the report, catch interrupts, run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::args::{Checks, Format, Global, Narrow};
use super::{Stop, files};
use crate::base::Exit;
use crate::check;
use crate::engine::{Engine, Selection};
use crate::lab::Lab;
use crate::report::{self, Reporter};
use crate::ssh::{HostKeyPolicy, Ssh};

/// Loads the lab and runs `work` on it with everything connected.
pub fn run(global: &Global, kind: &str, narrow: &Narrow, checks: &Checks, work: impl FnOnce(&mut Engine) -> Exit) -> Result<Exit, Stop> {
    let lab = files::load(global)?;
    check_names(&lab, narrow, checks)?;
    let interrupted = interruptible()?;
    let policy = HostKeyPolicy { known_hosts: lab.known_hosts.clone(), accept_new: global.accept_new_host_keys };
    let connector = Ssh::new(policy, Arc::clone(&interrupted));
    let options = report::Options {
        format: format(global),
        state_dir: Some(lab.state_dir.clone()),
        kind: kind.to_owned(),
        redactor: lab.redactor.clone(),
    };
    let (events, reporter) = Reporter::spawn(options);
    let selection = Selection {
        hosts: narrow.hosts.clone(),
        roles: narrow.roles.clone(),
        checks: checks.checks.clone(),
        no_disruption: checks.no_disruption,
    };
    let mut engine = Engine {
        lab: &lab,
        connector: &connector,
        events,
        verbose: global.verbose,
        parallel: narrow.parallel,
        selection,
        interrupted: &interrupted,
        always_verify: false,
    };
    let exit = work(&mut engine);
    // The last sender is gone with the engine: the reporter ends after the last event.
    drop(engine);
    reporter.finish();
    Ok(exit)
}

/// The report's format.
pub fn format(global: &Global) -> report::Format {
    match global.format {
        Format::Text => report::Format::Text,
        Format::Json => report::Format::Json,
        Format::Junit => report::Format::Junit,
    }
}

/// A flag that Ctrl-C sets; a second Ctrl-C ends the program at once.
pub fn interruptible() -> Result<Arc<AtomicBool>, Stop> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    ctrlc::set_handler(move || {
        if set.swap(true, Ordering::SeqCst) {
            std::process::exit(Exit::Interrupted as i32);
        }
        report::print_notice("interrupted: stopping; what was begun on a host is finished by the next run (again to stop at once)");
    })
    .map_err(|e| Stop::new(Exit::Failed, format!("cannot catch interrupts: {e}")))?;
    Ok(flag)
}

/// All these hosts exist.
pub fn check_hosts(lab: &Lab, hosts: &[String]) -> Result<(), Stop> {
    check_names(lab, &Narrow { hosts: hosts.to_vec(), ..Narrow::default() }, &Checks::default())
}

fn check_names(lab: &Lab, narrow: &Narrow, checks: &Checks) -> Result<(), Stop> {
    let hosts = lab.hosts.iter().map(|host| host.name.as_str());
    let mut roles: Vec<&str> = lab.nodes.iter().map(|node| node.role.as_str()).collect();
    roles.sort_unstable();
    roles.dedup();
    let unknown = |what, names: &[String], known: &[&str]| {
        names.iter().find(|name| !known.contains(&name.as_str())).map(|name| files::no_such(what, name, known.iter().copied()))
    };
    let hosts: Vec<&str> = hosts.collect();
    let wrong = unknown("host", &narrow.hosts, &hosts)
        .or_else(|| unknown("role", &narrow.roles, &roles))
        .or_else(|| unknown("check", &checks.checks, check::NAMES));
    wrong.map_or(Ok(()), |text| Err(Stop::usage(text)))
}
