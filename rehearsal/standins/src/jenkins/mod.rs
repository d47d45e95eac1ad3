//! The Jenkins stand-in: Configuration as Code, job DSL, the GitLab plugin's web hook, and builds that run a declarative
//! Jenkinsfile's steps for real. What it does not know it refuses in Jenkins' words; it is no Jenkins and does not become one.

pub mod auth;
pub mod build;
pub mod casc;
pub mod console;
pub mod credentials;
pub mod dsl;
pub mod environment;
pub mod git;
pub mod gitlab;
pub mod groovy;
mod groovy_lexer;
pub mod hook;
pub mod pipeline;
pub mod plugins;
pub mod process;
pub mod queue;
pub mod record;
pub mod resolve;
pub mod server;
pub mod state;
pub mod steps;
pub mod tools;
pub mod value;

/// What it calls itself, in `X-Jenkins` and everywhere else: the product that it speaks for, and that it is not it.
pub const VERSION: &str = "2.568.2-rehearsal";
