//! Logging in: keys, agent, password, in the order that the inventory gives.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ssh2::{ErrorCode, KeyboardInteractivePrompt, Prompt, Session};

use super::socket::{Stopped, drive};
use super::{Auth, SshError};
use crate::base::Secret;

/// Longest wait for one login attempt. sshd itself waits 2 s after a wrong password and may first ask a slow name server.
const LIMIT: Duration = Duration::from_secs(60);

/// libssh2.h: the server said no.
const REFUSED: [i32; 2] = [-18 /* AUTHENTICATION_FAILED */, -19 /* PUBLICKEY_UNVERIFIED */];

/// How one way to log in ended.
enum Attempt {
    In,
    /// Not let in; the text is for the list of what was tried.
    No(String),
}

/// What an attempt needs.
pub(super) struct Login<'a> {
    pub(super) session: &'a Session,
    pub(super) socket: &'a OwnedFd,
    pub(super) user: &'a str,
    /// `user on name`, for errors.
    pub(super) who: String,
    pub(super) interrupted: &'a AtomicBool,
}

impl Login<'_> {
    /// Tries each way; the first that works wins. A key file that cannot be used is the error to report when nothing
    /// else works, because it is the one thing that the user can fix here.
    pub(super) fn run(&self, ways: &[Auth]) -> Result<(), SshError> {
        let mut tried = Vec::new();
        let mut bad_key = None;
        for way in ways {
            let attempt = match way {
                Auth::Key { path, passphrase } => self.key(path, passphrase.as_ref()),
                Auth::Agent => self.agent(),
                Auth::Password(password) => self.password(password),
            };
            match attempt {
                Ok(Attempt::In) => return Ok(()),
                Ok(Attempt::No(what)) => tried.push(what),
                Err(error @ SshError::Key { .. }) => {
                    bad_key.get_or_insert(error);
                }
                // sshd hangs up after MaxAuthTries refusals: that is a refusal too.
                Err(SshError::Lost { why, .. }) if !tried.is_empty() => {
                    tried.push(format!("then the server closed the connection ({why}); an agent with many keys can exhaust MaxAuthTries"));
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(SshError::Key { path, why }) = bad_key {
            let also = if tried.is_empty() { String::new() } else { format!("; also tried: {}", tried.join(", ")) };
            return Err(SshError::Key { path, why: format!("{why}{also}") });
        }
        let tried = if tried.is_empty() { "nothing: no way to log in is configured".into() } else { tried.join(", ") };
        Err(SshError::AuthFailed { user: self.who.clone(), tried })
    }

    fn key(&self, path: &Path, passphrase: Option<&Secret>) -> Result<Attempt, SshError> {
        let bad = |why: String| SshError::Key { path: path.display().to_string(), why };
        let text = fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
        if passphrase.is_none() && is_encrypted(&text) {
            return Err(bad("it has a passphrase and none is configured; configure it, or add the key to ssh-agent".into()));
        }
        let result = self.drive(|| self.session.userauth_pubkey_memory(self.user, None, &text, passphrase.map(Secret::expose)));
        match result {
            Ok(()) => Ok(Attempt::In),
            Err(Stopped::Failed(e)) if is_refused(&e) => Ok(Attempt::No(format!("key {}", path.display()))),
            Err(Stopped::Failed(e)) if !is_socket(&e) => {
                let hint = if passphrase.is_some() { "; is the passphrase right?" } else { "" };
                Err(bad(format!("{}{hint}", e.message())))
            }
            Err(stopped) => Err(self.stopped(stopped)),
        }
    }

    fn agent(&self) -> Result<Attempt, SshError> {
        if std::env::var_os("SSH_AUTH_SOCK").is_none_or(|value| value.is_empty()) {
            return Ok(Attempt::No("agent (SSH_AUTH_SOCK is not set)".into()));
        }
        let open = || {
            let mut agent = self.session.agent()?;
            agent.connect()?;
            agent.list_identities()?;
            let identities = agent.identities()?;
            Ok((agent, identities))
        };
        let (agent, identities) = match open() {
            Ok(found) => found,
            Err(e) => return Ok(Attempt::No(format!("agent ({})", ssh2::Error::message(&e)))),
        };
        for identity in &identities {
            match self.drive(|| agent.userauth(self.user, identity)) {
                Ok(()) => return Ok(Attempt::In),
                Err(Stopped::Failed(e)) if !is_socket(&e) => {}
                Err(stopped) => return Err(self.stopped(stopped)),
            }
        }
        Ok(Attempt::No(format!("agent ({} keys)", identities.len())))
    }

    fn password(&self, password: &Secret) -> Result<Attempt, SshError> {
        let offered = match self.drive(|| self.session.auth_methods(self.user).map(str::to_owned)) {
            Ok(offered) => offered,
            Err(Stopped::Failed(e)) if !is_socket(&e) => String::new(),
            Err(stopped) => return Err(self.stopped(stopped)),
        };
        if self.session.authenticated() {
            return Ok(Attempt::In);
        }
        let offers = |method: &str| offered.split(',').any(|offer| offer == method);
        let result = if offers("password") {
            self.drive(|| self.session.userauth_password(self.user, password.expose()))
        } else if offers("keyboard-interactive") {
            let mut answers = SamePassword(password);
            self.drive(|| self.session.userauth_keyboard_interactive(self.user, &mut answers))
        } else {
            return Ok(Attempt::No(format!("password (the server offers only: {offered})")));
        };
        match result {
            Ok(()) => Ok(Attempt::In),
            Err(Stopped::Failed(e)) if !is_socket(&e) => Ok(Attempt::No("password".into())),
            Err(stopped) => Err(self.stopped(stopped)),
        }
    }

    fn drive<T>(&self, call: impl FnMut() -> Result<T, ssh2::Error>) -> Result<T, Stopped> {
        drive(self.session, self.socket, LIMIT, self.interrupted, call)
    }

    fn stopped(&self, stopped: Stopped) -> SshError {
        let doing = format!("logging in as {}", self.who);
        match stopped {
            Stopped::Failed(e) => SshError::Lost { doing, why: e.message().to_owned() },
            Stopped::TimedOut => SshError::Timeout { doing, after: LIMIT },
            Stopped::Interrupted => SshError::Interrupted,
        }
    }
}

/// Answers every hidden prompt with the password (PAM asks once); visible ones get nothing.
struct SamePassword<'a>(&'a Secret);

impl KeyboardInteractivePrompt for SamePassword<'_> {
    fn prompt<'b>(&mut self, _user: &str, _instructions: &str, prompts: &[Prompt<'b>]) -> Vec<String> {
        prompts.iter().map(|prompt| if prompt.echo { String::new() } else { self.0.expose().to_owned() }).collect()
    }
}

