//! Hooks: what is sent, when it is tried again, when a hook is given up, and the log of it all.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::access::{RefChange, matches, none};
use super::app::App;
use super::state::{Delivery, Hook, Project, State, User, settings};
use super::{config, git, state};
use crate::common::{now, tls, uuid};

/// A hook to deliver.
#[derive(Debug, Clone)]
pub struct Job {
    /// Which hook.
    pub hook: u64,
    /// `push_hooks`
    pub trigger: &'static str,
    /// `Push Hook`
    pub event: &'static str,
    /// What is sent.
    pub payload: Value,
    /// The same for all attempts.
    pub uuid: String,
}

/// Waits before the next attempts when there was no answer at all.
const AGAIN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(9)];
/// Failures in a row after which a hook is not sent any more.
const FAILURES: u64 = 4;
/// Deliveries that are remembered.
const REMEMBERED: usize = 200;
/// Commits that a payload lists.
const LISTED: usize = 20;
/// Seconds until all processes know of a changed setting.
const SETTLED: i64 = 3;

/// Queues the hooks of a push.
pub fn push(app: &App, project: &Project, user: &User, change: &RefChange) {
    let (trigger, event) = match change.name.starts_with("refs/tags/") {
        true => ("tag_push_hooks", "Tag Push Hook"),
        false => ("push_hooks", "Push Hook"),
    };
    let branch = change.name.trim_start_matches("refs/heads/");
    let wanted = |hook: &&Hook| {
        let flag = |field: &str| hook.fields.get(field).and_then(Value::as_bool).unwrap_or(false);
        let filter = hook.fields.get("push_events_branch_filter").and_then(Value::as_str).unwrap_or_default();
        let here = hook.project == project.id && hook.alert_status != "disabled";
        let awake = hook.disabled_until.is_none_or(|until| until <= OffsetDateTime::now_utc().unix_timestamp());
        let asked = if trigger == "push_hooks" {
            flag("push_events") && (filter.is_empty() || matches(filter, branch))
        } else {
            flag("tag_push_events")
        };
        here && awake && asked
    };
    let hooks: Vec<u64> = app.store.read(|state| state.hooks.iter().filter(wanted).map(|hook| hook.id).collect());
    if hooks.is_empty() {
        return;
    }
    let payload = payload(app, project, user, change);
    for hook in hooks {
        app.queue(Job { hook, trigger, event, payload: payload.clone(), uuid: uuid() });
    }
}

/// The body of a push event, in the documented form.
pub fn payload(app: &App, project: &Project, user: &User, change: &RefChange) -> Value {
    let gone = none(&change.new);
    let range = if none(&change.old) { change.new.clone() } else { format!("{}..{}", change.old, change.new) };
    let list = |extra: &[&str]| {
        let arguments: Vec<&str> = ["rev-list"].into_iter().chain(extra.iter().copied()).chain([range.as_str()]).collect();
        git::text(app, project.id, &arguments).unwrap_or_default()
    };
    let limit = format!("--max-count={LISTED}");
    let mut commits: Vec<Value> =
        if gone { Vec::new() } else { list(&[&limit]).lines().filter_map(|sha| commit(app, project, sha)).collect() };
    commits.reverse();
    let total = if gone { 0 } else { list(&["--count"]).parse().unwrap_or(commits.len()) };
    let tag = change.name.starts_with("refs/tags/");
    let kind = if tag { "tag_push" } else { "push" };
    let full = project.full_path();
    let (web, host) = (app.url(&full), app.config.host());
    let (ssh, http) = (format!("git@{host}:{full}.git"), format!("{web}.git"));
    json!({
        "object_kind": kind, "event_name": kind, "before": change.old, "after": change.new, "ref": change.name,
        "ref_protected": project.protected.iter().any(|rule| matches(&rule.name, change.name.trim_start_matches("refs/heads/"))),
        "checkout_sha": if gone { Value::Null } else { json!(change.new) }, "message": null, "user_id": user.id, "user_name": user.name,
        "user_username": user.username, "user_email": "", "user_avatar": null, "project_id": project.id,
        "project": {
            "id": project.id, "name": project.name, "description": project.fields.get("description"), "web_url": web, "avatar_url": null,
            "git_ssh_url": ssh, "git_http_url": http, "namespace": project.namespace,
            "visibility_level": match project.text("visibility") { "public" => 20, "internal" => 10, _ => 0 },
            "path_with_namespace": full, "default_branch": project.text("default_branch"), "ci_config_path": null,
            "homepage": web, "url": ssh, "ssh_url": ssh, "http_url": http
        },
        "commits": commits, "total_commits_count": total, "push_options": {},
        "repository": {
            "name": project.name, "url": ssh, "description": project.fields.get("description"), "homepage": web,
            "git_http_url": http, "git_ssh_url": ssh, "visibility_level": match project.text("visibility") { "public" => 20, "internal" => 10, _ => 0 }
        }
    })
}

