//! Checks: end-to-end proofs of a promise, from outside, with a deadline and a control that must fail. One file per kind.
//!
//! A check knows neither SSH nor a terminal: it runs against a [`Reach`].

pub mod attacks;
pub mod clair;
mod containers;
pub mod datadog;
pub mod deployment;
mod disrupt;
pub mod firewall_survives;
pub mod firewalld_running;
pub mod gitlab;
#[cfg(any(test, feature = "hostile"))]
pub(crate) mod hostile;
pub mod image_registry;
pub mod jenkins;
mod kind;
mod matrix;
pub mod no_insecure_registry;
pub mod pipeline;
pub mod port_matrix;
pub mod published_port;
mod reach;
mod registry;
mod run;
pub mod selinux_enforcing;
pub mod shapes;
#[cfg(test)]
pub(crate) mod testing;
pub mod splunk;
pub mod splunk_forwarder;
pub mod splunk_outage;
pub mod time_sync;
mod web;

pub use kind::{Arrival, CheckKind, Outcome, Ran, Reach, Tcp, Verdict};
pub use reach::{chain, https_client, https_client_without_roots, is_certificate_error, tcp_connect};
pub use registry::{NAMES, Spec};
