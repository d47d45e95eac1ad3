//! What `poclab status` says: everything that one look at each host shows, and whether the links answer. Changes nothing.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{Exit, moment, now};
use crate::lab::{Lab, Service};
use crate::resource::{Detail, State};

use super::hold::Hold;
use super::lock::Claim;
use super::observe::{self, Observation};
use super::plan::{self, NodePlan};
use super::reach::HostReach;
use super::selection::Selection;
use super::session::Session;
use super::{Engine, links, verify};

/// The lab as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "poclab status")]
pub struct StatusReport {
    /// The lab's name.
    pub lab: String,
    /// When the hosts were looked at (RFC 3339, UTC).
    pub at: String,
    /// Version of the poclab that looked.
    pub version: String,
    /// The exit code: 0, or 4 when a host, or something on it, could not be observed. Differences do not change it.
    pub exit: u8,
    /// In the order of the inventory.
    pub hosts: Vec<HostStatus>,
    /// Links of the services, tried from this machine.
    pub links: Vec<LinkStatus>,
    /// When the last data of each host came to where such data is collected, asked there now.
    #[serde(default)]
    pub last_data: Vec<LastData>,
    /// The last complete run of the checks; `null` when there was none.
    pub checks: Option<LastChecks>,
    /// Stand-ins and repackaged products of a rehearsal, in words.
    pub stand_ins: Vec<String>,
}

/// One host as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
pub struct HostStatus {
    /// Its name.
    pub name: String,
    /// Its address in the lab.
    pub address: String,
    /// Why it could not be observed; everything below is empty then.
    pub error: Option<String>,
    /// The system, e.g. `CentOS Linux release 7.6.1810 (Core)`.
    pub system: String,
    /// The kernel's release.
    pub kernel: String,
    /// Seconds since it was started.
    pub uptime: Option<u64>,
    /// Whether it is a rehearsal host.
    pub rehearsal: bool,
    /// The run that holds it and is, or may be, at work.
    pub lock: Option<LockStatus>,
    /// What a run that is gone has left on it (a lock, temporary files, an unconfirmed change), one line each; the next `poclab bootstrap` tidies it up.
    pub left: Vec<String>,
    /// Its roles, in the order in which they are applied.
    pub roles: Vec<RoleStatus>,
    /// Units, containers, packages, images and certificates of its roles, as they were seen.
    pub details: Vec<Detail>,
}

/// The run that holds a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockStatus {
    /// `user@machine`
    pub owner: String,
    /// The address that the host saw it come from; empty when it came another way than SSH.
    pub from: String,
    /// When the run began (RFC 3339, UTC).
    pub since: String,
}

/// One role on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
pub struct RoleStatus {
    /// The role.
    pub role: String,
    /// How many resources it keeps in a state.
    pub resources: usize,
    /// Those that are not as they should be.
    pub differs: Vec<Finding>,
    /// Those that could not be looked at.
    pub unknown: Vec<Finding>,
    /// Those that cannot exist on this host, by a rule that the lab states.
    pub skipped: Vec<Finding>,
    /// Restarts that an earlier run left to be done.
    pub pending: Vec<String>,
    /// What people have to give before it does anything here; `null` when it lacks nothing.
    #[serde(default)]
    pub not_configured: Option<String>,
}

/// A resource, and why it is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// `kind id`
    pub resource: String,
    /// One line each.
    pub why: Vec<String>,
}

/// How a link was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    /// The right answer came.
    Yes,
    /// Another answer came.
    Wrong,
    /// No answer came.
    No,
    /// It was not tried.
    NotTried,
}

/// A service's link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkStatus {
    /// The service.
    pub name: String,
    /// Its host.
    pub host: String,
    /// The link.
    pub url: String,
    /// The command that shows the login, never the login.
    pub login: Option<String>,
    /// How it was reached, trusting the lab CA only.
    pub reached: Reached,
    /// The same in words, with the reason.
    pub says: String,
    /// Until when the certificate is valid that was served (RFC 3339, UTC).
    pub certificate_ends: Option<String>,
}

/// When the last data of a host came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastData {
    /// Who collects it, e.g. `Datadog`.
    pub source: String,
    /// The host that it is about; empty when nothing could be asked.
    pub host: String,
    /// The last moment (RFC 3339, UTC); `null` when none came lately, or it could not be asked.
    pub at: Option<String>,
    /// The same in words, with the reason.
    pub says: String,
}

/// The last complete run of the checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastChecks {
    /// Whether all of them passed.
    pub passed: bool,
    /// When (RFC 3339, UTC).
    pub at: String,
    /// Whether the lab still has the same checks.
    pub same: bool,
}

