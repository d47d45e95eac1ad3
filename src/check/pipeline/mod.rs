//! A push becomes the running application, and nothing else does.

mod chain;
pub mod gitlab;
mod good;
pub mod jenkins;
mod proof;
mod push;
mod refused;
mod rollback;
pub mod site;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{CheckKind, Outcome, Reach, Verdict, shapes};
use crate::base::Secret;
use chain::Chain;
use refused::{BROKEN, VULNERABLE};
use site::Site;

/// The whole chain with real pushes: GitLab delivers the hook, Jenkins builds that commit, every stage is green, the registry's digests are
/// those that run, `/status` answers the commit, the website shows a student, GitLab shows the commit as good.
///
/// Controls: a hook with a wrong token is refused; a commit that breaks a unit test goes red and the application stays what it
/// was; so does, where there is a scanner, one that brings a package with a known vulnerability; a version that does not become healthy is
/// put back by the host. A registry or an application that cannot be asked proves nothing of that. The check's commits stay in the project's
/// history; the last one takes the broken test away again.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// GitLab, and who pushes.
    pub gitlab: Site,
    /// An API token that may read the hook's log.
    #[serde(deserialize_with = "shapes::secret")]
    #[schemars(with = "String")]
    pub gitlab_token: Secret,
    /// Path of the project: `pozos/student_list`.
    pub project: String,
    /// The branch that is deployed. Default: `main`.
    #[serde(default = "branch")]
    pub branch: String,
    /// Jenkins, and who looks.
    pub jenkins: Site,
    /// Name of the job.
    pub job: String,
    /// The registry, and who reads (and pushes the sick version).
    pub registry: Site,
    /// Service of the compose project: repository of its image in the registry.
    pub images: BTreeMap<String, String>,
    /// Name of the application's host.
    pub app: String,
    /// The compose project. Default: `student_list`.
    #[serde(default = "app_project")]
    pub app_project: String,
    /// The application's API, and its login.
    pub api: Site,
    /// The application's website.
    pub website: Site,
    /// Who must be on the website's list. Default: `alice`.
    #[serde(default = "student")]
    pub student: String,
    /// Name of the host whose git pushes, and that deploys.
    pub push_from: String,
    /// Private key of the deployment, which `poclab deploy` on that host uses to deploy a sick version. Without it, nobody tries.
    #[serde(default, deserialize_with = "shapes::secret_if_any")]
    #[schemars(with = "Option<String>")]
    pub deploy_key: Option<Secret>,
    /// Stages that are left out in this lab: they are skipped, and counted as such. Default: none.
    #[serde(default)]
    pub without: Vec<String>,
    /// Whether a scanner looks at the images, so that a vulnerable one must be refused at the stage `scan`. Default: false.
    #[serde(default)]
    pub scanned: bool,
    /// Longest time for one build, in seconds. Default: 900.
    #[serde(default = "deadline")]
    pub deadline: u64,
}

fn branch() -> String {
    "main".into()
}
fn app_project() -> String {
    "student_list".into()
}
fn student() -> String {
    "alice".into()
}
fn deadline() -> u64 {
    900
}

/// Between two looks at a build.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a hook may take from the push to the log of its delivery, and to the build in Jenkins.
const HOOK: Duration = Duration::from_secs(90);

/// Tries until there is something or the time is over; the last reason then.
fn wait<T>(limit: Duration, mut look: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(why) if start.elapsed() >= limit => return Err(format!("{why} (waited for {} s)", limit.as_secs())),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

fn verdict(result: Result<String, String>, next: &str) -> Verdict {
    match result {
        Ok(text) => Verdict::Passed(text),
        Err(why) => Verdict::Failed(format!("{why}; {next}")),
    }
}

fn short(sha: &str) -> &str {
    sha.get(..8).unwrap_or(sha)
}

impl CheckKind for Spec {
    const NAME: &'static str = "pipeline";

    fn id(&self) -> String {
        self.project.clone()
    }

    /// It pushes commits and deploys.
    fn disruptive(&self) -> bool {
        true
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        let mut chain = Chain { spec: self, reach, progress, out: Vec::new() };
        chain.wrong_token();
        chain.refused(&BROKEN);
        if self.scanned {
            chain.refused(&VULNERABLE);
        }
        chain.good();
        chain.out
    }
}

#[cfg(test)]
mod tests;
