//! What is kept of a build, and how the API shows it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Milliseconds since 1970, as Jenkins counts.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

/// Why a build was started.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub enum Cause {
    /// By GitLab's web hook: who pushed.
    GitLab(String),
    /// By a user.
    User(String),
}

/// A build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Build {
    /// Its job.
    pub job: String,
    /// Its number.
    pub number: u64,
    /// The queue's item that it was.
    pub queue_id: u64,
    /// When it began, in milliseconds since 1970.
    pub started: u64,
    /// How long it took, in milliseconds.
    pub duration: u64,
    /// `SUCCESS`, `UNSTABLE`, `FAILURE` or `ABORTED`; `None` while it runs.
    pub result: Option<String>,
    /// Why it was started.
    pub cause: Cause,
    /// What the hook said: `gitlabBranch` and the like, and `gitlabProjectId`.
    pub hook: BTreeMap<String, String>,
    /// The commit that is built, once it is known.
    pub commit: Option<String>,
    /// Where that came from.
    pub remote: String,
    /// Stages so far.
    pub stages: Vec<StageRun>,
    /// Files that were kept, relative to the workspace.
    pub artifacts: Vec<String>,
    /// Tests that ran, failed and were skipped, if there was a report.
    pub tests: Option<(u64, u64, u64)>,
}

/// A stage of a build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StageRun {
    /// Its name.
    pub name: String,
    /// `IN_PROGRESS`, `SUCCESS`, `FAILED`, `UNSTABLE`, `ABORTED` or `NOT_EXECUTED`.
    pub status: String,
    /// When it began, in milliseconds since 1970.
    pub started: u64,
    /// How long it took, in milliseconds.
    pub duration: u64,
}

impl Build {
    /// The folder of a build.
    pub fn folder(home: &Path, job: &str, number: u64) -> PathBuf {
        home.join("jobs").join(job).join("builds").join(number.to_string())
    }

    /// Writes it down.
    pub fn save(&self, home: &Path) -> std::io::Result<()> {
        let folder = Self::folder(home, &self.job, self.number);
        std::fs::create_dir_all(&folder)?;
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::other)?;
        std::fs::write(folder.join("build.json.new"), text)?;
        std::fs::rename(folder.join("build.json.new"), folder.join("build.json"))
    }

    /// Reads one.
    pub fn load(home: &Path, job: &str, number: u64) -> Option<Self> {
        let text = std::fs::read_to_string(Self::folder(home, job, number).join("build.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Numbers of all builds of a job, newest first.
    pub fn numbers(home: &Path, job: &str) -> Vec<u64> {
        let entries = std::fs::read_dir(home.join("jobs").join(job).join("builds")).into_iter().flatten().flatten();
        let mut numbers: Vec<u64> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        numbers
    }

    /// `/job/X/N/api/json`
    pub fn json(&self, root: &str) -> Value {
        let cause = match &self.cause {
            Cause::GitLab(who) => {
                json!({"_class": "com.dabsquared.gitlabjenkins.cause.GitLabWebHookCause", "shortDescription": format!("Started by GitLab push by {who}")})
            }
            Cause::User(who) => {
                json!({"_class": "hudson.model.Cause$UserIdCause", "shortDescription": format!("Started by user {who}"), "userId": who, "userName": who})
            }
        };
        let mut actions = vec![json!({"_class": "hudson.model.CauseAction", "causes": [cause]})];
        if let Some(commit) = &self.commit {
            let branch = json!({"SHA1": commit, "name": format!("refs/remotes/origin/{}", self.hook.get("gitlabBranch").map_or("main", String::as_str))});
            actions.push(json!({"_class": "hudson.plugins.git.util.BuildData", "lastBuiltRevision": {"SHA1": commit, "branch": [branch]}, "remoteUrls": [self.remote], "scmName": ""}));
        }
        if let Some((total, failed, skipped)) = self.tests {
            actions.push(json!({"_class": "hudson.tasks.junit.TestResultAction", "totalCount": total, "failCount": failed, "skipCount": skipped, "urlName": "testReport"}));
        }
        let artifacts: Vec<Value> = self
            .artifacts
            .iter()
            .map(|path| json!({"displayPath": path, "fileName": path.rsplit('/').next(), "relativePath": path}))
            .collect();
        json!({
            "_class": "org.jenkinsci.plugins.workflow.job.WorkflowRun",
            "actions": actions,
            "artifacts": artifacts,
            "building": self.result.is_none(),
            "description": null,
            "displayName": format!("#{}", self.number),
            "duration": self.duration,
            "fullDisplayName": format!("{} #{}", self.job, self.number),
            "id": self.number.to_string(),
            "inProgress": self.result.is_none(),
            "keepLog": false,
            "number": self.number,
            "queueId": self.queue_id,
            "result": self.result,
            "timestamp": self.started,
            "url": self.url(root),
        })
    }

    /// Its address.
    pub fn url(&self, root: &str) -> String {
        format!("{root}job/{}/{}/", self.job, self.number)
    }

    /// `/job/X/N/wfapi/describe`
    pub fn describe(&self) -> Value {
        let stages: Vec<Value> = self
            .stages
            .iter()
            .enumerate()
            .map(|(at, stage)| {
                let duration = if stage.status == "IN_PROGRESS" { now().saturating_sub(stage.started) } else { stage.duration };
                json!({
                    "_links": {"self": {"href": format!("/job/{}/{}/execution/node/{}/wfapi/describe", self.job, self.number, at + 1)}},
                    "id": (at + 1).to_string(), "name": stage.name, "execNode": "", "status": stage.status,
                    "startTimeMillis": stage.started, "durationMillis": duration, "pauseDurationMillis": 0,
                })
            })
            .collect();
        let status = match self.result.as_deref() {
            None => "IN_PROGRESS",
            Some("FAILURE") => "FAILED",
            Some(other) => other,
        };
        let duration = if self.result.is_none() { now().saturating_sub(self.started) } else { self.duration };
        json!({
            "_links": {"self": {"href": format!("/job/{}/{}/wfapi/describe", self.job, self.number)}},
            "id": self.number.to_string(), "name": format!("#{}", self.number), "status": status,
            "startTimeMillis": self.started, "endTimeMillis": self.started + duration, "durationMillis": duration,
            "queueDurationMillis": 0, "pauseDurationMillis": 0, "stages": stages,
        })
    }
}
