//! What goes from the forwarder to the server.

use serde::{Deserialize, Serialize};

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Seconds since 1970.
    pub time: f64,
    /// The host that it comes from.
    pub host: String,
    /// The file, or `journald://NAME`.
    pub source: String,
    /// e.g. `docker:json`
    pub sourcetype: String,
    /// The index that it is for.
    pub index: String,
    /// The line.
    pub raw: String,
}

/// A batch; the server answers with its number when the events are kept.
#[derive(Debug, Serialize, Deserialize)]
pub struct Batch {
    /// Its number.
    pub id: u64,
    /// Its events.
    pub events: Vec<Event>,
}

/// The answer to a batch.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ack {
    /// The batch's number.
    pub ack: u64,
}