fn commit(app: &App, project: &Project, sha: &str) -> Option<Value> {
    let text = git::text(app, project.id, &["log", "-1", "--format=%B%x00%cI%x00%an%x00%ae", sha]).ok()?;
    let mut parts = text.split('\0');
    let (message, at, name, mail) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let files = git::text(app, project.id, &["show", "--format=", "--name-status", "--no-renames", sha]).unwrap_or_default();
    let of = |letter: &str| {
        files.lines().filter_map(|line| line.split_once('\t')).filter(|(how, _)| *how == letter).map(|(_, file)| file).collect::<Vec<_>>()
    };
    Some(json!({
        "id": sha, "message": message, "title": message.lines().next().unwrap_or_default(), "timestamp": at,
        "url": app.url(&format!("{}/-/commit/{sha}", project.full_path())), "author": {"name": name, "email": mail},
        "added": of("A"), "modified": of("M"), "removed": of("D")
    }))
}

/// Why GitLab would not send anything to an address; `None` when it would.
pub fn blocked(state: &State, url: &str) -> Option<String> {
    let Ok(parsed) = reqwest::Url::parse(url) else { return Some("is blocked: URI is invalid".to_owned()) };
    if !["http", "https"].contains(&parsed.scheme()) {
        return Some("is blocked: Only allowed schemes are http, https".to_owned());
    }
    let (Some(host), Some(port)) = (parsed.host_str(), parsed.port_or_known_default()) else {
        return Some("is blocked: URI is invalid".to_owned());
    };
    // What processes know of the settings: a change takes a while.
    let fresh = state.settings_before.as_ref().filter(|(at, _)| OffsetDateTime::now_utc().unix_timestamp() - at < SETTLED);
    let known = settings(fresh.map_or(&state.settings, |(_, before)| before));
    if known.get("allow_local_requests_from_web_hooks_and_services") == Some(&json!(true)) {
        return None;
    }
    let addresses: Vec<IpAddr> = match (host, port).to_socket_addrs() {
        Ok(found) => found.map(|address| address.ip()).collect(),
        Err(_) => return Some("is blocked: Host cannot be resolved or invalid".to_owned()),
    };
    let allowed = known.get("outbound_local_requests_whitelist").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let listed = allowed.into_iter().any(|entry| {
        entry == host
            || entry == format!("{host}:{port}")
            || addresses.iter().any(|ip| entry == format!("{ip}:{port}") || config::in_networks(*ip, &[entry.to_owned()]))
    });
    if listed {
        return None;
    }
    let local = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => (ip.segments()[0] & 0xfe00) == 0xfc00 || (ip.segments()[0] & 0xffc0) == 0xfe80,
    };
    if addresses.iter().any(IpAddr::is_loopback) {
        return Some("is blocked: Requests to localhost are not allowed".to_owned());
    }
    addresses.iter().any(local).then(|| "is blocked: Requests to the local network are not allowed".to_owned())
}

/// Delivers what is queued, one job after another, until nobody queues any more.
pub fn work(app: &Arc<App>, jobs: &Receiver<Job>) {
    for job in jobs {
        let app = app.clone();
        // A server that is slow holds up its own hook only.
        std::thread::spawn(move || {
            for pause in AGAIN.iter().map(Some).chain([None]) {
                if deliver(&app, &job) != Outcome::NoAnswer {
                    break;
                }
                if let Some(pause) = pause {
                    std::thread::sleep(*pause);
                }
            }
        });
    }
}

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Outcome {
    /// 2xx.
    Taken,
    /// Another status, or an address that may not be asked.
    Refused,
    /// Nothing came back.
    NoAnswer,
}

