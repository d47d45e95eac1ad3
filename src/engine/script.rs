//! The script of an exec that changes a host, and what it reads from stdin.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::base::frame::ScriptBuilder;
use crate::base::{Payload, quote};
use crate::lab::{HandlerAction, Lab};

use super::apply::HostRun;
use super::facts::{PENDING_DIR, UNFINISHED};
use super::plan::{NodePlan, pending_name};
use super::session::Session;
use super::{lock, observe};

/// Which part of a plan one exec runs. The last one runs the handlers and looks again, too.
pub struct Part {
    /// Steps, by their numbers.
    pub steps: Range<usize>,
    /// Whether it is the plan's first part.
    pub first: bool,
    /// Whether it is the plan's last part.
    pub last: bool,
    /// Whether the handlers run in it. Not while something cannot be looked at yet: they may need what it will be.
    pub handlers: bool,
    /// Whether the host is given back at its end.
    pub release: bool,
}

/// Lock, tidy up after a run that was killed, note the handlers, steps, handlers, look again, give the host back.
pub fn build(lab: &Lab, index: usize, plan: &NodePlan, part: &Part, look_at: &[usize], run: &mut HostRun) -> (ScriptBuilder, Vec<Payload>) {
    let node = &lab.nodes[index];
    let mut script = Session::script();
    run.hold.take(&mut script, run.session.host);
    sweep(&mut script);
    let pending = |h: usize| quote(&format!("{PENDING_DIR}/{}", pending_name(&node.role, &node.handlers[h].name)));
    let mut begin = String::from("set -e\n");
    if part.first && !plan.handlers.is_empty() {
        let files: Vec<String> = plan.handlers.iter().map(|&h| pending(h)).collect();
        // Written down before anything changes: a crash in between cannot swallow the restart.
        begin.push_str(&format!("mkdir -p -m 0700 {dir}\ntouch {}\n", files.join(" "), dir = quote(PENDING_DIR)));
    }
    let sweeps: BTreeSet<&str> = plan.steps[part.steps.clone()].iter().map(|(_, action)| action.sweep.as_str()).collect();
    let sweeps: String = sweeps.into_iter().collect();
    if !sweeps.is_empty() {
        begin.push_str(&format!("printf '%s' {} >{UNFINISHED}.new\nmv -f {UNFINISHED}.new {UNFINISHED}\n", quote(&sweeps)));
    }
    script.step("begin", &begin, false);
    let mut stdin = Vec::new();
    for (number, (_, action)) in plan.steps.iter().enumerate().filter(|(number, _)| part.steps.contains(number)) {
        script.step(&format!("s{number}"), &format!("exec 9>&-\n{}", action.script), action.stdin.is_some());
        stdin.extend(action.stdin.clone());
    }
    script.prelude(&format!("rm -f {UNFINISHED}"));
    if !part.last {
        return (script, stdin);
    }
    for (offset, &h) in plan.handlers.iter().enumerate().filter(|_| part.handlers) {
        let number = plan.steps.len() + offset;
        let run = match &node.handlers[h].action {
            HandlerAction::Restart(unit) => restart("restart", unit),
            HandlerAction::Reload(unit) => restart("reload", unit),
            HandlerAction::Run(command) => format!("( {command}\n)"),
        };
        script.step(&format!("s{number}"), &format!("exec 9>&-\nset -e\n{run}\nrm -f {}", pending(h)), false);
    }
    observe::add_fragments(&mut script, lab, look_at);
    if part.release {
        lock::release(&mut script);
    }
    (script, stdin)
}

/// Removes what an exec that was killed has left. To be run under the lock.
pub fn sweep(script: &mut ScriptBuilder) {
    script.fragment("sweep", &format!("if [ -e {UNFINISHED} ]; then sh {UNFINISHED} >&2; fi\nrm -f {UNFINISHED} {}/*.new", lock::FOLDER));
}

/// The number of a step's or handler's frame.
pub fn step_number(id: &str) -> Option<usize> {
    id.strip_prefix('s').and_then(|number| number.parse().ok())
}

fn restart(verb: &str, unit: &str) -> String {
    let unit = quote(unit);
    format!(
        "systemctl daemon-reload\nsystemctl {verb} {unit} || {{ poclab_s=$?; journalctl -u {unit} -n 15 --no-pager 2>&1; exit \"$poclab_s\"; }}"
    )
}
