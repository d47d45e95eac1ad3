//! Attacks: line by line while they run, and as documents at the end: JSON, JUnit, a page (`html/attack.rs`).

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::html::attack_page;
use super::print::print_lines;
use super::{Format, print_text};
use crate::attack::{Launched, Outcome, Report, Verdict};
use crate::base::quote;

/// One line for a scenario that is over; more where something is wrong. What was skipped is in the summary's number.
pub fn print_attack(outcome: &Outcome, control: bool) {
    if !matches!(outcome.verdict, Verdict::Skipped(_)) {
        print_lines(&lines(outcome, control));
    }
}

/// The end: numbers, in the words of an attack or of a control; or the whole as one document.
pub fn print_attacks(format: Format, report: &Report) -> Result<()> {
    match format {
        Format::Text => print_lines(&[summary(report)]),
        Format::Json => print_text(&format!("{}\n", json(report)?)),
        Format::Junit => print_text(&junit(report)?),
    }
    Ok(())
}

/// The files of a prefix: PREFIX.json, PREFIX.xml (JUnit) and PREFIX.html.
fn files(prefix: &Path) -> [PathBuf; 3] {
    ["json", "xml", "html"].map(|extension| {
        let mut name = prefix.as_os_str().to_owned();
        name.push(format!(".{extension}"));
        PathBuf::from(name)
    })
}

/// A file beside it, which becomes it when it is whole: nobody reads half of a report.
fn beside(file: &Path) -> Result<tempfile::NamedTempFile> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    // As readable as any other file: the pipeline collects them as another user.
    tempfile::Builder::new()
        .prefix(".poclab-attack-")
        .permissions(std::fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)
        .with_context(|| format!("cannot write into the folder {}", folder.display()))
}

/// Whether the reports of this prefix can be written.
pub fn try_attacks(prefix: &Path) -> Result<()> {
    for file in files(prefix) {
        beside(&file)?;
        anyhow::ensure!(!file.is_dir(), "cannot write {}: it is a folder; choose another --output", file.display());
    }
    Ok(())
}

/// Writes PREFIX.json, PREFIX.xml (JUnit) and PREFIX.html; returns their names.
pub fn write_attacks(prefix: &Path, report: &Report) -> Result<Vec<PathBuf>> {
    let texts = [json(report)?, junit(report)?, attack_page(report)?];
    files(prefix)
        .into_iter()
        .zip(texts)
        .map(|(file, text)| {
            let mut whole = beside(&file)?;
            whole.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))?;
            whole.persist(&file).with_context(|| format!("cannot write {}", file.display()))?;
            Ok(file)
        })
        .collect()
}

/// What a scenario is called for people: of a control, where an attack must succeed, that is good.
pub(super) fn word(verdict: &Verdict, control: bool) -> &'static str {
    match (verdict, control) {
        (Verdict::Passed, false) => "withstood",
        (Verdict::Failed(_), false) => "SUCCEEDED",
        (Verdict::Passed, true) => "MISSED",
        (Verdict::Failed(_), true) => "found",
        (Verdict::Error(_), _) => "UNKNOWN",
        (Verdict::Skipped(_), _) => "skipped",
    }
}

pub(super) fn why(outcome: &Outcome) -> Option<&str> {
    match &outcome.verdict {
        Verdict::Passed => None,
        Verdict::Failed(why) | Verdict::Error(why) | Verdict::Skipped(why) => Some(why),
    }
}

pub(super) fn place(outcome: &Outcome) -> String {
    format!("{}:{}", outcome.file.display(), outcome.line)
}

fn lines(outcome: &Outcome, control: bool) -> Vec<String> {
    let mut lines =
        vec![format!("  {:<10} {}: {}  ({:.1} s)", word(&outcome.verdict, control), outcome.feature, outcome.scenario, outcome.seconds)];
    let bad = match outcome.verdict {
        Verdict::Failed(_) => !control,
        Verdict::Passed => control,
        Verdict::Error(_) => true,
        Verdict::Skipped(_) => false,
    };
    if bad {
        lines.extend(told(outcome, control).into_iter().map(|line| format!("             {line}")));
    }
    lines
}

