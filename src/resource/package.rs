//! Packages, by yum and rpm.

use std::cmp::Ordering;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::Presence;
use super::rpm_version::compare;
use super::{Action, Change, Detail, Kind, Reply, State};
use crate::base::quote;

/// One RPM package (`name`), or several that yum handles in one transaction (`items`).
///
/// Packages whose versions depend on each other belong into one `items`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name, as `rpm -q` knows it. Either this or `items`.
    #[serde(default)]
    pub name: Option<String>,
    /// Exact `version-release` (without epoch), e.g. `26.1.4-1.el7`; also older than what is installed.
    /// Default: whatever is installed; if none, the newest in the repositories.
    #[serde(default)]
    pub version: Option<String>,
    /// Oldest acceptable version, e.g. `2021.2.50`; an older one is updated to the newest in the repositories.
    #[serde(default)]
    pub at_least: Option<String>,
    /// Several packages, handled together.
    #[serde(default)]
    pub items: Vec<Item>,
    /// `present` (default) or `absent`. A package that others need is not removed: that is an error.
    #[serde(default)]
    pub state: Presence,
}

/// One of several packages.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Name, as `rpm -q` knows it.
    pub name: String,
    /// As `version` of a single package.
    #[serde(default)]
    pub version: Option<String>,
    /// As `at_least` of a single package.
    #[serde(default)]
    pub at_least: Option<String>,
}

/// What must be done with one package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Install,
    Downgrade,
    Update,
    Remove,
}

impl Item {
    fn need(&self, installed: &[String], state: Presence) -> Option<Need> {
        let Some(newest) = installed.iter().max_by(|a, b| compare(a, b)) else {
            return (state == Presence::Present).then_some(Need::Install);
        };
        if state == Presence::Absent {
            return Some(Need::Remove);
        }
        match (&self.version, &self.at_least) {
            (Some(want), _) if installed.contains(want) => None,
            (Some(want), _) if compare(newest, want) == Ordering::Greater => Some(Need::Downgrade),
            (Some(_), _) => Some(Need::Install),
            (None, Some(want)) if compare(newest, want) == Ordering::Less => Some(Need::Update),
            (None, _) => None,
        }
    }

    /// As yum's command line takes it.
    fn wanted(&self) -> String {
        match &self.version {
            Some(version) => format!("{}-{version}", self.name),
            None => self.name.clone(),
        }
    }

    fn reason(&self, need: Need, installed: &[String]) -> String {
        let have = installed.join(" and ");
        match (need, &self.version, &self.at_least) {
            (Need::Remove, ..) => format!("version {have} is installed, want it gone"),
            (Need::Install, Some(want), _) if installed.is_empty() => format!("not installed, want {want}"),
            (Need::Install, None, Some(want)) => format!("not installed, want {want} or newer"),
            (Need::Install, None, None) => "not installed".to_owned(),
            (Need::Downgrade, Some(want), _) => format!("version is {have}, want the older {want}"),
            (_, Some(want), _) => format!("version is {have}, want {want}"),
            (_, None, want) => format!("version is {have}, want {} or newer", want.as_deref().unwrap_or_default()),
        }
    }
}

impl Spec {
    /// All packages of this resource. An empty version is none: variables may leave it open.
    fn all(&self) -> Vec<Item> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let single =
            self.name.iter().map(|name| Item { name: name.clone(), version: given(&self.version), at_least: given(&self.at_least) });
        let several =
            self.items.iter().map(|item| Item { name: item.name.clone(), version: given(&item.version), at_least: given(&item.at_least) });
        single.chain(several).collect()
    }

    fn needs(&self, observed: &[Vec<String>]) -> Vec<(Item, Need, Vec<String>)> {
        let looked = self.all().into_iter().zip(observed);
        looked.filter_map(|(item, installed)| Some((item.clone(), item.need(installed, self.state)?, installed.clone()))).collect()
    }
}

impl Kind for Spec {
    const NAME: &'static str = "package";
    /// Installed `version-release`s, per package.
    type Observed = Vec<Vec<String>>;

    fn id(&self) -> String {
        let items = self.all();
        match items.as_slice() {
            [] => String::new(),
            [one] => one.name.clone(),
            [first, rest @ ..] => format!("{} and {} more", first.name, rest.len()),
        }
    }

    fn check(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if self.name.is_some() != self.items.is_empty() {
            errors.push("exactly one of name and items must be given".to_owned());
        }
        if self.name.is_none() && (self.version.is_some() || self.at_least.is_some()) {
            errors.push("version and at_least beside items belong into the items".to_owned());
        }
        let plain = |text: &str| {
            !text.is_empty() && !text.starts_with('-') && text.chars().all(|c| c.is_ascii_alphanumeric() || "._+~^-".contains(c))
        };
        for item in self.all() {
            if !plain(&item.name) {
                errors.push(format!("name must be a package name without version or pattern, not {:?}", item.name));
            }
            if item.version.is_some() && item.at_least.is_some() {
                errors.push(format!("{}: give version or at_least, not both", item.name));
            }
            if let Some(version) = item.version.filter(|version| !plain(version) || !version.contains('-')) {
                errors.push(format!("{}: version must be version-release without epoch, e.g. 26.1.4-1.el7, not {version:?}", item.name));
            }
            if let Some(version) = item.at_least.filter(|version| !plain(version)) {
                errors.push(format!("{}: at_least must be a version without epoch, e.g. 2021.2.50, not {version:?}", item.name));
            }
        }
        errors
    }

