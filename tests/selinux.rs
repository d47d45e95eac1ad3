//! One host of the lab whose kernel really enforces SELinux: a VM (tests/selinux/run), Debian's policy, the rehearsal's packages.
//!
//! The roles base, firewall and docker. Debian's policy knows no types of containers (`container_t`, `container_file_t`): that they
//! are confined, and the registry's contexts, cannot be seen here.
//!
//! Run by `make test-selinux`, which boots the VM and says in the environment how to get in. The stages share the VM and run in
//! order, as each needs what the one before built.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests may panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A project around the tree's roles, with the VM as its only host.
struct Vm {
    folder: tempfile::TempDir,
    port: String,
    key: String,
    known_hosts: String,
}

impl Vm {
    fn new() -> Self {
        let set = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run make test-selinux"));
        let vm = Self {
            folder: tempfile::tempdir().unwrap(),
            port: set("POCLAB_SELINUX_PORT"),
            key: set("POCLAB_SELINUX_KEY"),
            known_hosts: set("POCLAB_SELINUX_KNOWN_HOSTS"),
        };
        let (root, tree) = (vm.folder.path(), Path::new(env!("CARGO_MANIFEST_DIR")));
        let link = |from: PathBuf, to: &str| std::os::unix::fs::symlink(from, root.join(to)).unwrap();
        link(tree.join("templates"), "templates");
        std::fs::create_dir(root.join("roles")).unwrap();
        for role in ["base", "firewall", "docker"] {
            link(tree.join("roles").join(role), &format!("roles/{role}"));
        }
        link(tree.join("tests/selinux/role"), "roles/probe");
        std::fs::create_dir(root.join("inventory")).unwrap();
        std::fs::write(root.join("inventory/lab.yml"), vm.inventory()).unwrap();
        vm
    }

    fn inventory(&self) -> String {
        let Self { port, key, known_hosts, .. } = self;
        format!(
            "lab: selinux\ndomain: lab.example\noperators: [10.0.2.2/32]\nos: rehearsal\n\
             ssh: {{user: ops, key: {key}, agent: false, sudo: nopasswd, known_hosts: {known_hosts}, connect_timeout: 60}}\n\
             hosts:\n  vm: {{address: 10.0.2.15, ssh: {{address: 127.0.0.1, port: {port}}}}}\n\
             roles: [base, firewall, probe]\n\
             groups:\n  docker: {{hosts: [vm], roles: [docker]}}\n  registry: {{hosts: [vm]}}\n\
             vars:\n  selinux_absent_ok: false\n  firewall_confirm_seconds: 300\n\
             flows:\n  - {{to: all, port: 22/tcp, from: [operators], why: administration}}\n\
             sources:\n  mirror: ${{POCLAB_CACHE}}/mirror\n"
        )
    }

