//! Whole attack files, with a launcher that plays the tools.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::feature::read;
use super::launch::{Launcher, Ran};
use super::run::{Limits, Outcome, Verdict, run};
use super::{Tags, step};

/// Plays every tool: answers with what a test says for the command's words.
struct Played {
    answer: fn(&[String], &Path) -> Result<Ran, String>,
    commands: Mutex<Vec<(Vec<String>, Duration)>>,
}

impl Launcher for Played {
    fn installed(&self, program: &str) -> Result<(), String> {
        if program == "curl" { Ok(()) } else { Err(format!("{program} is not installed")) }
    }

    fn launch(&self, command: &[String], folder: &Path, _: bool, limit: Duration) -> Result<Ran, String> {
        self.commands.lock().unwrap().push((command.to_vec(), limit));
        (self.answer)(command, folder)
    }

    fn variable(&self, name: &str) -> Option<String> {
        (name == "TARGET").then(|| "http://app".to_owned())
    }

    fn prepare(&self, folder: &Path) -> Result<(), String> {
        std::fs::write(folder.join("given.txt"), "given").map_err(|error| error.to_string())
    }
}

fn said(status: i32, stdout: &str) -> Result<Ran, String> {
    Ok(Ran { status, stdout: stdout.to_owned(), stderr: "curl: (7) refused\n".to_owned(), seconds: 0.1 })
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.attack");
    std::fs::write(&file, text).unwrap();
    (folder, file)
}

fn problems(text: &str) -> Vec<String> {
    let (folder, file) = file(text);
    let shown = format!("{}/", folder.path().display());
    read(&file).unwrap_err().iter().map(|problem| problem.to_string().replace(&shown, "")).collect()
}

fn attack_with(
    text: &str,
    tags: Option<&str>,
    answer: fn(&[String], &Path) -> Result<Ran, String>,
) -> (Vec<Outcome>, Vec<(Vec<String>, Duration)>) {
    let (_folder, file) = file(text);
    let attack = read(&file).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let launcher = Played { answer, commands: Mutex::default() };
    let tags: Option<Tags> = tags.map(|tags| tags.parse().unwrap());
    let limits = Limits { parallel: 1, patience: 1 };
    let outcomes = run(&[attack], tags.as_ref(), &launcher, limits, &AtomicBool::new(false), &|_| {}).unwrap();
    (outcomes, launcher.commands.into_inner().unwrap())
}

fn verdicts(outcomes: &[Outcome]) -> Vec<&'static str> {
    let word = |outcome: &Outcome| match outcome.verdict {
        Verdict::Passed => "passed",
        Verdict::Failed(_) => "failed",
        Verdict::Error(_) => "error",
        Verdict::Skipped(_) => "skipped",
    };
    outcomes.iter().map(word).collect()
}

/// Written from Gauntlt's examples.
const WHOLE: &str = r#"@slow
Feature: the whole language
  As an attacker
  I want in

  Background:
    Given "curl" is installed
    And the following environment variables:
      | name | environment_variable_name |
      | url  | TARGET                    |
    And the following profile:
      | name    | value                    |
      | payload | <script>alert(1)</script> |

  # a comment
  Scenario: nothing is reflected
    When I launch a "curl" attack with:
      """
      curl --silent --data "q=<payload>" <url>/
      """
    Then the output should contain "ok"
    And the output should not contain "<script>"

  @reallyslow @web
  Scenario Outline: no <user>
    When I launch a "generic" attack with:
      """
      curl --user <user>:<password> <url>/
      """
    Then the output should match /^HTTP/1\.[01] 401/

    Examples:
      | user  | password |
      | root  | root     |
      | admin | a b      |
"#;