    fn observe(specs: &[&Self]) -> String {
        let names: Vec<String> = specs.iter().flat_map(|spec| spec.all()).map(|item| quote(&item.name)).collect();
        // rpm's exit status is the number of names that are not installed: not an error. A host without rpm has no packages.
        format!(
            "if command -v rpm >/dev/null; then\n  rpm -q --qf 'rpm %{{NAME}} %{{VERSION}}-%{{RELEASE}}\\n' {} 2>&1\nelse\n  echo 'no rpm'\nfi\n:\n",
            names.join(" ")
        )
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let text = reply.text();
        specs.iter().map(|spec| spec.all().iter().map(|item| installed(&text, &item.name)).collect()).collect()
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        let several = self.name.is_none();
        let needs = self.needs(observed);
        if needs.is_empty() {
            return State::InSync;
        }
        let change = |(item, need, have): &(Item, Need, Vec<String>)| {
            let reason = item.reason(*need, have);
            Change::new(if several { format!("{}: {reason}", item.name) } else { reason })
        };
        State::Drift(needs.iter().map(change).collect())
    }

    fn details(&self, observed: &Self::Observed) -> Vec<Detail> {
        let installed = self.all().into_iter().zip(observed).filter(|(_, versions)| !versions.is_empty());
        installed.map(|(item, versions)| Detail::Package { name: item.name, version: versions.join(" and ") }).collect()
    }

    fn apply(&self, observed: &Self::Observed) -> Vec<Action> {
        let needs = self.needs(observed);
        let of = |need: Need| needs.iter().filter(move |(_, n, _)| *n == need).map(|(item, ..)| item);
        let words = |need: Need| of(need).map(|item| quote(&item.wanted())).collect::<Vec<_>>().join(" ");
        let verbs = [(Need::Downgrade, "downgrade"), (Need::Install, "install"), (Need::Update, "update")];
        let mut label = Vec::new();
        let mut script = String::from("set -e\n");
        if self.state == Presence::Absent {
            let names: Vec<&str> = of(Need::Remove).map(|item| item.name.as_str()).collect();
            label.push(format!("remove {}", names.join(" ")));
            // rpm and not yum: yum would remove whatever needs the package with it.
            let _ = writeln!(script, "rpm -e -- {}", words(Need::Remove));
        } else {
            script.push_str(YUM);
            // Downgrades first: what is to be installed may need the older version.
            for (need, verb) in verbs.into_iter().filter(|(need, _)| of(*need).next().is_some()) {
                label.push(format!("{verb} {}", words(need)));
                let _ = writeln!(script, "manager {verb} {}", words(need));
            }
            script.push_str(VERIFY);
            for (item, ..) in &needs {
                let _ = writeln!(script, "have {} {}", quote(&item.name), quote(item.version.as_deref().unwrap_or_default()));
            }
            script.push_str("exit \"$bad\"\n");
        }
        vec![Action { label: label.join(", "), script, ..Action::default() }]
    }
}

/// yum 3.4 leaves out missing names with exit status 0 unless told otherwise, and waits for ever for its lock; both options
/// are its own. dnf (which may be behind the name yum) ignores options that it does not know. Status 200: the lock is held.
const YUM: &str = r#"manager() {
  n=0
  while :; do
    s=0
    yum -y --setopt=skip_missing_names_on_install=False --setopt=exit_on_lock=1 "$@" || s=$?
    if [ "$s" -ne 200 ] || [ "$n" -ge 24 ]; then break; fi
    n=$((n + 1))
    echo 'another program holds the lock of yum: waiting 5 seconds'
    sleep 5
  done
  case $s in
    0) return 0 ;;
    200) echo "yum is locked by another program (process $(cat /var/run/yum.pid 2>/dev/null || echo unknown)) for 2 minutes: wait until it is done, then run again" >&2 ;;
    127) echo 'there is no yum on this host' >&2 ;;
    *) echo "yum $1 failed with exit status $s: its messages are above; a repository that cannot be reached, a missing version or a full disk are the usual reasons" >&2 ;;
  esac
  exit 1
}
"#;

/// What yum did is believed only when rpm says so.
const VERIFY: &str = r#"bad=0
have() {
  if ! v=$(rpm -q --qf '%{VERSION}-%{RELEASE}\n' "$1"); then
    echo "yum succeeded but $1 is not installed" >&2; bad=1
  elif [ -n "$2" ] && ! printf '%s\n' "$v" | grep -qxF -e "$2"; then
    echo "yum succeeded but $1 is $v, want $2" >&2; bad=1
  fi
}
"#;

/// Installed versions of one package in rpm's output.
fn installed(text: &str, name: &str) -> Result<Vec<String>, String> {
    if let Some(error) = text.lines().find(|line| line.starts_with("error: ")) {
        return Err(format!("rpm could not look: {error}"));
    }
    let absent = format!("package {name} is not installed");
    if text.lines().any(|line| line == absent || line == "no rpm") {
        return Ok(Vec::new());
    }
    let versions: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("rpm ")?.split_once(' '))
        .filter(|(found, _)| *found == name)
        .map(|(_, version)| version.to_owned())
        .collect();
    if versions.is_empty() { Err(format!("rpm said nothing about {name}")) } else { Ok(versions) }
}

#[cfg(test)]
#[path = "package_tests.rs"]
mod tests;
