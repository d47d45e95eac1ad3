//! The `poclab` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    poclab::cli::main().into()
}
