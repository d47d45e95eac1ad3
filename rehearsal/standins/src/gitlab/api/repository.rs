//! Branches, commits and files of a repository.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::statuses::{commit as resolve, overall};
use super::{Answer, Call, error, forbidden, message, no_content, nothing};
use crate::common::http::Response;
use crate::common::random;
use crate::gitlab::access::{self, DEVELOPER, REPORTER, RefChange};
use crate::gitlab::git;
use crate::gitlab::internal;
use crate::gitlab::state::Project;

pub fn handle(call: &Call<'_>, id: &str, words: &[&str]) -> Answer {
    let (project, level) = call.project(id)?;
    if level < REPORTER && project.text("visibility") == "private" {
        return Err(forbidden());
    }
    match (call.method, words) {
        ("GET", ["branches"]) => {
            let list = git::text(call.app, project.id, &["for-each-ref", "--format=%(refname:short)", "refs/heads"]).unwrap_or_default();
            call.page(list.lines().filter_map(|name| branch(call, &project, name).ok()).collect())
        }
        ("GET", ["branches", name]) => Ok(Response::json(200, &branch(call, &project, name)?)),
        ("DELETE", ["branches", name]) => delete_branch(call, &project, name),
        ("GET", ["commits"]) => commits(call, &project),
        ("POST", ["commits"]) => {
            let actions: Vec<Action> = serde_json::from_value(call.value("actions").cloned().unwrap_or(Value::Null))
                .map_err(|_| error(400, "actions is invalid"))?;
            commit(call, &project, &actions)
        }
        ("GET", ["commits", sha]) => {
            let sha = resolve(call, &project, sha)?;
            let mut value = show(call, &project, &sha)?;
            value["status"] = json!(overall(call, &project, &sha));
            Ok(Response::json(200, &value))
        }
        ("GET", ["files", path]) => file(call, &project, path),
        ("GET", ["files", path, "raw"]) => {
            let (_, bytes) = content(call, &project, path)?;
            Ok(Response::text(200, "application/octet-stream", bytes))
        }
        ("POST" | "PUT" | "DELETE", ["files", path]) => {
            let action = match call.method {
                "POST" => "create",
                "PUT" => "update",
                _ => "delete",
            };
            let content = if action == "delete" { None } else { Some(call.must("content")?) };
            let action = Action {
                action: action.into(),
                file_path: (*path).to_owned(),
                content,
                encoding: call.text("encoding")?,
                execute_filemode: call.flag("execute_filemode")?,
            };
            commit(call, &project, &[action])?;
            if call.method == "DELETE" {
                return no_content();
            }
            let branch = call.must("branch")?;
            Ok(Response::json(if call.method == "POST" { 201 } else { 200 }, &json!({"file_path": path, "branch": branch})))
        }
        _ => Err(nothing()),
    }
}

fn show(call: &Call<'_>, project: &Project, sha: &str) -> Result<Value, Response> {
    let format = "--format=%H%x00%h%x00%s%x00%B%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%P";
    let text = git::text(call.app, project.id, &["log", "-1", format, sha]).map_err(|_| message(404, "404 Commit Not Found"))?;
    let part: Vec<&str> = text.split('\0').collect();
    let get = |at: usize| part.get(at).copied().unwrap_or_default();
    let parents: Vec<&str> = get(10).split_whitespace().collect();
    Ok(json!({
        "id": get(0), "short_id": get(1), "title": get(2), "message": get(3), "author_name": get(4), "author_email": get(5), "authored_date": get(6),
        "committer_name": get(7), "committer_email": get(8), "committed_date": get(9), "created_at": get(9), "parent_ids": parents,
        "web_url": call.app.url(&format!("{}/-/commit/{}", project.full_path(), get(0)))
    }))
}

fn branch(call: &Call<'_>, project: &Project, name: &str) -> Result<Value, Response> {
    let absent = || message(404, "404 Branch Not Found");
    let head = git::text(call.app, project.id, &["rev-parse", "-q", "--verify", &format!("refs/heads/{name}")]).map_err(|_| absent())?;
    let rules = || project.protected.iter().filter(|rule| access::matches(&rule.name, name));
    let level = call.app.store.read(|state| access::level(state, &call.identity.user, project));
    Ok(json!({
        "name": name, "commit": show(call, project, &head)?, "merged": false, "protected": rules().next().is_some(),
        "developers_can_push": rules().any(|rule| rule.push == DEVELOPER), "developers_can_merge": rules().any(|rule| rule.merge == DEVELOPER),
        "can_push": level >= DEVELOPER && (rules().next().is_none() || rules().any(|rule| rule.push != 0 && level >= rule.push)),
        "default": project.text("default_branch") == name, "web_url": call.app.url(&format!("{}/-/tree/{name}", project.full_path()))
    }))
}

