//! One command as it is, for users whose key allows certain commands only: no loader, no sudo, no stdin.

use std::sync::Arc;
use std::time::Instant;

use super::connection::{Connection, Context};
use super::connector::Ssh;
use super::exec::open;
use super::socket::TICK;
use super::wire::{Stream, Wire};
use super::{SshError, SshTarget};

/// A longer line is handed out in pieces, in bytes.
const LINE: usize = 8 * 1024;

impl Ssh {
    /// Connects, runs the command, hands out each line of its outputs as it comes, and returns its exit status (128+n when a
    /// signal ended it). It gets no stdin; a silence longer than the target's idle timeout is an error.
    pub fn command(&self, target: &SshTarget, command: &str, on_line: &mut dyn FnMut(&str)) -> Result<i32, SshError> {
        let context = Context { policy: &self.policy, interrupted: &self.interrupted };
        let connection = Connection::open(target, &context)?;
        let interrupted = Arc::clone(&self.interrupted);
        let mut wire = open(&connection, &target.timeouts, &interrupted, command.to_owned())?;
        let lost = |why| SshError::Lost { doing: "running the command".into(), why };
        let (mut out, mut err) = (Lines::default(), Lines::default());
        let mut buffer = vec![0; 16 * 1024];
        let mut last = Instant::now();
        let status = loop {
            if interrupted.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(SshError::Interrupted);
            }
            let mut heard = false;
            for (stream, lines) in [(Stream::Out, &mut out), (Stream::Err, &mut err)] {
                let n = wire.read(stream, &mut buffer).map_err(lost)?;
                lines.push(&buffer[..n], on_line);
                heard |= n > 0;
            }
            if let Some(status) = wire.ended().map_err(lost)? {
                break status;
            }
            if heard {
                last = Instant::now();
                continue;
            }
            if last.elapsed() >= target.timeouts.idle {
                return Err(SshError::Timeout { doing: "running the command".into(), after: target.timeouts.idle });
            }
            wire.wait(TICK, false).map_err(lost)?;
        };
        out.end(on_line);
        err.end(on_line);
        Ok(status)
    }
}

/// Cuts bytes into lines.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn push(&mut self, bytes: &[u8], on_line: &mut dyn FnMut(&str)) {
        for byte in bytes {
            if *byte == b'\n' || self.0.len() >= LINE {
                self.end(on_line);
            }
            if *byte != b'\n' {
                self.0.push(*byte);
            }
        }
    }

    fn end(&mut self, on_line: &mut dyn FnMut(&str)) {
        if !self.0.is_empty() {
            on_line(&String::from_utf8_lossy(&std::mem::take(&mut self.0)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_their_ends_and_when_they_are_too_long() {
        let mut seen = Vec::new();
        let mut lines = Lines::default();
        for piece in [b"one\ntw".as_slice(), b"o\n\n", b"last"] {
            lines.push(piece, &mut |line| seen.push(line.to_owned()));
        }
        lines.end(&mut |line| seen.push(line.to_owned()));
        assert_eq!(seen, ["one", "two", "last"]);
        let mut lengths = Vec::new();
        lines.push(&vec![b'x'; LINE * 2 + 1], &mut |line| lengths.push(line.len()));
        assert_eq!(lengths, [LINE, LINE]);
    }
}
