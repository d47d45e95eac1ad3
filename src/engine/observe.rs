//! One exec that looks at everything asked for on a host.

use std::collections::BTreeMap;

use crate::base::frame::{Frame, ScriptBuilder};
use crate::lab::{Lab, Resource};
use crate::resource;
use crate::resource::{Assessment, Detail, Reply, Spec, State};

use super::facts::{self, Facts};
use super::session::Session;

/// Address of a resource: index of its node in the lab, index in the node.
pub type Place = (usize, usize);

/// What one look at a host brought.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// The host's facts.
    pub facts: Facts,
    /// The state of each resource that was asked for.
    pub states: BTreeMap<Place, Assessment>,
}

/// Resources grouped by kind, kinds in registry order: one fragment each.
fn by_kind<'l>(lab: &'l Lab, nodes: &[usize]) -> Vec<(&'static str, Vec<(Place, &'l Resource)>)> {
    resource::NAMES
        .iter()
        .map(|kind| {
            let of_kind = nodes
                .iter()
                .flat_map(|&node| lab.nodes[node].resources.iter().enumerate().map(move |(i, r)| ((node, i), r)))
                .filter(|(_, resource)| resource.spec.kind() == *kind)
                .collect::<Vec<_>>();
            (*kind, of_kind)
        })
        .filter(|(_, of_kind)| !of_kind.is_empty())
        .collect()
}

/// Adds the fragments that look at these nodes' resources.
pub fn add_fragments(script: &mut ScriptBuilder, lab: &Lab, nodes: &[usize]) {
    script.fragment("facts", &facts::fragment());
    for (kind, resources) in by_kind(lab, nodes) {
        let specs: Vec<&Spec> = resources.iter().map(|(_, resource)| &resource.spec).collect();
        script.fragment(kind, &Spec::observe(&specs));
    }
}

/// One look at a host, in one exec; also the frames, for what an observation does not keep.
pub fn host(lab: &Lab, nodes: &[usize], session: &mut Session) -> Result<(Observation, Vec<Frame>), String> {
    let mut script = Session::script();
    add_fragments(&mut script, lab, nodes);
    let run = session.run(script, Vec::new(), &mut |_| {}, &mut |_| {});
    let (frames, output) = run.map_err(|error| match error.remedy() {
        Some(remedy) => format!("{error}; {remedy}"),
        None => error.to_string(),
    })?;
    let observation = read(lab, nodes, &frames).map_err(|error| {
        let last = String::from_utf8_lossy(&output.stderr);
        format!("{error} (exit status {}): {}", output.status, last.lines().last().unwrap_or_default())
    })?;
    observation.facts.fits(session.host)?;
    Ok((observation, frames))
}

/// What else the frames of [`add_fragments`] tell: versions, states, ends of certificates.
pub fn details(lab: &Lab, nodes: &[usize], frames: &[Frame]) -> Vec<Detail> {
    let of_kind = |(kind, resources): (&str, Vec<(Place, &Resource)>)| {
        let specs: Vec<&Spec> = resources.iter().map(|(_, resource)| &resource.spec).collect();
        let frame = frames.iter().rev().find(|frame| frame.id == kind)?;
        Some(Spec::details(&specs, &Reply { stdout: frame.payload.clone(), status: frame.status }))
    };
    by_kind(lab, nodes).into_iter().filter_map(of_kind).flatten().collect()
}

/// Reads the frames of [`add_fragments`]. A frame that is missing makes its resources unknown; missing facts are an error.
pub fn read(lab: &Lab, nodes: &[usize], frames: &[Frame]) -> Result<Observation, String> {
    let frame = |id: &str| frames.iter().rev().find(|frame| frame.id == id);
    let facts = frame("facts").filter(|frame| frame.status == 0).ok_or("the host did not run the observation script to its end")?;
    let mut observation = Observation { facts: facts::parse(&facts.text()), states: BTreeMap::new() };
    for (kind, resources) in by_kind(lab, nodes) {
        let specs: Vec<&Spec> = resources.iter().map(|(_, resource)| &resource.spec).collect();
        let assessments = match frame(kind) {
            Some(frame) => Spec::assess(&specs, &Reply { stdout: frame.payload.clone(), status: frame.status }),
            None => specs
                .iter()
                .map(|_| Assessment {
                    state: State::Unknown("the observation ended before it was looked at".to_owned()),
                    actions: Vec::new(),
                })
                .collect(),
        };
        observation.states.extend(resources.iter().map(|(place, _)| *place).zip(assessments));
    }
    Ok(observation)
}