/// One attempt.
pub fn deliver(app: &App, job: &Job) -> Outcome {
    let Some(hook) = app.store.read(|state| state.hooks.iter().find(|hook| hook.id == job.hook).cloned()) else { return Outcome::Refused };
    let started = Instant::now();
    let blocked = app.store.read(|state| blocked(state, &hook.url));
    let answer = match blocked {
        Some(why) => Err((Outcome::Refused, format!("URL {why}"))),
        None => send(app, &hook, job).map_err(|why| (Outcome::NoAnswer, why)),
    };
    let (outcome, status, headers, body) = match answer {
        Ok((status, headers, body)) => {
            (if (200..300).contains(&status) { Outcome::Taken } else { Outcome::Refused }, status.to_string(), headers, body)
        }
        Err((outcome, why)) => (outcome, "internal error".to_owned(), Map::new(), why),
    };
    let mut asked = json!({"Content-Type": "application/json", "User-Agent": agent(), "X-Gitlab-Event": job.event, "X-Gitlab-Webhook-UUID": job.uuid, "X-Gitlab-Instance": app.config.external_url, "X-Gitlab-Event-UUID": job.uuid});
    if hook.token.is_some() {
        asked["X-Gitlab-Token"] = json!("[REDACTED]");
    }
    let log = json!({
        "url": hook.url, "trigger": job.trigger, "request_headers": asked, "request_data": job.payload, "response_headers": headers,
        "response_body": body, "execution_duration": started.elapsed().as_secs_f64(), "response_status": status, "created_at": now(),
    });
    let _ = app.store.change(|state| {
        let id = state.id("web_hook_logs");
        let mut fields = Map::from_iter([("id".to_owned(), json!(id))]);
        fields.extend(log.as_object().cloned().unwrap_or_default());
        state.deliveries.push(Delivery { id, hook: hook.id, log: fields });
        let surplus = state.deliveries.len().saturating_sub(REMEMBERED);
        state.deliveries.drain(..surplus);
        if let Some(hook) = state.hooks.iter_mut().find(|known| known.id == hook.id) {
            count(hook, outcome, &status);
        }
    });
    outcome
}

/// Failures in a row disable a hook: for a while, or (4xx: it is misconfigured) until somebody enables it.
fn count(hook: &mut state::Hook, outcome: Outcome, status: &str) {
    if outcome == Outcome::Taken {
        (hook.failures, hook.disabled_until) = (0, None);
        "executable".clone_into(&mut hook.alert_status);
        return;
    }
    hook.failures += 1;
    if hook.failures < FAILURES {
        return;
    }
    if status.starts_with('4') {
        "disabled".clone_into(&mut hook.alert_status);
        return;
    }
    let minutes = 1i64 << (hook.failures - FAILURES).min(11);
    hook.disabled_until = Some(OffsetDateTime::now_utc().unix_timestamp() + 60 * minutes.min(24 * 60));
    "temporarily_disabled".clone_into(&mut hook.alert_status);
}

fn agent() -> String {
    format!("GitLab/{}", super::app::VERSION)
}

fn send(app: &App, hook: &Hook, job: &Job) -> Result<(u16, Map<String, Value>, String), String> {
    let verify = hook.fields.get("enable_ssl_verification").and_then(Value::as_bool).unwrap_or(true);
    if !verify && hook.url.starts_with("https") {
        return Err("rehearsal: hooks without verification of certificates are not sent".to_owned());
    }
    let trusted = tls::authorities(&app.paths.at("/etc/gitlab/trusted-certs")).map_err(|why| why.to_string())?;
    let authorities = reqwest::Certificate::from_pem_bundle(trusted.as_bytes()).map_err(|why| why.to_string())?;
    let builder =
        reqwest::blocking::Client::builder().tls_built_in_root_certs(false).no_proxy().redirect(reqwest::redirect::Policy::none());
    let builder = builder.timeout(Duration::from_secs(app.config.webhook_timeout.max(1)));
    let client =
        authorities.into_iter().fold(builder, |builder, one| builder.add_root_certificate(one)).build().map_err(|why| chain(&why))?;
    let mut request = client.post(&hook.url).header("Content-Type", "application/json").header("User-Agent", agent());
    for (name, value) in [
        ("X-Gitlab-Event", job.event),
        ("X-Gitlab-Event-UUID", &job.uuid),
        ("X-Gitlab-Webhook-UUID", &job.uuid),
        ("X-Gitlab-Instance", &app.config.external_url),
    ] {
        request = request.header(name, value);
    }
    if let Some(token) = &hook.token {
        request = request.header("X-Gitlab-Token", token);
    }
    let answer = request.body(job.payload.to_string()).send().map_err(|why| chain(&why))?;
    let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap_or_default()))).collect();
    let status = answer.status().as_u16();
    let mut body = answer.text().unwrap_or_default();
    body.truncate(body.char_indices().nth(8000).map_or(body.len(), |(at, _)| at));
    Ok((status, headers, body))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
