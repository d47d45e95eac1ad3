//! `poclab status`

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;

use super::args::Global;
use super::{Stop, files};
use crate::base::Exit;
use crate::engine::{self, Engine, Event, Selection, Summary};
use crate::report;
use crate::ssh::{HostKeyPolicy, Ssh};

pub fn run(global: &Global) -> Result<Exit, Stop> {
    let lab = files::load(global)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let policy = HostKeyPolicy { known_hosts: lab.known_hosts.clone(), accept_new: global.accept_new_host_keys };
    let connector = Ssh::new(policy, Arc::clone(&interrupted));
    let (events, received) = mpsc::channel();
    let engine = Engine {
        lab: &lab,
        connector: &connector,
        events,
        verbose: false,
        parallel: lab.hosts.len().max(1),
        selection: Selection::default(),
        interrupted: &interrupted,
        always_verify: false,
    };
    let exit = engine.plan();
    drop(engine);
    let summary = received.into_iter().find_map(|event| if let Event::RunDone(summary) = event { Some(*summary) } else { None });
    let summary = summary.unwrap_or_default();
    if global.format == super::args::Format::Json {
        let text = serde_json::to_string_pretty(&summary).map_err(|e| Stop::new(Exit::Failed, e.to_string()))?;
        report::print_text(&format!("{}\n", lab.redactor.redact(&text)));
    } else {
        show(&summary, engine::verified_at(&lab).as_deref());
    }
    // Differences are what was asked for, not a failure; a host that cannot be seen is one.
    Ok(if exit == Exit::Changes { Exit::Done } else { exit })
}

fn show(summary: &Summary, verified: Option<&str>) {
    let hosts = summary.hosts.iter().map(|host| {
        let state = match (&host.error, host.changed) {
            (Some(error), _) => error.clone(),
            (None, 0) => "as it should be".to_owned(),
            (None, 1) => "1 thing differs (poclab plan)".to_owned(),
            (None, n) => format!("{n} things differ (poclab plan)"),
        };
        let roles: Vec<&str> = host.roles.iter().map(|role| role.role.as_str()).collect();
        let system = if host.rehearsal { format!("REHEARSAL host ({})", host.system) } else { host.system.clone() };
        vec![host.name.clone(), host.address.clone(), system, roles.join(" "), state]
    });
    report::print_table(&["host", "address", "system", "roles", "state"], &hosts.collect::<Vec<_>>());
    if !summary.services.is_empty() {
        let services =
            summary.services.iter().map(|s| vec![s.name.clone(), s.host.clone(), s.url.clone(), s.login.clone().unwrap_or_default()]);
        report::print_text("\n");
        report::print_table(&["service", "host", "link", "login"], &services.collect::<Vec<_>>());
    }
    report::print_text("\n");
    for stand_in in &summary.stand_ins {
        report::print_text(&format!("stand-in: {stand_in}\n"));
    }
    match verified {
        Some(when) => report::print_text(&format!("the checks last passed on {when}\n")),
        None => report::print_text("the checks have not passed yet: poclab verify\n"),
    }
}
