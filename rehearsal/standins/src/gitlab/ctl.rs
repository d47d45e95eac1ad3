//! `gitlab-ctl`.

use std::io::{self, Write as _};
use std::os::unix::fs::chown;
use std::process::{Command, ExitCode};

use serde_json::json;

use super::app::{App, Paths, private_folder};
use super::config::Config;
use super::git::{account, readable};
use crate::common::store::{Store, save};
use crate::common::{random, tls};

/// The one unit in which everything runs.
const UNIT: &str = "gitlab-runsvdir.service";
/// What the product's supervisor would list.
const SERVICES: &[&str] = &["gitaly", "gitlab-workhorse", "logrotate", "nginx", "postgresql", "puma", "redis", "sidekiq"];

fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Runs a command.
pub fn run(paths: &Paths, arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["reconfigure"] => reconfigure(paths),
        ["status"] => return status(),
        [verb @ ("start" | "stop" | "restart")] => systemctl(&[verb, UNIT]),
        ["restart" | "hup", service] if SERVICES.contains(service) => systemctl(&["restart", UNIT]),
        ["help"] | [] => {
            say("gitlab-ctl (rehearsal): reconfigure, status, start, stop, restart, hup SERVICE");
            return ExitCode::SUCCESS;
        }
        other => Err(format!("I don't know that command (rehearsal): {}", other.join(" "))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&why);
            ExitCode::FAILURE
        }
    }
}

fn command(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|why| format!("{program}: {why}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
    }
}

fn systemctl(arguments: &[&str]) -> Result<(), String> {
    command("systemctl", arguments)
}

fn running() -> bool {
    systemctl(&["is-active", "--quiet", UNIT]).is_ok()
}

fn status() -> ExitCode {
    let up = running();
    for service in SERVICES {
        if up {
            say(&format!("run: {service}: (pid 1) 1s; run: log: (pid 1) 1s"));
        } else {
            say(&format!("down: {service}: 1s, normally up; down: log: 1s"));
        }
    }
    if up { ExitCode::SUCCESS } else { ExitCode::from(6) }
}

fn reconfigure(paths: &Paths) -> Result<(), String> {
    say("Starting Chef Infra Client (rehearsal stand-in of GitLab)");
    configure(paths).map_err(|why| format!("There was an error running gitlab-ctl reconfigure:\n\n{why}"))?;
    say("gitlab Reconfigured!");
    Ok(())
}

fn configure(paths: &Paths) -> Result<(), String> {
    let text = |why: io::Error| why.to_string();
    let file = paths.at("/etc/gitlab/gitlab.rb");
    readable(&file)?;
    let config = Config::read(&std::fs::read_to_string(&file).map_err(text)?)?;
    tls::server(&paths.at(&config.certificate), &paths.at(&config.key)).map_err(|why| format!("nginx: {why}"))?;
    let trusted = tls::authorities(&paths.at("/etc/gitlab/trusted-certs")).map_err(text)?;
    reqwest::Certificate::from_pem_bundle(trusted.as_bytes()).map_err(|why| format!("/etc/gitlab/trusted-certs: {why}"))?;
    people(paths)?;
    let secrets = paths.at("/etc/gitlab/gitlab-secrets.json");
    if !secrets.exists() {
        save(&secrets, &json!({"gitlab_rails": {"secret_key_base": random(64), "db_key_base": random(64)}})).map_err(text)?;
    }
    let state = paths.own("state.json");
    if !state.exists() {
        let password = config.root_password.clone().unwrap_or_else(|| random(16));
        App::seed(&Store::open(&state).map_err(text)?, &password)?;
    }
    let file = paths.own("config.json");
    let before = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Config>(&bytes).ok());
    let kept = Config { root_password: None, ..config };
    let same = before.as_ref() == Some(&kept);
    if !same {
        save(&file, &kept).map_err(text)?;
    }
    systemctl(&["enable", "--quiet", UNIT])?;
    systemctl(&[if same { "start" } else { "restart" }, UNIT])
}

/// The user `git` and the folders.
fn people(paths: &Paths) -> Result<(), String> {
    let home = paths.at("/var/opt/gitlab");
    std::fs::create_dir_all(&home).map_err(|why| why.to_string())?;
    if account("git").is_none() {
        let home = home.to_string_lossy().into_owned();
        let _ = command("groupadd", &["--system", "git"]);
        command("useradd", &["--system", "--gid", "git", "--home-dir", &home, "--no-create-home", "--shell", "/bin/sh", "git"])?;
        // No password is right, but the account is not locked: keys may log in.
        command("usermod", &["--password", "*", "git"])?;
    }
    let (uid, gid) = account("git").ok_or("the user git cannot be made")?;
    private_folder(&paths.own("")).map_err(|why| why.to_string())?;
    for folder in ["/var/opt/gitlab/git-data/repositories", "/var/opt/gitlab/.ssh"] {
        let folder = paths.at(folder);
        let made = std::fs::create_dir_all(&folder).and_then(|()| chown(&folder, Some(uid), Some(gid)));
        made.map_err(|why| format!("{}: {why}", folder.display()))?;
    }
    let give = chown(&home, Some(0), Some(0)).and_then(|()| chown(paths.own(""), None, Some(gid)));
    give.map_err(|why| why.to_string())
}
