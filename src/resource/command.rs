//! Commands, each with a guard that says whether it is needed.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Deserialize;

use super::script::{self, sub_shell};
use super::{Action, Change, Kind, Reply, State};
use crate::base::quote;

/// A shell command that is only run when its guard says that it is needed. Prefer any other kind where there is one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What it brings about, in words; also its name on the host, e.g. `swap file is in use`.
    pub what: String,
    /// POSIX sh, run as root. Afterwards the guard must be content.
    pub run: String,
    /// Guard: a shell command without effects. Exit status 0: nothing to do. It may take 60 seconds.
    #[serde(default)]
    pub unless: Option<String>,
    /// Guard: a path that exists once the command was run.
    #[serde(default)]
    pub creates: Option<String>,
}

/// Seconds that a guard may take.
const GUARD: u32 = 60;

impl Kind for Spec {
    const NAME: &'static str = "command";
    /// Whether the guard says that there is nothing to do.
    type Observed = bool;

    fn id(&self) -> String {
        self.what.clone()
    }

    fn check(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if self.what.trim().is_empty() || self.what.chars().any(char::is_control) {
            errors.push("what must say in one line what the command brings about".to_owned());
        }
        if self.run.trim().is_empty() {
            errors.push("run is empty".to_owned());
        }
        if self.unless.is_some() == self.creates.is_some() {
            errors.push("exactly one guard must be given: unless or creates".to_owned());
        }
        if self.unless.as_ref().is_some_and(|guard| guard.trim().is_empty()) {
            errors.push("unless is empty and would always be content".to_owned());
        }
        errors.extend(self.creates.iter().flat_map(|path| script::path_errors("creates", path)));
        errors
    }

    fn observe(specs: &[&Self]) -> String {
        let mut s = String::new();
        for (i, spec) in specs.iter().enumerate() {
            match (&spec.unless, &spec.creates) {
                (Some(guard), _) => {
                    // The function keeps the here-document and the redirections apart.
                    let _ = write!(s, "g() {{\n{}}}\ng >/dev/null 2>&1\necho \"{i} $?\"\n", sub_shell(&format!("timeout {GUARD} "), guard));
                }
                (None, path) => {
                    let path = quote(path.as_deref().unwrap_or_default());
                    let _ = writeln!(s, "if [ -e {path} ] || [ -L {path} ]; then echo '{i} 0'; else echo '{i} 1'; fi");
                }
            }
        }
        s
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let text = reply.text();
        (0..specs.len())
            .map(|i| {
                let status = text.lines().find_map(|line| line.strip_prefix(&format!("{i} "))?.parse::<i32>().ok());
                match status {
                    Some(0) => Ok(true),
                    Some(124) => Err(format!("its guard took more than {GUARD} seconds")),
                    // A tool that the guard needs may only come with this plan: 127 means needed.
                    Some(1..=127) => Ok(false),
                    Some(status) => Err(format!("its guard was ended by signal {}", status - 128)),
                    None => Err("its guard gave no result".to_owned()),
                }
            })
            .collect()
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        if *observed {
            return State::InSync;
        }
        State::Drift(vec![Change::new(match &self.creates {
            Some(path) => format!("{path} does not exist"),
            None => "its guard says that it is needed".to_owned(),
        })])
    }

    fn apply(&self, _observed: &Self::Observed) -> Vec<Action> {
        vec![Action { label: self.what.clone(), script: sub_shell("", &self.run), ..Action::default() }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_needs_one_guard() {
        let spec = |json| serde_json::from_value::<Spec>(json).unwrap().check();
        assert_eq!(spec(serde_json::json!({"what": "a", "run": "b"})), ["exactly one guard must be given: unless or creates"]);
        assert!(!spec(serde_json::json!({"what": "a", "run": "b", "unless": "c", "creates": "/d"})).is_empty());
        assert!(!spec(serde_json::json!({"what": "a", "run": "b", "unless": " "})).is_empty());
        assert!(spec(serde_json::json!({"what": "a", "run": "b", "creates": "/d"})).is_empty());
    }

    #[test]
    fn statuses_are_read() {
        let spec = Spec { what: "a".to_owned(), run: "b".to_owned(), unless: Some("c".to_owned()), creates: None };
        let reply = Reply { stdout: b"0 0\n1 1\n2 127\n3 124\n4 137\n".to_vec(), status: 0 };
        let seen = Spec::parse(&[&spec; 6], &reply);
        assert_eq!(seen[..3], [Ok(true), Ok(false), Ok(false)]);
        assert!(seen[3..].iter().all(Result::is_err));
    }
}
