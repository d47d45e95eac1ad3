//! Sockets and waiting: connecting within a time limit, waiting without losing sight of the user's Ctrl-C.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::SshError;

/// How long any wait lasts at most before the interrupted flag is looked at again.
pub(super) const TICK: Duration = Duration::from_millis(200);

/// What libssh2 answers when a call would block (`LIBSSH2_ERROR_EAGAIN` in libssh2.h; the crate does not re-export it).
const EAGAIN: i32 = -37;

/// Whether an error only says "not yet".
pub(super) fn would_block(error: &ssh2::Error) -> bool {
    error.code() == ssh2::ErrorCode::Session(EAGAIN)
}

/// Waits until the socket can be read (or written, if asked), at most `limit` and at most one [`TICK`].
///
/// Returns (readable, writable). Errors and hang-ups count as readable: the next read says what happened.
pub(super) fn ready(socket: &OwnedFd, write: bool, limit: Duration) -> (bool, bool) {
    let flags = if write { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
    let mut fds = [PollFd::new(socket, flags)];
    // A failing poll (a signal came) is the same as nothing yet: every caller loops and looks at the clock.
    let _ = poll(&mut fds, Some(&timespec(limit.min(TICK))));
    let got = fds[0].revents();
    (got.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR), got.contains(PollFlags::OUT))
}

/// A duration for poll.
pub(super) fn timespec(duration: Duration) -> Timespec {
    // Callers pass at most a TICK; the fallback is only there because the conversion is formally fallible.
    Timespec::try_from(duration).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 200_000_000 })
}

/// Why [`drive`] gave up.
#[derive(Debug)]
pub(super) enum Stopped {
    /// libssh2 reported an error.
    Failed(ssh2::Error),
    /// The limit passed.
    TimedOut,
    /// The user interrupted.
    Interrupted,
}

/// Repeats a non-blocking libssh2 call until it is done, within a limit.
pub(super) fn drive<T>(
    session: &ssh2::Session,
    socket: &OwnedFd,
    limit: Duration,
    interrupted: &AtomicBool,
    mut call: impl FnMut() -> Result<T, ssh2::Error>,
) -> Result<T, Stopped> {
    let deadline = Instant::now() + limit;
    loop {
        match call() {
            Ok(value) => return Ok(value),
            Err(error) if would_block(&error) => {}
            Err(error) => return Err(Stopped::Failed(error)),
        }
        if interrupted.load(Ordering::Relaxed) {
            return Err(Stopped::Interrupted);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Stopped::TimedOut);
        }
        ready(socket, wants_write(session), left);
    }
}

/// Whether libssh2 has bytes that the socket did not take yet.
pub(super) fn wants_write(session: &ssh2::Session) -> bool {
    matches!(session.block_directions(), ssh2::BlockDirections::Outbound | ssh2::BlockDirections::Both)
}

/// Connects to the first address of a name that answers.
///
/// Name resolution cannot be given a time limit, so both happen on a helper thread; when the limit passes (or the user
/// interrupts) that thread is left to end by itself.
pub(super) fn connect(address: &str, port: u16, limit: Duration, interrupted: &AtomicBool) -> Result<OwnedFd, SshError> {
    let unreachable = |why: String| SshError::Unreachable { address: super::hostkey::entry_name(address, port), why };
    let (sender, receiver) = mpsc::channel();
    let name = address.to_owned();
    let deadline = Instant::now() + limit;
    std::thread::spawn(move || {
        // The receiver may be gone: then nobody wants the answer.
        let _ = sender.send(dial(&name, port, deadline));
    });
    loop {
        match receiver.recv_timeout(TICK.min(deadline.saturating_duration_since(Instant::now()))) {
            Ok(result) => return result.map_err(unreachable),
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(unreachable("the connecting thread died".into())),
            Err(mpsc::RecvTimeoutError::Timeout) if interrupted.load(Ordering::Relaxed) => return Err(SshError::Interrupted),
            // The thread gets a tick more: its own error names the address that did not answer.
            Err(mpsc::RecvTimeoutError::Timeout) if Instant::now() < deadline + TICK => std::thread::sleep(TICK / 10),
            Err(mpsc::RecvTimeoutError::Timeout) => return Err(unreachable(format!("no answer within {limit:?}"))),
        }
    }
}

fn dial(address: &str, port: u16, deadline: Instant) -> Result<OwnedFd, String> {
    let all: Vec<SocketAddr> = (address, port).to_socket_addrs().map_err(|e| format!("the name cannot be resolved: {e}"))?.collect();
    let mut failures = Vec::new();
    for (index, socket_address) in all.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let others = u32::try_from(all.len() - index).unwrap_or(1);
        // connect_timeout panics on zero.
        let share = (left / others).max(Duration::from_millis(10));
        match TcpStream::connect_timeout(socket_address, share) {
            Ok(stream) => return prepare(stream).map_err(|e| format!("{socket_address}: {e}")),
            Err(e) if all.len() == 1 => failures.push(e.to_string()),
            Err(e) => failures.push(format!("{socket_address}: {e}")),
        }
    }
    if failures.is_empty() { Err("the name has no address".into()) } else { Err(failures.join(", ")) }
}

fn prepare(stream: TcpStream) -> std::io::Result<OwnedFd> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    // Between two execs nobody sends SSH keepalives; the kernel's keep a NAT entry alive meanwhile.
    rustix::net::sockopt::set_socket_keepalive(&stream, true)?;
    rustix::net::sockopt::set_tcp_keepidle(&stream, Duration::from_secs(30))?;
    Ok(stream.into())
}
