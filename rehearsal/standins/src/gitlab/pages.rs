//! Pages: health, and the little that people see.

use serde_json::{Value, json};

use super::app::{App, VERSION};
use super::config::in_networks;
use super::state::settings;
use crate::common::http::{Request, Response};

/// Health, for addresses that may know it; others are told that there is no such page.
pub fn health(app: &App, request: &Request, words: &[&str]) -> Response {
    if !in_networks(request.peer, &app.config.monitoring) {
        return missing();
    }
    match words {
        ["-", "health"] => Response::text(200, "text/plain; charset=utf-8", "GitLab OK"),
        ["-", "liveness"] => Response::json(200, &json!({"status": "ok"})),
        ["-", "readiness"] => {
            let mut value = json!({"status": "ok", "master_check": [{"status": "ok"}]});
            if request.query.contains("all=1") {
                for part in ["db_check", "cache_check", "queues_check", "shared_state_check", "gitaly_check"] {
                    value[part] = json!([{"status": "ok"}]);
                }
            }
            Response::json(200, &value)
        }
        _ => missing(),
    }
}

fn missing() -> Response {
    Response::text(404, "text/html; charset=utf-8", page("404", "<h1>404</h1>\n<p>Page Not Found</p>\n"))
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title} · GitLab (rehearsal)</title></head>\n<body>\n{body}<p>GitLab {VERSION}: a stand-in of the poclab rehearsal. There are no pages here; git and the API work.</p>\n</body>\n</html>\n"
    )
}

/// What a browser may ask for.
pub fn handle(app: &App, words: &[&str]) -> Response {
    let open = app.store.read(|state| settings(&state.settings).get("signup_enabled") == Some(&Value::Bool(true)));
    let to = |path: &str| Response { status: 302, headers: vec![("Location".to_owned(), app.url(path))], body: Vec::new() };
    match words {
        [] => to("users/sign_in"),
        ["users", "sign_in"] => {
            let register = if open { "<p><a href=\"/users/sign_up\">Register now</a></p>\n" } else { "" };
            Response::text(200, "text/html; charset=utf-8", page("Sign in", &format!("<h1>Sign in</h1>\n{register}")))
        }
        ["users", "sign_up"] if open => Response::text(200, "text/html; charset=utf-8", page("Register", "<h1>Register</h1>\n")),
        // Without signup there is nothing to fill in.
        ["users", "sign_up"] => to("users/sign_in"),
        [namespace, project] | [namespace, project, "-", ..] => {
            let known = app.store.read(|state| {
                state
                    .projects
                    .iter()
                    .any(|known| known.full_path() == format!("{namespace}/{project}") && known.text("visibility") == "public")
            });
            if known { Response::text(200, "text/html; charset=utf-8", page(project, "")) } else { to("users/sign_in") }
        }
        _ => missing(),
    }
}
