//! Checking out, with the git and ssh of the image: the deploy key, and only host keys that the configuration approves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::casc::Config;
use super::console::Console;
use super::credentials::Kind;
use super::dsl::Job;
use super::process::{Abort, End, run, write_private};

/// Files that ssh needs; gone when dropped.
struct Login {
    command: String,
    files: Vec<PathBuf>,
}

impl Drop for Login {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// What is checked out, and how it is watched.
pub struct Checkout<'a> {
    /// The job.
    pub job: &'a Job,
    /// The commit, if the hook named one.
    pub commit: Option<&'a str>,
    /// Where to.
    pub folder: &'a Path,
    /// For keys.
    pub temporary: &'a Path,
    /// The build's variables.
    pub env: &'a BTreeMap<String, String>,
    /// The build's console.
    pub console: &'a Console,
    /// To end it.
    pub abort: &'a Abort,
    /// When it must be done.
    pub until: Option<Instant>,
}

impl Checkout<'_> {
    /// Fetches all branches and checks the commit out; its SHA.
    pub fn run(&self, config: &Config) -> Result<String, String> {
        let io = |what: &str, e: std::io::Error| format!("{what}: {e}");
        std::fs::create_dir_all(self.folder).map_err(|e| io("the workspace cannot be made", e))?;
        std::fs::create_dir_all(self.temporary).map_err(|e| io("the temporary folder cannot be made", e))?;
        let login = self.login(config)?;
        let mut env = self.env.clone();
        env.insert("GIT_SSH_COMMAND".into(), login.command.clone());
        env.insert("GIT_TERMINAL_PROMPT".into(), "0".into());
        self.console.say("The recommended git tool is: NONE");
        self.console.say(&format!("using credential {}", self.job.credentials));
        let git = |args: &[&str]| self.git(args, &env);
        if !self.folder.join(".git").exists() {
            self.console.say(&format!("Cloning repository {}", self.job.url));
            git(&["init", "--quiet", "."])?;
        }
        git(&["fetch", "--tags", "--force", "--prune", "--quiet", "--", &self.job.url, "+refs/heads/*:refs/remotes/origin/*"])?;
        let revision = match self.commit {
            Some(commit) => commit.to_owned(),
            None => format!("refs/remotes/origin/{}", self.job.branch),
        };
        let commit = git(&["rev-parse", "--verify", &format!("{revision}^{{commit}}")])?;
        let [commit] = commit.as_slice() else { return Err(format!("Couldn't find any revision to build ({revision})")) };
        self.console.say(&format!(
            "Checking out Revision {commit} ({})",
            self.env.get("gitlabBranch").map_or(self.job.branch.as_str(), String::as_str)
        ));
        git(&["config", "core.sparsecheckout", "false"])?;
        git(&["checkout", "--quiet", "--force", commit])?;
        Ok(commit.clone())
    }

    fn login(&self, config: &Config) -> Result<Login, String> {
        let credential = config.credentials.iter().find(|credential| credential.id == self.job.credentials);
        let Some(Kind::SshKey { key, .. }) = credential.map(|credential| &credential.kind) else {
            return Err(format!("CredentialId \"{}\" could not be found (as an SSH key)", self.job.credentials));
        };
        let Some(hosts) = &config.known_hosts else {
            return Err("No ED25519 host key is known: the configuration approves none (gitHostKeyVerificationConfiguration)".into());
        };
        let name = format!("jenkins-gitclient-ssh-{}", super::auth::random(8));
        let (key_file, hosts_file) = (self.temporary.join(&name), self.temporary.join(format!("{name}-known_hosts")));
        let key = format!("{}\n", key.trim_end());
        let login = Login {
            command: format!(
                "ssh -i '{}' -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile='{}' -o GlobalKnownHostsFile=/dev/null",
                key_file.display(),
                hosts_file.display()
            ),
            files: vec![key_file, hosts_file],
        };
        for (file, content) in login.files.iter().zip([key.as_bytes(), format!("{}\n", hosts.trim_end()).as_bytes()]) {
            write_private(file, content).map_err(|e| format!("{} cannot be written: {e}", file.display()))?;
        }
        Ok(login)
    }

    fn git(&self, args: &[&str], env: &BTreeMap<String, String>) -> Result<Vec<String>, String> {
        let mut program = vec!["git"];
        program.extend(args);
        self.console.say(&format!(" > {}", program.join(" ")));
        let mut lines = Vec::new();
        let end = run(&program, self.folder, env, self.abort, self.until, &mut |line| lines.push(line.to_owned()))?;
        match end {
            End::Exit(0) => Ok(lines),
            End::Exit(status) => Err(format!(
                "hudson.plugins.git.GitException: Command \"{}\" returned status code {status}:\nstderr: {}",
                program.join(" "),
                lines.join("\n")
            )),
            End::Aborted => Err("aborted".into()),
            End::TimedOut => Err("timed out".into()),
        }
    }
}