#[test]
fn files_of_the_whole_language_run() {
    let (outcomes, commands) =
        attack_with(WHOLE, None, |command, _| said(0, if command.contains(&"--data".to_owned()) { "ok" } else { "HTTP/1.1 401 X\n" }));
    assert_eq!(verdicts(&outcomes), ["passed"; 3], "{outcomes:#?}");
    assert_eq!(outcomes.iter().map(|o| o.scenario.as_str()).collect::<Vec<_>>(), ["nothing is reflected", "no root", "no admin"]);
    assert_eq!(commands[0].0, ["curl", "--silent", "--data", "q=<script>alert(1)</script>", "http://app/"]);
    // The example's value is part of the command's text, where a blank separates words.
    assert_eq!(commands[2].0, ["curl", "--user", "admin:a", "b", "http://app/"]);
    assert_eq!(commands.iter().map(|(_, limit)| limit.as_secs()).collect::<Vec<_>>(), [30, 600, 600]);
    assert_eq!(outcomes[1].tags, ["slow", "reallyslow", "web"]);
}

#[test]
fn what_succeeds_and_what_is_not_wanted_is_told_apart() {
    let (outcomes, commands) = attack_with(WHOLE, Some("not @web"), |_, _| said(0, "ok <script>alert(1)"));
    assert_eq!(verdicts(&outcomes), ["failed", "skipped", "skipped"]);
    assert_eq!(commands.len(), 1);
    assert_eq!(outcomes[0].step, "And the output should not contain \"<script>\"");
    assert!(matches!(&outcomes[0].verdict, Verdict::Failed(why) if why.contains("ok <script>alert(1)")), "{outcomes:#?}");
}

#[test]
fn everything_that_does_not_hold_is_told() {
    let text = one(
        "    Then the output should contain \"y\"\n    And the output should contain \"x\"\n    And the output should not match /x/\n    And the attack should have reached its target: /y/\n",
    );
    let second = format!(
        "{text}    When I launch a \"curl\" attack with:\n      \"\"\"\n      curl y\n      \"\"\"\n    Then the output should contain \"y\"\n"
    );
    let (outcomes, commands) = attack_with(&second, None, |_, _| said(0, "x"));
    assert_eq!((verdicts(&outcomes), commands.len()), (vec!["failed"], 1), "what follows an attack that succeeded is not tried");
    assert_eq!(outcomes[0].step, "Then the output should contain \"y\"");
    let more: Vec<&str> = outcomes[0].more.iter().map(|broken| broken.step.as_str()).collect();
    assert_eq!(more, ["And the output should not match /x/"]);
}

fn one(steps: &str) -> String {
    format!("Feature: f\n  Scenario: s\n    When I launch a \"curl\" attack with:\n      \"\"\"\n      curl x\n      \"\"\"\n{steps}")
}

