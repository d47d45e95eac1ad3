//! Programs that builds run: output line by line, an end that can be forced.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Tells a build's programs to end: somebody aborted it.
#[derive(Clone, Default)]
pub struct Abort(Arc<AtomicBool>);

impl Abort {
    /// Asks for it.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked for.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this status.
    Exit(i32),
    /// It was aborted.
    Aborted,
    /// It ran out of time.
    TimedOut,
}

/// Runs a program in a folder with exactly these variables; each line of its output goes to `line`.
pub fn run(
    program: &[&str],
    folder: &Path,
    env: &BTreeMap<String, String>,
    abort: &Abort,
    until: Option<Instant>,
    line: &mut (dyn FnMut(&str) + Send),
) -> Result<End, String> {
    let (mut reader, writer) = std::io::pipe().map_err(|e| format!("cannot make a pipe: {e}"))?;
    let errors = writer.try_clone().map_err(|e| format!("cannot make a pipe: {e}"))?;
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).current_dir(folder).env_clear().envs(env);
    command.stdin(Stdio::null()).stdout(writer).stderr(errors).process_group(0);
    let mut child = command.spawn().map_err(|e| format!("cannot run {}: {e}", program[0]))?;
    // Our copies of the pipe's end must go, or its reader never sees an end.
    drop(command);
    std::thread::scope(|scope| {
        let watched = scope.spawn(move || wait(&mut child, abort, until));
        let mut lines = BufReader::new(&mut reader);
        let mut bytes = Vec::new();
        while lines.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
            line(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']));
            bytes.clear();
        }
        watched.join().map_err(|_| "the program's watcher ended badly".to_owned())?
    })
}

/// Waits for the end, or brings it about: politely first, then not.
fn wait(child: &mut Child, abort: &Abort, until: Option<Instant>) -> Result<End, String> {
    loop {
        if let Some(status) = child.try_wait().map_err(|e| format!("cannot wait: {e}"))? {
            use std::os::unix::process::ExitStatusExt;
            return Ok(End::Exit(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))));
        }
        let why = match until {
            _ if abort.asked() => Some(End::Aborted),
            Some(until) if Instant::now() >= until => Some(End::TimedOut),
            _ => None,
        };
        if let Some(why) = why {
            let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            let signal = |signal| group.map(|group| kill_process_group(group, signal));
            signal(Signal::TERM);
            let patience = Instant::now() + Duration::from_secs(10);
            while Instant::now() < patience && child.try_wait().ok().flatten().is_none() {
                std::thread::sleep(Duration::from_millis(50));
            }
            signal(Signal::KILL);
            let _ = child.wait();
            return Ok(why);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Writes a file that only its owner can read.
pub fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let _ = std::fs::remove_file(path);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;

    fn sh(script: &str, abort: &Abort, seconds: Option<f64>) -> (Result<End, String>, Vec<String>) {
        let mut lines = Vec::new();
        let env = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned()), ("A".to_owned(), "b".to_owned())]);
        let until = seconds.map(|s| Instant::now() + Duration::from_secs_f64(s));
        let end = run(&["sh", "-c", script], Path::new("/"), &env, abort, until, &mut |line| lines.push(line.to_owned()));
        (end, lines)
    }

    #[test]
    fn output_status_and_forced_ends() {
        let abort = Abort::default();
        let (end, lines) = sh("echo $A; echo c >&2; printf d; exit 3", &abort, None);
        assert_eq!((end, lines), (Ok(End::Exit(3)), vec!["b".to_owned(), "c".to_owned(), "d".to_owned()]));
        assert_eq!(sh("sleep 30", &abort, Some(0.2)).0, Ok(End::TimedOut));
        abort.ask();
        // Its children end with it.
        assert_eq!(sh("sleep 30 & sleep 30", &abort, None).0, Ok(End::Aborted));
    }
}
