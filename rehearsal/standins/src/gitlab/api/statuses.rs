//! Commit statuses.

use serde_json::{Map, Value, json};

use super::{Answer, Call, broken, error, forbidden, message};
use crate::common::http::Response;
use crate::common::now;
use crate::gitlab::access::{self, DEVELOPER};
use crate::gitlab::git;
use crate::gitlab::state::{Project, Status};

const STATES: &[&str] = &["pending", "running", "success", "failed", "canceled", "skipped"];

/// The full SHA of a commit.
pub fn commit(call: &Call<'_>, project: &Project, sha: &str) -> Result<String, Response> {
    let plain = !sha.is_empty() && sha.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c)) && !sha.starts_with('-');
    let found =
        plain.then(|| git::text(call.app, project.id, &["rev-parse", "-q", "--verify", &format!("{sha}^{{commit}}")]).ok()).flatten();
    found.ok_or_else(|| message(404, "404 Commit Not Found"))
}

/// `GET /projects/:id/repository/commits/:sha/statuses`
pub fn list(call: &Call<'_>, id: &str, sha: &str) -> Answer {
    let project = call.project(id)?.0;
    let sha = commit(call, &project, sha)?;
    let name = call.text("name")?;
    let all = call.app.store.read(|state| {
        let here = state.statuses.iter().filter(|status| status.project == project.id && status.sha == sha);
        let named =
            here.filter(|status| name.as_deref().is_none_or(|name| status.fields.get("name").and_then(Value::as_str) == Some(name)));
        named.map(|status| Value::Object(status.fields.clone())).collect()
    });
    call.page(all)
}

/// `POST /projects/:id/statuses/:sha`
pub fn post(call: &Call<'_>, id: &str, sha: &str) -> Answer {
    let (project, level) = call.project(id)?;
    if call.method != "POST" {
        return Err(super::nothing());
    }
    if level < DEVELOPER {
        return Err(forbidden());
    }
    if sha.len() != 40 {
        return Err(message(404, "404 Commit Not Found"));
    }
    let sha = commit(call, &project, sha)?;
    let to = call.must("state")?;
    if !STATES.contains(&to.as_str()) {
        return Err(error(400, "state does not have a valid value"));
    }
    let name = call.text("name")?.or(call.text("context")?).unwrap_or_else(|| "default".to_owned());
    let branch = call.text("ref")?.unwrap_or_else(|| branch_of(call, &project, &sha));
    // Of a protected branch only who may change it may say how it is.
    let rules: Vec<_> = project.protected.iter().filter(|rule| access::matches(&rule.name, &branch)).collect();
    let may = |least: u64| least != 0 && level >= least;
    if !rules.is_empty() && !rules.iter().any(|rule| may(rule.push) || may(rule.merge)) {
        return Err(forbidden());
    }
    let (target, description) = (call.text("target_url")?, call.text("description")?);
    if target.as_ref().is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
        return Err(Response::json(400, &json!({"message": {"target_url": ["is blocked: Only allowed schemes are http, https"]}})));
    }
    let author = super::users::basic(&call.identity.user);
    let made = call.app.store.change(|state| {
        let at = now();
        let last = state.statuses.iter_mut().rev().find(|status| {
            status.project == project.id && status.sha == sha && status.fields.get("name") == Some(&json!(name)) && status.fields.get("ref") == Some(&json!(branch))
        });
        let last = last.filter(|status| status.fields.get("status").and_then(Value::as_str).is_some_and(|state| ["pending", "running"].contains(&state)));
        if let Some(status) = last {
            let from = status.fields.get("status").and_then(Value::as_str).unwrap_or_default().to_owned();
            if from == to && to == "running" {
                return Err(message(400, "Cannot transition status via :run from :running (Reason(s): Status cannot transition via \"run\")"));
            }
            status.fields.insert("status".into(), json!(to));
            let over = !["pending", "running"].contains(&to.as_str());
            status.fields.insert(if over { "finished_at" } else { "started_at" }.into(), json!(at));
            status.fields.extend(target.map(|url| ("target_url".to_owned(), json!(url))));
            status.fields.extend(description.map(|text| ("description".to_owned(), json!(text))));
            return Ok(status.fields.clone());
        }
        let id = state.id("ci_builds");
        let over = !["pending", "running"].contains(&to.as_str());
        let fields = json!({
            "id": id, "sha": sha, "ref": branch, "status": to, "name": name, "target_url": target, "description": description, "created_at": at,
            "started_at": if to == "pending" { Value::Null } else { json!(at) }, "finished_at": if over { json!(at) } else { Value::Null },
            "allow_failure": false, "coverage": null, "author": author
        });
        let fields: Map<String, Value> = fields.as_object().cloned().unwrap_or_default();
        state.statuses.push(Status { project: project.id, sha: sha.clone(), fields: fields.clone() });
        Ok(fields)
    });
    Ok(Response::json(201, &Value::Object(made.map_err(broken)??)))
}

fn branch_of(call: &Call<'_>, project: &Project, sha: &str) -> String {
    let found = git::text(call.app, project.id, &["for-each-ref", "--format=%(refname:short)", "--contains", sha, "refs/heads"])
        .unwrap_or_default();
    found.lines().next().unwrap_or(project.text("default_branch")).to_owned()
}

/// What all statuses of a commit come to; `None` when there is none.
pub fn overall(call: &Call<'_>, project: &Project, sha: &str) -> Option<&'static str> {
    call.app.store.read(|state| {
        let mut newest = std::collections::BTreeMap::new();
        for status in state.statuses.iter().filter(|status| status.project == project.id && status.sha == sha) {
            newest.insert(status.fields.get("name")?.to_string(), status.fields.get("status")?.as_str()?.to_owned());
        }
        let any = |word: &str| newest.values().any(|status| status == word);
        match () {
            () if newest.is_empty() => None,
            () if any("running") => Some("running"),
            () if any("pending") => Some("pending"),
            () if any("failed") => Some("failed"),
            () if any("canceled") => Some("canceled"),
            () => Some("success"),
        }
    })
}
