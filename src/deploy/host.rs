//! The application's host: what is asked of it, and what it answers.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{Config, Target};
use crate::ssh::{Auth, HostKeyPolicy, Ssh, SshError, SshTarget, Timeouts};

/// The last line of an answer of `student-list-deploy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// The new version answers on the host and waits to be confirmed.
    Awaiting,
    /// This version runs already.
    Unchanged,
    /// Confirmed; it stays.
    Deployed,
    /// The previous version runs again: its commit, or `nothing`.
    RolledBack(String),
    /// The previous version was put back and does not answer.
    Broken,
    /// The host does not do that. Nothing was changed.
    Refused,
    /// Another deployment is under way. Nothing was changed.
    Busy,
    /// It could not be done. Nothing was changed.
    Failed,
    /// Not ended.
    Running,
}

impl Word {
    /// Reads `result: WORD`; `None` is any other line.
    pub fn read(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("result: ")?.split_whitespace();
        Some(match (words.next()?, words.next()) {
            ("awaiting", None) => Self::Awaiting,
            ("unchanged", None) => Self::Unchanged,
            ("deployed", _) => Self::Deployed,
            ("rolled-back", Some(commit)) => Self::RolledBack(commit.to_owned()),
            ("broken", None) => Self::Broken,
            ("refused", None) => Self::Refused,
            ("busy", None) => Self::Busy,
            ("failed", None) => Self::Failed,
            ("running", None) => Self::Running,
            _ => return None,
        })
    }
}

/// The application's host, as far as a deployment needs it.
pub trait Host {
    /// Asks `student-list-deploy` for something; `line` gets what it prints, as it comes, without the result. `None`: it ended
    /// without one. `calm`: goes on even when the user has interrupted.
    fn ask(&self, words: &[&str], calm: bool, line: &mut dyn FnMut(&str)) -> Result<Option<Word>, SshError>;
}

/// A host that is reached by SSH with the restricted key.
pub struct SshHost {
    ssh: Ssh,
    calm: Ssh,
    target: SshTarget,
}

impl SshHost {
    /// Nothing is contacted yet.
    pub fn new(config: &Config, target: &Target, key: PathBuf, interrupted: Arc<AtomicBool>) -> Self {
        let policy = HostKeyPolicy { known_hosts: config.known_hosts.clone(), accept_new: false };
        let target = SshTarget {
            address: target.address.clone(),
            port: target.port,
            user: config.user.clone(),
            auth: vec![Auth::Key { path: key, passphrase: None }],
            host_key: None,
            jump: None,
            timeouts: Timeouts::default(),
        };
        Self { ssh: Ssh::new(policy.clone(), interrupted), calm: Ssh::new(policy, Arc::default()), target }
    }
}

impl Host for SshHost {
    fn ask(&self, words: &[&str], calm: bool, line: &mut dyn FnMut(&str)) -> Result<Option<Word>, SshError> {
        let ssh = if calm { &self.calm } else { &self.ssh };
        let mut result = None;
        // The words are checked: they hold no character that a shell would read.
        let status = ssh.command(&self.target, &words.join(" "), &mut |text| match Word::read(text) {
            Some(word) => result = Some(word),
            None => line(text),
        })?;
        // A good word with a bad status is no good word.
        let good = matches!(result, Some(Word::Awaiting | Word::Unchanged | Word::Deployed));
        Ok(if good && status != 0 { None } else { result })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_result_is_one() {
        assert_eq!(Word::read("result: awaiting"), Some(Word::Awaiting));
        assert_eq!(Word::read("result: deployed abc"), Some(Word::Deployed));
        assert_eq!(Word::read("result: rolled-back nothing"), Some(Word::RolledBack("nothing".into())));
        for other in ["result: ", "result: perhaps", " result: awaiting", "awaiting", "result: awaiting it", "result: rolled-back"] {
            assert_eq!(Word::read(other), None, "{other}");
        }
    }
}
