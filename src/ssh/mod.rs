//! Reaching a host: one connection, scripts on it, privilege by sudo, large files on stdin.
//!
//! [`Connector`] and [`Transport`] are what the engine sees; [`Ssh`] is the real one (libssh2), [`Program`] runs a local
//! program per exec instead (`connection: {program: […]}` in the inventory: chroots, `docker exec -i`, tests).

mod error;
mod target;
mod transport;

pub use error::{SshError, SudoProblem};
pub use target::{Auth, HostKeyPolicy, Reach, SshTarget, Sudo, Timeouts};
pub use transport::{Connector, Exec, Output, Transport};
