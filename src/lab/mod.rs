//! The lab: inventory, roles, variables, templates and secrets resolved into one [`Lab`], before any connection.

pub mod ca;
mod model;
pub mod secrets;
mod vault;

pub use model::{Check, Handler, HandlerAction, Host, Lab, NamedSecret, Node, Os, Resource, Service};
pub use secrets::Store;
pub use vault::{Certificate, Login, Vault};
