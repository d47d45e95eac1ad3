//! How checks get at the hosts: sessions that are kept between execs, several per host when a check works in parallel.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::Payload;
use crate::check::{self, Ran, Reach, Tcp};
use crate::lab::Lab;

use super::session::{Session, Wires};

/// [`Reach`] over the lab's connections.
pub struct HostReach<'a> {
    lab: &'a Lab,
    wires: Wires<'a>,
    idle: Mutex<HashMap<String, Vec<Session<'a>>>>,
}

impl<'a> HostReach<'a> {
    /// Takes over sessions that are open already.
    pub fn new(lab: &'a Lab, wires: Wires<'a>, sessions: Vec<Session<'a>>) -> Self {
        let mut idle: HashMap<String, Vec<Session<'a>>> = HashMap::new();
        for session in sessions {
            idle.entry(session.host.name.clone()).or_default().push(session);
        }
        Self { lab, wires, idle: Mutex::new(idle) }
    }

    fn take(&self, host: &str) -> Result<Session<'a>, String> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = idle.get_mut(host).and_then(Vec::pop) {
            return Ok(session);
        }
        let found = self.lab.hosts.iter().find(|h| h.name == host).ok_or_else(|| format!("there is no host {host} in the lab"))?;
        Ok(Session::new(found, self.wires.clone()))
    }
}

impl Reach for HostReach<'_> {
    fn exec(&self, host: &str, script: &str, stdin: Vec<Payload>, deadline: Duration) -> Result<Ran, String> {
        let mut session = self.take(host)?;
        let mut builder = Session::script();
        builder.bounded("check", script, deadline.as_secs().max(1));
        let (frames, output) = session.run(builder, stdin, &mut |_| {}, &mut |_| {}).map_err(|e| format!("{host}: {e}"))?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.entry(host.to_owned()).or_default().push(session);
        drop(idle);
        let frame = frames
            .into_iter()
            .find(|frame| frame.id == "check")
            .ok_or_else(|| format!("{host}: the script ended early with exit status {}", output.status))?;
        if frame.status == 124 {
            return Err(format!("{host}: not done after {} s", deadline.as_secs()));
        }
        Ok(Ran { status: frame.status, stdout: frame.payload, stderr: output.stderr })
    }

    fn tcp(&self, to: SocketAddr, deadline: Duration) -> Result<Tcp, String> {
        check::tcp_connect(to, deadline)
    }

    fn http(&self, name: &str, address: SocketAddr) -> Result<reqwest::blocking::Client, String> {
        check::https_client(&self.lab.ca_pem, name, address)
    }
}
