//! Jenkins' addresses: who may ask for them, and what they answer.

use std::sync::{Arc, PoisonError};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::VERSION;
use super::auth::{random, same};
use super::hook::{self, Hook};
use super::record::{Build, Cause};
use super::state::Jenkins;

/// What the server is: getting ready, or there.
pub type Ready = Arc<std::sync::OnceLock<Arc<Jenkins>>>;

/// Answers every request.
pub async fn handle(State(ready): State<Ready>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let Some(jenkins) = ready.get().cloned() else {
        return text(503, "Please wait while Jenkins is getting ready to work ...");
    };
    let answer = tokio::task::spawn_blocking(move || Request { jenkins, method, uri, headers, body }.answer()).await;
    let mut response = answer.unwrap_or_else(|_| text(500, "Oops! A problem occurred while processing the request."));
    let fixed = response.headers_mut();
    fixed.insert("X-Jenkins", header::HeaderValue::from_static(VERSION));
    fixed.insert("X-Content-Type-Options", header::HeaderValue::from_static("nosniff"));
    response
}

fn text(status: u16, text: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "text/plain;charset=utf-8")], text.to_owned()).into_response()
}

fn object(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json;charset=utf-8")], value.to_string()).into_response()
}

fn not_found() -> Response {
    text(404, "Not Found")
}