impl Engine<'_> {
    /// Looks at the selected hosts, one exec each, and (if `try_links`) at the links of their services.
    pub fn status(&self, try_links: bool) -> StatusReport {
        let hosts = self.hosts();
        let on_them = |service: &&Service| hosts.iter().any(|&host| self.lab.hosts[host].name == service.host);
        let services: Vec<&Service> = self.lab.services.iter().filter(on_them).collect();
        let (seen, links) = std::thread::scope(|scope| {
            let links = try_links.then(|| scope.spawn(|| links::all(self.lab, &services)));
            let seen = self.on_hosts(&hosts, |&host| {
                let nodes = self.nodes_on(host);
                let seen = observe::host(self.lab, &nodes, &mut Session::new(&self.lab.hosts[host], self.wires()));
                (host, seen.map(|(observation, frames)| (observation, observe::details(self.lab, &nodes, &frames))))
            });
            let failed = |_| services.iter().map(|service| links::untried(service, "could not be tried")).collect();
            let untried = || services.iter().map(|service| links::untried(service, "not tried")).collect();
            (seen, links.map_or_else(untried, |links| links.join().unwrap_or_else(failed)))
        });
        let claim = Arc::new(Claim::new());
        let mut exit = Exit::Done;
        let hosts = seen.into_iter().map(|(host, seen)| {
            let about = &self.lab.hosts[host];
            let mut status = HostStatus { name: about.name.clone(), address: about.address.to_string(), ..HostStatus::default() };
            match seen {
                Err(error) => {
                    status.error = Some(error);
                    exit = Exit::Unobserved;
                }
                Ok((observation, details)) => {
                    let (roles, stuck) = roles(self.lab, &self.nodes_on(host), &observation);
                    let facts = observation.facts;
                    let hold = Hold::new(Arc::clone(&claim), &facts);
                    status.lock = hold.other(&facts).map(|record| LockStatus {
                        owner: record.owner.clone(),
                        from: record.from.clone(),
                        since: record.since.clone(),
                    });
                    status.left = hold.left(&facts);
                    status.system = facts.system.trim().to_owned();
                    status.kernel = facts.kernel;
                    status.uptime = facts.uptime;
                    status.rehearsal = facts.rehearsal.is_some();
                    status.roles = roles;
                    status.details = unique(details);
                    if stuck {
                        exit = Exit::Unobserved;
                    }
                }
            }
            status
        });
        let hosts = hosts.collect();
        StatusReport {
            lab: self.lab.name.clone(),
            at: now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            exit: exit as u8,
            hosts,
            links,
            last_data: if try_links { self.last_data() } else { Vec::new() },
            checks: verify::last(self.lab),
            stand_ins: self.lab.stand_ins.clone(),
        }
    }
}

impl Engine<'_> {
    /// Asks those who collect data of the selected hosts.
    fn last_data(&self) -> Vec<LastData> {
        let reach = HostReach::new(self.lab, self.wires(), Vec::new());
        let mut all = Vec::new();
        for check in &self.lab.checks {
            match check.spec.arrivals(&reach) {
                None => {}
                Some(Err(why)) => {
                    let says = format!("could not be asked: {why}");
                    all.push(LastData { source: check.spec.kind().to_owned(), host: String::new(), at: None, says });
                }
                Some(Ok(arrivals)) => {
                    let wanted = arrivals.into_iter().filter(|arrival| Selection::wants(&self.selection.hosts, &arrival.host));
                    all.extend(wanted.map(|arrival| {
                        let at = arrival.at.map(moment);
                        let says = at.clone().unwrap_or_else(|| "none lately".to_owned());
                        LastData { source: arrival.source, host: arrival.host, at, says }
                    }));
                }
            }
        }
        all
    }
}

/// Two roles may both want the same package or file; it was seen once.
fn unique(details: Vec<Detail>) -> Vec<Detail> {
    let mut unique: Vec<Detail> = Vec::new();
    for detail in details {
        if !unique.contains(&detail) {
            unique.push(detail);
        }
    }
    unique
}

/// The roles' states, and whether something could not be looked at although nothing has to be changed before (as in `plan`).
fn roles(lab: &Lab, nodes: &[usize], observation: &Observation) -> (Vec<RoleStatus>, bool) {
    let (mut stuck, mut changes_before) = (false, false);
    let mut roles = Vec::new();
    for &index in nodes {
        let plan = plan::node(lab, index, observation);
        changes_before |= !plan.changed.is_empty() || !plan.handlers.is_empty();
        stuck |= !plan.unknown.is_empty() && !changes_before;
        roles.push(role(lab, index, &plan, observation));
    }
    (roles, stuck)
}

fn role(lab: &Lab, index: usize, plan: &NodePlan, observation: &Observation) -> RoleStatus {
    let node = &lab.nodes[index];
    let finding = |i: usize, why: Vec<String>| Finding { resource: node.resources[i].label(), why };
    let reasons = |i: usize| match observation.states.get(&(index, i)).map(|seen| &seen.state) {
        Some(State::Drift(changes)) => changes.iter().map(|change| change.what.clone()).collect(),
        _ => Vec::new(),
    };
    let told = |list: &[(usize, String)]| list.iter().map(|(i, why)| finding(*i, vec![why.clone()])).collect();
    RoleStatus {
        role: node.role.clone(),
        resources: node.resources.len(),
        differs: plan.changed.iter().map(|&i| finding(i, reasons(i))).collect(),
        unknown: told(&plan.unknown),
        skipped: told(&plan.skipped),
        pending: plan.left_over.iter().map(|&handler| node.handlers[handler].name.clone()).collect(),
        not_configured: node.not_configured.clone(),
    }
}

/// The JSON schema of `poclab status --format json`.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(StatusReport).to_value()
}
