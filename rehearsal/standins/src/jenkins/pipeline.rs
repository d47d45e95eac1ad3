//! The declarative Jenkinsfile: what it may say, checked as a whole before anything of it runs.

use std::time::Duration;

use super::credentials::{Binding, named_text};
use super::groovy::{self, Call, Expr, Part, Stmt};
use super::plugins::{self, Plugins};

/// A pipeline.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pipeline {
    /// `options { gitLabConnection('…') }`
    pub connection: Option<String>,
    /// `disableConcurrentBuilds()`
    pub one_at_a_time: bool,
    /// `skipDefaultCheckout()`
    pub skip_default_checkout: bool,
    /// `timeout(…)`
    pub timeout: Option<Duration>,
    /// `timestamps()`
    pub timestamps: bool,
    /// `buildDiscarder(logRotator(numToKeepStr: '…'))`
    pub keep: Option<usize>,
    /// `environment`
    pub environment: Vec<(String, Expr)>,
    /// In order.
    pub stages: Vec<Stage>,
    /// What runs at the end: condition and steps.
    pub post: Vec<(String, Vec<Step>)>,
}

/// A stage.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// `when { expression { … } }`
    pub when: Option<Expr>,
    /// `environment`
    pub environment: Vec<(String, Expr)>,
    /// Its steps.
    pub steps: Vec<Step>,
    /// What runs at its end.
    pub post: Vec<(String, Vec<Step>)>,
}

/// A step.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// `sh '…'`
    Sh(Vec<Part>),
    /// `checkout scm`
    Checkout,
    /// `echo '…'`
    Echo(Vec<Part>),
    /// `error '…'`
    Error(Vec<Part>),
    /// `unstable '…'`
    Unstable(Vec<Part>),
    /// `dir('…') { }`
    Dir(Vec<Part>, Vec<Step>),
    /// `timeout(…) { }`
    Timeout(Duration, Vec<Step>),
    /// `withCredentials([…]) { }`
    WithCredentials(Vec<Binding>, Vec<Step>),
    /// `gitlabCommitStatus('…') { }`
    CommitStatus(String, Vec<Step>),
    /// `updateGitlabCommitStatus name: '…', state: '…'`
    UpdateCommitStatus(String, String),
    /// `archiveArtifacts artifacts: '…', allowEmptyArchive: …`
    Archive { artifacts: String, allow_empty: bool },
    /// `junit testResults: '…', allowEmptyResults: …`
    Junit { results: String, allow_empty: bool },
}

/// States of commits that GitLab's plugin knows.
pub const STATES: &[&str] = &["pending", "running", "canceled", "success", "failed", "skipped"];
const CONDITIONS: &[&str] = &["always", "changed", "success", "failure", "unstable", "aborted", "unsuccessful", "cleanup"];

/// Reads a Jenkinsfile. Errors are Jenkins' words, with lines.
pub fn read(source: &str, installed: &Plugins) -> Result<Pipeline, Vec<String>> {
    let compilation = |errors: Vec<String>| {
        let mut lines = vec!["org.codehaus.groovy.control.MultipleCompilationErrorsException: startup failed:".to_owned()];
        lines.extend(errors.into_iter().map(|error| format!("WorkflowScript: {error}")));
        lines
    };
    let statements = groovy::parse(source).map_err(compilation)?;
    let mut reader = Reader { installed, errors: Vec::new() };
    let pipeline = match statements.as_slice() {
        [one] if one.call().is_some_and(|call| call.name == "pipeline") => one.call().map(|call| reader.pipeline(call)).unwrap_or_default(),
        _ => {
            reader.errors.push("a Jenkinsfile of the rehearsal is one declarative `pipeline { }` and nothing else".into());
            Pipeline::default()
        }
    };
    if reader.errors.is_empty() { Ok(pipeline) } else { Err(compilation(reader.errors)) }
}

struct Reader<'a> {
    installed: &'a Plugins,
    errors: Vec<String>,
}

