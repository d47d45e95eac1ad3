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
    /// Digest of the layer that brought the package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
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

/// What the policy makes of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// All findings, the worst first.
    pub findings: Vec<Finding>,
    /// What is accepted, found, and soon not accepted any more.
    pub ending: Vec<Accepted>,
    /// What is accepted although it is not there.
    pub unused: Vec<Accepted>,
}

/// For how many days before its end somebody is told of an acceptance.
pub const NOTICE_DAYS: i64 = 14;

/// Judges what is in a report.
pub fn judge(report: &Report, policy: &Policy, today: Date) -> Judgement {
    let scores = report.scores();
    let mut used = vec![false; policy.accepted.len()];
    let mut findings: Vec<Finding> = Vec::new();
    for (id, found) in &report.package_vulnerabilities {
        // Both were seen to exist when the report was read.
        let Some(package) = report.packages.get(id) else { continue };
        let layer =
            report.environments.get(id).and_then(|places| places.iter().map(|place| &place.introduced_in).find(|layer| !layer.is_empty()));
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
                layer: layer.cloned(),
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
    // A package that was found twice is named once, whichever layers brought it.
    findings.dedup_by(|a, b| *a == Finding { layer: a.layer.clone(), ..b.clone() });
    let which = |wanted: bool| policy.accepted.iter().zip(&used).filter(move |(_, used)| **used == wanted).map(|(accepted, _)| accepted);
    let ends = |accepted: &&Accepted| accepted.last_day().is_some_and(|day| (0..=NOTICE_DAYS).contains(&(day - today).whole_days()));
    Judgement { ending: which(true).filter(ends).cloned().collect(), unused: which(false).cloned().collect(), findings }
}

fn fate(finding: &Finding, policy: &Policy, today: Date, used: &mut [bool]) -> Fate {
    let names = |accepted: &Accepted| {
        let mut known = std::iter::once(&finding.vulnerability).chain(&finding.aliases);
        known.any(|name| name.eq_ignore_ascii_case(accepted.vulnerability.trim()))
    };
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
