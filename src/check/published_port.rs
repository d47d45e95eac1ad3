//! A container's published port is guarded like every other.

use schemars::JsonSchema;
use serde::Deserialize;

use super::containers::Containers;
use super::shapes::{Flow, Host};
use super::{CheckKind, Outcome, Reach, Verdict, matrix};

/// Docker publishes ports around the zones of the firewall, so this is proven with real containers.
///
/// A container that serves a page is started on every host with Docker for the time of the check, published on the ports that the
/// flow matrix allows there as `published` (those that are free) and on one that no flow names. Allowed peers must connect, all others
/// must be stopped, although the container listens on all of them (control: the host itself gets the page). Interrupts nothing;
/// `firewall_survives` with an `image` proves the same before and after interruptions.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Names of the hosts that run the containers: `{{ groups.docker }}`.
    pub docker_hosts: Vec<String>,
    /// All hosts: `{{ lab.hosts }}`.
    pub hosts: Vec<Host>,
    /// The flow matrix: `{{ lab.flows }}`.
    pub flows: Vec<Flow>,
    /// An image that is on these hosts already and holds `sh`, `sleep` and busybox' `httpd`.
    pub image: String,
    /// Networks that operators come from: `{{ lab.operators }}`. Default: none.
    #[serde(default)]
    pub operators: Vec<String>,
    /// A port that no flow names. Default: the highest up to 47113 that none names.
    #[serde(default)]
    pub unlisted_port: Option<u16>,
    /// Where sshd listens on the hosts (for the control on loopback). Default: 22.
    #[serde(default = "super::port_matrix::ssh_port")]
    pub ssh_port: u16,
}

impl CheckKind for Spec {
    const NAME: &'static str = "published_port";

    fn id(&self) -> String {
        String::new()
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        let mut plan = match matrix::plan(&self.hosts, &self.flows, &self.operators, self.unlisted_port, self.ssh_port) {
            Ok(plan) => plan,
            Err(why) => return vec![Outcome::new("the flow matrix can be measured", Verdict::Failed(why))],
        };
        progress(&format!("starting containers that publish ports on {}", self.docker_hosts.join(", ")));
        let (containers, mut out) = Containers::start(reach, &plan, &self.docker_hosts, &self.image, false);
        // The port of sshd is tried as well: where it answers, a stopped probe is not just a broken way.
        let (hosts, ssh_port) = (&plan.hosts, plan.ssh_port);
        plan.probes.retain(|probe| {
            let ports = containers.ports(&hosts[probe.target].name);
            ports.contains(&probe.port) || (!ports.is_empty() && probe.port == ssh_port)
        });
        if plan.probes.is_empty() {
            return out;
        }
        let what = ", published by a container";
        out.extend(containers.listen(""));
        progress(&format!("trying {} connections to the published ports", plan.probes.len()));
        let measured = matrix::measure(&plan, reach);
        out.extend(matrix::report(&plan, &measured, None, what));
        out.extend(matrix::control(&plan, &measured));
        out.extend(containers.pages(&plan, what));
        out.extend(containers.finish());
        out
    }
}

#[cfg(test)]
#[path = "published_port_tests.rs"]
mod tests;
