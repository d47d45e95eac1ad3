//! Tells the report what differs.

use crate::lab::Lab;
use crate::resource::State;

use super::Event;
use super::apply::HostRun;
use super::observe::Place;
use super::session::Wires;

/// Reports what differs at a place, once per run.
pub fn report(lab: &Lab, place: Place, run: &mut HostRun, wires: &Wires) {
    if !run.reported.insert(place) {
        return;
    }
    let (index, i) = place;
    let node = &lab.nodes[index];
    let Some(State::Drift(changes)) = run.observation.states.get(&place).map(|assessment| &assessment.state) else { return };
    wires.send(Event::Change {
        host: lab.hosts[node.host].name.clone(),
        role: node.role.clone(),
        resource: node.resources[i].label(),
        reasons: changes.iter().map(|change| change.what.clone()).collect(),
        diff: changes.iter().find_map(|change| change.diff.clone()),
        origin: node.resources[i].origin.clone(),
    });
}