/// Where, which steps, why, after which command, and what to do: of a scenario that is not as it should be.
fn told(outcome: &Outcome, control: bool) -> Vec<String> {
    let step = |line: usize, step: &str| format!("{}:{line}: {step}", outcome.file.display());
    let mut lines = vec![place(outcome)];
    if !outcome.step.is_empty() {
        lines.push(step(outcome.step_line, &outcome.step));
    }
    lines.extend(why(outcome).map(ToOwned::to_owned));
    for broken in &outcome.more {
        lines.extend([step(broken.line, &broken.step), broken.why.clone()]);
    }
    lines.extend(outcome.launched.last().map(|last| format!("after: {}  (exit status {})", command(last), last.status)));
    lines.push(next(&outcome.verdict, control).to_owned());
    lines
}

/// The command as it may be typed into a shell, to try it by hand.
pub(super) fn command(launched: &Launched) -> String {
    launched.command.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// What to do next.
fn next(verdict: &Verdict, control: bool) -> &'static str {
    match (verdict, control) {
        (Verdict::Failed(_), false) => "next: try the command by hand; repair what answers like this, and deploy again",
        (Verdict::Passed, true) => {
            "next: give the twin the weakness that this attack looks for, or correct the attack: it would miss a real one"
        }
        (Verdict::Error(_), _) => "next: nothing is known until it can be carried out; try the command by hand where it was to run",
        _ => "",
    }
}

pub(super) fn summary(report: &Report) -> String {
    let [passed, failed, errors, skipped] = report.counts();
    let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
    let took = format!("{:.0} s", report.seconds);
    if report.control {
        format!("control: {failed} attacks found what is weak, {passed} missed it, {errors} could not be carried out{skipped}; {took}")
    } else {
        format!("{passed} attacks withstood, {failed} succeeded, {errors} could not be carried out{skipped}; {took}")
    }
}

fn json(report: &Report) -> Result<String> {
    let [passed, failed, errors, skipped] = report.counts();
    let mut value = serde_json::to_value(report)?;
    value["passed"] = passed.into();
    value["failed"] = failed.into();
    value["errors"] = errors.into();
    value["skipped"] = skipped.into();
    Ok(serde_json::to_string_pretty(&value)?)
}

fn status(outcome: &Outcome, control: bool) -> TestCaseStatus {
    let bad = |kind: NonSuccessKind, message: &str| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_message(message.lines().next().unwrap_or_default());
        status.set_description(told(outcome, control).join("\n"));
        status
    };
    match &outcome.verdict {
        Verdict::Passed if control => bad(NonSuccessKind::Failure, "this attack did not find what is weak on purpose: it proves nothing"),
        Verdict::Failed(_) if control => TestCaseStatus::success(),
        Verdict::Passed => TestCaseStatus::success(),
        Verdict::Failed(why) => bad(NonSuccessKind::Failure, why),
        Verdict::Error(why) => bad(NonSuccessKind::Error, why),
        Verdict::Skipped(why) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(why.as_str());
            status
        }
    }
}

/// A command and what it printed.
fn output(launched: &Launched) -> String {
    format!(
        "$ {}\n{}{}\n(exit status {}, {:.1} s)\n",
        command(launched),
        launched.stdout,
        launched.stderr,
        launched.status,
        launched.seconds
    )
}