#[test]
fn a_tool_that_saw_nothing_proves_nothing() {
    let negative = one("    Then the output should not contain \"x\"\n");
    let both = one("    Then the output should contain \"y\"\n    And the output should not contain \"x\"\n");
    let demanded = one("    Then the exit status should be 7\n    And the output should not contain \"x\"\n");
    let reached =
        one("    Then the attack should have reached its target: exit status 0 or 7\n    And the output should not contain \"x\"\n");
    let not_three = one("    Then the exit status should not be 3\n    And the output should not contain \"x\"\n");
    let only_not = one("    Then the exit status should not be 0\n");
    let empty = one("    Then the stdout should not contain anything\n");
    let positive = one("    Then the output should contain \"y\"\n");
    let refused: fn(&[String], &Path) -> Result<Ran, String> = |_, _| said(7, "");
    let broken: fn(&[String], &Path) -> Result<Ran, String> = |_, _| Err("still busy".to_owned());
    let leaked: fn(&[String], &Path) -> Result<Ran, String> = |_, _| said(18, "x");
    let partly: fn(&[String], &Path) -> Result<Ran, String> = |_, _| said(7, "y");
    let fine: fn(&[String], &Path) -> Result<Ran, String> = |_, _| said(0, "y");
    for (text, answer, expected) in [
        (&negative, refused, "error"),
        (&negative, fine, "passed"),
        // What it should not have got is there, however it ended.
        (&negative, leaked, "failed"),
        (&both, refused, "error"),
        // One of two answers came: of the other nothing is known.
        (&both, partly, "error"),
        (&both, leaked, "failed"),
        (&positive, partly, "passed"),
        (&empty, refused, "error"),
        (&empty, fine, "failed"),
        (&demanded, refused, "passed"),
        (&demanded, broken, "error"),
        // That it is not 3 does not say that 7 is as it should be.
        (&not_three, refused, "error"),
        (&not_three, fine, "passed"),
        (&only_not, refused, "error"),
        (&only_not, fine, "failed"),
        (&reached, refused, "passed"),
        (&reached, fine, "passed"),
        (&reached, leaked, "failed"),
        (&reached, broken, "error"),
    ] {
        assert_eq!(verdicts(&attack_with(text, None, answer).0), [expected], "{text}");
    }
    let other: fn(&[String], &Path) -> Result<Ran, String> = |_, _| said(35, "");
    assert_eq!(verdicts(&attack_with(&reached, None, other).0), ["error"]);
    let wrong_status: fn(&[String], &Path) -> Result<Ran, String> = |_, _| said(0, "");
    assert_eq!(verdicts(&attack_with(&demanded, None, wrong_status).0), ["failed"]);
    // The first of two attacks has seen nothing; the second cannot make up for that.
    let two = format!(
        "{negative}    When I launch a \"curl\" attack with:\n      \"\"\"\n      curl y\n      \"\"\"\n    Then the output should contain \"y\"\n"
    );
    let first: fn(&[String], &Path) -> Result<Ran, String> = |command, _| if command[1] == "x" { said(7, "") } else { said(0, "y") };
    assert_eq!(verdicts(&attack_with(&two, None, first).0), ["error"]);
}

#[test]
fn what_was_seen_counts_more_than_what_could_not_be() {
    let text = one(
        "    Then the attack should have reached its target: /y/\n    And the output should contain \"z\"\n    And the output should not contain \"x\"\n    And the output should not match /x/\n",
    );
    let (outcomes, _) = attack_with(&text, None, |_, _| said(0, "x"));
    assert_eq!(verdicts(&outcomes), ["failed"], "{outcomes:#?}");
    assert_eq!((outcomes[0].step.as_str(), outcomes[0].step_line), ("And the output should not contain \"x\"", 9));
    assert_eq!(outcomes[0].more.iter().map(|broken| broken.line).collect::<Vec<_>>(), [10]);
    // That something is missing is no finding where the target was not reached.
    let (outcomes, _) = attack_with(&text, None, |_, _| said(0, "w"));
    assert_eq!((verdicts(&outcomes), outcomes[0].step_line), (vec!["error"], 7), "{outcomes:#?}");
    // What came of an attack that could not be launched is not looked for in what came of the one before it.
    let text = format!(
        "{}    When I launch a \"curl\" attack with:\n      \"\"\"\n      curl y\n      \"\"\"\n    Then the output should not contain \"ok\"\n",
        one("    Then the output should contain \"ok\"\n")
    );
    let (outcomes, _) = attack_with(&text, None, |command, _| if command[1] == "x" { said(0, "ok") } else { Err("gone".to_owned()) });
    assert_eq!((verdicts(&outcomes), outcomes[0].step_line), (vec!["error"], 8), "{outcomes:#?}");
}

#[test]
fn demands_are_filled_as_commands_are() {
    let text = "Feature: f\n  Scenario Outline: s\n    Given the following profile:\n      | name | value |\n      | payload | <b>1</b> |\n    And a file named \"x.conf\" with:\n      \"\"\"\n      data = <payload> <i>\n      \"\"\"\n    When I launch a \"curl\" attack with:\n      \"\"\"\n      curl <<what>> <other>\n      \"\"\"\n    Then the output should not contain \"<<what>>\"\n\n    Examples:\n      | what | other |\n\n      | payload | what |\n";
    let (outcomes, commands) = attack_with(text, None, |command, folder| {
        let file = std::fs::read_to_string(folder.join("x.conf")).unwrap();
        said(0, &format!("{} {file}", command[1]))
    });
    assert_eq!(commands[0].0, ["curl", "<b>1</b>", "what"], "a value is not filled again");
    assert_eq!((verdicts(&outcomes), outcomes[0].line), (vec!["failed"], 19), "{outcomes:#?}");
    assert!(outcomes[0].launched[0].stdout.contains("data = <b>1</b> <i>"), "{outcomes:#?}");
}

