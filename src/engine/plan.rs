//! What is to be done for one role on one host.

use crate::lab::{Handler, HandlerAction, Lab, Node};
use crate::resource::{Action, Assessment, State};

use super::observe::Observation;

/// Work of one node, derived from an observation. Pure.
#[derive(Debug, Clone, Default)]
pub struct NodePlan {
    /// Index of the node's resource and the steps that repair it, in order.
    pub steps: Vec<(usize, Action)>,
    /// Indexes of the resources that differ.
    pub changed: Vec<usize>,
    /// Resources that could not be looked at, with the reason.
    pub unknown: Vec<(usize, String)>,
    /// Resources that cannot exist here, with the reason.
    pub skipped: Vec<(usize, String)>,
    /// Indexes of handlers to run: notified by a change now, or left over from an earlier run.
    pub handlers: Vec<usize>,
    /// Of these, the ones left over from an earlier run.
    pub left_over: Vec<usize>,
}

impl NodePlan {
    /// Whether the node is as desired.
    pub fn is_done(&self) -> bool {
        self.changed.is_empty() && self.unknown.is_empty() && self.handlers.is_empty()
    }
}

/// The name under which a pending handler is written down on the host.
pub fn pending_name(role: &str, handler: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '_' { c } else { '-' };
    format!("{}--{}", role.chars().map(plain).collect::<String>(), handler.chars().map(plain).collect::<String>())
}

/// Derives the work of a node from what was observed.
pub fn node(lab: &Lab, index: usize, observation: &Observation) -> NodePlan {
    let node: &Node = &lab.nodes[index];
    let mut plan = NodePlan::default();
    for (i, _) in node.resources.iter().enumerate() {
        match observation.states.get(&(index, i)) {
            None => plan.unknown.push((i, "it was not looked at".to_owned())),
            Some(Assessment { state: State::Unknown(why), .. }) => plan.unknown.push((i, why.clone())),
            Some(Assessment { state: State::Skipped(why), .. }) => plan.skipped.push((i, why.clone())),
            Some(Assessment { state: State::InSync, .. }) => {}
            Some(Assessment { state: State::Drift(_), actions }) => {
                plan.changed.push(i);
                plan.steps.extend(actions.iter().map(|action| (i, action.clone())));
            }
        }
    }
    for (h, handler) in node.handlers.iter().enumerate() {
        let left_over = observation.facts.pending.contains(&pending_name(&node.role, &handler.name));
        let notified = notifiers(node, handler, &plan.changed).next().is_some();
        if left_over {
            plan.left_over.push(h);
        }
        if left_over || (notified && !spared(node, handler, &plan)) {
            plan.handlers.push(h);
        }
    }
    plan
}

fn notifiers<'a>(node: &'a Node, handler: &'a Handler, changed: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    changed.iter().copied().filter(move |&i| node.resources[i].notify.contains(&handler.name))
}

/// A restart is spared when the same plan starts the unit anyway, after everything that asks for the restart.
fn spared(node: &Node, handler: &Handler, plan: &NodePlan) -> bool {
    let HandlerAction::Restart(unit) = &handler.action else { return false };
    let start = plan.steps.iter().filter(|(_, action)| action.starts.as_deref() == Some(unit)).map(|(i, _)| *i).max();
    start.is_some_and(|start| notifiers(node, handler, &plan.changed).all(|i| i < start))
}
