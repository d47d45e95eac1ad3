//! The application answers as what was deployed.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::run::{Framed, blind};
use super::{CheckKind, Outcome, Reach, Verdict};
use crate::base::quote;

/// What a user does to see the students, without credentials: the control.
const LIST: &str = "/pozos/api/v1.0/get_student_ages";

/// What runs on the application's host is what was deployed there, and answers from another host: `/status` with the commit, the
/// website with the students.
///
/// Controls: the list without credentials must be refused, and an answer with another commit must be noticed. Skipped as long as
/// nothing was deployed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the application's host.
    pub host: String,
    /// Name of the host that looks at it from outside; the flow matrix must let it.
    pub from: String,
    /// Address of the API, e.g. `http://10.0.0.12:5000`.
    pub api: String,
    /// Address of the website.
    pub website: String,
}

/// What `student-list-deploy status` says.
#[derive(Debug, PartialEq, Eq)]
enum Status {
    Nothing,
    Runs(String),
    Broken(String),
}

fn status(text: &str) -> Result<Status, String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let commit = lines.iter().find_map(|line| line.strip_prefix("commit: "));
    match (lines.pop(), commit) {
        (Some("result: nothing"), None) => Ok(Status::Nothing),
        (Some("result: running"), Some(commit)) => Ok(Status::Runs(commit.to_owned())),
        (Some("result: broken"), Some(_)) => Ok(Status::Broken(lines.pop().unwrap_or_default().to_owned())),
        (last, _) => Err(format!("student-list-deploy status said: {}", last.unwrap_or("nothing"))),
    }
}

/// Whether `/status` answers with this commit.
fn judge(commit: &str, answer: &str) -> Result<String, String> {
    let value: Value = serde_json::from_str(answer).map_err(|_| "/status does not answer with JSON".to_owned())?;
    match value.pointer("/myapplication/0/lastcommitsha").and_then(Value::as_str) {
        Some(told) if told == commit => Ok(format!("commit {commit}")),
        Some(told) => Err(format!("/status says commit {told}, and {commit} was deployed")),
        None => Err("/status says no commit".to_owned()),
    }
}

fn verdict(seen: Result<String, String>) -> Verdict {
    match seen {
        Ok(text) => Verdict::Passed(text),
        Err(why) => Verdict::Failed(format!("{why}; see `student-list-deploy status` on the host, and deploy again")),
    }
}

impl Spec {
    fn outside(&self) -> Framed {
        let curl = "curl --silent --show-error --noproxy '*' --max-time 10";
        let (status, list) = (quote(&format!("{}/status", self.api)), quote(&format!("{}{LIST}", self.api)));
        Framed::new()
            .ask("status", &format!("{curl} --fail {status} 2>&1"))
            .ask("website", &format!("{curl} --fail --data submit=List {} 2>&1", quote(&format!("{}/", self.website))))
            .ask("denied", &format!("{curl} --output /dev/null --write-out '%{{http_code}}' {list} 2>&1"))
    }
}

impl CheckKind for Spec {
    const NAME: &'static str = "deployment";

