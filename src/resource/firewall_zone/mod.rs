//! The firewall policy of a host: one firewalld zone, and nothing else open.

mod apply;
mod diff;
mod observed;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::Deserialize;

use super::firewalld::{Allow, Item, Protocol, Zone};
use super::{Action, Change, Kind, Reply, State};
pub use observed::Observed;

/// A firewalld zone with exactly this policy, at runtime and permanently.
///
/// The zone holds what is written here and nothing else. It works before firewalld is installed, before its first
/// start (the policy is on disk when it starts, so that nobody is locked out) and while it runs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The zone's name. Default: `public`.
    #[serde(default = "public")]
    pub name: String,
    /// Whether it is the default zone: the one for all interfaces that no other zone claims. Default: true.
    #[serde(default = "yes")]
    pub default: bool,
    /// Interfaces to bind to it. Not needed for the default zone.
    #[serde(default)]
    pub interfaces: Vec<String>,
    /// What happens to everything that is not allowed: `default` (reject), `DROP`, `%%REJECT%%` or `ACCEPT`. Default: `default`.
    #[serde(default = "default_target")]
    pub target: String,
    /// firewalld's named services, open to everyone.
    #[serde(default)]
    pub services: Vec<String>,
    /// Who may reach which port (usually `{{ host.allow }}`, derived from the flow matrix).
    pub allow: Vec<Allow>,
    /// The port of sshd: a policy that lets nobody reach it is refused. Default: 22.
    #[serde(default = "ssh_port")]
    pub ssh_port: u16,
    /// Seconds after which the host puts the old policy back by itself when no new login has confirmed the new one, 5 to 600.
    /// Default: 60.
    #[serde(default = "confirm_seconds")]
    pub confirm_seconds: u32,
    /// Whether rules outside this zone that poclab does not know (other zones in use, direct rules, policies, rules made
    /// with iptables) are drift and are removed. Only looked at for the default zone. Default: true.
    #[serde(default = "yes")]
    pub strict: bool,
}

fn public() -> String {
    "public".to_owned()
}

fn default_target() -> String {
    "default".to_owned()
}

fn yes() -> bool {
    true
}

fn ssh_port() -> u16 {
    22
}

fn confirm_seconds() -> u32 {
    60
}

impl Spec {
    /// The zone as it must be.
    fn zone(&self) -> Zone {
        Zone {
            name: self.name.clone(),
            target: self.target.clone(),
            interfaces: self.interfaces.iter().cloned().collect(),
            sources: Default::default(),
            items: self.services.iter().cloned().map(Item::Service).chain(self.allow.iter().map(Item::of)).collect(),
        }
    }
}

impl Kind for Spec {
    const NAME: &'static str = "firewall_zone";
    type Observed = Observed;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn check(&self) -> Vec<String> {
        let mut errors = Vec::new();
        let ssh = self.allow.iter().any(|a| a.port == self.ssh_port && a.protocol == Protocol::Tcp)
            || (self.ssh_port == 22 && self.services.iter().any(|s| s == "ssh"))
            || self.target == "ACCEPT";
        if self.default && !ssh {
            errors.push(format!(
                "nobody could reach sshd: no flow allows port {}/tcp; add one to `flows` (from: [operators])",
                self.ssh_port
            ));
        }
        if !(5..=600).contains(&self.confirm_seconds) {
            errors.push(format!("confirm_seconds is {}: write 5 to 600", self.confirm_seconds));
        }
        if !matches!(self.target.as_str(), "default" | "ACCEPT" | "DROP" | "%%REJECT%%") {
            errors.push(format!("target is `{}`: write default, DROP, %%REJECT%% or ACCEPT", self.target));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if self.name.is_empty() || self.name.len() > 17 || !self.name.chars().all(plain) {
            errors.push(format!("`{}` cannot be a zone's name: 1 to 17 letters, digits, - and _", self.name));
        }
        errors.extend(self.allow.iter().filter(|a| a.port == 0).map(|_| "port 0 cannot be allowed: write 1 to 65535".to_owned()));
        errors
    }

    fn observe(specs: &[&Self]) -> String {
        observed::fragment(specs.iter().flat_map(|spec| &spec.services))
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Observed, String>> {
        let managed: Vec<String> = specs.iter().map(|spec| spec.name.clone()).collect();
        let observed = Observed::read(&reply.text(), managed);
        specs.iter().map(|_| observed.clone()).collect()
    }

    fn diff(&self, observed: &Observed) -> State {
        let findings = diff::findings(self, observed);
        if findings.is_empty() {
            return State::InSync;
        }
        State::Drift(findings.into_iter().map(|finding| Change::new(finding.text)).collect())
    }

    fn apply(&self, observed: &Observed) -> Vec<Action> {
        apply::actions(self, &diff::findings(self, observed))
    }
}
