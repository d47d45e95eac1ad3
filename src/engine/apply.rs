//! One role on one host: apply, run handlers and look again, all in one exec.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::base::Payload;
use crate::base::frame::{Frame, Seen};
use crate::lab::Lab;
use crate::resource::{State, confirm};
use crate::ssh::{Output, SshError};

use super::hold::{self, Hold};
use super::observe::{self, Observation, Place};
use super::plan::{self, NodePlan};
use super::script::{self, Part};
use super::session::{Session, Wires};
use super::{Event, changes, hint};

/// Lines of a failing step's output that are shown.
const OUTPUT_LINES: usize = 20;

/// More rounds than a role can need: one for what was known, one for what could only be seen after it, one spare.
const MAX_ROUNDS: usize = 3;

/// Why a role failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// One line.
    pub error: String,
    /// The failing step's last lines.
    pub output: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl From<SshError> for Failure {
    fn from(error: SshError) -> Self {
        Self { hint: error.remedy().map(str::to_owned), error: error.to_string(), output: Vec::new() }
    }
}

/// What a host's nodes share while they are applied one after another.
pub struct HostRun<'a> {
    /// The connection.
    pub session: Session<'a>,
    /// The newest observation of each resource.
    pub observation: Observation,
    /// Differences that were reported already.
    pub reported: BTreeSet<Place>,
    /// Whether the host is ours.
    pub hold: Hold,
    /// What is wrong with the host although it can be worked on.
    pub warning: Option<String>,
}

/// Brings one node into the desired state. `changed` collects the resources that were changed, also when it fails.
///
/// `later` are the host's nodes that come after it: they are looked at again together with this one, as its changes may
/// have touched them.
pub fn node<'a>(
    lab: &Lab,
    index: usize,
    later: &[usize],
    run: &mut HostRun<'a>,
    wires: &Wires<'a>,
    changed: &mut BTreeSet<usize>,
) -> Result<(), Failure> {
    let node = &lab.nodes[index];
    let look_at: Vec<usize> = std::iter::once(index).chain(later.iter().copied()).collect();
    let mut plan = plan::node(lab, index, &run.observation);
    if !plan.unknown.is_empty() {
        refresh(lab, &look_at, run)?;
        plan = plan::node(lab, index, &run.observation);
    }
    for round in 0..MAX_ROUNDS {
        if plan.is_done() {
            return Ok(());
        }
        if plan.steps.is_empty() && plan.handlers.is_empty() {
            break;
        }
        for &i in &plan.changed {
            changes::report(lab, (index, i), run, wires);
        }
        if round == 0 {
            let steps = plan.steps.len() + plan.handlers.len();
            wires.send(Event::RoleStarted { host: run.session.host.name.clone(), role: node.role.clone(), steps });
        }
        let mut done = BTreeSet::new();
        let result = apply(lab, index, &plan, &look_at, run, wires, &mut done);
        changed.extend(done.iter().filter_map(|&number| plan.steps.get(number).map(|(resource, _)| *resource)));
        result?;
        let after = plan::node(lab, index, &run.observation);
        if let Some(&stuck) = after.changed.iter().find(|i| plan.changed.contains(i)) {
            return Err(not_converged(lab, index, stuck, run));
        }
        plan = after;
    }
    let why: Vec<String> = plan.unknown.iter().map(|(i, why)| format!("{}: {why}", node.resources[*i].label())).collect();
    Err(Failure {
        error: if why.is_empty() {
            "still not as desired after several rounds".to_owned()
        } else {
            format!("could not look at {}", why.join("; "))
        },
        output: Vec::new(),
        hint: Some("run `poclab plan` for this host; what cannot be looked at is never taken for good".to_owned()),
    })
}

fn refresh(lab: &Lab, nodes: &[usize], run: &mut HostRun) -> Result<(), Failure> {
    let mut script = Session::script();
    observe::add_fragments(&mut script, lab, nodes);
    let (frames, output) = run.session.run(script, Vec::new(), &mut |_| {}, &mut |_| {})?;
    merge(lab, nodes, &frames, &output, run)
}

/// Takes over what an exec has seen of these nodes.
pub fn merge(lab: &Lab, nodes: &[usize], frames: &[Frame], output: &Output, run: &mut HostRun) -> Result<(), Failure> {
    let fresh = observe::read(lab, nodes, frames).map_err(|error| Failure { error, output: last_lines(&output.stderr), hint: None })?;
    run.observation.facts = fresh.facts;
    run.observation.states.extend(fresh.states);
    Ok(())
}

