//! Builds of a Jenkins job and their stages, by its JSON API and that of the plugin pipeline-rest-api (`wfapi`).

use serde::Serialize;
use serde_json::Value;

use super::site::Api;

/// What is asked of a build: `tree` keeps the answer small.
const BUILD: &str = "number,building,result,timestamp,duration,url,actions[causes[shortDescription],lastBuiltRevision[SHA1]]";

/// One build of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Build {
    /// Its number.
    pub number: u64,
    /// `SUCCESS`, `UNSTABLE`, `FAILURE`, `ABORTED`, `NOT_BUILT`; `None` while it runs.
    pub result: Option<String>,
    /// The commit that was checked out; `None` before the checkout.
    pub sha: Option<String>,
    /// Why it was started: `Started by GitLab push by developer`.
    pub causes: Vec<String>,
    /// When it was started, milliseconds since 1970.
    pub started: u64,
    /// How long it took, milliseconds; 0 while it runs.
    pub took: u64,
    /// Its page.
    pub url: String,
}

/// One stage of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// As in the Jenkinsfile.
    pub name: String,
    /// `SUCCESS`, `FAILED`, `UNSTABLE`, `ABORTED`, `IN_PROGRESS`, `NOT_EXECUTED`, `PAUSED_PENDING_INPUT`.
    pub status: String,
    /// Milliseconds.
    pub took: u64,
}

impl Stage {
    /// Whether it has ended well.
    pub fn is_good(&self) -> bool {
        self.status == "SUCCESS"
    }

    /// Whether it runs.
    pub fn runs(&self) -> bool {
        matches!(self.status.as_str(), "IN_PROGRESS" | "PAUSED_PENDING_INPUT")
    }
}

/// The newest builds of a job, newest first. `None`: there is no such job (or this user may not see it).
pub fn builds(api: &Api<'_>, job: &str) -> Result<Option<Vec<Build>>, String> {
    let answer = api.json(&format!("/job/{job}/api/json?tree=builds[{BUILD}]{{0,20}}"))?;
    Ok(answer.map(|answer| answer["builds"].as_array().into_iter().flatten().map(build).collect()))
}

/// The stages of a build, in the order in which they ran. `None`: Jenkins does not know them (yet).
pub fn stages(api: &Api<'_>, job: &str, number: u64) -> Result<Option<Vec<Stage>>, String> {
    let answer = api.json(&format!("/job/{job}/{number}/wfapi/describe"))?;
    Ok(answer.map(|answer| answer["stages"].as_array().into_iter().flatten().map(stage).collect()))
}

/// The log of a build.
pub fn log(api: &Api<'_>, job: &str, number: u64) -> Result<String, String> {
    match api.get(&format!("/job/{job}/{number}/consoleText"))? {
        (200, text) => Ok(text),
        (status, _) => Err(format!("the log of build {number} cannot be had: {} answers {status}", api.site().url)),
    }
}

/// The last lines of a log before it goes on to what was skipped because of a failure, and to the clean-up.
pub fn last_words(log: &str, count: usize) -> Vec<&str> {
    let end = |line: &&str| !line.contains(" skipped due to earlier failure(s)") && !line.ends_with("(Declarative: Post Actions)");
    let lines: Vec<&str> = log.lines().take_while(end).filter(|line| !line.trim().is_empty() && !line.contains("[Pipeline] ")).collect();
    lines[lines.len().saturating_sub(count)..].to_vec()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn build(value: &Value) -> Build {
    let actions = || value["actions"].as_array().into_iter().flatten();
    let causes = actions().filter_map(|action| action["causes"].as_array()).flatten();
    Build {
        number: value["number"].as_u64().unwrap_or_default(),
        result: if value["building"].as_bool() == Some(false) { text(&value["result"]) } else { None },
        sha: actions().find_map(|action| text(&action["lastBuiltRevision"]["SHA1"])),
        causes: causes.filter_map(|cause| text(&cause["shortDescription"])).collect(),
        started: value["timestamp"].as_u64().unwrap_or_default(),
        took: value["duration"].as_u64().unwrap_or_default(),
        url: text(&value["url"]).unwrap_or_default(),
    }
}

fn stage(value: &Value) -> Stage {
    Stage {
        name: text(&value["name"]).unwrap_or_default(),
        status: text(&value["status"]).unwrap_or_default(),
        took: value["durationMillis"].as_u64().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Written from the remote API's documentation (Jenkins 2.568, git 5.10): actions without content are empty objects.
    #[test]
    fn builds_are_read_from_the_remote_api() {
        let running = json!({"number": 8, "building": true, "result": null, "timestamp": 1_700_000_000_000_u64, "duration": 0, "url": "https://j/job/x/8/",
            "actions": [{"_class": "hudson.model.CauseAction", "causes": [{"shortDescription": "Started by GitLab push by developer"}]}, {}, {}]});
        let build = build(&running);
        assert_eq!((build.number, &build.result, &build.sha), (8, &None, &None));
        assert_eq!(build.causes, ["Started by GitLab push by developer"]);
        let done = json!({"number": 7, "building": false, "result": "FAILURE", "actions": [{"lastBuiltRevision": {"SHA1": "abc"}}]});
        let build = super::build(&done);
        assert_eq!((build.result.as_deref(), build.sha.as_deref()), (Some("FAILURE"), Some("abc")));
    }

    /// A build that ends has its result a moment before `building` is false: only then it is believed.
    #[test]
    fn a_build_without_its_end_has_no_result() {
        assert_eq!(build(&json!({"number": 7, "building": true, "result": "SUCCESS"})).result, None);
        assert_eq!(build(&json!({"number": 7, "result": "SUCCESS"})).result, None);
    }

    #[test]
    fn stages_are_read_from_wfapi() {
        let stage = stage(&json!({"id": "6", "name": "build", "status": "IN_PROGRESS", "startTimeMillis": 1, "durationMillis": 1200}));
        assert!(stage.runs() && !stage.is_good());
        assert_eq!((stage.name.as_str(), stage.took), ("build", 1200));
    }
}
