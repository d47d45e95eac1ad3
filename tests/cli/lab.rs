//! The builder of every test here: a lab in a folder of its own, whose hosts are folders, and runs of the real binary on it.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Two hosts: `web` has the roles base and site, `db` has base.
pub struct Lab {
    folder: tempfile::TempDir,
}

/// What a run came to.
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

const INVENTORY: &str = r#"lab: test
domain: test.example
operators: [127.0.0.1/32]
os: rehearsal
roles: [base]
hosts:
  web:
    address: 10.0.0.11
    connection: {program: [./fake-host, hosts/web]}
    vars: {root: "@ROOT@/hosts/web"}
  db:
    address: 10.0.0.12
    connection: {program: [./fake-host, hosts/db]}
    vars: {root: "@ROOT@/hosts/db"}
groups:
  site: {hosts: [web], roles: [site]}
vars:
  me: "@ME@"
  my_group: "@GROUP@"
flows: []
"#;

const BASE: &str = r#"description: what every host has
resources:
  - directory: {path: "{{ root }}/etc", owner: "{{ me }}", group: "{{ my_group }}"}
  - file:
      path: "{{ root }}/etc/motd"
      content: "welcome to {{ host.name }}\n"
      owner: "{{ me }}"
      group: "{{ my_group }}"
checks:
  - selinux_enforcing: {hosts: "{{ groups.all }}", absent_ok: true}
    once: true
"#;

const SITE: &str = r#"description: a website
requires: [base]
defaults: {site_port: 8080}
secrets:
  api: {what: "the site's way into the API", user: site}
resources:
  - file:
      path: "{{ root }}/etc/site.conf"
      template: site/site.conf.tera
      owner: "{{ me }}"
      group: "{{ my_group }}"
    notify: restart site
  - file:
      path: "{{ root }}/etc/credentials"
      content: "{{ secrets.api.user }}:{{ secrets.api.password }}\n"
      mode: "0600"
      owner: "{{ me }}"
      group: "{{ my_group }}"
    notify: restart site
  - command: {what: the site has data, run: "echo data >{{ root }}/data", creates: "{{ root }}/data"}
handlers:
  restart site: {run: "echo restarted >>{{ root }}/restarts"}
services:
  - {name: site, url: "https://{{ host.fqdn }}:{{ site_port }}", login: poclab secrets show api}
"#;

const SITE_CONF: &str = "# {{ host.fqdn }}\nport = {{ site_port }}\n";

impl Lab {
    pub fn new() -> Self {
        let lab = Self { folder: tempfile::tempdir().unwrap() };
        let id = |flag: &str| String::from_utf8(Command::new("id").arg(flag).output().unwrap().stdout).unwrap().trim().to_owned();
        let root = lab.root().display().to_string();
        lab.write("inventory/lab.yml", &INVENTORY.replace("@ROOT@", &root).replace("@ME@", &id("-un")).replace("@GROUP@", &id("-gn")));
        lab.write("roles/base/role.yml", BASE);
        lab.write("roles/site/role.yml", SITE);
        lab.write("templates/site/site.conf.tera", SITE_CONF);
        std::os::unix::fs::symlink(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/fake-host"), lab.root().join("fake-host")).unwrap();
        for host in ["web", "db"] {
            let here = |path: &str| format!("hosts/{host}/{path}");
            lab.write(&here("etc/poclab-rehearsal"), "rehearsal host of a test\n");
            lab.write(&here("etc/os-release"), "PRETTY_NAME=\"Test Linux 1\"\n");
            lab.write(&here("proc/filesystems"), "\text4\n");
            std::fs::create_dir_all(lab.root().join(here("var/lib"))).unwrap();
            lab.program(&here("bin/uname"), "echo 1.0");
        }
        lab
    }

    /// A lab that is set up already.
    pub fn bootstrapped() -> Self {
        let lab = Self::new();
        lab.poclab("bootstrap").exits(0);
        lab.take_execs("web");
        lab.take_execs("db");
        lab
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        std::fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        std::fs::write(self.path(path), text).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// Replaces a text that is there exactly once.
    pub fn replace(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert_eq!(text.matches(from).count(), 1, "{from:?} in {path}");
        self.write(path, &text.replace(from, to));
    }

    /// A command on a host.
    pub fn program(&self, path: &str, shell: &str) {
        self.write(path, &format!("#!/bin/sh\n{shell}\n"));
        std::fs::set_permissions(self.path(path), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// How many scripts a host has run since the last call.
    pub fn take_execs(&self, host: &str) -> usize {
        let log = self.path(&format!("hosts/{host}/execs"));
        let count = std::fs::read_to_string(&log).unwrap_or_default().lines().count();
        let _ = std::fs::remove_file(log);
        count
    }

    /// No host was contacted.
    pub fn untouched(&self) {
        assert_eq!((self.take_execs("web"), self.take_execs("db")), (0, 0), "no host may be contacted");
    }

    /// A command line; words are separated by blanks.
    pub fn poclab(&self, words: &str) -> Poclab<'_> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poclab"));
        command.args(words.split_whitespace()).current_dir(self.root()).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.root()).env("USER", "tester");
        Poclab { command, stdin: String::new(), lab: self }
    }

    /// Everything in the logs of all runs.
    pub fn logs(&self) -> Vec<(PathBuf, String)> {
        let Ok(entries) = std::fs::read_dir(self.path(".poclab/test/runs")) else { return Vec::new() };
        let mut logs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| !path.is_symlink()).collect();
        logs.sort();
        logs.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
    }
}

/// A run that is being prepared.
pub struct Poclab<'a> {
    command: Command,
    stdin: String,
    lab: &'a Lab,
}

