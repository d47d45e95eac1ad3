//! A real sshd on loopback, temporary users and sudo rules; everything is removed when a test ends.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use poclab::base::Secret;
use poclab::ssh::*;

pub const SSHD: &str = "/usr/sbin/sshd";

/// False (with a loud message) when sshd is missing. With POCLAB_REQUIRE_SSHD=1 that is a failure.
pub fn sshd_is_there() -> bool {
    let there = Path::new(SSHD).exists() && rustix::process::getuid().is_root();
    if !there {
        assert_ne!(
            std::env::var("POCLAB_REQUIRE_SSHD").as_deref(),
            Ok("1"),
            "{SSHD} is missing or we are not root, and POCLAB_REQUIRE_SSHD=1"
        );
        eprintln!("\n*** SKIPPED: this test needs {SSHD} (apt-get install openssh-server) and root ***\n");
    }
    there
}

/// Makes the test return when there is no sshd.
#[macro_export]
macro_rules! need_sshd {
    () => {
        if !$crate::lab::sshd_is_there() {
            return;
        }
    };
}

pub fn sh(script: &str) {
    let out = Command::new("sh").arg("-c").arg(script).output().unwrap();
    assert!(out.status.success(), "{script}: {}", String::from_utf8_lossy(&out.stderr));
}

pub fn keygen(path: &Path, kind: &str, passphrase: &str) {
    let done = Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", passphrase, "-f"]).arg(path).status().unwrap();
    assert!(done.success());
}

static RSA: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();

/// One sshd with its own keys, and a folder with a client key that it lets in.
pub struct Sshd {
    child: Child,
    pub port: u16,
    pub dir: tempfile::TempDir,
    pub interrupted: Arc<AtomicBool>,
}

