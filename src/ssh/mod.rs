//! Reaching a host: one connection, scripts on it, privilege by sudo, large files on stdin.
//!
//! [`Connector`] and [`Transport`] are what the engine sees. [`Ssh`] is the real connector: libssh2 for [`Reach::Ssh`], and
//! a local program per exec for [`Reach::Program`] (`connection: {program: […]}` in the inventory: chroots,
//! `docker exec -i`, tests). Both run the same loader ([`loader`]) through the same loop ([`run`]):
//!
//! 1. The command line is a constant plus a nonce and a byte count, so it never shows what is done.
//! 2. The loader prints a ready mark on stdout and on stderr. What came before it (banners, a noisy `~/.bashrc`, sudo's
//!    prompt and lecture) is not output of the script and is dropped.
//! 3. It reads exactly the script's bytes from stdin, refuses a cut one, and runs it; what follows on stdin are the payloads.

mod auth;
mod connection;
mod connector;
mod error;
mod exec;
mod feed;
mod gate;
#[cfg(any(test, feature = "hostile"))]
pub(crate) mod hostile;
mod hostkey;
mod jump;
mod loader;
mod plain;
mod program;
mod run;
mod socket;
mod sudo;
mod target;
mod transport;
mod wire;

pub use connector::Ssh;
pub use error::{SshError, SudoProblem};
pub use hostkey::{fingerprint, known_key};
pub use target::{Auth, HostKeyPolicy, Reach, SshTarget, Sudo, Timeouts};
pub use transport::{Connector, Exec, Output, Transport};
