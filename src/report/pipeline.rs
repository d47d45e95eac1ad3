//! A build of the pipeline, stage by stage.

use std::time::Duration;

use serde::Serialize;

use super::print::print_lines;
use super::{Format, print_text};
use crate::check::pipeline::jenkins::{Build, Stage};

/// What is shown of a build.
#[derive(Serialize)]
struct Shown<'a> {
    build: &'a Build,
    stages: &'a [Stage],
}

/// Prints what is new since the last look (all of it, the first time): one line per build and stage that began or ended; as JSON one
/// object with the whole build.
pub fn print_build(format: Format, seen: Option<&(Build, Vec<Stage>)>, now: &(Build, Vec<Stage>)) {
    if seen == Some(now) {
        return;
    }
    match format {
        Format::Json => {
            let shown = Shown { build: &now.0, stages: &now.1 };
            // Nothing in these types can fail to become JSON; a line less is better than a panic.
            let line = serde_json::to_string(&shown).unwrap_or_default();
            print_text(&format!("{line}\n"));
        }
        _ => print_lines(&lines(seen, now)),
    }
}

fn seconds(milliseconds: u64) -> String {
    format!("{:.1} s", Duration::from_millis(milliseconds).as_secs_f64())
}

fn head(build: &Build) -> String {
    let sha = build.sha.as_deref().map_or(String::new(), |sha| format!(" of {}", sha.get(..8).unwrap_or(sha)));
    let cause = if build.causes.is_empty() { String::new() } else { format!(" ({})", build.causes.join(", ")) };
    format!("build {}{sha}{cause}  {}", build.number, build.url)
}

fn line(stage: &Stage) -> String {
    let took = if stage.runs() || stage.status == "NOT_EXECUTED" { String::new() } else { seconds(stage.took) };
    format!("  {:<26} {:<12} {took}", stage.name, words(&stage.status)).trim_end().to_owned()
}

/// Jenkins' word for a stage's state in ours.
fn words(status: &str) -> &str {
    match status {
        "SUCCESS" => "ok",
        "FAILED" => "FAILED",
        "UNSTABLE" => "unstable",
        "ABORTED" => "aborted",
        "IN_PROGRESS" => "running",
        "NOT_EXECUTED" => "not run",
        other => other,
    }
}

fn lines(seen: Option<&(Build, Vec<Stage>)>, (build, stages): &(Build, Vec<Stage>)) -> Vec<String> {
    let seen = seen.filter(|(old, _)| old.number == build.number);
    let mut lines = Vec::new();
    // The commit is known only after the checkout.
    if seen.is_none_or(|(old, _)| head(old) != head(build)) {
        lines.push(head(build));
    }
    let old = |stage: &Stage| seen.and_then(|(_, old)| old.iter().find(|old| old.name == stage.name)).map(|old| old.status.as_str());
    lines.extend(stages.iter().filter(|stage| old(stage) != Some(&stage.status)).map(line));
    if let Some(result) = &build.result
        && seen.is_none_or(|(old, _)| old.result.is_none())
    {
        lines.push(format!("build {}: {result} after {}", build.number, seconds(build.took)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str, status: &str, took: u64) -> Stage {
        Stage { name: name.into(), status: status.into(), took }
    }

    #[test]
    fn only_what_is_new_is_told() {
        let mut build = Build {
            number: 8,
            url: "https://j/job/x/8/".into(),
            causes: vec!["Started by GitLab push by developer".into()],
            ..Build::default()
        };
        let first = (build.clone(), vec![]);
        assert_eq!(lines(None, &first), ["build 8 (Started by GitLab push by developer)  https://j/job/x/8/"]);
        build.sha = Some("0123456789abcdef".into());
        let second = (build.clone(), vec![stage("checkout", "SUCCESS", 1200), stage("build", "IN_PROGRESS", 300)]);
        let told = lines(Some(&first), &second);
        assert_eq!(told[1..], ["  checkout                   ok           1.2 s", "  build                      running"]);
        assert!(told[0].starts_with("build 8 of 01234567 ("), "{told:?}");
        let third = (build.clone(), vec![stage("checkout", "SUCCESS", 1200), stage("build", "IN_PROGRESS", 900)]);
        assert!(lines(Some(&second), &third).is_empty());
        build.result = Some("FAILURE".into());
        build.took = 9000;
        let last = (build, vec![stage("checkout", "SUCCESS", 1200), stage("build", "FAILED", 4000)]);
        assert_eq!(lines(Some(&third), &last), ["  build                      FAILED       4.0 s", "build 8: FAILURE after 9.0 s"]);
        assert_eq!(lines(None, &last).len(), 4, "everything at a first look");
    }
}
