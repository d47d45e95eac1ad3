//! `poclab deploy`: puts images of one commit in place on the application's host, proves from outside that they answer, and
//! has the previous ones put back when they do not.
//!
//! The host does the work (role `app`, `student-list-deploy`) in a unit of its own: it pulls by digest, starts, waits for
//! health, and then waits to be confirmed. This side looks at the application as its users do, over the network, and
//! confirms or rejects. Whatever dies in between, the host puts the previous version back when the time for that is over.

mod answers;
mod config;
mod host;
mod order;
mod run;

pub use answers::{Answers, Http};
pub use config::{Config, Target};
pub use host::{Host, SshHost, Word};
pub use order::{Commit, Order};
pub use run::{Outcome, run};
