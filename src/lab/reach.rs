//! How each host is reached: the inventory's `ssh`, what a host overrides, and the secrets for it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::document::Document;
use super::inventory::{Host, Inventory, Jump, Ssh, SudoMode};
use super::paths;
use super::problem::Sink;
use super::vault::Vault;
use crate::base::Secret;
use crate::ssh::{Auth, Reach, SshTarget, Sudo, Timeouts};

/// What is needed to work out how hosts are reached.
pub struct Reacher<'a> {
    /// The project's root.
    pub root: &'a Path,
    /// The inventory.
    pub inventory: &'a Inventory,
    /// The inventory's file.
    pub document: &'a Document,
    /// Whether files and secrets may be missing (`poclab validate`).
    pub offline: bool,
}

impl Reacher<'_> {
    /// Mistakes in the inventory's own `ssh`, and the file of known host keys.
    pub fn known_hosts(&self, state_dir: &Path, sink: &mut Sink) -> PathBuf {
        let ssh = &self.inventory.ssh;
        for (field, set) in [("address", ssh.address.is_some()), ("host_key", ssh.host_key.is_some())] {
            if set {
                sink.push(
                    self.document
                        .problem(&format!("/ssh/{field}"), format!("`{field}` belongs to one host"))
                        .suggest(format!("move it to `hosts: <name>: ssh: {field}`")),
                );
            }
        }
        let written = ssh.known_hosts.as_deref().and_then(|written| self.path("/ssh/known_hosts", written, sink));
        written.unwrap_or_else(|| state_dir.join("known_hosts"))
    }

    /// How one host is reached.
    pub fn reach(&self, name: &str, host: &Host, vault: &dyn Vault, sink: &mut Sink) -> Option<Reach> {
        let pointer = format!("/hosts/{name}");
        let own = &host.ssh;
        if own.known_hosts.is_some() {
            sink.push(
                self.document
                    .problem(&format!("{pointer}/ssh/known_hosts"), "`known_hosts` belongs to the whole inventory")
                    .suggest("move it to `ssh: known_hosts`"),
            );
        }
        if let Some(connection) = &host.connection {
            if connection.program.is_empty() {
                sink.push(self.document.problem(&format!("{pointer}/connection/program"), "`program` is empty"));
                return None;
            }
            return Some(Reach::Program(connection.program.clone()));
        }
        let all = &self.inventory.ssh;
        let secret = |what: &str| vault.get(&format!("{what}_{name}")).or_else(|| vault.get(what));
        let user = own.user.clone().or_else(|| all.user.clone()).unwrap_or_else(|| "root".to_owned());
        let mut auth = Vec::new();
        let from = |own_set: bool, field: &str| if own_set { format!("{pointer}/ssh/{field}") } else { format!("/ssh/{field}") };
        // `validate` has a placeholder for every secret, also for one that is not needed.
        let passphrase = if self.offline { None } else { secret("ssh_key_passphrase") };
        let key = own.key.as_deref().or(all.key.as_deref());
        let key = key.and_then(|key| self.path(&from(own.key.is_some(), "key"), key, sink));
        auth.extend(key.as_ref().map(|path| Auth::Key { path: path.clone(), passphrase: passphrase.clone() }));
        if own.agent.or(all.agent).unwrap_or(true) {
            auth.push(Auth::Agent);
        }
        let mut fine = true;
        if own.password.or(all.password).unwrap_or(false) {
            match secret("ssh_password") {
                Some(password) => auth.push(Auth::Password(password)),
                None => {
                    fine = false;
                    let what = format!("host `{name}` logs in with a password, and none is set");
                    sink.push(
                        self.document
                            .problem(&from(own.password.is_some(), "password"), what)
                            .suggest(format!("run `poclab secrets set ssh_password_{name}`, or `ssh_password` for all hosts")),
                    );
                }
            }
        }
        if auth.is_empty() {
            fine = false;
            sink.push(
                self.document
                    .problem(&pointer, format!("host `{name}` has no way to log in"))
                    .suggest("write `key`, `agent: true` or `password: true` under `ssh`"),
            );
        }
        let sudo = self.sudo(name, own, &user, &secret, sink);
        let jump = own.jump.as_ref().or(all.jump.as_ref()).map(|jump| Box::new(self.jump(jump, own, &user, &passphrase, sink)));
        let target = SshTarget {
            address: own.address.clone().unwrap_or_else(|| host.address.to_string()),
            port: own.port.or(all.port).unwrap_or(22),
            user,
            auth,
            host_key: own.host_key.clone(),
            jump,
            timeouts: self.timeouts(own),
        };
        let pinned = std::iter::successors(Some(&target), |target| target.jump.as_deref()).filter_map(|target| target.host_key.as_deref());
        for wrong in pinned.filter(|key| !key.starts_with("SHA256:")) {
            sink.push(
                self.document
                    .problem(&format!("{pointer}/ssh"), format!("`{wrong}` is no fingerprint"))
                    .suggest("write it as `ssh-keygen -l` prints it: `SHA256:…`"),
            );
        }
        fine.then_some(Reach::Ssh { target, sudo: sudo? })
    }

    fn sudo(&self, name: &str, own: &Ssh, user: &str, secret: &dyn Fn(&str) -> Option<Secret>, sink: &mut Sink) -> Option<Sudo> {
        let all = &self.inventory.ssh;
        let default = if user == "root" { SudoMode::None } else { SudoMode::Nopasswd };
        let mode = own.sudo.or(all.sudo).unwrap_or(default);
        let pointer = if own.sudo.is_some() { format!("/hosts/{name}/ssh/sudo") } else { "/ssh/sudo".to_owned() };
        match mode {
            SudoMode::None if user != "root" => {
                sink.push(
                    self.document
                        .problem(&pointer, format!("`sudo: none` needs the user root, and host `{name}` has the user `{user}`"))
                        .suggest("write `sudo: nopasswd` or `sudo: password`"),
                );
                None
            }
            SudoMode::None => Some(Sudo::Never),
            SudoMode::Nopasswd => Some(Sudo::NoPassword),
            SudoMode::Password => {
                let file = own.sudo_password_file.as_deref().or(all.sudo_password_file.as_deref());
                let at = if own.sudo_password_file.is_some() {
                    format!("/hosts/{name}/ssh/sudo_password_file")
                } else {
                    "/ssh/sudo_password_file".to_owned()
                };
                match file {
                    Some(file) => self.password_file(&at, file, sink).map(Sudo::Password),
                    None => secret("sudo_password").map(Sudo::Password).or_else(|| {
                        let what = format!("host `{name}` needs a sudo password, and none is set");
                        sink.push(
                            self.document
                                .problem(&pointer, what)
                                .suggest(format!("run `poclab secrets set sudo_password_{name}`, or `sudo_password` for all hosts")),
                        );
                        None
                    }),
                }
            }
        }
    }

    fn password_file(&self, pointer: &str, written: &str, sink: &mut Sink) -> Option<Secret> {
        let path = self.path(pointer, written, sink)?;
        if self.offline && !path.exists() {
            return Some(Secret::new("placeholder-for-sudo"));
        }
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                let problem = self.document.problem(pointer, format!("sudo password file {}: {error}", path.display()));
                // The rehearsal's is made with its hosts.
                let made = path.components().any(|part| part.as_os_str() == ".poclab");
                sink.push(if made { problem.suggest("`poclab rehearse up` makes the rehearsal's hosts and this file") } else { problem });
                return None;
            }
        };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).map_or(0o600, |about| about.permissions().mode());
            if mode & 0o077 != 0 {
                let shown = path.display();
                sink.push(
                    self.document
                        .problem(pointer, format!("sudo password file {shown} can be read by others (mode {:04o})", mode & 0o7777))
                        .suggest(format!("run `chmod 600 {shown}`")),
                );
                return None;
            }
        }
        let line = text.lines().next().unwrap_or_default();
        if line.is_empty() {
            sink.push(self.document.problem(pointer, format!("sudo password file {} is empty", path.display())));
            return None;
        }
        Some(Secret::new(line))
    }

    fn jump(&self, jump: &Jump, own: &Ssh, user: &str, passphrase: &Option<Secret>, sink: &mut Sink) -> SshTarget {
        let all = &self.inventory.ssh;
        let key = jump.key.as_deref().or(own.key.as_deref()).or(all.key.as_deref());
        let key = key.and_then(|key| self.path("/ssh/jump/key", key, sink));
        let mut auth: Vec<Auth> = key.into_iter().map(|path| Auth::Key { path, passphrase: passphrase.clone() }).collect();
        if own.agent.or(all.agent).unwrap_or(true) {
            auth.push(Auth::Agent);
        }
        SshTarget {
            address: jump.address.clone(),
            port: jump.port.unwrap_or(22),
            user: jump.user.clone().unwrap_or_else(|| user.to_owned()),
            auth,
            host_key: jump.host_key.clone(),
            jump: jump.jump.as_ref().map(|jump| Box::new(self.jump(jump, own, user, passphrase, sink))),
            timeouts: self.timeouts(own),
        }
    }

    fn timeouts(&self, own: &Ssh) -> Timeouts {
        let all = &self.inventory.ssh;
        let default = Timeouts::default();
        let seconds = |own: Option<u32>, all: Option<u32>, default: Duration| {
            own.or(all).map_or(default, |seconds| Duration::from_secs(seconds.max(1).into()))
        };
        Timeouts {
            connect: seconds(own.connect_timeout, all.connect_timeout, default.connect),
            idle: seconds(own.idle_timeout, all.idle_timeout, default.idle),
            keepalive: seconds(own.keepalive, all.keepalive, default.keepalive),
        }
    }

    fn path(&self, pointer: &str, written: &str, sink: &mut Sink) -> Option<PathBuf> {
        paths::expand(self.root, written).map_err(|why| sink.push(self.document.problem(pointer, why))).ok()
    }
}
