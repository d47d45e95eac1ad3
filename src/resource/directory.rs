//! Directories.

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::{self, Presence, root};
use super::script::{self, Entry, What};
use super::{Action, Change, Kind, Reply, State};
use crate::base::quote;

/// A directory with this owner and mode. What is in it is left alone.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Absolute path. Missing parents are made, owned by root, mode 0755.
    pub path: String,
    /// Name of the user that owns it. Default: root.
    #[serde(default = "root")]
    pub owner: String,
    /// Name of its group. Default: root.
    #[serde(default = "root")]
    pub group: String,
    /// Permissions, octal, in quotes. Default: "0755".
    #[serde(default = "open")]
    pub mode: String,
    /// `present` (default), or `absent`: removed when it is empty; one that is not empty is never removed.
    #[serde(default)]
    pub state: Presence,
}

fn open() -> String {
    "0755".to_owned()
}

/// What is in the directory's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What is there, if anything.
    pub entry: Option<Entry>,
    /// What SELinux's `restorecon` would change about it, e.g. `type is user_home_t, want etc_t`.
    pub label: Option<String>,
}

impl Kind for Spec {
    const NAME: &'static str = "directory";
    type Observed = Observed;

    fn id(&self) -> String {
        self.path.clone()
    }

    fn check(&self) -> Vec<String> {
        let mut errors = script::path_errors("path", &self.path);
        errors.extend(script::mode_errors(&self.mode));
        errors.extend(script::name_errors("owner", &self.owner));
        errors.extend(script::name_errors("group", &self.group));
        errors
    }

    fn observe(specs: &[&Self]) -> String {
        let mut s = script::stat_fragment(specs.iter().map(|spec| spec.path.as_str()));
        // Like chcon, it leaves the types alone that containers are given.
        s.push_str("if [ $# -gt 0 ] && [ -e /sys/fs/selinux/enforce ] && command -v restorecon >/dev/null; then restorecon -nv \"$@\" 2>/dev/null; fi\n:\n");
        s
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let text = reply.text();
        let one = |spec: &&Self| {
            let entry = script::parse_stat(&text, &spec.path)?;
            let directory = entry.as_ref().is_some_and(|entry| entry.what == What::Directory);
            Ok(Observed { label: file::label_of(&text, &spec.path).filter(|_| directory), entry })
        };
        specs.iter().map(one).collect()
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        let changes = match (&observed.entry, self.state) {
            (None, Presence::Absent) => Vec::new(),
            (Some(entry), Presence::Absent) => vec![Change::new(format!("is there ({}), want it gone", entry.what))],
            (None, Presence::Present) => vec![Change::new("does not exist")],
            (Some(entry), Presence::Present) if entry.what != What::Directory => {
                vec![Change::new(format!("is {}, want a directory", entry.what))]
            }
            (Some(entry), Presence::Present) => {
                let mut changes = script::meta_changes(entry, &self.owner, &self.group, &self.mode);
                changes.extend(observed.label.as_ref().map(|label| Change::new(format!("SELinux {label}"))));
                changes
            }
        };
        if changes.is_empty() { State::InSync } else { State::Drift(changes) }
    }

    fn apply(&self, observed: &Self::Observed) -> Vec<Action> {
        let path = quote(&self.path);
        if self.state == Presence::Absent {
            let script = format!("if [ -d {path} ] && [ ! -L {path} ]; then rmdir -- {path}; else rm -f -- {path}; fi\n");
            return vec![Action { label: format!("remove {}", self.path), script, ..Action::default() }];
        }
        let meta = script::meta_lines(&self.path, &self.owner, &self.group, &self.mode);
        if observed.entry.as_ref().is_some_and(|entry| entry.what == What::Directory) {
            let label = if observed.label.is_some() { format!("restorecon {path}\n") } else { String::new() };
            let script = format!("set -e\n{meta}{label}");
            return vec![Action { label: format!("set owner and mode of {}", self.path), script, ..Action::default() }];
        }
        // A link or file in its place holds no more than itself; mkdir refuses whatever else is there.
        let clear = match observed.entry {
            Some(_) => format!("if [ ! -d {path} ] || [ -L {path} ]; then rm -f -- {path}; fi\n"),
            None => String::new(),
        };
        // The folders above it that mkdir makes get the label of their parent, too: whatever is new is labelled.
        let script = format!(
            "set -e\n{clear}poclab_new={path}\nwhile [ -n \"${{poclab_new%/*}}\" ] && [ ! -e \"${{poclab_new%/*}}\" ]; do poclab_new=${{poclab_new%/*}}; done\n\
             mkdir -p -- {path}\n{meta}\
             if [ -e /sys/fs/selinux/enforce ] && command -v restorecon >/dev/null; then restorecon -R \"$poclab_new\"; fi\n"
        );
        vec![Action { label: format!("make the directory {}", self.path), script, ..Action::default() }]
    }
}
