//! Which nodes require which, and their order.

use std::collections::{BTreeMap, BTreeSet};

use super::flows::Members;
use super::model::Node;
use super::node::Work;
use super::order;
use super::problem::Sink;
use super::project::Project;
use super::resolve::Plan;

/// The nodes in order with what each requires (resources and handlers move out of `work`); unknown, missing and circular requirements are problems.
pub(super) fn nodes(
    project: &Project,
    members: &Members,
    plan: &Plan,
    work: &mut [Work],
    sink: &mut Sink,
) -> Option<Vec<(Node, Vec<usize>)>> {
    let before = sink.len();
    let node_of: BTreeMap<(&str, usize), usize> =
        plan.nodes.iter().enumerate().map(|(node, (role, host))| ((plan.roles[*role].as_str(), *host), node)).collect();
    let mut requires: Vec<Vec<usize>> = Vec::new();
    for (role, host) in &plan.nodes {
        let mut needs = BTreeSet::new();
        let name = &plan.roles[*role];
        if let Some(file) = project.roles.get(name).and_then(Option::as_ref)
            && let Some(content) = &file.role
        {
            for (index, other) in
                content.requires.iter().enumerate().filter(|(_, other)| project.roles.contains_key(*other) && *other != name)
            {
                match node_of.get(&(other.as_str(), *host)) {
                    Some(node) => drop(needs.insert(*node)),
                    None => sink.on_host(&members.hosts[*host].0, |sink| {
                        let problem = file.document.problem(
                            &format!("/requires/{index}"),
                            format!("role `{name}` requires `{other}`, which the host does not have"),
                        );
                        sink.push(problem.suggest(format!("add `{other}` to the roles of the same group in {}", project.document.file)));
                    }),
                }
            }
            let elsewhere = plan
                .nodes
                .iter()
                .enumerate()
                .filter(|(_, (role, _))| content.requires_elsewhere.contains(&plan.roles[*role]) && plan.roles[*role] != *name);
            needs.extend(elsewhere.map(|(node, _)| node));
        }
        requires.push(needs.into_iter().collect());
    }
    let order = match order::order(&requires) {
        Ok(order) => order,
        Err(circles) => {
            circular(project, members, plan, &circles, sink);
            return None;
        }
    };
    if sink.len() > before {
        return None;
    }
    let place: BTreeMap<usize, usize> = order.iter().enumerate().map(|(place, node)| (*node, place)).collect();
    let nodes = order.iter().map(|&node| {
        let (role, host) = plan.nodes[node];
        let resolved = Node {
            host,
            role: plan.roles[role].clone(),
            resources: std::mem::take(&mut work[node].resources),
            handlers: std::mem::take(&mut work[node].handlers),
            requires: Vec::new(),
            not_configured: work[node].not_configured.take(),
        };
        (resolved, requires[node].iter().filter_map(|other| place.get(other).copied()).collect())
    });
    Some(nodes.collect())
}

fn circular(project: &Project, members: &Members, plan: &Plan, circles: &[Vec<usize>], sink: &mut Sink) {
    let mut said: BTreeSet<Vec<usize>> = BTreeSet::new();
    for circle in circles {
        let roles: Vec<usize> = circle.iter().map(|node| plan.nodes[*node].0).collect();
        if !said.insert(roles.clone()) {
            continue;
        }
        let one_host = circle.iter().all(|node| plan.nodes[*node].1 == plan.nodes[circle[0]].1);
        let label = |node: &usize| {
            let (role, host) = plan.nodes[*node];
            if one_host { plan.roles[role].clone() } else { format!("{} on {}", plan.roles[role], members.hosts[host].0) }
        };
        let path: Vec<String> = circle.iter().chain(circle.first()).map(label).collect();
        let name = &plan.roles[roles[0]];
        let next = &plan.roles[roles[roles.len().min(2) - 1]];
        let Some(file) = project.roles.get(name).and_then(Option::as_ref) else { continue };
        let content = file.role.as_ref();
        let here = content.and_then(|role| role.requires.iter().position(|other| other == next)).map(|index| format!("/requires/{index}"));
        let elsewhere = content
            .and_then(|role| role.requires_elsewhere.iter().position(|other| other == next))
            .map(|index| format!("/requires_elsewhere/{index}"));
        let at = here.or(elsewhere).unwrap_or_default();
        sink.push(
            file.document.problem(&at, format!("circle in `requires`: {}", path.join(" -> "))).suggest("remove one of these requirements"),
        );
    }
}
