//! What the loop that runs a script needs of a channel: SSH's or a local program's.

use std::time::Duration;

/// One of a script's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Err,
}

/// How a write went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrote {
    /// This many bytes were taken.
    Bytes(usize),
    /// No room now.
    Full,
    /// The other side reads no more.
    Closed,
}

/// Why a wire is unusable.
pub(super) type Broken = String;

/// A running script's three streams, none of which ever blocks.
pub(super) trait Wire {
    /// Reads what is there: 0 for nothing now (also at the end; see [`Wire::ended`]).
    fn read(&mut self, stream: Stream, buffer: &mut [u8]) -> Result<usize, Broken>;
    /// Writes to stdin. After [`Wrote::Full`] the same bytes must be offered again.
    fn write(&mut self, bytes: &[u8]) -> Result<Wrote, Broken>;
    /// Closes stdin; false if that has to be tried again.
    fn close_input(&mut self) -> Result<bool, Broken>;
    /// The exit status, once everything has been read and the script is over.
    fn ended(&mut self) -> Result<Option<i32>, Broken>;
    /// Waits for something to happen, at most `limit`; `writing` tells whether there are bytes to send.
    fn wait(&mut self, limit: Duration, writing: bool) -> Result<(), Broken>;
}
