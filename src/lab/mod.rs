//! The lab: inventory, roles, variables, templates and secrets resolved into one [`Lab`], before any connection.

mod model;

pub use model::{Check, Handler, HandlerAction, Host, Lab, NamedSecret, Node, Os, Resource, Service};
