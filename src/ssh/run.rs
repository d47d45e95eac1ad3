//! The loop that runs one script over a [`Wire`]: gives it its stdin, takes its outputs, knows when to give up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::feed::Feed;
use super::gate::Gate;
use super::loader;
use super::socket::TICK;
use super::sudo;
use super::wire::{Stream, Wire, Wrote};
use super::{Output, SshError, Sudo, SudoProblem};
use crate::base::Tail;

/// The last bytes of each output that are kept.
const OUTPUT_LIMIT: usize = 256 * 1024;

/// Longest wait for the loader (or sudo's prompt) to show up, whatever the login prints meanwhile; no yum is running yet at
/// that point.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Packets sent in a row before the outputs are looked at again.
const BURST: usize = 16;

/// One script to run.
pub(super) struct Job<'a> {
    pub(super) nonce: &'a str,
    pub(super) sudo: &'a Sudo,
    pub(super) feed: Feed<'a>,
    /// Longest silence once it runs.
    pub(super) idle: Duration,
    pub(super) interrupted: &'a AtomicBool,
}

/// Where sudo's password stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Password {
    /// Not asked for (yet).
    Unasked,
    /// Asked for; this many bytes of it are still to be written.
    Sending {
        left: usize,
    },
    Given,
}

struct Running<'a, 'b> {
    wire: &'a mut dyn Wire,
    job: Job<'b>,
    out: Gate,
    err: Gate,
    stdout: Tail,
    stderr: Tail,
    password: Password,
    input_closed: bool,
    buffer: Vec<u8>,
}

/// Runs a job to its end. After an error the wire's state is unknown: the caller gives it up.
pub(super) fn run(
    wire: &mut dyn Wire,
    job: Job<'_>,
    on_stdout: &mut dyn FnMut(&[u8]),
    on_sent: &mut dyn FnMut(u64),
) -> Result<Output, SshError> {
    let mark = loader::ready_mark(job.nonce);
    let mut running = Running {
        wire,
        out: Gate::new(mark.clone()),
        err: Gate::new(mark),
        stdout: Tail::new(OUTPUT_LIMIT),
        stderr: Tail::new(OUTPUT_LIMIT),
        password: Password::Unasked,
        input_closed: false,
        buffer: vec![0; 64 * 1024],
        job,
    };
    let mut last = Instant::now();
    loop {
        if running.job.interrupted.load(Ordering::Relaxed) {
            return Err(SshError::Interrupted);
        }
        let mut heard = running.read(Stream::Out, on_stdout)?;
        heard |= running.read(Stream::Err, on_stdout)?;
        running.look_for_prompt()?;
        let sent = running.write(on_sent)?;
        if let Some(status) = running.ended()? {
            return running.finish(status);
        }
        // What the login prints is no sign of the script: it may go on for ever.
        if sent || (heard && running.out.is_open()) {
            last = Instant::now();
            continue;
        }
        running.check_silence(last.elapsed())?;
        if !heard {
            running.wait()?;
        }
    }
}

impl Running<'_, '_> {
    fn doing(&self) -> String {
        if !self.out.is_open() {
            match self.job.sudo {
                _ if self.out.is_noisy() => {
                    "waiting for the script to start (the login, perhaps its ~/.bashrc, prints something else)".into()
                }
                Sudo::Never => "waiting for the script to start".into(),
                _ => "waiting for sudo to start the script".into(),
            }
        } else if self.job.feed.sent() > 0 && !self.input_closed {
            format!("sending files ({} bytes sent)", self.job.feed.sent())
        } else {
            "running the script".into()
        }
    }

    fn lost(&self, why: String) -> SshError {
        SshError::Lost { doing: self.doing(), why }
    }

    fn read(&mut self, stream: Stream, on_stdout: &mut dyn FnMut(&[u8])) -> Result<bool, SshError> {
        let n = self.wire.read(stream, &mut self.buffer).map_err(|why| SshError::Lost { doing: self.doing(), why })?;
        let bytes = &self.buffer[..n];
        match stream {
            Stream::Out => {
                let script = self.out.pass(bytes);
                if !script.is_empty() {
                    self.stdout.push(script);
                    on_stdout(script);
                }
            }
            Stream::Err => self.stderr.push(self.err.pass(bytes)),
        }
        Ok(n > 0)
    }

