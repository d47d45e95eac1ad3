//! Running scripts over an SSH connection: one channel each.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use ssh2::Channel;

use super::connection::Connection;
use super::feed::Feed;
use super::run::{Job, run};
use super::socket::{self, Stopped, drive};
use super::wire::{Broken, Stream, Wire, Wrote};
use super::{Exec, Output, SshError, Sudo, Timeouts, Transport, loader};
use crate::base::frame;

/// Longest wait for a new channel; sshd opens one at once, only a dead connection takes longer.
const OPEN_LIMIT: Duration = Duration::from_secs(30);

/// Keepalives that may stay unanswered.
const UNANSWERED: u32 = 3;

/// libssh2 keeps seconds; more often than every 2 s it would not send.
const KEEPALIVE_LEAST: Duration = Duration::from_secs(2);

/// An open SSH connection with the way to become root on it.
pub(super) struct SshTransport {
    connection: Connection,
    sudo: Sudo,
    timeouts: Timeouts,
    interrupted: Arc<AtomicBool>,
    /// Set by the first error: what is left in the channel is unknown then.
    broken: bool,
}

impl SshTransport {
    pub(super) fn new(connection: Connection, sudo: Sudo, timeouts: Timeouts, interrupted: Arc<AtomicBool>) -> Result<Self, SshError> {
        if let Sudo::Password(password) = &sudo
            && password.expose().contains(['\n', '\0'])
        {
            return Err(SshError::Local("the sudo password holds a line break; it must be one line".into()));
        }
        Ok(Self { connection, sudo, timeouts, interrupted, broken: false })
    }
}

/// Opens a channel for a command; it is sent with the first read.
pub(super) fn open<'a>(
    connection: &'a Connection,
    timeouts: &Timeouts,
    interrupted: &AtomicBool,
    command: String,
) -> Result<SshWire<'a>, SshError> {
    let Connection { session, socket, .. } = connection;
    let keepalive = timeouts.keepalive.max(KEEPALIVE_LEAST);
    let limit = OPEN_LIMIT.min(keepalive * (UNANSWERED + 1));
    let opened = drive(session, socket, limit, interrupted, || session.channel_session());
    let channel = opened.map_err(|stopped| match stopped {
        Stopped::Interrupted => SshError::Interrupted,
        Stopped::TimedOut => SshError::Dead { why: format!("no answer within {limit:?}") },
        Stopped::Failed(e) => SshError::Dead { why: e.message().to_owned() },
    })?;
    Ok(SshWire { connection, channel, command: Some(command), stuck: None, keepalive, heard: Instant::now(), unanswered: 0 })
}

impl Transport for SshTransport {
    fn exec(&mut self, exec: &Exec, on_stdout: &mut dyn FnMut(&[u8]), on_sent: &mut dyn FnMut(u64)) -> Result<Output, SshError> {
        if self.broken {
            return Err(SshError::Dead { why: "it was given up after an earlier error".into() });
        }
        let nonce = frame::nonce();
        let script = loader::wrap(&exec.script, &nonce)?;
        let command = loader::command_line(&self.sudo, &nonce, script.len());
        let feed = Feed::new(script, &exec.stdin)?;
        self.broken = true;
        let mut wire = open(&self.connection, &self.timeouts, &self.interrupted, command)?;
        let job = Job { nonce: &nonce, sudo: &self.sudo, feed, idle: self.timeouts.idle, interrupted: &self.interrupted };
        let result = run(&mut wire, job, on_stdout, on_sent);
        wire.close();
        drop(wire);
        self.broken = result.is_err();
        result
    }
}

/// A call that libssh2 left with a half-sent packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Start,
    Read(Stream),
    Write,
    Close,
}

/// One channel. libssh2 demands that a call which could not send its packet completely is repeated before any other call
/// may send, and reading can send too (window adjustments): `stuck` remembers whose turn it is.
pub(super) struct SshWire<'a> {
    connection: &'a Connection,
    channel: Channel,
    /// The command until the server has confirmed it. The script is sent without waiting for that: one round trip less.
    command: Option<String>,
    stuck: Option<Call>,
    keepalive: Duration,
    /// When the server was last heard (or asked).
    heard: Instant,
    unanswered: u32,
}

