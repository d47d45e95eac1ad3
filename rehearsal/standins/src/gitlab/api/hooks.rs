//! Hooks of a project, and the log of their deliveries.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::{Answer, Call, broken, error, message, no_content, nothing};
use crate::common::http::Response;
use crate::common::{moment, now, uuid};
use crate::gitlab::access::{MAINTAINER, RefChange};
use crate::gitlab::deliver::{self, Job, Outcome};
use crate::gitlab::git;
use crate::gitlab::state::{Hook, Project};

/// Fields that are taken and given back, with what they are from the start.
fn fields() -> Map<String, Value> {
    let all = json!({
        "name": null, "description": null, "push_events": true, "tag_push_events": false, "issues_events": false,
        "confidential_issues_events": false, "note_events": false, "confidential_note_events": false, "merge_requests_events": false,
        "job_events": false, "pipeline_events": false, "wiki_page_events": false, "deployment_events": false, "releases_events": false,
        "feature_flag_events": false, "emoji_events": false, "resource_access_token_events": false, "milestone_events": false,
        "push_events_branch_filter": "", "branch_filter_strategy": "wildcard", "enable_ssl_verification": true, "custom_webhook_template": null
    });
    if let Value::Object(map) = all { map } else { Map::new() }
}

pub fn handle(call: &Call<'_>, id: &str, words: &[&str]) -> Answer {
    let project = call.project_as(id, MAINTAINER)?;
    let absent = || message(404, "404 Not found");
    let here = |id: &str| {
        let found =
            call.app.store.read(|state| state.hooks.iter().find(|hook| hook.project == project.id && hook.id.to_string() == id).cloned());
        found.ok_or_else(absent)
    };
    match (call.method, words) {
        ("GET", []) => {
            let all = call.app.store.read(|state| state.hooks.iter().filter(|hook| hook.project == project.id).map(present).collect());
            call.page(all)
        }
        ("GET", [id]) => Ok(Response::json(200, &present(&here(id)?))),
        ("POST", []) => create(call, &project),
        ("PUT", [id]) => update(call, &here(id)?),
        ("DELETE", [id]) => {
            let hook = here(id)?;
            call.app.store.change(|state| state.hooks.retain(|known| known.id != hook.id)).map_err(broken)?;
            no_content()
        }
        ("GET", [id, "events"]) => events(call, &here(id)?),
        ("POST", [id, "events", event, "resend"]) => resend(call, &here(id)?, event),
        ("POST", [id, "test", trigger]) => test(call, &project, &here(id)?, trigger),
        _ => Err(nothing()),
    }
}

fn present(hook: &Hook) -> Value {
    let until = hook.disabled_until.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok()).map(moment);
    let mut value = json!({"id": hook.id, "url": hook.url, "created_at": hook.created_at, "project_id": hook.project});
    if let Some(map) = value.as_object_mut() {
        map.extend(hook.fields.clone());
        let more = json!({"alert_status": hook.alert_status, "disabled_until": until, "url_variables": [], "custom_headers": []});
        map.extend(more.as_object().cloned().unwrap_or_default());
    }
    value
}

fn given(call: &Call<'_>) -> Result<Map<String, Value>, Response> {
    let mut found = Map::new();
    for (name, default) in fields() {
        let value = match default {
            Value::Bool(_) => call.flag(&name)?.map(Value::Bool),
            _ => call.text(&name)?.map(Value::String),
        };
        found.extend(value.map(|value| (name, value)));
    }
    Ok(found)
}

/// GitLab only says that the address is invalid, not why.
fn sendable(call: &Call<'_>, url: &str) -> Result<(), Response> {
    match call.app.store.read(|state| deliver::blocked(state, url)) {
        None => Ok(()),
        Some(_) => Err(error(422, "Invalid url given")),
    }
}

fn create(call: &Call<'_>, project: &Project) -> Answer {
    let (url, token, given) = (call.must("url")?, call.text("token")?, given(call)?);
    sendable(call, &url)?;
    let made = call.app.store.change(|state| {
        let id = state.id("web_hooks");
        let mut all = fields();
        all.extend(given);
        let alert_status = "executable".to_owned();
        let hook =
            Hook { id, project: project.id, url, token, fields: all, failures: 0, alert_status, disabled_until: None, created_at: now() };
        state.hooks.push(hook.clone());
        hook
    });
    Ok(Response::json(201, &present(&made.map_err(broken)?)))
}

