//! Observe, plan, apply, verify. Prints nothing: it sends [`Event`]s.

mod apply;
mod changes;
mod event;
mod facts;
mod hint;
mod hold;
mod lock;
mod observe;
mod plan;
mod reach;
mod run;
mod schedule;
mod script;
mod session;
mod summary;
mod verify;

pub use event::{CheckCounts, Event, HostSummary, RoleTime, RunKind, ServiceLink, Status, Summary};
pub use run::{Engine, Selection, observation_script};
pub use verify::passed_at as verified_at;
