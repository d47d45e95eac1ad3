//! What must not get through: a hook with a wrong token, and commits that must be refused.

use reqwest::Method;

use super::chain::Chain;
use super::push::{self, Commit};
use super::site::{Api, first_line};
use super::{proof, short, verdict};
use crate::base::frame::nonce;

/// A commit that must be refused.
pub struct Bad<'a> {
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

/// A commit that breaks a unit test.
pub const BROKEN: Bad<'static> = Bad { commit: Commit::BrokenTest, what: "breaks a unit test", it: "it", stage: None, said: push::BROKEN };
/// One that brings a vulnerable package.
pub const VULNERABLE: Bad<'static> = Bad {
    commit: Commit::Vulnerable,
    what: "brings a package with a known vulnerability",
    it: "the vulnerable image",
    stage: Some("scan"),
    said: push::VULNERABLE,
};

impl Chain<'_> {
    /// Jenkins refuses a hook whose token is not the lab's.
    pub fn wrong_token(&mut self) {
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
    pub fn refused(&mut self, bad: &Bad<'_>) {
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
        let same =
            built.as_ref().map_err(|_| "not tried, because nothing was built".to_owned()).and_then(|(_, sha)| self.unchanged(before?, sha));
        self.control(format!("{} is neither pushed to the registry nor deployed", bad.it), verdict(same, next));
    }

    /// The registry has nothing of this commit, and what answered before answers still. What cannot be asked is an error.
    fn unchanged(&self, before: Option<String>, sha: &str) -> Result<String, String> {
        let Self { spec, reach, .. } = self;
        for repository in spec.images.values() {
            if proof::digest(spec, *reach, repository, sha)?.is_some() {
                return Err(format!("the registry has {repository}:{}", short(sha)));
            }
        }
        match (proof::answering(spec, *reach)?, before) {
            (after, before) if after != before => Err("the application has changed".into()),
            (Some(sha), _) => Ok(format!("still {}", short(&sha))),
            (None, _) => Ok("nothing is deployed, as before".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Spec;
    use super::super::site::Site;
    use super::super::tests::spec;
    use super::*;
    use crate::check::testing::{Scripted, TlsServer, lab_ca};

    /// The application answers `abc`; the registry answers with this status.
    fn unchanged(registry: u16, before: Option<&str>) -> Result<String, String> {
        let ca = lab_ca();
        let server = TlsServer::start(&ca, "lab.x", move |asked| match asked.path.as_str() {
            "/status" => (200, vec![], br#"{"myapplication": [{"lastcommitsha": "abc"}]}"#.to_vec()),
            _ => (registry, vec![("Docker-Content-Digest".into(), "sha256:aa".into())], vec![]),
        });
        let spec = spec();
        let at = |site: &Site| Site { url: format!("https://lab.x:{}", server.address.port()), ..site.clone() };
        let spec = Spec { registry: at(&spec.registry), api: at(&spec.api), ..spec };
        let reach = Scripted { ca: Some(&ca), ..Scripted::new(|_, _, _| Err("not scripted".into())) };
        let chain = Chain { spec: &spec, reach: &reach, progress: &mut |_| {}, out: Vec::new() };
        chain.unchanged(before.map(str::to_owned), "0123456789")
    }

    #[test]
    fn a_registry_that_cannot_say_what_it_has_proves_nothing() {
        assert_eq!(unchanged(404, Some("abc")).as_deref(), Ok("still abc"));
        assert_eq!(unchanged(200, Some("abc")), Err("the registry has a/api:01234567".into()));
        for status in [401, 500] {
            let why = unchanged(status, Some("abc")).unwrap_err();
            assert!(why.contains(&format!("cannot see whether the registry has a/api:0123456789: it answers {status}")), "{why}");
        }
        for before in [None, Some("older")] {
            assert_eq!(unchanged(404, before), Err("the application has changed".into()));
        }
    }
}
