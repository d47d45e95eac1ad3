//! The lab on local hosts: containers made to look like bare EL7 boxes, or virtual machines of Vagrant.

mod containers;
mod docker;
#[cfg(any(test, feature = "hostile"))]
pub(crate) mod hostile;
mod inventory;
mod setup;
mod state;
mod stream;
mod vagrant;
mod vagrant_text;
mod wait;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

pub use containers::Containers;
pub use vagrant::Vagrant;

use crate::lab;

/// One host of the containers backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RehearsalHost {
    /// Name in the inventory; the container is `poclab-<lab>-<name>`.
    pub name: String,
    /// Its address on the rehearsal's network.
    pub address: Ipv4Addr,
    /// Whether sudo asks the login user for a password (`<state>/sudo-password-<name>`).
    pub sudo_password: bool,
}

/// What is known about one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostStatus {
    /// Name in the inventory.
    pub name: String,
    /// Address in the lab.
    pub address: String,
    /// In the backend's own word: `running`, `exited`, `absent`, `poweroff` …
    pub state: String,
    /// Whether it runs.
    pub running: bool,
}

/// The containers backend for an inventory. `root` is the project's root (the folder with `rehearsal/`); what this machine
/// keeps about the rehearsal is in `<root>/.poclab/<lab>`.
///
/// # Errors
/// When the inventory cannot be read, or says nothing that hosts could be made from.
pub fn containers(inventory: &Path, root: &Path) -> anyhow::Result<Containers> {
    let plan = inventory::read(inventory)?;
    Ok(Containers {
        rehearsal_dir: root.join("rehearsal"),
        state_dir: root.join(".poclab").join(&plan.lab),
        hosts: plan.hosts,
        network: plan.network,
        user: plan.user,
        mirror: own_mirror(inventory),
    })
}

/// The mirror that the inventory names, unless it is the one that the rehearsal makes itself. A wrong inventory is for others to tell.
fn own_mirror(inventory: &Path) -> Option<PathBuf> {
    let named = lab::mirror_folder(inventory).ok().flatten();
    named.filter(|folder| *folder != lab::cache_dir().join("mirror"))
}
