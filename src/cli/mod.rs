//! The command line: one file per subcommand; each parses, calls and chooses the exit code.

mod args;
mod attack;
mod bootstrap;
mod completions;
mod deploy;
mod explain;
mod files;
mod man;
mod mirror;
mod observe;
mod pipeline;
mod plan;
mod rehearse;
mod report;
mod runs;
mod scan;
mod schema;
mod secrets;
mod status;
mod unlock;
mod validate;
mod verify;

use clap::Parser as _;

use crate::base::Exit;
use crate::report as reporting;
use args::{Args, Command};

/// A failure that ends the program with this exit code and this text after "error: ".
#[derive(Debug)]
pub struct Stop {
    exit: Exit,
    text: String,
}

impl Stop {
    fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }

    /// The lab's files or the command line are wrong.
    fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failed, format!("{error:#}"))
    }
}

/// Runs the program and returns its exit code.
pub fn main() -> Exit {
    if completions::answer() {
        return Exit::Done;
    }
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are not errors; a wrong command line is exit 64.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return exit;
        }
    };
    let result = match &args.command {
        Command::Bootstrap(command) => bootstrap::run(&args.global, command),
        Command::Plan(command) => plan::run(&args.global, command),
        Command::Verify(command) => verify::run(&args.global, command),
        Command::Report(command) => report::run(&args.global, command),
        Command::Validate => validate::run(&args.global),
        Command::Status(command) => status::run(&args.global, command),
        Command::Pipeline(command) => pipeline::run(&args.global, command),
        Command::Unlock(command) => unlock::run(&args.global, command),
        Command::Deploy(command) => deploy::run(&args.global, command),
        Command::Scan(command) => scan::run(&args.global, command),
        Command::Attack(command) => attack::run(&args.global, command),
        Command::Secrets(command) => secrets::run(&args.global, command),
        Command::Mirror(command) => mirror::run(&args.global, command),
        Command::Rehearse(command) => rehearse::run(&args.global, command),
        Command::Observe(command) => observe::run(&args.global, command),
        Command::Explain(command) => explain::run(&args.global, command),
        Command::Schema(command) => schema::run(command),
        Command::Completions(command) => completions::run(command),
        Command::Man(command) => man::run(command),
    };
    match result {
        Ok(exit) => exit,
        Err(stop) => {
            reporting::print_error(&stop.text);
            stop.exit
        }
    }
}
