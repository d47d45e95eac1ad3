//! The supply chain of the lab itself: `lock.yml`, which names every artifact with its sum, and the folder (mirror) that holds them.
//!
//! [`build`] fills a folder from upstream, [`verify`] compares a folder with its lock, [`sbom`] writes a lock as a bill of materials,
//! [`reservations`] says what of a lab is in no lock, or in one without a sum, and [`enforce`] makes hosts compare what they can.

mod address;
mod archive;
mod build;
mod fetch;
mod folder;
mod image;
mod index;
mod lock;
mod manifest;
mod pins;
mod said;
mod sbom;
mod used;
mod verify;

pub use build::{Built, Unfinished, build, write_lock};
pub use lock::{Artifact, Lock, Section, Sum};
pub use pins::{Pin, pin, pinned, write_pins};
pub use sbom::sbom;
pub use used::{Used, enforce, place, reservations, used};
pub use verify::{Finding, verify};

/// The JSON schema of lock.yml.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Lock)
}
