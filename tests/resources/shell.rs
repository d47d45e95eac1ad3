//! A temporary folder and a shell stand for a host.

use std::io::Write as _;
use std::process::{Command, Stdio};

use poclab::base::Payload;
use poclab::base::frame::ScriptBuilder;
use poclab::resource::{Action, Change, Kind, Reply, State};
use tempfile::TempDir;

pub struct Host {
    pub dir: TempDir,
    pub root: bool,
    shell: Vec<&'static str>,
    /// Shell that runs ahead, e.g. to put other tools first.
    pub prelude: String,
}

/// One host per shell that poclab may meet: bash as sh is what EL7 has.
pub fn hosts() -> Vec<Host> {
    let hosts: Vec<Host> = ["dash", "bash --posix", "bash"].into_iter().filter_map(Host::new).collect();
    assert!(!hosts.is_empty(), "neither dash nor bash is here");
    hosts
}

/// Names of the user and group that run the test.
pub fn me() -> (String, String) {
    let id = |option| String::from_utf8(Command::new("id").arg(option).output().unwrap().stdout).unwrap().trim().to_owned();
    (id("-un"), id("-gn"))
}

/// A spec as a role would give it.
pub fn spec<K: Kind>(value: serde_json::Value) -> K {
    let spec: K = serde_json::from_value(value).unwrap();
    assert_eq!(spec.check(), Vec::<String>::new());
    spec
}

/// Why a resource differs.
pub fn reasons<K: Kind>(host: &Host, spec: &K) -> Vec<String> {
    host.drift(spec).into_iter().map(|change| change.what).collect()
}

impl Host {
    pub fn new(shell: &'static str) -> Option<Self> {
        let shell: Vec<&str> = shell.split(' ').collect();
        let there = Command::new(shell[0]).args(["-c", "exit 0"]).status().is_ok_and(|status| status.success());
        there.then(|| Host { dir: TempDir::new().unwrap(), root: me().0 == "root", shell, prelude: String::new() })
    }

    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.dir.path().to_str().unwrap())
    }

    fn run(&self, builder: ScriptBuilder, stdin: &[u8]) -> (i32, Vec<u8>) {
        let (script, reader) = builder.finish();
        let mut child = Command::new(self.shell[0])
            .args(&self.shell[1..])
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A step that fails early does not read all of it.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        let out = child.wait_with_output().unwrap();
        let frames = reader.read_all(&out.stdout).unwrap();
        assert_eq!(frames.len(), 1, "{}\n{}\n{script}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        (frames[0].status, frames[0].payload.clone())
    }

    /// The fragment of these resources and what it printed.
    pub fn look<K: Kind>(&self, specs: &[&K]) -> (i32, Reply) {
        let mut builder = ScriptBuilder::new("abc");
        builder.prelude(&self.prelude);
        builder.fragment("x", &K::observe(specs));
        let (status, stdout) = self.run(builder, b"");
        (status, Reply { stdout, status })
    }

    pub fn observe<K: Kind>(&self, specs: &[&K]) -> Vec<Result<K::Observed, String>> {
        let (status, reply) = self.look(specs);
        assert_eq!(status, 0, "{}", reply.text());
        K::parse(specs, &reply)
    }

    pub fn state<K: Kind>(&self, spec: &K) -> State {
        spec.diff(&self.observe(&[spec]).remove(0).unwrap())
    }

    pub fn drift<K: Kind>(&self, spec: &K) -> Vec<Change> {
        match self.state(spec) {
            State::Drift(changes) => changes,
            other => panic!("{other:?} instead of drift"),
        }
    }

    pub fn actions<K: Kind>(&self, spec: &K) -> Vec<Action> {
        spec.apply(&self.observe(&[spec]).remove(0).unwrap())
    }

    /// Runs one step as the engine does; more bytes than its own wait on stdin and must stay there.
    pub fn step(&self, action: &Action) -> (i32, String) {
        self.step_after("", action)
    }

    pub fn step_after(&self, before: &str, action: &Action) -> (i32, String) {
        let mut builder = ScriptBuilder::new("abc");
        builder.prelude(&self.prelude);
        builder.prelude(before);
        builder.step("x", &action.script, action.stdin.is_some());
        let bytes = match &action.stdin {
            Some(Payload::Bytes(bytes)) => bytes.clone(),
            _ => Vec::new(),
        };
        let (status, output) = self.run(builder, &bytes);
        (status, String::from_utf8_lossy(&output).into_owned())
    }

    /// Repairs a resource; afterwards it is in sync, and doing the same again does no harm.
    pub fn converge<K: Kind>(&self, spec: &K) {
        for action in self.actions(spec) {
            let (status, output) = self.step(&action);
            assert_eq!(status, 0, "{}: {output}\n{}", action.label, action.script);
        }
        assert_eq!(self.state(spec), State::InSync);
    }

    pub fn no_leftovers(&self) {
        let names = std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| name.starts_with(".poclab")).collect::<Vec<_>>(), Vec::<String>::new());
    }
}
