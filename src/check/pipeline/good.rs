//! A good commit, followed from the push to what runs, and a sick version after it.

use std::time::Duration;

use super::chain::Chain;
use super::gitlab::Project;
use super::jenkins::{Build, Stage};
use super::push::Commit;
use super::site::Api;
use super::{HOOK, proof, rollback, short, verdict, wait};
use crate::base::frame::nonce;
use crate::check::Verdict;

impl Chain<'_> {
    /// A good commit goes all the way.
    pub fn good(&mut self) {
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

    /// GitLab's log has the delivery for this commit, and it was taken.
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

    /// Who started the build, and how each of its stages ended.
    pub(super) fn built(&mut self, build: &Build, stages: &[Stage]) {
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
            let same = proof::pushed(spec, self.reach, repository, sha).and_then(|digest| {
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

    /// GitLab shows what Jenkins knows to be good.
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
