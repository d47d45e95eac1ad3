//! Shows who holds which host, and removes locks that nobody needs any more.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::Serialize;

use crate::lab::Host;

use super::facts;
use super::lock::{self, Claim, Holder, Record};
use super::run::Engine;
use super::session::Session;

/// How it stands with a host's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LockState {
    /// Nobody holds the host.
    Free,
    /// A run that is (or may be) alive holds it; left alone.
    Held,
    /// The lock was removed.
    Removed,
    /// The host could not be asked, or the lock could not be removed.
    Failed,
}

/// The lock of one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HostLock {
    /// Name of the host.
    pub host: String,
    /// What became of the lock.
    pub state: LockState,
    /// Who held it: `user@machine`.
    pub owner: Option<String>,
    /// The address that the host saw the run come from.
    pub from: Option<String>,
    /// When that run began, RFC 3339.
    pub since: Option<String>,
    /// How it is known that the run is gone, why the lock stays, or what failed.
    pub why: Option<String>,
    /// Whether the host itself could be looked at.
    pub reached: bool,
}

impl Engine<'_> {
    /// Looks at the locks of the selected hosts and removes those of runs that are gone; with `force` also those of runs that
    /// may be alive, whose connections are then ended.
    pub fn unlock(&self, force: bool) -> Vec<HostLock> {
        let claim = Claim::new();
        let hosts = self.hosts();
        let one = |&host: &usize| self.unlock_host(&self.lab.hosts[host], &claim, force);
        match rayon::ThreadPoolBuilder::new().num_threads(self.parallel.max(1)).build() {
            Ok(pool) => pool.install(|| hosts.par_iter().map(one).collect()),
            Err(_) => hosts.iter().map(one).collect(),
        }
    }

    fn unlock_host(&self, host: &Host, claim: &Claim, force: bool) -> HostLock {
        let mut session = Session::new(host, self.wires());
        let result = |record: Option<&Record>, state, reached, why: Option<String>| HostLock {
            host: host.name.clone(),
            state,
            owner: record.map(|record| record.owner.clone()),
            from: record.map(|record| record.from.clone()).filter(|from| !from.is_empty()),
            since: record.map(|record| record.since.clone()),
            why,
            reached,
        };
        let mut script = Session::script();
        script.fragment("facts", &facts::fragment());
        let seen = session.run(script, Vec::new(), &mut |_| {}, &mut |_| {}).map_err(|error| error.to_string()).and_then(|(frames, _)| {
            let frame = frames.iter().find(|frame| frame.id == "facts" && frame.status == 0);
            frame
                .map(|frame| facts::parse(&frame.text()))
                .ok_or_else(|| "the host did not run the observation script to its end".to_owned())
        });
        let record = match seen {
            Err(error) => return result(None, LockState::Failed, false, Some(error)),
            Ok(facts) => match facts.lock {
                None => return result(None, LockState::Free, true, None),
                Some(record) => record,
            },
        };
        let why = match claim.judge(&record) {
            Holder::Gone(why) => why,
            _ if force => "removed by force; its connection was ended",
            _ => {
                return result(
                    Some(&record),
                    LockState::Held,
                    true,
                    Some("that run may be alive; --force removes its lock all the same".to_owned()),
                );
            }
        };
        let mut script = Session::script();
        lock::remove(&mut script, &record.run, true);
        let failed = |why: String| result(Some(&record), LockState::Failed, true, Some(why));
        match session.run(script, Vec::new(), &mut |_| {}, &mut |_| {}) {
            Err(error) => failed(error.to_string()),
            Ok((frames, output)) => match frames.iter().find(|frame| frame.id == "unlock") {
                Some(frame) if frame.status == 0 => result(Some(&record), LockState::Removed, true, Some(why.to_owned())),
                Some(frame) => match Record::parse(&frame.text()) {
                    Some(other) => result(Some(&other), LockState::Held, true, Some("it was taken just now".to_owned())),
                    None => failed(frame.text().trim().to_owned()),
                },
                None => failed(format!("the script ended early with exit status {}", output.status)),
            },
        }
    }
}
