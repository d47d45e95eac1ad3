//! What programs read: JSON, JUnit, pipes, and no escape bytes where no terminal is.

use std::io::{BufRead as _, BufReader, Read as _};

use crate::lab::Lab;

#[test]
fn json_lines_fit_the_schema_from_run_started_to_run_done() {
    let schema = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema/events.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let lab = Lab::new();
    for (words, exit) in [("plan", 2), ("bootstrap -v", 0), ("verify", 0)] {
        let ran = lab.poclab(words).arg("--format=json").exits(exit);
        let events = ran.events();
        for event in &events {
            assert!(schema.is_valid(event), "{words}: {event}");
        }
        assert_eq!(events[0]["event"], "run_started", "{words}");
        let last = events.last().unwrap();
        assert_eq!((&last["event"], &last["exit"]), (&"run_done".into(), &exit.into()), "{words}");
    }
}

#[test]
fn junit_is_whole_and_alone_on_standard_output() {
    let lab = Lab::new();
    lab.write("hosts/db/down", "no route to host\n");
    let ran = lab.poclab("bootstrap --format junit").exits(4);
    let report = quick_junit::Report::deserialize_from_str(&ran.stdout).unwrap();
    assert_eq!((report.name.as_str(), report.errors), ("poclab test", 1), "{ran}");
    assert!(ran.stderr.contains("web site: done"), "people read on standard error: {ran}");
}

#[test]
fn a_reader_that_goes_away_harms_nothing() {
    let lab = Lab::new();
    for words in ["plan", "bootstrap", "plan --format json", "bootstrap --format junit", "secrets list", "validate", "--help"] {
        let mut child = lab.poclab(words).spawn();
        let mut line = String::new();
        // As `head -1`.
        if words != "validate" {
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        }
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let status = child.wait().unwrap();
        assert!(matches!(status.code(), Some(0 | 2)) && !stderr.contains("panic"), "{words}: {status} {stderr}");
    }
    // The run itself went on to its end.
    assert_eq!(lab.read("hosts/web/data"), "data\n");
    lab.poclab("plan").exits(0);
}

#[test]
fn no_escape_bytes_where_no_terminal_is() {
    let lab = Lab::new();
    for words in [
        "plan",
        "bootstrap -v",
        "plan --format json",
        "verify --format junit",
        "status --no-links",
        "explain",
        "secrets list",
        "--help",
        "bootstrp",
    ] {
        let ran = lab.poclab(words).env("TERM", "xterm-256color").run();
        assert!(!ran.all().contains('\x1b') && !ran.all().contains('\r'), "{words}: {ran}");
    }
}

/// util-linux' `script` lends a terminal.
#[test]
fn colours_on_a_terminal_unless_no_color_is_set() {
    let lab = Lab::bootstrapped();
    let on_terminal = |env: &[(&str, &str)]| {
        let mut command = std::process::Command::new("script");
        command.args(["-qec", concat!(env!("CARGO_BIN_EXE_poclab"), " plan"), "/dev/null"]).current_dir(lab.root());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", lab.root());
        command.env("TERM", "xterm").envs(env.iter().copied());
        command.stdin(std::process::Stdio::null()).output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let coloured = on_terminal(&[]).expect("script is needed to have a terminal: install bsdutils");
    assert!(coloured.contains("\x1b[32m") && coloured.contains("nothing would change"), "{coloured:?}");
    let plain = on_terminal(&[("NO_COLOR", "1")]).unwrap();
    assert!(!plain.contains("\x1b[32m") && !plain.contains("\x1b[1m") && plain.contains("nothing would change"), "{plain:?}");
}
