//! A rehearsal lab for one test: four containers with real sshd, sudo, systemd, firewalld, yum and Docker, on a network of
//! their own, so that it leaves a running rehearsal alone.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The hosts of the rehearsal's inventory, in the order of their addresses (from .11).
pub const HOSTS: [&str; 4] = ["deploy", "app", "registry", "gitlab"];

/// A project folder of its own around the tree's roles and templates; its hosts are removed when it is dropped,
/// unless POCLAB_KEEP_LAB is set.
pub struct Project {
    subnet: String,
    folder: tempfile::TempDir,
}

impl Project {
    /// The lab's base: base, firewall, docker, registry. `name` and `subnet` (`10.91` means 10.91.0.0/24) keep this lab apart from
    /// every other one.
    pub fn new(name: &str, subnet: &str) -> Self {
        Self::with(name, subnet, &[])
    }

    /// The base and the roles of these groups; the other groups have their hosts, but no roles.
    pub fn with(name: &str, subnet: &str, groups: &[&str]) -> Self {
        remove_leftovers(name);
        let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::tempdir().unwrap();
        for name in ["roles", "templates", "rehearsal", "app"] {
            std::os::unix::fs::symlink(tree.join(name), folder.path().join(name)).unwrap();
        }
        std::fs::create_dir(folder.path().join("inventory")).unwrap();
        let inventory = std::fs::read_to_string(tree.join("inventory/rehearsal.yml")).unwrap();
        let own = inventory
            .replace("10.90.", &format!("{subnet}."))
            .replace("lab: rehearsal", &format!("lab: {name}"))
            .replace(".poclab/rehearsal", &format!(".poclab/{name}"));
        let mut own = groups_only(&own, groups);
        if groups.contains(&"deployment") {
            let program = tree.join("target/x86_64-unknown-linux-musl/release/poclab");
            assert!(program.is_file(), "run `make build` first");
            own = own.replace("vars:\n", &format!("vars:\n  deployment_program: {}\n", program.display()));
        }
        assert_ne!(inventory, own);
        let project = Self { folder, subnet: subnet.to_owned() };
        std::fs::write(project.inventory(), own).unwrap();
        project
    }

    /// The project's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The inventory's file.
    pub fn inventory(&self) -> PathBuf {
        self.folder.path().join("inventory/rehearsal.yml")
    }

    /// Replaces a text of the inventory; returns what it was before.
    pub fn edit_inventory(&self, from: &str, to: &str) -> String {
        let old = std::fs::read_to_string(self.inventory()).unwrap();
        assert!(old.contains(from), "the inventory has {from:?}");
        std::fs::write(self.inventory(), old.replacen(from, to, 1)).unwrap();
        old
    }

    /// poclab with these arguments, on this lab.
    pub fn command(&self, args: &[&str]) -> Command {
        let identity = self.folder.path().join("identity.txt");
        let mut command = Command::new(env!("CARGO_BIN_EXE_poclab"));
        command.args(["--inventory", "inventory/rehearsal.yml"]).args(args);
        command.current_dir(self.folder.path()).env("POCLAB_IDENTITY", identity);
        command
    }

    /// Runs poclab on this lab and echoes nothing.
    pub fn poclab_quietly(&self, args: &[&str]) -> Output {
        eprintln!("--- poclab {}", args.join(" "));
        self.command(args).output().unwrap()
    }

    /// Runs poclab on this lab and echoes what it printed.
    pub fn poclab(&self, args: &[&str]) -> Output {
        let output = self.poclab_quietly(args);
        eprintln!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Runs with `--format json`; the exit code and the events.
    pub fn events(&self, args: &[&str]) -> (i32, Vec<serde_json::Value>) {
        let mut all = args.to_vec();
        all.extend(["--format", "json"]);
        let output = self.poclab(&all);
        let events = String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (output.status.code().unwrap(), events)
    }

    /// Runs a shell command as root inside a host, past poclab.
    pub fn on(&self, host: &str, shell: &str) -> String {
        let name = self.container(host);
        let output = Command::new("docker").args(["exec", &name, "sh", "-c", shell]).output().unwrap();
        assert!(output.status.success(), "{host}: {shell}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The container of a host.
    pub fn container(&self, host: &str) -> String {
        let address = format!("{}.0.{}", self.subnet, 11 + HOSTS.iter().position(|h| *h == host).unwrap());
        let ids = Command::new("docker").args(["ps", "-q"]).output().unwrap();
        let ids = String::from_utf8(ids.stdout).unwrap();
        let format = "{{.Name}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let found = ids.lines().find_map(|id| {
            let output = Command::new("docker").args(["inspect", "-f", format, id]).output().unwrap();
            let line = String::from_utf8(output.stdout).unwrap();
            line.trim().split_once(' ').filter(|(_, ip)| *ip == address).map(|(name, _)| name.trim_start_matches('/').to_owned())
        });
        found.unwrap_or_else(|| panic!("no container has the address {address}"))
    }

    /// Connections and execs that sshd has logged on a host so far.
    pub fn sessions(&self, host: &str) -> (usize, usize) {
        let log = self.on(host, "journalctl --no-pager -q -t sshd -t sshd-session");
        let count = |text: &str| log.lines().filter(|line| line.contains(text)).count();
        (count("Accepted publickey for"), count("Starting session: command"))
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if std::env::var_os("POCLAB_KEEP_LAB").is_none() {
            self.poclab(&["rehearse", "down"]);
        }
    }
}

/// `host: resource` of all changes.
pub fn changes(events: &[serde_json::Value]) -> BTreeSet<String> {
    let changes = events.iter().filter(|event| event["event"] == "change");
    changes.map(|event| format!("{}: {}", event["host"].as_str().unwrap(), event["resource"].as_str().unwrap())).collect()
}

/// The events of one kind.
pub fn of_kind<'a>(events: &'a [serde_json::Value], kind: &str) -> Vec<&'a serde_json::Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

/// A set of texts, to compare with.
pub fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

/// Takes the roles away from all groups but those of the base and those that are wanted; each group is one line of the inventory.
fn groups_only(inventory: &str, wanted: &[&str]) -> String {
    let mut inside = false;
    let mut own = String::new();
    for line in inventory.lines() {
        inside = line == "groups:" || (inside && line.starts_with("  "));
        let name = line.trim_start().split(':').next().unwrap();
        let bare = inside && line.contains("roles: [") && !["docker", "registry"].contains(&name) && !wanted.contains(&name);
        let end = line.find(", roles: [").filter(|_| bare);
        own.push_str(&end.map_or_else(|| line.to_owned(), |end| format!("{}}}", &line[..end])));
        own.push('\n');
    }
    for name in wanted {
        assert!(own.contains(&format!("\n  {name}: {{hosts: [")), "the inventory has the group {name}");
    }
    own
}

/// A test that was killed leaves its hosts, and the next one could not start.
fn remove_leftovers(name: &str) {
    let names: Vec<String> = HOSTS.iter().map(|host| format!("poclab-{name}-{host}")).collect();
    let _ = Command::new("docker").args(["rm", "--force", "--volumes"]).args(&names).output();
    let _ = Command::new("docker").args(["network", "rm", &format!("poclab-{name}")]).output();
}