#[test]
fn what_is_missing_is_an_error() {
    let given = |step: &str| {
        format!(
            "Feature: f\n  Scenario: s\n    Given {step}\n    When I launch a \"curl\" attack with:\n      \"\"\"\n      curl x\n      \"\"\"\n    Then the output should contain \"y\"\n"
        )
    };
    let yes: fn(&[String], &Path) -> Result<Ran, String> = |_, _| said(0, "y");
    let environment = "the following environment variables:\n      | name | environment_variable_name |\n      | url | NOT_SET |";
    for step in ["\"nmap\" is installed", environment] {
        let (outcomes, commands) = attack_with(&given(step), None, yes);
        assert_eq!(verdicts(&outcomes), ["error"], "{step}");
        assert!(commands.is_empty());
    }
}

#[test]
fn files_are_in_a_folder_of_the_scenario() {
    let text = "Feature: f\n  Scenario: s\n    Given a file named \"rules.conf\" with:\n      \"\"\"\n      1\tFAIL\n      \"\"\"\n    When I launch a \"zap\" attack with:\n      \"\"\"\n      curl x\n      \"\"\"\n    Then the file \"out.txt\" should contain \"1\tFAIL given\"\n";
    let (outcomes, _) = attack_with(text, None, |_, folder| {
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        std::fs::write(folder.join("out.txt"), format!("{} {}", read("rules.conf").trim(), read("given.txt"))).unwrap();
        said(0, "")
    });
    assert_eq!(verdicts(&outcomes), ["passed"], "{outcomes:#?}");
}

#[test]
fn secrets_of_the_profile_are_shown_nowhere() {
    let text = "Feature: f\n  Scenario: s\n    Given the following profile:\n      | name | value |\n      | password | hunter22 |\n    When I launch a \"curl\" attack with:\n      \"\"\"\n      curl <password>\n      \"\"\"\n    Then the output should not contain \"hunter22\"\n";
    let (outcomes, commands) = attack_with(text, None, |command, _| said(0, &command[1]));
    assert_eq!(commands[0].0, ["curl", "hunter22"]);
    assert_eq!(verdicts(&outcomes), ["failed"]);
    let all = serde_json::to_string(&outcomes).unwrap();
    // The step's own text, which is in the file for everybody to read, stays as it is.
    assert_eq!(all.matches("hunter22").count(), 1, "{all}");
}

fn outline(command: &str, rows: &str) -> String {
    format!(
        "Feature: f\n  Scenario Outline: s\n    When I launch a \"curl\" attack with:\n      \"\"\"\n      {command}\n      \"\"\"\n    Then the output should contain \"x\"\n    Examples:\n{rows}"
    )
}

