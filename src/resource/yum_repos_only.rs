//! No repository of yum but the lab's own.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Change, Kind, Reply, State};
use crate::base::quote;

/// Only repositories that poclab wrote (kind `yum_repo`) are used: other .repo files are renamed to `NAME.repo.poclab-disabled`.
///
/// CentOS 7's own files point to mirrors that are gone, and one dead repository fails every call of yum. Updates of
/// centos-release bring them back, which is then drift.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Files in /etc/yum.repos.d to leave alone, e.g. `[epel.repo]`.
    #[serde(default)]
    pub keep: Vec<String>,
}

impl Kind for Spec {
    const NAME: &'static str = "yum_repos_only";
    /// Names of the .repo files.
    type Observed = Vec<String>;

    fn id(&self) -> String {
        "/etc/yum.repos.d".to_owned()
    }

    fn check(&self) -> Vec<String> {
        let bad = |name: &&String| !name.ends_with(".repo") || name.contains('/');
        self.keep.iter().filter(bad).map(|name| format!("keep must list names like epel.repo, not {name:?}")).collect()
    }

    fn observe(_specs: &[&Self]) -> String {
        // yum reads only *.repo, and not hidden files.
        "for f in /etc/yum.repos.d/*.repo; do\n  if [ -e \"$f\" ] || [ -L \"$f\" ]; then printf '%s\\n' \"${f##*/}\"; fi\ndone\necho end\n"
            .to_owned()
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let text = reply.text();
        let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
        let seen =
            if names.pop().as_deref() == Some("end") { Ok(names) } else { Err("the list of /etc/yum.repos.d is cut off".to_owned()) };
        specs.iter().map(|_| seen.clone()).collect()
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        let changes: Vec<Change> = self
            .foreign(observed)
            .map(|name| Change::new(format!("{name} is not one of the lab's repositories and will be disabled")))
            .collect();
        if changes.is_empty() { State::InSync } else { State::Drift(changes) }
    }

    fn apply(&self, observed: &Self::Observed) -> Vec<Action> {
        let names: Vec<String> = self.foreign(observed).map(|name| quote(name)).collect();
        let script = format!(
            "cd /etc/yum.repos.d || exit 1\nset -- {}\nfor f do\n  mv -fT -- \"./$f\" \"./$f.poclab-disabled\" || exit 1\ndone\n",
            names.join(" ")
        );
        vec![Action { label: "disable repositories that are not the lab's".to_owned(), script, ..Action::default() }]
    }
}

impl Spec {
    fn foreign<'a>(&'a self, observed: &'a [String]) -> impl Iterator<Item = &'a String> {
        observed.iter().filter(|name| !name.starts_with("poclab-") && !self.keep.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stock_files_are_drift() {
        // Written from documentation: the files of centos-release 7-6.1810.2.el7.centos.
        let reply = Reply { stdout: b"CentOS-Base.repo\nCentOS-Vault.repo\nepel.repo\npoclab-os.repo\nend\n".to_vec(), status: 0 };
        let spec = Spec { keep: vec!["epel.repo".to_owned()] };
        let observed = Spec::parse(&[&spec], &reply).remove(0).unwrap();
        let State::Drift(changes) = spec.diff(&observed) else { panic!("no drift") };
        assert_eq!(changes.len(), 2);
        assert_eq!(changes[0].what, "CentOS-Base.repo is not one of the lab's repositories and will be disabled");
        assert!(spec.apply(&observed)[0].script.contains("set -- CentOS-Base.repo CentOS-Vault.repo\n"));
        assert_eq!(spec.diff(&vec!["poclab-os.repo".to_owned()]), State::InSync);
    }

    #[test]
    fn a_cut_list_is_not_an_empty_list() {
        let spec = Spec { keep: Vec::new() };
        assert!(Spec::parse(&[&spec], &Reply::default())[0].is_err());
    }
}
