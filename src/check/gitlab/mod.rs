//! GitLab is there, closed to strangers, and set up so that a push starts the pipeline.

mod api;
mod ssh;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{CheckKind, Outcome, Reach, Verdict, shapes};
use crate::base::Secret;

/// GitLab's health, certificate, version, tokens, settings, project, protected branch, hook and deploy key, from outside.
///
/// Controls: a client without the lab CA must fail the handshake; a wrong token must get 401, the pipeline's token must not read the
/// instance's settings, nobody may read code without a login, delete the protected branch, add a hook to another address inside of
/// the lab, or push with the deploy key.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its name, as its certificate says it.
    pub name: String,
    /// Its address in the lab.
    #[schemars(with = "String")]
    pub address: Ipv4Addr,
    /// Its port. Default: 443.
    #[serde(default = "https")]
    pub port: u16,
    /// What its version begins with.
    pub version: String,
    /// An administrator's API token.
    #[serde(deserialize_with = "shapes::secret")]
    #[schemars(with = "String")]
    pub token: Secret,
    /// The API token of the user `jenkins`.
    #[serde(deserialize_with = "shapes::secret")]
    #[schemars(with = "String")]
    pub status_token: Secret,
    /// The password of the user `developer`.
    #[serde(deserialize_with = "shapes::secret")]
    #[schemars(with = "String")]
    pub developer_password: Secret,
    /// The project: `pozos/student_list`.
    pub project: String,
    /// Its protected branch.
    pub branch: String,
    /// Where it must send the news of a push.
    pub hook_url: String,
    /// The host that reads code with the deploy key.
    pub ssh_from: String,
    /// GitLab's SSH host key: `ssh-ed25519 AAAA…`
    pub host_key: String,
    /// The deploy key's private half.
    #[serde(deserialize_with = "shapes::secret")]
    #[schemars(with = "String")]
    pub checkout_key: Secret,
}

fn https() -> u16 {
    443
}

impl Spec {
    fn at(&self) -> SocketAddr {
        SocketAddr::from((self.address, self.port))
    }
}

/// What to do when a line fails.
const NEXT: &str = "run `poclab plan` for its host, and see `gitlab-ctl status` and `gitlab-ctl tail` there";

fn verdict(result: Result<String, String>) -> Verdict {
    match result {
        Ok(text) => Verdict::Passed(text),
        Err(why) => Verdict::Failed(format!("{why}; {NEXT}")),
    }
}

impl CheckKind for Spec {
    const NAME: &'static str = "gitlab";

    fn id(&self) -> String {
        self.name.clone()
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        progress(&format!("asking {} over TLS", self.name));
        let mut out = api::all(self, reach);
        progress(&format!("reading {} from {} with the deploy key", self.project, self.ssh_from));
        out.extend(ssh::all(self, reach));
        out
    }
}
