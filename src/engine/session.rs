//! One host during a run: its connection, opened at first use, and execs whose output is read frame by frame.

use std::sync::mpsc::Sender;

use crate::base::Payload;
use crate::base::frame::{Frame, FrameReader, ScriptBuilder, Seen, nonce};
use crate::lab::Host;
use crate::ssh::{Connector, Exec, Output, SshError, Transport};

use super::Event;

/// What all sessions of a run share.
#[derive(Clone)]
pub struct Wires<'a> {
    /// Opens connections.
    pub connector: &'a dyn Connector,
    /// Where events go.
    pub events: Sender<Event>,
    /// Whether to report every script that is run (`-v`).
    pub verbose: bool,
}

impl Wires<'_> {
    /// Sends an event. A receiver that is gone (broken pipe) does not stop a run.
    pub fn send(&self, event: Event) {
        let _ = self.events.send(event);
    }
}

/// A host and its connection.
pub struct Session<'a> {
    /// The host.
    pub host: &'a Host,
    wires: Wires<'a>,
    transport: Option<Box<dyn Transport>>,
    /// What the last exec's unfinished step had printed when the connection broke.
    pub unfinished: Vec<u8>,
}

impl<'a> Session<'a> {
    /// A session that is not connected yet.
    pub fn new(host: &'a Host, wires: Wires<'a>) -> Self {
        Self { host, wires, transport: None, unfinished: Vec::new() }
    }

    /// Whether there is a connection.
    pub fn is_open(&self) -> bool {
        self.transport.is_some()
    }

    /// Closes the connection; the next exec opens a new one.
    pub fn close(&mut self) {
        self.transport = None;
    }

    /// Starts a script for this session.
    pub fn script() -> ScriptBuilder {
        ScriptBuilder::new(&nonce())
    }

    /// Runs a script in one exec; `on_seen` is told about frames as they begin and end, `on_sent` about uploaded bytes.
    ///
    /// Connects first if need be. After a connection error the next call connects anew.
    pub fn run(
        &mut self,
        script: ScriptBuilder,
        stdin: Vec<Payload>,
        on_seen: &mut dyn FnMut(&Seen),
        on_sent: &mut dyn FnMut(u64),
    ) -> Result<(Vec<Frame>, Output), SshError> {
        let (script, mut reader) = script.finish();
        if self.wires.verbose {
            self.wires.send(Event::Command { host: self.host.name.clone(), script: script.clone() });
        }
        let exec = Exec { script, stdin };
        let mut frames = Vec::new();
        let mut take = |reader: &mut FrameReader, bytes: &[u8]| {
            for seen in reader.feed(bytes) {
                on_seen(&seen);
                if let Seen::End(frame) = seen {
                    frames.push(frame);
                }
            }
        };
        let reused = self.transport.is_some();
        let mut result = self.connect()?.exec(&exec, &mut |bytes| take(&mut reader, bytes), on_sent);
        if reused && matches!(result, Err(SshError::Dead { .. })) {
            // Nothing was sent yet (the host was restarted meanwhile, or somebody ended the session there).
            self.transport = None;
            result = self.connect()?.exec(&exec, &mut |bytes| take(&mut reader, bytes), on_sent);
        }
        if result.is_err() {
            self.unfinished = reader.unfinished();
        }
        if matches!(result, Err(SshError::Lost { .. } | SshError::Dead { .. } | SshError::Timeout { .. } | SshError::Interrupted)) {
            self.transport = None;
        }
        let output = result?;
        match reader.refused() {
            Some(refused) => Err(SshError::NotUnderstood(refused.clone())),
            None => Ok((frames, output)),
        }
    }

    fn connect(&mut self) -> Result<&mut Box<dyn Transport>, SshError> {
        match &mut self.transport {
            Some(_) => {}
            slot @ None => {
                self.wires.send(Event::Connecting { host: self.host.name.clone(), address: self.host.reach.to_string() });
                *slot = Some(self.wires.connector.connect(&self.host.reach)?);
            }
        }
        self.transport.as_mut().ok_or_else(|| SshError::Local("not connected".to_owned()))
    }
}
