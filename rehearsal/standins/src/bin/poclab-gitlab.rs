//! The GitLab stand-in.

use std::process::ExitCode;

fn main() -> ExitCode {
    standins::gitlab::main()
}
