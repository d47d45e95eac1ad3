//! What programs of this machine ask: git's hooks, sessions over SSH, `gitlab-rails runner`, `gitlab-ctl`.

use std::fmt::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use serde_json::{Value, json};

use super::access::{self, RefChange};
use super::app::App;
use super::state::{Project, State, User};
use super::{api, deliver, rails};
use crate::common::http::Response;

/// Answers one question.
pub fn handle(app: &App, path: &str, body: &Value) -> Response {
    let text = |field: &str| body.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let say = |value: Value| Response::json(200, &value);
    match path {
        "/status" => say(json!({"ready": app.ready()})),
        "/allowed" => say(match allowed(app, &text("actor"), &text("project"), &changes(body)) {
            Ok(()) => json!({"allowed": true}),
            Err(why) => json!({"allowed": false, "message": why}),
        }),
        "/pushed" => {
            for change in changes(body) {
                pushed(app, &text("actor"), &text("project"), &change);
            }
            say(json!({}))
        }
        "/ssh" => say(ssh(app, &text("key"), &text("command"))),
        "/rails" => match rails::run(app, &text("statement")) {
            Ok(said) => say(json!({"status": 0, "said": said})),
            Err(why) => say(json!({"status": 1, "said": why})),
        },
        _ => Response::json(404, &json!({"message": "404 Not found"})),
    }
}

fn changes(body: &Value) -> Vec<RefChange> {
    let one = |change: &Value| {
        let text = |field: &str| change.get(field).and_then(Value::as_str).map(str::to_owned);
        Some(RefChange {
            old: text("old")?,
            new: text("new")?,
            name: text("name")?,
            forced: change.get("forced").and_then(Value::as_bool).unwrap_or(true),
        })
    };
    body.get("changes").and_then(Value::as_array).into_iter().flatten().filter_map(one).collect()
}

fn project_of<'s>(state: &'s State, id: &str) -> Option<&'s Project> {
    let id: u64 = id.parse().ok()?;
    state.projects.iter().find(|project| project.id == id)
}

fn user_of<'s>(state: &'s State, actor: &str) -> Option<&'s User> {
    let id: u64 = actor.strip_prefix("user-")?.parse().ok()?;
    state.users.iter().find(|user| user.id == id)
}

/// Whether a push may be taken.
fn allowed(app: &App, actor: &str, project: &str, changes: &[RefChange]) -> Result<(), String> {
    app.store.read(|state| {
        let project = project_of(state, project).ok_or("The project you were looking for could not be found.")?;
        if let Some(id) = actor.strip_prefix("key-").and_then(|id| id.parse::<u64>().ok()) {
            let may = state.keys.iter().any(|key| key.id == id && key.projects.get(&project.id) == Some(&true));
            // A key that may push is one of a maintainer, as far as branches are concerned.
            return if may { Ok(()) } else { Err("This deploy key does not have write access to this project.".to_owned()) };
        }
        let user = user_of(state, actor).ok_or("You are not allowed to push code to this project.")?;
        match changes.iter().find_map(|change| access::refuses(state, user, project, change)) {
            Some(why) => Err(why.to_owned()),
            None => Ok(()),
        }
    })
}

/// What follows a push that was taken.
pub fn pushed(app: &App, actor: &str, project: &str, change: &RefChange) {
    let found = app.store.read(|state| Some((project_of(state, project)?.clone(), user_of(state, actor).cloned())));
    let Some((project, user)) = found else { return };
    let at = crate::common::now();
    let _ = app.store.change(|state| {
        if let Some(known) = state.projects.iter_mut().find(|known| known.id == project.id) {
            known.last_activity_at = at;
        }
    });
    if access::none(&change.old)
        && let Some(branch) = change.name.strip_prefix("refs/heads/")
    {
        api::protect_default(app, &project, branch);
    }
    if let Some(user) = user {
        deliver::push(app, &project, &user, change);
    }
}

/// What a session over SSH may do: the repository's folder, or a refusal.
fn ssh(app: &App, key: &str, command: &str) -> Value {
    let refuse = |why: &str| json!({"allowed": false, "message": why});
    let missing = || refuse("The project you were looking for could not be found or you don't have permission to view it.");
    let Some(id) = key.strip_prefix("key-").and_then(|id| id.parse::<u64>().ok()) else { return refuse("Unknown key.") };
    if command.is_empty() {
        return json!({"allowed": false, "welcome": "Welcome to GitLab, Anonymous!"});
    }
    let Some((service, rest)) = command.split_once(' ') else { return refuse("Disallowed command") };
    if !["git-upload-pack", "git-receive-pack", "git-upload-archive"].contains(&service) {
        return refuse("Disallowed command");
    }
    let path = rest.trim().trim_matches('\'').trim_start_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    app.store.read(|state| {
        let Some(project) = state.projects.iter().find(|project| project.full_path() == path) else { return missing() };
        let Some(may_push) = state.keys.iter().find(|key| key.id == id).and_then(|key| key.projects.get(&project.id)) else {
            return missing();
        };
        if service == "git-receive-pack" && !may_push {
            return refuse("This deploy key does not have write access to this project.");
        }
        json!({"allowed": true, "service": service, "folder": app.paths.repository(project.id), "project": project.id.to_string()})
    })
}

/// Writes the file that sshd reads: each key may run one program only.
pub fn write_authorized_keys(app: &App) -> Result<(), String> {
    let shell = app.paths.at("/opt/gitlab/embedded/service/gitlab-shell/bin/gitlab-shell");
    let mut text = String::from("# Managed by gitlab-shell\n");
    app.store.read(|state| {
        for key in &state.keys {
            let _ = writeln!(
                text,
                "command=\"{} key-{}\",no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty {}",
                shell.display(),
                key.id,
                key.key
            );
        }
    });
    let folder = app.paths.at("/var/opt/gitlab/.ssh");
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(&folder)?;
        let new = folder.join("authorized_keys.new");
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        if let Some((uid, gid)) = super::git::account("git") {
            // sshd wants them to be the user's own. Where that cannot be (tests), nobody logs in.
            let _ = std::os::unix::fs::chown(&folder, Some(uid), Some(gid));
            let _ = std::os::unix::fs::chown(&new, Some(uid), Some(gid));
        }
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        std::fs::rename(new, folder.join("authorized_keys"))
    };
    write().map_err(|why| format!("{}: {why}", folder.display()))
}
