//! Observe, plan, apply, verify. Prints nothing: it sends [`Event`]s.

mod apply;
mod changes;
mod event;
mod facts;
mod hint;
mod links;
mod observe;
mod plan;
mod reach;
mod run;
mod schedule;
mod session;
mod status;
mod summary;
mod verify;

pub use event::{CheckCounts, Event, HostSummary, RoleTime, RunKind, ServiceLink, Status, Summary};
pub use run::{Engine, Selection, observation_script};
pub use status::{Finding, HostStatus, LastChecks, LinkStatus, Reached, RoleStatus, StatusReport, schema as status_schema};
