//! Looks at every process of a host, over and over: what `ps` and /proc show to others.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};

/// Ends by itself after an hour. A process that is over within one round (about 40 ms) may be missed.
const WATCH: &str = r#"
import os, sys, time
seen, rounds, end = set(), 0, time.time() + 3600
while time.time() < end and not os.path.exists("/run/stop-watching"):
    for pid in os.listdir("/proc"):
        if pid.isdigit() and int(pid) != os.getpid():
            for name in ("cmdline", "environ"):
                try:
                    with open("/proc/%s/%s" % (pid, name), "rb") as file:
                        seen.add(file.read())
                except OSError:
                    pass
    rounds += 1
    time.sleep(0.03)
sys.stdout.buffer.write(b"rounds=%d\n" % rounds + b"\n".join(seen))
"#;

/// A watched host.
pub struct Watch {
    host: String,
    container: String,
    child: Child,
}

impl Watch {
    pub fn start(host: &str, container: &str) -> Self {
        let mut command = Command::new("docker");
        command.args(["exec", "-i", container, "python3", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(WATCH.as_bytes()).unwrap();
        Self { host: host.to_owned(), container: container.to_owned(), child }
    }

    /// Everything that was seen. The control: short-lived processes with marks in their arguments and environments.
    pub fn finish(self) -> (String, Vec<u8>) {
        let on = |script: &str| {
            assert!(Command::new("docker").args(["exec", &self.container, "sh", "-c", script]).status().unwrap().success());
        };
        for number in 0..5 {
            on(&format!("MARK=in-the-environment-{number} python3 -c 'import time; time.sleep(0.2)' in-the-arguments-{number}"));
        }
        on("touch /run/stop-watching");
        let seen = self.child.wait_with_output().unwrap().stdout;
        let text = String::from_utf8_lossy(&seen);
        eprintln!("{}: watched, {}, {} bytes", self.host, text.lines().next().unwrap_or_default(), seen.len());
        for number in 0..5 {
            for place in ["environment", "arguments"] {
                assert!(text.contains(&format!("in-the-{place}-{number}")), "{}: the watch missed a process", self.host);
            }
        }
        assert!(text.contains("sh\0-c\0printf"), "{}: it has seen poclab at work", self.host);
        (self.host, seen)
    }
}
