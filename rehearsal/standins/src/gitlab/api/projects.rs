//! Projects, their protected branches and their deploy keys.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Answer, Call, broken, error, groups, message, no_content, nothing};
use crate::common::http::Response;
use crate::common::now;
use crate::gitlab::access::{self, MAINTAINER, OWNER};
use crate::gitlab::state::{Key, Members, Project, Protected};
use crate::gitlab::{git, internal};

/// Fields that the API takes and gives back, with what they are from the start.
fn fields() -> Map<String, Value> {
    let all = json!({
        "description": null, "visibility": "private", "default_branch": "main", "issues_enabled": true, "merge_requests_enabled": true,
        "wiki_enabled": true, "jobs_enabled": true, "snippets_enabled": true, "container_registry_enabled": true,
        "packages_enabled": true, "shared_runners_enabled": true, "auto_devops_enabled": true, "request_access_enabled": true,
        "only_allow_merge_if_pipeline_succeeds": false, "remove_source_branch_after_merge": true, "lfs_enabled": true,
        "builds_access_level": "enabled", "issues_access_level": "enabled", "merge_requests_access_level": "enabled",
        "wiki_access_level": "enabled", "snippets_access_level": "enabled", "container_registry_access_level": "enabled",
        "forking_access_level": "enabled", "pages_access_level": "private", "releases_access_level": "enabled", "environments_access_level": "enabled",
        "feature_flags_access_level": "enabled", "infrastructure_access_level": "enabled", "monitor_access_level": "enabled",
        "model_experiments_access_level": "enabled", "model_registry_access_level": "enabled", "merge_method": "merge", "emails_enabled": true,
        "service_desk_enabled": false, "archived": false
    });
    if let Value::Object(map) = all { map } else { Map::new() }
}

pub fn handle(call: &Call<'_>, words: &[&str]) -> Answer {
    match (call.method, words) {
        ("GET", []) => {
            let user = &call.identity.user;
            let all: Vec<Project> = call
                .app
                .store
                .read(|state| state.projects.iter().filter(|project| access::sees(state, Some(user), project)).cloned().collect());
            let search = call.text("search")?.unwrap_or_default();
            call.page(all.iter().filter(|project| project.path.contains(&search)).map(|project| present(call, project)).collect())
        }
        ("POST", []) => create(call),
        ("GET", [id]) => Ok(Response::json(200, &present(call, &call.project(id)?.0))),
        ("PUT", [id]) => update(call, id),
        ("DELETE", [id]) => delete(call, id),
        (method, [id, "members", rest @ ..]) => {
            let project = if method == "GET" { call.project(id)?.0 } else { call.project_as(id, MAINTAINER)? };
            groups::members(call, rest, &project.members, |state| {
                state.projects.iter_mut().find(|known| known.id == project.id).map(|project| &mut project.members)
            })
        }
        (_, [id, "protected_branches", rest @ ..]) => protected(call, &call.project_as(id, MAINTAINER)?, rest),
        (_, [id, "deploy_keys", rest @ ..]) => deploy_keys(call, &call.project_as(id, MAINTAINER)?, rest),
        _ => Err(nothing()),
    }
}

pub fn present(call: &Call<'_>, project: &Project) -> Value {
    let (full, app) = (project.full_path(), call.app);
    let empty = git::is_empty(app, project.id);
    let mut value = json!({
        "id": project.id, "name": project.name, "path": project.path, "path_with_namespace": full,
        "name_with_namespace": format!("{} / {}", project.namespace, project.name), "created_at": project.created_at,
        "last_activity_at": project.last_activity_at, "web_url": app.url(&full), "http_url_to_repo": format!("{}.git", app.url(&full)),
        "ssh_url_to_repo": format!("git@{}:{full}.git", app.config.host()), "readme_url": null, "avatar_url": null, "empty_repo": empty,
        "namespace": {"name": project.namespace, "path": project.namespace, "full_path": project.namespace, "kind": "group"},
    });
    if let Some(map) = value.as_object_mut() {
        map.extend(project.fields.clone());
        if empty {
            map.insert("default_branch".to_owned(), project.fields.get("default_branch").cloned().unwrap_or_default());
        }
    }
    value
}

