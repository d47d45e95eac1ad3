//! The programs that ask the service: gitlab-shell for sessions over SSH, git's hooks, gitlab-rails.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use serde_json::{Value, json};

use super::app::Paths;
use crate::common::http::ask;

fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn question(paths: &Paths, path: &str, body: &Value) -> Result<Value, String> {
    let (status, answer) = ask(&paths.socket(), path, body).map_err(|why| format!("Internal API unreachable ({why})"))?;
    if status == 200 { Ok(answer) } else { Err(format!("Internal API error ({status})")) }
}

/// A session over SSH: the only program that a key of GitLab can run.
pub fn shell(paths: &Paths, key: &str) -> ExitCode {
    let refuse = |why: &str| {
        let line = "=".repeat(72);
        complain(&format!("remote: \nremote: {line}\nremote: \nremote: ERROR: {why}\nremote: \nremote: {line}\nremote: "));
        ExitCode::FAILURE
    };
    let command = std::env::var("SSH_ORIGINAL_COMMAND").unwrap_or_default();
    let answer = match question(paths, "/ssh", &json!({"key": key, "command": command})) {
        Ok(answer) => answer,
        Err(why) => return refuse(&why),
    };
    let text = |field: &str| answer.get(field).and_then(Value::as_str).unwrap_or_default();
    if let Some(welcome) = answer.get("welcome").and_then(Value::as_str) {
        let _ = writeln!(io::stdout(), "{welcome}");
        return ExitCode::SUCCESS;
    }
    if answer.get("allowed") != Some(&json!(true)) {
        return refuse(text("message"));
    }
    let mut command = Command::new("git");
    command.arg(text("service").trim_start_matches("git-")).arg(text("folder"));
    command.env("GL_ID", key).env("GL_PROJECT", text("project")).env("GIT_CONFIG_NOSYSTEM", "1");
    refuse(&format!("git cannot be run: {}", command.exec()))
}

/// git's `pre-receive` and `post-receive`: one line for each reference on stdin.
pub fn hook(paths: &Paths, name: &str) -> ExitCode {
    let mut input = String::new();
    if io::stdin().read_to_string(&mut input).is_err() {
        return ExitCode::FAILURE;
    }
    let changes: Vec<Value> = input.lines().filter_map(change).collect();
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    let body = json!({"actor": of("GL_ID"), "project": of("GL_PROJECT"), "changes": changes});
    let path = if name == "pre-receive" { "/allowed" } else { "/pushed" };
    match question(paths, path, &body) {
        Ok(answer) if name == "pre-receive" && answer.get("allowed") != Some(&json!(true)) => {
            complain(&format!("GitLab: {}", answer.get("message").and_then(Value::as_str).unwrap_or_default()));
            ExitCode::FAILURE
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(why) => {
            complain(&format!("GitLab: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn change(line: &str) -> Option<Value> {
    let mut words = line.split_whitespace();
    let (old, new, name) = (words.next()?, words.next()?, words.next()?);
    let zeros = |commit: &str| commit.chars().all(|c| c == '0');
    // In git's own environment: what is being pushed is only visible there.
    let ancestor = || Command::new("git").args(["merge-base", "--is-ancestor", old, new]).status().is_ok_and(|status| status.success());
    let forced = !zeros(old) && !zeros(new) && !ancestor();
    Some(json!({"old": old, "new": new, "name": name, "forced": forced}))
}

/// `gitlab-rails runner -`: the statements are on stdin.
pub fn rails(paths: &Paths, arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if words != ["runner", "-"] {
        complain("rehearsal: only `gitlab-rails runner -` with the statements of poclab's role can be run here");
        return ExitCode::FAILURE;
    }
    let mut statement = String::new();
    if let Err(why) = io::stdin().read_to_string(&mut statement) {
        complain(&format!("cannot read the statements: {why}"));
        return ExitCode::FAILURE;
    }
    match question(paths, "/rails", &json!({"statement": statement})) {
        Ok(answer) => {
            let said = answer.get("said").and_then(Value::as_str).unwrap_or_default();
            if answer.get("status") == Some(&json!(0)) {
                let _ = write!(io::stdout(), "{said}");
                return ExitCode::SUCCESS;
            }
            complain(said);
            ExitCode::FAILURE
        }
        Err(why) => {
            complain(&why);
            ExitCode::FAILURE
        }
    }
}
