//! What was found, and what the policy says to it.

use serde::Serialize;
use time::Date;

use super::policy::{Accepted, Policy};
use super::vulnerabilities::{Report, Severity, Vulnerability};

/// A vulnerability of a package of the image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// `CVE-2024-1234`, `GHSA-…`
    pub vulnerability: String,
    /// CVE numbers that it is known under as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The package.
    pub package: String,
    /// Its version in the image.
    pub version: String,
    /// How bad: the distribution's or the ecosystem's word, normalised by Clair; by the CVSS score where they say nothing.
    pub severity: Severity,
    /// The CVSS base score, where the severity comes from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The first version without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed_in: Option<String>,
    /// What it is.
    pub description: String,
    /// Where to read more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// What the policy says.
    #[serde(flatten)]
    pub fate: Fate,
}

/// What the policy says to a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "policy", rename_all = "lowercase")]
pub enum Fate {
    /// The image is refused for it.
    Refused,
    /// It was accepted until a day that is over: the image is refused for it.
    Expired { reason: String, until: String },
    /// Accepted for now.
    Accepted { reason: String, until: String },
    /// Bad enough, and nobody has fixed it.
    Unfixed,
    /// Not bad enough.
    Tolerated,
}

impl Finding {
    /// Whether the image is refused for it.
    pub fn refused(&self) -> bool {
        matches!(self.fate, Fate::Refused | Fate::Expired { .. })
    }
}

/// All findings, the worst first, and what is accepted although it is not there.
pub fn judge(report: &Report, policy: &Policy, today: Date) -> (Vec<Finding>, Vec<Accepted>) {
    let scores = report.scores();
    let mut used = vec![false; policy.accepted.len()];
    let mut findings: Vec<Finding> = Vec::new();
    for (id, found) in &report.package_vulnerabilities {
        // Both were seen to exist when the report was read.
        let Some(package) = report.packages.get(id) else { continue };
        for (id, vulnerability) in found.iter().filter_map(|id| Some((id, report.vulnerabilities.get(id)?))) {
            let score = scores.get(id.as_str()).copied().filter(|_| vulnerability.normalized_severity == Severity::Unknown);
            let severity = score.map_or(vulnerability.normalized_severity, Severity::of_score);
            let aliases = vulnerability.aliases();
            let mut finding = Finding {
                vulnerability: vulnerability.name.clone(),
                aliases,
                package: package.name.clone(),
                version: package.version.clone(),
                severity,
                score,
                fixed_in: vulnerability.fixed_in(),
                description: first_sentence(&vulnerability.description),
                link: link(vulnerability),
                fate: Fate::Tolerated,
            };
            finding.fate = fate(&finding, policy, today, &mut used);
            findings.push(finding);
        }
    }
    findings.sort_by(|a, b| {
        let key = |f: &Finding| (!f.refused(), std::cmp::Reverse(f.severity));
        let names = |f: &Finding| (f.package.clone(), f.vulnerability.clone(), f.version.clone(), f.fixed_in.clone());
        key(a).cmp(&key(b)).then_with(|| names(a).cmp(&names(b)))
    });
    // A package that was found twice is named once.
    findings.dedup();
    let unused = policy.accepted.iter().zip(used).filter(|(_, used)| !used).map(|(accepted, _)| accepted.clone()).collect();
    (findings, unused)
}

fn fate(finding: &Finding, policy: &Policy, today: Date, used: &mut [bool]) -> Fate {
    let names = |accepted: &Accepted| accepted.vulnerability == finding.vulnerability || finding.aliases.contains(&accepted.vulnerability);
    let fits = |accepted: &Accepted| names(accepted) && accepted.package.as_ref().is_none_or(|package| *package == finding.package);
    let mut over = None;
    let mut now = None;
    for (index, accepted) in policy.accepted.iter().enumerate().filter(|(_, accepted)| fits(accepted)) {
        used[index] = true;
        let (reason, until) = (accepted.reason.clone(), accepted.until.clone());
        match accepted.last_day() {
            Some(day) if day >= today => now = Some(Fate::Accepted { reason, until }),
            _ => over = Some(Fate::Expired { reason, until }),
        }
    }
    if !policy.severities.contains(&finding.severity) {
        return Fate::Tolerated;
    }
    if policy.only_fixable && finding.fixed_in.is_none() {
        return Fate::Unfixed;
    }
    now.or(over).unwrap_or(Fate::Refused)
}

/// Enough to know what it is about.
fn first_sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = text.find(". ").map_or(text.len(), |end| end + 1);
    let mut short: String = text[..end].chars().take(240).collect();
    if short.len() < end {
        short.push('…');
    }
    short
}

/// The first link that a browser can follow.
fn link(vulnerability: &Vulnerability) -> Option<String> {
    vulnerability.links.split_whitespace().find(|link| link.starts_with("https://")).map(str::to_owned)
}