    /// sudo asks once; when it asks again it did not like the answer, and more answers would only lock the account.
    fn look_for_prompt(&mut self) -> Result<(), SshError> {
        let Sudo::Password(secret) = self.job.sudo else { return Ok(()) };
        if self.out.is_open() || self.err.is_open() {
            return Ok(());
        }
        let asked = self.err.count(&loader::prompt_mark(self.job.nonce));
        if asked > 1 {
            return Err(SshError::Sudo(SudoProblem::WrongPassword));
        }
        if asked == 1 && self.password == Password::Unasked {
            self.password = Password::Sending { left: secret.expose().len() + 1 };
        }
        Ok(())
    }

    /// Sends what may be sent now. The script must wait until sudo has started it if sudo may want a password first:
    /// sudo would take the script's beginning for it.
    fn write(&mut self, on_sent: &mut dyn FnMut(u64)) -> Result<bool, SshError> {
        let mut moved = false;
        if let (Password::Sending { left }, Sudo::Password(secret)) = (self.password, self.job.sudo) {
            let line = format!("{}\n", secret.expose());
            match self.wire.write(&line.as_bytes()[line.len() - left..]).map_err(|why| self.lost(why))? {
                Wrote::Bytes(n) if n >= left => self.password = Password::Given,
                Wrote::Bytes(n) => self.password = Password::Sending { left: left - n },
                Wrote::Full => return Ok(false),
                Wrote::Closed => self.input_closed = true,
            }
            moved = true;
        }
        let held = matches!(self.job.sudo, Sudo::Password(_)) && !self.out.is_open();
        if self.input_closed || held {
            return Ok(moved);
        }
        let before = self.job.feed.sent();
        for _ in 0..BURST {
            let chunk = self.job.feed.next()?;
            let wrote = match chunk.is_empty() {
                true => {
                    self.input_closed = self.wire.close_input().map_err(|why| SshError::Lost { doing: "closing stdin".into(), why })?;
                    moved |= self.input_closed;
                    break;
                }
                false => self.wire.write(chunk),
            };
            match wrote.map_err(|why| self.lost(why))? {
                Wrote::Bytes(n) => {
                    self.job.feed.advance(n);
                    moved = true;
                }
                Wrote::Full => break,
                Wrote::Closed => self.input_closed = true,
            }
            if self.input_closed {
                break;
            }
        }
        if self.job.feed.sent() > before {
            on_sent(self.job.feed.sent());
        }
        Ok(moved)
    }

    fn ended(&mut self) -> Result<Option<i32>, SshError> {
        self.wire.ended().map_err(|why| SshError::Lost { doing: self.doing(), why })
    }

    fn check_silence(&self, silent: Duration) -> Result<(), SshError> {
        let limit = if self.out.is_open() { self.job.idle } else { self.job.idle.min(START_LIMIT) };
        if silent < limit {
            return Ok(());
        }
        Err(SshError::Timeout { doing: self.doing(), after: limit })
    }

    fn wait(&mut self) -> Result<(), SshError> {
        let held = matches!(self.job.sudo, Sudo::Password(_)) && !self.out.is_open();
        let writing = matches!(self.password, Password::Sending { .. }) || !(self.input_closed || held);
        self.wire.wait(TICK, writing).map_err(|why| SshError::Lost { doing: self.doing(), why })
    }

    fn finish(self, status: i32) -> Result<Output, SshError> {
        if self.out.is_open() {
            let output = Output { status, stdout: self.stdout.finish(), stderr: self.stderr.finish() };
            return if loader::is_incomplete(&output) { Err(SshError::Eaten) } else { Ok(output) };
        }
        let said = self.err.before().replace(&loader::prompt_mark(self.job.nonce), "");
        if *self.job.sudo != Sudo::Never
            && let Some(problem) = sudo::problem(&said, status, self.password != Password::Unasked)
        {
            return Err(SshError::Sudo(problem));
        }
        let all = format!("{said}\n{}", self.out.before());
        let lines: Vec<&str> = all.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let output = if lines.is_empty() { "no output".to_owned() } else { lines[lines.len().saturating_sub(5)..].join("; ") };
        Err(SshError::NotStarted { status, output })
    }
}
