//! Splunk's API, asked from its own host.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::base::Secret;
use crate::base::frame::nonce;
use crate::check::run::{blind, last_line};
use crate::check::web::{self, Answer, Request};
use crate::check::{Outcome, Reach, Verdict};

/// How to ask.
pub(in crate::check) struct Api<'a> {
    pub reach: &'a dyn Reach,
    pub host: &'a str,
    pub url: &'a str,
    /// File on the host with the authorities that are trusted; empty: the host's own.
    pub ca: &'a str,
    pub user: &'a str,
    pub password: &'a Secret,
}

/// A row of a search's result.
pub(in crate::check) type Row = Map<String, Value>;

/// Why a search has no result.
#[derive(Debug)]
pub(in crate::check) struct Unsearched {
    pub why: String,
    /// Asking again would be answered the same: the login or the search is wrong.
    pub lasting: bool,
}

impl From<String> for Unsearched {
    fn from(why: String) -> Self {
        Self { why, lasting: false }
    }
}

impl Api<'_> {
    fn request(&self, path: &str, password: &str) -> Request {
        let login = STANDARD.encode(format!("{}:{password}", self.user));
        Request {
            url: format!("{}{path}", self.url),
            headers: vec![("Authorization".to_owned(), format!("Basic {login}"))],
            ca: (!self.ca.is_empty()).then(|| self.ca.to_owned()),
            ..Request::default()
        }
    }

    fn export(&self, search: &str) -> Request {
        let form = [("search", search), ("output_mode", "json")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        Request { form: form.to_vec(), ..self.request("/services/search/jobs/export", self.password.expose()) }
    }

    /// The rows of a search.
    pub fn search(&self, search: &str) -> Result<Vec<Row>, Unsearched> {
        let answers = web::ask(self.reach, self.host, &[self.export(search)])?;
        let answer = answers.into_iter().next().unwrap_or_else(|| Err("no answer".to_owned()));
        let answer = answer.map_err(|why| format!("Splunk at {}: {why}", self.url))?;
        rows(&answer).map_err(|why| Unsearched { why, lasting: (400..500).contains(&answer.status) })
    }

    /// That it answers, refuses, and has room.
    pub fn outcomes(&self, index: &str) -> Vec<Outcome> {
        let wrong = format!("not-{}", nonce());
        let requests = [
            self.request("/services/server/info?output_mode=json", self.password.expose()),
            self.request("/services/messages?output_mode=json", &wrong),
            self.request(&format!("/services/data/indexes/{}?output_mode=json", web::word(index)), self.password.expose()),
            self.request("/services/messages?output_mode=json", self.password.expose()),
        ];
        let answers = match web::ask(self.reach, self.host, &requests) {
            Ok(answers) => answers,
            Err(why) => return vec![Outcome::new("Splunk answers", blind(self.host, &why))],
        };
        let trusted = if self.ca.is_empty() { "that its host trusts".to_owned() } else { format!("of {}", self.ca) };
        let next = "see `docker ps` and `docker logs splunk` on its host";
        let text = |answer: &Result<Answer, String>| -> Verdict {
            match answer.as_ref().map_err(Clone::clone).and_then(|answer| answer.json(200)) {
                Ok(said) => match said.pointer("/entry/0/content/version").and_then(Value::as_str) {
                    Some(version) => Verdict::Passed(format!("Splunk {version}")),
                    None => Verdict::Failed("its answer names no version: something else answers there".to_owned()),
                },
                Err(why) => Verdict::Failed(format!("{why}; {next}")),
            }
        };
        let refused = match &answers[1] {
            Ok(answer) if answer.status == 401 => Verdict::Passed("401".to_owned()),
            Ok(answer) => Verdict::Failed(format!("a wrong password is answered with {}, must be 401", answer.status)),
            Err(why) => Verdict::Failed(why.clone()),
        };
        let mend = "`poclab bootstrap` repairs that of the lab's own Splunk";
        let there = match answers[2].as_ref().map_err(Clone::clone).and_then(|answer| answer.json(200)) {
            Ok(said) if said.pointer("/entry/0/content/disabled") == Some(&Value::Bool(true)) => {
                Verdict::Failed(format!("it is disabled: what is sent to it is lost; {mend}"))
            }
            Ok(_) => Verdict::Passed("it is there".to_owned()),
            Err(why) => Verdict::Failed(format!("{why}; what is sent to it is lost; {mend}")),
        };
        vec![
            Outcome::new(format!("Splunk at {} answers, with a certificate {trusted}", self.url), text(&answers[0])),
            Outcome::control("Splunk refuses a wrong password", refused),
            Outcome::new(format!("the index {index} exists"), there),
            Outcome::new("Splunk takes what it is sent", room(&answers[3])),
        ]
    }

    /// The control: a search for what nobody printed.
    pub fn nothing(&self, index: &str) -> Verdict {
        match self.search(&format!("search index={index} \"poclab-{}-nobody\" earliest=-30m | stats count by _raw", nonce())) {
            Ok(rows) if rows.is_empty() => Verdict::Passed("no event".to_owned()),
            Ok(rows) => Verdict::Failed(format!("{} events: the searches above prove nothing", rows.len())),
            Err(no) => Verdict::Failed(no.why),
        }
    }
}

