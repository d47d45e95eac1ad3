//! The table of hosts, and the services.

use serde::Serialize;

use super::run::Run;
use crate::engine::{RoleTime, RunKind, ServiceLink};
use crate::report::line::duration;

/// A row.
#[derive(Debug, Serialize)]
pub struct Host {
    pub name: String,
    pub address: String,
    pub groups: Vec<String>,
    /// What it said about itself; empty: it was not looked at.
    pub system: String,
    pub kernel: String,
    pub rehearsal: bool,
    /// `good`, `bad`, `none`.
    pub class: &'static str,
    pub state: String,
    pub error: Option<String>,
    pub roles: Vec<Role>,
}

/// A role on it.
#[derive(Debug, Serialize)]
pub struct Role {
    pub name: String,
    pub state: String,
    /// `good`, `bad`, `due`, `none`.
    pub class: &'static str,
}

/// The hosts of the run, in its order.
pub fn all(run: &Run) -> Vec<Host> {
    run.hosts.iter().map(|name| host(run, name)).collect()
}

fn host(run: &Run, name: &str) -> Host {
    let member = run.scope.members.iter().find(|member| member.name == *name);
    let summary = run.done.as_ref().and_then(|done| done.hosts.iter().find(|host| host.name == *name));
    let look = run.looked.get(name);
    // As `Facts::describe` puts them together.
    let (system, kernel) = look.map(|look| look.system.rsplit_once(", kernel ").unwrap_or((&look.system, ""))).unwrap_or_default();
    let error = summary.and_then(|host| host.error.clone());
    let roles: Vec<Role> = summary.map(|host| host.roles.iter().map(role).collect()).unwrap_or_default();
    let bad = error.is_some() || roles.iter().any(|role| role.class == "bad");
    let changed = summary.map_or(0, |host| host.changed);
    let (class, state) = match (run.done.is_some(), look) {
        _ if bad => ("bad", if error.is_some() { "could not be looked at" } else { "not everything could be set up" }.to_owned()),
        (false, _) => ("none", "the run did not come to its end".to_owned()),
        (true, None) => ("none", "not looked at by this run".to_owned()),
        (true, Some(look)) => match (run.kind, changed) {
            (RunKind::Plan, 0) => ("good", format!("as it should be ({} resources)", look.resources)),
            (RunKind::Plan, n) => ("due", format!("{n} of {} resources would change", look.resources)),
            (_, 0) => ("good", format!("nothing changed ({} resources)", look.resources)),
            (_, n) => ("good", format!("{n} of {} resources changed", look.resources)),
        },
    };
    Host {
        name: name.to_owned(),
        address: member.map(|member| member.address.clone()).or(summary.map(|host| host.address.clone())).unwrap_or_default(),
        groups: member.map(|member| member.groups.clone()).unwrap_or_default(),
        system: system.to_owned(),
        kernel: kernel.to_owned(),
        rehearsal: look.is_some_and(|look| look.rehearsal) || member.is_some_and(|member| member.rehearsal),
        class,
        state,
        error,
        roles,
    }
}

fn role(role: &RoleTime) -> Role {
    let took = if role.seconds >= 0.05 { format!(" in {}", duration(role.seconds)) } else { String::new() };
    let (class, state) = match role.state.as_str() {
        "ok" => ("none", "as it should be".to_owned()),
        "changed" => ("good", format!("{} changed{took}", role.changed)),
        "would change" => ("due", format!("{} would change", role.changed)),
        "failed" => ("bad", format!("FAILED{}", took.replacen(" in", " after", 1))),
        // Neither good nor bad: the summary says what is missing.
        "not configured" => ("due", "not configured".to_owned()),
        other => ("bad", other.to_owned()),
    };
    Role { name: role.role.clone(), state, class }
}

/// A service.
#[derive(Debug, Serialize)]
pub struct Service {
    pub name: String,
    pub host: String,
    pub url: String,
    /// Whether it may be made a link: the web only.
    pub link: bool,
    pub login: String,
}

/// The services that the run named.
pub fn services(run: &Run) -> Vec<Service> {
    let service = |service: &ServiceLink| Service {
        name: service.name.clone(),
        host: service.host.clone(),
        url: service.url.clone(),
        link: service.url.starts_with("https://") || service.url.starts_with("http://"),
        login: service.login.clone().unwrap_or_default(),
    };
    run.done.as_ref().map(|done| done.services.iter().map(service).collect()).unwrap_or_default()
}
