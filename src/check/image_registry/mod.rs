//! The lab's image registry takes, keeps and gives images, over TLS, to those who may.

mod api;
mod images;

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{CheckKind, Outcome, Reach, Verdict, shapes};
use crate::base::Secret;
use crate::base::frame::nonce;

/// TLS by the lab CA, 401 without and 200 with credentials, push on one host, pull by digest on another that has never seen the
/// image, deletion.
///
/// Controls: a client without the lab CA must fail the handshake, a wrong password must get 401, the pull user must not be able to push
/// (by the API and by `docker push`). A unique image is made for the check and removed from the hosts and the registry.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Where images are pushed: `registry.lab.example:5000`.
    pub push_endpoint: String,
    /// Where images are pulled. Default: the same.
    #[serde(default)]
    pub pull_endpoint: Option<String>,
    /// The registry's address in the lab.
    #[schemars(with = "String")]
    pub address: Ipv4Addr,
    /// User that may push.
    pub push_user: String,
    /// Its password.
    #[serde(deserialize_with = "shapes::secret")]
    #[schemars(with = "String")]
    pub push_password: Secret,
    /// User that may only pull.
    pub pull_user: String,
    /// Its password.
    #[serde(deserialize_with = "shapes::secret")]
    #[schemars(with = "String")]
    pub pull_password: Secret,
    /// Name of the host that pushes.
    pub push_from: String,
    /// Name of the host that pulls.
    pub pull_on: String,
    /// The repository that the check uses. Default: `poclab/probe`.
    #[serde(default = "repository")]
    pub repository: String,
}

fn repository() -> String {
    "poclab/probe".into()
}

/// `name:port` of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoint {
    name: String,
    port: u16,
}

impl Endpoint {
    fn parse(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse().ok()?)));
        let sane = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
        match parts {
            Some((name, port)) if sane(name) => Ok(Self { name: name.to_owned(), port }),
            _ => Err(format!("`{text}` is not an endpoint like registry.lab.example:5000")),
        }
    }

    fn text(&self) -> String {
        format!("{}:{}", self.name, self.port)
    }
}

/// A user and the password.
#[derive(Clone, Copy)]
struct Login<'a> {
    user: &'a str,
    password: &'a Secret,
}

/// One run of the check.
struct Trial<'a> {
    spec: &'a Spec,
    reach: &'a dyn Reach,
    push: Endpoint,
    pull: Endpoint,
    pusher: Login<'a>,
    puller: Login<'a>,
    /// Tag of the image, unique for this run.
    tag: String,
    /// What the image holds, unique for this run.
    marker: String,
}

impl<'a> Trial<'a> {
    fn new(spec: &'a Spec, reach: &'a dyn Reach) -> Result<Self, String> {
        let push = Endpoint::parse(&spec.push_endpoint)?;
        let pull = spec.pull_endpoint.as_deref().map_or_else(|| Ok(push.clone()), Endpoint::parse)?;
        let sane = spec.repository.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "/-_.".contains(c));
        if spec.repository.is_empty() || !sane {
            return Err(format!("`{}` is not the name of a repository (small letters, digits, / - _ .)", spec.repository));
        }
        if spec.push_from == spec.pull_on {
            return Err("push_from and pull_on must be different hosts: the image must travel".into());
        }
        Ok(Self {
            spec,
            reach,
            push,
            pull,
            pusher: Login { user: &spec.push_user, password: &spec.push_password },
            puller: Login { user: &spec.pull_user, password: &spec.pull_password },
            tag: format!("check-{}", nonce()),
            marker: format!("poclab-marker-{}", nonce()),
        })
    }

    fn address(&self, endpoint: &Endpoint) -> SocketAddr {
        SocketAddr::from((self.spec.address, endpoint.port))
    }
}

/// Turns a result into the verdict of one line.
fn verdict(result: Result<String, String>, next: &str) -> Verdict {
    match result {
        Ok(text) => Verdict::Passed(text),
        Err(why) => Verdict::Failed(format!("{why}; {next}")),
    }
}

impl CheckKind for Spec {
    const NAME: &'static str = "registry";

    fn id(&self) -> String {
        self.push_endpoint.clone()
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        let trial = match Trial::new(self, reach) {
            Ok(trial) => trial,
            Err(why) => {
                return vec![Outcome::new("the registry can be tried", Verdict::Failed(why))];
            }
        };
        progress(&format!("asking {} over TLS", self.push_endpoint));
        let mut out = api::access(&trial);
        progress(&format!("pushing an image from {}", self.push_from));
        let next = "see `docker logs registry` on the registry and `journalctl -u docker` on the host";
        let pushed = images::push(&trial);
        let title = format!("{} pushes an image to {}", self.push_from, self.push_endpoint);
        let digest = match pushed {
            Ok(digest) => {
                out.push(Outcome::new(title, Verdict::Passed(digest.clone())));
                digest
            }
            Err(why) => {
                out.push(Outcome::new(title, Verdict::Failed(format!("{why}; {next}"))));
                let why = "not tried, because nothing was pushed".to_owned();
                out.push(Outcome::new(format!("{} pulls the image by digest", self.pull_on), Verdict::Skipped(why)));
                return out;
            }
        };
        out.push(Outcome::new("the registry holds what was pushed", verdict(api::same_digest(&trial, &digest), next)));
        progress(&format!("pulling it by digest on {}", self.pull_on));
        out.extend(images::pull(&trial, &digest, next));
        progress("deleting it from the registry");
        out.push(Outcome::new(
            "an image can be deleted by digest",
            verdict(api::delete(&trial, &digest), "see REGISTRY_STORAGE_DELETE_ENABLED in the role registry"),
        ));
        out
    }
}

#[cfg(test)]
mod tests;
