//! Users and their tokens.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{Answer, Call, broken, error, message, no_content, nothing};
use crate::common::http::Response;
use crate::common::{date, now};
use crate::gitlab::app::hash;
use crate::gitlab::config::weak;
use crate::gitlab::state::{Token, User};

pub fn handle(call: &Call<'_>, words: &[&str]) -> Answer {
    match (call.method, words) {
        ("GET", ["user"]) => Ok(Response::json(200, &whole(&call.identity.user))),
        ("GET", ["users"]) => list(call),
        ("POST", ["users"]) => create(call),
        ("GET", ["users", id]) => {
            let user = by_id(call, id)?;
            Ok(Response::json(200, &if call.identity.user.admin { whole(&user) } else { basic(&user) }))
        }
        ("PUT", ["users", id]) => update(call, id),
        ("POST", ["users", id, verb @ ("block" | "unblock")]) => {
            call.admin()?;
            let user = by_id(call, id)?;
            let state = if *verb == "block" { "blocked" } else { "active" };
            change(call, user.id, |user| state.clone_into(&mut user.state))?;
            Ok(Response::json(201, &json!(true)))
        }
        ("DELETE", ["users", id]) => {
            call.admin()?;
            let user = by_id(call, id)?;
            let gone = call.app.store.change(|state| {
                state.users.retain(|known| known.id != user.id);
                state.tokens.retain(|token| token.user != user.id);
                state.groups.iter_mut().for_each(|group| {
                    group.members.remove(&user.id);
                });
                state.projects.iter_mut().for_each(|project| {
                    project.members.remove(&user.id);
                });
            });
            gone.map_err(broken)?;
            no_content()
        }
        ("GET", ["personal_access_tokens"]) => {
            let own = (!call.identity.user.admin).then_some(call.identity.user.id);
            let wanted = own.or(call.number("user_id")?);
            let tokens = call
                .app
                .store
                .read(|state| state.tokens.iter().filter(|token| wanted.is_none_or(|user| token.user == user)).map(present).collect());
            call.page(tokens)
        }
        ("GET", ["personal_access_tokens", "self"]) => {
            let own = call.identity.token.as_ref().map(|(id, _)| *id);
            let token = call.app.store.read(|state| state.tokens.iter().find(|token| Some(token.id) == own).map(present));
            token.map(|token| Response::json(200, &token)).ok_or_else(|| message(404, "404 Not found"))
        }
        ("DELETE", ["personal_access_tokens", id]) => revoke(call, id),
        _ => Err(nothing()),
    }
}

fn revoke(call: &Call<'_>, id: &str) -> Answer {
    let (me, admin) = (call.identity.user.id, call.identity.user.admin);
    let own = call.identity.token.as_ref().map(|(id, _)| id.to_string());
    let id = if id == "self" { own.unwrap_or_default() } else { id.to_owned() };
    let found = call.app.store.change(|state| {
        let token = state.tokens.iter_mut().find(|token| token.id.to_string() == id && (admin || token.user == me));
        token.map(|token| token.revoked = true).is_some()
    });
    if found.map_err(broken)? { no_content() } else { Err(message(404, "404 Not found")) }
}

fn present(token: &Token) -> Value {
    let active = !token.revoked && token.expires_at > date(OffsetDateTime::now_utc());
    json!({
        "id": token.id, "name": token.name, "revoked": token.revoked, "created_at": token.created_at, "description": null,
        "scopes": token.scopes, "user_id": token.user, "last_used_at": null, "active": active, "expires_at": token.expires_at
    })
}

pub fn basic(user: &User) -> Value {
    json!({"id": user.id, "username": user.username, "name": user.name, "state": user.state, "locked": false, "avatar_url": null, "web_url": ""})
}

fn whole(user: &User) -> Value {
    json!({
        "id": user.id, "username": user.username, "name": user.name, "state": user.state, "locked": false, "avatar_url": null,
        "created_at": user.created_at, "email": user.email, "commit_email": user.email, "public_email": "", "bot": false,
        "is_admin": user.admin, "external": user.external, "can_create_group": user.can_create_group,
        "can_create_project": user.projects_limit > 0, "projects_limit": user.projects_limit, "two_factor_enabled": false,
        "confirmed_at": user.created_at, "private_profile": false, "note": null
    })
}

