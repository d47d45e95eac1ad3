//! A push becomes the running application, and nothing else does.

pub mod gitlab;
pub mod jenkins;
mod proof;
mod push;
mod rollback;
pub mod site;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{CheckKind, Outcome, Reach, Verdict, shapes};
use crate::base::Secret;
use crate::base::frame::nonce;
use gitlab::Project;
use jenkins::{Build, Stage};
use push::{Commit, Target};
use site::{Api, Site, first_line};

/// The whole chain with real pushes: GitLab delivers the hook, Jenkins builds that commit, every stage is green, the registry's digests are
/// those that run, `/status` answers the commit, the website shows a student, GitLab shows the commit as good.
///
/// Controls: a hook with a wrong token is refused; a commit that breaks a unit test goes red and the application stays what it
/// was; so does, where there is a scanner, one that brings a package with a known vulnerability; a version that does not become healthy is put back by the host. The check's commits stay in the project's history; the last
/// one takes the broken test away again.
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

/// A commit that must be refused.
struct Bad<'a> {
    commit: Commit<'a>,
    /// After "a commit that".
    what: &'a str,
    /// How it is called then.
    it: &'a str,
    /// Where it must be refused. `None`: at any stage.
    stage: Option<&'a str>,
    /// What the build's log must say.
    said: &'a str,
}

const BROKEN: Bad<'static> = Bad { commit: Commit::BrokenTest, what: "breaks a unit test", it: "it", stage: None, said: push::BROKEN };
const VULNERABLE: Bad<'static> = Bad {
    commit: Commit::Vulnerable,
    what: "brings a package with a known vulnerability",
    it: "the vulnerable image",
    stage: Some("scan"),
    said: push::VULNERABLE,
};

/// One run of the check.
struct Chain<'a> {
    spec: &'a Spec,
    reach: &'a dyn Reach,
    progress: &'a mut dyn FnMut(&str),
    out: Vec<Outcome>,
}

