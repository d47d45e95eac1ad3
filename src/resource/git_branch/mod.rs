//! A branch of a git server that begins with a folder of the control machine.

mod folder;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::script::path_errors;
use super::{Action, Change, Content, Kind, Reply, State};
use crate::base::{Payload, quote, sha256};

/// A branch of a repository on a git server that begins with a folder of the control machine.
///
/// It is pushed once, from the host, when the server has no such branch. What people push afterwards is theirs: it is never
/// compared and never changed.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The repository: `https://gitlab.lab.example/pozos/student_list.git`.
    pub url: String,
    /// The branch, e.g. `main`.
    pub branch: String,
    /// Folder on the control machine, relative to the project. What its `.gitignore` files name is left out.
    pub source: PathBuf,
    /// Message of the first commit.
    pub message: String,
    /// Who made it: `Name <address>`.
    pub author: String,
    /// User who pushes. Default: nobody (a repository that is a folder).
    #[serde(default)]
    pub user: Option<String>,
    /// The user's password or token.
    #[serde(default)]
    pub password: Content,
    /// File on the host with the certificates of the authorities that are trusted. Default: the host's own.
    #[serde(default)]
    pub ca: Option<String>,
    /// The git that is used on the host. As long as it is not there, the branch is not, either. Default: `git`.
    #[serde(default = "git")]
    pub git: String,
}

fn git() -> String {
    "git".to_owned()
}

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// The branch is there; the commit.
    Commit(String),
    /// There is none.
    Nothing,
    /// There is no git on the host yet.
    NoGit,
    /// The server knows no such repository yet.
    NoRepository,
}

/// Temporary folders; they hold a password and the folder's files.
const TEMPORARY: &str = "/tmp/poclab-git.XXXXXX";

impl Spec {
    /// Shell that makes git ask a file for the password, in the folder `$poclab_t`.
    fn environment(&self) -> String {
        let mut s = String::from(
            "printf '#!/bin/sh\\ncat \"%s/password\"\\n' \"$poclab_t\" >\"$poclab_t/ask\"\nchmod 700 \"$poclab_t/ask\"\n\
             HOME=$poclab_t GIT_ASKPASS=$poclab_t/ask GIT_TERMINAL_PROMPT=0 GIT_CONFIG_NOSYSTEM=1\n\
             export HOME GIT_ASKPASS GIT_TERMINAL_PROMPT GIT_CONFIG_NOSYSTEM\n",
        );
        if let Some(ca) = &self.ca {
            let _ = writeln!(s, "GIT_SSL_CAINFO={}\nexport GIT_SSL_CAINFO", quote(ca));
        }
        s
    }

    /// The address with the user in it; the password is asked for.
    fn remote(&self) -> String {
        match (&self.user, self.url.split_once("://")) {
            (Some(user), Some((scheme, rest))) => format!("{scheme}://{user}@{rest}"),
            _ => self.url.clone(),
        }
    }
}

/// A temporary folder that goes away with the script.
fn temporary(or: &str) -> String {
    format!("umask 077\npoclab_t=$(mktemp -d {TEMPORARY}){or}\ntrap 'rm -rf \"$poclab_t\"' EXIT\ntrap 'exit 1' HUP INT TERM PIPE\n")
}

impl Kind for Spec {
    const NAME: &'static str = "git_branch";
    type Observed = Observed;

    fn id(&self) -> String {
        format!("{} of {}", self.branch, self.url)
    }

    fn check(&self) -> Vec<String> {
        let mut errors = Vec::new();
        let plain = |text: &str, more: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
        if !(self.url.starts_with("https://") || self.url.starts_with("file:///")) || !plain(&self.url, ":/._~%-") {
            errors.push(format!("url must be an https:// address (or a file:///…) without a user in it, not {:?}", self.url));
        }
        if !plain(&self.branch, "._/-") || self.branch.starts_with(['-', '/', '.']) || self.branch.contains("..") {
            errors.push(format!("branch must be a plain name, not {:?}", self.branch));
        }
        let author = self.author.split_once(" <").and_then(|(name, rest)| Some((name, rest.strip_suffix('>')?)));
        if author.is_none_or(|(name, mail)| name.is_empty() || mail.is_empty()) || self.author.chars().any(char::is_control) {
            errors.push(format!("author must be `Name <address>`, not {:?}", self.author));
        }
        if self.message.trim().is_empty() {
            errors.push("message is empty".to_owned());
        }
        if self.user.as_ref().is_some_and(|user| !plain(user, "._-")) {
            errors.push("user must be a plain name".to_owned());
        }
        if self.password.0.contains(['\n', '\r', '\0']) {
            errors.push("password must be one line".to_owned());
        }
        if self.git != "git" {
            errors.extend(path_errors("git", &self.git));
        }
        errors.extend(self.ca.iter().flat_map(|path| path_errors("ca", path)));
        errors
    }

