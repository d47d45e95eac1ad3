//! What changed (or would change), with reasons and differences. The same change on several hosts is shown once.

use serde::Serialize;

use super::run::{Change, Run};
use crate::engine::RunKind;

/// Longer differences are folded (on screen; on paper they are whole).
const FOLDED_FROM: usize = 40;

/// The changes of one role.
#[derive(Debug, Serialize)]
pub struct Role {
    pub role: String,
    /// Counted per host.
    pub count: usize,
    pub items: Vec<Item>,
}

/// A change, on all hosts where it is the same.
#[derive(Debug, Serialize)]
pub struct Item {
    pub resource: String,
    pub hosts: Vec<String>,
    pub reasons: Vec<String>,
    pub origin: String,
    pub diff: Option<Diff>,
    /// What became of it, where that is not simply that it was made.
    pub fates: Vec<Fate>,
}

/// Something became of a change on a host.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Fate {
    pub host: String,
    pub text: String,
}

/// A difference.
#[derive(Debug, Serialize)]
pub struct Diff {
    pub lines: Vec<Line>,
    pub added: usize,
    pub removed: usize,
    pub folded: bool,
}

/// A line of it.
#[derive(Debug, Serialize)]
pub struct Line {
    /// `add`, `del`, `at`, `file`, or empty.
    pub class: &'static str,
    pub text: String,
}

/// By role, in the order in which roles were first heard of.
pub fn by_role(run: &Run) -> Vec<Role> {
    let mut roles: Vec<Role> = Vec::new();
    let mut firsts: Vec<Vec<&Change>> = Vec::new();
    for change in &run.changes {
        let at = roles.iter().position(|role| role.role == change.role).unwrap_or_else(|| {
            roles.push(Role { role: change.role.clone(), count: 0, items: Vec::new() });
            firsts.push(Vec::new());
            roles.len() - 1
        });
        let (role, first) = (&mut roles[at], &mut firsts[at]);
        role.count += 1;
        let same = |other: &&Change| {
            (&other.resource, &other.reasons, &other.diff, &other.origin)
                == (&change.resource, &change.reasons, &change.diff, &change.origin)
        };
        let index = first.iter().position(same).unwrap_or_else(|| {
            first.push(change);
            role.items.push(Item {
                resource: change.resource.clone(),
                hosts: Vec::new(),
                reasons: change.reasons.clone(),
                origin: change.origin.clone(),
                diff: change.diff.as_deref().map(diff),
                fates: Vec::new(),
            });
            role.items.len() - 1
        });
        role.items[index].hosts.push(change.host.clone());
        if let Some(text) = fate(run, change) {
            role.items[index].fates.push(Fate { host: change.host.clone(), text });
        }
    }
    roles
}

/// Changes are announced before any of them is made: what the summary says of the role is what became of them.
fn fate(run: &Run, change: &Change) -> Option<String> {
    if run.kind == RunKind::Plan {
        return None;
    }
    let Some(done) = &run.done else { return Some("the run did not come to its end: it may have been made or not".to_owned()) };
    let host = done.hosts.iter().find(|host| host.name == change.host);
    let state = host.and_then(|host| host.roles.iter().find(|role| role.role == change.role)).map(|role| role.state.as_str());
    match state {
        Some("changed") => None,
        Some("ok") => Some("was not needed any more when its turn came".to_owned()),
        Some("failed") => Some("its role failed: it may have been made or not".to_owned()),
        _ => Some("not made".to_owned()),
    }
}

fn diff(text: &str) -> Diff {
    let mut body = false;
    let lines: Vec<Line> = text
        .lines()
        .map(|text| {
            let class = match text.as_bytes().first() {
                Some(b'@') => "at",
                // Only above the first hunk: a removed line may begin with two dashes of its own.
                Some(b'+' | b'-') if !body && (text.starts_with("+++") || text.starts_with("---")) => "file",
                Some(b'+') => "add",
                Some(b'-') => "del",
                _ => "",
            };
            body |= class == "at";
            Line { class, text: text.to_owned() }
        })
        .collect();
    let count = |class: &str| lines.iter().filter(|line| line.class == class).count();
    Diff { added: count("add"), removed: count("del"), folded: lines.len() > FOLDED_FROM, lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_diff() {
        let diff = diff("--- /a\n+++ /a\n@@ -1 +1 @@\n same\n--- not a file\n+++ neither\n+x");
        let classes: Vec<&str> = diff.lines.iter().map(|line| line.class).collect();
        assert_eq!(classes, ["file", "file", "at", "", "del", "add", "add"]);
        assert_eq!((diff.added, diff.removed, diff.folded), (2, 1, false));
    }
}
