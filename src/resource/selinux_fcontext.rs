//! Labels of files in SELinux's policy.

use schemars::JsonSchema;
use serde::Deserialize;

use super::semanage::{self, Local, type_of};
use super::{Action, Change, Kind, Reply, State, file};
use crate::base::quote;

/// Which SELinux type files have: kept in the host's policy, so that it outlives a relabelling of the whole host, and put on what
/// is there (`restorecon`).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The paths, as a regular expression that begins with a plain folder: `/srv/registry(/.*)?`
    pub path: String,
    /// e.g. `container_file_t`
    pub r#type: String,
    /// `all` (default), only the files (`file`) or only the folders (`directory`) of these paths.
    #[serde(default)]
    pub files: Files,
}

/// Which of the paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Files {
    /// Whatever is there.
    #[default]
    All,
    /// Regular files.
    File,
    /// Directories.
    Directory,
}

impl Files {
    /// As semanage takes it, and as it writes it down.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Files::All => ("a", ""),
            Files::File => ("f", "--"),
            Files::Directory => ("d", "-d"),
        }
    }
}

/// Labels as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Why it does not matter here, or cannot be seen.
    pub without: Option<State>,
    /// The type that is kept for exactly these paths.
    pub kept: Option<String>,
    /// What `restorecon` would change about the folder at the beginning of the paths.
    pub label: Option<String>,
}

impl Spec {
    /// The plain folder that the paths begin with.
    fn folder(&self) -> &str {
        let end = self.path.find(|c: char| !(c.is_ascii_alphanumeric() || "/_-".contains(c))).unwrap_or(self.path.len());
        self.path[..end].trim_end_matches('/')
    }
}

impl Kind for Spec {
    const NAME: &'static str = "selinux_fcontext";
    type Observed = Observed;

    fn id(&self) -> String {
        match self.files {
            Files::All => self.path.clone(),
            files => format!("{} ({})", self.path, files.words().0),
        }
    }

    fn check(&self) -> Vec<String> {
        let mut errors = semanage::word_errors("type", &self.r#type);
        if !self.path.starts_with('/') || self.folder().is_empty() || self.path.chars().any(|c| c.is_whitespace() || c.is_control()) {
            errors.push(format!("path must begin with a plain folder and have no blanks, e.g. /srv/registry(/.*)?, not {:?}", self.path));
        }
        errors
    }

    fn observe(specs: &[&Self]) -> String {
        // What restorecon reads; semanage writes it together with its store.
        let mut s = semanage::look(&["\"/etc/selinux/$poclab_type/contexts/files/file_contexts.local\""]);
        // Not the whole tree: a registry has a hundred thousand files, and what is made in a folder takes its label from it.
        let folders: Vec<String> = specs.iter().map(|spec| quote(spec.folder())).collect();
        s.push_str(&format!(
            concat!(
                "set -- {}\n",
                "if [ -e /sys/fs/selinux/enforce ] && command -v restorecon >/dev/null; then\n",
                "  for p do if [ -e \"$p\" ]; then restorecon -nv \"$p\" 2>/dev/null; fi; done\n",
                "fi\n:\n",
            ),
            folders.join(" ")
        ));
        s
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let local = match Local::read(reply) {
            Ok(local) => local,
            Err(why) => return specs.iter().map(|_| Err(why.clone())).collect(),
        };
        let kept = |spec: &&Self| {
            // /srv/registry(/.*)?    system_u:object_r:container_file_t:s0
            let found = local.kept().filter_map(|line| match *line.split_whitespace().collect::<Vec<_>>() {
                [path, context] if path == spec.path && spec.files == Files::All => Some(type_of(context).to_owned()),
                [path, files, context] if path == spec.path && files == spec.files.words().1 => Some(type_of(context).to_owned()),
                _ => None,
            });
            found.last()
        };
        let one =
            |spec: &&Self| Observed { without: local.without.clone(), kept: kept(spec), label: file::label_of(&local.text, spec.folder()) };
        specs.iter().map(|spec| Ok(one(spec))).collect()
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        if let Some(state) = &observed.without {
            return state.clone();
        }
        let mut changes = Vec::new();
        match observed.kept.as_deref() {
            Some(kept) if kept == self.r#type => {}
            Some(kept) => changes.push(Change::new(format!("type in the policy is {kept}, want {}", self.r#type))),
            None => changes.push(Change::new(format!("has no type of its own in the policy, want {}", self.r#type))),
        }
        changes.extend(observed.label.as_ref().map(|label| Change::new(format!("{}: {label}", self.folder()))));
        if changes.is_empty() { State::InSync } else { State::Drift(changes) }
    }

    fn apply(&self, _observed: &Self::Observed) -> Vec<Action> {
        let (folder, rest) =
            (quote(self.folder()), format!("-f {} -t {} {}", self.files.words().0, quote(&self.r#type), quote(&self.path)));
        // -a refuses what the policy knows, -m what it does not.
        let script = format!(
            "set -e\nsemanage fcontext -m {rest} 2>/dev/null || semanage fcontext -a {rest}\nif [ -e {folder} ]; then restorecon -R {folder}; fi\n"
        );
        vec![Action { label: format!("label {} as {}", self.path, self.r#type), script, ..Action::default() }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec { path: "/srv/registry(/.*)?".to_owned(), r#type: "container_file_t".to_owned(), files: Files::All }
    }

    fn look(text: &str) -> Result<State, String> {
        let (spec, reply) = (spec(), Reply { stdout: text.as_bytes().to_vec(), status: 0 });
        Spec::parse(&[&spec], &reply).remove(0).map(|observed| spec.diff(&observed))
    }

    #[test]
    fn the_policy_and_the_folder_count() {
        let kept = "selinux on\nkept # This file is auto-generated by libsemanage\nkept /srv/registry(/.*)?    system_u:object_r:container_file_t:s0\n";
        assert_eq!(look(kept), Ok(State::InSync));
        let relabel = "restorecon reset /srv/registry context unconfined_u:object_r:var_t:s0->unconfined_u:object_r:container_file_t:s0\n";
        let Ok(State::Drift(changes)) = look(&format!("{kept}{relabel}")) else { panic!() };
        assert_eq!(changes[0].what, "/srv/registry: type is var_t, want container_file_t");
        for other in [
            "kept /srv/registry/x   system_u:object_r:container_file_t:s0",
            "kept /srv/registry(/.*)? -- system_u:object_r:container_file_t:s0",
        ] {
            assert!(matches!(look(&format!("selinux on\n{other}\n")), Ok(State::Drift(_))), "{other}");
        }
        // The last one counts.
        let twice = format!("{kept}kept /srv/registry(/.*)?    system_u:object_r:etc_t:s0\n");
        assert!(matches!(look(&twice), Ok(State::Drift(_))));
        assert!(look("").is_err());
        assert!(matches!(look("selinux off\n"), Ok(State::Unknown(_))));
    }

    #[test]
    fn paths_begin_with_a_folder() {
        assert_eq!(spec().folder(), "/srv/registry");
        for bad in ["srv/x", "/.*", "/", "/srv/a b", "/(srv|opt)/x"] {
            assert_eq!(Spec { path: bad.to_owned(), ..spec() }.check().len(), 1, "{bad}");
        }
        assert_eq!(spec().check(), [""; 0]);
    }
}
