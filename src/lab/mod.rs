//! The lab: inventory, roles, variables, templates and secrets resolved into one [`Lab`], before any connection.
//!
//! The way of a file: [`document`] (YAML with places) -> [`structure`] (JSON schema, in plain words) -> types
//! ([`inventory`], [`role`]) -> [`names`] (references) -> [`resolve`] and [`node`] (variables, templates, kinds).
//! All mistakes that can be found independently are reported at once ([`Problems`]).

mod ast;
pub mod ca;
mod document;
mod entry;
mod flows;
mod inventory;
pub mod manual;
mod mirror;
mod model;
mod named;
mod names;
mod network;
mod node;
mod order;
mod overrides;
mod paths;
mod problem;
mod project;
mod reach;
mod requires;
mod resolve;
mod role;
mod schema;
pub mod secrets;
mod structure;
mod template;
mod values;
mod variables;
mod vault;

pub use manual::names_of;
pub use model::{Check, DeclaredSecret, Flow, Handler, HandlerAction, Host, Lab, NamedSecret, Node, Os, Probe, Resource, Service, Source};
pub use paths::{cache_dir, root};
pub use problem::{Problem, Problems, nearest};
pub use resolve::{load, mirror_folder, peek, validate};
pub use schema::schemas;
pub use secrets::Store;
pub use vault::{Certificate, Login, Placeholder, SshKey, Vault};