fn update(call: &Call<'_>, hook: &Hook) -> Answer {
    let (url, token, given) = (call.text("url")?, call.text("token")?, given(call)?);
    if let Some(url) = &url {
        sendable(call, url)?;
    }
    let changed = call.app.store.change(|state| {
        let hook = state.hooks.iter_mut().find(|known| known.id == hook.id)?;
        // A token is for one address: another address, and it is gone unless it comes along.
        if url.as_ref().is_some_and(|url| *url != hook.url) {
            hook.token = None;
        }
        hook.url = url.unwrap_or_else(|| hook.url.clone());
        hook.token = token.or(hook.token.take());
        hook.fields.extend(given);
        Some(hook.clone())
    });
    let hook = changed.map_err(broken)?.ok_or_else(|| message(404, "404 Not found"))?;
    Ok(Response::json(200, &present(&hook)))
}

fn events(call: &Call<'_>, hook: &Hook) -> Answer {
    let status = call.text("status")?;
    let fits = |log: &Map<String, Value>| {
        let seen = log.get("response_status").and_then(Value::as_str).unwrap_or_default();
        match status.as_deref() {
            None => true,
            Some("successful") => seen.starts_with('2'),
            Some("client_failure") => seen.starts_with('4'),
            Some("server_failure") => seen.starts_with('5') || seen == "internal error",
            Some(code) => seen == code,
        }
    };
    let logs = call.app.store.read(|state| {
        let here = state.deliveries.iter().rev().filter(|delivery| delivery.hook == hook.id && fits(&delivery.log));
        here.map(|delivery| Value::Object(delivery.log.clone())).collect()
    });
    call.page(logs)
}

fn resend(call: &Call<'_>, hook: &Hook, event: &str) -> Answer {
    let found = call
        .app
        .store
        .read(|state| state.deliveries.iter().find(|delivery| delivery.hook == hook.id && delivery.id.to_string() == event).cloned());
    let delivery = found.ok_or_else(|| message(404, "404 Not found"))?;
    let payload = delivery.log.get("request_data").cloned().unwrap_or_default();
    let tag = delivery.log.get("trigger").and_then(Value::as_str) == Some("tag_push_hooks");
    let (trigger, event) = if tag { ("tag_push_hooks", "Tag Push Hook") } else { ("push_hooks", "Push Hook") };
    deliver::deliver(call.app, &Job { hook: hook.id, trigger, event, payload, uuid: uuid() });
    let status = call.app.store.read(|state| state.deliveries.last().and_then(|delivery| delivery.log.get("response_status").cloned()));
    Ok(Response::json(201, &json!({"response_status": status})))
}

fn test(call: &Call<'_>, project: &Project, hook: &Hook, trigger: &str) -> Answer {
    if !["push_events", "tag_push_events"].contains(&trigger) {
        return Err(error(400, "trigger does not have a valid value"));
    }
    let branch = project.text("default_branch");
    let head = git::text(call.app, project.id, &["rev-parse", "-q", "--verify", &format!("refs/heads/{branch}")]);
    let Ok(new) = head else { return Err(message(422, "Ensure the project has at least one commit.")) };
    let zeros = "0".repeat(40);
    let old = git::text(call.app, project.id, &["rev-parse", "-q", "--verify", &format!("{new}^")]).unwrap_or(zeros);
    let change = RefChange { old, new, name: format!("refs/heads/{branch}"), forced: false };
    let payload = deliver::payload(call.app, project, &call.identity.user, &change);
    match deliver::deliver(call.app, &Job { hook: hook.id, trigger: "push_hooks", event: "Push Hook", payload, uuid: uuid() }) {
        Outcome::Taken => Ok(message(201, "201 Created")),
        Outcome::Refused | Outcome::NoAnswer => {
            let last = call.app.store.read(|state| state.deliveries.last().and_then(|delivery| delivery.log.get("response_body").cloned()));
            Err(Response::json(422, &json!({"message": last})))
        }
    }
}