fn by_id(call: &Call<'_>, id: &str) -> Result<User, Response> {
    let found = call.app.store.read(|state| state.users.iter().find(|user| user.id.to_string() == id).cloned());
    found.ok_or_else(|| message(404, "404 User Not Found"))
}

fn list(call: &Call<'_>) -> Answer {
    let (name, search) = (call.text("username")?, call.text("search")?);
    let admin = call.identity.user.admin;
    let users = call.app.store.read(|state| {
        let wanted = |user: &&User| {
            name.as_ref().is_none_or(|name| user.username.eq_ignore_ascii_case(name))
                && search
                    .as_ref()
                    .is_none_or(|text| user.username.contains(text.as_str()) || user.name.contains(text.as_str()) || user.email == *text)
        };
        state.users.iter().filter(wanted).map(|user| if admin { whole(user) } else { basic(user) }).collect()
    });
    call.page(users)
}

fn create(call: &Call<'_>) -> Answer {
    call.admin()?;
    let (email, name, username) = (call.must("email")?, call.must("name")?, call.must("username")?);
    let Some(password) = call.text("password")? else {
        return Err(error(400, "password, reset_password, force_random_password are missing, at least one parameter must be provided"));
    };
    if !super::is_path(&username) {
        return Err(Response::json(
            400,
            &json!({"message": {"username": ["can contain only letters, digits, '_', '-', '.'. Cannot start with '-', end in '.git' or end in '.atom'"]}}),
        ));
    }
    if let Some(why) = weak(&password, &username) {
        return Err(Response::json(400, &json!({"message": {"password": [why]}})));
    }
    let password = hash(&password).map_err(broken)?;
    let (admin, external) = (call.flag("admin")?.unwrap_or(false), call.flag("external")?.unwrap_or(false));
    let (can_create_group, projects_limit) =
        (call.flag("can_create_group")?.unwrap_or(true), call.number("projects_limit")?.unwrap_or(100_000));
    let made = call.app.store.change(|state| {
        if state.users.iter().any(|user| user.email == email) {
            return Err(message(409, "Email has already been taken"));
        }
        if state.users.iter().any(|user| user.username.eq_ignore_ascii_case(&username))
            || state.groups.iter().any(|group| group.path == username)
        {
            return Err(message(409, "Username has already been taken"));
        }
        let id = state.id("users");
        let user = User {
            id,
            username,
            name,
            email,
            password,
            password_expired: false,
            admin,
            state: "active".into(),
            external,
            can_create_group,
            projects_limit,
            created_at: now(),
        };
        state.users.push(user.clone());
        Ok(user)
    });
    Ok(Response::json(201, &whole(&made.map_err(broken)??)))
}

fn update(call: &Call<'_>, id: &str) -> Answer {
    call.admin()?;
    let user = by_id(call, id)?;
    let (name, email) = (call.text("name")?, call.text("email")?);
    let (admin, external, can_create_group) = (call.flag("admin")?, call.flag("external")?, call.flag("can_create_group")?);
    let limit = call.number("projects_limit")?;
    let password = match call.text("password")? {
        None => None,
        Some(password) => match weak(&password, &user.username) {
            Some(why) => return Err(Response::json(400, &json!({"message": {"password": [why]}}))),
            None => Some(hash(&password).map_err(broken)?),
        },
    };
    // An administrator who changes somebody's password makes it one that must be changed at the next login.
    let expired = user.id != call.identity.user.id;
    let changed = change(call, user.id, |user| {
        if let Some(name) = name {
            user.name = name;
        }
        if let Some(email) = email {
            user.email = email;
        }
        if let Some(password) = password {
            (user.password, user.password_expired) = (password, expired);
        }
        user.admin = admin.unwrap_or(user.admin);
        user.external = external.unwrap_or(user.external);
        user.can_create_group = can_create_group.unwrap_or(user.can_create_group);
        user.projects_limit = limit.unwrap_or(user.projects_limit);
    })?;
    Ok(Response::json(200, &whole(&changed)))
}

fn change(call: &Call<'_>, id: u64, edit: impl FnOnce(&mut User)) -> Result<User, Response> {
    let changed = call.app.store.change(|state| {
        let user = state.users.iter_mut().find(|user| user.id == id)?;
        edit(user);
        Some(user.clone())
    });
    changed.map_err(broken)?.ok_or_else(|| message(404, "404 User Not Found"))
}
