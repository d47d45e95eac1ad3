//! Jenkins' HTTP API, from the control machine.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::blocking::{Client, Response};
use serde_json::Value;

use super::{Trial, verdict};
use crate::base::Secret;
use crate::base::frame::nonce;
use crate::check::Outcome;
use crate::check::reach::{chain, is_certificate_error};

struct Api<'a> {
    client: Client,
    trial: &'a Trial<'a>,
}

/// All that is asked by HTTPS.
pub(super) fn outcomes(trial: &Trial<'_>) -> Vec<Outcome> {
    let at = &trial.spec.endpoint;
    let mut out = vec![
        Outcome::new(
            format!("Jenkins at {at} is ready, with a certificate of the lab CA"),
            verdict(ready(trial, Duration::from_secs(trial.spec.ready_within))),
        ),
        Outcome::control(format!("{at} is not trusted without the lab CA"), verdict(untrusted(trial))),
    ];
    let user = &trial.spec.user;
    let wrong = Secret::new(format!("not-{}", nonce()));
    let status = |login, want| statuses(trial, "/api/json", login, want);
    out.push(Outcome::new(format!("{at} shows nothing to those who have not logged in"), verdict(status(None, 403))));
    out.push(Outcome::new(format!("{at} lets {user} in"), verdict(status(Some(&trial.spec.password), 200))));
    out.push(Outcome::control(format!("{at} refuses a wrong password"), verdict(status(Some(&wrong), 401))));
    out.push(Outcome::new("Jenkins has exactly the pinned plugins", verdict(plugins(trial))));
    for job in &trial.spec.jobs {
        out.push(Outcome::new(
            format!("the job {job} is there"),
            verdict(statuses(trial, &format!("/job/{job}/api/json"), Some(&trial.spec.password), 200)),
        ));
    }
    out.push(Outcome::control("the web hook refuses a wrong token", verdict(wrong_token(trial))));
    out
}

impl<'a> Api<'a> {
    fn new(trial: &'a Trial<'a>) -> Result<Self, String> {
        Ok(Self { client: trial.reach.http(&trial.name, trial.socket())?, trial })
    }

    fn get(&self, path: &str, password: Option<&Secret>) -> Result<Response, String> {
        let mut request = self.client.get(format!("https://{}:{}{path}", self.trial.name, self.trial.port));
        if let Some(password) = password {
            request = request.basic_auth(&self.trial.spec.user, Some(password.expose()));
        }
        request.send().map_err(|e| chain(&e))
    }
}

/// Jenkins says 503 while it starts; its proxy 502 before that.
fn ready(trial: &Trial<'_>, patience: Duration) -> Result<String, String> {
    let (api, begun) = (Api::new(trial)?, Instant::now());
    loop {
        let seen = match api.get("/login", None) {
            Ok(answer) if answer.status() == 200 => {
                let version = answer.headers().get("X-Jenkins").and_then(|value| value.to_str().ok()).unwrap_or_default();
                return match version {
                    "" => Err("/login answers 200 without X-Jenkins: something else answers there".into()),
                    version => Ok(format!("Jenkins {version}")),
                };
            }
            Ok(answer) => format!("/login answers {}", answer.status().as_u16()),
            Err(why) if is_certificate_error(&why) => return Err(why),
            Err(why) => why,
        };
        if begun.elapsed() >= patience {
            return Err(format!("not ready within {} s: {seen}", patience.as_secs()));
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn untrusted(trial: &Trial<'_>) -> Result<String, String> {
    let client = trial.reach.http_without_ca(&trial.name, trial.socket())?;
    match (Api { client, trial }).get("/login", None) {
        Err(why) if is_certificate_error(&why) => Ok("the handshake fails: the certificate's issuer is unknown".into()),
        Err(why) => Err(format!("fails for another reason than the certificate: {why}")),
        Ok(answer) => Err(format!("answers {} to a client that trusts nobody", answer.status().as_u16())),
    }
}

fn statuses(trial: &Trial<'_>, path: &str, password: Option<&Secret>, want: u16) -> Result<String, String> {
    match Api::new(trial)?.get(path, password)?.status().as_u16() {
        status if status == want => Ok(format!("{path} answers {status}")),
        status => Err(format!("{path} answers {status}, must be {want}")),
    }
}

fn plugins(trial: &Trial<'_>) -> Result<String, String> {
    let answer = Api::new(trial)?.get("/pluginManager/api/json?depth=1", Some(&trial.spec.password))?;
    if answer.status() != 200 {
        return Err(format!("the list of plugins answers {}", answer.status().as_u16()));
    }
    let text = answer.text().map_err(|e| chain(&e))?;
    let list: Value = serde_json::from_str(&text).map_err(|_| "the list of plugins is no JSON".to_owned())?;
    compare(&trial.plugins, &list)
}

/// Pinned against installed; each difference by name.
pub(super) fn compare(want: &BTreeMap<&str, &str>, list: &Value) -> Result<String, String> {
    let plugins = list["plugins"].as_array().ok_or("there is no list of plugins in the answer")?;
    let mut have = BTreeMap::new();
    let mut wrong = Vec::new();
    for plugin in plugins {
        let name = plugin["shortName"].as_str().ok_or("a plugin has no name")?;
        have.insert(name, plugin["version"].as_str().unwrap_or_default());
        if plugin["active"] != true {
            wrong.push(format!("{name} is not active"));
        }
    }
    for (name, version) in want {
        match have.get(name) {
            None => wrong.push(format!("{name} is missing")),
            Some(other) if other != version => wrong.push(format!("{name} is {other}, want {version}")),
            Some(_) => {}
        }
    }
    wrong.extend(have.keys().filter(|name| !want.contains_key(*name)).map(|name| format!("{name} is not pinned (jenkins_plugins)")));
    if wrong.is_empty() { Ok(format!("{} plugins", have.len())) } else { Err(wrong.join(", ")) }
}

/// As GitLab would call it, with another token. Nothing may start.
fn wrong_token(trial: &Trial<'_>) -> Result<String, String> {
    let api = Api::new(trial)?;
    let job = &trial.spec.jobs[0];
    let url = format!("https://{}:{}/project/{job}", trial.name, trial.port);
    let event =
        r#"{"object_kind": "push", "ref": "refs/heads/poclab-check", "after": "0000000000000000000000000000000000000000", "commits": []}"#;
    let request = api.client.request(Method::POST, url).header("X-Gitlab-Event", "Push Hook").header("X-Gitlab-Token", nonce());
    let answer = request.header("Content-Type", "application/json").body(event).send().map_err(|e| chain(&e))?;
    match answer.status().as_u16() {
        401 => Ok("401".into()),
        status => Err(format!("/project/{job} answers {status} to a wrong token, must be 401")),
    }
}
