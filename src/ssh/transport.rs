//! The engine's view of a host: run one script, give it stdin, get stdout, stderr and status.

use super::{Reach, SshError};
use crate::base::Payload;

/// One exec: a POSIX sh script, run as root, and what it reads from stdin.
#[derive(Debug, Clone, Default)]
pub struct Exec {
    /// The script. It travels on stdin, ahead of the payloads, so it is not visible in the host's process list.
    pub script: String,
    /// What the script's steps read from stdin.
    pub stdin: Vec<Payload>,
}

/// What came back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Exit status; 128+n when a signal ended it.
    pub status: i32,
    /// Raw bytes. Of more than 256 KiB only the last lines are kept; [`Transport::exec`] hands out all of it as it arrives.
    pub stdout: Vec<u8>,
    /// Raw bytes; of more than 256 KiB only the last lines are kept.
    pub stderr: Vec<u8>,
}

/// An open way to one host.
pub trait Transport: Send {
    /// Runs one script. `on_stdout` sees output as it arrives (for progress); `on_sent` the payload bytes sent so far.
    fn exec(&mut self, exec: &Exec, on_stdout: &mut dyn FnMut(&[u8]), on_sent: &mut dyn FnMut(u64)) -> Result<Output, SshError>;
}

/// Opens transports; shared between worker threads.
pub trait Connector: Sync {
    /// Connects and logs in.
    fn connect(&self, reach: &Reach) -> Result<Box<dyn Transport>, SshError>;
}
