//! `gitlab-rails runner`: the statements that poclab's role sends, and no others. There is no Ruby here.

use time::{Duration, OffsetDateTime};

use super::app::{self, App};
use super::state::Token;
use crate::common::{date, now, sha256};

/// Runs a program of known statements; what it prints.
///
/// Known are these two, each of them exactly as the role's templates write it:
/// - a token: `poclab_token('USER', 'NAME', 'VALUE', %w[SCOPES])`
/// - a password: `poclab_password('USER', 'VALUE')`
///
/// In front of them the role defines these two in real Ruby; here the definitions must be those of the role, to the byte.
pub fn run(app: &App, program: &str) -> Result<String, String> {
    let mut said = String::new();
    let calls = program
        .strip_prefix(PRELUDE.trim_start())
        .ok_or("rehearsal: only the statements of poclab's role gitlab can be run here; their definitions differ from the known ones")?;
    for line in calls.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let unknown = || format!("rehearsal: not a statement that can be run here: {}", line.split('(').next().unwrap_or_default());
        let (name, rest) = line.split_once('(').ok_or_else(unknown)?;
        let rest = rest.strip_suffix(')').ok_or_else(unknown)?;
        let (texts, scopes) = rest.split_once(", %w[").unwrap_or((rest, ""));
        let texts: Option<Vec<&str>> = texts.split(", ").map(|text| text.strip_prefix('\'')?.strip_suffix('\'')).collect();
        match (name, texts.as_deref()) {
            ("poclab_token", Some([user, name, value])) => token(app, user, name, value, scopes.trim_end_matches(']'))?,
            ("poclab_password", Some([user, value])) => password(app, user, value)?,
            _ => return Err(unknown()),
        }
        said.push_str("done\n");
    }
    Ok(said)
}

/// The role's definitions.
pub const PRELUDE: &str = include_str!("../../../../templates/gitlab/rails.rb.tera");

fn token(app: &App, user: &str, name: &str, value: &str, scopes: &str) -> Result<(), String> {
    if value.len() < 20 {
        return Err("Validation failed: Token is too short (minimum is 20 characters)".to_owned());
    }
    let scopes: Vec<String> = scopes.split_whitespace().map(str::to_owned).collect();
    if scopes.is_empty()
        || scopes.iter().any(|scope| !["api", "read_api", "read_user", "read_repository", "write_repository"].contains(&scope.as_str()))
    {
        return Err("Validation failed: Scopes can only contain available scopes".to_owned());
    }
    let digest = sha256(value.as_bytes());
    let expires_at = date(OffsetDateTime::now_utc() + Duration::days(365));
    let changed = app.store.change(|state| {
        let user =
            state.users.iter().find(|known| known.username == user).ok_or("undefined method `personal_access_tokens' for nil:NilClass")?.id;
        let found = state.tokens.iter_mut().find(|token| token.digest == digest);
        if let Some(token) = found {
            if token.user != user {
                return Err("Validation failed: Token digest has already been taken");
            }
            (token.revoked, token.expires_at, token.scopes) = (false, expires_at, scopes);
        } else {
            let id = state.id("personal_access_tokens");
            let (revoked, created_at, digest) = (false, now(), digest.clone());
            state.tokens.push(Token { id, user, name: name.to_owned(), digest, scopes, revoked, expires_at, created_at });
        }
        for other in state.tokens.iter_mut().filter(|token| token.user == user && token.name == name && token.digest != digest) {
            other.revoked = true;
        }
        Ok(())
    });
    changed.map_err(|why| why.to_string())?.map_err(str::to_owned)
}

fn password(app: &App, user: &str, value: &str) -> Result<(), String> {
    if let Some(why) = super::config::weak(value, user) {
        return Err(format!("Validation failed: Password {why}"));
    }
    let hash = app::hash(value)?;
    let changed = app.store.change(|state| {
        let user = state.users.iter_mut().find(|known| known.username == user).ok_or("undefined method `password=' for nil:NilClass")?;
        (user.password, user.password_expired) = (hash, false);
        Ok(())
    });
    changed.map_err(|why| why.to_string())?.map_err(str::to_owned)
}
