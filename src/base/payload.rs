//! What travels to a host on stdin.

use std::path::PathBuf;

/// Bytes that a script reads from its stdin, sent in order.
#[derive(Clone, PartialEq, Eq)]
pub enum Payload {
    /// From memory. May hold secrets: no `Debug` of the content.
    Bytes(Vec<u8>),
    /// Streamed from a local file of exactly this length.
    File { path: PathBuf, len: u64 },
}

impl Payload {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Payload::Bytes(bytes) => bytes.len() as u64,
            Payload::File { len, .. } => *len,
        }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Payload::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Payload::File { path, len } => write!(f, "File({}, {len})", path.display()),
        }
    }
}
