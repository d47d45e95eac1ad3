//! Where specs are tried: a folder of this machine, or a whole scratch host.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use poclab::base::frame::{ScriptBuilder, nonce};
use poclab::base::{Payload, quote};
use poclab::resource::{Action, Reply};
use tempfile::TempDir;

/// Where scripts run.
pub struct Host {
    /// Command that takes a script as its last argument.
    command: Vec<String>,
    /// Put in front of every script: another PATH.
    prelude: String,
    /// A folder of its own on this machine.
    folder: TempDir,
    /// Places of a whole machine that are played by the folder: `/etc/x` means `FOLDER/etc/x`.
    moved: Vec<&'static str>,
    /// Whether root runs the scripts.
    pub root: bool,
    whole: bool,
}

/// One at a time: a firewall, a package database and an engine are shared by all tests of a host.
static ALONE: Mutex<()> = Mutex::new(());

/// A folder in each shell that a host may have as its sh: bash (EL7) and dash.
pub fn folders() -> Vec<Host> {
    let there = |shell: &&str| Command::new(shell).args(["-c", ":"]).status().is_ok_and(|status| status.success());
    let host = |shell: &str| {
        let options: &[&str] = if shell == "bash" { &["--posix", "-c"] } else { &["-c"] };
        let command = std::iter::once(&shell).chain(options).map(|word| (*word).to_owned()).collect();
        let folder = TempDir::new().unwrap();
        let prelude = format!("PATH={}/tools:$PATH", folder.path().to_str().unwrap());
        let moved = vec!["/sys/fs/selinux", "/etc/selinux", "/var/lib/selinux", "/etc/poclab-rehearsal", "/var/lib/poclab"];
        Host { command, prelude, folder, moved, root: me().0 == "root", whole: false }
    };
    let found: Vec<Host> = ["dash", "bash"].into_iter().filter(there).map(host).collect();
    assert!(!found.is_empty(), "neither dash nor bash is here");
    found
}

/// The scratch host that POCLAB_SCRATCH names.
pub fn scratch() -> Host {
    let name = std::env::var("POCLAB_SCRATCH").expect("POCLAB_SCRATCH names a container: tests/lab/scratch up");
    let command = ["docker", "exec", "-i", &name, "sh", "-c"].map(str::to_owned).to_vec();
    Host { command, prelude: String::new(), folder: TempDir::new().unwrap(), moved: Vec::new(), root: true, whole: true }
}

/// Names of the user and group that run the test.
pub fn me() -> (String, String) {
    let id = |option| String::from_utf8(Command::new("id").arg(option).output().unwrap().stdout).unwrap().trim().to_owned();
    (id("-un"), id("-gn"))
}

impl Host {
    /// A path in the part of the folder that each trial begins with anew.
    pub fn work(&self, name: &str) -> String {
        self.path(&format!("work/{name}"))
    }

    /// Empties [`Host::work`].
    pub fn clear(&self) -> String {
        let work = quote(&self.path("work"));
        format!("rm -rf {work}\nmkdir -p {work}\n")
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder.path().to_str().unwrap())
    }

    /// Nobody else changes this host meanwhile.
    pub fn alone(&self) -> Option<MutexGuard<'static, ()>> {
        self.whole.then(|| ALONE.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs a fragment that looks, as a run does.
    pub fn fragment(&self, shell: &str) -> Reply {
        let mut builder = ScriptBuilder::new(&nonce());
        builder.prelude(&self.prelude);
        builder.fragment("x", &self.move_places(shell));
        let (status, stdout) = self.run(builder, b"");
        assert_eq!(status, 0, "{}\n{shell}", String::from_utf8_lossy(&stdout));
        Reply { stdout, status }
    }

    /// Runs a step, as a run does; its status and its output.
    pub fn step(&self, action: &Action) -> (i32, String) {
        let mut builder = ScriptBuilder::new(&nonce());
        builder.prelude(&self.prelude);
        builder.step("x", &self.move_places(&action.script), action.stdin.is_some());
        let stdin = match &action.stdin {
            Some(Payload::Bytes(bytes)) => bytes.clone(),
            Some(Payload::File { path, .. }) => std::fs::read(path).unwrap(),
            None => Vec::new(),
        };
        let (status, output) = self.run(builder, &stdin);
        (status, String::from_utf8_lossy(&output).into_owned())
    }

    /// Runs shell past poclab: what a person or another program does. It must succeed. Answers its output.
    pub fn shell(&self, shell: &str) -> Vec<u8> {
        let script = format!("set -e\n{}\n{}", self.prelude, self.move_places(shell));
        let out = self.start(&script, b"");
        assert!(out.status.success(), "{shell}: {}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        out.stdout
    }

    fn move_places(&self, shell: &str) -> String {
        self.moved.iter().fold(shell.to_owned(), |text, place| text.replace(place, &self.path(&place[1..])))
    }

    fn start(&self, script: &str, stdin: &[u8]) -> std::process::Output {
        let mut child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A step that fails early does not read all of it.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        child.wait_with_output().unwrap()
    }

    fn run(&self, builder: ScriptBuilder, stdin: &[u8]) -> (i32, Vec<u8>) {
        let (script, reader) = builder.finish();
        let out = self.start(&script, stdin);
        let frames = reader.read_all(&out.stdout).unwrap();
        assert_eq!(frames.len(), 1, "{}\n{}\n{script}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        (frames[0].status, frames[0].payload.clone())
    }
}
