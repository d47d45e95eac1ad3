//! Observe, plan, apply, verify. Prints nothing: it sends [`Event`]s.

mod event;

pub use event::{Event, HostSummary, RoleTime, RunKind, Status, Summary};
