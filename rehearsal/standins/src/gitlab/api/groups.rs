//! Groups, and members of groups and projects.

use serde_json::{Value, json};

use super::{Answer, Call, broken, error, forbidden, message, no_content, nothing};
use crate::common::http::Response;
use crate::common::now;
use crate::gitlab::access::{GUEST, MAINTAINER, OWNER};
use crate::gitlab::state::{Group, Members, State, User};

pub fn handle(call: &Call<'_>, words: &[&str]) -> Answer {
    match (call.method, words) {
        ("GET", []) => {
            let groups = call.app.store.read(|state| {
                state.groups.iter().filter(|group| sees(&call.identity.user, group)).map(|group| present(call, group)).collect()
            });
            call.page(groups)
        }
        ("POST", []) => create(call),
        ("GET", [id]) => Ok(Response::json(200, &present(call, &get(call, id)?))),
        ("PUT", [id]) => update(call, id),
        ("DELETE", [id]) => {
            let group = owned(call, id)?;
            let gone = call.app.store.change(|state| {
                state.groups.retain(|known| known.id != group.id);
                state.projects.retain(|project| project.namespace != group.path);
            });
            gone.map_err(broken)?;
            Ok(message(202, "202 Accepted"))
        }
        (_, [id, "members", rest @ ..]) => {
            let group = if call.method == "GET" { get(call, id)? } else { owned(call, id)? };
            members(call, rest, &group.members, |state| {
                state.groups.iter_mut().find(|known| known.id == group.id).map(|group| &mut group.members)
            })
        }
        _ => Err(nothing()),
    }
}

fn sees(user: &User, group: &Group) -> bool {
    user.admin || group.visibility != "private" || group.members.contains_key(&user.id)
}

fn get(call: &Call<'_>, id: &str) -> Result<Group, Response> {
    let found = call.app.store.read(|state| state.groups.iter().find(|group| group.id.to_string() == id || group.path == id).cloned());
    found.filter(|group| sees(&call.identity.user, group)).ok_or_else(|| message(404, "404 Group Not Found"))
}

fn owned(call: &Call<'_>, id: &str) -> Result<Group, Response> {
    let group = get(call, id)?;
    let user = &call.identity.user;
    if user.admin || group.members.get(&user.id) == Some(&OWNER) { Ok(group) } else { Err(forbidden()) }
}

fn present(call: &Call<'_>, group: &Group) -> Value {
    json!({
        "id": group.id, "web_url": call.app.url(&format!("groups/{}", group.path)), "name": group.name, "path": group.path,
        "description": group.description, "visibility": group.visibility, "full_name": group.name, "full_path": group.path,
        "parent_id": null, "created_at": group.created_at, "request_access_enabled": true, "avatar_url": null
    })
}

fn create(call: &Call<'_>) -> Answer {
    let (name, path) = (call.must("name")?, call.must("path")?);
    let visibility = call.text("visibility")?.unwrap_or_else(|| "private".to_owned());
    super::visibility(&visibility)?;
    if !call.identity.user.admin && !call.identity.user.can_create_group {
        return Err(forbidden());
    }
    if !super::is_path(&path) {
        return Err(message(400, "Failed to save group {:path=>[\"can contain only letters, digits, '_', '-', '.'\"]}"));
    }
    let description = call.text("description")?.unwrap_or_default();
    let me = call.identity.user.id;
    let made = call.app.store.change(|state| {
        if state.groups.iter().any(|group| group.path == path) || state.users.iter().any(|user| user.username == path) {
            return Err(message(400, "Failed to save group {:path=>[\"has already been taken\"]}"));
        }
        let id = state.id("namespaces");
        let group = Group { id, path, name, description, visibility, members: Members::from([(me, OWNER)]), created_at: now() };
        state.groups.push(group.clone());
        Ok(group)
    });
    Ok(Response::json(201, &present(call, &made.map_err(broken)??)))
}