    fn observe(specs: &[&Self]) -> String {
        let mut s = temporary(" || exit 1");
        for (index, spec) in specs.iter().enumerate() {
            let mark = format!("POCLAB_{}", &sha256(spec.password.0.as_bytes())[..16]);
            // A subshell: each has an environment of its own.
            let _ = write!(
                s,
                "if command -v {git} >/dev/null 2>&1; then (\ncat >\"$poclab_t/password\" <<'{mark}'\n{password}\n{mark}\n{environment}\
                 timeout 60 {git} ls-remote {remote} refs/heads/{branch} >\"$poclab_t/out\" 2>\"$poclab_t/err\"\n\
                 echo \"git {index} $?\"\nsed 's/^/out {index} /' \"$poclab_t/out\"\nsed 's/^/err {index} /' \"$poclab_t/err\"\n)\n\
                 else echo 'absent {index}'; fi\n",
                git = quote(&spec.git),
                password = spec.password.0,
                environment = spec.environment(),
                remote = quote(&spec.remote()),
                branch = spec.branch,
            );
        }
        s
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let text = reply.text();
        (0..specs.len())
            .map(|index| {
                let lines = |word: &str| text.lines().filter_map(|line| line.strip_prefix(&format!("{word} {index} "))).collect::<Vec<_>>();
                if text.lines().any(|line| line == format!("absent {index}")) {
                    return Ok(Observed::NoGit);
                }
                let errors = lines("err");
                match lines("git").first() {
                    Some(&"0") => Ok(lines("out")
                        .first()
                        .and_then(|line| line.split_whitespace().next())
                        .map_or(Observed::Nothing, |commit| Observed::Commit(commit.to_owned()))),
                    Some(&"124") => Err("the git server gave no answer within 60 s".to_owned()),
                    // What git makes of 404; of a refused login it says something else.
                    Some(_) if errors.iter().any(|line| line.starts_with("fatal: repository '") && line.ends_with("' not found")) => {
                        Ok(Observed::NoRepository)
                    }
                    Some(status) => Err(format!("git ls-remote ended with {status}: {}", errors.last().unwrap_or(&"(nothing)"))),
                    None => Err("the observation said nothing about it".to_owned()),
                }
            })
            .collect()
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        let why = match observed {
            Observed::Commit(_) => return State::InSync,
            Observed::Nothing => "does not exist",
            Observed::NoGit => "does not exist: there is no git on the host yet",
            Observed::NoRepository => "does not exist, nor does the repository",
        };
        State::Drift(vec![Change::new(why)])
    }

    fn apply(&self, _observed: &Self::Observed) -> Vec<Action> {
        let label = format!("push {} as the first commit of {}", self.source.display(), self.branch);
        let archive = match folder::pack(&self.source) {
            Ok(archive) => archive,
            Err(why) => {
                let why = format!("the folder {} cannot be read on the control machine: {why}", self.source.display());
                return vec![Action { label, script: format!("echo {} >&2\nexit 1\n", quote(&why)), ..Action::default() }];
            }
        };
        let password = format!("{}\n", self.password.0);
        let (name, mail) = self.author.split_once(" <").unwrap_or((&self.author, ""));
        let script = format!(
            "set -e\n{temporary}head -c {password_len} >\"$poclab_t/password\"\nmkdir \"$poclab_t/tree\"\n\
             head -c {len} | tar -x -C \"$poclab_t/tree\" -f -\nexec </dev/null\n{environment}\
             cd \"$poclab_t/tree\"\n{git} init -q .\n{git} add -A .\n\
             {git} -c user.name={name} -c user.email={mail} commit -q -m {message}\n\
             {git} push -q {remote} HEAD:refs/heads/{branch}\n",
            temporary = temporary(""),
            password_len = password.len(),
            len = archive.len(),
            environment = self.environment(),
            git = quote(&self.git),
            name = quote(name),
            mail = quote(mail.trim_end_matches('>')),
            message = quote(&self.message),
            remote = quote(&self.remote()),
            branch = self.branch,
        );
        let stdin = [password.into_bytes(), archive].concat();
        vec![Action {
            label,
            script,
            stdin: Some(Payload::Bytes(stdin)),
            sweep: "rm -rf /tmp/poclab-git.??????\n".to_owned(),
            ..Action::default()
        }]
    }
}
