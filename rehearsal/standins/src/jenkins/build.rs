//! One build, from the Jenkinsfile to the result.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::console::Console;
use super::environment;
use super::groovy::Expr;
use super::pipeline::{self, Pipeline, Stage, Step};
use super::process::Abort;
use super::record::{Build, Cause, StageRun, now};
use super::state::Jenkins;
use super::steps::{Fail, Run};
use super::value::eval;

/// What an executor does: builds, for ever.
pub fn executor(jenkins: &Arc<Jenkins>) {
    loop {
        let (build, abort) = jenkins.next();
        let build = run(jenkins, build, &abort);
        jenkins.done(&build);
    }
}

fn run(jenkins: &Jenkins, mut build: Build, abort: &Abort) -> Build {
    let folder = Build::folder(&jenkins.home, &build.job, build.number);
    let begun = std::fs::create_dir_all(&folder).and_then(|()| Console::begin(&folder.join("log")));
    let console = match begun {
        Ok(console) => console,
        Err(error) => {
            eprintln!("SEVERE {} #{} has no console: {error}", build.job, build.number);
            build.result = Some("FAILURE".into());
            return build;
        }
    };
    jenkins.progress(&build);
    match &build.cause {
        Cause::GitLab(who) => console.say(&format!("Started by GitLab push by {who}")),
        Cause::User(who) => console.say(&format!("Started by user {who}")),
    }
    console.say("Running in the rehearsal's stand-in for Jenkins");
    let workspace = jenkins.home.join("workspace").join(&build.job);
    let config = jenkins.config();
    let env = environment::of_build(&build, &config.url, &jenkins.home, &workspace, &config.env);
    let mut run = Run {
        jenkins,
        build,
        console: &console,
        abort: abort.clone(),
        until: None,
        env,
        folder: workspace.clone(),
        workspace,
        connection: None,
        unstable: false,
    };
    let (result, keep) = match prepare(&mut run) {
        Ok(pipeline) => (whole(&mut run, &pipeline), pipeline.keep),
        Err(fail) => (ended(&run, &fail), None),
    };
    let mut build = run.build;
    build.duration = now().saturating_sub(build.started);
    build.result = Some(result.to_owned());
    console.say(&format!("[Pipeline] End of Pipeline\nFinished: {result}"));
    if let Some(keep) = keep {
        for old in Build::numbers(&jenkins.home, &build.job).into_iter().skip(keep) {
            let _ = std::fs::remove_dir_all(Build::folder(&jenkins.home, &build.job, old));
        }
    }
    build
}

/// Gets the Jenkinsfile, in a workspace of its own, and reads it.
fn prepare(run: &mut Run<'_>) -> Result<Pipeline, Fail> {
    let job = run.jenkins.job(&run.build.job).ok_or_else(|| Fail::Failed("the job is gone".into()))?;
    let script = PathBuf::from(format!("{}@script", run.workspace.display()));
    run.check_out(&script)?;
    let source = std::fs::read_to_string(script.join(&job.script_path))
        .map_err(|_| Fail::Failed(format!("Unable to find {} from git {}", job.script_path, job.url)))?;
    run.console.say(&format!("Obtained {} from git {}\n[Pipeline] Start of Pipeline", job.script_path, job.url));
    let pipeline = pipeline::read(&source, &run.jenkins.plugins).map_err(|errors| Fail::Failed(errors.join("\n")))?;
    run.jenkins.work(|work| match pipeline.one_at_a_time {
        true => drop(work.alone.insert(job.name.clone())),
        false => drop(work.alone.remove(&job.name)),
    });
    for folder in [&run.workspace, &PathBuf::from(format!("{}@tmp", run.workspace.display()))] {
        std::fs::create_dir_all(folder).map_err(|e| Fail::Failed(format!("{}: {e}", folder.display())))?;
    }
    Ok(pipeline)
}