/// Runs the plan's steps and handlers, and looks again. `done` collects the steps that ended well.
///
/// Normally that is one exec. A step that arms a timer on the host (confirm or revert) ends its exec: it is confirmed over
/// a new connection before anything else is done.
fn apply<'a>(
    lab: &Lab,
    index: usize,
    plan: &NodePlan,
    look_at: &[usize],
    run: &mut HostRun<'a>,
    wires: &Wires<'a>,
    done: &mut BTreeSet<usize>,
) -> Result<(), Failure> {
    let labels = labels(lab, index, plan);
    // What the newest look at the later roles says: usually this is the host's last exec, and gives the host back.
    let over = plan.unknown.is_empty() && look_at[1..].iter().all(|&node| plan::node(lab, node, &run.observation).is_done());
    let mut from = 0;
    while let Some((armed, seconds)) = (from..plan.steps.len()).find_map(|i| Some((i, plan.steps[i].1.confirm_within?))) {
        let part = Part { steps: from..armed + 1, first: from == 0, last: false, handlers: false, release: false };
        exec(&Work { lab, index, plan, part, labels: &labels, look_at }, run, wires, done)?;
        confirm_change(&labels[armed], seconds, run, wires)?;
        from = armed + 1;
    }
    let part = Part { steps: from..plan.steps.len(), first: from == 0, last: true, handlers: plan.unknown.is_empty(), release: over };
    let (frames, output) = exec(&Work { lab, index, plan, part, labels: &labels, look_at }, run, wires, done)?;
    merge(lab, look_at, &frames, &output, run)
}

/// Logs in anew and disarms the host's timer. The new connection replaces the old one.
fn confirm_change<'a>(label: &str, seconds: u32, run: &mut HostRun<'a>, wires: &Wires<'a>) -> Result<(), Failure> {
    let reverts = format!("the host puts the old state back by itself, {seconds} s after the change");
    let mut session = Session::new(run.session.host, wires.clone());
    let mut script = Session::script();
    // The lock goes over to the new connection before the old one is closed.
    run.hold.take(&mut script, run.session.host);
    script.step("confirm", confirm::CONFIRM, false);
    let (frames, output) = session.run(script, Vec::new(), &mut |_| {}, &mut |_| {}).map_err(|error| Failure {
        error: format!("{label}: afterwards no new login was possible: {error}"),
        output: Vec::new(),
        hint: Some(format!("{reverts}; correct the flow matrix in the inventory, then run again")),
    })?;
    run.session = session;
    run.hold.taken(&frames, run.session.host, wires)?;
    match frames.iter().find(|frame| frame.id == "confirm") {
        Some(frame) if frame.status == 0 => Ok(()),
        Some(frame) => Err(Failure {
            error: format!("{label}: the change was not confirmed"),
            output: last_lines(&frame.payload),
            hint: Some("the host has put the old state back, as the confirmation came too late; run again".to_owned()),
        }),
        None => Err(Failure {
            error: format!("{label}: the confirmation ended early with exit status {}", output.status),
            output: last_lines(&output.stderr),
            hint: Some(format!("{reverts}; run again")),
        }),
    }
}

/// One exec's share of a plan.
struct Work<'w> {
    lab: &'w Lab,
    index: usize,
    plan: &'w NodePlan,
    part: Part,
    labels: &'w [String],
    look_at: &'w [usize],
}

