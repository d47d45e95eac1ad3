//! Running scripts through a local program (`docker exec -i NAME`, `chroot DIR`): one process each.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use super::feed::Feed;
use super::run::{Job, run};
use super::socket::timespec;
use super::wire::{Broken, Stream, Wire, Wrote};
use super::{Exec, Output, SshError, Sudo, Timeouts, Transport, loader};
use crate::base::frame;

/// A program that gets `sh -c LOADER …` appended for every exec. No sudo: it must run things as root by itself.
pub(super) struct ProgramTransport {
    argv: Vec<String>,
    interrupted: Arc<AtomicBool>,
}

impl ProgramTransport {
    pub(super) fn new(argv: Vec<String>, interrupted: Arc<AtomicBool>) -> Result<Self, SshError> {
        if argv.is_empty() {
            return Err(SshError::Local(
                "the connection's program is an empty list; name a program, for example [docker, exec, -i, NAME]".into(),
            ));
        }
        Ok(Self { argv, interrupted })
    }
}

impl Transport for ProgramTransport {
    fn exec(&mut self, exec: &Exec, on_stdout: &mut dyn FnMut(&[u8]), on_sent: &mut dyn FnMut(u64)) -> Result<Output, SshError> {
        let nonce = frame::nonce();
        let script = loader::wrap(&exec.script, &nonce)?;
        let words = loader::words(&nonce, script.len());
        let feed = Feed::new(script, &exec.stdin)?;
        let mut wire = ProgramWire::start(&self.argv, &words)?;
        let job = Job { nonce: &nonce, sudo: &Sudo::Never, feed, idle: Timeouts::default().idle, interrupted: &self.interrupted };
        run(&mut wire, job, on_stdout, on_sent)
    }
}

/// A running program and its pipes; a pipe that has ended is gone.
struct ProgramWire {
    child: Child,
    input: Option<ChildStdin>,
    out: Option<ChildStdout>,
    err: Option<ChildStderr>,
    over: bool,
}

impl ProgramWire {
    fn start(argv: &[String], words: &[String]) -> Result<Self, SshError> {
        let failed = |e: std::io::Error| SshError::Local(format!("cannot start the connection's program {}: {e}", argv[0]));
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Its own group: a Ctrl-C is ours to handle, and everything it started can be ended with it.
        command.process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        let (input, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let wire = Self { child, input, out, err, over: false };
        let nonblocking = || {
            for fd in [
                wire.input.as_ref().map(std::os::fd::AsFd::as_fd),
                wire.out.as_ref().map(std::os::fd::AsFd::as_fd),
                wire.err.as_ref().map(std::os::fd::AsFd::as_fd),
            ]
            .into_iter()
            .flatten()
            {
                rustix::io::ioctl_fionbio(fd, true)?;
            }
            Ok(())
        };
        nonblocking().map_err(|e: rustix::io::Errno| failed(e.into()))?;
        Ok(wire)
    }
}

impl Drop for ProgramWire {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // It may just have ended by itself.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Reads from a pipe; at its end the pipe is dropped.
fn read(pipe: &mut Option<impl Read>, buffer: &mut [u8]) -> Result<usize, Broken> {
    let Some(open) = pipe else { return Ok(0) };
    match open.read(buffer) {
        Ok(0) => {
            *pipe = None;
            Ok(0)
        }
        Ok(n) => Ok(n),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        Err(e) => Err(e.to_string()),
    }
}

impl Wire for ProgramWire {
    fn read(&mut self, stream: Stream, buffer: &mut [u8]) -> Result<usize, Broken> {
        match stream {
            Stream::Out => read(&mut self.out, buffer),
            Stream::Err => read(&mut self.err, buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<Wrote, Broken> {
        let Some(input) = &mut self.input else { return Ok(Wrote::Closed) };
        match input.write(bytes) {
            Ok(n) => Ok(Wrote::Bytes(n)),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(Wrote::Full),
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(Wrote::Closed),
            Err(e) => Err(e.to_string()),
        }
    }

    fn close_input(&mut self) -> Result<bool, Broken> {
        self.input = None;
        Ok(true)
    }

    fn ended(&mut self) -> Result<Option<i32>, Broken> {
        if self.out.is_some() || self.err.is_some() {
            return Ok(None);
        }
        let status = self.child.try_wait().map_err(|e| e.to_string())?;
        self.over = status.is_some();
        Ok(status.map(|status| status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))))
    }

    fn wait(&mut self, limit: Duration, writing: bool) -> Result<(), Broken> {
        let mut fds = Vec::with_capacity(3);
        fds.extend(self.out.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        fds.extend(self.err.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        // Both outputs are closed: only the exit itself is missing, and no descriptor tells it.
        let limit = if fds.is_empty() { Duration::from_millis(5) } else { limit };
        if writing {
            fds.extend(self.input.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
        }
        // Interrupted by a signal is the same as nothing yet.
        let _ = poll(&mut fds, Some(&timespec(limit)));
        Ok(())
    }
}
