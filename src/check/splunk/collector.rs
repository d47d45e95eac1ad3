//! The HTTP event collector: what Docker's own log driver sends to.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::Api;
use crate::base::Secret;
use crate::base::frame::nonce;
use crate::check::run::blind;
use crate::check::web::{self, Answer, Request};
use crate::check::{Outcome, Verdict, shapes};

/// Splunk's HTTP event collector.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Collector {
    /// Its address: `https://registry.lab.example:8088`.
    pub url: String,
    /// Its token.
    #[serde(deserialize_with = "shapes::secret")]
    #[schemars(with = "String")]
    pub token: Secret,
}

/// The source that the check's event has.
pub const SOURCE: &str = "poclab";

impl Collector {
    fn request(&self, ca: &str, path: &str, token: &str, body: Option<&Value>) -> Request {
        Request {
            url: format!("{}{path}", self.url),
            headers: vec![
                ("Authorization".to_owned(), format!("Splunk {token}")),
                ("Content-Type".to_owned(), "application/json".to_owned()),
            ],
            body: body.map(Value::to_string),
            ca: (!ca.is_empty()).then(|| ca.to_owned()),
            ..Request::default()
        }
    }

    /// Sends `text` as an event, and what must be refused.
    pub(super) fn outcomes(&self, api: &Api<'_>, index: &str, host: &str, text: &str) -> Vec<Outcome> {
        let event = |index: &str| json!({"event": text, "index": index, "host": host, "source": SOURCE, "sourcetype": "poclab"});
        let (path, token) = ("/services/collector/event", self.token.expose());
        let requests = [
            self.request(api.ca, "/services/collector/health", token, None),
            self.request(api.ca, path, token, Some(&event(index))),
            self.request(api.ca, path, &format!("not-{}", nonce()), Some(&event(index))),
            self.request(api.ca, path, token, Some(&event(&format!("poclab_{}", nonce())))),
        ];
        let title = format!("the event collector at {} takes an event", self.url);
        let answers = match web::ask(api.reach, api.host, &requests) {
            Ok(answers) => answers,
            Err(why) => return vec![Outcome::new(title, blind(api.host, &why))],
        };
        let took = code(&answers[0], 200, 17, "its health").and_then(|()| code(&answers[1], 200, 0, "an event with the lab's token"));
        let is = |result: Result<(), String>, passed: &str| match result {
            Ok(()) => Verdict::Passed(passed.to_owned()),
            Err(why) => Verdict::Failed(why),
        };
        let token = code(&answers[2], 403, 4, "another token");
        let unknown = code(&answers[3], 400, 7, "an index that does not exist");
        vec![
            Outcome::new(title, is(took, "healthy, and an event with the lab's token is accepted")),
            Outcome::control("the event collector refuses another token", is(token, "403")),
            Outcome::control("the event collector refuses an index that does not exist", is(unknown, "400, code 7")),
        ]
    }
}

/// Whether an answer has this status and Splunk's code.
fn code(answer: &Result<Answer, String>, status: u16, code: u64, what: &str) -> Result<(), String> {
    let answer = answer.as_ref().map_err(|why| format!("{what}: {why}; see splunk_hec_port and the container's log"))?;
    let said = answer.json(status).map_err(|why| format!("{what} is {why}"))?;
    if said["code"] == code { Ok(()) } else { Err(format!("{what} is answered with code {}, must be {code}", said["code"])) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::check::testing::{Scripted, framed};

    /// What is failed when the four requests are answered like this.
    fn failed(answers: [(&'static str, &'static str); 4]) -> Vec<String> {
        let reach = Scripted::new(move |_, script, stdin| {
            let sent = String::from_utf8_lossy(stdin);
            assert!(!script.contains("ttttttt") && sent.contains("cacert = \"/ca.pem\""));
            let names: Vec<String> = ["status", "body"].iter().flat_map(|part| (0..4).map(move |n| format!("{part}{n}"))).collect();
            let texts = answers.iter().map(|answer| answer.0).chain(answers.iter().map(|answer| answer.1));
            let frames = names.iter().zip(texts).map(|(name, text)| (name.as_str(), text, 0));
            Ok(framed(script, &frames.collect::<Vec<_>>()))
        });
        let api = Api { reach: &reach, host: "registry", url: "https://r:8089", ca: "/ca.pem", user: "admin", password: &Secret::new("p") };
        let collector = Collector { url: "https://r:8088".into(), token: Secret::new("tttttttt") };
        let outcomes = collector.outcomes(&api, "lab", "registry.lab", "x");
        let wrong = outcomes.into_iter().filter_map(|outcome| match outcome.verdict {
            Verdict::Failed(why) => Some(format!("{}: {why}", outcome.title)),
            _ => None,
        });
        wrong.collect()
    }

    #[test]
    fn what_must_be_taken_is_and_what_must_not_is_refused() {
        let good = [("200", r#"{"code":17}"#), ("200", r#"{"code":0}"#), ("403", r#"{"code":4}"#), ("400", r#"{"code":7}"#)];
        assert_eq!(failed(good), [""; 0]);
        let with = |n: usize, answer| {
            let mut answers = good;
            answers[n] = answer;
            failed(answers)
        };
        let takes = "the event collector at https://r:8088 takes an event: ";
        assert_eq!(with(0, ("503", "{}")), [format!("{takes}its health is answered with 503, must be 200: {{}}")]);
        assert_eq!(
            with(1, ("403", r#"{"code":4}"#)),
            [format!("{takes}an event with the lab's token is answered with 403, must be 200: {{\"code\":4}}")]
        );
        assert!(with(2, ("200", r#"{"code":0}"#))[0].starts_with("the event collector refuses another token: "));
        assert!(with(3, ("400", r#"{"code":6}"#))[0].ends_with("is answered with code 6, must be 7"));
        assert!(with(1, ("curl: (7) refused", ""))[0].contains("no answer: curl: (7) refused"));
    }
}
