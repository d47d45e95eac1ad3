//! Hosts that are local folders: the real scripts run in a local shell, with poclab's own paths moved into the folder.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use poclab::base::{Payload, Redactor};
use poclab::lab::{Handler, HandlerAction, Host, Lab, Node, Os, Resource};
use poclab::resource::Spec;
use poclab::ssh::{Connector, Exec, Output, Reach, SshError, Transport};

/// Opens "hosts": the program's only argument is the host's folder. A folder that holds a file `down` refuses.
pub struct Folders;

/// Execs per folder, of the whole test process: every test has folders of its own.
static EXECS: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// Execs that a host got since the last call.
pub fn take_execs(root: &Path, host: &str) -> usize {
    EXECS.lock().unwrap().remove(&root.join(host).display().to_string()).unwrap_or_default()
}

struct Folder {
    path: String,
}

impl Connector for Folders {
    fn connect(&self, reach: &Reach) -> Result<Box<dyn Transport>, SshError> {
        let Reach::Program(argv) = reach else { panic!("test hosts are folders") };
        if Path::new(&argv[0]).join("down").exists() {
            return Err(SshError::Unreachable { address: argv[0].clone(), why: "connection refused".to_owned() });
        }
        Ok(Box::new(Folder { path: argv[0].clone() }))
    }
}

impl Transport for Folder {
    fn exec(&mut self, exec: &Exec, on_stdout: &mut dyn FnMut(&[u8]), on_sent: &mut dyn FnMut(u64)) -> Result<Output, SshError> {
        *EXECS.lock().unwrap().entry(self.path.clone()).or_default() += 1;
        let script = exec
            .script
            .replace("/var/lib/poclab", &format!("{}/poclab", self.path))
            .replace("/etc/poclab-rehearsal", &format!("{}/marker", self.path));
        let mut child =
            Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        for payload in &exec.stdin {
            let Payload::Bytes(bytes) = payload else { panic!("small payloads only") };
            let _ = stdin.write_all(bytes);
            on_sent(bytes.len() as u64);
        }
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        on_stdout(&output.stdout);
        Ok(Output { status: output.status.code().unwrap_or(-1), stdout: output.stdout, stderr: output.stderr })
    }
}

/// A host whose folder is `root/NAME`.
pub fn host(root: &Path, name: &str) -> Host {
    let folder = root.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("marker"), "rehearsal host of a test\n").unwrap();
    Host {
        name: name.to_owned(),
        address: std::net::Ipv4Addr::LOCALHOST,
        os: Os::Rehearsal,
        groups: Vec::new(),
        reach: Reach::Program(vec![folder.display().to_string()]),
    }
}

/// A resource as role.yml would have it.
pub fn resource(kind: &str, spec: serde_json::Value, notify: &[&str]) -> Resource {
    let spec = Spec::read(kind, spec).unwrap().unwrap();
    Resource { spec, notify: notify.iter().map(|n| (*n).to_owned()).collect(), origin: "roles/test/role.yml:1".to_owned() }
}

/// A node with handlers that are shell commands.
pub fn node(host: usize, role: &str, requires: &[usize], resources: Vec<Resource>, handlers: &[(&str, &str)]) -> Node {
    let handlers = handlers.iter().map(|(name, run)| Handler { name: (*name).to_owned(), action: HandlerAction::Run((*run).to_owned()) });
    Node { host, role: role.to_owned(), resources, handlers: handlers.collect(), requires: requires.to_vec(), not_configured: None }
}

/// A lab of these hosts and nodes.
pub fn lab(root: &Path, hosts: Vec<Host>, nodes: Vec<Node>) -> Lab {
    Lab {
        new_hosts: Vec::new(),
        name: "test".to_owned(),
        root: root.to_owned(),
        state_dir: root.join("state"),
        known_hosts: PathBuf::new(),
        hosts,
        nodes,
        checks: Vec::new(),
        services: Vec::new(),
        stand_ins: Vec::new(),
        notes: Vec::new(),
        secrets: Vec::new(),
        source: poclab::lab::Source::default(),
        ca_pem: String::new(),
        redactor: Redactor::new(),
    }
}
