//! yum's index of the packages, made by createrepo_c.

use std::path::Path;
use std::process::{Command, Output};

const TOOL: &str = "createrepo_c";

/// The tool, as it is on this machine.
pub(super) struct Indexer {
    /// Whether it can be asked to fail when it does not take a package.
    strict: bool,
}

impl Indexer {
    /// Looks for it: nobody wants to hear after gigabytes that it is missing.
    pub fn find() -> Result<Self, String> {
        let help = run(Command::new(TOOL).arg("--help"))?;
        Ok(Self { strict: String::from_utf8_lossy(&help.stdout).contains("--error-exit-val") })
    }

    /// Makes a yum repository of the packages in a folder.
    pub fn index(&self, packages: &Path) -> Result<(), String> {
        let mut command = Command::new(TOOL);
        command.arg("--quiet").args(self.strict.then_some("--error-exit-val")).arg(packages);
        let out = run(&mut command)?;
        if out.status.success() { Ok(()) } else { Err(format!("{TOOL} failed: {}", String::from_utf8_lossy(&out.stderr).trim())) }
    }
}

fn run(command: &mut Command) -> Result<Output, String> {
    command
        .output()
        .map_err(|e| format!("{TOOL}, which indexes the packages, cannot be started: {e}; install it (Debian: createrepo-c) and run again"))
}