impl Chain<'_> {
    fn push(&self, commit: Commit<'_>) -> Result<String, String> {
        let Spec { gitlab, project, branch, push_from: host, .. } = self.spec;
        push::push(&Target { gitlab, project, branch, host }, commit, self.reach)
    }

    /// Waits until Jenkins has a build of this commit and it has ended.
    fn build(&mut self, sha: &str) -> Result<(Build, Vec<Stage>), String> {
        let api = Api::new(&self.spec.jenkins, self.reach)?;
        let job = &self.spec.job;
        let find = || -> Result<Build, String> {
            let builds = jenkins::builds(&api, job)?.ok_or_else(|| format!("Jenkins has no job {job}"))?;
            let newest = builds.first().map_or("no build at all".to_owned(), |build| format!("the newest build is {}", build.number));
            let mine = builds.into_iter().find(|build| build.sha.as_deref() == Some(sha));
            mine.ok_or_else(|| format!("Jenkins has no build of {}; {newest}", short(sha)))
        };
        let build = wait(HOOK, find)?;
        let number = build.number;
        let start = Instant::now();
        let build = wait(Duration::from_secs(self.spec.deadline), || {
            let build = find()?;
            if build.result.is_some() {
                return Ok(build);
            }
            let now = jenkins::stages(&api, job, number)?.unwrap_or_default().into_iter().find(Stage::runs);
            let now = now.map_or_else(String::new, |stage| format!(", {}", stage.name));
            (self.progress)(&format!("build {number}{now} ({} s)", start.elapsed().as_secs()));
            Err(format!("build {number} has not ended{now}"))
        })?;
        let stages = jenkins::stages(&api, job, number)?
            .ok_or("Jenkins knows no stages of the build: is the plugin pipeline-rest-api installed?")?;
        Ok((build, stages))
    }

    fn log(&self, number: u64) -> Result<String, String> {
        Api::new(&self.spec.jenkins, self.reach).and_then(|api| jenkins::log(&api, &self.spec.job, number))
    }

    /// What a build's log says of its failure.
    fn last_words(&self, number: u64) -> String {
        match self.log(number) {
            Err(why) => why,
            Ok(log) => format!("the log says:\n{}", jenkins::last_words(&log, 12).join("\n")),
        }
    }

    fn add(&mut self, title: impl Into<String>, verdict: Verdict) {
        self.out.push(Outcome::new(title, verdict));
    }

    fn control(&mut self, title: impl Into<String>, verdict: Verdict) {
        self.out.push(Outcome::control(title, verdict));
    }

    /// Jenkins refuses a hook whose token is not the lab's.
    fn wrong_token(&mut self) {
        let try_it = || -> Result<String, String> {
            let api = Api::new(&self.spec.jenkins, self.reach)?;
            let request = api
                .request(Method::POST, &format!("/project/{}", self.spec.job))
                .header("X-Gitlab-Event", "Push Hook")
                .header("X-Gitlab-Token", format!("wrong-{}", nonce()))
                .header("Content-Type", "application/json")
                .body("{\"object_kind\":\"push\"}");
            match api.send(request)? {
                (401, _) => Ok("401".into()),
                (status, text) => Err(format!("Jenkins answers {status} to it, must be 401: {}", first_line(&text))),
            }
        };
        let result = try_it();
        self.control("a hook with a wrong token is refused", verdict(result, "the job's trigger must have the lab's secret token"));
    }

    /// A commit that must be refused goes red where it should, for that reason, and what runs stays what it was.
    fn refused(&mut self, bad: &Bad<'_>) {
        (self.progress)(&format!("pushing a commit that {}", bad.what));
        let next = "see the job's log in Jenkins";
        let before = proof::answering(self.spec, self.reach);
        let built = self.push(bad.commit).and_then(|sha| Ok((self.build(&sha)?, sha)));
        let red = built.as_ref().map_err(String::clone).and_then(|((build, stages), sha)| {
            let failed = stages.iter().find(|stage| stage.status == "FAILED");
            let number = build.number;
            match (build.result.as_deref(), failed) {
                (Some("FAILURE"), Some(stage)) if bad.stage.is_some_and(|wanted| wanted != stage.name) => {
                    Err(format!("build {number} failed at `{}`; {}", stage.name, self.last_words(number)))
                }
                // It must be this reason, and not whatever else may be wrong.
                (Some("FAILURE"), Some(stage)) if self.log(number)?.contains(bad.said) => {
                    Ok(format!("build {number} of {} failed at `{}`: {}", short(sha), stage.name, bad.said))
                }
                (Some("FAILURE"), Some(stage)) => Err(format!(
                    "build {number} failed at `{}`, but its log does not name {}; {}",
                    stage.name,
                    bad.said,
                    self.last_words(number)
                )),
                (result, _) => Err(format!("build {number} ended with {}, must be FAILURE at a stage", result.unwrap_or("nothing"))),
            }
        });
        self.control(format!("a commit that {} goes red", bad.what), verdict(red, next));
        let same = before.and_then(|before| {
            let ((_, _), sha) = built.as_ref().map_err(|_| "not tried, because nothing was built".to_owned())?;
            let after = proof::answering(self.spec, self.reach)?;
            let pushed = self.spec.images.values().find(|repository| proof::digest(self.spec, self.reach, repository, sha).is_ok());
            match (before == after, pushed) {
                (_, Some(repository)) => Err(format!("the registry has {repository}:{}", short(sha))),
                (false, None) => Err("the application has changed".into()),
                (true, None) => Ok(after.map_or("nothing is deployed, as before".into(), |sha| format!("still {}", short(&sha)))),
            }
        });
        self.control(format!("{} is neither pushed to the registry nor deployed", bad.it), verdict(same, next));
    }

    /// A good commit goes all the way.
    fn good(&mut self) {
        (self.progress)("pushing a commit that must be deployed");
        let marker = format!("poclab verify {}", nonce());
        let title = format!("{} pushes to {}", self.spec.gitlab.user, self.spec.project);
        let sha = match self.push(Commit::Marker(&marker)) {
            Ok(sha) => {
                self.add(title, Verdict::Passed(format!("{} from {}", short(&sha), self.spec.push_from)));
                sha
            }
            Err(why) => return self.add(title, Verdict::Failed(format!("{why}; see /var/log/gitlab on the GitLab host"))),
        };
        let delivered = self.delivered(&sha);
        self.add("GitLab delivers the hook to Jenkins", verdict(delivered, "see the hook's log in GitLab, Settings, Webhooks"));
        match self.build(&sha) {
            Err(why) => self.add("Jenkins builds that commit", Verdict::Failed(format!("{why}; see the job in Jenkins"))),
            Ok((build, stages)) => {
                self.built(&build, &stages);
                let deployed = self.deployed(&sha);
                let statuses = self.statuses(&sha, &stages);
                self.add(
                    "GitLab shows the commit's stages as good",
                    verdict(statuses, "see the connection `gitlab` in Jenkins and its token"),
                );
                self.sick(&sha, deployed);
            }
        }
    }

    fn delivered(&self, sha: &str) -> Result<String, String> {
        let api = Api::new(&self.spec.gitlab, self.reach)?;
        let project = Project { api: &api, token: &self.spec.gitlab_token, path: &self.spec.project };
        let url = format!("{}/project/{}", self.spec.jenkins.url, self.spec.job);
        let delivery = wait(HOOK, || {
            let all = project.deliveries(&url)?;
            let last = all.first().map_or("it has none".to_owned(), |last| format!("its last is {}", last.id));
            all.into_iter()
                .find(|delivery| delivery.sha.as_deref() == Some(sha))
                .ok_or_else(|| format!("the hook's log has no delivery for {}; {last}", short(sha)))
        })?;
        match delivery.response.as_str() {
            "200" => Ok(format!("delivery {}, answered 200", delivery.id)),
            other => Err(format!("delivery {} was answered with {other}", delivery.id)),
        }
    }

    fn built(&mut self, build: &Build, stages: &[Stage]) {
        let cause = build.causes.iter().find(|cause| cause.contains("GitLab push"));
        let started = match cause {
            Some(cause) => Verdict::Passed(format!("build {}: {cause}", build.number)),
            None => Verdict::Failed(format!("build {} was started by something else: {}", build.number, build.causes.join(", "))),
        };
        self.add("Jenkins builds that commit, started by GitLab", started);
        let mut failed = false;
        for stage in stages {
            // What would say that something is not configured: it is.
            if stage.status == "NOT_EXECUTED" && !failed && stage.name.starts_with("no ") && stage.name.ends_with(" configured") {
                continue;
            }
            let title = format!("stage `{}`", stage.name);
            let seconds = format!("{:.1} s", Duration::from_millis(stage.took).as_secs_f64());
            let verdict = if stage.is_good() {
                Verdict::Passed(seconds)
            } else if self.spec.without.contains(&stage.name) {
                Verdict::Skipped(format!("left out in this lab ({})", stage.status))
            } else if failed {
                Verdict::Skipped(format!("not reached ({})", stage.status))
            } else {
                failed = true;
                Verdict::Failed(format!("{} after {seconds}; see {}; {}", stage.status, build.url, self.last_words(build.number)))
            };
            self.add(title, verdict);
        }
        if stages.is_empty() {
            self.add("the build has stages", Verdict::Failed(format!("Jenkins names none; {}", self.last_words(build.number))));
        }
    }

    /// A version that is sick is put back.
    fn sick(&mut self, sha: &str, deployed: bool) {
        let title = "a deployment that does not become healthy is put back";
        let Some(key) = &self.spec.deploy_key else {
            return self.control(title, Verdict::Skipped("the check has no deploy_key".into()));
        };
        if !deployed {
            return self.control(title, Verdict::Skipped(format!("{} does not run, so nothing could be put back", short(sha))));
        }
        (self.progress)("deploying a version that never becomes healthy");
        let result = rollback::sick(self.spec, key, sha, self.reach);
        self.control(title, verdict(result, "see `student-list-deploy status` on the application's host"));
    }

    /// Whether the commit answers.
    fn deployed(&mut self, sha: &str) -> bool {
        (self.progress)("looking at what was deployed");
        let spec = self.spec;
        let running = proof::running(spec, self.reach);
        for (service, repository) in &spec.images {
            let same = proof::digest(spec, self.reach, repository, sha).and_then(|digest| {
                let running = running.as_ref().map_err(String::clone)?;
                let image = running.iter().find(|(name, _)| name == service).map(|(_, image)| image.as_str());
                match image {
                    Some(image) if image.ends_with(&format!("/{repository}@{digest}")) => Ok(digest),
                    Some(image) => Err(format!("{} runs {image}, the registry has {digest}", spec.app)),
                    None => Err(format!("{} runs no container of {service}", spec.app)),
                }
            });
            self.add(
                format!("{} runs {repository} by the digest that the registry has", spec.app),
                verdict(same, "see the stage `deploy`"),
            );
        }
        let answers = proof::answering(spec, self.reach).and_then(|answer| match answer {
            Some(answer) if answer == sha => Ok(answer),
            Some(answer) => Err(format!("it answers {answer}, pushed was {sha}")),
            None => Err(format!("nothing answers at {}", spec.api.url)),
        });
        let deployed = answers.is_ok();
        self.add("/status answers the commit that was pushed", verdict(answers, "see the stage `deploy`"));
        let shown = proof::student(spec, self.reach);
        self.add("the website shows the students", verdict(shown, "see the website's log on the application's host"));
        deployed
    }

    fn statuses(&self, sha: &str, stages: &[Stage]) -> Result<String, String> {
        let api = Api::new(&self.spec.gitlab, self.reach)?;
        let project = Project { api: &api, token: &self.spec.gitlab_token, path: &self.spec.project };
        wait(Duration::from_secs(30), || {
            let statuses = project.statuses(sha)?;
            let good = |name: &str| statuses.iter().any(|status| status.name == name && status.status == "success");
            // `Declarative: Post Actions` is Jenkins' own; nobody reports it.
            let own = |stage: &&Stage| !stage.name.starts_with("Declarative: ");
            let missing: Vec<&str> =
                stages.iter().filter(own).filter(|stage| stage.is_good() && !good(&stage.name)).map(|stage| stage.name.as_str()).collect();
            if missing.is_empty() && statuses.iter().any(|status| status.status == "success") {
                let (good, rest): (Vec<_>, Vec<_>) = statuses.iter().partition(|status| status.status == "success");
                let rest: Vec<String> = rest.iter().map(|status| format!("{} {}", status.name, status.status)).collect();
                Ok([vec![format!("{} times success", good.len())], rest].concat().join(", "))
            } else {
                Err(format!("GitLab shows no success for {}", missing.join(", ")))
            }
        })
    }
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
