//! Who asks, and what they may.

use base64::Engine as _;
use serde_json::json;
use time::OffsetDateTime;

use super::app::App;
use super::state::{Project, State, User};
use crate::common::http::{Request, Response};
use crate::common::{date, sha256};

/// Access levels.
pub const GUEST: u64 = 10;
/// May read code.
pub const REPORTER: u64 = 20;
/// May push to what is not protected.
pub const DEVELOPER: u64 = 30;
/// May change settings.
pub const MAINTAINER: u64 = 40;
/// May do everything.
pub const OWNER: u64 = 50;

/// Who asks, by a token of these scopes, or by a password.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The user.
    pub user: User,
    /// The token; none: by password.
    pub token: Option<(u64, Vec<String>)>,
}

impl Identity {
    /// Whether the token has one of these scopes; a password has all.
    pub fn has(&self, scopes: &[&str]) -> bool {
        self.token.as_ref().is_none_or(|(_, has)| has.iter().any(|scope| scopes.contains(&scope.as_str())))
    }
}

fn unauthorized() -> Response {
    Response::json(401, &json!({"message": "401 Unauthorized"}))
}

fn invalid(why: &str) -> Response {
    Response::json(401, &json!({"error": "invalid_token", "error_description": why}))
}

/// Who asks the API; an answer when it must be refused. `None`: nobody in particular.
pub fn of_api(app: &App, request: &Request) -> Result<Option<Identity>, Response> {
    let bearer = request.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
    let by_query =
        form_urlencoded::parse(request.query.as_bytes()).find(|(key, _)| key == "private_token").map(|(_, value)| value.into_owned());
    let token = [request.header("private-token"), bearer].into_iter().find(|text| !text.is_empty()).map(str::to_owned).or(by_query);
    let Some(token) = token else { return Ok(None) };
    let identity = app.store.read(|state| by_token(state, &token))?;
    let writes = request.method != "GET" && request.method != "HEAD";
    if !identity.has(if writes { &["api"] } else { &["api", "read_api"] }) {
        let what = json!({
            "error": "insufficient_scope", "error_description": "The request requires higher privileges than provided by the access token.",
            "scope": if writes { "api" } else { "api read_api" },
        });
        return Err(Response::json(403, &what));
    }
    Ok(Some(identity))
}

/// The user of a token; an answer when it is good for nothing.
fn by_token(state: &State, token: &str) -> Result<Identity, Response> {
    let digest = sha256(token.as_bytes());
    let found = state.tokens.iter().find(|token| token.digest == digest).ok_or_else(unauthorized)?;
    if found.revoked {
        return Err(invalid("Token was revoked. You have to re-authorize from the user."));
    }
    if found.expires_at <= date(OffsetDateTime::now_utc()) {
        return Err(invalid("Token is expired. You can either do re-authorization or token refresh."));
    }
    let user = state.users.iter().find(|user| user.id == found.user).ok_or_else(unauthorized)?;
    if user.state != "active" {
        return Err(Response::json(403, &json!({"message": "403 Forbidden - Your account has been blocked."})));
    }
    Ok(Identity { user: user.clone(), token: Some((found.id, found.scopes.clone())) })
}

/// Who asks git over HTTPS: user and password, or any user and a token. `None`: nobody who is known.
pub fn of_git(app: &App, request: &Request) -> Option<Identity> {
    let encoded = request.header("authorization").strip_prefix("Basic ")?;
    let text = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(encoded).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    if let Ok(identity) = app.store.read(|state| by_token(state, password)) {
        return Some(identity);
    }
    let user = app.store.read(|state| state.users.iter().find(|user| user.username == name || user.email == name).cloned())?;
    let good = user.state == "active" && !user.password_expired && bcrypt::verify(password, &user.password).unwrap_or(false);
    good.then_some(Identity { user, token: None })
}

/// A user's access level in a project; 0: none.
pub fn level(state: &State, user: &User, project: &Project) -> u64 {
    if user.admin {
        return OWNER;
    }
    let group = state.groups.iter().find(|group| group.path == project.namespace).and_then(|group| group.members.get(&user.id));
    let own = if project.namespace == user.username { OWNER } else { 0 };
    [project.members.get(&user.id), group].into_iter().flatten().copied().max().unwrap_or(0).max(own)
}

/// Whether somebody may see a project at all.
pub fn sees(state: &State, user: Option<&User>, project: &Project) -> bool {
    match (project.text("visibility"), user) {
        ("public", _) => true,
        ("internal", Some(user)) if !user.external => true,
        (_, Some(user)) => level(state, user, project) > 0,
        (_, None) => false,
    }
}

/// Whether somebody may read a project's code.
pub fn reads_code(state: &State, user: Option<&User>, project: &Project) -> bool {
    match (project.text("visibility"), user) {
        ("public", _) => true,
        ("internal", Some(user)) if !user.external => true,
        (_, Some(user)) => level(state, user, project) >= REPORTER,
        (_, None) => false,
    }
}

/// Whether a pattern of a protected branch is meant.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name
            .strip_prefix(head)
            .is_some_and(|rest| (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| matches(tail, &rest[at..]))),
    }
}

/// One reference that a push changes. Zeros: it is made, or deleted.
#[derive(Debug, Clone)]
pub struct RefChange {
    /// Old commit.
    pub old: String,
    /// New commit.
    pub new: String,
    /// `refs/heads/main`
    pub name: String,
    /// Whether the old commit is none of the new one's ancestors.
    pub forced: bool,
}

/// Whether it is the commit that is none.
pub fn none(commit: &str) -> bool {
    commit.chars().all(|c| c == '0')
}

/// Why a push is refused; `None` when it is not.
pub fn refuses(state: &State, user: &User, project: &Project, change: &RefChange) -> Option<&'static str> {
    let level = level(state, user, project);
    if level < DEVELOPER {
        return Some("You are not allowed to push code to this project.");
    }
    let branch = change.name.strip_prefix("refs/heads/")?;
    let rules: Vec<_> = project.protected.iter().filter(|rule| matches(&rule.name, branch)).collect();
    if rules.is_empty() {
        return None;
    }
    if none(&change.new) {
        return Some(match level >= MAINTAINER {
            true => "You can only delete protected branches using the web interface.",
            false => {
                "You are not allowed to delete protected branches from this project. Only a project maintainer or owner can delete a protected branch."
            }
        });
    }
    if change.forced && !rules.iter().any(|rule| rule.force) {
        return Some("You are not allowed to force push code to a protected branch on this project.");
    }
    let may = rules.iter().any(|rule| rule.push != 0 && (user.admin || level >= rule.push));
    (!may).then_some("You are not allowed to push code to protected branches on this project.")
}