/// The fields among the parameters.
fn given(call: &Call<'_>) -> Result<Map<String, Value>, Response> {
    let mut found = Map::new();
    for (name, default) in fields() {
        let value = match default {
            Value::Bool(_) => call.flag(&name)?.map(Value::Bool),
            _ => call.text(&name)?.map(Value::String),
        };
        if name == "visibility"
            && let Some(Value::String(text)) = &value
        {
            super::visibility(text)?;
        }
        if name.ends_with("_access_level")
            && let Some(Value::String(text)) = &value
            && !["disabled", "private", "enabled", "public"].contains(&text.as_str())
        {
            return Err(error(400, &format!("{name} does not have a valid value")));
        }
        found.extend(value.map(|value| (name, value)));
    }
    Ok(found)
}

fn create(call: &Call<'_>) -> Answer {
    let (name, path) = (call.text("name")?, call.text("path")?);
    let (Some(name), Some(path)) = (name.clone().or_else(|| path.clone()), path.or(name)) else {
        return Err(error(400, "name, path are missing, at least one parameter must be provided"));
    };
    let (me, given) = (&call.identity.user, given(call)?);
    let namespace = match call.number("namespace_id")? {
        None => me.username.clone(),
        Some(id) => {
            let group = call.app.store.read(|state| state.groups.iter().find(|group| group.id == id).cloned());
            let group = group.ok_or_else(|| Response::json(400, &json!({"message": {"namespace": ["is not valid"]}})))?;
            if !me.admin && group.members.get(&me.id).is_none_or(|level| *level < 30) {
                return Err(Response::json(400, &json!({"message": {"namespace": ["is not valid"]}})));
            }
            group.path
        }
    };
    if !super::is_path(&path) {
        return Err(Response::json(
            400,
            &json!({"message": {"path": ["can contain only letters, digits, '_', '-' and '.'. Cannot start with '-', end in '.git' or end in '.atom'"]}}),
        ));
    }
    let made = call.app.store.change(|state| {
        if state.projects.iter().any(|project| project.namespace == namespace && (project.path == path || project.name == name)) {
            let taken = json!(["has already been taken"]);
            return Err(Response::json(400, &json!({"message": {"project_namespace.name": taken, "name": taken, "path": taken}})));
        }
        let id = state.id("projects");
        let mut all = fields();
        all.extend(given);
        let at = now();
        let project = Project {
            id,
            namespace,
            path,
            name,
            fields: all,
            members: Members::new(),
            protected: Vec::new(),
            created_at: at.clone(),
            last_activity_at: at,
        };
        state.projects.push(project.clone());
        Ok(project)
    });
    let project = made.map_err(broken)??;
    git::create(call.app, project.id, project.text("default_branch")).map_err(broken)?;
    Ok(Response::json(201, &present(call, &project)))
}

fn update(call: &Call<'_>, id: &str) -> Answer {
    let project = call.project_as(id, MAINTAINER)?;
    let (given, name) = (given(call)?, call.text("name")?);
    if let Some(Value::String(branch)) = given.get("default_branch")
        && !git::is_empty(call.app, project.id)
        && git::text(call.app, project.id, &["rev-parse", "-q", "--verify", &format!("refs/heads/{branch}")]).is_err()
    {
        return Err(Response::json(400, &json!({"message": {"base": ["Could not change HEAD: branch does not exist"]}})));
    }
    if let Some(Value::String(branch)) = given.get("default_branch") {
        git::text(call.app, project.id, &["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")]).map_err(broken)?;
    }
    let changed = call.app.store.change(|state| {
        let project = state.projects.iter_mut().find(|known| known.id == project.id)?;
        project.fields.extend(given);
        project.name = name.unwrap_or_else(|| project.name.clone());
        Some(project.clone())
    });
    let project = changed.map_err(broken)?.ok_or_else(|| message(404, "404 Project Not Found"))?;
    Ok(Response::json(200, &present(call, &project)))
}