    /// Runs poclab; its exit code and its events. The checks of a single host in a VM: what SELinux says.
    fn poclab(&self, args: &[&str]) -> (i32, Vec<Value>) {
        eprintln!("--- poclab {}", args.join(" "));
        let mut command = Command::new(env!("CARGO_BIN_EXE_poclab"));
        command.args(["--format", "json"]).args(args).current_dir(self.folder.path());
        let output = command.env("POCLAB_IDENTITY", self.folder.path().join("identity.txt")).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        eprintln!("{text}{}", String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap(), text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    fn ssh(&self, shell: &str) -> Output {
        let known = format!("UserKnownHostsFile={}", self.known_hosts);
        let mut ssh = Command::new("ssh");
        ssh.args(["-o", "BatchMode=yes", "-o", &known, "-i", &self.key, "-p", &self.port, "ops@127.0.0.1"]);
        ssh.arg(format!("sudo sh -c '{}'", shell.replace('\'', r"'\''"))).output().unwrap()
    }

    /// Runs shell as root on the VM, past poclab; it must succeed.
    fn on(&self, shell: &str) -> String {
        let output = self.ssh(shell);
        assert!(output.status.success(), "{shell}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What SELinux has denied since the audit log had this many lines.
    fn denied_since(&self, lines: usize) -> Vec<String> {
        let log = self.on(&format!("sync; tail -n +{} /var/log/audit/audit.log", lines + 1));
        log.lines().filter(|line| line.contains("avc:  denied")).map(str::to_owned).collect()
    }

    fn audit_lines(&self) -> usize {
        self.on("wc -l </var/log/audit/audit.log").trim().parse().unwrap()
    }
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

fn changed(events: &[Value]) -> BTreeSet<String> {
    of_kind(events, "change").iter().map(|event| event["resource"].as_str().unwrap().to_owned()).collect()
}

fn reasons(events: &[Value]) -> String {
    of_kind(events, "change").iter().map(|event| format!("{}: {}\n", event["resource"], event["reasons"])).collect()
}

/// What Debian's own policy denies Debian's own services on this machine, whoever sets it up: parts of the line, and why it says
/// nothing about poclab.
const DEBIANS: &[(&[&str], &str)] = &[
    (&[r#"comm="firewalld""#, r#"name="root""#], "Python looks for packages of its user, and goes on without"),
    (&[r#"comm="firewalld""#, r#"name="kernel""#, "sysctl_kernel_t"], "Python asks for the kernel's settings"),
    (&[r#"comm="firewalld""#, "cap }", "tclass=process"], "libcap-ng wants to drop what firewalld does not need, and logs that it may not"),
    (&[r#"comm="firewalld""#, "{ execute }", "firewalld_tmpfs_t"], "libffi tries memory that may be executed first, and has another way"),
];

#[test]
#[ignore = "needs a VM and minutes: make test-selinux"]
fn a_host_whose_selinux_enforces() {
    let vm = Vm::new();
    assert_eq!(vm.on("getenforce").trim(), "Enforcing");
    a_denial_is_logged(&vm);
    let lines = vm.audit_lines();
    let paths = it_is_set_up(&vm);
    what_poclab_wrote_has_its_label(&vm, &paths);
    a_second_run_changes_nothing(&vm);
    nothing_was_denied(&vm, lines);
    each_damage_is_named_and_repaired(&vm);
    permissive_is_drift(&vm);
}

/// The control: what is denied does show up in the log that the test reads.
fn a_denial_is_logged(vm: &Vm) {
    let lines = vm.audit_lines();
    let refused = vm.ssh("runcon system_u:system_r:chronyd_t:s0 cat /etc/shadow");
    assert!(!refused.status.success(), "a process may become chronyd and read passwords");
    assert!(!vm.denied_since(lines).is_empty(), "the kernel denied something and the audit log does not say so");
}

/// Bootstraps; the files and folders that it made.
fn it_is_set_up(vm: &Vm) -> Vec<String> {
    let (exit, events) = vm.poclab(&["bootstrap", "--check", "selinux_enforcing"]);
    let failed: Vec<_> = events.iter().filter(|event| event["event"] == "role_failed" || event["event"] == "host_failed").collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(exit, 0);
    let results = of_kind(&events, "check_result");
    let passed = |control: bool| results.iter().any(|event| event["status"] == "passed" && event["control"] == control);
    assert!(passed(false) && passed(true), "SELinux is looked at, with a control: {results:#?}");
    let all = changed(&events);
    let kept = |what: &str| all.contains(what);
    assert!(kept("selinux_port 8890/tcp") && kept("selinux_fcontext /srv/probe(/.*)?"), "{all:#?}");
    // The real tools have it.
    assert!(vm.on("semanage port -l -C -n").contains("8890"), "semanage knows the port");
    assert!(vm.on("semanage fcontext -l -C -n").contains("/srv/probe(/.*)?"), "semanage knows the paths");
    assert!(vm.on("semanage boolean -l -C -n").contains("httpd_can_network_connect"), "semanage knows the boolean");
    assert_eq!(vm.on("getsebool httpd_can_network_connect").trim(), "httpd_can_network_connect --> on");
    let written = all.iter().filter_map(|resource| resource.strip_prefix("file ").or_else(|| resource.strip_prefix("directory ")));
    written.map(str::to_owned).collect()
}

/// The policy's own tool, on every file and folder that poclab says it made.
fn what_poclab_wrote_has_its_label(vm: &Vm, paths: &[String]) {
    assert!(paths.len() > 8, "{paths:?}");
    let quoted: Vec<String> = paths.iter().map(|path| poclab::base::quote(path)).collect();
    let script = format!("for p in {}; do [ ! -e \"$p\" ] || matchpathcon -V \"$p\" || :; done", quoted.join(" "));
    let wrong: Vec<String> = vm.on(&script).lines().filter(|line| !line.ends_with("verified.")).map(str::to_owned).collect();
    assert!(wrong.is_empty(), "wrong labels: {wrong:#?}");
    assert!(vm.on("ls -Zd /srv/probe/made-by-poclab").contains(":usr_t:"));
    // Control: a wrong label is seen.
    vm.on("chcon -t etc_t /srv/probe/made-by-poclab");
    assert!(!vm.on("matchpathcon -V /srv/probe/made-by-poclab || :").contains("verified."));
    let (exit, events) = vm.poclab(&["plan"]);
    assert_eq!((exit, reasons(&events).as_str()), (2, "\"file /srv/probe/made-by-poclab\": [\"SELinux type is etc_t, want usr_t\"]\n"));
    assert_eq!(vm.poclab(&["bootstrap", "--check", "selinux_enforcing"]).0, 0);
    assert!(vm.on("ls -Zd /srv/probe/made-by-poclab").contains(":usr_t:"));
}

fn a_second_run_changes_nothing(vm: &Vm) {
    let (exit, events) = vm.poclab(&["bootstrap", "--check", "selinux_enforcing"]);
    assert_eq!((exit, changed(&events)), (0, BTreeSet::new()));
}

fn nothing_was_denied(vm: &Vm, lines: usize) {
    let denied = vm.denied_since(lines);
    let ours: Vec<_> =
        denied.iter().filter(|line| !DEBIANS.iter().any(|(parts, _)| parts.iter().all(|part| line.contains(part)))).collect();
    assert!(ours.is_empty(), "SELinux denied: {ours:#?}");
}

fn each_damage_is_named_and_repaired(vm: &Vm) {
    vm.on("setsebool -P httpd_can_network_connect off; semanage port -d -p tcp 8890; semanage fcontext -d \"/srv/probe(/.*)?\"; restorecon -R /srv/probe");
    let (exit, events) = vm.poclab(&["plan"]);
    let named = ["selinux_boolean httpd_can_network_connect", "selinux_port 8890/tcp", "selinux_fcontext /srv/probe(/.*)?"];
    assert_eq!((exit, changed(&events)), (2, named.iter().map(|name| (*name).to_owned()).collect()), "{}", reasons(&events));
    assert_eq!(vm.poclab(&["bootstrap", "--check", "selinux_enforcing"]).0, 0);
    assert_eq!(vm.poclab(&["plan"]).0, 0);
}

fn permissive_is_drift(vm: &Vm) {
    vm.on("setenforce 0 && sed -i s/^SELINUX=.*/SELINUX=permissive/ /etc/selinux/config");
    let (exit, events) = vm.poclab(&["plan"]);
    assert_eq!(exit, 2);
    let want = r#""selinux enforcing": ["SELinux only logs, want it enforcing","SELinux after a boot is \"permissive\", want enforcing"]"#;
    assert_eq!(reasons(&events).trim(), want);
    let (exit, events) = vm.poclab(&["verify", "--check", "selinux_enforcing"]);
    assert_eq!(exit, 3, "{events:#?}");
    assert_eq!(vm.poclab(&["bootstrap", "--check", "selinux_enforcing"]).0, 0);
    assert_eq!(vm.on("getenforce").trim(), "Enforcing");
    assert_eq!(vm.on("grep ^SELINUX= /etc/selinux/config").trim(), "SELINUX=enforcing");
}
