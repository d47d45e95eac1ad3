//! One logged-in SSH connection: socket (direct or through a jump host), handshake, host key, login.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use ssh2::{MethodType, Session};

use super::auth::{Login, is_socket};
use super::hostkey::{self, Expected, FAMILIES, Verdict};
use super::jump::{self, Jump};
use super::socket::{self, Stopped, drive};
use super::{HostKeyPolicy, SshError, SshTarget};

/// Fast and safe ciphers first; measured over loopback, AES-GCM is the fastest on machines with AES instructions.
const CIPHERS: &str = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr,aes256-ctr";

/// Longest time that saying goodbye may take.
const GOODBYE: Duration = Duration::from_millis(300);

/// What every connection of a run has in common.
pub(super) struct Context<'a> {
    pub(super) policy: &'a HostKeyPolicy,
    pub(super) interrupted: &'a AtomicBool,
}

/// An open connection. Dropping it says goodbye and closes the socket, without waiting long.
pub(super) struct Connection {
    pub(super) session: Session,
    pub(super) socket: Arc<OwnedFd>,
    /// The way through a jump host; it ends after our own goodbye.
    jump: Option<Jump>,
}

impl Connection {
    /// Connects, checks the host key, logs in.
    pub(super) fn open(target: &SshTarget, context: &Context) -> Result<Self, SshError> {
        Self::open_as(target, context, "")
    }

    fn open_as(target: &SshTarget, context: &Context, role: &str) -> Result<Self, SshError> {
        let connection = Self::trusted(target, context)?;
        let login = Login {
            session: &connection.session,
            socket: &connection.socket,
            user: &target.user,
            who: format!("{} on {role}{}", target.user, hostkey::entry_name(&target.address, target.port)),
            interrupted: context.interrupted,
        };
        login.run(&target.auth)?;
        Ok(connection)
    }

    /// A connection to the server that has the expected key, and to no other.
    fn trusted(target: &SshTarget, context: &Context) -> Result<Self, SshError> {
        let name = hostkey::entry_name(&target.address, target.port);
        let expected = Expected::load(context.policy, target)?;
        let connection = Self::handshake(target, context, &expected.preference())?;
        let key = connection.key(&name)?;
        let verdict = match expected.judge(&key) {
            Verdict::Unknown if context.policy.accept_new => hostkey::pin(&context.policy.known_hosts, &name, &key)?,
            verdict => verdict,
        };
        match verdict {
            Verdict::Good => {
                if let Expected::Fingerprint(_) = expected {
                    hostkey::note(&context.policy.known_hosts, &name, &key)?;
                }
                Ok(connection)
            }
            Verdict::Unknown => Err(SshError::HostKeyUnknown { address: name, fingerprint: hostkey::fingerprint(&key) }),
            Verdict::Changed(wanted) => {
                // A pinned fingerprint does not tell the key's type: the server may have that key beside the one shown.
                if matches!(expected, Expected::Fingerprint(_))
                    && let Some(other) = Self::with_another_key(target, context, &expected, &key)?
                {
                    return Ok(other);
                }
                Err(SshError::HostKeyChanged {
                    address: name,
                    expected: wanted,
                    got: hostkey::fingerprint(&key),
                    known_hosts: context.policy.known_hosts.display().to_string(),
                })
            }
        }
    }

    fn with_another_key(target: &SshTarget, context: &Context, expected: &Expected, shown: &[u8]) -> Result<Option<Self>, SshError> {
        for (family, algorithms) in FAMILIES {
            if hostkey::key_type(shown) == Some(family) {
                continue;
            }
            match Self::handshake(target, context, algorithms) {
                Ok(connection) => {
                    let key = connection.key(&target.address)?;
                    if expected.judge(&key) == Verdict::Good {
                        let name = hostkey::entry_name(&target.address, target.port);
                        hostkey::note(&context.policy.known_hosts, &name, &key)?;
                        return Ok(Some(connection));
                    }
                }
                Err(SshError::Interrupted) => return Err(SshError::Interrupted),
                // The server has no key of this type: no agreement.
                Err(_) => {}
            }
        }
        Ok(None)
    }

    fn key(&self, name: &str) -> Result<Vec<u8>, SshError> {
        let lost = || SshError::Lost { doing: format!("reading the host key of {name}"), why: "the server showed none".into() };
        self.session.host_key().map(|(key, _)| key.to_vec()).ok_or_else(lost)
    }

    fn handshake(target: &SshTarget, context: &Context, host_keys: &str) -> Result<Self, SshError> {
        let name = hostkey::entry_name(&target.address, target.port);
        let limit = target.timeouts.connect;
        let (socket, jump) = match &target.jump {
            None => (socket::connect(&target.address, target.port, limit, context.interrupted)?, None),
            Some(host) => {
                let through = Self::open_as(host, context, "the jump host ")?;
                let (socket, jump) = jump::tunnel(through, host, target, context)?;
                (socket, Some(jump))
            }
        };
        let broken = |e: ssh2::Error| SshError::Local(format!("libssh2 cannot be set up: {}", e.message()));
        let mut session = Session::new().map_err(broken)?;
        session.set_blocking(false);
        // libssh2 leaves out what it does not know and fails only when nothing remains.
        session.method_pref(MethodType::HostKey, host_keys).map_err(broken)?;
        session.method_pref(MethodType::CryptCs, CIPHERS).map_err(broken)?;
        session.method_pref(MethodType::CryptSc, CIPHERS).map_err(broken)?;
        // libssh2's own clock only limits how often we may send; the loop that runs scripts decides when.
        session.set_keepalive(true, 2);
        let socket = Arc::new(socket);
        session.set_tcp_stream(Arc::clone(&socket));
        let connection = Self { session, socket, jump };

        let mut handle = connection.session.clone();
        let result = drive(&connection.session, &connection.socket, limit, context.interrupted, || handle.handshake());
        match result {
            Ok(()) => Ok(connection),
            Err(Stopped::Interrupted) => Err(SshError::Interrupted),
            Err(Stopped::TimedOut) => Err(SshError::Timeout { doing: format!("waiting for the SSH handshake of {name}"), after: limit }),
            Err(Stopped::Failed(e)) => {
                let hint = if is_socket(&e) { " (is it an SSH server? sshd also hangs up when MaxStartups is reached)" } else { "" };
                Err(SshError::Unreachable { address: name, why: format!("the SSH handshake failed: {}{hint}", e.message()) })
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let deadline = Instant::now() + GOODBYE;
        while let Err(e) = self.session.disconnect(None, "done", None) {
            let left = deadline.saturating_duration_since(Instant::now());
            if !socket::would_block(&e) || left.is_zero() {
                break;
            }
            socket::ready(&self.socket, true, left);
        }
        // libssh2 frees a session only when nothing would block: on a closed socket nothing does.
        let _ = rustix::net::shutdown(&*self.socket, rustix::net::Shutdown::Both);
        if let Some(jump) = &self.jump {
            jump.wait(GOODBYE);
        }
    }
}
