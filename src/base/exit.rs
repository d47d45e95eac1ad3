//! The public exit codes.

/// Exit codes of the `poclab` binary. Public and stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Something failed.
    Failed = 1,
    /// `plan` found changes.
    Changes = 2,
    /// A check failed.
    CheckFailed = 3,
    /// A host, or something on it, could not be observed.
    Unobserved = 4,
    /// The lab's files or the command line are wrong; nothing was contacted.
    Usage = 64,
    /// Interrupted by the user.
    Interrupted = 130,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit as u8)
    }
}
