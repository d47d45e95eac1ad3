//! What can go wrong between us and a host's shell.

use std::time::Duration;

use crate::base::frame::Refused;

/// Why sudo did not give us root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SudoProblem {
    /// A password is needed and none is configured.
    #[error(
        "sudo wants a password and none is configured; set `sudo: {{password: …}}` for this host (poclab secrets set) or allow NOPASSWD"
    )]
    PasswordNeeded,
    /// The configured password was refused.
    #[error("sudo refused the configured password")]
    WrongPassword,
    /// The user is not in sudoers (or may not run `sh`).
    #[error("the login user may not use sudo: {0}; add it to sudoers (e.g. group wheel)")]
    NotInSudoers(String),
    /// `Defaults requiretty` is set.
    #[error("sudo insists on a terminal (requiretty); add `Defaults:USER !requiretty` in /etc/sudoers.d")]
    RequireTty,
    /// sudo is not installed.
    #[error("sudo is not installed on the host; install it or log in as root")]
    Missing,
}

/// Why a connection or an exec failed. Texts name the cause and the remedy; the host's name is added by the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SshError {
    /// No TCP connection.
    #[error("cannot reach {address}: {why}; is the host up and is the address right?")]
    Unreachable { address: String, why: String },
    /// Nothing came for too long.
    #[error("no answer for {after:?} while {doing}")]
    Timeout { doing: String, after: Duration },
    /// First contact without a pinned key.
    #[error(
        "the host key {fingerprint} ({address}) is not known; compare it on the host's console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then put `host_key: {fingerprint}` into the inventory or run once with --accept-new-host-keys"
    )]
    HostKeyUnknown { address: String, fingerprint: String },
    /// The pinned key is another one.
    #[error(
        "THE HOST KEY OF {address} HAS CHANGED: expected {expected}, got {got}; if the host was reinstalled remove its old line from {known_hosts} (or fix `host_key` in the inventory), otherwise somebody may be in between"
    )]
    HostKeyChanged { address: String, expected: String, got: String, known_hosts: String },
    /// A key file that cannot be used.
    #[error("cannot use the private key {path}: {why}")]
    Key { path: String, why: String },
    /// No way to log in worked.
    #[error("login as {user} was refused (tried: {tried}); check the user, the key and ~/.ssh/authorized_keys on the host")]
    AuthFailed { user: String, tried: String },
    /// sudo.
    #[error("{0}")]
    Sudo(SudoProblem),
    /// The server let us in, but our script never began (a login shell like nologin, a missing `sh`, a failing sudo).
    #[error(
        "the script did not start on the host (exit status {status}): {output}; the login needs an ordinary shell, a ~/.bashrc that does not end early, and `sh` and `head` in its PATH"
    )]
    NotStarted { status: i32, output: String },
    /// Something on the host read what was meant for our script.
    #[error(
        "the script did not arrive as it was sent, and was not run: something that runs at login (often ~/.bashrc of the login user) reads from standard input; let it do so only in interactive shells: case $- in *i*) ;; *) return ;; esac"
    )]
    Eaten,
    /// The output breaks the rules by which it is read.
    #[error("the host's answer was not understood, and nothing of it was used: {0}")]
    NotUnderstood(Refused),
    /// The connection broke in the middle.
    #[error("the connection was lost while {doing}: {why}")]
    Lost { doing: String, why: String },
    /// An open connection turned out to be dead before anything of a script was sent: it may be tried again over a new one.
    #[error("the connection had broken since it was last used: {why}")]
    Dead { why: String },
    /// Anything about our own side (reading a file to send, starting a program).
    #[error("{0}")]
    Local(String),
    /// The user interrupted the run.
    #[error("interrupted")]
    Interrupted,
}

impl SshError {
    /// What to do next, where the text itself does not say it.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Lost { .. } | Self::Dead { .. } => Some(
                "see that the host is up and the network to it works (a host that answers nothing for four times `ssh: keepalive` counts as lost), then run again: poclab goes on where it stopped",
            ),
            Self::Timeout { doing, .. } if doing.starts_with("running") || doing.starts_with("sending") => Some(
                "the host answers, but what runs there prints nothing: look at it there (ps, journalctl); `ssh: idle_timeout` in the inventory sets this limit; then run again: poclab goes on where it stopped",
            ),
            Self::Timeout { .. } => Some(
                "something accepts connections but does not answer: see on the host's console whether it hangs or is overloaded (`ssh: connect_timeout` in the inventory sets the limit for connecting), then run again",
            ),
            _ => None,
        }
    }
}
