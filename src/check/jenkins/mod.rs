//! Jenkins is as it was written down: who gets in, which plugins and jobs it has, and that no secret lies about in its folder.

mod api;
mod secrets;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{CheckKind, Outcome, Reach, Verdict, shapes};
use crate::base::Secret;

/// TLS by the lab CA, 403 without and 200 with the administrator's login, exactly the plugins that are pinned, the jobs, and no secret
/// in clear below JENKINS_HOME.
///
/// Controls: a client without the lab CA must fail the handshake, a wrong password must get 401, the web hook must answer 401 to a
/// wrong token (a right one is proven by a push), and the search for secrets must find those where they are kept.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Where it is: `deploy.lab.example:8080`.
    pub endpoint: String,
    /// Its address in the lab.
    #[schemars(with = "String")]
    pub address: Ipv4Addr,
    /// Name of the host that it runs on.
    pub host: String,
    /// Its container.
    pub container: String,
    /// The administrator.
    pub user: String,
    /// The administrator's password.
    #[serde(deserialize_with = "shapes::secret")]
    #[schemars(with = "String")]
    pub password: Secret,
    /// All plugins with their versions: `git:5.10.1`.
    pub plugins: Vec<String>,
    /// The jobs that must be there. The web hook of the first one is tried with a wrong token.
    pub jobs: Vec<String>,
    /// The folder inside the container in which no secret may be found.
    pub home: String,
    /// The folder on the host where its secrets are kept, one per file: what is looked for, and where it must be found.
    pub secrets: String,
    /// How long Jenkins may take until it is ready, in seconds. Default: 180.
    #[serde(default = "ready_within")]
    pub ready_within: u64,
}

fn ready_within() -> u64 {
    180
}

/// How to go on after a failure of any of these.
const NEXT: &str = "see `docker logs jenkins` and `docker logs jenkins-tls` on its host, and run `poclab bootstrap` again";

/// One run of the check.
struct Trial<'a> {
    spec: &'a Spec,
    reach: &'a dyn Reach,
    name: String,
    port: u16,
    plugins: BTreeMap<&'a str, &'a str>,
}

impl<'a> Trial<'a> {
    fn new(spec: &'a Spec, reach: &'a dyn Reach) -> Result<Self, String> {
        let parts = spec.endpoint.rsplit_once(':').and_then(|(name, port)| Some((name.to_owned(), port.parse().ok()?)));
        let Some((name, port)) = parts.filter(|(name, _)| !name.is_empty()) else {
            return Err(format!("`{}` is not an endpoint like deploy.lab.example:8080", spec.endpoint));
        };
        let mut plugins = BTreeMap::new();
        for plugin in &spec.plugins {
            match plugin.split_once(':') {
                Some((name, version)) => drop(plugins.insert(name, version)),
                None => return Err(format!("the plugin `{plugin}` has no version: write {plugin}:VERSION")),
            }
        }
        if plugins.is_empty() || spec.jobs.is_empty() {
            return Err("neither plugins nor jobs may be empty: there would be nothing to compare with".into());
        }
        Ok(Self { spec, reach, name, port, plugins })
    }

    fn socket(&self) -> SocketAddr {
        SocketAddr::from((self.spec.address, self.port))
    }
}

fn verdict(result: Result<String, String>) -> Verdict {
    match result {
        Ok(text) => Verdict::Passed(text),
        Err(why) => Verdict::Failed(format!("{why}; {NEXT}")),
    }
}

impl CheckKind for Spec {
    const NAME: &'static str = "jenkins";

    fn id(&self) -> String {
        self.endpoint.clone()
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        let trial = match Trial::new(self, reach) {
            Ok(trial) => trial,
            Err(why) => return vec![Outcome::new("Jenkins can be tried", Verdict::Failed(why))],
        };
        progress(&format!("waiting for Jenkins at {}", self.endpoint));
        let mut out = api::outcomes(&trial);
        progress("looking for secrets below JENKINS_HOME");
        out.extend(secrets::outcomes(&trial));
        out
    }
}

#[cfg(test)]
mod tests;
