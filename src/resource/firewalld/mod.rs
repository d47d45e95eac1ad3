//! What the kinds `firewall_zone` and `docker_ports` share: how firewalld prints and stores what it knows.
//!
//! Written against firewalld 0.5.3 (CentOS 7.6, recorded in tests/golden), 0.6.3 (7.9) and 1.3.3 (rehearsal hosts, recorded).

mod allow;
mod listing;
mod rules;
mod sections;
pub(super) mod shell;
mod xml;
mod zone;

#[cfg(test)]
pub(crate) mod golden;

pub use allow::{Allow, Protocol, Source};
pub(super) use listing::zones as read_listing;
pub(super) use rules::{Rules, command_words};
pub(super) use sections::Sections;
pub(super) use xml::{Direct, read_direct, read_zone, service_rules, write_zone};
pub(super) use zone::{Item, Zone};
