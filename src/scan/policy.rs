//! The policy: what is refused, and what is accepted for how long. A file of the repository, so that a change of it is a change like any
//! other: seen, and with a name to it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use time::Date;
use time::macros::format_description;

use super::vulnerabilities::Severity;

/// What is refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Severities that are refused. Default: critical and high.
    #[serde(default = "severities")]
    pub severities: Vec<Severity>,
    /// Whether only what has been fixed somewhere is refused. Default: true.
    #[serde(default = "yes")]
    pub only_fixable: bool,
    /// What need not be compared with anything, such as `npm`. Default: nothing.
    #[serde(default)]
    pub without: Vec<String>,
    /// What is accepted nevertheless, for a time.
    #[serde(default)]
    pub accepted: Vec<Accepted>,
}

/// A vulnerability that is accepted for a time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// Its name, or a CVE number that it is known under.
    pub vulnerability: String,
    /// In this package only. Default: in any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Why.
    pub reason: String,
    /// The last day: `2027-01-31`.
    pub until: String,
}

fn severities() -> Vec<Severity> {
    vec![Severity::Critical, Severity::High]
}
fn yes() -> bool {
    true
}

impl Accepted {
    /// The last day. Policies are only read with days that are dates.
    pub fn last_day(&self) -> Option<Date> {
        Date::parse(&self.until, format_description!("[year]-[month]-[day]")).ok()
    }
}

impl Policy {
    /// Reads the file; errors name it and what to do.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|e| format!("cannot read the policy {shown}: {e}; name one with --policy"))?;
        Self::parse(&text).map_err(|why| format!("{shown}: {why}"))
    }

    /// Reads the text of a policy. An empty one is the default.
    pub fn parse(text: &str) -> Result<Self, String> {
        let policy: Option<Self> = serde_yaml::from_str(text).map_err(|why| why.to_string())?;
        let policy =
            policy.unwrap_or_else(|| Self { severities: severities(), only_fixable: true, without: Vec::new(), accepted: Vec::new() });
        if policy.severities.is_empty() {
            return Err("`severities` is empty: then nothing would ever be refused".into());
        }
        for accepted in &policy.accepted {
            let name = &accepted.vulnerability;
            if name.trim().is_empty() {
                return Err("something is accepted without a name: write the CVE number".into());
            }
            if accepted.reason.trim().is_empty() {
                return Err(format!("{name} is accepted without a reason: write one"));
            }
            if accepted.last_day().is_none() {
                return Err(format!("{name} is accepted until `{}`: write a day such as 2027-01-31", accepted.until));
            }
        }
        Ok(policy)
    }
}