fn delete_branch(call: &Call<'_>, project: &Project, name: &str) -> Answer {
    branch(call, project, name)?;
    let level = call.app.store.read(|state| access::level(state, &call.identity.user, project));
    if level < DEVELOPER {
        return Err(forbidden());
    }
    if project.text("default_branch") == name {
        return Err(message(405, "Cannot remove HEAD branch"));
    }
    if project.protected.iter().any(|rule| access::matches(&rule.name, name)) {
        return Err(message(405, "Protected branch can't be removed"));
    }
    git::text(call.app, project.id, &["update-ref", "-d", &format!("refs/heads/{name}")]).map_err(super::broken)?;
    no_content()
}

fn commits(call: &Call<'_>, project: &Project) -> Answer {
    let name = call.text("ref_name")?.unwrap_or_else(|| project.text("default_branch").to_owned());
    let sha = resolve(call, project, &name)?;
    let list = git::text(call.app, project.id, &["rev-list", "--max-count=1000", &sha]).unwrap_or_default();
    let per_page = call.number("per_page")?.unwrap_or(20).clamp(1, 100) as usize;
    let page = call.number("page")?.unwrap_or(1).max(1) as usize;
    let shown: Result<Vec<Value>, Response> =
        list.lines().skip((page - 1) * per_page).take(per_page).map(|sha| show(call, project, sha)).collect();
    Ok(Response::json(200, &Value::Array(shown?)))
}

fn content(call: &Call<'_>, project: &Project, path: &str) -> Result<(String, Vec<u8>), Response> {
    let name = call.text("ref")?.unwrap_or_else(|| project.text("default_branch").to_owned());
    let sha = resolve(call, project, &name)?;
    let bytes = git::run(call.app, project.id, &["cat-file", "blob", &format!("{sha}:{path}")], &[], b"");
    Ok((sha, bytes.map_err(|_| message(404, "404 File Not Found"))?))
}

fn file(call: &Call<'_>, project: &Project, path: &str) -> Answer {
    let (sha, bytes) = content(call, project, path)?;
    let mode = git::text(call.app, project.id, &["ls-tree", &sha, "--", path]).unwrap_or_default();
    Ok(Response::json(
        200,
        &json!({
            "file_name": path.rsplit('/').next(), "file_path": path, "size": bytes.len(), "encoding": "base64", "content": STANDARD.encode(&bytes),
            "content_sha256": crate::common::sha256(&bytes), "ref": call.text("ref")?.unwrap_or_default(), "commit_id": sha,
            "execute_filemode": mode.starts_with("100755")
        }),
    ))
}

/// One change of a commit.
#[derive(serde::Deserialize)]
struct Action {
    action: String,
    file_path: String,
    content: Option<String>,
    encoding: Option<String>,
    execute_filemode: Option<bool>,
}