fn exec<'a>(
    work: &Work<'_>,
    run: &mut HostRun<'a>,
    wires: &Wires<'a>,
    done: &mut BTreeSet<usize>,
) -> Result<(Vec<Frame>, Output), Failure> {
    let Work { lab, index, plan, part, labels, look_at } = work;
    let node = &lab.nodes[*index];
    let (script, stdin) = script::build(lab, *index, plan, part, look_at, run);
    let steps = labels.len();
    let expected = if part.handlers { part.steps.start..steps } else { part.steps.clone() };
    let host = run.session.host.name.clone();
    let mut progress = Progress { wires, host: &host, role: &node.role, labels, current: None, handlers_from: plan.steps.len() };
    let uploads: u64 = stdin.iter().map(Payload::len).sum();
    let current = std::cell::RefCell::new(String::new());
    let mut on_seen = |seen: &Seen| {
        hold::told(seen, &host, wires);
        match seen {
            Seen::Begin(id) => {
                if let Some(label) = script::step_number(id).and_then(|number| labels.get(number)) {
                    label.clone_into(&mut current.borrow_mut());
                }
            }
            Seen::End(frame) => done.extend(script::step_number(&frame.id).filter(|_| frame.status == 0)),
        }
        progress.seen(seen, steps);
    };
    let mut on_sent = |sent: u64| {
        if uploads > 1 << 20 {
            wires.send(Event::Uploading { host: host.clone(), label: current.borrow().clone(), sent, total: uploads });
        }
    };
    let (frames, output) = run.session.run(script, stdin, &mut on_seen, &mut on_sent).map_err(|error| {
        let (step, output) = (current.borrow(), last_lines(&run.session.unfinished));
        let failure = Failure::from(error);
        let error = if step.is_empty() { failure.error } else { format!("{step}: {}", failure.error) };
        Failure { error, hint: hint::hint(&output.join("\n")).or(failure.hint), output }
    })?;
    run.hold.taken(&frames, run.session.host, wires)?;
    let failed = |frame: &&Frame| frame.status != 0 && (script::step_number(&frame.id).is_some() || frame.id == "begin");
    if let Some(frame) = frames.iter().find(failed) {
        let label = script::step_number(&frame.id).and_then(|number| labels.get(number)).map_or("preparing", String::as_str);
        let lines = last_lines(&frame.payload);
        let text = lines.join("\n");
        return Err(Failure { error: format!("{label}: exit status {}", frame.status), hint: hint::hint(&text), output: lines });
    }
    if expected.into_iter().any(|number| !frames.iter().any(|frame| script::step_number(&frame.id) == Some(number))) {
        let lines = last_lines(&output.stderr);
        let hint = hint::hint(&lines.join("\n")).unwrap_or_else(|| "run again: poclab goes on where it stopped".to_owned());
        return Err(Failure {
            error: format!("the script ended early with exit status {}", output.status),
            output: lines,
            hint: Some(hint),
        });
    }
    Ok((frames, output))
}

fn labels(lab: &Lab, index: usize, plan: &NodePlan) -> Vec<String> {
    let node = &lab.nodes[index];
    let steps =
        plan.steps.iter().map(|(i, action)| if action.label.is_empty() { node.resources[*i].label() } else { action.label.clone() });
    steps.chain(plan.handlers.iter().map(|&h| node.handlers[h].name.clone())).collect()
}

fn not_converged(lab: &Lab, index: usize, resource: usize, run: &HostRun) -> Failure {
    let node = &lab.nodes[index];
    let reasons = match run.observation.states.get(&(index, resource)).map(|assessment| &assessment.state) {
        Some(State::Drift(changes)) => changes.iter().map(|change| change.what.clone()).collect::<Vec<_>>().join("; "),
        _ => String::new(),
    };
    Failure {
        error: format!("{} did not converge: {reasons}", node.resources[resource].label()),
        output: Vec::new(),
        hint: Some(format!(
            "the steps ran without an error but the state is still another; something else on the host may undo it ({})",
            node.resources[resource].origin
        )),
    }
}

/// The last lines of an output that are shown.
pub fn last_lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(OUTPUT_LINES)..].iter().map(|line| (*line).to_owned()).collect()
}

/// Turns frames into events.
struct Progress<'a> {
    wires: &'a Wires<'a>,
    host: &'a str,
    role: &'a str,
    labels: &'a [String],
    current: Option<Instant>,
    handlers_from: usize,
}

impl Progress<'_> {
    fn seen(&mut self, seen: &Seen, steps: usize) {
        let (host, role) = (self.host.to_owned(), self.role.to_owned());
        match seen {
            Seen::Begin(id) => {
                let Some((number, label)) = script::step_number(id).and_then(|n| Some((n, self.labels.get(n)?.clone()))) else { return };
                self.current = Some(Instant::now());
                self.wires.send(Event::StepStarted { host, role, label, number: number + 1, steps });
            }
            Seen::End(frame) => {
                let Some((number, label)) = script::step_number(&frame.id).and_then(|n| Some((n, self.labels.get(n)?.clone()))) else {
                    return;
                };
                let seconds = self.current.take().map_or(0.0, |start| start.elapsed().as_secs_f64());
                if frame.status != 0 {
                    return;
                }
                self.wires.send(if number >= self.handlers_from {
                    Event::HandlerDone { host, role, name: label, seconds }
                } else {
                    Event::StepDone { host, role, label, seconds }
                });
            }
        }
    }
}
