//! Repositories of yum, each in a file of its own.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::{self, Presence};
use super::{Action, Kind, Reply, State};

/// A repository of RPM packages: /etc/yum.repos.d/poclab-ID.repo. Packages are only taken from it when they are signed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Short name: letters, digits, `.`, `_`, `-`. yum shows it as poclab-ID.
    pub id: String,
    /// Words for people. Default: the id.
    #[serde(default)]
    pub name: Option<String>,
    /// Where it is: one address, or several of the same repository. yum's variables ($basearch) are allowed.
    #[serde(default)]
    pub baseurl: OneOrMore,
    /// Must be true (the default): there is no way to install packages that are not signed.
    #[serde(default = "yes")]
    pub gpgcheck: bool,
    /// Whether the repository's own index must be signed, too, by one of these keys. Not every vendor signs it. Default: false.
    #[serde(default)]
    pub repo_gpgcheck: bool,
    /// Address of the public key, or of several. Best a file:// on the host.
    #[serde(default)]
    pub gpgkey: OneOrMore,
    /// Take only these packages from it (names, `*` allowed). Default: all.
    #[serde(default)]
    pub includepkgs: Vec<String>,
    /// Never take these packages from it (names, `*` allowed).
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Whether yum uses it without being asked to. Default: true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// 1 (first) to 99; only works where yum-plugin-priorities is installed.
    #[serde(default)]
    pub priority: Option<u8>,
    /// `present` (default) or `absent`.
    #[serde(default)]
    pub state: Presence,
}

/// One text or a list of texts.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMore {
    /// One.
    One(String),
    /// Several.
    More(Vec<String>),
}

impl Default for OneOrMore {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

impl OneOrMore {
    fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
        }
    }
}

pub(super) fn yes() -> bool {
    true
}

impl Spec {
    fn file(&self) -> file::Spec {
        let path = format!("/etc/yum.repos.d/poclab-{}.repo", self.id);
        file::Spec::new(path, self.text(), self.state)
    }

    /// The .repo file.
    fn text(&self) -> String {
        let mut s = String::from("# Written by poclab; changes are reverted.\n");
        let _ = writeln!(s, "[poclab-{}]\nname={}", self.id, self.name.as_deref().unwrap_or(&self.id));
        // Further values of one option go on lines of their own that begin with a space.
        let _ = writeln!(s, "baseurl={}", self.baseurl.all().join("\n  "));
        let _ = writeln!(s, "enabled={}\ngpgcheck=1\ngpgkey={}", u8::from(self.enabled), self.gpgkey.all().join("\n  "));
        if self.repo_gpgcheck {
            s.push_str("repo_gpgcheck=1\n");
        }
        if !self.includepkgs.is_empty() {
            let _ = writeln!(s, "includepkgs={}", self.includepkgs.join(" "));
        }
        if !self.exclude.is_empty() {
            let _ = writeln!(s, "exclude={}", self.exclude.join(" "));
        }
        if let Some(priority) = self.priority {
            let _ = writeln!(s, "priority={priority}");
        }
        if self.baseurl.all().iter().all(|url| url.starts_with("file:")) {
            // A folder costs nothing to read again, and may have been filled anew a moment ago. Seconds.
            s.push_str("metadata_expire=10\n");
        }
        s
    }
}

impl Kind for Spec {
    const NAME: &'static str = "yum_repo";
    type Observed = file::Observed;

    fn id(&self) -> String {
        self.id.clone()
    }

