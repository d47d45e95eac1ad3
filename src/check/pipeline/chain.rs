//! One run of the check: what all of its parts need.

use std::time::{Duration, Instant};

use super::jenkins::{self, Build, Stage};
use super::push::{self, Commit, Target};
use super::site::Api;
use super::{HOOK, Spec, short, wait};
use crate::check::{Outcome, Reach, Verdict};

/// One run of the check.
pub struct Chain<'a> {
    pub spec: &'a Spec,
    pub reach: &'a dyn Reach,
    pub progress: &'a mut dyn FnMut(&str),
    pub out: Vec<Outcome>,
}

impl Chain<'_> {
    /// Pushes a commit; its SHA.
    pub fn push(&self, commit: Commit<'_>) -> Result<String, String> {
        let Spec { gitlab, project, branch, push_from: host, .. } = self.spec;
        push::push(&Target { gitlab, project, branch, host }, commit, self.reach)
    }

    /// Waits until Jenkins has a build of this commit and it has ended.
    pub fn build(&mut self, sha: &str) -> Result<(Build, Vec<Stage>), String> {
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

    /// A build's log.
    pub fn log(&self, number: u64) -> Result<String, String> {
        Api::new(&self.spec.jenkins, self.reach).and_then(|api| jenkins::log(&api, &self.spec.job, number))
    }

    /// What a build's log says of its failure.
    pub fn last_words(&self, number: u64) -> String {
        match self.log(number) {
            Err(why) => why,
            Ok(log) => format!("the log says:\n{}", jenkins::last_words(&log, 12).join("\n")),
        }
    }

    /// Something that must work.
    pub fn add(&mut self, title: impl Into<String>, verdict: Verdict) {
        self.out.push(Outcome::new(title, verdict));
    }

    /// Something that must fail, so that the rest means something.
    pub fn control(&mut self, title: impl Into<String>, verdict: Verdict) {
        self.out.push(Outcome::control(title, verdict));
    }
}
