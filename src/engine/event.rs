//! What happens during a run. This is also the public JSON format (`--format json`: one event per line, `event` first).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lab::Flow;

/// What the run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunKind {
    /// Plan, apply, verify.
    Bootstrap,
    /// What would change.
    Plan,
    /// The checks alone.
    Verify,
}

/// How a thing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Good (for a control: failed as it had to).
    Passed,
    /// Bad.
    Failed,
    /// Did not run, for a stated reason.
    Skipped,
}

/// One event. `seconds` are wall-clock durations. Texts are redacted by the receiver before anything is printed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// First event of every run.
    RunStarted { kind: RunKind, lab: String, version: String, hosts: Vec<String>, roles: Vec<String>, started: String },
    /// What the run is about, as it was when it started; follows `run_started`.
    Scope(Box<Scope>),
    /// Connecting to a host.
    Connecting { host: String, address: String },
    /// Everything on a host was looked at, in one exec.
    Observed { host: String, resources: usize, seconds: f64, system: String, rehearsal: bool },
    /// The host could not be reached or observed; it and what depends on it is left out.
    HostFailed { host: String, error: String },
    /// The host can be worked on, but something is wrong with it that no role repairs for sure (its clock).
    HostWarning { host: String, warning: String },
    /// Something differs and would be / will be changed. `reasons` say what and why; `diff` is a unified diff.
    Change { host: String, role: String, resource: String, reasons: Vec<String>, diff: Option<String>, origin: String },
    /// Cannot exist here, by a rule that the lab states.
    ResourceSkipped { host: String, role: String, resource: String, why: String },
    /// Could not be looked at. `deferred`: it will be looked at again after earlier changes of this plan were made.
    ResourceUnknown { host: String, role: String, resource: String, why: String, deferred: bool },
    /// A role starts on a host.
    RoleStarted { host: String, role: String, steps: usize },
    /// A step of a role starts (`number` from 1, of `steps`).
    StepStarted { host: String, role: String, label: String, number: usize, steps: usize },
    /// Bytes of a large upload.
    Uploading { host: String, label: String, sent: u64, total: u64 },
    /// A step ended well.
    StepDone { host: String, role: String, label: String, seconds: f64 },
    /// A pending restart (or the like) was made.
    HandlerDone { host: String, role: String, name: String, seconds: f64 },
    /// A role is as desired; `changed` resources were changed.
    RoleDone { host: String, role: String, changed: usize, seconds: f64 },
    /// A role failed; `output` are the failing step's last lines.
    RoleFailed { host: String, role: String, error: String, output: Vec<String>, hint: Option<String> },
    /// A role was not tried because something it requires failed.
    RoleNotReached { host: String, role: String, because: String },
    /// A role does nothing on a host, and proves nothing, until people give what it lacks.
    RoleNotConfigured { host: String, role: String, why: String },
    /// A command that was run (only with -v).
    Command { host: String, script: String },
    /// The checks start.
    ChecksStarted { checks: usize },
    /// A check starts.
    CheckStarted { check: String, role: String },
    /// What a check is waiting for.
    CheckProgress { check: String, note: String },
    /// One line of a check's report.
    CheckResult { check: String, role: String, title: String, status: Status, control: bool, detail: String },
    /// When the last data of a host came to where such data is collected (RFC 3339, UTC); `null`: none came lately.
    LastData { source: String, host: String, last: Option<String> },
    /// A check ended.
    CheckDone { check: String, role: String, seconds: f64 },
    /// What a reader must accept before trusting the lab, whatever host it is about: `what` in a few words, `why` it matters and what
    /// to do, and all the single things.
    Reservation { what: String, why: String, list: Vec<String> },
    /// Anything else worth a line.
    Note { text: String },
    /// Last event of every run.
    RunDone(Box<Summary>),
}

/// What a run is about: enough to report on it later without the lab's files, which may have changed since.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
pub struct Scope {
    /// Who runs it: `user@host` of the control machine.
    pub operator: String,
    /// The inventory's file.
    pub inventory: String,
    /// SHA-256 of the inventory's bytes, as `sha256sum` prints it.
    pub inventory_sha256: String,
    /// The options that narrow the run, as they are typed; empty: the whole lab.
    pub narrowed: Vec<String>,
    /// Hosts of the lab, in the inventory's order.
    pub members: Vec<Member>,
    /// Networks that operators come from.
    pub operators: Vec<String>,
    /// The flow matrix: who may reach which port of whom. Everything else is denied.
    pub flows: Vec<Flow>,
}

/// A host of the lab, as the inventory says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
pub struct Member {
    /// Name.
    pub name: String,
    /// Address in the lab.
    pub address: String,
    /// Groups it is in.
    pub groups: Vec<String>,
    /// Whether the inventory calls it a rehearsal host.
    pub rehearsal: bool,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
pub struct Summary {
    /// The exit code.
    pub exit: u8,
    /// Wall time of the run.
    pub seconds: f64,
    /// Resources looked at.
    pub resources: usize,
    /// Resources that differ (plan) or were changed (bootstrap).
    pub changed: usize,
    /// Resources that could not be looked at.
    pub unknown: usize,
    /// Resources that were skipped for a stated reason.
    pub skipped: usize,
    /// Checks: report lines passed / failed / skipped; `None` when the checks were not run, with the reason in `checks_note`.
    pub checks: Option<CheckCounts>,
    /// Why the checks were not run, or where their last result is from.
    pub checks_note: Option<String>,
    /// Per host.
    pub hosts: Vec<HostSummary>,
    /// Services and links.
    pub services: Vec<ServiceLink>,
    /// Stand-ins and repackaged products of a rehearsal, in words.
    pub stand_ins: Vec<String>,
    /// What to do next, in words: how to go on after a failure, where the log is.
    pub next: Vec<String>,
}

/// One host of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
pub struct HostSummary {
    /// Name.
    pub name: String,
    /// Address in the lab.
    pub address: String,
    /// System and kernel, e.g. `CentOS Linux release 7.6.1810 (Core), kernel 3.10.0-957.el7.x86_64`.
    pub system: String,
    /// Whether it is a rehearsal host.
    pub rehearsal: bool,
    /// Resources changed (or that would change).
    pub changed: usize,
    /// Error, when the host failed.
    pub error: Option<String>,
    /// What is wrong with the host although it could be worked on.
    pub warnings: Vec<String>,
    /// Its roles in order.
    pub roles: Vec<RoleTime>,
}

/// One role on one host in the summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
pub struct RoleTime {
    /// Role.
    pub role: String,
    /// Seconds spent on it (0 when nothing was to be done).
    pub seconds: f64,
    /// Resources changed.
    pub changed: usize,
    /// `ok`, `changed`, `would change`, `failed`, `not reached`, `not configured`.
    pub state: String,
}

/// Lines of the checks' reports, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
pub struct CheckCounts {
    /// Proven.
    pub passed: usize,
    /// Disproven, or could not be proven.
    pub failed: usize,
    /// Did not run, for stated reasons.
    pub skipped: usize,
}

/// A service and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
pub struct ServiceLink {
    /// e.g. `registry`
    pub name: String,
    /// Host.
    pub host: String,
    /// Link.
    pub url: String,
    /// How to get in: the command that shows the login, never the login.
    pub login: Option<String>,
}