impl SshWire<'_> {
    fn may(&self, call: Call) -> bool {
        self.stuck.is_none_or(|stuck| stuck == call)
    }

    /// Notes whether a call that could not finish must be repeated before others.
    fn blocked(&mut self, call: Call) {
        self.stuck = socket::wants_write(&self.connection.session).then_some(call);
    }

    /// Sends the command, or takes note of the server's answer to it.
    fn push_start(&mut self) -> Result<(), Broken> {
        let Some(command) = &self.command else { return Ok(()) };
        if !self.may(Call::Start) {
            return Ok(());
        }
        match self.channel.exec(command) {
            Ok(()) => {
                self.stuck = None;
                self.command = None;
                Ok(())
            }
            Err(e) if socket::would_block(&e) => {
                self.blocked(Call::Start);
                Ok(())
            }
            Err(e) => Err(format!("the server did not run the command: {}", e.message())),
        }
    }

    /// Says that we are done with the channel, without waiting for an answer.
    fn close(&mut self) {
        // The answer has come already, or the connection is given up.
        let _ = self.channel.close();
    }
}

impl Wire for SshWire<'_> {
    fn read(&mut self, stream: Stream, buffer: &mut [u8]) -> Result<usize, Broken> {
        self.push_start()?;
        let call = Call::Read(stream);
        if !self.may(call) {
            return Ok(0);
        }
        let id = match stream {
            Stream::Out => 0,
            Stream::Err => 1,
        };
        match self.channel.stream(id).read(buffer) {
            Ok(n) => {
                self.stuck = None;
                Ok(n)
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                self.blocked(call);
                Ok(0)
            }
            Err(e) => Err(e.to_string()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<Wrote, Broken> {
        if !self.may(Call::Write) {
            return Ok(Wrote::Full);
        }
        match self.channel.write(bytes) {
            // The server's window is full.
            Ok(0) => {
                self.stuck = None;
                Ok(Wrote::Full)
            }
            Ok(n) => {
                self.stuck = None;
                Ok(Wrote::Bytes(n))
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                self.blocked(Call::Write);
                Ok(Wrote::Full)
            }
            Err(e) => Err(e.to_string()),
        }
    }

    fn close_input(&mut self) -> Result<bool, Broken> {
        if !self.may(Call::Close) {
            return Ok(false);
        }
        match self.channel.send_eof() {
            Ok(()) => {
                self.stuck = None;
                Ok(true)
            }
            Err(e) if socket::would_block(&e) => {
                self.blocked(Call::Close);
                Ok(false)
            }
            Err(e) => Err(e.message().to_owned()),
        }
    }

    fn ended(&mut self) -> Result<Option<i32>, Broken> {
        if self.stuck.is_some() || self.command.is_some() || !self.channel.eof() {
            return Ok(None);
        }
        match self.channel.wait_close() {
            Ok(()) => {}
            Err(e) if socket::would_block(&e) => return Ok(None),
            Err(e) => return Err(e.message().to_owned()),
        }
        let signal = self.channel.exit_signal().ok().and_then(|end| end.exit_signal);
        Ok(Some(match signal {
            Some(name) => 128 + signal_number(&name),
            None => self.channel.exit_status().map_err(|e| e.message().to_owned())?,
        }))
    }

    fn wait(&mut self, limit: Duration, _writing: bool) -> Result<(), Broken> {
        // A full window is not waited for by the socket's readiness to write: that would spin. Its adjustment is read.
        let (readable, _) = socket::ready(&self.connection.socket, self.stuck.is_some(), limit);
        if readable {
            self.heard = Instant::now();
            self.unanswered = 0;
            return Ok(());
        }
        if self.heard.elapsed() < self.keepalive {
            return Ok(());
        }
        if self.unanswered >= UNANSWERED {
            return Err(format!("no answer to {UNANSWERED} keepalives"));
        }
        self.heard = Instant::now();
        self.unanswered += 1;
        // Only into an empty socket: a half-sent keepalive could never be completed.
        if self.stuck.is_none() && socket::ready(&self.connection.socket, true, Duration::ZERO).1 {
            self.connection.session.keepalive_send().map_err(|e| e.message().to_owned())?;
        }
        Ok(())
    }
}

/// The number of a signal by its SSH name (RFC 4254 section 6.10); 0 for names that mean nothing here.
fn signal_number(name: &str) -> i32 {
    match name {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "ILL" => 4,
        "ABRT" => 6,
        "FPE" => 8,
        "KILL" => 9,
        "USR1" => 10,
        "SEGV" => 11,
        "USR2" => 12,
        "PIPE" => 13,
        "ALRM" => 14,
        "TERM" => 15,
        _ => 0,
    }
}
