//! What a run is about, told at its start: a report that is read later must not need the lab's files.

use crate::base::operator;
use crate::lab::{Host, Lab, Os};

use super::selection::Selection;
use super::{Member, Scope};

/// The scope of a run on this lab.
pub fn of(lab: &Lab, selection: &Selection) -> Scope {
    let member = |host: &Host| Member {
        name: host.name.clone(),
        address: host.address.to_string(),
        groups: host.groups.clone(),
        rehearsal: host.os == Os::Rehearsal,
    };
    Scope {
        operator: operator(),
        inventory: lab.source.inventory.clone(),
        inventory_sha256: lab.source.sha256.clone(),
        narrowed: selection.options(),
        members: lab.hosts.iter().map(member).collect(),
        operators: lab.source.operators.clone(),
        flows: lab.source.flows.clone(),
    }
}
