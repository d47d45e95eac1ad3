//! The three runs: bootstrap, plan, verify.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rayon::prelude::*;

use crate::base::frame::ScriptBuilder;
use crate::base::{Exit, now};
use crate::lab::Lab;
use crate::ssh::Connector;

use super::apply::{self, HostRun};
use super::hold::Hold;
use super::lock::Claim;
use super::observe::{self, Observation};
use super::plan::{self, NodePlan};
use super::reach::HostReach;
use super::schedule::{self, Ended};
use super::selection::Selection;
use super::session::{Session, Wires};
use super::summary::Tally;
use super::{Event, RunKind, changes, clock, scope, verify};

/// Connections that stay open, for the checks, although there is nothing to do on their hosts. An open connection takes about
/// 200 KB; with many hosts the others are closed, and a check that needs one connects anew.
const IDLE_CONNECTIONS: usize = 64;

/// Runs things on a lab.
pub struct Engine<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// Opens connections.
    pub connector: &'a dyn Connector,
    /// Where events go.
    pub events: Sender<Event>,
    /// Report every script that is run.
    pub verbose: bool,
    /// Most hosts worked on at the same time.
    pub parallel: usize,
    /// What to narrow the run to.
    pub selection: Selection,
    /// Set when the user interrupts.
    pub interrupted: &'a AtomicBool,
    /// Verify even when nothing changed and the last verification passed.
    pub always_verify: bool,
    /// Said at the start of a run ([`Event::Reservation`]): what speaks against trusting what it installs, or has installed.
    pub reservations: Vec<Event>,
}

/// The script that observes everything on a host, as sent by `plan` and `bootstrap`.
pub fn observation_script(lab: &Lab, host: usize) -> ScriptBuilder {
    let mut script = Session::script();
    observe::add_fragments(&mut script, lab, &nodes_of(lab, host));
    script
}

fn nodes_of(lab: &Lab, host: usize) -> Vec<usize> {
    (0..lab.nodes.len()).filter(|&n| lab.nodes[n].host == host).collect()
}

pub(super) type Slot<'a> = Mutex<Option<HostRun<'a>>>;

