//! roles/<role>/role.yml as users write it. The doc comments are the manual and end up in the JSON schema.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::inventory::{OneOrMany, Secret, Vars};
use super::named::Named;

/// A role: what a host must be like to do one job, and how to prove that it does.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "poclab role")]
pub struct Role {
    /// What it is for, in one line.
    pub description: String,
    /// Roles that the same host must have and that are done before.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Roles that are done before on whatever hosts have them.
    #[serde(default)]
    pub requires_elsewhere: Vec<String>,
    /// What it cannot do without and only people can give: a key, the acceptance of a licence. As long as one of these is missing,
    /// the role is "not configured" on that host: nothing of it is done, nothing is proven, and every command says so.
    #[serde(default)]
    pub configured: Vec<Precondition>,
    /// Variables with their defaults; everything pinned is one of these. The inventory may override each.
    #[serde(default)]
    pub defaults: Vars,
    /// Defaults that differ by the host's `os`.
    #[serde(default)]
    pub os_defaults: OsDefaults,
    /// Secrets that it needs, by name: `{{ secrets.NAME.password }}`, `.user`, `.htpasswd` (bcrypt line).
    #[serde(default)]
    pub secrets: Named<Secret>,
    /// Certificates of the lab CA, one for each host that has the role, by name: `{{ certs.NAME.cert }}`, `.key`, `.chain`.
    #[serde(default)]
    pub certificates: Named<Certificate>,
    /// Ports that it listens on; two roles on one host cannot have the same.
    #[serde(default)]
    pub ports: Vec<ClaimedPort>,
    /// What is kept in a state, in this order.
    #[serde(default)]
    pub resources: Vec<ResourceEntry>,
    /// What changes can ask for with `notify`, by name; they run in this order, once, after the resources.
    #[serde(default)]
    pub handlers: Named<Handler>,
    /// What it offers to people, for the summary.
    #[serde(default)]
    pub services: Vec<Service>,
    /// End-to-end proofs.
    #[serde(default)]
    pub checks: Vec<CheckEntry>,
}

/// What a role cannot do without.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Precondition {
    /// Whether it is there: one `{{ expression }}`, evaluated before any connection.
    pub when: Condition,
    /// What is missing otherwise and how to give it, e.g. `no API key: poclab secrets set datadog_api_key`.
    pub missing: String,
}

/// Defaults by the host's `os`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OsDefaults {
    /// CentOS Linux 7.
    #[serde(default)]
    pub centos7: Vars,
    /// A container of the rehearsal.
    #[serde(default)]
    pub rehearsal: Vars,
}

/// A certificate of the lab CA.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// DNS names.
    pub names: Vec<String>,
    /// IP addresses.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// For how many days it is valid, 1 to 825. It is issued again when less than 30 days are left (of less than 90 days: a
    /// third of them). Default: 825, the longest that common clients accept. No certificate outlives the lab CA.
    #[serde(default)]
    #[schemars(range(min = 1, max = 825))]
    pub days: Option<i64>,
}

/// A port that a role listens on.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimedPort {
    /// `5000/tcp`
    pub port: String,
    /// What listens there.
    pub what: String,
}

/// A restart or the like. Exactly one of the fields.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Handler {
    /// A systemd unit to restart.
    #[serde(default)]
    pub restart: Option<String>,
    /// A systemd unit to reload.
    #[serde(default)]
    pub reload: Option<String>,
    /// A shell command (POSIX sh, as root).
    #[serde(default)]
    pub run: Option<String>,
}

/// A line of the summary.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// How to get in, without any secret: `poclab secrets show registry_push`.
    #[serde(default)]
    pub login: Option<String>,
    /// What `poclab status` asks for. Default: the url itself, and every answer below 500 is good.
    #[serde(default)]
    pub probe: Option<Probe>,
    /// Whether it is on the internet rather than on the host: `poclab status` shows the link and does not try it. Default: false.
    #[serde(default)]
    pub outside: bool,
    /// Only if this is true: one `{{ expression }}`.
    #[serde(default)]
    pub when: Option<Condition>,
}

/// A request, without a login, that shows whether a service is there.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Path to ask for, e.g. `/v2/`.
    pub path: String,
    /// HTTP status that must come back, e.g. 401 from a service that wants a login.
    pub status: u16,
}

/// `true`, `false` or one `{{ expression }}`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Condition {
    /// Fixed.
    Fixed(bool),
    /// An expression in `{{ }}`.
    Expression(String),
}

/// One resource: exactly one kind with what it must be like, and what goes with every kind.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct ResourceEntry {
    /// One resource for each item of a list (`{{ list }}`); the item is the variable `item`.
    #[serde(default)]
    pub for_each: Option<Value>,
    /// Only if this is true: one `{{ expression }}`, evaluated before any connection.
    #[serde(default)]
    pub when: Option<Condition>,
    /// Handlers to run when it changed.
    #[serde(default)]
    pub notify: Option<OneOrMany>,
}

/// One check: exactly one kind with what to prove, and what goes with every kind.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct CheckEntry {
    /// One check for each item of a list (`{{ list }}`); the item is the variable `item`.
    #[serde(default)]
    pub for_each: Option<Value>,
    /// Only if this is true: one `{{ expression }}`, evaluated before any connection.
    #[serde(default)]
    pub when: Option<Condition>,
    /// Once for the lab instead of once for each host that has the role. There is no variable `host` then. Default: false.
    #[serde(default)]
    pub once: bool,
    /// `all`: only after the checks of all roles that do not say so (e.g. because it restarts things). Default: in the order of the roles.
    #[serde(default)]
    pub after: Option<After>,
}

/// When a check runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum After {
    /// After all that do not say `after: all`.
    All,
}
