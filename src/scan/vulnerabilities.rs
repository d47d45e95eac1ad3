//! Clair's vulnerability report (`vulnerability_report.schema.json` of Clair 4).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How bad, in Clair's words; from harmless to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nobody has said.
    Unknown,
    Negligible,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// All, the worst first.
    pub const ALL: [Self; 6] = [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Negligible, Self::Unknown];

    /// As policies write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Negligible => "negligible",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// Reads it in any case.
    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.word().eq_ignore_ascii_case(word))
    }

    /// Of a CVSS base score, by the qualitative scale of CVSS 3.1 (section 5).
    pub fn of_score(score: f64) -> Self {
        match score {
            s if s >= 9.0 => Self::Critical,
            s if s >= 7.0 => Self::High,
            s if s >= 4.0 => Self::Medium,
            s if s > 0.0 => Self::Low,
            _ => Self::Negligible,
        }
    }
}

impl<'de> Deserialize<'de> for Severity {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // While it is read, so that a mistake in a policy is told with its place.
        struct Word;
        impl serde::de::Visitor<'_> for Word {
            type Value = Severity;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a severity")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Severity, E> {
                let all = || Severity::ALL.map(Severity::word).join(", ");
                Severity::read(word).ok_or_else(|| E::custom(format!("`{word}` is no severity: there are {}", all())))
            }
        }
        from.deserialize_str(Word)
    }
}

/// The report. What is missing or null in it is an error: an answer that says nothing must not look like a clean image.
#[derive(Debug, Clone, Deserialize)]
pub struct Report {
    manifest_hash: String,
    pub packages: BTreeMap<String, Package>,
    pub vulnerabilities: BTreeMap<String, Vulnerability>,
    pub package_vulnerabilities: BTreeMap<String, Vec<String>>,
    #[serde(deserialize_with = "or_nothing")]
    pub distributions: BTreeMap<String, Distribution>,
    #[serde(deserialize_with = "or_nothing")]
    pub environments: BTreeMap<String, Vec<Environment>>,
    #[serde(default, rename = "repository", deserialize_with = "or_nothing")]
    pub repositories: BTreeMap<String, Repository>,
    #[serde(default, deserialize_with = "or_nothing")]
    enrichments: BTreeMap<String, Vec<Value>>,
}

/// Go writes an empty map as null.
fn or_nothing<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// A package that is in the image.
#[derive(Debug, Clone, Deserialize)]
pub struct Package {
    pub name: String,
    pub version: String,
}

/// What the image is made of.
#[derive(Debug, Clone, Deserialize)]
pub struct Distribution {
    /// The field ID of its os-release.
    #[serde(default)]
    pub did: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
    /// `noble`, `bookworm`.
    #[serde(default)]
    pub version_code_name: String,
    #[serde(default)]
    version_id: String,
}

impl Distribution {
    /// Its release: `12`, `24.04`, `edge`. Clair leaves the version's ID of Alpine empty; it has it as the version.
    pub fn release(&self) -> &str {
        let words = if self.version_id.is_empty() { &self.version } else { &self.version_id };
        words.split_whitespace().next().unwrap_or_default()
    }

    /// For people: `Debian GNU/Linux 12 (bookworm)`.
    pub fn shown(&self) -> String {
        format!("{} {}", if self.name.is_empty() { &self.did } else { &self.name }, self.version).trim().to_owned()
    }
}

/// Where a package was found.
#[derive(Debug, Clone, Deserialize)]
pub struct Environment {
    /// The list of packages that names it: `var/lib/dpkg/status`.
    #[serde(default, deserialize_with = "or_nothing")]
    pub package_db: String,
    /// Digest of the layer that brought it.
    #[serde(default, deserialize_with = "or_nothing")]
    pub introduced_in: String,
    #[serde(default, deserialize_with = "or_nothing")]
    pub distribution_id: String,
    #[serde(default, deserialize_with = "or_nothing")]
    pub repository_ids: Vec<String>,
}

/// Where packages of a language come from.
#[derive(Debug, Clone, Deserialize)]
pub struct Repository {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub key: String,
}

/// One vulnerability of one package.
#[derive(Debug, Clone, Deserialize)]
pub struct Vulnerability {
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub links: String,
    pub normalized_severity: Severity,
    #[serde(default)]
    pub fixed_in_version: String,
}

