//! The steps of a pipeline, for real.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::console::Console;
use super::credentials::Bound;
use super::git::Checkout;
use super::gitlab;
use super::groovy::Part;
use super::pipeline::Step;
use super::process::{Abort, End, run};
use super::record::Build;
use super::state::Jenkins;
use super::value;

/// Why a step did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fail {
    /// It failed; Jenkins' words.
    Failed(String),
    /// Somebody aborted the build, or it ran out of time.
    Aborted(String),
}

/// One run of a pipeline.
pub struct Run<'a> {
    /// The server.
    pub jenkins: &'a Jenkins,
    /// The build so far.
    pub build: Build,
    /// Its console.
    pub console: &'a Console,
    /// Ends it.
    pub abort: Abort,
    /// When it must be done.
    pub until: Option<Instant>,
    /// Variables.
    pub env: BTreeMap<String, String>,
    /// Where steps run.
    pub folder: PathBuf,
    /// The build's workspace.
    pub workspace: PathBuf,
    /// The connection to GitLab that the Jenkinsfile names.
    pub connection: Option<String>,
    /// Whether the stage became unstable.
    pub unstable: bool,
}

impl Run<'_> {
    /// Runs steps one after the other.
    pub fn steps(&mut self, steps: &[Step]) -> Result<(), Fail> {
        steps.iter().try_for_each(|step| {
            if self.abort.asked() {
                return Err(Fail::Aborted("Aborted".into()));
            }
            self.step(step)
        })
    }

    fn text(&self, parts: &[Part]) -> Result<String, Fail> {
        value::text(parts, &self.env).map_err(Fail::Failed)
    }

    fn step(&mut self, step: &Step) -> Result<(), Fail> {
        match step {
            Step::Sh(script) => {
                let script = self.text(script)?;
                self.console.say("[Pipeline] sh");
                self.sh(&script)
            }
            Step::Echo(text) => {
                let text = self.text(text)?;
                self.console.say(&format!("[Pipeline] echo\n{text}"));
                Ok(())
            }
            Step::Error(text) => {
                let text = self.text(text)?;
                self.console.say("[Pipeline] error");
                Err(Fail::Failed(text))
            }
            Step::Unstable(text) => {
                let text = self.text(text)?;
                self.console.say(&format!("[Pipeline] unstable\nWARNING: {text}"));
                self.unstable = true;
                Ok(())
            }
            Step::Checkout => {
                self.console.say("[Pipeline] checkout");
                let workspace = self.workspace.clone();
                self.check_out(&workspace)
            }
            Step::Dir(path, steps) => {
                let path = self.text(path)?;
                let before = self.folder.clone();
                let folder = before.join(&path);
                std::fs::create_dir_all(&folder).map_err(|e| Fail::Failed(format!("{}: {e}", folder.display())))?;
                self.console.say(&format!("[Pipeline] dir\nRunning in {}", folder.display()));
                self.folder = folder;
                let result = self.steps(steps);
                self.folder = before;
                result
            }
            Step::Timeout(limit, steps) => {
                let before = self.until;
                let own = Instant::now() + *limit;
                self.until = Some(before.map_or(own, |before| before.min(own)));
                self.console.say(&format!("[Pipeline] timeout\nTimeout set to expire in {} sec", limit.as_secs()));
                let result = self.steps(steps);
                self.until = before;
                result
            }
            Step::WithCredentials(bindings, steps) => self.with_credentials(bindings, steps),
            Step::CommitStatus(name, steps) => {
                self.console.say("[Pipeline] gitlabCommitStatus");
                self.report(name, "running");
                let result = self.steps(steps);
                let state = match &result {
                    Ok(()) => "success",
                    Err(Fail::Failed(_)) => "failed",
                    Err(Fail::Aborted(_)) => "canceled",
                };
                self.report(name, state);
                result
            }
            Step::UpdateCommitStatus(name, state) => {
                self.console.say("[Pipeline] updateGitlabCommitStatus");
                self.report(name, state);
                Ok(())
            }
            Step::Archive { artifacts, allow_empty } => self.archive(artifacts, *allow_empty),
            Step::Junit { results, allow_empty } => self.junit(results, *allow_empty),
        }
    }

    fn report(&self, name: &str, state: &str) {
        if let Err(why) = gitlab::report(self.jenkins, &self.build, self.connection.as_deref(), name, state) {
            self.console.say(&format!("Failed to update Gitlab commit status for '{name}' to '{state}': {why}"));
        }
    }

    fn sh(&mut self, script: &str) -> Result<(), Fail> {
        // A script with a first line of its own is run by what that names, as Jenkins does it.
        let program: Vec<&str> = match script.strip_prefix("#!").and_then(|rest| rest.split_once('\n')) {
            Some((interpreter, _)) => interpreter.split_whitespace().chain(["-c", script]).collect(),
            None => vec!["/bin/sh", "-xec", script],
        };
        let console = self.console;
        let end = run(&program, &self.folder, &self.env, &self.abort, self.until, &mut |line| console.say(line)).map_err(Fail::Failed)?;
        match end {
            End::Exit(0) => Ok(()),
            End::Exit(status) => Err(Fail::Failed(format!("script returned exit code {status}"))),
            End::Aborted => Err(Fail::Aborted("Aborted by a user".into())),
            End::TimedOut => Err(Fail::Aborted("Timeout has been exceeded".into())),
        }
    }

    /// Checks the build's commit out into a folder, and remembers which one it is.
    pub fn check_out(&mut self, folder: &Path) -> Result<(), Fail> {
        let job = self.jenkins.job(&self.build.job).ok_or_else(|| Fail::Failed("the job is gone".into()))?;
        let known = self.build.commit.clone().or_else(|| self.build.hook.get("gitlabAfter").cloned());
        let temporary = PathBuf::from(format!("{}@tmp", self.workspace.display()));
        let config = self.jenkins.config();
        let checkout = Checkout {
            job: &job,
            commit: known.as_deref(),
            folder,
            temporary: &temporary,
            env: &self.env,
            console: self.console,
            abort: &self.abort,
            until: self.until,
        };
        let commit = checkout.run(&config).map_err(Fail::Failed)?;
        self.build.commit = Some(commit);
        self.build.remote = job.url;
        self.jenkins.progress(&self.build);
        Ok(())
    }

    fn with_credentials(&mut self, bindings: &[super::credentials::Binding], steps: &[Step]) -> Result<(), Fail> {
        self.console.say("[Pipeline] withCredentials");
        let mut bound = Bound::default();
        let temporary = PathBuf::from(format!("{}@tmp", self.workspace.display()));
        let config = self.jenkins.config();
        for binding in bindings {
            binding.bind(&config.credentials, &temporary, &mut bound).map_err(Fail::Failed)?;
        }
        let names: Vec<String> = bound.variables.iter().map(|(name, _)| format!("${name}")).collect();
        self.console.say(&format!("Masking supported pattern matches of {}", names.join(" or ")));
        let before = self.env.clone();
        self.env.extend(bound.variables.iter().cloned());
        self.console.mask(&bound.secrets);
        let result = self.steps(steps);
        self.console.unmask(&bound.secrets);
        self.env = before;
        result
    }

    fn archive(&mut self, patterns: &str, allow_empty: bool) -> Result<(), Fail> {
        self.console.say("[Pipeline] archiveArtifacts\nArchiving artifacts");
        let files = matching(&self.folder, patterns).map_err(Fail::Failed)?;
        if files.is_empty() && !allow_empty {
            return Err(Fail::Failed(format!("No artifacts found that match the file pattern \"{patterns}\". Configuration error?")));
        }
        let kept = Build::folder(&self.jenkins.home, &self.build.job, self.build.number).join("archive");
        for file in files {
            let target = kept.join(&file);
            let copy =
                target.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::copy(self.folder.join(&file), &target));
            copy.map_err(|e| Fail::Failed(format!("{file} cannot be archived: {e}")))?;
            if !self.build.artifacts.contains(&file) {
                self.build.artifacts.push(file);
            }
        }
        Ok(())
    }

    fn junit(&mut self, patterns: &str, allow_empty: bool) -> Result<(), Fail> {
        self.console.say("[Pipeline] junit\nRecording test results");
        let files = matching(&self.folder, patterns).map_err(Fail::Failed)?;
        if files.is_empty() {
            return if allow_empty { Ok(()) } else { Err(Fail::Failed("No test report files were found. Configuration error?".into())) };
        }
        let mut sum = (0, 0, 0);
        for file in files {
            let text = std::fs::read_to_string(self.folder.join(&file)).map_err(|e| Fail::Failed(format!("{file}: {e}")))?;
            let (total, failed, skipped) = counts(&text);
            sum = (sum.0 + total, sum.1 + failed, sum.2 + skipped);
        }
        self.build.tests = Some(sum);
        self.unstable |= sum.1 > 0;
        Ok(())
    }
}

