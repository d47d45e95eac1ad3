//! The REST API: status codes and words are those of GitLab 17.

mod groups;
mod hooks;
mod projects;
mod repository;
mod settings;
mod statuses;
#[cfg(test)]
mod tests;
mod users;

pub use projects::protect_default;
use serde_json::{Map, Value, json};

use super::access::{self, Identity};
use super::app::{App, VERSION};
use super::state::{Project, State};
use crate::common::http::{Request, Response};

/// An answer, or an answer that refuses.
type Answer = Result<Response, Response>;

/// One call: who asks, and with which parameters.
struct Call<'a> {
    app: &'a App,
    method: &'a str,
    identity: Identity,
    parameters: Map<String, Value>,
}

/// Answers a request below /api/v4.
pub fn handle(app: &App, request: &Request, words: &[&str]) -> Response {
    route(app, request, words).unwrap_or_else(|refused| refused)
}

fn route(app: &App, request: &Request, words: &[&str]) -> Answer {
    let identity = access::of_api(app, request)?;
    let identity = identity.ok_or_else(|| message(401, "401 Unauthorized"))?;
    let parameters = request.parameters().ok_or_else(|| error(400, "The request body is not valid JSON"))?;
    let call = Call { app, method: &request.method, identity, parameters };
    match words {
        ["version" | "metadata"] if call.method == "GET" => {
            Ok(Response::json(200, &json!({"version": VERSION, "revision": "rehearsal", "enterprise": false, "kas": {"enabled": false}})))
        }
        ["user"] | ["users", ..] | ["personal_access_tokens", ..] => users::handle(&call, words),
        ["groups", rest @ ..] => groups::handle(&call, rest),
        ["application", "settings"] => settings::handle(&call),
        ["projects"] => projects::handle(&call, &[]),
        ["projects", id, rest @ ..] => match rest {
            ["hooks", rest @ ..] => hooks::handle(&call, id, rest),
            ["repository", "commits", sha, "statuses"] => statuses::list(&call, id, sha),
            ["statuses", sha] => statuses::post(&call, id, sha),
            ["repository", rest @ ..] => repository::handle(&call, id, rest),
            _ => projects::handle(&call, &words[1..]),
        },
        _ => Err(nothing()),
    }
}

/// `{"message": …}`
fn message(status: u16, text: &str) -> Response {
    Response::json(status, &json!({"message": text}))
}

/// `{"error": …}`
fn error(status: u16, text: &str) -> Response {
    Response::json(status, &json!({"error": text}))
}

/// No such route.
fn nothing() -> Response {
    error(404, "404 Not Found")
}

fn forbidden() -> Response {
    message(403, "403 Forbidden")
}

/// The state could not be written: a defect of the rehearsal.
fn broken(why: impl std::fmt::Display) -> Response {
    Response::json(500, &json!({"message": format!("500 Internal Server Error (rehearsal: {why})")}))
}

fn no_content() -> Answer {
    Ok(Response { status: 204, ..Response::default() })
}

impl Call<'_> {
    /// Refuses everybody but administrators.
    fn admin(&self) -> Result<(), Response> {
        if self.identity.user.admin { Ok(()) } else { Err(forbidden()) }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.parameters.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Result<Option<String>, Response> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Bool(flag)) => Ok(Some(flag.to_string())),
            Some(_) => Err(error(400, &format!("{name} is invalid"))),
        }
    }

    fn must(&self, name: &str) -> Result<String, Response> {
        self.text(name)?.ok_or_else(|| error(400, &format!("{name} is missing")))
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Response> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) if text == "true" || text == "1" => Ok(Some(true)),
            Some(Value::String(text)) if text == "false" || text == "0" => Ok(Some(false)),
            Some(_) => Err(error(400, &format!("{name} is invalid"))),
        }
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Response> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => {
                let read = value.as_u64().or_else(|| value.as_str()?.parse().ok());
                read.map(Some).ok_or_else(|| error(400, &format!("{name} is invalid")))
            }
        }
    }

    /// One page of a list.
    fn page(&self, all: Vec<Value>) -> Answer {
        let per_page = self.number("per_page")?.unwrap_or(20).clamp(1, 100) as usize;
        let page = self.number("page")?.unwrap_or(1).max(1) as usize;
        let total = all.len();
        let pages = total.div_ceil(per_page).max(1);
        let items: Vec<Value> = all.into_iter().skip((page - 1) * per_page).take(per_page).collect();
        let next = if page < pages { (page + 1).to_string() } else { String::new() };
        Ok(Response::json(200, &Value::Array(items))
            .with("X-Page", page.to_string())
            .with("X-Per-Page", per_page.to_string())
            .with("X-Next-Page", next)
            .with("X-Total", total.to_string())
            .with("X-Total-Pages", pages.to_string()))
    }

    /// A project by number or path, as far as the caller may see it, and the caller's level in it.
    fn project(&self, id: &str) -> Result<(Project, u64), Response> {
        let user = &self.identity.user;
        let found = self.app.store.read(|state| {
            let project = find(state, id).filter(|project| access::sees(state, Some(user), project))?;
            Some((project.clone(), access::level(state, user, project)))
        });
        found.ok_or_else(|| message(404, "404 Project Not Found"))
    }

    /// The same for who has at least this level.
    fn project_as(&self, id: &str, least: u64) -> Result<Project, Response> {
        let (project, level) = self.project(id)?;
        if level >= least { Ok(project) } else { Err(forbidden()) }
    }
}

fn find<'s>(state: &'s State, id: &str) -> Option<&'s Project> {
    state.projects.iter().find(|project| project.id.to_string() == id || project.full_path() == id)
}

/// Whether a path segment is one that GitLab takes.
fn is_path(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let ends = text.ends_with(".git") || text.ends_with(".atom") || text.ends_with('.');
    !text.is_empty() && !text.starts_with(['-', '.']) && !ends && text.chars().all(plain)
}

/// A visibility, if it is one.
fn visibility(text: &str) -> Result<(), Response> {
    if ["private", "internal", "public"].contains(&text) { Ok(()) } else { Err(error(400, "visibility does not have a valid value")) }
}