impl Report {
    /// Reads an answer.
    pub fn read(body: &[u8], digest: &str) -> Result<Self, String> {
        let report: Option<Self> = serde_json::from_slice(body)
            .map_err(|why| format!("Clair's answer about the image's vulnerabilities cannot be read: {why}"))?;
        let report = report.ok_or("Clair answers `null` instead of the image's vulnerabilities: nothing was compared")?;
        if report.manifest_hash != digest {
            return Err(format!("Clair answers about {} instead of {digest}", report.manifest_hash));
        }
        if report.packages.is_empty() {
            return Err("Clair found no package in the image: there was nothing to compare, which is not the same as nothing bad".into());
        }
        for (package, found) in &report.package_vulnerabilities {
            if !report.packages.contains_key(package) {
                return Err(format!("Clair names vulnerabilities of a package {package} that it does not list"));
            }
            if let Some(lost) = found.iter().find(|id| !report.vulnerabilities.contains_key(*id)) {
                return Err(format!("Clair names a vulnerability {lost} that it does not describe"));
            }
        }
        Ok(report)
    }

    /// The highest CVSS base score that Clair's enricher knows for each vulnerability, by its id.
    pub fn scores(&self) -> BTreeMap<&str, f64> {
        let mut scores: BTreeMap<&str, f64> = BTreeMap::new();
        let maps = self.enrichments.iter().filter(|(kind, _)| kind.contains("enricher=clair.cvss")).flat_map(|(_, maps)| maps);
        for (id, records) in maps.filter_map(Value::as_object).flatten() {
            for score in records.as_array().into_iter().flatten().filter_map(|record| record["baseScore"].as_f64()) {
                let known = scores.entry(id).or_insert(score);
                *known = known.max(score);
            }
        }
        scores
    }
}

impl Vulnerability {
    /// The version that is not vulnerable any more, if there is one. Clair writes it plainly for distributions and as a query
    /// (`fixed=5.4&introduced=5.0`) for packages of languages.
    pub fn fixed_in(&self) -> Option<String> {
        let text = self.fixed_in_version.trim();
        if !text.contains('=') {
            return (!text.is_empty()).then(|| text.to_owned());
        }
        let fixed = text.split('&').find_map(|pair| pair.strip_prefix("fixed=")).filter(|fixed| !fixed.is_empty())?;
        Some(percent_encoding::percent_decode_str(fixed).decode_utf8_lossy().into_owned())
    }

    /// The CVE numbers that it is known under, besides its name; the first few. They are in its name, and in the links that Clair makes of
    /// an advisory's aliases (claircore's `updater/osv`). Other links may be about anything: advisories link to those that they build on.
    pub fn aliases(&self) -> Vec<String> {
        const MOST: usize = 8;
        const ALIAS: &str = "https://osv.dev/vulnerability/";
        let in_links = self.links.split_whitespace().filter_map(|link| link.strip_prefix(ALIAS)).filter_map(cve);
        let in_name = self.name.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter_map(cve);
        let mut found: Vec<String> = Vec::new();
        for number in in_name.chain(in_links) {
            if found.len() < MOST && !number.eq_ignore_ascii_case(&self.name) && !found.contains(&number) {
                found.push(number);
            }
        }
        found
    }
}

/// A text that is a CVE number and nothing else, in capitals.
fn cve(text: &str) -> Option<String> {
    let text = text.to_ascii_uppercase();
    let (year, number) = text.strip_prefix("CVE-")?.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (digits(year) && digits(number)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_it_is_known_under_is_an_alias() {
        let aliases = |name: &str, links: &str| {
            let text = serde_json::json!({"name": name, "links": links, "normalized_severity": "High"});
            serde_json::from_value::<Vulnerability>(text).unwrap().aliases()
        };
        let link = "https://osv.dev/vulnerability/";
        assert_eq!(
            aliases("GHSA-1", &format!("https://x/CVE-2020-1 {link}CVE-2020-2 {link}cve-2020-3 {link}GHSA-2")),
            ["CVE-2020-2", "CVE-2020-3"]
        );
        assert_eq!(aliases("ALAS-2024-1: CVE-2024-7, important", ""), ["CVE-2024-7"]);
        for (name, links) in [
            ("CVE-2020-2", format!("{link}CVE-2020-2 https://security-tracker.debian.org/tracker/CVE-2020-9")),
            ("GHSA-1", format!("{link}CVE-2020-2/../CVE-2020-3 {link}CVE-x {link}CVE-2020- http://osv.dev/vulnerability/CVE-2020-4")),
        ] {
            assert_eq!(aliases(name, &links), Vec::<String>::new(), "{name} {links}");
        }
    }
}
