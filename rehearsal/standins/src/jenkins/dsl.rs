//! Job DSL: the forms that our role uses. Anything else is refused with its line.

use super::groovy::{self, Call, Expr, Stmt};
use super::plugins::Plugins;

/// A pipeline job whose Jenkinsfile comes from git.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The repository.
    pub url: String,
    /// Id of the credential for it.
    pub credentials: String,
    /// The branch that is built when nobody says which commit: `main`.
    pub branch: String,
    /// Where the Jenkinsfile is.
    pub script_path: String,
    /// Name of the connection to GitLab.
    pub connection: Option<String>,
    /// The trigger.
    pub trigger: Option<Trigger>,
}

/// GitLab's trigger.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trigger {
    /// Pushes start builds.
    pub on_push: bool,
    /// Branches that do: `All`, or those of `branches`.
    pub all_branches: bool,
    /// `NameBasedFilter`: these names.
    pub branches: Vec<String>,
    /// What the hook must bring.
    pub secret: Option<String>,
    /// Name of the commit status of a build that waits.
    pub pending_name: Option<String>,
}

/// Reads a script.
pub fn read(script: &str, plugins: &Plugins) -> Result<Vec<Job>, String> {
    let statements = groovy::parse(script).map_err(|errors| errors.join("; "))?;
    let mut jobs = Vec::new();
    for statement in &statements {
        let call = call(statement)?;
        let (Some(name), Some(body), "pipelineJob") = (call.text(), &call.body, call.name.as_str()) else {
            return unknown(call, "the script");
        };
        if !plugins.contains_key("workflow-job") {
            return Err(format!("(line {}) pipelineJob is of the plugin workflow-job, which is not installed", call.line));
        }
        let mut job = Job { name: name.to_owned(), script_path: "Jenkinsfile".into(), ..Job::default() };
        for statement in body {
            job_part(statement, &mut job, plugins)?;
        }
        if job.url.is_empty() {
            return Err(format!("(line {}) the job {name} has no definition: cpsScm with a git remote", call.line));
        }
        jobs.push(job);
    }
    Ok(jobs)
}

fn call(statement: &Stmt) -> Result<&Call, String> {
    statement.call().ok_or_else(|| format!("(line {}) only calls are in the rehearsal's subset of job DSL", statement.line()))
}

fn unknown<T>(call: &Call, of: &str) -> Result<T, String> {
    Err(format!(
        "(line {}) No signature of method: {}() is applicable in {of} (in the rehearsal's subset of job DSL)",
        call.line, call.name
    ))
}

/// Visits the calls of a block.
fn block(of: &Call, mut visit: impl FnMut(&Call) -> Result<(), String>) -> Result<(), String> {
    match &of.body {
        Some(body) if of.args.is_empty() && of.named.is_empty() => body.iter().try_for_each(|statement| visit(call(statement)?)),
        _ => unknown(of, "this place"),
    }
}

fn text(call: &Call) -> Result<String, String> {
    call.text().map(str::to_owned).ok_or_else(|| format!("(line {}) {} takes one text", call.line, call.name))
}

fn flag(call: &Call) -> Result<bool, String> {
    match call.args.as_slice() {
        [Expr::Bool(value)] => Ok(*value),
        _ => Err(format!("(line {}) {} takes true or false", call.line, call.name)),
    }
}

fn job_part(statement: &Stmt, job: &mut Job, plugins: &Plugins) -> Result<(), String> {
    let part = call(statement)?;
    match part.name.as_str() {
        "description" => text(part).map(|text| job.description = text),
        "definition" => block(part, |definition| match definition.name.as_str() {
            "cpsScm" => block(definition, |part| scm(part, job)),
            _ => unknown(definition, "definition"),
        }),
        "properties" => block(part, |property| {
            if !plugins.contains_key("gitlab-plugin") {
                return Err(format!("(line {}) {} is of the plugin gitlab-plugin, which is not installed", property.line, property.name));
            }
            match property.name.as_str() {
                "gitLabConnection" => block(property, |inner| match inner.name.as_str() {
                    "gitLabConnection" => text(inner).map(|name| job.connection = Some(name)),
                    _ => unknown(inner, "gitLabConnection"),
                }),
                "pipelineTriggers" => block(property, |triggers| match triggers.name.as_str() {
                    "triggers" => block(triggers, |kind| match kind.name.as_str() {
                        "gitlab" => trigger(kind).map(|trigger| job.trigger = Some(trigger)),
                        _ => unknown(kind, "triggers"),
                    }),
                    _ => unknown(triggers, "pipelineTriggers"),
                }),
                _ => unknown(property, "properties"),
            }
        }),
        _ => unknown(part, "pipelineJob"),
    }
}