impl Reader<'_> {
    fn wrong(&mut self, line: usize, what: &str) {
        self.errors.push(format!("{line}: {what} @ line {line}"));
    }

    /// Whether a step, option or directive exists with these plugins.
    fn exists(&mut self, call: &Call) -> bool {
        let there = plugins::of_step(&call.name).is_some_and(|plugin| plugin.is_empty() || self.installed.contains_key(plugin));
        if !there {
            let steps = plugins::steps(self.installed).join(", ");
            self.wrong(call.line, &format!("java.lang.NoSuchMethodError: No such DSL method '{}' found among steps [{steps}]", call.name));
        }
        there
    }

    fn calls<'c>(&mut self, of: &'c Call) -> Vec<&'c Call> {
        let mut calls = Vec::new();
        for statement in of.body.iter().flatten() {
            match statement.call() {
                Some(call) => calls.push(call),
                None => self.wrong(statement.line(), &format!("`{}` holds something that is not in the rehearsal's subset", of.name)),
            }
        }
        calls
    }

    fn pipeline(&mut self, of: &Call) -> Pipeline {
        let mut pipeline = Pipeline::default();
        let mut sections = Vec::new();
        if !self.exists(of) {
            return pipeline;
        }
        for call in self.calls(of) {
            if sections.contains(&call.name.as_str()) {
                self.wrong(call.line, &format!("Multiple occurrences of the {} section", call.name));
            }
            sections.push(&call.name);
            match call.name.as_str() {
                "agent" => match call.args.as_slice() {
                    [Expr::Name(any)] if any == "any" && call.body.is_none() => {}
                    _ => self.wrong(call.line, "only `agent any` is in the rehearsal"),
                },
                "options" => self.calls(call).into_iter().for_each(|option| self.option(option, &mut pipeline)),
                "environment" => pipeline.environment = self.environment(call),
                "stages" => pipeline.stages = self.calls(call).into_iter().map(|stage| self.stage(stage)).collect(),
                "post" => pipeline.post = self.post(call),
                other => self.wrong(call.line, &format!("Undefined section \"{other}\" (in the rehearsal)")),
            }
        }
        for required in ["agent", "stages"] {
            if !sections.contains(&required) {
                self.wrong(of.line, &format!("Missing required section \"{required}\""));
            }
        }
        for (at, stage) in pipeline.stages.iter().enumerate() {
            if pipeline.stages[..at].iter().any(|other| other.name == stage.name) {
                self.wrong(of.line, &format!("Duplicate stage name: {}", stage.name));
            }
        }
        pipeline
    }

    fn option(&mut self, call: &Call, pipeline: &mut Pipeline) {
        if !self.exists(call) {
            return;
        }
        match (call.name.as_str(), call.args.as_slice()) {
            ("gitLabConnection", _) if call.text().is_some() => pipeline.connection = call.text().map(str::to_owned),
            ("disableConcurrentBuilds", []) if call.named.is_empty() => pipeline.one_at_a_time = true,
            ("skipDefaultCheckout", [] | [Expr::Bool(true)]) => pipeline.skip_default_checkout = true,
            ("timestamps", []) => pipeline.timestamps = true,
            ("timeout", []) => pipeline.timeout = self.duration(call),
            ("buildDiscarder", [Expr::Call(rotator)]) if rotator.name == "logRotator" => {
                pipeline.keep = named_text(rotator, "numToKeepStr").and_then(|text| text.parse().ok());
                if pipeline.keep.is_none() {
                    self.wrong(call.line, "logRotator(numToKeepStr: '…') is what the rehearsal knows");
                }
            }
            (name, _) => self.wrong(call.line, &format!("Invalid option type or arguments: \"{name}\"")),
        }
    }

    fn duration(&mut self, call: &Call) -> Option<Duration> {
        let factor = match named_text(call, "unit").as_deref() {
            None | Some("MINUTES") => 60,
            Some("SECONDS") => 1,
            Some("HOURS") => 3600,
            Some(other) => {
                self.wrong(call.line, &format!("No enum constant java.util.concurrent.TimeUnit.{other}"));
                return None;
            }
        };
        match call.named("time") {
            Some(Expr::Number(time)) if *time > 0 => Some(Duration::from_secs(time.unsigned_abs() * factor)),
            _ => {
                self.wrong(call.line, "Missing required parameter: \"time\"");
                None
            }
        }
    }

    fn environment(&mut self, call: &Call) -> Vec<(String, Expr)> {
        let mut variables = Vec::new();
        for statement in call.body.iter().flatten() {
            match statement {
                Stmt::Assign(name, value @ Expr::Text(_), _) => variables.push((name.clone(), value.clone())),
                other => {
                    self.wrong(other.line(), "Environment variable values must be strings (in the rehearsal: no function calls either)")
                }
            }
        }
        variables
    }

    fn stage(&mut self, call: &Call) -> Stage {
        let mut stage = Stage::default();
        match (call.name.as_str(), call.text()) {
            ("stage", Some(name)) => stage.name = name.to_owned(),
            ("stage", None) => self.wrong(call.line, "Expected a stage name"),
            (other, _) => self.wrong(call.line, &format!("Expected a stage, found {other}")),
        }
        let mut has_steps = false;
        for part in self.calls(call) {
            match part.name.as_str() {
                "when" => stage.when = self.when(part),
                "environment" => stage.environment = self.environment(part),
                "steps" => {
                    has_steps = true;
                    stage.steps = self.steps(part);
                }
                "post" => stage.post = self.post(part),
                other => self.wrong(part.line, &format!("Unknown stage section \"{other}\" (in the rehearsal)")),
            }
        }
        if !has_steps {
            self.wrong(call.line, "Expected one of \"steps\", \"stages\", or \"parallel\" for stage");
        }
        stage
    }

    fn when(&mut self, call: &Call) -> Option<Expr> {
        match self.calls(call).as_slice() {
            [one] if one.name == "expression" => match one.body.as_deref() {
                Some([Stmt::Expr(expr, _)]) => return Some(expr.clone()),
                _ => self.wrong(one.line, "an expression of the rehearsal is one expression"),
            },
            // True in a plain pipeline job too: there is no BRANCH_NAME, so such a stage never runs.
            [one] if one.name == "branch" => {
                self.wrong(one.line, "`branch` is for multibranch jobs: in a pipeline job BRANCH_NAME is never set and this is never true")
            }
            _ => self.wrong(call.line, "`when` of the rehearsal holds one `expression { }`"),
        }
        None
    }

    fn post(&mut self, call: &Call) -> Vec<(String, Vec<Step>)> {
        let mut post = Vec::new();
        for condition in self.calls(call) {
            if CONDITIONS.contains(&condition.name.as_str()) {
                let steps = self.steps(condition);
                post.push((condition.name.clone(), steps));
            } else {
                self.wrong(
                    condition.line,
                    &format!("Invalid condition \"{}\" - valid conditions are {}", condition.name, CONDITIONS.join(", ")),
                );
            }
        }
        // Jenkins' own order, whatever the file's.
        post.sort_by_key(|(name, _)| {
            ["always", "changed", "aborted", "failure", "success", "unstable", "unsuccessful", "cleanup"]
                .iter()
                .position(|known| known == name)
        });
        post
    }

    fn steps(&mut self, of: &Call) -> Vec<Step> {
        let steps: Vec<Step> = self.calls(of).into_iter().filter_map(|call| self.step(call)).collect();
        if of.body.as_ref().is_none_or(Vec::is_empty) {
            self.wrong(of.line, &format!("No steps specified for {}", of.name));
        }
        steps
    }

    fn step(&mut self, call: &Call) -> Option<Step> {
        if !self.exists(call) {
            return None;
        }
        let text = match call.args.as_slice() {
            [Expr::Text(parts)] => Some(parts.clone()),
            [] => match call.named.as_slice() {
                [(key, Expr::Text(parts))] if matches!(key.as_str(), "message" | "script" | "path") => Some(parts.clone()),
                _ => None,
            },
            _ => None,
        };
        let flag = |key: &str| call.named(key) == Some(&Expr::Bool(true));
        let only = |known: &[&str]| call.named.iter().all(|(key, _)| known.contains(&key.as_str()));
        let body = call.body.is_some();
        Some(match (call.name.as_str(), text) {
            ("sh", Some(text)) if !body => Step::Sh(text),
            ("echo", Some(text)) if !body => Step::Echo(text),
            ("error", Some(text)) if !body => Step::Error(text),
            ("unstable", Some(text)) if !body => Step::Unstable(text),
            ("dir", Some(text)) if body => Step::Dir(text, self.steps(call)),
            ("checkout", None) if call.args == [Expr::Name("scm".into())] && !body => Step::Checkout,
            ("timeout", None) if body => Step::Timeout(self.duration(call)?, self.steps(call)),
            ("withCredentials", None) if body => {
                let [Expr::List(items)] = call.args.as_slice() else {
                    self.wrong(call.line, "withCredentials takes a list of bindings");
                    return None;
                };
                let bindings: Result<Vec<_>, _> = items.iter().map(Binding::read).collect();
                match bindings {
                    Ok(bindings) => Step::WithCredentials(bindings, self.steps(call)),
                    Err(why) => {
                        self.wrong(call.line, &why);
                        return None;
                    }
                }
            }
            ("gitlabCommitStatus", _) if body => {
                let name = call.text().map(str::to_owned).or_else(|| named_text(call, "name")).unwrap_or_else(|| "jenkins".into());
                Step::CommitStatus(name, self.steps(call))
            }
            ("updateGitlabCommitStatus", None) if only(&["name", "state"]) && !body => {
                let name = named_text(call, "name").unwrap_or_else(|| "jenkins".into());
                match named_text(call, "state") {
                    Some(state) if STATES.contains(&state.as_str()) => Step::UpdateCommitStatus(name, state),
                    _ => {
                        self.wrong(call.line, &format!("state must be one of {}", STATES.join(", ")));
                        return None;
                    }
                }
            }
            ("archiveArtifacts", _) if only(&["artifacts", "allowEmptyArchive", "fingerprint"]) && !body => {
                let artifacts = named_text(call, "artifacts").or_else(|| call.text().map(str::to_owned)).unwrap_or_default();
                Step::Archive { artifacts, allow_empty: flag("allowEmptyArchive") }
            }
            ("junit", _) if only(&["testResults", "allowEmptyResults"]) && !body => {
                let results = named_text(call, "testResults").or_else(|| call.text().map(str::to_owned)).unwrap_or_default();
                Step::Junit { results, allow_empty: flag("allowEmptyResults") }
            }
            (name, _) => {
                self.wrong(call.line, &format!("these arguments of {name} are not in the rehearsal"));
                return None;
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;

    fn all() -> Plugins {
        plugins::catalog().keys().map(|name| ((*name).to_owned(), "1".to_owned())).collect()
    }

    const SMALL: &str = "pipeline {\n  agent any\n  options { timestamps() }\n  stages {\n    stage('a') {\n      when { expression { env.X != 'none' } }\n      steps { sh 'true' }\n    }\n  }\n  post { always { echo 'x' } }\n}\n";

    #[test]
    fn the_lab_s_jenkinsfile_is_one() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../app/Jenkinsfile");
        let pipeline = read(&std::fs::read_to_string(file).unwrap(), &all()).unwrap();
        let names: Vec<&str> = pipeline.stages.iter().map(|stage| stage.name.as_str()).collect();
        let want = [
            "checkout",
            "quality gates",
            "build",
            "test",
            "scan",
            "no scanner configured",
            "push",
            "deploy",
            "security tests",
            "no security tests configured",
        ];
        assert_eq!(names, want);
        assert!(pipeline.one_at_a_time && pipeline.timeout.is_some() && pipeline.connection.as_deref() == Some("gitlab"));
        assert!(pipeline.post.iter().any(|(condition, _)| condition == "failure"));
    }

    #[test]
    fn what_jenkins_refuses_is_refused() {
        assert!(read(SMALL, &all()).is_ok());
        for (from, to, want) in [
            ("agent any", "agent { docker 'x' }", "only `agent any`"),
            ("sh 'true'", "bat 'true'", "No such DSL method 'bat' found among steps ["),
            ("sh 'true'", "sh script: 'true', returnStatus: true", "arguments of sh"),
            ("steps {", "stepz {", "Unknown stage section \"stepz\""),
            ("always {", "sometimes {", "Invalid condition \"sometimes\""),
            ("expression { env.X != 'none' }", "branch 'main'", "multibranch"),
            ("timestamps()", "ansiColor('xterm')", "No such DSL method 'ansiColor'"),
            ("  agent any\n", "", "Missing required section \"agent\""),
            ("sh 'true'", "", "No steps specified"),
            ("sh 'true'", "script { }", "No such DSL method 'script'"),
            ("stage('a')", "stage('a'", "WorkflowScript: line "),
        ] {
            let source = SMALL.replacen(from, to, 1);
            assert_ne!(source, SMALL, "{from}");
            let errors = read(&source, &all()).unwrap_err().join("\n");
            assert!(errors.contains(want) && errors.contains("MultipleCompilationErrors"), "{want}: {errors}");
        }
        let mut fewer = all();
        fewer.remove("workflow-durable-task-step");
        assert!(read(SMALL, &fewer).unwrap_err().join("\n").contains("No such DSL method 'sh'"));
    }
}