impl<'a> Engine<'a> {
    /// Plans, applies, and verifies when something changed or was never verified.
    pub fn bootstrap(&self) -> Exit {
        let tally = self.start(RunKind::Bootstrap);
        let slots = self.observe_all(&tally, true);
        if self.others(&slots, &tally) {
            tally.checks_note("not run");
            return self.finish(tally, Exit::Failed);
        }
        self.tidy(&slots, &tally);
        self.report_plans(&slots, &tally, false);
        self.apply_all(&slots, &tally);
        self.give_back(&slots);
        let exit = self.exit(&tally);
        let exit = if exit != Exit::Done {
            let interrupted = exit == Exit::Interrupted;
            tally.checks_note(if interrupted {
                "not run, as the run was interrupted"
            } else {
                "not run, as not everything could be set up"
            });
            exit
        } else if tally.changed() == 0
            && !self.always_verify
            && !tally.warned()
            && let Some(when) = verify::passed_at(self.lab)
        {
            tally.checks_note(&format!("not run again, as nothing changed; they passed on {when} (`poclab verify` runs them)"));
            exit
        } else {
            let sessions =
                slots.into_iter().filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner)).map(|run| run.session);
            self.check(sessions.collect(), &tally)
        };
        self.finish(tally, exit)
    }

    /// Says what would change.
    pub fn plan(&self) -> Exit {
        let tally = self.start(RunKind::Plan);
        let slots = self.observe_all(&tally, false);
        let left = self.report_others(&slots);
        let stuck = self.report_plans(&slots, &tally, true);
        let exit = match self.exit(&tally) {
            Exit::Done if stuck => Exit::Unobserved,
            Exit::Done if tally.changed() > 0 || left => Exit::Changes,
            exit => exit,
        };
        self.finish(tally, exit)
    }

    /// Runs the checks.
    pub fn verify(&self) -> Exit {
        let tally = self.start(RunKind::Verify);
        let exit = self.check(Vec::new(), &tally);
        self.finish(tally, exit)
    }

    pub(super) fn hosts(&self) -> Vec<usize> {
        (0..self.lab.hosts.len()).filter(|&h| Selection::wants(&self.selection.hosts, &self.lab.hosts[h].name)).collect()
    }

    /// The nodes of this run, in an order where requirements come first.
    fn nodes(&self) -> Vec<usize> {
        (0..self.lab.nodes.len())
            .filter(|&n| {
                let node = &self.lab.nodes[n];
                Selection::wants(&self.selection.hosts, &self.lab.hosts[node.host].name)
                    && Selection::wants(&self.selection.roles, &node.role)
            })
            .collect()
    }

    pub(super) fn nodes_on(&self, host: usize) -> Vec<usize> {
        let here = nodes_of(self.lab, host).into_iter();
        here.filter(|&n| Selection::wants(&self.selection.roles, &self.lab.nodes[n].role)).collect()
    }

    pub(super) fn wires(&self) -> Wires<'a> {
        Wires { connector: self.connector, events: self.events.clone(), verbose: self.verbose }
    }

    pub(super) fn send(&self, event: Event) {
        let _ = self.events.send(event);
    }

    fn start(&self, kind: RunKind) -> Tally<'a> {
        let hosts = self.hosts();
        let roles: BTreeSet<&String> = self.nodes().into_iter().map(|n| &self.lab.nodes[n].role).collect();
        self.send(Event::RunStarted {
            kind,
            lab: self.lab.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hosts: hosts.iter().map(|&h| self.lab.hosts[h].name.clone()).collect(),
            roles: roles.into_iter().cloned().collect(),
            started: now(),
        });
        self.send(Event::Scope(Box::new(scope::of(self.lab, &self.selection))));
        self.reservations.iter().for_each(|event| self.send(event.clone()));
        let tally = Tally::new(self.lab, hosts, self.nodes(), kind);
        for index in self.nodes() {
            let node = &self.lab.nodes[index];
            if let Some(why) = &node.not_configured {
                let (host, role) = (self.lab.hosts[node.host].name.clone(), node.role.clone());
                self.send(Event::RoleNotConfigured { host, role, why: why.clone() });
                tally.node(index, "not configured", 0, 0.0);
            }
        }
        tally
    }

    /// Looks at hosts; connections are only kept where `more` is to come.
    fn look(&self, hosts: &[usize], more: bool) -> Vec<(usize, Result<HostRun<'a>, String>)> {
        let idle = AtomicUsize::new(0);
        let claim = Arc::new(Claim::new());
        let look_at = |&h: &usize| {
            let (started, asked) = (Instant::now(), clock::now());
            let host = &self.lab.hosts[h];
            let mut session = Session::new(host, self.wires());
            let nodes = self.nodes_on(h);
            let seen = observe::host(self.lab, &nodes, &mut session).map(|(observation, _)| observation);
            let warning = seen.as_ref().ok().and_then(|o| clock::off(asked, o.facts.clock?, clock::now())).map(clock::warning);
            match &seen {
                Ok(observation) => self.send(Event::Observed {
                    host: host.name.clone(),
                    resources: observation.states.len(),
                    seconds: started.elapsed().as_secs_f64(),
                    system: observation.facts.describe(),
                    rehearsal: observation.facts.rehearsal.is_some(),
                }),
                Err(error) => self.send(Event::HostFailed { host: host.name.clone(), error: error.clone() }),
            }
            if let Some(warning) = &warning {
                self.send(Event::HostWarning { host: host.name.clone(), warning: warning.clone() });
            }
            let waits = |seen: &Observation| nodes.iter().any(|&n| !plan::node(self.lab, n, seen).is_done());
            let keep = more && seen.as_ref().is_ok_and(|seen| waits(seen) || idle.fetch_add(1, Ordering::Relaxed) < IDLE_CONNECTIONS);
            if !keep {
                session.close();
            }
            let hold = |observation: &Observation| Hold::new(Arc::clone(&claim), &observation.facts);
            (h, seen.map(|observation| HostRun { session, reported: BTreeSet::new(), hold: hold(&observation), observation, warning }))
        };
        self.on_hosts(hosts, look_at)
    }

    /// Work on hosts, on at most `parallel` of them at the same time.
    pub(super) fn on_hosts<T: Send>(&self, hosts: &[usize], work: impl Fn(&usize) -> T + Sync + Send) -> Vec<T> {
        match rayon::ThreadPoolBuilder::new().num_threads(self.parallel.clamp(1, hosts.len().max(1))).build() {
            // One host at a time: of a larger piece, all would wait behind one that does not answer.
            Ok(pool) => pool.install(|| hosts.par_iter().with_max_len(1).map(work).collect()),
            Err(_) => hosts.iter().map(work).collect(),
        }
    }

    /// One slot per host of the lab; empty when the host is not part of the run or could not be observed.
    fn observe_all(&self, tally: &Tally, more: bool) -> Vec<Slot<'a>> {
        let mut slots: Vec<Slot<'a>> = self.lab.hosts.iter().map(|_| Mutex::new(None)).collect();
        for (host, seen) in self.look(&self.hosts(), more) {
            match seen {
                Ok(run) => {
                    tally.observed(host, &run.observation.facts);
                    run.warning.iter().for_each(|warning| tally.warning(host, warning));
                    slots[host] = Mutex::new(Some(run));
                }
                Err(error) => tally.host_failed(host, &error),
            }
        }
        slots
    }

    /// Reports what every node would do; says whether something can neither be looked at now nor after earlier changes.
    fn report_plans(&self, slots: &[Slot<'a>], tally: &Tally, planning: bool) -> bool {
        let mut stuck = false;
        for (host, slot) in slots.iter().enumerate() {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(run) = slot.as_mut() else { continue };
            let mut changes_before = false;
            for node in self.nodes_on(host) {
                let plan = plan::node(self.lab, node, &run.observation);
                changes_before |= !plan.changed.is_empty() || !plan.handlers.is_empty();
                tally.planned(node, &plan);
                self.report_plan(node, &plan, run, changes_before);
                stuck |= !plan.unknown.is_empty() && !changes_before;
                if planning && self.lab.nodes[node].not_configured.is_none() {
                    let pending = plan.left_over.len();
                    let state = if plan.changed.is_empty() && pending == 0 { "ok" } else { "would change" };
                    tally.node(node, state, plan.changed.len() + pending, 0.0);
                }
            }
        }
        stuck
    }

    fn report_plan(&self, index: usize, plan: &NodePlan, run: &mut HostRun<'a>, deferred: bool) {
        let node = &self.lab.nodes[index];
        let host = &self.lab.hosts[node.host].name;
        for &i in &plan.changed {
            changes::report(self.lab, (index, i), run, &self.wires());
        }
        for (i, why) in &plan.skipped {
            self.send(Event::ResourceSkipped {
                host: host.clone(),
                role: node.role.clone(),
                resource: node.resources[*i].label(),
                why: why.clone(),
            });
        }
        for (i, why) in &plan.unknown {
            self.send(Event::ResourceUnknown {
                host: host.clone(),
                role: node.role.clone(),
                resource: node.resources[*i].label(),
                why: why.clone(),
                deferred,
            });
        }
        for &h in &plan.left_over {
            self.send(Event::Change {
                host: host.clone(),
                role: node.role.clone(),
                resource: format!("handler {}", node.handlers[h].name),
                reasons: vec!["still to be done from an earlier run that did not finish".to_owned()],
                diff: None,
                origin: String::new(),
            });
        }
    }

    fn apply_all(&self, slots: &[Slot<'a>], tally: &Tally) {
        let nodes = self.nodes();
        let work = |index: usize| self.work(index, &slots[self.lab.nodes[index].host], tally);
        let skip = |index: usize, because: usize| {
            let (node, blocker) = (&self.lab.nodes[index], &self.lab.nodes[because]);
            let because = format!("role {} on {} did not succeed", blocker.role, self.lab.hosts[blocker.host].name);
            self.send(Event::RoleNotReached {
                host: self.lab.hosts[node.host].name.clone(),
                role: node.role.clone(),
                because: because.clone(),
            });
            tally.node(index, "not reached", 0, 0.0);
        };
        match schedule::run(self.lab, &nodes, self.parallel, work, skip) {
            Ok(ended) => {
                for (index, ended) in ended {
                    if ended == Ended::Failed && !tally.has(index) {
                        tally.node(index, "not reached", 0, 0.0);
                    }
                }
            }
            Err(error) => tally.trouble(&error),
        }
    }

    fn work(&self, index: usize, slot: &Slot<'a>, tally: &Tally) -> bool {
        let node = &self.lab.nodes[index];
        if node.not_configured.is_some() {
            // Said at the start. Whoever needs what it would have set up says so itself.
            return true;
        }
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(run) = slot.as_mut() else { return false };
        if self.interrupted.load(Ordering::SeqCst) {
            return false;
        }
        let started = Instant::now();
        let later: Vec<usize> = self.nodes_on(node.host).into_iter().skip_while(|&n| n != index).skip(1).collect();
        let (host, role) = (self.lab.hosts[node.host].name.clone(), node.role.clone());
        let mut changed = BTreeSet::new();
        let result = apply::node(self.lab, index, &later, run, &self.wires(), &mut changed);
        let changed = changed.len();
        let seconds = started.elapsed().as_secs_f64();
        match result {
            Ok(()) => {
                tally.node(index, if changed == 0 { "ok" } else { "changed" }, changed, seconds);
                self.send(Event::RoleDone { host, role, changed, seconds });
                true
            }
            Err(mut failure) => {
                if let Some(warning) = &run.warning {
                    failure.hint =
                        Some(failure.hint.iter().cloned().chain([format!("mind also: {warning}")]).collect::<Vec<_>>().join("; "));
                }
                tally.node(index, "failed", changed, seconds);
                self.send(Event::RoleFailed { host, role, error: failure.error, output: failure.output, hint: failure.hint });
                false
            }
        }
    }

    fn check(&self, sessions: Vec<Session<'a>>, tally: &Tally) -> Exit {
        let reach = HostReach::new(self.lab, self.wires(), sessions);
        let result = verify::run(self.lab, &self.selection, &reach, &self.wires(), self.interrupted);
        tally.checks(result.passed, result.failed, result.skipped);
        if self.interrupted.load(Ordering::SeqCst) {
            return Exit::Interrupted;
        }
        if let Err(error) = verify::remember(self.lab, &result) {
            self.send(Event::Note { text: format!("cannot remember the result of the checks: {error}") });
        }
        if result.failed > 0 { Exit::CheckFailed } else { Exit::Done }
    }

    fn exit(&self, tally: &Tally) -> Exit {
        if self.interrupted.load(Ordering::SeqCst) {
            Exit::Interrupted
        } else if tally.any("failed") || tally.any_host_held() {
            Exit::Failed
        } else if tally.any_host_failed() {
            Exit::Unobserved
        } else if tally.any("not reached") {
            Exit::Failed
        } else {
            Exit::Done
        }
    }

    fn finish(&self, tally: Tally, exit: Exit) -> Exit {
        self.send(Event::RunDone(Box::new(tally.summary(exit))));
        exit
    }
}