#[test]
fn mistakes_are_named_with_their_lines() {
    let scenario = "    When I launch a \"curl\" attack with:\n      \"\"\"\n      curl x\n      \"\"\"\n";
    for (text, line, why) in [
        ("Feature: f\n  Scenario: s\n    Given \"curl\" is instaled\n".to_owned(), 3, "nearest known one is `\"curl\" is installed`"),
        (
            format!("Feature: f\n  Scenario: s\n{scenario}    Then the outpt should contain:\n      \"\"\"\n      x\n      \"\"\"\n"),
            7,
            "nearest known one is `the output should contain:`",
        ),
        (format!("Feature: f\n  Scenario: s\n{scenario}"), 3, "never looked at"),
        ("Feature: f\n  Scenario: s\n    Then the output should contain \"x\"\n".to_owned(), 3, "nothing was launched"),
        ("Feature: f\n  Scenario: s\n    Given \"curl\" is installed\n".to_owned(), 2, "launches no attack"),
        ("Feature: f\n".to_owned(), 1, "no scenario"),
        ("\n".to_owned(), 1, "it is empty"),
        (format!("Feature: f\n  Scenario: s\n{scenario}    Thenn the output should contain \"x\"\n"), 7, "no Gherkin"),
        (
            format!("Feature: f\n  Scenario: s\n    Givn \"curl\" is installed\n{scenario}    Then the output should contain \"x\"\n"),
            2,
            "is no step",
        ),
        (format!("Feature: f\n  Scenaro: s\n{scenario}    Then the output should contain \"x\"\n"), 1, "misspelled"),
        (format!("Feature: f\n  Scenario Outline: s\n{scenario}    Then the output should contain \"x\"\n"), 2, "without `Examples:`"),
        (one("    Then the output should match /(/\n"), 7, "no regular expression"),
        (one("    Then the output should contain \"\"\n"), 7, "proves nothing"),
        (one("    Then the output should contain \"x\"\n      | a |\n"), 7, "would be ignored"),
        (one("    Then the file \"../x\" should contain \"y\"\n"), 7, "no plain file name"),
        (one("    Then the report \"x\" should have no findings of at least \"terrible\"\n"), 7, "is no level"),
        (
            one("    Then the report \"x\" should have no findings except:\n      | finding | reason |\n      | XSS |  |\n"),
            7,
            "without a reason",
        ),
        (one("    Then the following cookies should be received:\n      | name | colour |\n      | a | b |\n"), 7, "`colour` is not known"),
        (
            "Feature: f\n  Scenario: s\n    When I launch a \"bazooka\" attack with:\n      \"\"\"\n      x\n      \"\"\"\n".to_owned(),
            3,
            "no kind of attack",
        ),
        ("Feature: f\n  Scenario: s\n    When I launch an \"arachni-all\" attack\n".to_owned(), 3, "no named attack"),
        (one("    Then the attack should have reached its target: exit status 0 or 700\n"), 7, "no list of exit statuses"),
        (one("    Then the output should not contain \"<paylod>\"\n"), 7, "<paylod> has no value"),
        (one("    Then the output should contain \"x\"\n").replace("curl x", "curl <url>"), 3, "<url> has no value"),
        (one("    Then the output should contain \"x\"\n").replace("curl x", "curl 'x"), 3, "a quote is not closed"),
        (one("    Then the output should contain \"x\"\n").replace("curl x", "curl x | grep y"), 3, "there is no shell"),
        (outline("curl <a>", "      | a | b |\n      | 1 | 2 |\n"), 9, "no step uses the column `b`: write <b>"),
        (outline("curl <a>", "      | a |\n      | 1 |\n      | x|y |\n"), 11, "this row has 2 cells, its header 1: write \\| for a bar"),
        (outline("curl <a>", "      | a |\n      | \\d |\n"), 10, "`\\d` means nothing in a table"),
        (
            format!("Feature: f\n  Rule: r\n  Scenaro: s\n{scenario}    Then the output should contain \"x\"\n"),
            2,
            "is read as a part of the rule's description",
        ),
        (
            format!("{}\n  Rule: nothing\n    Only words.\n", one("    Then the output should contain \"x\"\n")),
            9,
            "no scenario in this rule",
        ),
    ] {
        let found = problems(&text);
        assert!(
            found.len() == 1 && found[0].starts_with(&format!("a.attack:{line}: ")) && found[0].contains(why),
            "{why}: {found:#?}\n{text}"
        );
    }
    assert!(read(Path::new("/nonexistent.attack")).is_err());
}

#[test]
fn each_step_is_known_by_its_example_and_by_no_other_pattern() {
    for (example, pattern) in step::examples() {
        assert!(pattern.is_match(example), "{example}");
        let matching = step::examples().filter(|(_, pattern)| pattern.is_match(example)).count();
        assert_eq!(matching, 1, "{example}");
    }
}