/// Says why it ended; the result.
fn ended(run: &Run<'_>, fail: &Fail) -> &'static str {
    match fail {
        Fail::Failed(why) => {
            run.console.say(&format!("ERROR: {why}"));
            "FAILURE"
        }
        Fail::Aborted(why) => {
            run.console.say(why);
            "ABORTED"
        }
    }
}

fn whole(run: &mut Run<'_>, pipeline: &Pipeline) -> &'static str {
    if pipeline.timestamps {
        run.console.timestamps();
    }
    run.connection.clone_from(&pipeline.connection);
    run.until = pipeline.timeout.map(|limit| Instant::now() + limit);
    let mut result = "SUCCESS";
    if let Err(fail) = add_variables(&mut run.env, &pipeline.environment) {
        result = ended(run, &fail);
    }
    if result == "SUCCESS" && !pipeline.skip_default_checkout {
        let checkout = Stage { name: "Declarative: Checkout SCM".into(), steps: vec![Step::Checkout], ..Stage::default() };
        result = stage(run, &checkout, result);
        if let Some(commit) = run.build.commit.clone() {
            run.env.insert("GIT_COMMIT".into(), commit);
        }
    }
    for next in &pipeline.stages {
        result = stage(run, next, result);
    }
    if !pipeline.post.is_empty() {
        let last = Stage { name: "Declarative: Post Actions".into(), ..Stage::default() };
        begin(run, &last.name, "IN_PROGRESS");
        let after = post(run, &pipeline.post, result);
        end(run, if after == result { "SUCCESS" } else { status(after) });
        result = after;
    }
    result
}

fn add_variables(env: &mut BTreeMap<String, String>, variables: &[(String, Expr)]) -> Result<(), Fail> {
    for (name, value) in variables {
        let value = eval(value, env).map_err(Fail::Failed)?.text();
        environment::set(env, name, &value);
    }
    Ok(())
}

fn begin(run: &mut Run<'_>, name: &str, status: &str) {
    run.console.say(&format!("[Pipeline] stage\n[Pipeline] {{ ({name})"));
    run.build.stages.push(StageRun { name: name.to_owned(), status: status.to_owned(), started: now(), duration: 0 });
    run.jenkins.progress(&run.build);
}

fn end(run: &mut Run<'_>, status: &str) {
    run.console.say("[Pipeline] }");
    if let Some(stage) = run.build.stages.last_mut() {
        stage.status = status.to_owned();
        stage.duration = now().saturating_sub(stage.started);
    }
    run.jenkins.progress(&run.build);
}

fn status(result: &str) -> &'static str {
    match result {
        "SUCCESS" => "SUCCESS",
        "UNSTABLE" => "UNSTABLE",
        "ABORTED" => "ABORTED",
        _ => "FAILED",
    }
}

/// The worse of two results.
fn worse(a: &'static str, b: &'static str) -> &'static str {
    let rank = |result| ["SUCCESS", "UNSTABLE", "FAILURE", "ABORTED"].iter().position(|known| *known == result);
    if rank(a) >= rank(b) { a } else { b }
}

/// Runs a stage, unless an earlier one failed or its condition is not met; the build's result so far.
fn stage(run: &mut Run<'_>, stage: &Stage, so_far: &'static str) -> &'static str {
    if matches!(so_far, "FAILURE" | "ABORTED") {
        begin(run, &stage.name, "NOT_EXECUTED");
        let why = if so_far == "ABORTED" { "aborted build" } else { "earlier failure(s)" };
        run.console.say(&format!("Stage \"{}\" skipped due to {why}", stage.name));
        end(run, "NOT_EXECUTED");
        return so_far;
    }
    begin(run, &stage.name, "IN_PROGRESS");
    let before = run.env.clone();
    run.env.insert("STAGE_NAME".into(), stage.name.clone());
    run.unstable = false;
    let wanted = match &stage.when {
        None => Ok(true),
        Some(expr) => eval(expr, &run.env).map(|value| value.truth()).map_err(Fail::Failed),
    };
    let result = match wanted {
        Ok(false) => {
            run.console.say(&format!("Stage \"{}\" skipped due to when conditional", stage.name));
            run.env = before;
            end(run, "NOT_EXECUTED");
            return so_far;
        }
        Ok(true) => add_variables(&mut run.env, &stage.environment).and_then(|()| run.steps(&stage.steps)),
        Err(fail) => Err(fail),
    };
    let mut own = match result {
        Ok(()) if run.unstable => "UNSTABLE",
        Ok(()) => "SUCCESS",
        Err(fail) => ended(run, &fail),
    };
    own = post(run, &stage.post, own);
    run.env = before;
    end(run, status(own));
    worse(so_far, own)
}

/// Runs what belongs to this result, also after an abort; the result afterwards.
fn post(run: &mut Run<'_>, post: &[(String, Vec<Step>)], so_far: &'static str) -> &'static str {
    let mut result = so_far;
    // What is to be cleaned up must get its chance: a new deadline, and no abort of the past.
    let abort = run.abort.clone();
    if abort.asked() {
        run.abort = Abort::default();
    }
    let until = run.until.replace(Instant::now() + Duration::from_secs(600));
    for (condition, steps) in post {
        let meant = match condition.as_str() {
            "always" | "cleanup" => true,
            "success" => so_far == "SUCCESS",
            "unstable" => so_far == "UNSTABLE",
            "failure" => so_far == "FAILURE",
            "aborted" => so_far == "ABORTED",
            "unsuccessful" => so_far != "SUCCESS",
            _ => changed(run, so_far),
        };
        if !meant {
            continue;
        }
        run.unstable = false;
        if let Err(fail) = run.steps(steps) {
            run.console.say(&format!("Error when executing {condition} post condition:"));
            result = worse(result, ended(run, &fail));
        } else if run.unstable {
            result = worse(result, "UNSTABLE");
        }
    }
    (run.abort, run.until) = (abort, until);
    result
}

/// Whether the build before ended otherwise.
fn changed(run: &Run<'_>, result: &str) -> bool {
    let numbers = Build::numbers(&run.jenkins.home, &run.build.job);
    let before = numbers.into_iter().find(|number| *number < run.build.number);
    let before = before.and_then(|number| Build::load(&run.jenkins.home, &run.build.job, number));
    before.is_none_or(|before| before.result.as_deref() != Some(result))
}