fn delete(call: &Call<'_>, id: &str) -> Answer {
    let project = call.project_as(id, OWNER)?;
    let gone = call.app.store.change(|state| {
        state.projects.retain(|known| known.id != project.id);
        state.hooks.retain(|hook| hook.project != project.id);
        state.statuses.retain(|status| status.project != project.id);
        state.keys.iter_mut().for_each(|key| {
            key.projects.remove(&project.id);
        });
        state.keys.retain(|key| !key.projects.is_empty());
    });
    gone.map_err(broken)?;
    std::fs::remove_dir_all(call.app.paths.repository(project.id)).map_err(broken)?;
    internal::write_authorized_keys(call.app).map_err(broken)?;
    Ok(message(202, "202 Accepted"))
}

fn words_of(level: u64) -> &'static str {
    match level {
        0 => "No one",
        30 => "Developers + Maintainers",
        60 => "Administrators",
        _ => "Maintainers",
    }
}

fn rule(protected: &Protected) -> Value {
    let level = |level: u64| json!([{"id": protected.id, "access_level": level, "access_level_description": words_of(level), "deploy_key_id": null, "user_id": null, "group_id": null}]);
    json!({
        "id": protected.id, "name": protected.name, "push_access_levels": level(protected.push), "merge_access_levels": level(protected.merge),
        "allow_force_push": protected.force
    })
}

fn protected(call: &Call<'_>, project: &Project, words: &[&str]) -> Answer {
    let absent = || message(404, "404 Not found");
    let found = |name: &str| project.protected.iter().find(|rule| rule.name == name).ok_or_else(absent);
    match (call.method, words) {
        ("GET", []) => call.page(project.protected.iter().map(rule).collect()),
        ("GET", [name]) => Ok(Response::json(200, &rule(found(name)?))),
        ("POST", []) => {
            let name = call.must("name")?;
            let level = |field: &str| match call.number(field)? {
                None => Ok(MAINTAINER),
                Some(level) if [0, 30, 40, 60].contains(&level) => Ok(level),
                Some(_) => Err(error(400, &format!("{field} does not have a valid value"))),
            };
            let (push, merge, force) =
                (level("push_access_level")?, level("merge_access_level")?, call.flag("allow_force_push")?.unwrap_or(false));
            if project.protected.iter().any(|rule| rule.name == name) {
                return Err(message(409, &format!("Protected branch '{name}' already exists")));
            }
            let made = call.app.store.change(|state| {
                let id = state.id("protected_branches");
                let made = Protected { id, name, push, merge, force };
                state.projects.iter_mut().find(|known| known.id == project.id)?.protected.push(made.clone());
                Some(made)
            });
            Ok(Response::json(201, &rule(&made.map_err(broken)?.ok_or_else(absent)?)))
        }
        ("PATCH", [name]) => {
            let (id, force) = (found(name)?.id, call.flag("allow_force_push")?);
            let changed = call.app.store.change(|state| {
                let project = state.projects.iter_mut().find(|known| known.id == project.id)?;
                let rule = project.protected.iter_mut().find(|rule| rule.id == id)?;
                rule.force = force.unwrap_or(rule.force);
                Some(rule.clone())
            });
            Ok(Response::json(200, &rule(&changed.map_err(broken)?.ok_or_else(absent)?)))
        }
        ("DELETE", [name]) => {
            let id = found(name)?.id;
            let gone = call.app.store.change(|state| {
                state
                    .projects
                    .iter_mut()
                    .filter(|known| known.id == project.id)
                    .for_each(|project| project.protected.retain(|rule| rule.id != id));
            });
            gone.map_err(broken)?;
            no_content()
        }
        _ => Err(nothing()),
    }
}

