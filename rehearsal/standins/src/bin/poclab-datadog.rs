//! The Datadog stand-in: agent and intake.

use std::process::ExitCode;

fn main() -> ExitCode {
    standins::datadog::main()
}
