//! Kinds of resources: what can be kept in a state on a host. One file per kind.
//!
//! Each kind is data plus pure functions ([`Kind`]): the script that looks, the parser of what it prints, the difference
//! to the desired state, and the script that changes it. Nothing here opens a connection.

mod kind;
pub mod package;
mod registry;

pub use kind::{Action, Assessment, Change, Content, Kind, Reply, State};
pub use registry::{NAMES, Spec};