/// What Splunk says when its disk is full: the first two about the index, the last one about what it would search with.
const FULL: [&str; 3] = ["paused data flow", "below the minimum of", "minimum free disk space"];

/// Whether it has stopped to index, or drops what comes.
fn room(answer: &Result<Answer, String>) -> Verdict {
    let said = match answer.as_ref().map_err(Clone::clone).and_then(|answer| answer.json(200)) {
        Ok(said) => said,
        Err(why) => return Verdict::Failed(format!("its messages cannot be read: {why}")),
    };
    let entries = said["entry"].as_array().cloned().unwrap_or_default();
    let text = |entry: &Value| entry["content"]["message"].as_str().unwrap_or_default().to_owned();
    let is_full = |text: &String| FULL.iter().any(|part| text.contains(part));
    let bad: Vec<String> =
        entries.iter().map(text).filter(|text| is_full(text) || text.contains("unconfigured/disabled/deleted index")).collect();
    if bad.is_empty() {
        return Verdict::Passed("it has no message about its disk or an unknown index".to_owned());
    }
    let next = if bad.iter().any(is_full) {
        "make room on its disk: forwarders wait meanwhile, and nothing is lost"
    } else {
        "see who sends to it; Splunk says this until somebody deletes its message"
    };
    Verdict::Failed(format!("it says: {}; {next}", bad.join(" ")))
}

/// The results in an answer of JSON lines.
fn rows(answer: &Answer) -> Result<Vec<Row>, String> {
    if answer.status != 200 {
        return Err(format!("the search was answered with {}: {}", answer.status, last_line(&answer.body)));
    }
    let mut rows = Vec::new();
    for line in answer.body.lines().filter(|line| !line.trim().is_empty()) {
        let value: Value = serde_json::from_str(line).map_err(|why| format!("the search's answer is not JSON: {why}"))?;
        if let Some(fatal) = value["messages"].as_array().into_iter().flatten().find(|message| message["type"] == "FATAL") {
            return Err(format!("the search failed: {}", fatal["text"].as_str().unwrap_or_default()));
        }
        if let (Some(row), false) = (value["result"].as_object(), value["preview"] == true) {
            rows.push(row.clone());
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.to_owned() }
    }

    #[test]
    fn results_are_read_and_failures_are_told() {
        let body =
            "{\"preview\":true,\"result\":{\"a\":\"0\"}}\n{\"preview\":false,\"offset\":0,\"lastrow\":true,\"result\":{\"a\":\"1\"}}\n";
        assert_eq!(rows(&answer(200, body)).unwrap().len(), 1);
        assert!(rows(&answer(200, "{\"preview\":false,\"lastrow\":true}\n")).unwrap().is_empty());
        assert!(rows(&answer(400, "{\"messages\":[]}")).unwrap_err().contains("400"));
        assert!(rows(&answer(200, "{\"messages\":[{\"type\":\"FATAL\",\"text\":\"no\"}]}")).unwrap_err().contains("failed: no"));
        assert!(rows(&answer(200, "<html>")).is_err());
    }

    #[test]
    fn a_full_disk_and_an_unknown_index_are_told_as_such() {
        let says = |text: &str| Ok(answer(200, &serde_json::json!({"entry": [{"content": {"message": text}}]}).to_string()));
        assert!(matches!(room(&says("Search peer is fine")), Verdict::Passed(_)));
        for full in [
            "The index processor has paused data flow. Current free disk space on partition '/' has fallen to 4218MB, below the minimum of 5000MB.",
            "Search not executed: The minimum free disk space (5000MB) reached for /opt/splunk/var/run/splunk/dispatch.",
        ] {
            assert!(matches!(room(&says(full)), Verdict::Failed(why) if why.contains("make room on its disk")), "{full}");
        }
        assert!(
            matches!(room(&says("Received event for unconfigured/disabled/deleted index=x")), Verdict::Failed(why) if why.contains("see who sends to it"))
        );
        assert!(matches!(room(&Ok(answer(503, ""))), Verdict::Failed(_)) && matches!(room(&Err("no answer".into())), Verdict::Failed(_)));
    }
}
