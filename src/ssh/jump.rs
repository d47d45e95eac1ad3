//! A way through a jump host: a forwarded channel of the outer connection, pumped into a socket pair.
//!
//! libssh2 needs a real socket, so the inner session gets one end of a pair and a thread moves bytes between the other
//! end and the channel. The outer session belongs to that thread alone.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use ssh2::Channel;

use super::connection::{Connection, Context};
use super::hostkey::entry_name;
use super::socket::{self, Stopped, drive};
use super::{SshError, SshTarget};

/// Bytes on their way in one direction; when it is full that direction waits, the other does not.
const BUFFER: usize = 256 * 1024;

/// A running tunnel. It ends when the inner session closes its end of the pair.
pub(super) struct Jump {
    ended: Receiver<()>,
}

impl Jump {
    /// Waits until the thread has closed the outer connection, but not longer than `limit`.
    pub(super) fn wait(&self, limit: Duration) {
        // Both answers are fine: it ended, or we do not wait any more.
        let _ = self.ended.recv_timeout(limit);
    }
}

/// Opens a channel from the jump host to the target; returns the inner end of it.
pub(super) fn tunnel(outer: Connection, host: &SshTarget, target: &SshTarget, context: &Context) -> Result<(OwnedFd, Jump), SshError> {
    let name = entry_name(&target.address, target.port);
    let via = entry_name(&host.address, host.port);
    let limit = target.timeouts.connect;
    let opened = drive(&outer.session, &outer.socket, limit, context.interrupted, || {
        outer.session.channel_direct_tcpip(&target.address, target.port, None)
    });
    let channel = opened.map_err(|stopped| match stopped {
        Stopped::Interrupted => SshError::Interrupted,
        Stopped::TimedOut => SshError::Timeout { doing: format!("connecting from the jump host {via} to {name}"), after: limit },
        Stopped::Failed(e) => SshError::Unreachable {
            address: name.clone(),
            why: format!("the jump host {via} cannot connect to it ({}; AllowTcpForwarding must be on there)", e.message()),
        },
    })?;
    let local = |e: std::io::Error| SshError::Local(format!("cannot make a socket pair for the jump host {via}: {e}"));
    let (inner, ours) = UnixStream::pair().map_err(local)?;
    inner.set_nonblocking(true).map_err(local)?;
    ours.set_nonblocking(true).map_err(local)?;
    let (ended, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut pump = Pump { channel, outer, pair: ours, up: Flow::new(), down: Flow::new() };
        pump.run();
        // Free the channel and say goodbye before the waiting side is told.
        drop(pump);
        drop::<mpsc::Sender<()>>(ended);
    });
    Ok((inner.into(), Jump { ended: receiver }))
}

/// Bytes read from one side and not yet written to the other.
struct Flow {
    bytes: Vec<u8>,
    start: usize,
    /// The reading side has ended.
    ended: bool,
}

impl Flow {
    fn new() -> Self {
        Self { bytes: Vec::with_capacity(BUFFER), start: 0, ended: false }
    }

    fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// Reads once into free space; true if something came.
    fn fill(&mut self, from: &mut impl Read) -> Result<bool, std::io::Error> {
        if self.ended || !self.is_empty() {
            return Ok(false);
        }
        self.start = 0;
        self.bytes.resize(BUFFER, 0);
        let got = from.read(&mut self.bytes);
        self.bytes.truncate(*got.as_ref().unwrap_or(&0));
        match got {
            Ok(n) => Ok(n > 0),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Writes as much as possible; true if something went.
    fn flush(&mut self, to: &mut impl Write) -> Result<bool, std::io::Error> {
        let before = self.start;
        while !self.is_empty() {
            match to.write(&self.bytes[self.start..]) {
                Ok(0) => break,
                Ok(n) => self.start += n,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => break,
                Err(e) => return Err(e),
            }
        }
        Ok(self.start > before)
    }
}

struct Pump {
    // Declared before `outer`: the channel is freed while its session still has a connection.
    channel: Channel,
    outer: Connection,
    pair: UnixStream,
    up: Flow,
    down: Flow,
}

impl Pump {
    fn run(&mut self) {
        // An error on either side ends the tunnel; closing the pair tells the inner session, whose error reaches the user.
        while self.step().unwrap_or(false) {}
    }

    /// Moves what can be moved, then waits; false when the tunnel is over.
    fn step(&mut self) -> Result<bool, std::io::Error> {
        let mut moved = false;
        // A half-sent packet must be finished before libssh2 may send anything else (reading can send window adjustments).
        let stuck = !self.up.is_empty() && socket::wants_write(&self.outer.session);
        if !stuck {
            moved |= self.down.fill(&mut self.channel)?;
            self.down.ended = self.channel.eof();
        }
        moved |= self.down.flush(&mut self.pair)?;
        moved |= self.up.fill(&mut self.pair)?;
        moved |= self.up.flush(&mut self.channel)?;
        if self.down.ended && self.down.is_empty() {
            return Ok(false);
        }
        if moved {
            return Ok(true);
        }
        // Checked only when nothing moves, so that the inner session's last words are still forwarded.
        if self.pair_closed() {
            return Ok(false);
        }
        self.wait();
        Ok(true)
    }

    fn pair_closed(&self) -> bool {
        let mut fds = [PollFd::new(&self.pair, PollFlags::IN)];
        let _ = poll(&mut fds, Some(&socket::timespec(Duration::ZERO)));
        fds[0].revents().contains(PollFlags::HUP)
    }

    fn wait(&self) {
        let mut outer = PollFlags::IN;
        if socket::wants_write(&self.outer.session) {
            outer |= PollFlags::OUT;
        }
        let mut pair = PollFlags::empty();
        if self.up.is_empty() {
            pair |= PollFlags::IN;
        }
        if !self.down.is_empty() {
            pair |= PollFlags::OUT;
        }
        let mut fds = [PollFd::new(&*self.outer.socket, outer), PollFd::new(&self.pair, pair)];
        let _ = poll(&mut fds, Some(&socket::timespec(socket::TICK)));
    }
}
