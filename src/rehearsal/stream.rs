//! Running a long command and passing its lines on while it runs.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use anyhow::{Context as _, bail};

/// How many lines of stderr an error repeats.
const REMEMBERED: usize = 6;

enum Line {
    Out(String),
    Err(String),
}

/// Runs a command; every line of both outputs goes to `say` as it comes. Answers the last line of stdout.
///
/// # Errors
/// When the command cannot be started, or ends with anything but 0: with the last lines of its stderr.
pub fn run(what: &str, command: &mut Command, say: &mut dyn FnMut(&str)) -> anyhow::Result<String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{what}: cannot start {}", command.get_program().display()))?;
    let (sender, lines) = channel();
    if let Some(stdout) = child.stdout.take() {
        pass_on(stdout, sender.clone(), Line::Out);
    }
    if let Some(stderr) = child.stderr.take() {
        pass_on(stderr, sender, Line::Err);
    }
    let (mut last, mut errors) = (String::new(), Vec::new());
    for line in lines {
        match line {
            Line::Out(line) => {
                say(&line);
                last = line;
            }
            Line::Err(line) => {
                say(&line);
                errors.push(line);
            }
        }
    }
    let status = child.wait().with_context(|| format!("{what}: cannot wait for it"))?;
    if !status.success() {
        let tail = &errors[errors.len().saturating_sub(REMEMBERED)..];
        bail!("{what} {}{}", ended(status), if tail.is_empty() { String::new() } else { format!(": {}", tail.join("\n  ")) });
    }
    Ok(last)
}

fn pass_on(from: impl Read + Send + 'static, to: Sender<Line>, wrap: fn(String) -> Line) {
    thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(count) if count > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if to.send(wrap(text)).is_err() {
                return;
            }
        }
    });
}

/// How a process ended, in words.
pub fn ended(status: ExitStatus) -> String {
    match status.code() {
        Some(130) => "was interrupted".to_owned(),
        Some(code) => format!("failed (exit status {code})"),
        None => "was ended by a signal".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (anyhow::Result<String>, Vec<String>) {
        let mut said = Vec::new();
        let result = run("the script", Command::new("sh").args(["-c", script]), &mut |line| said.push(line.to_owned()));
        (result, said)
    }

    #[test]
    fn lines_come_through_and_the_last_is_the_answer() {
        let (result, said) = shell("echo one; echo two");
        assert_eq!(result.unwrap(), "two");
        assert_eq!(said, ["one", "two"]);
    }

    #[test]
    fn a_failure_carries_the_end_of_stderr() {
        let (result, said) = shell("echo fine; echo 'no space left' >&2; exit 3");
        assert_eq!(result.unwrap_err().to_string(), "the script failed (exit status 3): no space left");
        assert_eq!(said.len(), 2);
    }

    #[test]
    fn an_interrupt_is_called_one() {
        assert_eq!(shell("exit 130").0.unwrap_err().to_string(), "the script was interrupted");
    }
}
