//! Packages, by yum and rpm.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Change, Kind, Reply, State};
use crate::base::quote;

/// An RPM package.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name, as `rpm -q` knows it.
    pub name: String,
    /// Exact `version-release` (without epoch), e.g. `26.1.4-1.el7`. Default: whatever is installed; if none, the newest in the repositories.
    #[serde(default)]
    pub version: Option<String>,
}

impl Kind for Spec {
    const NAME: &'static str = "package";
    /// Installed `version-release`, if any.
    type Observed = Option<String>;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn observe(specs: &[&Self]) -> String {
        let names: Vec<String> = specs.iter().map(|spec| quote(&spec.name)).collect();
        // rpm's exit status is the number of names that are not installed: not an error.
        format!("rpm -q --qf '%{{NAME}} %{{VERSION}}-%{{RELEASE}}\\n' {} || [ $? -lt 250 ]", names.join(" "))
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let text = reply.text();
        specs
            .iter()
            .map(|spec| {
                let absent = format!("package {} is not installed", spec.name);
                if text.lines().any(|line| line == absent) {
                    return Ok(None);
                }
                text.lines()
                    .filter_map(|line| line.split_once(' '))
                    .find(|(name, _)| *name == spec.name)
                    .map(|(_, version)| Some(version.to_owned()))
                    .ok_or_else(|| format!("rpm said nothing about {}", spec.name))
            })
            .collect()
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        match (observed, &self.version) {
            (None, None) => State::Drift(vec![Change::new("not installed")]),
            (None, Some(want)) => State::Drift(vec![Change::new(format!("not installed, want {want}"))]),
            (Some(have), Some(want)) if have != want => State::Drift(vec![Change::new(format!("version is {have}, want {want}"))]),
            (Some(_), _) => State::InSync,
        }
    }

    fn apply(&self, _observed: &Self::Observed) -> Vec<Action> {
        Vec::new()
    }
}
