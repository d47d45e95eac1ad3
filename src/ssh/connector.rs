//! The real connector.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{Resource, Rlimit};

use super::connection::{Connection, Context};
use super::exec::SshTransport;
use super::program::ProgramTransport;
use super::{Connector, HostKeyPolicy, Reach, SshError, Transport};

/// Opens SSH connections (and local programs). One per run, shared by all worker threads; what it opens is not shared.
#[derive(Debug, Clone)]
pub struct Ssh {
    pub(super) policy: HostKeyPolicy,
    pub(super) interrupted: Arc<AtomicBool>,
}

impl Ssh {
    /// A connector with this policy for host keys. Once `interrupted` is true every wait ends within 0.2 s with
    /// [`SshError::Interrupted`].
    pub fn new(policy: HostKeyPolicy, interrupted: Arc<AtomicBool>) -> Self {
        // One descriptor per connection, and shells start programs with a limit of 1024. No need to do without if it cannot be raised.
        let limit = rustix::process::getrlimit(Resource::Nofile);
        let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
        Self { policy, interrupted }
    }
}

impl Connector for Ssh {
    fn connect(&self, reach: &Reach) -> Result<Box<dyn Transport>, SshError> {
        match reach {
            Reach::Ssh { target, sudo } => {
                let context = Context { policy: &self.policy, interrupted: &self.interrupted };
                let connection = Connection::open(target, &context)?;
                Ok(Box::new(SshTransport::new(connection, sudo.clone(), target.timeouts, Arc::clone(&self.interrupted))?))
            }
            Reach::Program(argv) => Ok(Box::new(ProgramTransport::new(argv.clone(), Arc::clone(&self.interrupted))?)),
        }
    }
}