fn deploy_keys(call: &Call<'_>, project: &Project, words: &[&str]) -> Answer {
    let show = |key: &Key| {
        json!({
            "id": key.id, "title": key.title, "key": key.key, "created_at": key.created_at, "expires_at": null,
            "can_push": key.projects.get(&project.id).copied().unwrap_or(false)
        })
    };
    let absent = || message(404, "404 Deploy Key Not Found");
    let here = |id: &str| {
        let found = call
            .app
            .store
            .read(|state| state.keys.iter().find(|key| key.id.to_string() == id && key.projects.contains_key(&project.id)).cloned());
        found.ok_or_else(absent)
    };
    match (call.method, words) {
        ("GET", []) => {
            let keys =
                call.app.store.read(|state| state.keys.iter().filter(|key| key.projects.contains_key(&project.id)).map(show).collect());
            call.page(keys)
        }
        ("GET", [id]) => Ok(Response::json(200, &show(&here(id)?))),
        ("POST", []) => {
            let (title, text, push) = (call.must("title")?, call.must("key")?, call.flag("can_push")?.unwrap_or(false));
            let text = text.trim().to_owned();
            let mut parts = text.split_whitespace();
            let (kind, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let known = ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"].contains(&kind);
            if !known || body.len() < 40 || text.contains(['\n', '"']) {
                return Err(Response::json(400, &json!({"message": {"fingerprint": ["cannot be generated"], "key": ["is invalid"]}})));
            }
            let made = call.app.store.change(|state| {
                // The same key again is the same key, also in another project.
                if let Some(key) = state.keys.iter_mut().find(|key| key.key.split_whitespace().nth(1) == Some(body)) {
                    key.projects.entry(project.id).or_insert(push);
                    return key.clone();
                }
                let id = state.id("keys");
                let key = Key { id, title, key: text.clone(), projects: BTreeMap::from([(project.id, push)]), created_at: now() };
                state.keys.push(key.clone());
                key
            });
            let made = made.map_err(broken)?;
            internal::write_authorized_keys(call.app).map_err(broken)?;
            Ok(Response::json(201, &show(&made)))
        }
        ("PUT", [id]) => {
            let (key, title, push) = (here(id)?, call.text("title")?, call.flag("can_push")?);
            if title.is_none() && push.is_none() {
                return Err(error(400, "title, can_push are missing, at least one parameter must be provided"));
            }
            let changed = call.app.store.change(|state| {
                let key = state.keys.iter_mut().find(|known| known.id == key.id)?;
                key.title = title.unwrap_or_else(|| key.title.clone());
                key.projects.extend(push.map(|push| (project.id, push)));
                Some(key.clone())
            });
            Ok(Response::json(200, &show(&changed.map_err(broken)?.ok_or_else(absent)?)))
        }
        ("DELETE", [id]) => {
            let key = here(id)?;
            let gone = call.app.store.change(|state| {
                state.keys.iter_mut().filter(|known| known.id == key.id).for_each(|key| {
                    key.projects.remove(&project.id);
                });
                state.keys.retain(|key| !key.projects.is_empty());
            });
            gone.map_err(broken)?;
            internal::write_authorized_keys(call.app).map_err(broken)?;
            no_content()
        }
        _ => Err(nothing()),
    }
}

/// What GitLab does after the first push to the default branch: it protects it, unless it is protected already.
pub fn protect_default(app: &crate::gitlab::app::App, project: &Project, branch: &str) {
    if project.text("default_branch") != branch || project.protected.iter().any(|rule| access::matches(&rule.name, branch)) {
        return;
    }
    let _ = app.store.change(|state| {
        let id = state.id("protected_branches");
        if let Some(project) = state.projects.iter_mut().find(|known| known.id == project.id) {
            project.protected.push(Protected { id, name: branch.to_owned(), push: MAINTAINER, merge: MAINTAINER, force: false });
        }
    });
}