/// Tests, failures and skipped ones of a report: by its elements, as the attributes may lie.
fn counts(xml: &str) -> (u64, u64, u64) {
    let count = |tag: &str| {
        u64::try_from(
            xml.matches(&format!("<{tag} ")).count() + xml.matches(&format!("<{tag}>")).count() + xml.matches(&format!("<{tag}/>")).count(),
        )
        .unwrap_or(0)
    };
    (count("testcase"), count("failure") + count("error"), count("skipped"))
}

/// Files that match patterns such as `build/*, reports/**/*.xml`, relative to the folder, sorted.
fn matching(folder: &Path, patterns: &str) -> Result<Vec<String>, String> {
    let patterns: Vec<Vec<&str>> = patterns.split(',').map(|pattern| pattern.trim().split('/').collect()).collect();
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(path);
                continue;
            }
            let relative = path.strip_prefix(folder).map_err(|e| e.to_string())?.display().to_string();
            let parts: Vec<&str> = relative.split('/').collect();
            if patterns.iter().any(|pattern| parts_match(pattern, &parts)) {
                found.push(relative);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn parts_match(pattern: &[&str], parts: &[&str]) -> bool {
    match (pattern, parts) {
        ([], []) => true,
        (["**", rest @ ..], _) => (0..=parts.len()).any(|skip| parts_match(rest, &parts[skip..])),
        ([first, rest @ ..], [part, others @ ..]) => name_matches(first, part) && parts_match(rest, others),
        _ => false,
    }
}

fn name_matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name
            .strip_prefix(head)
            .is_some_and(|rest| rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| name_matches(tail, &rest[at..]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_reports() {
        let m = |pattern: &str, path: &str| parts_match(&pattern.split('/').collect::<Vec<_>>(), &path.split('/').collect::<Vec<_>>());
        assert!(m("build/*", "build/a.digest") && !m("build/*", "build/x/a") && m("**/*.xml", "a/b/c.xml") && m("**/*.xml", "c.xml"));
        assert!(!m("build/*.txt", "build/a.xml"));
        let xml = "<testsuites><testsuite tests=\"9\"><testcase name=\"a\"/><testcase name=\"b\"><failure message=\"x\">y</failure></testcase></testsuite></testsuites>";
        assert_eq!(counts(xml), (2, 1, 0));
    }
}
