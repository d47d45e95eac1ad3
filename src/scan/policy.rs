//! The policy: what is refused, and what is accepted for how long. A file of the repository, so that a change of it is a change like any
//! other: seen, and with a name to it.

use std::fmt;
use std::path::Path;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use time::Date;
use time::macros::format_description;

use super::vulnerabilities::Severity;
use crate::base::sha256;

/// What is refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Severities that are refused. Default: critical and high.
    #[serde(default = "severities", deserialize_with = "read_severities")]
    pub severities: Vec<Severity>,
    /// Whether only what has been fixed somewhere is refused. Default: true.
    #[serde(default = "yes")]
    pub only_fixable: bool,
    /// What an image of a release that has ended comes to. Default: refuse.
    #[serde(default)]
    pub end_of_life: EndOfLife,
    /// What need not be compared with anything, such as `npm`; `unknown` are packages without a distribution. Default: nothing.
    #[serde(default)]
    pub without: Vec<String>,
    /// What is accepted nevertheless, for a time.
    #[serde(default)]
    pub accepted: Vec<Accepted>,
}

/// What an image of a release comes to about which nobody says anything any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EndOfLife {
    /// It counts as compared with nothing.
    #[default]
    Refuse,
    /// What Clair still knows of it decides.
    Allow,
}

/// A vulnerability that is accepted for a time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// Its name, or a CVE number that it is known under; in any case.
    #[serde(deserialize_with = "read_name")]
    pub vulnerability: String,
    /// In this package only. Default: in any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Why.
    #[serde(deserialize_with = "read_reason")]
    pub reason: String,
    /// The last day: `2027-01-31`.
    #[serde(deserialize_with = "read_day")]
    pub until: String,
}

/// A policy, and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Its file.
    pub file: String,
    /// sha256 of the file's text, in hexadecimal.
    pub sha256: String,
    /// What it says.
    pub policy: Policy,
}

fn severities() -> Vec<Severity> {
    vec![Severity::Critical, Severity::High]
}
fn yes() -> bool {
    true
}

/// Which severities are refused: at least one, and all that are worse. Inside of the list, so that a mistake is told with its place.
fn read_severities<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Severity>, D::Error> {
    struct List;
    impl<'de> Visitor<'de> for List {
        type Value = Vec<Severity>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of severities, such as [critical, high]")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut list = Vec::new();
            while let Some(severity) = items.next_element()? {
                list.push(severity);
            }
            if list.is_empty() {
                return Err(de::Error::custom("`severities` is empty: then nothing would ever be refused"));
            }
            let whole = without_gaps(&list);
            let lost: Vec<&str> = whole.iter().filter(|severity| !list.contains(severity)).map(|severity| severity.word()).collect();
            if lost.is_empty() {
                return Ok(list);
            }
            let whole: Vec<&str> = whole.into_iter().map(Severity::word).collect();
            Err(de::Error::custom(format!(
                "`severities` leaves out {}: what is worse would pass; write [{}]",
                lost.join(", "),
                whole.join(", ")
            )))
        }
    }
    from.deserialize_seq(List)
}

/// From the worst to the most harmless that is named; `unknown` is beside that order.
fn without_gaps(named: &[Severity]) -> Vec<Severity> {
    let least = named.iter().copied().filter(|severity| *severity != Severity::Unknown).min().unwrap_or(Severity::High);
    let wanted = |severity: &Severity| match severity {
        Severity::Unknown => named.contains(severity),
        severity => *severity >= least,
    };
    Severity::ALL.into_iter().filter(wanted).collect()
}

fn read_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    read_text(from, |text| {
        (!text.trim().is_empty()).then_some(()).ok_or("something is accepted without a name: write the CVE number".into())
    })
}

fn read_reason<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    read_text(from, |text| (!text.trim().is_empty()).then_some(()).ok_or("something is accepted without a reason: write one".into()))
}

fn read_day<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    read_text(from, |text| day(text).map(|_| ()).ok_or(format!("`{text}` is no day: write the last one, such as 2027-01-31")))
}

/// A text that passes a test. Refused while it is read, so that a mistake is told with its place.
fn read_text<'de, D: Deserializer<'de>>(from: D, test: fn(&str) -> Result<(), String>) -> Result<String, D::Error> {
    struct Text(fn(&str) -> Result<(), String>);
    impl Visitor<'_> for Text {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
            (self.0)(text).map(|()| text.to_owned()).map_err(E::custom)
        }
    }
    from.deserialize_str(Text(test))
}

