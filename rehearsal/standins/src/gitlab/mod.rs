//! The GitLab stand-in: git over HTTPS and SSH for real, users, tokens, groups, projects, protected branches, deploy keys, hooks that
//! are delivered, commit statuses; `gitlab-ctl`, gitlab.rb, and of `gitlab-rails runner` what poclab's role sends.
//!
//! One program under several names, as an installation has them.

mod access;
mod api;
mod app;
mod client;
mod config;
mod ctl;
mod deliver;
mod git;
mod internal;
mod pages;
mod rails;
mod ruby;
mod server;
mod state;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use app::Paths;

/// Does what its name says.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_default();
    let arguments: Vec<String> = arguments.collect();
    // Tests have an installation in a folder.
    let paths = Paths::new(std::env::var_os("POCLAB_GITLAB_ROOT").unwrap_or_else(|| "/".into()));
    let name = Path::new(&program).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match (name, arguments.first().map(String::as_str)) {
        ("gitlab-ctl", _) => ctl::run(&paths, &arguments),
        ("gitlab-rails", _) => client::rails(&paths, &arguments),
        ("gitlab-shell", Some(key)) => client::shell(&paths, key),
        ("pre-receive" | "post-receive", _) => client::hook(&paths, name),
        (_, Some("serve")) => match server::run(paths) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                let _ = writeln!(std::io::stderr(), "poclab-gitlab: {why}");
                ExitCode::FAILURE
            }
        },
        _ => {
            let _ = writeln!(std::io::stderr(), "poclab-gitlab: a stand-in for GitLab {} (rehearsal): serve", app::VERSION);
            ExitCode::from(64)
        }
    }
}
