//! The shape of a kind of check.

use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::base::Payload;

/// What a script on a host did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ran {
    /// Exit status.
    pub status: i32,
    /// stdout (raw).
    pub stdout: Vec<u8>,
    /// stderr (raw).
    pub stderr: Vec<u8>,
}

impl Ran {
    /// stdout as text; invalid UTF-8 becomes U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The last line of stderr (or of stdout), for error texts.
    pub fn last_line(&self) -> String {
        let err = String::from_utf8_lossy(&self.stderr);
        let out = String::from_utf8_lossy(&self.stdout);
        err.lines().rev().chain(out.lines().rev()).find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
    }
}

/// What a TCP connect met. `Refused` means that the packet reached the host and no firewall stopped it: nothing listens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tcp {
    /// Connected.
    Open,
    /// RST: allowed by the firewall, nothing listens.
    Refused,
    /// ICMP prohibited/unreachable: a firewall rejected it.
    Rejected,
    /// Silence until the deadline: a firewall dropped it (or the host is gone).
    Dropped,
}

/// How a check gets at the lab. Errors are texts for people and mean "could not look".
pub trait Reach: Sync {
    /// Runs a POSIX sh script as root on a host and returns what it did (also when it failed), within `deadline`.
    fn exec(&self, host: &str, script: &str, stdin: Vec<Payload>, deadline: Duration) -> Result<Ran, String>;
    /// A TCP connect from the control machine.
    fn tcp(&self, to: SocketAddr, deadline: Duration) -> Result<Tcp, String>;
    /// The client for HTTPS from the control machine, trusting the lab CA only, resolving `name` to `address`.
    fn http(&self, name: &str, address: SocketAddr) -> Result<reqwest::blocking::Client, String>;
    /// The same client, by the same way, trusting no CA: the control that a server's certificate must fail.
    fn http_without_ca(&self, name: &str, address: SocketAddr) -> Result<reqwest::blocking::Client, String> {
        super::reach::https_client_without_roots(name, address)
    }
}

/// The result of one check or control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Proven; what was seen.
    Passed(String),
    /// Disproven, or could not be proven: what was seen, what to do next.
    Failed(String),
    /// Could not run here, for a stated reason. Counted, never a pass.
    Skipped(String),
}

/// One line of a check's report. A check may prove several things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What was to be proven: `deploy may reach registry:5000/tcp`.
    pub title: String,
    /// Whether it was.
    pub verdict: Verdict,
    /// Whether this line is a control: something that had to fail, and `Passed` means that it did.
    pub control: bool,
}

impl Outcome {
    /// A line of a check.
    pub fn new(title: impl Into<String>, verdict: Verdict) -> Self {
        Self { title: title.into(), verdict, control: false }
    }

    /// A control: `Passed` means that what had to fail did fail.
    pub fn control(title: impl Into<String>, verdict: Verdict) -> Self {
        Self { title: title.into(), verdict, control: true }
    }
}

/// When the last data of a host came to where such data is collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Who collects it: `Datadog`.
    pub source: String,
    /// Name of the host that it is about.
    pub host: String,
    /// Seconds since 1970; `None`: nothing came within the time that was asked about.
    pub at: Option<i64>,
}

/// A kind of check. `Self` is the spec as users write it in role.yml under `checks:`.
pub trait CheckKind: DeserializeOwned + JsonSchema + Clone + Send + Sync {
    /// The key in role.yml.
    const NAME: &'static str;

    /// Identifies the check among those of its kind: a host, an address; may be empty.
    fn id(&self) -> String;

    /// Whether running it interrupts something (a reload, a restart), so that `--no-disruption` leaves it out.
    fn disruptive(&self) -> bool {
        false
    }

    /// When the last data of each host came, if that is what it is about; an error says why it could not be asked.
    fn arrivals(&self, reach: &dyn Reach) -> Option<Result<Vec<Arrival>, String>> {
        let _ = reach;
        None
    }

    /// Proves it. `progress` gets short notes on what is being waited for.
    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome>;
}
