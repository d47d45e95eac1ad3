//! Working beside other runs: refusing to, and cleaning up after those that are gone.

use std::sync::PoisonError;

use rayon::prelude::*;

use super::apply::HostRun;
use super::run::{Engine, Slot};
use super::summary::Tally;
use super::{Event, hold};

impl<'a> Engine<'a> {
    /// Cleans up after runs that are gone; a host where that does not work is left out.
    pub(super) fn tidy(&self, slots: &[Slot<'a>], tally: &Tally) {
        self.on_all(slots, |host, run| {
            let tidied = hold::tidy(self.lab, &self.nodes_on(host), run, &self.wires());
            if let Err(failure) = &tidied {
                self.left_out(host, &failure.error, tally);
            }
            tidied.is_ok()
        });
    }

    /// Gives back every host that is still held.
    pub(super) fn give_back(&self, slots: &[Slot<'a>]) {
        self.on_all(slots, |_, run| {
            hold::give_back(run);
            true
        });
    }

    /// Refuses to work beside another run: says who holds which host. Nothing has been changed anywhere then.
    pub(super) fn others(&self, slots: &[Slot<'a>], tally: &Tally) -> bool {
        let mut refused = false;
        for (host, slot) in slots.iter().enumerate() {
            let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(run) = slot.as_ref() else { continue };
            if let Some(record) = run.hold.other(&run.observation.facts) {
                self.left_out(host, &hold::refusal(record), tally);
                refused = true;
            }
        }
        if refused {
            tally.trouble(&format!("nothing was changed on any host: {}", hold::REMEDY));
        }
        refused
    }

    fn left_out(&self, host: usize, error: &str, tally: &Tally) {
        tally.host_failed(host, error);
        tally.host_held();
        self.send(Event::HostFailed { host: self.lab.hosts[host].name.clone(), error: error.to_owned() });
    }

    /// For a plan: notes who works on which host, and what a run that is gone has left. Whether a bootstrap would tidy up.
    pub(super) fn report_others(&self, slots: &[Slot<'a>]) -> bool {
        let mut left = false;
        for (host, slot) in slots.iter().enumerate() {
            let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(run) = slot.as_ref() else { continue };
            let (name, facts) = (&self.lab.hosts[host].name, &run.observation.facts);
            if let Some(record) = run.hold.other(facts) {
                self.send(Event::Note { text: format!("{name}: {}; what is seen here may be out of date soon", hold::refusal(record)) });
                continue;
            }
            for what in run.hold.left(facts) {
                self.send(Event::Note { text: format!("{name}: an earlier run left {what}; `poclab bootstrap` tidies up") });
                left = true;
            }
        }
        left
    }

    /// Does something on all observed hosts in parallel; a host for which it returns false is left out from then on.
    fn on_all(&self, slots: &[Slot<'a>], work: impl Fn(usize, &mut HostRun<'a>) -> bool + Sync) {
        let each = |(host, slot): (usize, &Slot<'a>)| {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            if slot.as_mut().is_some_and(|run| !work(host, run)) {
                *slot = None;
            }
        };
        match rayon::ThreadPoolBuilder::new().num_threads(self.parallel.max(1)).build() {
            Ok(pool) => pool.install(|| slots.par_iter().enumerate().for_each(each)),
            Err(_) => slots.iter().enumerate().for_each(each),
        }
    }
}
