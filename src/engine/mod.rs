//! Observe, plan, apply, verify. Prints nothing: it sends [`Event`]s.

mod apply;
mod beside;
mod changes;
mod clock;
mod event;
mod facts;
mod hint;
mod hold;
#[cfg(any(test, feature = "hostile"))]
pub(crate) mod hostile;
mod lock;
mod links;
mod observe;
mod plan;
mod reach;
mod run;
mod schedule;
mod scope;
mod script;
mod selection;
mod session;
mod status;
mod summary;
mod unlock;
mod verify;

pub use event::{CheckCounts, Event, HostSummary, Member, RoleTime, RunKind, Scope, ServiceLink, Status, Summary};
pub use run::{Engine, observation_script};
pub use selection::Selection;
pub use status::{
    Finding, HostStatus, LastChecks, LastData, LinkStatus, LockStatus, Reached, RoleStatus, StatusReport, schema as status_schema,
};
pub use unlock::{HostLock, LockState};
