//! The resolved lab: what the engine works on. No variable, template or reference is left in it.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::base::{Redactor, Secret};
use crate::{check, resource, ssh};

/// Everything one inventory describes.
#[derive(Clone)]
pub struct Lab {
    /// The lab's name.
    pub name: String,
    /// Folder that holds inventory/, roles/ and templates/.
    pub root: PathBuf,
    /// Folder for what this machine keeps about the lab: secrets, known hosts, run logs (`.poclab/<name>`).
    pub state_dir: PathBuf,
    /// poclab's own file of known host keys (OpenSSH format). Default: `<state_dir>/known_hosts`.
    pub known_hosts: PathBuf,
    /// In inventory order.
    pub hosts: Vec<Host>,
    /// Those whose SSH host key nobody has seen yet (indices): `hosts.NAME.host_key` is made up for them.
    pub new_hosts: Vec<usize>,
    /// One role on one host each; ordered so that every node comes after all it requires.
    pub nodes: Vec<Node>,
    /// In role order; those with `after: all` last.
    pub checks: Vec<Check>,
    /// Lines for the summary: services with links, and where their credentials are.
    pub services: Vec<Service>,
    /// Products that are not the real ones here (a rehearsal), in words; empty for a real lab.
    pub stand_ins: Vec<String>,
    /// What could not be checked, and why (only from `validate`).
    pub notes: Vec<String>,
    /// The secrets that the inventory and the roles in use declare, by name.
    pub secrets: Vec<DeclaredSecret>,
    /// The inventory it was read from, for reports.
    pub source: Source,
    /// PEM of the lab CA's certificate.
    pub ca_pem: String,
    /// Knows every secret of the lab.
    pub redactor: Redactor,
}

/// Where a lab comes from and who may reach whom in it: what a report must be able to say when the files have changed since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The inventory's file, relative to the project's root if it is inside.
    pub inventory: String,
    /// SHA-256 of its bytes, in hexadecimal (what `sha256sum` prints).
    pub sha256: String,
    /// Networks of the operators.
    pub operators: Vec<String>,
    /// The flow matrix.
    pub flows: Vec<Flow>,
    /// The folder of the mirror that the lab installs from, if it has one.
    pub mirror: Option<PathBuf>,
}

/// One line of the flow matrix, with groups replaced by their hosts. Whatever no line allows is denied.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
pub struct Flow {
    /// Hosts that may be reached.
    pub to: Vec<String>,
    /// Ports with protocol: `5000/tcp`.
    pub ports: Vec<String>,
    /// Hosts that may connect (a host that is also in `to` may connect to the others).
    pub from_hosts: Vec<String>,
    /// Networks that may connect.
    pub from_networks: Vec<String>,
    /// Whether operators may connect, from their networks.
    pub from_operators: bool,
    /// Whether anybody may connect.
    pub from_any: bool,
    /// Whether it is a container's published port.
    pub published: bool,
    /// What it is for.
    pub why: String,
}

/// A secret as the inventory or a role declares it; without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredSecret {
    /// e.g. `registry_push`
    pub name: String,
    /// What it is for.
    pub what: String,
    /// The login's user name.
    pub user: String,
    /// Whether it is set by hand instead of generated.
    pub given: bool,
}

/// A service that a role offers, for the summary and `poclab status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// e.g. `registry`
    pub name: String,
    /// Host name.
    pub host: String,
    /// e.g. `https://registry.lab.example:5000`
    pub url: String,
    /// How to get in: names of secrets (`poclab secrets show registry_push`), never the secrets.
    pub login: Option<String>,
    /// What `poclab status` asks for; `None` = the url itself, and every answer below 500 is good.
    pub probe: Option<Probe>,
    /// Whether it is on the internet rather than on the host, and so is not tried.
    pub outside: bool,
}

/// A request, without a login, that shows whether a service is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Path to ask for.
    pub path: String,
    /// HTTP status that must come back.
    pub status: u16,
}

/// What system the inventory says a host runs; checked against the host before anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Os {
    /// CentOS Linux 7 (made for 7.6.1810).
    Centos7,
    /// A container of the rehearsal: not CentOS, EL7-like where the roles look. Carries the file /etc/poclab-rehearsal.
    Rehearsal,
}

/// One host.
#[derive(Debug, Clone)]
pub struct Host {
    /// Name in the inventory.
    pub name: String,
    /// Its address in the lab (what other hosts use).
    pub address: Ipv4Addr,
    /// What it runs.
    pub os: Os,
    /// Groups it is in, `all` first.
    pub groups: Vec<String>,
    /// How the control machine reaches it.
    pub reach: ssh::Reach,
}

/// One role on one host.
#[derive(Clone)]
pub struct Node {
    /// Index into [`Lab::hosts`].
    pub host: usize,
    /// The role's name.
    pub role: String,
    /// In the order in which they are applied.
    pub resources: Vec<Resource>,
    /// In the order in which they run.
    pub handlers: Vec<Handler>,
    /// Indexes into [`Lab::nodes`] of what must be done before (same host and others).
    pub requires: Vec<usize>,
    /// What people have to give first, in words; nothing else is in the node then.
    pub not_configured: Option<String>,
}

/// One resource.
#[derive(Clone)]
pub struct Resource {
    /// What it must be like.
    pub spec: resource::Spec,
    /// Names of handlers to run when it changed.
    pub notify: Vec<String>,
    /// Where it is written: `roles/docker/role.yml:17`.
    pub origin: String,
}

impl Resource {
    /// `kind id`, unique on its host.
    pub fn label(&self) -> String {
        format!("{} {}", self.spec.kind(), self.spec.id())
    }
}

/// A restart (or the like) that changes ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handler {
    /// As in `notify`.
    pub name: String,
    /// What it does.
    pub action: HandlerAction,
}

/// What a handler does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandlerAction {
    /// `systemctl restart UNIT`
    Restart(String),
    /// `systemctl reload UNIT`
    Reload(String),
    /// A shell command.
    Run(String),
}

/// One check to run.
#[derive(Clone)]
pub struct Check {
    /// The role that declares it.
    pub role: String,
    /// The host for which it runs; `None` = once for the lab.
    pub host: Option<String>,
    /// What to prove.
    pub spec: check::Spec,
}

/// A named secret of the lab, for `poclab secrets list`.
#[derive(Debug, Clone)]
pub struct NamedSecret {
    /// e.g. `registry_push`
    pub name: String,
    /// What it is for (from the role's declaration).
    pub what: String,
    /// The value.
    pub value: Secret,
}