fn scm(part: &Call, job: &mut Job) -> Result<(), String> {
    match part.name.as_str() {
        "scriptPath" => text(part).map(|path| job.script_path = path),
        "lightweight" if flag(part)? => Err(format!(
            "(line {}) lightweight(true) reads the Jenkinsfile of the branch, not of the pushed commit: write false",
            part.line
        )),
        "lightweight" => Ok(()),
        "scm" => block(part, |kind| match kind.name.as_str() {
            "git" => block(kind, |git| match git.name.as_str() {
                "remote" => block(git, |remote| match remote.name.as_str() {
                    "url" => text(remote).map(|url| job.url = url),
                    "credentials" => text(remote).map(|id| job.credentials = id),
                    _ => unknown(remote, "remote"),
                }),
                "branch" => text(git).map(|branch| job.branch = branch.trim_start_matches("*/").to_owned()),
                _ => unknown(git, "git"),
            }),
            _ => unknown(kind, "scm"),
        }),
        _ => unknown(part, "cpsScm"),
    }
}

fn trigger(of: &Call) -> Result<Trigger, String> {
    let mut trigger = Trigger { on_push: true, all_branches: true, ..Trigger::default() };
    block(of, |setter| match setter.name.as_str() {
        "triggerOnPush" => flag(setter).map(|value| trigger.on_push = value),
        "triggerOnMergeRequest"
        | "triggerOnNoteRequest"
        | "triggerOnPipelineEvent"
        | "triggerOnAcceptedMergeRequest"
        | "triggerOnClosedMergeRequest" => match flag(setter)? {
            true => Err(format!("(line {}) {}(true) is not in the rehearsal", setter.line, setter.name)),
            false => Ok(()),
        },
        "branchFilterType" => match text(setter)?.as_str() {
            "All" => {
                trigger.all_branches = true;
                Ok(())
            }
            "NameBasedFilter" => {
                trigger.all_branches = false;
                Ok(())
            }
            other => Err(format!("(line {}) branchFilterType {other} is not in the rehearsal", setter.line)),
        },
        "includeBranchesSpec" => text(setter).map(|names| trigger.branches = names.split(',').map(|name| name.trim().to_owned()).collect()),
        "pendingBuildName" => text(setter).map(|name| trigger.pending_name = Some(name)),
        "secretToken" => text(setter).map(|token| trigger.secret = Some(token).filter(|token| !token.is_empty())),
        _ => unknown(setter, "gitlab"),
    })?;
    Ok(trigger)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;

    const SCRIPT: &str = "
pipelineJob('student_list') {
    description('x')
    properties {
        gitLabConnection {
            gitLabConnection('gitlab')
        }
        pipelineTriggers {
            triggers {
                gitlab {
                    triggerOnPush(true)
                    triggerOnMergeRequest(false)
                    branchFilterType('All')
                    pendingBuildName('pipeline')
                    secretToken('t0ken')
                }
            }
        }
    }
    definition {
        cpsScm {
            scm {
                git {
                    remote {
                        url('git@gitlab.example:pozos/student_list.git')
                        credentials('gitlab-checkout')
                    }
                    branch('*/main')
                }
            }
            scriptPath('Jenkinsfile')
            lightweight(false)
        }
    }
}
";

    fn all() -> Plugins {
        crate::jenkins::plugins::catalog().keys().map(|name| ((*name).to_owned(), "1".to_owned())).collect()
    }

    #[test]
    fn our_job() {
        let job = read(SCRIPT, &all()).unwrap().remove(0);
        assert_eq!((job.name.as_str(), job.branch.as_str(), job.credentials.as_str()), ("student_list", "main", "gitlab-checkout"));
        let trigger = job.trigger.unwrap();
        assert_eq!((trigger.secret.as_deref(), trigger.pending_name.as_deref()), (Some("t0ken"), Some("pipeline")));
        assert_eq!(job.connection.as_deref(), Some("gitlab"));
    }

    #[test]
    fn everything_else_is_refused() {
        for (from, to, want) in [
            ("pipelineJob", "freeStyleJob", "freeStyleJob"),
            ("gitlab {", "gitlabPush {", "gitlabPush"),
            ("description('x')", "triggers { cron('@daily') }", "(line 3) No signature of method: triggers()"),
            ("lightweight(false)", "lightweight(true)", "of the pushed commit"),
            ("url('git@gitlab.example:pozos/student_list.git')", "github('a/b')", "github"),
            ("triggerOnPush(true)", "triggerOnPush('yes')", "takes true or false"),
            ("secretToken('t0ken')", "secretToken(\"${System.getenv('X')}\")", "takes one text"),
        ] {
            let script = SCRIPT.replacen(from, to, 1);
            assert_ne!(script, SCRIPT);
            let error = read(&script, &all()).unwrap_err();
            assert!(error.contains(want), "{want}: {error}");
        }
        let mut plugins = all();
        plugins.remove("gitlab-plugin");
        assert!(read(SCRIPT, &plugins).unwrap_err().contains("gitlab-plugin, which is not installed"));
    }
}