impl Sshd {
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// `extra` goes in front of the other settings, so it wins.
    pub fn start_with(extra: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("poclab-sshd-").tempdir().unwrap();
        // Other users' sudo and sshd read below it.
        sh(&format!("chmod 755 {}; mkdir -p -m 755 /run/sshd", dir.path().display()));
        keygen(&dir.path().join("host_ed25519"), "ed25519", "");
        // Making RSA keys is slow, and no test compares them between servers.
        let rsa = RSA.get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            keygen(&dir.path().join("rsa"), "rsa", "");
            (fs::read(dir.path().join("rsa")).unwrap(), fs::read(dir.path().join("rsa.pub")).unwrap())
        });
        fs::write(dir.path().join("host_rsa"), &rsa.0).unwrap();
        fs::write(dir.path().join("host_rsa.pub"), &rsa.1).unwrap();
        sh(&format!("chmod 600 {}/host_rsa", dir.path().display()));
        keygen(&dir.path().join("key"), "ed25519", "");
        fs::copy(dir.path().join("key.pub"), dir.path().join("authorized_keys")).unwrap();
        // Another test may take the free port before sshd does: sshd then ends, and a test that went on would talk to the other's sshd.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(child) = Self::listen(dir.path(), port, extra) {
                return Self { child, port, dir, interrupted: Arc::default() };
            }
        }
        panic!("sshd found no port: {}", fs::read_to_string(dir.path().join("log")).unwrap());
    }

    /// An sshd that says in its own log that it has this port. `None`: somebody else has it.
    fn listen(dir: &Path, port: u16, extra: &str) -> Option<Child> {
        let d = dir.display();
        let config = format!(
            "{extra}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {d}/host_ed25519\nHostKey {d}/host_rsa\nPidFile none\nUsePAM no\nStrictModes no\n\
             AuthorizedKeysFile {d}/authorized_keys\nPermitRootLogin yes\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\nLogLevel VERBOSE\n"
        );
        fs::write(dir.join("config"), config).unwrap();
        let log = dir.join("log");
        let mut child = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(dir.join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let ended = child.try_wait().unwrap();
            let said = fs::read_to_string(&log).unwrap();
            if said.contains(&format!("Server listening on 127.0.0.1 port {port}.")) {
                return Some(child);
            }
            if ended.is_some() {
                assert!(said.contains("Address already in use"), "sshd ended: {said}");
                return None;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                panic!("sshd does not listen: {said}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// The process that serves the only open connection.
    pub fn session(&self) -> u32 {
        let out = Command::new("pgrep").arg("-P").arg(self.child.id().to_string()).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim().parse().expect("exactly one connection")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn fingerprint(&self, kind: &str) -> String {
        let out = Command::new("ssh-keygen").arg("-lf").arg(self.path(&format!("host_{kind}.pub"))).output().unwrap();
        String::from_utf8(out.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
    }

    pub fn key(&self) -> Auth {
        Auth::Key { path: self.path("key"), passphrase: None }
    }

    /// root by key, the host key pinned.
    pub fn target(&self) -> SshTarget {
        SshTarget {
            address: "127.0.0.1".into(),
            port: self.port,
            user: "root".into(),
            auth: vec![self.key()],
            host_key: Some(self.fingerprint("ed25519")),
            jump: None,
            timeouts: Timeouts::default(),
        }
    }

    pub fn policy(&self, accept_new: bool) -> HostKeyPolicy {
        HostKeyPolicy { known_hosts: self.path("known/hosts"), accept_new }
    }

    pub fn connect_with(&self, target: SshTarget, sudo: Sudo, accept_new: bool) -> Result<Box<dyn Transport>, SshError> {
        Ssh::new(self.policy(accept_new), Arc::clone(&self.interrupted)).connect(&Reach::Ssh { target, sudo })
    }

    pub fn connect(&self) -> Box<dyn Transport> {
        self.connect_with(self.target(), Sudo::Never, false).unwrap_or_else(|e| panic!("{e}\n{}", self.log()))
    }

    /// The error of a connect that must fail.
    pub fn refused(&self, target: SshTarget) -> SshError {
        self.connect_with(target, Sudo::Never, false).err().expect("must be refused")
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A system user for one test.
pub struct User {
    pub name: String,
    pub password: Secret,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl User {
    pub fn new(shell: &str) -> Self {
        let name = format!("poct{}n{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let user = Self { name, password: Secret::new("corr3ct h'rse \"batt\\ery") };
        // -l: no lastlog entry. The lock of /etc/passwd is shared by all tests, so try for a while.
        let name = &user.name;
        sh(&format!("for i in 1 2 3 4 5 6 7 8 9 10; do useradd -l -m -s {shell} {name} && exit 0; sleep 0.3; done; exit 1"));
        fs::write(format!("/tmp/{name}.pw"), format!("{name}:{}", user.password.expose())).unwrap();
        sh(&format!(
            "for i in 1 2 3 4 5 6 7 8 9 10; do chpasswd </tmp/{name}.pw && break; sleep 0.3; done; rm -f /tmp/{name}.pw; grep -q '^{name}:[$]' /etc/shadow"
        ));
        user
    }

    /// Adds sudo rules, `USER` standing for the name.
    pub fn sudoers(&self, rules: &str) -> &Self {
        let file = format!("/etc/sudoers.d/{}", self.name);
        fs::write(&file, rules.replace("USER", &self.name) + "\n").unwrap();
        sh(&format!("chmod 440 {file} && visudo -cqf {file}"));
        self
    }

    pub fn target(&self, sshd: &Sshd) -> SshTarget {
        SshTarget { user: self.name.clone(), ..sshd.target() }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let name = &self.name;
        let _ = fs::remove_file(format!("/etc/sudoers.d/{name}"));
        let script = format!(
            "for i in 1 2 3 4 5 6 7 8 9 10; do userdel -f -r {name} 2>/dev/null; id {name} >/dev/null 2>&1 || exit 0; sleep 0.3; done; exit 1"
        );
        let _ = Command::new("sh").arg("-c").arg(script).status();
    }
}

/// Runs a script without stdin.
pub fn exec(transport: &mut dyn Transport, script: &str) -> Result<Output, SshError> {
    transport.exec(&Exec { script: script.into(), stdin: vec![] }, &mut |_| {}, &mut |_| {})
}

/// Runs a script that must work; its stdout.
pub fn stdout(transport: &mut dyn Transport, script: &str) -> String {
    let out = exec(transport, script).unwrap();
    assert_eq!(out.status, 0, "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn a_port_that_another_sshd_has_is_noticed() {
    need_sshd!();
    let sshd = Sshd::start();
    assert!(Sshd::listen(sshd.dir.path(), sshd.port, "").is_none());
    assert_eq!(stdout(&mut *sshd.connect(), "echo still there"), "still there\n");
}