impl Poclab<'_> {
    pub fn arg(mut self, word: &str) -> Self {
        self.command.arg(word);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it in another folder of the lab.
    pub fn within(mut self, folder: &str) -> Self {
        self.command.current_dir(self.lab.path(folder));
        self
    }

    pub fn stdin(mut self, text: &str) -> Self {
        text.clone_into(&mut self.stdin);
        self
    }

    pub fn spawn(mut self) -> Child {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(self.stdin.as_bytes()).unwrap();
        child
    }

    pub fn run(self) -> Ran {
        let root = self.lab.root().display().to_string();
        Ran::of(&self.spawn().wait_with_output().unwrap(), &root)
    }

    /// Runs it and insists on the exit code.
    pub fn exits(self, status: i32) -> Ran {
        let words = format!("{:?}", self.command.get_args().collect::<Vec<_>>());
        let ran = self.run();
        assert_eq!(ran.status, status, "poclab {words}\n{ran}");
        ran
    }
}

impl Ran {
    fn of(output: &Output, root: &str) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().replace(root, "[lab]");
        Self { status: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// The events of a run with `--format json`.
    pub fn events(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
    }

    /// `host: resource` of everything that differs.
    pub fn changes(&self) -> Vec<String> {
        let change = |event: &serde_json::Value| {
            let text = |field: &str| event[field].as_str().unwrap().to_owned();
            (event["event"] == "change").then(|| format!("{}: {}", text("host"), text("resource")))
        };
        self.events().iter().filter_map(change).collect()
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "exit {}", self.status)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                write!(f, "---- {name}\n{text}")?;
            }
        }
        Ok(())
    }
}

/// Compares a run with its snapshot; what differs from run to run is replaced first.
#[macro_export]
macro_rules! same {
    ($ran:expr) => {{
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.add_filter(r"\b(\d+ min )?\d+(\.\d)? s\b", "[time]");
        // What a slow machine says more often, and a fast one less.
        settings.add_filter(r"(?m)^.*: done: .* \(\[time\]\)\n", "");
        settings.add_filter(r"(?m)^.*: still: .*\n", "");
        // What took no time worth a word is said without one: on a fast machine here, on a slow one there.
        settings.add_filter(r"\b(\w+) FAILED( after \[time\])?(\n|;|,)", "$1 FAILED after [time]$3");
        settings.add_filter(r"\b(\w+)( \[time\])?, (\d+) changed", "$1 [time], $3 changed");
        settings.add_filter(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "[moment]");
        settings.add_filter(r", up \d+ (d \d+ h|h \d+ min|min)\b", ", up [time]");
        // Two runs of the same second have names of their own.
        settings.add_filter(r"\d{8}T\d{6}Z-([a-z]+)(-\d+)?\.(jsonl|html)", "[moment]-$1.$3");
        settings.add_filter(r"sha256 [0-9a-f]{12} instead of [0-9a-f]{12}", "sha256 [hash] instead of [hash]");
        settings.bind(|| insta::assert_snapshot!($ran.to_string()));
    }};
}
