//! One role on one host: apply, run handlers and look again, all in one exec.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Instant;

use crate::base::frame::{Frame, ScriptBuilder, Seen};
use crate::base::{Payload, now, quote};
use crate::lab::{HandlerAction, Lab};
use crate::resource::{State, confirm};
use crate::ssh::{Output, SshError};

use super::facts::PENDING_DIR;
use super::observe::{self, Observation, Place};
use super::plan::{self, NodePlan, pending_name};
use super::session::{Session, Wires};
use super::{Event, changes, hint};

/// Lines of a failing step's output that are shown.
const OUTPUT_LINES: usize = 20;

/// More rounds than a role can need: one for what was known, one for what could only be seen after it, one spare.
const MAX_ROUNDS: usize = 3;

/// Exit status of an exec that found another run's lock (EX_TEMPFAIL).
const LOCKED: i32 = 75;

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
        Self { error: error.to_string(), output: Vec::new(), hint: None }
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
}

/// Brings one node into the desired state; returns the labels of the resources that were changed.
///
/// `later` are the host's nodes that come after it: they are looked at again together with this one, as its changes may
/// have touched them.
pub fn node<'a>(lab: &Lab, index: usize, later: &[usize], run: &mut HostRun<'a>, wires: &Wires<'a>) -> Result<Vec<String>, Failure> {
    let node = &lab.nodes[index];
    let look_at: Vec<usize> = std::iter::once(index).chain(later.iter().copied()).collect();
    let mut plan = plan::node(lab, index, &run.observation);
    if !plan.unknown.is_empty() {
        refresh(lab, &look_at, run)?;
        plan = plan::node(lab, index, &run.observation);
    }
    let mut changed: Vec<usize> = Vec::new();
    for round in 0..MAX_ROUNDS {
        if plan.is_done() {
            return Ok(changed.iter().map(|&i| node.resources[i].label()).collect());
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
        apply(lab, index, &plan, &look_at, run, wires)?;
        changed.extend(plan.changed.iter().filter(|i| !changed.contains(i)).copied().collect::<Vec<_>>());
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

fn merge(lab: &Lab, nodes: &[usize], frames: &[Frame], output: &Output, run: &mut HostRun) -> Result<(), Failure> {
    let fresh = observe::read(lab, nodes, frames).map_err(|error| Failure { error, output: last_lines(&output.stderr), hint: None })?;
    run.observation.facts = fresh.facts;
    run.observation.states.extend(fresh.states);
    Ok(())
}

/// Runs the plan's steps and handlers, and looks again.
///
/// Normally that is one exec. A step that arms a timer on the host (confirm or revert) ends its exec: it is confirmed over
/// a new connection before anything else is done.
fn apply<'a>(lab: &Lab, index: usize, plan: &NodePlan, look_at: &[usize], run: &mut HostRun<'a>, wires: &Wires<'a>) -> Result<(), Failure> {
    let labels = labels(lab, index, plan);
    let mut from = 0;
    while let Some(armed) = (from..plan.steps.len()).find(|&i| confirm::is_armed_by(&plan.steps[i].1)) {
        let part = Part { steps: from..armed + 1, first: from == 0, last: false };
        exec(lab, index, plan, &part, &labels, look_at, run, wires)?;
        confirm_change(&labels[armed], run, wires)?;
        from = armed + 1;
    }
    let part = Part { steps: from..plan.steps.len(), first: from == 0, last: true };
    let (frames, output) = exec(lab, index, plan, &part, &labels, look_at, run, wires)?;
    merge(lab, look_at, &frames, &output, run)
}

/// Which part of a plan one exec runs. The last one runs the handlers and looks again, too.
struct Part {
    steps: Range<usize>,
    first: bool,
    last: bool,
}

/// Logs in anew and disarms the host's timer. The new connection replaces the old one.
fn confirm_change<'a>(label: &str, run: &mut HostRun<'a>, wires: &Wires<'a>) -> Result<(), Failure> {
    let mut session = Session::new(run.session.host, wires.clone());
    let mut script = Session::script();
    script.step("confirm", confirm::CONFIRM, false);
    let (frames, output) = session.run(script, Vec::new(), &mut |_| {}, &mut |_| {}).map_err(|error| Failure {
        error: format!("{label}: afterwards no new login was possible: {error}"),
        output: Vec::new(),
        hint: Some(
            "the host puts the old state back by itself within a minute; correct the flow matrix in the inventory, then run again"
                .to_owned(),
        ),
    })?;
    run.session = session;
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
            hint: Some("the host puts the old state back by itself within a minute; run again".to_owned()),
        }),
    }
}

