//! Who can connect to what, measured from everywhere to everywhere.

use schemars::JsonSchema;
use serde::Deserialize;

use super::matrix;
use super::shapes::{Flow, Host};
use super::{CheckKind, Outcome, Reach, Verdict};

/// Every TCP connection that the flow matrix allows goes through, and no other does.
///
/// Every ordered pair of hosts is tried on every port that any flow names and on one that none names, from inside the source
/// host; and from the control machine, which stands for the operators. A port that is refused (answered by the host itself) counts
/// as let through. Controls: on every source the probe tells an open loopback port from a closed one; a wrong expectation is noticed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// All hosts: `{{ lab.hosts }}`.
    pub hosts: Vec<Host>,
    /// The flow matrix: `{{ lab.flows }}`.
    pub flows: Vec<Flow>,
    /// Networks that operators come from: `{{ lab.operators }}`. Lab hosts inside them may do what operators may. Default: none.
    #[serde(default)]
    pub operators: Vec<String>,
    /// A port that no flow names. Default: the highest up to 47113 that none names.
    #[serde(default)]
    pub unlisted_port: Option<u16>,
    /// Where sshd listens on the hosts (for the control on loopback). Default: 22.
    #[serde(default = "ssh_port")]
    pub ssh_port: u16,
}

pub(super) fn ssh_port() -> u16 {
    22
}

impl CheckKind for Spec {
    const NAME: &'static str = "port_matrix";

    fn id(&self) -> String {
        String::new()
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        let plan = match matrix::plan(&self.hosts, &self.flows, &self.operators, self.unlisted_port, self.ssh_port) {
            Ok(plan) => plan,
            Err(why) => {
                return vec![Outcome::new("the flow matrix can be measured", Verdict::Failed(why))];
            }
        };
        progress(&format!("trying {} connections between {} hosts and from the control machine", plan.probes.len(), plan.hosts.len()));
        let measured = matrix::measure(&plan, reach);
        matrix::outcomes(&plan, &measured)
    }
}
