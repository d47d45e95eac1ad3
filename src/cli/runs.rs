//! What bootstrap, plan and verify share: load, connect events to the report, catch interrupts, run.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::args::{Checks, Format, Global, Narrow, Page};
use super::{Stop, files};
use crate::base::{Exit, now};
use crate::check;
use crate::engine::{Engine, Selection};
use crate::lab::Lab;
use crate::mirror;
use crate::report::{self, Reporter};
use crate::ssh::{Connector, HostKeyPolicy, Ssh};

/// Loads the lab and runs `work` on it with everything connected.
pub fn run(
    global: &Global,
    kind: &str,
    narrow: &Narrow,
    checks: &Checks,
    page: &Page,
    work: impl FnOnce(&mut Engine) -> Exit,
) -> Result<Exit, Stop> {
    has_place(page)?;
    let mut lab = files::load(global)?;
    check_names(&lab, narrow, checks)?;
    // Held until the end of the run.
    let _alone = if kind == "bootstrap" { Some(alone(&lab.state_dir)?) } else { None };
    let interrupted = interruptible()?;
    let policy = HostKeyPolicy { known_hosts: lab.known_hosts.clone(), accept_new: global.accept_new_host_keys };
    let connector = Ssh::new(policy, Arc::clone(&interrupted));
    if meet(&lab, &connector) {
        lab = files::load(global)?;
    }
    let options = report::Options {
        format: format(global),
        state_dir: Some(lab.state_dir.clone()),
        kind: kind.to_owned(),
        // A plan is for now; what was done and what was proven is for later as well.
        report: kind != "plan",
        html: page.html.clone(),
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
        // Also where nothing is installed: a verification is what people sign.
        reservations: mirror::reservations(&lab),
    };
    let exit = work(&mut engine);
    // The last sender is gone with the engine: the reporter ends after the last event.
    drop(engine);
    match reporter.finish() {
        Err(text) if exit == Exit::Done => Err(Stop::new(Exit::Failed, text)),
        Err(text) => {
            report::print_error(&text);
            Ok(exit)
        }
        Ok(()) => Ok(exit),
    }
}

/// Meets hosts for the first time: what other hosts must know of them (their host keys) has to be there before the lab is
/// resolved. Whoever cannot be met is told by the run itself. Returns whether there is something new.
fn meet(lab: &Lab, connector: &Ssh) -> bool {
    lab.new_hosts.par_iter().map(|host| connector.connect(&lab.hosts[*host].reach).is_ok()).reduce(|| false, |a, b| a || b)
}

/// Nobody wants to hear after half an hour that the report has no place.
fn has_place(page: &Page) -> Result<(), Stop> {
    let Some(file) = &page.html else { return Ok(()) };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if file.is_dir() {
        Err(Stop::usage(format!("--html {}: that is a folder; name a file in it", file.display())))
    } else if !folder.is_dir() {
        Err(Stop::usage(format!("--html {}: there is no folder {}; make it first", file.display(), folder.display())))
    } else {
        Ok(())
    }
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

/// Refuses a second bootstrap of this lab from this folder: the hosts' own locks would do so as well, but later.
fn alone(state_dir: &Path) -> Result<File, Stop> {
    let path = state_dir.join("bootstrap.lock");
    let cannot = |error: std::io::Error| Stop::new(Exit::Failed, format!("cannot open {}: {error}", path.display()));
    std::fs::create_dir_all(state_dir).map_err(cannot)?;
    let mut file = File::options().read(true).append(true).create(true).open(&path).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => {
            // For the one who is refused; the lock itself ends with this process, however it ends.
            file.set_len(0).and_then(|()| writeln!(file, "process {}, since {}", std::process::id(), now())).map_err(cannot)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut who = String::new();
            let _ = file.read_to_string(&mut who);
            Err(Stop::new(
                Exit::Failed,
                format!(
                    "another `poclab bootstrap` of this lab runs on this machine ({}): wait until it has ended, then run again",
                    who.trim()
                ),
            ))
        }
        Err(TryLockError::Error(error)) => Err(cannot(error)),
    }
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
