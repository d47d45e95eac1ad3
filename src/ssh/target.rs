//! Where a host is and how to get in.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::Secret;

/// A way to log in; tried in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// A private key file (OpenSSH or PEM format).
    Key { path: PathBuf, passphrase: Option<Secret> },
    /// The keys of a running ssh-agent (`SSH_AUTH_SOCK`).
    Agent,
    /// A password.
    Password(Secret),
}

/// How to become root after login.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Sudo {
    /// Log in as root: no sudo at all.
    Never,
    /// `sudo -n`: must work without a password.
    #[default]
    NoPassword,
    /// `sudo -S`: this password is given on stdin when (and only when) sudo asks.
    Password(Secret),
}

/// Limits for waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP connect and SSH handshake each (a login attempt may take 60 s: hosts ask slow name servers). Default 10 s.
    pub connect: Duration,
    /// Longest silence of a running script (no byte in either direction). Default 15 min (yum can be slow).
    pub idle: Duration,
    /// Interval of SSH keepalives, at least 2 s. Three unanswered ones mean that the connection is lost, so a host that is cut
    /// off is noticed after four intervals, also while a script is silent. Default 15 s.
    pub keepalive: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), idle: Duration::from_secs(900), keepalive: Duration::from_secs(15) }
    }
}

/// Address and login of one SSH server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshTarget {
    /// Name or address to connect to.
    pub address: String,
    /// Default 22.
    pub port: u16,
    /// Login user.
    pub user: String,
    /// Ways to log in, in order.
    pub auth: Vec<Auth>,
    /// Pinned fingerprint (`SHA256:…` as `ssh-keygen -l` prints it), if the inventory has one.
    pub host_key: Option<String>,
    /// A host to go through (its own jump host first, if it has one).
    pub jump: Option<Box<SshTarget>>,
    /// Limits for waiting.
    pub timeouts: Timeouts,
}

/// How a host is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// By SSH.
    Ssh { target: SshTarget, sudo: Sudo },
    /// By a local program that gets a `sh` script as `sh -c` would (see [`crate::ssh`]).
    Program(Vec<String>),
}

/// Which host keys are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKeyPolicy {
    /// poclab's own known-hosts file (OpenSSH format); keys pinned by `accept_new` are appended to it.
    pub known_hosts: PathBuf,
    /// Pin unknown keys at first contact (`--accept-new-host-keys`). A changed key is refused even then.
    pub accept_new: bool,
}

impl std::fmt::Display for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reach::Ssh { target, .. } if target.port == 22 => write!(f, "{}@{}", target.user, target.address),
            Reach::Ssh { target, .. } => write!(f, "{}@{}:{}", target.user, target.address, target.port),
            Reach::Program(argv) => f.write_str(argv.first().map_or("", String::as_str)),
        }
    }
}