fn day(text: &str) -> Option<Date> {
    Date::parse(text, format_description!("[year]-[month]-[day]")).ok()
}

impl Accepted {
    /// The last day. Policies are only read with days that are dates.
    pub fn last_day(&self) -> Option<Date> {
        day(&self.until)
    }
}

impl Judged {
    /// Reads the file; errors name it, the line and the column, and what to do.
    pub fn read(path: &Path) -> Result<Self, String> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| format!("cannot read the policy {file}: {e}; name one with --policy"))?;
        Ok(Self { policy: Policy::parse(&file, &text)?, sha256: sha256(text.as_bytes()), file })
    }
}

impl Policy {
    /// Reads the text of a policy; an empty one is the default. Errors begin with `FILE:LINE:COLUMN: `.
    pub fn parse(file: &str, text: &str) -> Result<Self, String> {
        // Comments alone are no document, but `{}` means the same.
        let policy: Option<Self> = serde_yaml::from_str(text).map_err(|why| placed(file, &why))?;
        policy.map_or_else(|| serde_yaml::from_str("{}").map_err(|why| placed(file, &why)), Ok)
    }
}

/// An error with its place in front, where the rest of the project's messages have it.
fn placed(file: &str, why: &serde_yaml::Error) -> String {
    let text = why.to_string();
    match why.location() {
        Some(place) => {
            let text = text.split_once(" at line ").map_or(text.as_str(), |(text, _)| text);
            format!("{file}:{}:{}: {text}", place.line(), place.column())
        }
        None => format!("{file}: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_one_is_the_default() {
        let policy = Policy::parse("p.yml", "# nothing\n").unwrap();
        assert_eq!(policy, Policy::parse("p.yml", "{}").unwrap());
        assert_eq!((policy.severities, policy.only_fixable, policy.end_of_life), (severities(), true, EndOfLife::Refuse));
        assert_eq!(Policy::parse("p.yml", "end_of_life: allow").unwrap().end_of_life, EndOfLife::Allow);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let accept = |fields: &str| format!("only_fixable: true\naccepted:\n  - {{{fields}}}\n");
        for (text, why) in [
            ("severities: []".into(), "p.yml:1:13: severities: `severities` is empty: then nothing would ever be refused"),
            ("severities: [critical, hihg]".into(), "p.yml:1:24: severities[1]: `hihg` is no severity"),
            ("severities: [medium]".into(), "leaves out critical, high: what is worse would pass; write [critical, high, medium]"),
            (
                "severities: [critical, low, unknown]".into(),
                "leaves out high, medium: what is worse would pass; write [critical, high, medium, low, unknown]",
            ),
            ("severities: [unknown]".into(), "write [critical, high, unknown]"),
            ("severities: high".into(), "p.yml:1:13: severities: invalid type: string \"high\", expected a list of severities"),
            ("\nseverity: [high]".into(), "p.yml:2:1: unknown field `severity`"),
            ("end_of_life: yes".into(), "p.yml:1:14: end_of_life: "),
            (
                accept("vulnerability: CVE-1, reason: '', until: 2027-01-01"),
                "p.yml:3:36: accepted[0].reason: something is accepted without a reason",
            ),
            (
                accept("vulnerability: CVE-1, reason: x, until: soon"),
                "p.yml:3:46: accepted[0].until: `soon` is no day: write the last one, such as 2027-01-31",
            ),
            (accept("vulnerability: CVE-1, reason: x"), "p.yml:3:5: accepted[0]: missing field `until`"),
            (
                accept("vulnerability: '', reason: x, until: 2027-01-01"),
                "p.yml:3:21: accepted[0].vulnerability: something is accepted without a name",
            ),
            ("a: [".into(), "p.yml:"),
        ] {
            let told = Policy::parse("p.yml", &text).unwrap_err();
            assert!(told.contains(why) && !told.contains("at line"), "{text}: {told}");
        }
        for good in
            ["[critical]", "[high, critical, medium]", "[critical, high, unknown]", "[critical, high, medium, low, negligible, unknown]"]
        {
            assert!(Policy::parse("p.yml", &format!("severities: {good}")).is_ok(), "{good}");
        }
    }

    #[test]
    fn the_file_is_known_by_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.yml");
        std::fs::write(&file, "only_fixable: false\n").unwrap();
        let judged = Judged::read(&file).unwrap();
        assert_eq!((judged.sha256, judged.policy.only_fixable), (sha256(b"only_fixable: false\n"), false));
        assert!(Judged::read(&folder.path().join("none")).unwrap_err().contains("name one with --policy"));
    }
}