fn is_refused(error: &ssh2::Error) -> bool {
    matches!(error.code(), ErrorCode::Session(code) if REFUSED.contains(&code))
}

/// Whether the connection is gone (libssh2.h: SOCKET_SEND, SOCKET_DISCONNECT, SOCKET_RECV, BAD_SOCKET, TIMEOUT, SOCKET_TIMEOUT).
pub(super) fn is_socket(error: &ssh2::Error) -> bool {
    matches!(error.code(), ErrorCode::Session(-7 | -13 | -43 | -45 | -9 | -30))
}

/// Whether a private key file needs a passphrase: PEM says so in clear, OpenSSH's format by its cipher's name.
fn is_encrypted(text: &str) -> bool {
    use base64::Engine as _;
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return true;
    }
    if !text.contains("BEGIN OPENSSH PRIVATE KEY") {
        return false;
    }
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(body) else { return false };
    // PROTOCOL.key: "openssh-key-v1\0", then the cipher's name as a string.
    bytes.strip_prefix(b"openssh-key-v1\0").is_some_and(|rest| !rest.starts_with(b"\0\0\0\x04none"))
}

#[cfg(test)]
mod tests {
    use super::is_encrypted;

    #[test]
    fn a_passphrase_is_noticed_in_every_format() {
        let dir = tempfile::tempdir().unwrap();
        for (n, (format, passphrase)) in [(None, ""), (None, "secret1"), (Some("PEM"), ""), (Some("PEM"), "secret1")].iter().enumerate() {
            let file = dir.path().join(n.to_string());
            let mut make = std::process::Command::new("ssh-keygen");
            make.args(["-q", "-t", "rsa", "-b", "2048", "-N", passphrase, "-f"]).arg(&file);
            if let Some(format) = format {
                make.args(["-m", format]);
            }
            assert!(make.status().unwrap().success());
            let text = std::fs::read_to_string(&file).unwrap();
            assert_eq!(is_encrypted(&text), !passphrase.is_empty(), "{text}");
        }
    }
}
