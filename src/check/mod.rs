//! Checks: end-to-end proofs of a promise, from outside, with a deadline and a control that must fail. One file per kind.
//!
//! A check knows neither SSH nor a terminal: it runs against a [`Reach`].

mod kind;
mod reach;
mod registry;
pub mod time_sync;

pub use kind::{CheckKind, Outcome, Ran, Reach, Tcp, Verdict};
pub use reach::{https_client, tcp_connect};
pub use registry::{NAMES, Spec};