fn update(call: &Call<'_>, id: &str) -> Answer {
    let group = owned(call, id)?;
    let (name, description, visibility) = (call.text("name")?, call.text("description")?, call.text("visibility")?);
    visibility.as_deref().map_or(Ok(()), super::visibility)?;
    let changed = call.app.store.change(|state| {
        let group = state.groups.iter_mut().find(|known| known.id == group.id)?;
        group.name = name.unwrap_or_else(|| group.name.clone());
        group.description = description.unwrap_or_else(|| group.description.clone());
        group.visibility = visibility.unwrap_or_else(|| group.visibility.clone());
        Some(group.clone())
    });
    let group = changed.map_err(broken)?.ok_or_else(|| message(404, "404 Group Not Found"))?;
    Ok(Response::json(200, &present(call, &group)))
}

/// Members of a group or a project; whether the caller may change them is known already.
pub fn members(call: &Call<'_>, words: &[&str], members: &Members, of: impl FnOnce(&mut State) -> Option<&mut Members>) -> Answer {
    let show = |id: &u64, level: &u64| {
        let user = call.app.store.read(|state| state.users.iter().find(|user| user.id == *id).cloned())?;
        let mut value = super::users::basic(&user);
        value["access_level"] = json!(level);
        value["expires_at"] = Value::Null;
        value["membership_state"] = json!("active");
        Some(value)
    };
    let absent = || message(404, "404 Not found");
    let level = || match call.number("access_level")? {
        None => Err(error(400, "access_level is missing")),
        Some(level) if [5, GUEST, 15, 20, 30, MAINTAINER, OWNER].contains(&level) => Ok(level),
        Some(_) => Err(Response::json(400, &json!({"message": {"access_level": ["is not included in the list"]}}))),
    };
    match (call.method, words) {
        ("GET", [] | ["all"]) => {
            let query = call.text("query")?.unwrap_or_default();
            let all = members.iter().filter_map(|(id, level)| show(id, level));
            call.page(all.filter(|member| member["username"].as_str().is_some_and(|name| name.contains(&query))).collect())
        }
        ("GET", [id] | ["all", id]) => {
            let found = members.iter().find(|(member, _)| member.to_string() == *id).and_then(|(id, level)| show(id, level));
            found.map(|member| Response::json(200, &member)).ok_or_else(absent)
        }
        ("POST", []) => {
            let id = match (call.number("user_id")?, call.text("username")?) {
                (Some(id), _) => Some(id),
                (None, Some(name)) => {
                    call.app.store.read(|state| state.users.iter().find(|user| user.username == name).map(|user| user.id))
                }
                (None, None) => return Err(error(400, "user_id, username are missing, at least one parameter must be provided")),
            };
            let known = id.filter(|id| call.app.store.read(|state| state.users.iter().any(|user| user.id == *id)));
            let id = known.ok_or_else(|| message(404, "404 User Not Found"))?;
            let level = level()?;
            if members.contains_key(&id) {
                return Err(message(409, "Member already exists"));
            }
            call.app.store.change(|state| of(state).map(|members| members.insert(id, level))).map_err(broken)?;
            show(&id, &level).map(|member| Response::json(201, &member)).ok_or_else(absent)
        }
        ("PUT", [id]) => {
            let (id, level) = (id.parse().map_err(|_| absent())?, level()?);
            if !members.contains_key(&id) {
                return Err(absent());
            }
            call.app.store.change(|state| of(state).map(|members| members.insert(id, level))).map_err(broken)?;
            show(&id, &level).map(|member| Response::json(200, &member)).ok_or_else(absent)
        }
        ("DELETE", [id]) => {
            let id: u64 = id.parse().map_err(|_| absent())?;
            if !members.contains_key(&id) {
                return Err(absent());
            }
            call.app.store.change(|state| of(state).map(|members| members.remove(&id))).map_err(broken)?;
            no_content()
        }
        _ => Err(nothing()),
    }
}