fn junit(report: &Report) -> Result<String> {
    let mut out = quick_junit::Report::new(if report.control { "attacks (control)" } else { "attacks" });
    out.set_time(Duration::try_from_secs_f64(report.seconds).unwrap_or_default());
    let mut suites: Vec<(&str, TestSuite)> = Vec::new();
    for outcome in &report.scenarios {
        let mut case = TestCase::new(outcome.scenario.as_str(), status(outcome, report.control));
        case.set_classname(outcome.feature.as_str());
        case.set_time(Duration::try_from_secs_f64(outcome.seconds).unwrap_or_default());
        if !outcome.launched.is_empty() {
            case.set_system_out(outcome.launched.iter().map(output).collect::<String>());
        }
        match suites.iter_mut().find(|(name, _)| *name == outcome.feature) {
            Some((_, suite)) => suite.add_test_case(case),
            None => {
                let mut suite = TestSuite::new(outcome.feature.as_str());
                suite.add_test_case(case);
                suites.push((&outcome.feature, suite));
                continue;
            }
        };
    }
    for (_, suite) in suites {
        out.add_test_suite(suite);
    }
    out.to_string().context("the JUnit report cannot be made")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::attack::Launched;

    pub fn report(control: bool) -> Report {
        let launched = Launched {
            command: vec!["curl".into(), "http://app/?q=<script>alert(1)</script>".into()],
            status: 0,
            seconds: 0.2,
            stdout: "HTTP/1.1 200 OK\n<script>alert(1)</script>".into(),
            stderr: String::new(),
        };
        let outcome = |scenario: &str, verdict: Verdict, step: &str| Outcome {
            file: "app/security/a.attack".into(),
            feature: "injection".into(),
            scenario: scenario.into(),
            line: 12,
            tags: vec!["slow".into()],
            verdict,
            step: step.into(),
            step_line: if step.is_empty() { 0 } else { 17 },
            more: Vec::new(),
            seconds: 1.25,
            launched: vec![launched.clone()],
        };
        Report {
            control,
            seconds: 5.0,
            scenarios: vec![
                outcome("no template is filled in", Verdict::Passed, ""),
                outcome(
                    "nothing is reflected",
                    Verdict::Failed("the output must not contain \"<script>\"".into()),
                    "Then the output should not contain \"<script>\"",
                ),
                outcome("the port", Verdict::Error("nmap is not installed".into()), "Given \"nmap\" is installed"),
                outcome("slow", Verdict::Skipped("its tags are not among those that are wanted".into()), ""),
            ],
        }
    }

    #[test]
    fn an_attack_that_succeeds_is_loud_and_says_why() {
        let all = |control: bool| report(control).scenarios.iter().flat_map(|one| lines(one, control)).collect::<Vec<_>>();
        let text = all(false);
        assert_eq!(text[0], "  withstood  injection: no template is filled in  (1.2 s)");
        assert!(text[1].starts_with("  SUCCEEDED  injection: nothing is reflected"), "{text:#?}");
        assert_eq!(text[2].trim(), "app/security/a.attack:12");
        assert!(text.iter().any(|line| line.contains("nmap is not installed")), "{text:#?}");
        for part in
            ["a.attack:17: Then the output should not", "after: curl 'http://app/?q=<script>alert(1)</script>'  (exit status 0)", "next: "]
        {
            assert!(text.iter().any(|line| line.contains(part)), "{part}: {text:#?}");
        }
        assert_eq!(summary(&report(false)), "1 attacks withstood, 1 succeeded, 1 could not be carried out, 1 skipped; 5 s");
        let text = all(true);
        assert!(text[0].starts_with("  MISSED ") && text.iter().any(|line| line.starts_with("  found ")), "{text:#?}");
    }

    #[test]
    fn documents_hold_all_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let files = write_attacks(&folder.path().join("deep/attack"), &report(false)).unwrap();
        let text = |at: usize| std::fs::read_to_string(&files[at]).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text(0)).unwrap();
        assert_eq!((&value["failed"], &value["errors"]), (&1.into(), &1.into()));
        assert_eq!(value["scenarios"][1]["verdict"], "failed");
        assert!(value["scenarios"][1]["why"].as_str().unwrap().contains("must not contain"));
        assert_eq!(value["scenarios"][0]["verdict"], "passed");
        let junit = text(1);
        assert!(junit.contains("<system-out>$ curl") && junit.contains("(exit status 0, 0.2 s)"), "{junit}");
        assert!(junit.contains("tests=\"4\"") && junit.contains("failures=\"1\"") && junit.contains("errors=\"1\""), "{junit}");
        let names: Vec<_> = std::fs::read_dir(folder.path().join("deep")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(try_attacks(&folder.path().join("file/attack")).unwrap_err().to_string().contains("cannot make the folder"));
        let junit = super::junit(&report(true)).unwrap();
        assert!(junit.contains("proves nothing") && !junit.contains("must not contain"), "{junit}");
    }
}
