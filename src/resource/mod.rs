//! Kinds of resources: what can be kept in a state on a host. One file per kind.
//!
//! Each kind is data plus pure functions ([`Kind`]): the script that looks, the parser of what it prints, the difference
//! to the desired state, and the script that changes it. Nothing here opens a connection.

pub mod api_object;
pub mod command;
pub mod confirm;
pub mod container;
mod detail;
pub mod directory;
pub mod docker_build;
pub mod docker_image;
pub mod docker_ports;
pub mod file;
pub mod firewall_zone;
mod firewalld;
pub mod git_branch;
pub mod group;
#[cfg(any(test, feature = "hostile"))]
pub(crate) mod hostile;
pub mod hostname;
pub mod hosts_entries;
mod kind;
pub mod link;
pub mod package;
mod registry;
mod rpm_version;
#[cfg(test)]
mod scratch;
mod script;
pub mod selinux;
pub mod selinux_boolean;
pub mod selinux_fcontext;
pub mod selinux_port;
mod semanage;
pub mod service;
pub mod sysctl;
#[cfg(test)]
mod testing;
pub mod user;
pub mod yum_repo;
pub mod yum_repos_only;

pub use detail::{Certificate, Detail};
pub use kind::{Action, Assessment, Change, Content, Kind, Reply, State};
pub use registry::{NAMES, Spec};
