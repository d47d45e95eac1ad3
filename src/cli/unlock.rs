//! `poclab unlock`

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;

use super::args::{Format, Global, Unlock};
use super::{Stop, files, runs};
use crate::base::Exit;
use crate::engine::{Engine, HostLock, LockState, Selection};
use crate::report;
use crate::ssh::{HostKeyPolicy, Ssh};

pub fn run(global: &Global, command: &Unlock) -> Result<Exit, Stop> {
    let lab = files::load(global)?;
    runs::check_hosts(&lab, &command.hosts)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let policy = HostKeyPolicy { known_hosts: lab.known_hosts.clone(), accept_new: global.accept_new_host_keys };
    let connector = Ssh::new(policy, Arc::clone(&interrupted));
    // Nobody listens: what became of the locks is the result.
    let (events, _) = mpsc::channel();
    let engine = Engine {
        lab: &lab,
        connector: &connector,
        events,
        verbose: false,
        parallel: lab.hosts.len().clamp(1, 16),
        selection: Selection { hosts: command.hosts.clone(), ..Selection::default() },
        interrupted: &interrupted,
        always_verify: false,
        reservations: Vec::new(),
    };
    let locks = engine.unlock(command.force);
    if global.format == Format::Json {
        let text = serde_json::to_string_pretty(&locks).map_err(|e| Stop::new(Exit::Failed, e.to_string()))?;
        report::print_text(&format!("{}\n", lab.redactor.redact(&text)));
    } else {
        report::print_table(&["host", "lock", "of", "from", "since", ""], &locks.iter().map(row).collect::<Vec<_>>());
    }
    Ok(exit(&locks))
}

fn row(lock: &HostLock) -> Vec<String> {
    let state = match lock.state {
        LockState::Free => "none",
        LockState::Held => "HELD",
        LockState::Removed => "removed",
        LockState::Failed => "FAILED",
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    vec![lock.host.clone(), state.to_owned(), text(&lock.owner), text(&lock.from), text(&lock.since), text(&lock.why)]
}

/// 0: no lock is left; 1: one is; 4: a host could not be looked at.
fn exit(locks: &[HostLock]) -> Exit {
    if locks.iter().any(|lock| lock.reached && matches!(lock.state, LockState::Held | LockState::Failed)) {
        Exit::Failed
    } else if locks.iter().any(|lock| !lock.reached) {
        Exit::Unobserved
    } else {
        Exit::Done
    }
}
