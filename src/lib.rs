//! poclab turns bare CentOS 7.6 hosts into a verified DevSecOps lab over plain SSH.
//!
//! The modules are listed from the foundation up; a module imports only from those above it in this list.

pub mod attack;
pub mod base;
pub mod check;
pub mod cli;
pub mod deploy;
pub mod engine;
#[cfg(any(test, feature = "hostile"))]
pub mod hostile;
pub mod lab;
pub mod mirror;
pub mod rehearsal;
pub mod report;
pub mod resource;
pub mod scan;
pub mod ssh;
