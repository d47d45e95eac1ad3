//! The Splunk stand-in: universal forwarder and server.

use std::process::ExitCode;

fn main() -> ExitCode {
    standins::splunk::main()
}
