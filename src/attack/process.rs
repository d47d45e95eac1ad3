//! A program of this machine with a time limit; nothing of it is left behind.

use std::io::Read;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// What is kept of each stream, in bytes. A tool that prints more cannot be judged.
const LONGEST: usize = 8 << 20;
/// Between two looks at a process.
const PAUSE: Duration = Duration::from_millis(10);

/// How long what a program has printed may take to arrive after its end.
const REST: Duration = Duration::from_secs(5);

/// What a program did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs it without standard input. `Err`: `called` (what people know it as) could not be started, was too slow, printed too much, or
/// was killed; or something that it has started goes on without it and holds what it printed.
pub(super) fn output(command: &mut Command, called: &str, limit: Duration, stop: &AtomicBool) -> Result<Output, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|error| format!("{called} cannot be started: {error}"))?;
    let group = Group(Pid::from_child(&child));
    let (out, err) = (drained(child.stdout.take()), drained(child.stderr.take()));
    let ended = wait(&mut child, limit, stop, called);
    // What it has started may still hold the pipes.
    drop(group);
    if ended.is_err() {
        let _ = child.wait();
    }
    let status = ended?;
    let code = status.code().ok_or_else(|| format!("{called} was ended by signal {}", status.signal().unwrap_or_default()))?;
    // A process that has left the group keeps them, perhaps for ever.
    match (out.recv_timeout(REST), err.recv_timeout(REST)) {
        (Ok(Some(stdout)), Ok(Some(stderr))) => Ok(Output { status: code, stdout, stderr }),
        (Ok(_), Ok(_)) => Err(format!("{called} printed more than {} MiB, or what it printed could not be read", LONGEST >> 20)),
        _ => Err(format!(
            "{called} ended, and something that it has started in the background goes on: what it printed is not known to be all; let the attack wait for it"
        )),
    }
}

/// Ends every process of a group.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // Nobody is left of it, mostly.
        let _ = kill_process_group(self.0, Signal::KILL);
    }
}

fn wait(child: &mut Child, limit: Duration, stop: &AtomicBool, called: &str) -> Result<ExitStatus, String> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(|error| format!("{called} cannot be waited for: {error}"))? {
            return Ok(status);
        }
        if stop.load(Ordering::Relaxed) {
            return Err("interrupted".to_owned());
        }
        if start.elapsed() >= limit {
            return Err(format!("{called} was still busy after {} s and was ended", limit.as_secs()));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Reads a stream in the background. The thread ends with the stream, or with this program.
fn drained(stream: Option<impl Read + Send + 'static>) -> Receiver<Option<String>> {
    let (send, receive) = channel();
    std::thread::spawn(move || send.send(drain(stream)));
    receive
}

/// Everything that is printed; `None` when that is too much, or a read failed. Reads to the end in any case, so that nobody waits.
fn drain(stream: Option<impl Read>) -> Option<String> {
    let mut stream = stream?;
    let mut kept = Vec::new();
    stream.by_ref().take(LONGEST as u64 + 1).read_to_end(&mut kept).ok()?;
    std::io::copy(&mut stream, &mut std::io::sink()).ok()?;
    (kept.len() <= LONGEST).then(|| String::from_utf8_lossy(&kept).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Result<Output, String> {
        output(Command::new("sh").args(["-c", script]), "sh", limit, &AtomicBool::new(false))
    }

    #[test]
    fn both_streams_and_the_status_are_kept() {
        let ran = sh("echo out; echo err >&2; exit 7", Duration::from_secs(10)).unwrap();
        assert_eq!(ran, Output { status: 7, stdout: "out\n".into(), stderr: "err\n".into() });
    }

    #[test]
    fn what_cannot_be_judged_is_an_error() {
        assert!(output(&mut Command::new("/nonexistent"), "x", Duration::from_secs(1), &AtomicBool::new(false)).is_err());
        assert!(sh("kill -9 $$", Duration::from_secs(10)).unwrap_err().contains("signal 9"));
        assert!(sh("head -c 9000000 /dev/zero", Duration::from_secs(10)).unwrap_err().contains("more than 8 MiB"));
        let stopped = output(Command::new("sleep").arg("60"), "sleep", Duration::from_secs(60), &AtomicBool::new(true));
        assert_eq!(stopped, Err("interrupted".to_owned()));
    }

    #[test]
    fn nothing_is_left_after_the_limit() {
        let start = Instant::now();
        // Its child holds the pipe as well.
        let ran = sh("sleep 60 & sleep 60", Duration::from_millis(200));
        assert!(ran.unwrap_err().starts_with("sh was still busy"));
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        let ran = sh("sleep 60 & exit 0", Duration::from_secs(10)).unwrap();
        assert_eq!(ran.status, 0);
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }

    #[test]
    fn what_leaves_the_group_is_not_waited_for() {
        // A child leaves the group, then the shell goes on; why that cannot be judged. (Before it has left, it would be ended with the group.)
        let left_behind = |then: &str, limit: u64| {
            let folder = tempfile::tempdir().unwrap();
            let cd = crate::base::quote(&folder.path().display().to_string());
            let script =
                format!("cd {cd} || exit 1; setsid sh -c 'echo $$ >left; exec sleep 120' & until [ -s left ]; do sleep 0.1; done; {then}");
            let why = sh(&script, Duration::from_secs(limit)).unwrap_err();
            let left = std::fs::read_to_string(folder.path().join("left")).unwrap();
            // It goes on, so nobody has waited for its end.
            assert!(Command::new("kill").arg(left.trim()).status().unwrap().success(), "{why}");
            why
        };
        let why = left_behind("echo x", 60);
        assert!(why.contains("in the background goes on"), "{why}");
        let why = left_behind("sleep 60", 5);
        assert!(why.starts_with("sh was still busy"), "{why}");
        // What it prints elsewhere is its own affair.
        assert_eq!(sh("setsid sleep 20 >/dev/null 2>&1 & echo x", Duration::from_secs(10)).unwrap().stdout, "x\n");
    }
}
