//! Collects what a run came to.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::base::Exit;
use crate::lab::Lab;

use super::facts::Facts;
use super::plan::NodePlan;
use super::{CheckCounts, HostSummary, RoleTime, RunKind, ServiceLink, Summary};

/// The running count of a run; shared by its threads.
pub struct Tally<'a> {
    lab: &'a Lab,
    started: Instant,
    nodes: Vec<usize>,
    kind: RunKind,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    summary: Summary,
    hosts: BTreeMap<usize, HostSummary>,
    roles: BTreeMap<usize, RoleTime>,
    /// Resources per node that could not be looked at (yet).
    unknown: BTreeMap<usize, usize>,
    /// Whether a host was left alone because another run holds it.
    held: bool,
}

impl<'a> Tally<'a> {
    /// Starts counting.
    pub fn new(lab: &'a Lab, hosts: Vec<usize>, nodes: Vec<usize>, kind: RunKind) -> Self {
        let hosts = hosts.into_iter().map(|h| {
            let host = &lab.hosts[h];
            (h, HostSummary { name: host.name.clone(), address: host.address.to_string(), ..HostSummary::default() })
        });
        let inner = Inner { hosts: hosts.collect(), ..Inner::default() };
        Self { lab, started: Instant::now(), nodes, kind, inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A host was observed.
    pub fn observed(&self, host: usize, facts: &Facts) {
        if let Some(summary) = self.lock().hosts.get_mut(&host) {
            summary.system = facts.describe();
            summary.rehearsal = facts.rehearsal.is_some();
        }
    }

    /// A host could not be observed.
    pub fn host_failed(&self, host: usize, error: &str) {
        if let Some(summary) = self.lock().hosts.get_mut(&host) {
            summary.error = Some(error.to_owned());
        }
    }

    /// A host is held by another run, and so was left alone.
    pub fn host_held(&self) {
        self.lock().held = true;
    }

    /// Whether a host is held by another run.
    pub fn any_host_held(&self) -> bool {
        self.lock().held
    }

    /// Something is wrong with a host although it can be worked on.
    pub fn warning(&self, host: usize, warning: &str) {
        if let Some(summary) = self.lock().hosts.get_mut(&host) {
            summary.warnings.push(warning.to_owned());
        }
    }

    /// Whether there was any warning about a host.
    pub fn warned(&self) -> bool {
        self.lock().hosts.values().any(|host| !host.warnings.is_empty())
    }

    /// A node was planned.
    pub fn planned(&self, node: usize, plan: &NodePlan) {
        let mut inner = self.lock();
        inner.summary.resources += self.lab.nodes[node].resources.len();
        inner.unknown.insert(node, plan.unknown.len());
        inner.summary.skipped += plan.skipped.len();
    }

    /// A node ended.
    pub fn node(&self, node: usize, state: &str, changed: usize, seconds: f64) {
        let role = RoleTime { role: self.lab.nodes[node].role.clone(), seconds, changed, state: state.to_owned() };
        let mut inner = self.lock();
        if matches!(state, "ok" | "changed") && self.kind != RunKind::Plan {
            // It was applied, so everything in it has been looked at since.
            inner.unknown.remove(&node);
        }
        inner.roles.insert(node, role);
    }

    /// Whether a node was counted.
    pub fn has(&self, node: usize) -> bool {
        self.lock().roles.contains_key(&node)
    }

    /// Whether any node ended like this.
    pub fn any(&self, state: &str) -> bool {
        self.lock().roles.values().any(|role| role.state == state)
    }

    /// Whether any host could not be observed.
    pub fn any_host_failed(&self) -> bool {
        self.lock().hosts.values().any(|host| host.error.is_some())
    }

    /// Resources changed (or that would change) so far.
    pub fn changed(&self) -> usize {
        self.lock().roles.values().map(|role| role.changed).sum()
    }

    /// Something went wrong that belongs to no host.
    pub fn trouble(&self, text: &str) {
        self.lock().summary.next.push(text.to_owned());
    }

    /// The checks ran.
    pub fn checks(&self, passed: usize, failed: usize, skipped: usize) {
        self.lock().summary.checks = Some(CheckCounts { passed, failed, skipped });
    }

    /// The checks did not run.
    pub fn checks_note(&self, why: &str) {
        self.lock().summary.checks_note = Some(why.to_owned());
    }

    /// The summary.
    pub fn summary(self, exit: Exit) -> Summary {
        let lab = self.lab;
        let inner = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut summary = inner.summary;
        summary.unknown = inner.unknown.values().sum();
        let mut hosts = inner.hosts;
        for node in self.nodes {
            let role = inner.roles.get(&node).cloned().unwrap_or_default();
            if let Some(host) = hosts.get_mut(&lab.nodes[node].host)
                && !role.role.is_empty()
            {
                host.changed += role.changed;
                host.roles.push(role);
            }
        }
        let failed = hosts
            .values()
            .any(|host| host.error.is_some() || host.roles.iter().any(|role| role.state == "failed" || role.state == "not reached"));
        let again = match self.kind {
            RunKind::Bootstrap => "run `poclab bootstrap` again: it goes on where it stopped",
            RunKind::Plan => "run `poclab plan` again",
            RunKind::Verify => "run `poclab verify` again",
        };
        if exit == Exit::Interrupted {
            summary.next.push(again.to_owned());
        } else if failed && !inner.held {
            summary.next.push(format!("mend what is said above and {again}"));
        } else if exit == Exit::Changes {
            summary.next.push("`poclab bootstrap` makes these changes".to_owned());
        }
        summary.exit = exit as u8;
        summary.seconds = self.started.elapsed().as_secs_f64();
        summary.hosts = hosts.into_values().collect();
        summary.changed = summary.hosts.iter().map(|host| host.changed).sum();
        let link = |s: &crate::lab::Service| ServiceLink {
            name: s.name.clone(),
            host: s.host.clone(),
            url: s.url.clone(),
            login: s.login.clone(),
        };
        summary.services = lab.services.iter().map(link).collect();
        summary.stand_ins = lab.stand_ins.clone();
        summary
    }
}
