//! Holding one host during a run: taking it, tidying up after a run that was killed there, giving it back.

use std::sync::Arc;

use crate::base::frame::{Frame, ScriptBuilder, Seen};
use crate::lab::{Host, Lab};
use crate::resource::confirm;

use super::apply::{self, Failure, HostRun};
use super::facts::Facts;
use super::lock::{self, Claim, Holder, Record, Taken, WAIT_SECONDS};
use super::session::{Session, Wires};
use super::{Event, hint, observe, script};

/// Whether a host is ours, and how we would take it.
#[derive(Debug, Clone)]
pub struct Hold {
    claim: Arc<Claim>,
    /// The run that held it and is gone.
    gone: Option<String>,
    held: bool,
}

impl Hold {
    /// Not taken; `facts` tell who was there before.
    pub fn new(claim: Arc<Claim>, facts: &Facts) -> Self {
        let gone = facts.lock.as_ref().filter(|record| matches!(claim.judge(record), Holder::Gone(_)));
        Self { gone: gone.map(|record| record.run.clone()), claim, held: false }
    }

    /// The run that holds the host and may be alive, if it is not us.
    pub fn other<'f>(&self, facts: &'f Facts) -> Option<&'f Record> {
        facts.lock.as_ref().filter(|record| self.claim.judge(record) == Holder::Alive)
    }

    /// What a run that is gone has left on the host, in words, one per line.
    pub fn left(&self, facts: &Facts) -> Vec<String> {
        let mut left = Vec::new();
        if let Some(record) = &facts.lock
            && let Holder::Gone(why) = self.claim.judge(record)
        {
            left.push(format!("the lock of {}: {why}", record.describe()));
        }
        if facts.unfinished {
            left.push("a step that was cut off: it may have left temporary files".to_owned());
        }
        left.extend(facts.unconfirmed.iter().map(|unit| {
            format!("a change that was not confirmed ({unit}): the host undoes it by itself, or has done so, unless `poclab bootstrap` confirms it")
        }));
        left
    }

    /// The beginning of every exec that changes the host.
    pub fn take(&self, script: &mut ScriptBuilder, host: &Host) {
        lock::take(script, &self.claim, self.gone.as_deref(), &host.reach);
    }

    /// Judges the frames of [`Hold::take`].
    pub fn taken(&mut self, frames: &[Frame], host: &Host, wires: &Wires) -> Result<(), Failure> {
        match lock::taken(frames) {
            Taken::Yes(before) => {
                self.held = !frames.iter().any(|frame| frame.id == "free" && frame.status == 0);
                if let Some(record) = before {
                    let text = format!("{}: took over from {}: that run is gone", host.name, record.describe());
                    wires.send(Event::Note { text });
                }
                Ok(())
            }
            Taken::No(record) => Err(Failure { error: refusal(&record), output: Vec::new(), hint: Some(REMEDY.to_owned()) }),
            Taken::Busy(process) => {
                let process = if process.is_empty() { String::new() } else { format!(" (process {process})") };
                Err(Failure {
                    error: format!(
                        "a step of an earlier run, which was cut off, still works on this host{process}; waited {WAIT_SECONDS} s for it"
                    ),
                    output: Vec::new(),
                    hint: Some("it ends by itself: run again in a while; `ps` on the host shows what it does".to_owned()),
                })
            }
            // Nothing was begun: the caller sees that its own frames are missing.
            Taken::Failed(text) if text.is_empty() => Ok(()),
            Taken::Failed(text) => Err(Failure {
                error: "cannot take the host's lock in /var/lib/poclab".to_owned(),
                hint: hint::hint(&text),
                output: apply::last_lines(text.as_bytes()),
            }),
        }
    }
}

/// Why nothing is changed on a host that another run holds.
pub fn refusal(record: &Record) -> String {
    format!("another poclab run holds this host: {}", record.describe())
}

/// What to do about another run.
pub const REMEDY: &str =
    "wait until that run has ended, then run again; `poclab unlock` shows all locks and removes those of runs that are gone";

/// Says that an exec waits for a script which outlived its run.
pub fn told(seen: &Seen, host: &str, wires: &Wires) {
    if matches!(seen, Seen::Begin(id) if id == "wait") {
        let text = format!("{host}: a step of an earlier run still works there; waiting for it, at most {WAIT_SECONDS} s");
        wires.send(Event::Note { text });
    }
}

/// Removes what a run that is gone has left, confirms its changes (this login is newer than they are), and looks again.
/// Does nothing when nothing was left.
pub fn tidy<'a>(lab: &Lab, nodes: &[usize], run: &mut HostRun<'a>, wires: &Wires<'a>) -> Result<(), Failure> {
    let left = run.hold.left(&run.observation.facts);
    if left.is_empty() {
        return Ok(());
    }
    let host = run.session.host;
    for what in left {
        wires.send(Event::Note { text: format!("{}: an earlier run left {what}", host.name) });
    }
    let mut script = Session::script();
    run.hold.take(&mut script, host);
    script::sweep(&mut script);
    if !run.observation.facts.unconfirmed.is_empty() {
        script.fragment("confirm", &format!("exec 2>&1\n{}", confirm::CONFIRM));
    }
    observe::add_fragments(&mut script, lab, nodes);
    let (frames, output) = run.session.run(script, Vec::new(), &mut |seen| told(seen, &host.name, wires), &mut |_| {})?;
    run.hold.taken(&frames, host, wires)?;
    if let Some(frame) = frames.iter().find(|frame| frame.id == "confirm" && frame.status != 0) {
        wires.send(Event::Note { text: format!("{}: {}", host.name, frame.text().trim()) });
    }
    apply::merge(lab, nodes, &frames, &output, run)
}

/// Gives the host back when the last exec did not: after a failure, or when less was to be done than it looked like.
///
/// Only over a connection that is still there: without one the lock is void already.
pub fn give_back(run: &mut HostRun) {
    if !run.hold.held || !run.session.is_open() {
        return;
    }
    let mut script = Session::script();
    lock::remove(&mut script, run.hold.claim.run(), false);
    script::sweep(&mut script);
    // What does not work here is found, and mended, by the next run.
    if run.session.run(script, Vec::new(), &mut |_| {}, &mut |_| {}).is_ok() {
        run.hold.held = false;
    }
}