    fn id(&self) -> String {
        self.host.clone()
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        let title = format!("{} runs what was deployed", self.host);
        progress(&format!("asking {}", self.host));
        let asked = Framed::new().ask("deployed", "/usr/local/sbin/student-list-deploy status 2>&1");
        let told = asked.run(reach, &self.host, Vec::new(), Duration::from_secs(60));
        let commit = match told.and_then(|frames| status(&frames.get("deployed")?.text())) {
            Err(why) => return vec![Outcome::new(title, blind(&self.host, &why))],
            Ok(Status::Nothing) => {
                let why = "nothing is deployed yet: the first push to GitLab does that";
                return vec![Outcome::new(title, Verdict::Skipped(why.to_owned()))];
            }
            Ok(Status::Broken(why)) => return vec![Outcome::new(title, verdict(Err(why)))],
            Ok(Status::Runs(commit)) => commit,
        };
        let mut out = vec![Outcome::new(title, Verdict::Passed(format!("commit {commit}, both images by digest, healthy")))];
        progress(&format!("looking from {}", self.from));
        let frames = match self.outside().run(reach, &self.from, Vec::new(), Duration::from_secs(60)) {
            Err(why) => {
                out.push(Outcome::new(format!("it answers {}", self.from), blind(&self.from, &why)));
                return out;
            }
            Ok(frames) => frames,
        };
        let answer = frames.good("status");
        let seen = answer.as_ref().map_err(String::clone).and_then(|text| judge(&commit, text));
        // On an answer that is good in itself, or the control would find what was there before.
        let answer = seen.is_ok().then_some(answer).and_then(Result::ok);
        out.push(Outcome::new(format!("/status answers {} with the commit", self.from), verdict(seen)));
        let seen = frames.good("website").and_then(|page| {
            let count = page.matches("years old").count();
            if count > 0 { Ok(format!("{count} students")) } else { Err("the website lists no students".to_owned()) }
        });
        out.push(Outcome::new(format!("the website lists the students for {}", self.from), verdict(seen)));
        let seen = match frames.good("denied").as_deref() {
            Ok("401") => Ok("401".to_owned()),
            Ok(other) => Err(format!("the API answers {other} without credentials, not 401")),
            Err(why) => Err(why.clone()),
        };
        out.push(Outcome::control("the list without credentials is refused", verdict(seen)));
        if let Some(text) = answer {
            let verdict = match judge(&commit, &text.replace(&commit, &"0".repeat(40))) {
                Err(why) => Verdict::Passed(why),
                Ok(_) => Verdict::Failed("an answer with another commit was taken for good".to_owned()),
            };
            out.push(Outcome::control("another commit is noticed", verdict));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Scripted, framed, shellcheck};

    const COMMIT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn look(told: &'static str, answer: &'static str, page: &'static str, denied: &'static str) -> Vec<Outcome> {
        let json = serde_json::json!({"host": "app", "from": "deploy", "api": "http://a:5000", "website": "http://a"});
        let spec: Spec = serde_json::from_value(json).unwrap();
        shellcheck(&spec.outside().text());
        let reach = Scripted::new(move |host, script, _| {
            Ok(match host {
                "app" => framed(script, &[("deployed", told, 0)]),
                _ => framed(script, &[("status", answer, 0), ("website", page, 0), ("denied", denied, 0)]),
            })
        });
        spec.run(&reach, &mut |_| {})
    }

    fn good(outcome: &Outcome) -> bool {
        matches!(outcome.verdict, Verdict::Passed(_))
    }

    const RUNS: &str = "commit: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\napi: r/a@sha256:1\nwebsite: r/w@sha256:2\nresult: running\n";
    const ANSWER: &str = r#"{"myapplication":[{"lastcommitsha":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}]}"#;
    const PAGE: &str = "<p>- bob is 13 years old</p>";

    #[test]
    fn what_answers_passes_with_its_controls() {
        let out = look(RUNS, ANSWER, PAGE, "401");
        assert!(out.len() == 5 && out.iter().all(good) && out[3].control && out[4].control, "{out:?}");
    }

    #[test]
    fn nothing_deployed_is_skipped_and_never_passed() {
        let out = look("result: nothing\n", "", "", "");
        assert!(out.len() == 1 && matches!(&out[0].verdict, Verdict::Skipped(why) if why.contains("nothing is deployed yet")), "{out:?}");
    }

    #[test]
    fn each_fault_is_its_own() {
        let failed = |out: Vec<Outcome>| out.iter().enumerate().filter(|(_, o)| !good(o)).map(|(n, _)| n).collect::<Vec<_>>();
        assert_eq!(failed(look(RUNS, r#"{"myapplication":[{"lastcommitsha":"b"}]}"#, PAGE, "401")), [1]);
        assert_eq!(failed(look(RUNS, "", PAGE, "401")), [1]);
        assert_eq!(failed(look(RUNS, ANSWER, "<h1>Student Checking App</h1>", "401")), [2]);
        assert_eq!(failed(look(RUNS, ANSWER, PAGE, "200")), [3]);
        for told in ["", "result: running\n", "commit: a\nwebsite does not run\nresult: broken\n", "sh: not found\n"] {
            assert_eq!(failed(look(told, ANSWER, PAGE, "401")), [0], "{told}");
        }
        assert!(judge(COMMIT, ANSWER).is_ok());
    }
}
