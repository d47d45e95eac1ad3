//! What Datadog's API is asked, and when it is asked again.

use std::time::Duration;

use super::Spec;
use super::judge::{Seen, latest};
use crate::base::frame::nonce;
use crate::check::run::Framed;
use crate::check::web::{self, Answer, Request, word};
use crate::check::{Outcome, Reach, Verdict, run};

/// How far back is asked, in seconds.
pub(super) const BACK: i64 = 900;
/// The metric that every agent sends.
pub(super) const SYSTEM: &str = "system.cpu.user";
/// The metric of the integration with Docker that is there with no container, too.
pub(super) const DOCKER: &str = "docker.containers.running.total";
/// Seconds until the next try after "too many queries".
const LATER: u64 = 60;

/// What the API said about all hosts.
pub(super) struct Known {
    pub now: i64,
    pub system: Seen,
    pub docker: Seen,
    pub containers: Seen,
    /// Series of a host that does not exist.
    pub ghosts: usize,
}

/// Why nothing is known.
#[derive(Debug)]
pub(super) struct Trouble {
    pub why: String,
    /// After how many seconds at least it may be worth asking again; `None`: never, as the answer would be the same.
    pub again: Option<u64>,
}

impl Trouble {
    fn passing(why: String) -> Self {
        Self { why, again: Some(0) }
    }

    /// What a status says, unless it is 200.
    fn of(status: u16, about: &str) -> Option<Self> {
        match status {
            401 | 403 => Some(Self {
                why: format!(
                    "{about}: {status}: the API key or the application key is wrong or was revoked (datadog_api_key, datadog_app_key)"
                ),
                again: None,
            }),
            429 => Some(Self {
                why: format!("{about}: 429: the account has asked too much lately; try `poclab verify --check datadog` again later"),
                again: Some(LATER),
            }),
            _ => None,
        }
    }
}

impl Spec {
    fn request(&self, path: &str, key: &str) -> Request {
        let mut headers = vec![("DD-API-KEY".to_owned(), key.to_owned())];
        if !self.app_key.expose().is_empty() {
            headers.push(("DD-APPLICATION-KEY".to_owned(), self.app_key.expose().to_owned()));
        }
        let proxy = (!self.proxy.is_empty()).then(|| self.proxy.clone());
        Request { url: format!("{}{path}", self.api), headers, proxy, ..Request::default() }
    }

    fn query(&self, now: i64, query: &str) -> Request {
        self.request(&format!("/api/v1/query?from={}&to={now}&query={}", now - BACK, word(query)), self.api_key.expose())
    }

    /// How long to wait between two rounds of queries: 15 seconds, less if there is little patience.
    pub(super) fn pause(&self) -> u64 {
        (self.patience / 10).clamp(3, 15)
    }

    /// Asks for everything at once. Only what has the lab's own tag counts: other labs may be in the same account.
    pub(super) fn known(&self, reach: &dyn Reach) -> Result<Known, Trouble> {
        let clock = Framed::new().ask("now", "date +%s").run(reach, &self.ask_from, Vec::new(), Duration::from_secs(30));
        let now = clock.and_then(|clock| clock.good("now")).map_err(Trouble::passing)?;
        let now: i64 = now.parse().map_err(|_| Trouble::passing(format!("the clock of {} cannot be read", self.ask_from)))?;
        let (tag, metric) = (&self.tag, &self.container_metric);
        let requests = [
            self.query(now, &format!("avg:{SYSTEM}{{{tag}}} by {{host}}")),
            self.query(now, &format!("avg:{DOCKER}{{{tag}}} by {{host}}")),
            self.query(now, &format!("avg:{metric}{{{tag}}} by {{host,container_name}}")),
            self.query(now, &format!("avg:{SYSTEM}{{{tag},host:poclab-control-{}}}", nonce())),
        ];
        let mut answers = web::ask(reach, &self.ask_from, &requests).map_err(Trouble::passing)?.into_iter();
        let mut next = |what: &str| -> Result<serde_json::Value, Trouble> {
            let about = format!("{}: the query of {what}", self.api);
            let answer = answers
                .next()
                .unwrap_or_else(|| Err("no answer".to_owned()))
                .map_err(|why| Trouble::passing(format!("{about}: {why}; see that {} may reach it", self.ask_from)))?;
            if let Some(trouble) = Trouble::of(answer.status, &about) {
                return Err(trouble);
            }
            // What is wrong with a question (4xx) is so the next time, too.
            let again = (!(400..500).contains(&answer.status)).then_some(0);
            answer.json(200).map_err(|why| Trouble { why: format!("{about}: {why}"), again })
        };
        let seen = |answer: serde_json::Value, tags: &[&str]| latest(&answer, tags).map_err(|why| Trouble { why, again: None });
        Ok(Known {
            now,
            system: seen(next(SYSTEM)?, &["host"])?,
            docker: seen(next(DOCKER)?, &["host"])?,
            containers: seen(next(metric)?, &["host", "container_name"])?,
            ghosts: next("a host that does not exist")?["series"].as_array().map_or(0, Vec::len),
        })
    }

    /// Whether Datadog takes the lab's key, and not any key.
    pub(super) fn key(&self, reach: &dyn Reach) -> Vec<Outcome> {
        let (title, control) = ("Datadog takes the lab's API key", "Datadog refuses another API key");
        let requests =
            [self.request("/api/v1/validate", self.api_key.expose()), self.request("/api/v1/validate", &format!("not-{}", nonce()))];
        let answers = match web::ask(reach, &self.ask_from, &requests) {
            Ok(answers) => answers,
            Err(why) => return vec![Outcome::new(title, run::blind(&self.ask_from, &why))],
        };
        let judged = |answer: &Result<Answer, String>| match answer {
            Err(why) => Verdict::Failed(format!("{} could not be asked from {}: {why}", self.api, self.ask_from)),
            Ok(answer) if answer.status == 403 => Verdict::Failed(
                "403: the key is wrong or was revoked; make a new one there, then `poclab secrets set datadog_api_key` and \
                 `poclab bootstrap`"
                    .to_owned(),
            ),
            Ok(answer) => match answer.json(200) {
                Ok(said) if said["valid"] == true => Verdict::Passed("/api/v1/validate says valid".to_owned()),
                Ok(_) => Verdict::Failed("/api/v1/validate does not say that it is valid".to_owned()),
                Err(why) => Verdict::Failed(format!("/api/v1/validate {why}")),
            },
        };
        let refused = |answer: &Result<Answer, String>| match answer {
            Ok(answer) if answer.status == 403 => Verdict::Passed("403".to_owned()),
            Ok(answer) => Verdict::Failed(format!("a made-up key is answered with {}, must be 403", answer.status)),
            Err(why) => Verdict::Failed(why.clone()),
        };
        vec![Outcome::new(title, judged(&answers[0])), Outcome::control(control, refused(&answers[1]))]
    }
}