struct Request {
    jenkins: Arc<Jenkins>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// Who asks.
struct Who {
    user: Option<String>,
    /// By an API token: no crumb is needed then.
    token: bool,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn query(&self, key: &str) -> Option<String> {
        let query = self.uri.query().unwrap_or_default();
        let form = std::str::from_utf8(&self.body).unwrap_or_default();
        query.split('&').chain(form.split('&')).find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            (name == key).then(|| percent_encoding::percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned())
        })
    }

    /// Who asks; `None`: credentials that are wrong.
    fn who(&self) -> Option<Who> {
        let Some(login) = self.header("authorization").and_then(|value| value.strip_prefix("Basic ")) else {
            return Some(Who { user: None, token: false });
        };
        let decoded = STANDARD.decode(login.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let (user, secret) = decoded.as_deref().and_then(|text| text.split_once(':'))?;
        if self.jenkins.token_of(secret).as_deref() == Some(user) {
            return Some(Who { user: Some(user.to_owned()), token: true });
        }
        let config = self.jenkins.config();
        let known = config.users.iter().find(|known| known.id == user).filter(|known| known.accepts(secret))?;
        Some(Who { user: Some(known.id.clone()), token: false })
    }

    fn session(&self) -> Option<&str> {
        self.header("cookie")?.split(';').find_map(|pair| pair.trim().strip_prefix("JSESSIONID="))
    }

    fn answer(&self) -> Response {
        let path = self.uri.path().to_owned();
        let parts: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let Some(who) = self.who() else { return text(401, "Invalid password/token for user") };
        match parts.as_slice() {
            ["login"] => {
                return page(
                    "Sign in to Jenkins [rehearsal]",
                    "<p>This is the rehearsal's stand-in for Jenkins. It has an API and no pages to log in to.</p>",
                );
            }
            ["project", job] if self.method == Method::POST => {
                let hook = Hook {
                    job,
                    event: self.header("x-gitlab-event"),
                    token: self.header("x-gitlab-token"),
                    user: who.user.as_deref(),
                    body: &self.body,
                };
                let (status, words) = hook::take(&self.jenkins, &hook);
                return text(status, &words);
            }
            ["reload-configuration-as-code"] if self.method == Method::POST => return self.reload_by_token(),
            _ => {}
        }
        if self.method == Method::POST && !who.token && !self.crumb_is_good() {
            return text(403, "No valid crumb was included in the request");
        }
        let may = |permission: &str| self.jenkins.config().matrix.allows(who.user.as_deref(), permission);
        if !may("Overall/Read") {
            return denied(&who, "Overall/Read");
        }
        match (self.method.as_str(), parts.as_slice()) {
            ("GET", ["crumbIssuer", "api", "json"]) => self.crumb(),
            ("GET", []) => page("Dashboard [Jenkins, rehearsal]", &self.dashboard()),
            ("GET", ["api", "json"]) => object(&self.overview(may("Job/Read"))),
            ("GET", ["me", "api", "json"] | ["whoAmI", "api", "json"]) => {
                object(&json!({"name": who.user, "anonymous": who.user.is_none(), "authenticated": who.user.is_some()}))
            }
            ("GET", ["pluginManager", "api", "json"]) => match may("Overall/Administer") || may("Overall/SystemRead") {
                true => object(&self.plugins()),
                false => denied(&who, "Overall/SystemRead"),
            },
            ("GET", ["computer", "api", "json"]) => {
                let busy = self.jenkins.work(|work| work.running.len());
                object(
                    &json!({"_class": "hudson.model.ComputerSet", "busyExecutors": busy, "totalExecutors": self.jenkins.config().executors}),
                )
            }
            ("GET", ["queue", "api", "json"]) => {
                let root = self.jenkins.config().url.clone();
                object(
                    &json!({"_class": "hudson.model.Queue", "items": self.jenkins.work(|work| work.queue.waiting().map(|item| item.json(&root)).collect::<Vec<_>>())}),
                )
            }
            ("GET", ["queue", "item", id, "api", "json"]) => {
                let root = self.jenkins.config().url.clone();
                let item = id.parse().ok().and_then(|id| self.jenkins.work(|work| work.queue.get(id).map(|item| item.json(&root))));
                item.map_or_else(not_found, |item| object(&item))
            }
            ("POST", ["queue", "cancelItem"]) => match may("Job/Cancel") {
                true => {
                    let id = self.query("id").and_then(|id| id.parse().ok());
                    text(if id.is_some_and(|id| self.jenkins.work(|work| work.queue.cancel(id))) { 204 } else { 404 }, "")
                }
                false => denied(&who, "Job/Cancel"),
            },
            ("POST", ["user", user, "descriptorByName", "jenkins.security.ApiTokenProperty", "generateNewToken"]) => {
                match who.user.as_deref() == Some(*user) {
                    true => match self.jenkins.new_token(user) {
                        Ok(token) => object(
                            &json!({"status": "ok", "data": {"tokenName": self.query("newTokenName"), "tokenUuid": random(16), "tokenValue": token}}),
                        ),
                        Err(why) => text(500, &why),
                    },
                    false => denied(&who, "Overall/Administer"),
                }
            }
            ("POST", ["configuration-as-code", "reload"]) => match may("Overall/Administer") {
                true => self.reload(),
                false => denied(&who, "Overall/Administer"),
            },
            (_, ["job", job, rest @ ..]) if self.jenkins.job(job).is_some() && may("Job/Read") => self.job(job, rest, &who),
            _ => not_found(),
        }
    }

    fn job(&self, job: &str, rest: &[&str], who: &Who) -> Response {
        let may = |permission: &str| self.jenkins.config().matrix.allows(who.user.as_deref(), permission);
        match (self.method.as_str(), rest) {
            ("GET", ["api", "json"]) => object(&self.job_json(job)),
            ("GET", []) => page(&format!("{job} [Jenkins, rehearsal]"), &self.dashboard()),
            ("POST", ["build"]) => match (may("Job/Build"), &who.user) {
                (true, user) => {
                    let cause = Cause::User(user.clone().unwrap_or_else(|| "anonymous".into()));
                    let id = self.jenkins.enqueue(job, cause, std::collections::BTreeMap::new());
                    (StatusCode::CREATED, [(header::LOCATION, format!("{}queue/item/{id}/", self.jenkins.config().url))]).into_response()
                }
                _ => denied(who, "Job/Build"),
            },
            // The job has no parameters.
            ("POST", ["buildWithParameters"]) => text(500, &format!("{job} is not parameterized")),
            (_, [number, rest @ ..]) => {
                let number = match *number {
                    "lastBuild" => Build::numbers(&self.jenkins.home, job).first().copied(),
                    "lastCompletedBuild" => self.last(job, |build| build.result.is_some()),
                    "lastSuccessfulBuild" => self.last(job, |build| matches!(build.result.as_deref(), Some("SUCCESS" | "UNSTABLE"))),
                    number => number.parse().ok(),
                };
                match number.and_then(|number| self.jenkins.build(job, number)) {
                    Some(build) => self.build(&build, rest, who),
                    None => not_found(),
                }
            }
            _ => not_found(),
        }
    }

    fn build(&self, build: &Build, rest: &[&str], who: &Who) -> Response {
        let folder = Build::folder(&self.jenkins.home, &build.job, build.number);
        let log = || std::fs::read(folder.join("log")).unwrap_or_default();
        match (self.method.as_str(), rest) {
            ("GET", ["api", "json"]) => object(&build.json(&self.jenkins.config().url)),
            ("GET", ["wfapi", "describe"] | ["wfapi"]) if self.jenkins.plugins.contains_key("pipeline-rest-api") => {
                object(&build.describe())
            }
            ("GET", ["consoleText"]) => ([(header::CONTENT_TYPE, "text/plain;charset=utf-8")], log()).into_response(),
            ("GET", ["logText", "progressiveText"]) => {
                let (all, start) = (log(), self.query("start").and_then(|start| start.parse::<usize>().ok()).unwrap_or(0));
                let start = if start > all.len() { 0 } else { start };
                let mut headers = HeaderMap::new();
                headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain;charset=utf-8"));
                headers.insert("X-Text-Size", header::HeaderValue::from(all.len()));
                if build.result.is_none() {
                    headers.insert("X-More-Data", header::HeaderValue::from_static("true"));
                }
                (headers, all[start..].to_vec()).into_response()
            }
            ("GET", ["artifact", path @ ..]) if !path.is_empty() && build.artifacts.contains(&path.join("/")) => {
                let bytes = std::fs::read(folder.join("archive").join(path.join("/")));
                bytes.map_or_else(|_| not_found(), IntoResponse::into_response)
            }
            ("GET", [] | ["display", "redirect"] | ["console"]) => {
                let log = String::from_utf8_lossy(&log()).replace('&', "&amp;").replace('<', "&lt;");
                page(&format!("{} #{} [Jenkins, rehearsal]", build.job, build.number), &format!("<pre>{log}</pre>"))
            }
            ("POST", ["stop"]) => match self.jenkins.config().matrix.allows(who.user.as_deref(), "Job/Cancel") {
                true => {
                    self.jenkins.work(|work| {
                        if let Some((abort, _)) = work.running.get(&(build.job.clone(), build.number)) {
                            abort.ask();
                        }
                    });
                    (StatusCode::FOUND, [(header::LOCATION, build.url(&self.jenkins.config().url))]).into_response()
                }
                false => denied(who, "Job/Cancel"),
            },
            _ => not_found(),
        }
    }

    fn last(&self, job: &str, is: impl Fn(&Build) -> bool) -> Option<u64> {
        Build::numbers(&self.jenkins.home, job).into_iter().find(|number| self.jenkins.build(job, *number).is_some_and(|build| is(&build)))
    }

    fn job_json(&self, job: &str) -> Value {
        let root = self.jenkins.config().url.clone();
        let numbers = Build::numbers(&self.jenkins.home, job);
        let link = |number: u64| json!({"_class": "org.jenkinsci.plugins.workflow.job.WorkflowRun", "number": number, "url": format!("{root}job/{job}/{number}/")});
        // Jenkins shows of builds what `tree=` asks for, and otherwise where they are.
        let whole = self.query("tree").is_some_and(|tree| tree.contains("builds["));
        let builds: Vec<Value> = numbers
            .iter()
            .take(if whole { 20 } else { 100 })
            .filter_map(|number| if whole { Some(self.jenkins.build(job, *number)?.json(&root)) } else { Some(link(*number)) })
            .collect();
        let last = |is: &dyn Fn(&Build) -> bool| self.last(job, is).map(link);
        let item = self.jenkins.work(|work| work.queue.waiting().find(|item| item.job == job).map(|item| item.json(&root)));
        json!({
            "_class": "org.jenkinsci.plugins.workflow.job.WorkflowJob",
            "name": job, "fullName": job, "displayName": job, "fullDisplayName": job,
            "description": self.jenkins.job(job).map(|job| job.description),
            "url": format!("{root}job/{job}/"),
            "buildable": true, "inQueue": item.is_some(), "queueItem": item,
            "builds": builds,
            "lastBuild": numbers.first().map(|number| link(*number)),
            "lastCompletedBuild": last(&|build| build.result.is_some()),
            "lastSuccessfulBuild": last(&|build| matches!(build.result.as_deref(), Some("SUCCESS" | "UNSTABLE"))),
            "lastFailedBuild": last(&|build| build.result.as_deref() == Some("FAILURE")),
            "nextBuildNumber": numbers.first().map_or(1, |last| last + 1),
            "concurrentBuild": self.jenkins.work(|work| !work.alone.contains(job)),
        })
    }

    fn overview(&self, jobs: bool) -> Value {
        let config = self.jenkins.config();
        let names = config.jobs.iter().filter(|_| jobs);
        let jobs: Vec<Value> = names
            .map(|job| json!({"_class": "org.jenkinsci.plugins.workflow.job.WorkflowJob", "name": job.name, "url": format!("{}job/{}/", config.url, job.name)}))
            .collect();
        json!({"_class": "hudson.model.Hudson", "mode": "NORMAL", "nodeDescription": "the rehearsal's stand-in for Jenkins", "numExecutors": config.executors,
            "quietingDown": false, "useCrumbs": true, "useSecurity": true, "url": config.url, "jobs": jobs})
    }

    fn plugins(&self) -> Value {
        let plugins: Vec<Value> = self
            .jenkins
            .plugins
            .iter()
            .map(|(name, version)| json!({"shortName": name, "version": version, "active": true, "enabled": true, "deleted": false, "hasUpdate": false}))
            .collect();
        json!({"_class": "hudson.LocalPluginManager", "plugins": plugins})
    }

    fn dashboard(&self) -> String {
        let config = self.jenkins.config();
        let mut html = String::from("<p>This is the rehearsal's stand-in for Jenkins.</p><ul>");
        for job in &config.jobs {
            for number in Build::numbers(&self.jenkins.home, &job.name).into_iter().take(20) {
                let result = self.jenkins.build(&job.name, number).and_then(|build| build.result).unwrap_or_else(|| "running".into());
                html.push_str(&format!("<li><a href=\"/job/{}/{number}/\">{} #{number}</a> {result}</li>", job.name, job.name));
            }
        }
        html + "</ul>"
    }

    fn crumb(&self) -> Response {
        let mut sessions = self.jenkins.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = self.session().filter(|id| sessions.contains_key(*id)).map_or_else(|| random(16), str::to_owned);
        let crumb = sessions.entry(session.clone()).or_insert_with(|| random(32)).clone();
        let cookie = format!("JSESSIONID={session}; Path=/; HttpOnly; SameSite=Lax");
        let mut response =
            object(&json!({"_class": "hudson.security.csrf.DefaultCrumbIssuer", "crumb": crumb, "crumbRequestField": "Jenkins-Crumb"}));
        if let Ok(value) = header::HeaderValue::from_str(&cookie) {
            response.headers_mut().insert(header::SET_COOKIE, value);
        }
        response
    }

    /// A crumb belongs to its session.
    fn crumb_is_good(&self) -> bool {
        let sessions = self.jenkins.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let want = self.session().and_then(|id| sessions.get(id));
        matches!((want, self.header("jenkins-crumb")), (Some(want), Some(have)) if same(want, have))
    }

    fn reload(&self) -> Response {
        match self.jenkins.reload() {
            Ok(()) => text(200, ""),
            Err(why) => text(500, &why),
        }
    }

    fn reload_by_token(&self) -> Response {
        match (std::env::var("CASC_RELOAD_TOKEN"), self.query("casc-reload-token")) {
            (Err(_), _) => text(404, "Not Found"),
            (Ok(want), Some(have)) if same(&want, &have) => self.reload(),
            _ => text(401, "Invalid casc-reload-token"),
        }
    }
}

fn page(title: &str, body: &str) -> Response {
    let html = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><title>{title}</title></head><body><h1>{title}</h1>{body}<p>Jenkins {VERSION}</p></body></html>"
    );
    ([(header::CONTENT_TYPE, "text/html;charset=utf-8")], html).into_response()
}

/// 403, for those who have logged in and for those who have not.
fn denied(who: &Who, permission: &str) -> Response {
    let name = who.user.as_deref().unwrap_or("anonymous");
    text(403, &format!("{name} is missing the {permission} permission"))
}
