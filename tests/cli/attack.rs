//! `poclab attack`: with a tool that is a script, and with the shipped attacks against the twin that must fall for each of them.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A folder with an attack file and a `curl` that answers from a file.
struct Folder(tempfile::TempDir);

const ATTACK: &str = r#"Feature: f
  Background:
    Given "curl" is installed
    And the following environment variables:
      | name | environment_variable_name |
      | url  | TARGET                    |

  Scenario: one
    When I launch a "curl" attack with:
      """
      curl <url>
      """
    Then the output should contain "secure"

  @slow
  Scenario: two
    When I launch a "curl" attack with:
      """
      curl <url>
      """
    Then the output should not contain "weak"
    And the exit status should be 0
"#;

impl Folder {
    fn new(attack: &str, said: &str, status: i32) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(folder.path("bin")).unwrap();
        std::fs::write(folder.path("a.attack"), attack).unwrap();
        std::fs::write(folder.path("bin/curl"), format!("#!/bin/sh\necho '{said}' \"$@\"\nexit {status}\n")).unwrap();
        std::fs::set_permissions(folder.path("bin/curl"), std::fs::Permissions::from_mode(0o755)).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn attack(&self, arguments: &[&str]) -> (i32, String, String) {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        let tools = self.path("tools.yml");
        std::fs::write(&tools, "{}").unwrap();
        let mut command = poclab(arguments);
        command.env("PATH", path).env("TARGET", "http://x").env("POCLAB_ATTACK_TOOLS", tools).current_dir(self.0.path());
        told(&command.output().unwrap())
    }
}