    fn check(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if self.id.is_empty() || !self.id.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
            errors.push(format!("id must be made of letters, digits, `.`, `_` and `-`, not {:?}", self.id));
        }
        if !self.gpgcheck {
            errors.push(
                "gpgcheck must stay true: packages that are not signed are never installed; sign the repository and give its gpgkey"
                    .to_owned(),
            );
        }
        if self.state == Presence::Absent {
            return errors;
        }
        for (field, values) in [("baseurl", self.baseurl.all()), ("gpgkey", self.gpgkey.all())] {
            if values.is_empty() {
                errors.push(format!("{field} is missing"));
            }
            let good = |url: &String| {
                ["http://", "https://", "file:///"].iter().any(|scheme| url.starts_with(scheme))
                    && !url.chars().any(|c| c.is_whitespace() || c.is_control())
            };
            errors.extend(
                values.iter().filter(|url| !good(url)).map(|url| format!("{field} must be http://, https:// or file:///, not {url:?}")),
            );
        }
        if self.gpgkey.all().iter().any(|url| url.starts_with("http://")) {
            errors
                .push("gpgkey must not come by http://, where anybody could replace it: use https:// or a file:// on the host".to_owned());
        }
        let mut words = self.includepkgs.iter().chain(&self.exclude);
        if words.any(|word| word.is_empty() || word.chars().any(|c| c.is_whitespace() || c.is_control())) {
            errors.push("includepkgs and exclude must be lists of package names without spaces".to_owned());
        }
        if self.name.as_ref().is_some_and(|name| name.is_empty() || name.chars().any(char::is_control)) {
            errors.push("name must be one line".to_owned());
        }
        if self.priority.is_some_and(|priority| !(1..=99).contains(&priority)) {
            errors.push("priority must be between 1 and 99".to_owned());
        }
        errors
    }

    fn observe(specs: &[&Self]) -> String {
        let files: Vec<file::Spec> = specs.iter().map(|spec| spec.file()).collect();
        file::Spec::observe(&files.iter().collect::<Vec<_>>())
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let files: Vec<file::Spec> = specs.iter().map(|spec| spec.file()).collect();
        file::Spec::parse(&files.iter().collect::<Vec<_>>(), reply)
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        self.file().diff(observed)
    }

    fn apply(&self, observed: &Self::Observed) -> Vec<Action> {
        let mut actions = self.file().apply(observed);
        if let Some(action) = actions.first_mut() {
            // What yum (or dnf) remembers of a repository of this name may come from another address.
            let _ = writeln!(action.script, "rm -rf -- /var/cache/yum/*/*/poclab-{id} /var/cache/dnf/poclab-{id}-*", id = self.id);
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: serde_json::Value) -> Spec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_file_is_what_yum_reads() {
        let spec = spec(serde_json::json!({
            "id": "extras79", "name": "CentOS 7.9 extras", "baseurl": ["http://a/7.9/", "http://b/7.9/"],
            "gpgkey": "file:///etc/pki/rpm-gpg/RPM-GPG-KEY-CentOS-7", "includepkgs": ["container-selinux*", "slirp4netns"],
        }));
        assert!(spec.check().is_empty());
        assert_eq!(
            spec.text(),
            "# Written by poclab; changes are reverted.\n[poclab-extras79]\nname=CentOS 7.9 extras\nbaseurl=http://a/7.9/\n  http://b/7.9/\n\
             enabled=1\ngpgcheck=1\ngpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-CentOS-7\nincludepkgs=container-selinux* slirp4netns\n"
        );
    }

    #[test]
    fn a_signed_index_is_checked_where_it_is_wanted() {
        let repo = |signed: bool| {
            spec(serde_json::json!({"id": "x", "baseurl": "https://a/", "gpgkey": "https://a/key", "repo_gpgcheck": signed})).text()
        };
        assert!(repo(true).contains("gpgcheck=1\ngpgkey=https://a/key\nrepo_gpgcheck=1\n") && !repo(false).contains("repo_gpgcheck"));
    }

    #[test]
    fn unsigned_repositories_are_refused() {
        let unsigned = spec(serde_json::json!({"id": "x", "baseurl": "http://a/", "gpgcheck": false, "gpgkey": "file:///k"}));
        assert!(unsigned.check().iter().any(|error| error.contains("gpgcheck must stay true")));
        let keyless = spec(serde_json::json!({"id": "x", "baseurl": "http://a/"}));
        assert!(keyless.check().iter().any(|error| error == "gpgkey is missing"));
        let open = spec(serde_json::json!({"id": "x", "baseurl": "http://a/", "gpgkey": "http://a/key"}));
        assert!(open.check().iter().any(|error| error.contains("must not come by http")));
    }
}