/// Makes a commit as a push would: with the same rules, and with the same hooks afterwards.
fn commit(call: &Call<'_>, project: &Project, actions: &[Action]) -> Answer {
    let (branch, text) = (call.must("branch")?, call.must("commit_message")?);
    if actions.is_empty() {
        return Err(error(400, "actions is missing"));
    }
    let bad = |why: &str| message(400, why);
    let user = &call.identity.user;
    let name = format!("refs/heads/{branch}");
    let head = git::text(call.app, project.id, &["rev-parse", "-q", "--verify", &name]).ok();
    let parent = match (&head, call.text("start_branch")?) {
        (Some(_), Some(_)) => {
            return Err(bad(&format!("A branch called '{branch}' already exists. Switch to that branch in order to make changes")));
        }
        (Some(head), None) => Some(head.clone()),
        (None, Some(start)) => Some(resolve(call, project, &start)?),
        (None, None) if git::is_empty(call.app, project.id) => None,
        (None, None) => return Err(bad("You can only create or edit files when you are on a branch")),
    };
    let zeros = "0".repeat(40);
    let mut change = RefChange { old: head.unwrap_or(zeros), new: "1".repeat(40), name, forced: false };
    if call.app.store.read(|state| access::refuses(state, user, project, &change)).is_some() {
        return Err(match call.app.store.read(|state| access::level(state, user, project)) < DEVELOPER {
            true => forbidden(),
            false => bad(&format!("You are not allowed to push into this branch ({branch})")),
        });
    }
    let index = call.app.paths.repository(project.id).join(format!("poclab-index.{}", random(6)));
    let made = tree(call, project, actions, parent.as_deref(), &index.to_string_lossy());
    let _ = std::fs::remove_file(&index);
    let tree = made?;
    let (author, mail) =
        (call.text("author_name")?.unwrap_or_else(|| user.name.clone()), call.text("author_email")?.unwrap_or_else(|| user.email.clone()));
    let environment = [
        ("GIT_AUTHOR_NAME", author.as_str()),
        ("GIT_AUTHOR_EMAIL", &mail),
        ("GIT_COMMITTER_NAME", &user.name),
        ("GIT_COMMITTER_EMAIL", &user.email),
    ];
    let mut arguments = vec!["commit-tree", tree.as_str(), "-m", text.as_str()];
    arguments.extend(parent.iter().flat_map(|parent| ["-p", parent.as_str()]));
    let made = git::run(call.app, project.id, &arguments, &environment, b"").map_err(super::broken)?;
    String::from_utf8_lossy(&made).trim().clone_into(&mut change.new);
    git::text(call.app, project.id, &["update-ref", &change.name, &change.new, &change.old]).map_err(|why| bad(&why))?;
    internal::pushed(call.app, &format!("user-{}", user.id), &project.id.to_string(), &change);
    Ok(Response::json(201, &show(call, project, &change.new)?))
}

fn tree(call: &Call<'_>, project: &Project, actions: &[Action], parent: Option<&str>, index: &str) -> Result<String, Response> {
    let bad = |why: &str| message(400, why);
    let environment = [("GIT_INDEX_FILE", index)];
    let run = |arguments: &[&str], stdin: &[u8]| git::run(call.app, project.id, arguments, &environment, stdin).map_err(|why| bad(&why));
    match parent {
        Some(parent) => run(&["read-tree", parent], b"")?,
        None => run(&["read-tree", "--empty"], b"")?,
    };
    for action in actions {
        let path = action.file_path.as_str();
        if path.is_empty() || path.starts_with(['/', '-']) || path.split('/').any(|part| [".", "..", ".git", ""].contains(&part)) {
            return Err(bad(&format!("invalid path: '{path}'")));
        }
        let entry = String::from_utf8_lossy(&run(&["ls-files", "-s", "--", path], b"")?).into_owned();
        let there = !entry.is_empty();
        match (action.action.as_str(), there) {
            ("create", true) => return Err(bad("A file with this name already exists")),
            ("update" | "delete" | "chmod", false) => return Err(bad("A file with this name doesn't exist")),
            ("delete", true) => drop(run(&["update-index", "--force-remove", path], b"")?),
            ("chmod", true) => {
                let mode = if action.execute_filemode == Some(true) { "--chmod=+x" } else { "--chmod=-x" };
                run(&["update-index", mode, path], b"")?;
            }
            ("create" | "update", _) => {
                let text = action.content.as_deref().unwrap_or_default();
                let bytes = match action.encoding.as_deref() {
                    Some("base64") => STANDARD.decode(text.replace(['\n', '\r'], "")).map_err(|_| bad("content is not base64"))?,
                    _ => text.as_bytes().to_vec(),
                };
                let blob = String::from_utf8_lossy(&run(&["hash-object", "-w", "--stdin"], &bytes)?).trim().to_owned();
                let mode = if entry.starts_with("100755") { "100755" } else { "100644" };
                run(&["update-index", "--add", "--cacheinfo", &format!("{mode},{blob},{path}")], b"")?;
            }
            _ => return Err(error(400, "actions[0][action] does not have a valid value")),
        }
    }
    Ok(String::from_utf8_lossy(&run(&["write-tree"], b"")?).trim().to_owned())
}