#[expect(clippy::too_many_arguments, reason = "one call site each for a part in the middle and the last one")]
fn exec(
    lab: &Lab,
    index: usize,
    plan: &NodePlan,
    part: &Part,
    labels: &[String],
    look_at: &[usize],
    run: &mut HostRun,
    wires: &Wires,
) -> Result<(Vec<Frame>, Output), Failure> {
    let node = &lab.nodes[index];
    let (script, stdin) = build(lab, index, plan, part, look_at);
    let steps = labels.len();
    let expected = if part.last { part.steps.start..steps } else { part.steps.clone() };
    let host = run.session.host.name.clone();
    let mut progress = Progress { wires, host: &host, role: &node.role, labels, current: None, handlers_from: plan.steps.len() };
    let uploads: u64 = stdin.iter().map(Payload::len).sum();
    let current = std::cell::RefCell::new(String::new());
    let mut on_seen = |seen: &Seen| {
        if let Seen::Begin(id) = seen
            && let Some(number) = step_number(id)
            && let Some(label) = labels.get(number)
        {
            label.clone_into(&mut current.borrow_mut());
        }
        progress.seen(seen, steps);
    };
    let mut on_sent = |sent: u64| {
        if uploads > 1 << 20 {
            wires.send(Event::Uploading { host: host.clone(), label: current.borrow().clone(), sent, total: uploads });
        }
    };
    let (frames, output) = run.session.run(script, stdin, &mut on_seen, &mut on_sent)?;
    if let Some(frame) = frames.iter().find(|frame| frame.id == "lock" && frame.status != 0) {
        return Err(Failure {
            error: format!("another poclab run is changing this host: {}", frame.text().trim()),
            output: Vec::new(),
            hint: Some("wait until it is done, then run again".to_owned()),
        });
    }
    if let Some(frame) = frames.iter().find(|frame| frame.status != 0 && (step_number(&frame.id).is_some() || frame.id == "begin")) {
        let label = step_number(&frame.id).and_then(|number| labels.get(number)).map_or("preparing", String::as_str);
        let lines = last_lines(&frame.payload);
        let text = lines.join("\n");
        return Err(Failure { error: format!("{label}: exit status {}", frame.status), hint: hint::hint(&text), output: lines });
    }
    if expected.into_iter().any(|number| !frames.iter().any(|frame| step_number(&frame.id) == Some(number))) {
        return Err(Failure {
            error: format!("the script ended early with exit status {}", output.status),
            output: last_lines(&output.stderr),
            hint: Some("run again: poclab goes on where it stopped".to_owned()),
        });
    }
    Ok((frames, output))
}

/// The exec's script and stdin: lock, note the handlers, steps, handlers, look again.
fn build(lab: &Lab, index: usize, plan: &NodePlan, part: &Part, look_at: &[usize]) -> (ScriptBuilder, Vec<Payload>) {
    let node = &lab.nodes[index];
    let mut script = Session::script();
    script.prelude("mkdir -p -m 0700 /var/lib/poclab");
    // The lock lives as long as this exec: a run that was killed cannot leave it behind.
    script.prelude("exec 9>>/var/lib/poclab/lock");
    let who = format!("{} since {}", operator(), now());
    script.prelude(&format!(
        "poclab_begin lock\nif command -v flock >/dev/null 2>&1 && ! flock -n 9; then cat /var/lib/poclab/lock; poclab_end lock 1; exit {LOCKED}; fi\nprintf '%s\\n' {} >/var/lib/poclab/lock\npoclab_end lock 0",
        quote(&who)
    ));
    let pending = |h: usize| quote(&format!("{PENDING_DIR}/{}", pending_name(&node.role, &node.handlers[h].name)));
    if part.first && !plan.handlers.is_empty() {
        let files: Vec<String> = plan.handlers.iter().map(|&h| pending(h)).collect();
        // Written down before anything changes: a crash in between cannot swallow the restart.
        script.step("begin", &format!("mkdir -p -m 0700 {dir}\ntouch {}", files.join(" "), dir = quote(PENDING_DIR)), false);
    }
    let mut stdin = Vec::new();
    for (number, (_, action)) in plan.steps.iter().enumerate().filter(|(number, _)| part.steps.contains(number)) {
        script.step(&format!("s{number}"), &format!("exec 9>&-\n{}", action.script), action.stdin.is_some());
        stdin.extend(action.stdin.clone());
    }
    if !part.last {
        return (script, stdin);
    }
    for (offset, &h) in plan.handlers.iter().enumerate() {
        let number = plan.steps.len() + offset;
        let run = match &node.handlers[h].action {
            HandlerAction::Restart(unit) => restart("restart", unit),
            HandlerAction::Reload(unit) => restart("reload", unit),
            HandlerAction::Run(command) => format!("( {command}\n)"),
        };
        script.step(&format!("s{number}"), &format!("exec 9>&-\nset -e\n{run}\nrm -f {}", pending(h)), false);
    }
    observe::add_fragments(&mut script, lab, look_at);
    (script, stdin)
}

fn restart(verb: &str, unit: &str) -> String {
    let unit = quote(unit);
    format!(
        "systemctl daemon-reload\nsystemctl {verb} {unit} || {{ poclab_s=$?; journalctl -u {unit} -n 15 --no-pager 2>&1; exit \"$poclab_s\"; }}"
    )
}

fn labels(lab: &Lab, index: usize, plan: &NodePlan) -> Vec<String> {
    let node = &lab.nodes[index];
    let steps =
        plan.steps.iter().map(|(i, action)| if action.label.is_empty() { node.resources[*i].label() } else { action.label.clone() });
    steps.chain(plan.handlers.iter().map(|&h| node.handlers[h].name.clone())).collect()
}

fn step_number(id: &str) -> Option<usize> {
    id.strip_prefix('s').and_then(|number| number.parse().ok())
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

fn last_lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(OUTPUT_LINES)..].iter().map(|line| (*line).to_owned()).collect()
}

fn operator() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "somebody".to_owned());
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    format!("{user}@{} (process {})", host.trim(), std::process::id())
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
                let Some((number, label)) = step_number(id).and_then(|n| Some((n, self.labels.get(n)?.clone()))) else { return };
                self.current = Some(Instant::now());
                self.wires.send(Event::StepStarted { host, role, label, number: number + 1, steps });
            }
            Seen::End(frame) => {
                let Some((number, label)) = step_number(&frame.id).and_then(|n| Some((n, self.labels.get(n)?.clone()))) else { return };
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