fn poclab(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poclab"));
    command.arg("attack").args(arguments);
    command
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn how_it_ends_says_what_came_of_it() {
    for (said, status, exit, control) in
        [("secure", 0, 0, 3), ("weak", 0, 3, 0), ("secure weak", 0, 3, 3), ("secure", 7, 3, 3), ("weak", 7, 3, 4)]
    {
        let folder = Folder::new(ATTACK, said, status);
        assert_eq!(folder.attack(&["a.attack"]).0, exit, "{said} {status}");
        assert_eq!(folder.attack(&["--control", "a.attack"]).0, control, "control: {said} {status}");
    }
    // A tool that is not there is no attack that was withstood.
    let folder = Folder::new(&ATTACK.replace("\"curl\" is", "\"no-such-tool\" is"), "secure", 0);
    let (exit, out, _) = folder.attack(&["a.attack"]);
    assert_eq!(exit, 4);
    assert!(out.contains("no-such-tool is not installed"), "{out}");
}

#[test]
fn it_is_told_line_by_line_and_written_as_documents() {
    let folder = Folder::new(ATTACK, "secure weak", 0);
    let (exit, out, err) = folder.attack(&["a.attack", "--output", "out/attack"]);
    assert_eq!((exit, err.as_str()), (3, ""));
    for line in [
        "  withstood  f: one  (",
        "  SUCCEEDED  f: two  (",
        "a.attack:16",
        "has: secure weak http://x",
        "a.attack:21: Then the output should not contain \"weak\"",
        "after: curl http://x  (exit status 0)",
        "next: try the command by hand",
        "1 attacks withstood, 1 succeeded, 0 could",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    let value: Value = serde_json::from_str(&std::fs::read_to_string(folder.path("out/attack.json")).unwrap()).unwrap();
    assert_eq!(value["scenarios"][1]["launched"][0]["command"], serde_json::json!(["curl", "http://x"]));
    assert!(std::fs::read_to_string(folder.path("out/attack.xml")).unwrap().contains("failures=\"1\""));
    assert!(std::fs::read_to_string(folder.path("out/attack.html")).unwrap().contains("Content-Security-Policy"));
    let (_, out, _) = folder.attack(&["a.attack", "--format", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["failed"], 1);
    let (_, out, _) = folder.attack(&["a.attack", "--format", "junit"]);
    assert!(out.starts_with("<?xml"), "{out}");
}

#[test]
fn tags_narrow_and_nothing_is_no_success() {
    let folder = Folder::new(ATTACK, "secure weak", 0);
    assert_eq!(folder.attack(&["a.attack", "--tags", "not @slow"]).0, 0);
    let (exit, _, err) = folder.attack(&["a.attack", "--tags", "@web"]);
    assert!(exit == 64 && err.contains("nothing was attacked; the files' tags: @slow"), "{err}");
    // Refused before anything is run or written: a report about nothing would look like a success.
    let (exit, out, _) = folder.attack(&["a.attack", "--tags", "@web", "--output", "none", "--format", "junit"]);
    assert_eq!((exit, out.as_str(), folder.path("none.html").exists()), (64, "", false));
    let (exit, _, err) = folder.attack(&["a.attack", "--tags", "not @slwo and not @slow"]);
    assert!(exit == 0 && err.contains("no scenario of these files has the tag @slwo"), "{err}");
    assert!(folder.attack(&["a.attack", "--tags", "slow or"]).2.contains("no expression of tags"));
    let (exit, out, _) = folder.attack(&["a.attack", "--list"]);
    assert_eq!((exit, out.lines().count()), (0, 2));
    assert!(out.contains("a.attack:16: f: two @slow"), "{out}");
    let (exit, out, _) = folder.attack(&["a.attack", "--list", "--tags", "not @slow"]);
    assert!(exit == 0 && out.lines().count() == 1 && out.contains("f: one"), "{out}");
}

#[test]
fn folders_stand_for_their_files_and_steps_are_named() {
    let folder = Folder::new(ATTACK, "secure", 0);
    std::fs::create_dir(folder.path("more")).unwrap();
    std::fs::write(folder.path("more/b.attack"), ATTACK).unwrap();
    std::fs::write(folder.path("more/b.txt"), "").unwrap();
    let (exit, out, err) = folder.attack(&["--list", "a.attack", ".", "more", "./a.attack"]);
    assert_eq!((exit, out.lines().count()), (0, 4), "{out}{err}");
    let (exit, _, err) = folder.attack(&["bin"]);
    assert!(exit == 64 && err.contains("no .attack file in the folder bin"), "{err}");
    let (exit, out, _) = folder.attack(&["--steps"]);
    assert!(exit == 0 && out.lines().any(|line| line == "the exit status should be 0"), "{out}");
    assert_eq!(folder.attack(&[]).0, 64);
    assert_eq!(folder.attack(&["a.attack", "--parallel", "1000"]).0, 64);
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_the_attacks() {
    let folder = Folder::new(ATTACK, "secure", 0);
    let (exit, out, err) = folder.attack(&["a.attack", "--output", "a.attack/report"]);
    assert!(exit == 1 && !out.contains("withstood") && err.contains("cannot make the folder a.attack"), "{out}{err}");
}

/// What a tool of the PATH gets of the environment.
#[test]
fn tools_do_not_get_the_environment() {
    let attack = ATTACK.replace("should contain \"secure\"", "should match /^http_proxy=;secret=;path=.+/");
    let folder = Folder::new(&attack, "http_proxy='\"$http_proxy\"';secret='\"$SECRET_KEY\"';path='\"$PATH\"'", 0);
    let mut command = poclab(&["a.attack"]);
    let path = format!("{}:/usr/bin:/bin", folder.path("bin").display());
    std::fs::write(folder.path("tools.yml"), "{}").unwrap();
    command.env("PATH", path).env("TARGET", "http://x").env("SECRET_KEY", "hunter22").env("http_proxy", "http://proxy:1");
    let (exit, out, err) = told(&command.env("POCLAB_ATTACK_TOOLS", "tools.yml").current_dir(folder.0.path()).output().unwrap());
    assert_eq!(exit, 0, "{out}{err}");
}

#[test]
fn a_mistake_stops_everything() {
    let folder = Folder::new(&ATTACK.replace("should not contain", "shall not contain"), "secure", 0);
    let (exit, out, err) = folder.attack(&["a.attack"]);
    assert_eq!((exit, out.as_str()), (64, ""));
    assert!(
        err.contains("a.attack:21: unknown step `the output shall not contain \"weak\"`") && err.contains("nothing was attacked"),
        "{err}"
    );
    for zero in ["--parallel", "--patience"] {
        assert_eq!(folder.attack(&["a.attack", zero, "0"]).0, 64);
    }
    assert!(folder.attack(&["b.attack"]).2.contains("b.attack: cannot be read"));
    std::fs::write(folder.path("wrong.yml"), "image: {}").unwrap();
    let (exit, _, err) = Folder::new(ATTACK, "", 0).attack(&["a.attack", "--tools", folder.path("wrong.yml").to_str().unwrap()]);
    assert!(exit == 64 && err.contains("unknown field"), "{err}");
}

/// The twin on free ports of this machine; ended when dropped.
struct Twin {
    process: Child,
    ports: Vec<u16>,
}

impl Twin {
    fn start() -> Self {
        let held: Vec<TcpListener> = (0..7).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = held.iter().map(|one| one.local_addr().unwrap().port()).collect();
        drop(held);
        let mut command = Command::new("python3");
        command.arg(security("twin/twin.py")).arg("127.0.0.1").args(ports.iter().map(u16::to_string)).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("weak on purpose"), "{line}");
        Self { process, ports }
    }

    /// The variables that the attacks get.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let [website, api, gitlab, jenkins, registry, pull, _] = self.ports[..] else { panic!("seven ports") };
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let host = || "127.0.0.1".to_owned();
        vec![
            ("WEBSITE_URL", url(website)),
            ("STORED_WEBSITE_URL", url(website)),
            ("APP_URL", url(api)),
            ("LAB_SCHEME", "http".to_owned()),
            ("LAB_PROJECT", "pozos/student_list".to_owned()),
            ("LAB_GITLAB_HOST", host()),
            ("LAB_GITLAB_PORT", gitlab.to_string()),
            ("LAB_GITLAB_PLAIN_PORT", gitlab.to_string()),
            ("LAB_JENKINS_HOST", host()),
            ("LAB_JENKINS_PORT", jenkins.to_string()),
            ("LAB_REGISTRY_HOST", host()),
            ("LAB_REGISTRY_PORT", registry.to_string()),
            ("LAB_REGISTRY_PULL_PORT", pull.to_string()),
        ]
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn security(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("app/security").join(name)
}

fn shipped() -> Vec<String> {
    let mut files = Vec::new();
    for folder in ["", "stored", "scanner"] {
        for entry in std::fs::read_dir(security(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "attack") {
                files.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

#[test]
fn every_shipped_attack_is_understood() {
    let files = shipped();
    assert!(files.len() >= 11, "{files:?}");
    let (exit, out, err) = told(&poclab(&["--list"]).args(&files).output().unwrap());
    assert_eq!((exit, err.as_str()), (0, ""));
    assert!(out.lines().count() > 60, "{out}");
    // Each says what it needs: something deployed, or the lab.
    for line in out.lines() {
        assert!(line.contains(" @app") || line.contains(" @lab"), "{line}");
    }
}

/// What these files forbid (`should not`) and no scenario has seen: that the demand before it is not met hides whether this one can
/// say no. What is slow is left to the lab's test.
fn forbidden(files: &[String], fell: &[Value]) -> Vec<String> {
    let mut broken = std::collections::BTreeSet::new();
    for one in fell {
        let more = one["more"].as_array().unwrap().iter().map(|more| &more["step"]);
        let steps = std::iter::once(&one["step"]).chain(more).map(|step| step.as_str().unwrap());
        broken.extend(steps.map(|step| (one["file"].as_str().unwrap().to_owned(), step.to_owned())));
    }
    let mut never = Vec::new();
    for file in files {
        let (mut tagged, mut slow) = (false, false);
        for line in std::fs::read_to_string(file).unwrap().lines().map(str::trim) {
            if line.starts_with('@') {
                tagged = line.contains("@reallyslow");
            } else if line.starts_with("Scenario") {
                slow = std::mem::take(&mut tagged);
            }
            if line.contains(" should not ") && !slow && !broken.contains(&(file.clone(), line.to_owned())) {
                never.push(format!("{file}: {line}"));
            }
        }
    }
    never
}

/// Everything that curl does, with the real one. What needs nmap and a scanner runs in the lab's test.
#[test]
fn the_twin_falls_for_every_attack_and_a_stranger_for_none() {
    for tool in ["curl", "python3"] {
        if Command::new(tool).arg("--version").output().is_err() {
            assert!(std::env::var_os("POCLAB_REQUIRE_TOOLS").is_none(), "{tool} is missing: rehearsal/install-prerequisites --tests");
            eprintln!("SKIPPED: {tool} is not installed");
            return;
        }
    }
    let twin = Twin::start();
    let folder = tempfile::tempdir().unwrap();
    let tools = folder.path().join("tools.yml");
    std::fs::write(folder.path().join("ca.pem"), "").unwrap();
    std::fs::write(&tools, format!("files: {{lab-ca.pem: {}}}", folder.path().join("ca.pem").display())).unwrap();
    let files: Vec<String> = shipped().into_iter().filter(|file| !file.contains("/scanner/") && !file.ends_with("/ports.attack")).collect();
    let run = |more: &[&str], variables: &[(&str, String)]| {
        let mut command = poclab(&["--format", "json", "--tags", "not @reallyslow", "--patience", "3", "--tools"]);
        command.arg(&tools).args(more).args(&files).envs(variables.iter().map(|(name, value)| (name, value.as_str())));
        let (exit, out, err) = told(&command.output().unwrap());
        let value: Value = serde_json::from_str(&out).unwrap_or_else(|why| panic!("{why}: {out}{err}"));
        (exit, value["scenarios"].as_array().unwrap().clone())
    };
    let other_than = |scenarios: &[Value], wanted: &str| -> Vec<String> {
        scenarios.iter().filter(|one| one["verdict"] != wanted && one["verdict"] != "skipped").map(Value::to_string).collect()
    };
    let (exit, fell) = run(&["--control"], &twin.variables());
    assert_eq!(other_than(&fell, "failed"), Vec::<String>::new());
    assert_eq!(exit, 0);
    assert!(fell.len() > 50, "{}", fell.len());
    assert_eq!(forbidden(&files, &fell), Vec::<String>::new(), "these demands have never been seen to say no");
    assert_eq!(run(&[], &twin.variables()).0, 3);
    // Where nobody listens, nothing is withstood, and nothing is found either.
    let mut nobody = twin.variables();
    drop(twin);
    nobody.iter_mut().filter(|(name, _)| name.contains("URL")).for_each(|(_, url)| url.push_str("/x"));
    let (exit, unknown) = run(&[], &nobody);
    assert_eq!((exit, other_than(&unknown, "error")), (4, Vec::<String>::new()));
}
