//! What Clair's database was filled with. Clair answers as soon as one row is in it: that it is complete and fresh must be asked for.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

use crate::base::rfc3339;

/// What an updater's data is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Packages are compared with it.
    Vulnerability,
    /// It says more about what was found, such as how bad it is. Nothing is compared with it.
    Enrichment,
}

/// What one updater has loaded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Feed {
    /// Its name: `debian/updater`, `osv/pypi`, `clair.cvss`.
    pub updater: String,
    /// What its data is for.
    pub kind: Kind,
    /// When it was loaded, RFC 3339.
    pub loaded: String,
    /// Where the source says of itself when it was made (Debian does), that date. Data that was imported from a file is as old as its
    /// source, however late it was imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<String>,
    /// Days since the earlier of both.
    pub age: i64,
}

/// What all updaters have loaded, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Feeds(pub Vec<Feed>);

/// Whether that is enough to judge by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Clair is up and knows nothing.
    Empty,
    /// These updaters have loaded nothing yet.
    Loading(Vec<String>),
    /// The newest data of these updaters is older than allowed: name and days.
    Stale(Vec<(String, i64)>, u32),
    /// All that is wanted is there, and fresh.
    Loaded,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => {
                f.write_str("Clair's database of vulnerabilities is empty: no updater has loaded anything; see `docker logs clair`")
            }
            Self::Loading(missing) => {
                write!(
                    f,
                    "Clair has not loaded everything that it must know: nothing of {} yet; see `docker logs clair`",
                    missing.join(", ")
                )
            }
            Self::Stale(old, longest) => {
                let old: Vec<String> = old.iter().map(|(name, days)| format!("{name} is {days} days old")).collect();
                write!(
                    f,
                    "Clair's data is too old to judge by ({}; the longest is {longest} days): see that Clair reaches its feeds, or import newer ones",
                    old.join(", ")
                )
            }
            Self::Loaded => f.write_str("all that Clair must know is loaded"),
        }
    }
}

#[derive(Deserialize)]
struct Operation {
    date: String,
    #[serde(default)]
    fingerprint: String,
}

impl Feeds {
    /// Reads the newest operations that loaded vulnerabilities: a map from updaters to operations, `{}` when there are none.
    pub fn read(body: &[u8], now: OffsetDateTime) -> Result<Self, String> {
        Ok(Self(operations(Kind::Vulnerability, body, now)?))
    }

    /// These, and what the newest operations of enrichers loaded. Clair answers about one kind at a time.
    pub fn with_enrichments(mut self, body: &[u8], now: OffsetDateTime) -> Result<Self, String> {
        self.0.extend(operations(Kind::Enrichment, body, now)?);
        Ok(self)
    }

    /// Those of one kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Feed> {
        self.0.iter().filter(move |feed| feed.kind == kind)
    }

    /// The age in days of the newest vulnerabilities of the updaters that fit a name (`*` at its end stands for anything); `None`: none of
    /// them has loaded anything.
    pub fn age(&self, name: &str) -> Option<i64> {
        self.of(Kind::Vulnerability).filter(|feed| fits(name, &feed.updater)).map(|feed| feed.age).min()
    }

    /// Whether these updaters are loaded, and their newest data is not older than that. Without vulnerabilities it is empty, whatever
    /// enrichers have loaded.
    pub fn state(&self, wanted: &[String], max_age_days: u32) -> State {
        if self.of(Kind::Vulnerability).next().is_none() {
            return State::Empty;
        }
        let mut missing = Vec::new();
        let mut old = Vec::new();
        for name in wanted {
            match self.0.iter().filter(|feed| fits(name, &feed.updater)).map(|feed| feed.age).min() {
                None => missing.push(name.clone()),
                Some(age) if age > i64::from(max_age_days) => old.push((name.clone(), age)),
                Some(_) => {}
            }
        }
        match (missing.is_empty(), old.is_empty()) {
            (false, _) => State::Loading(missing),
            (true, false) => State::Stale(old, max_age_days),
            (true, true) => State::Loaded,
        }
    }
}

/// Whether an updater is one that a name means.
fn fits(name: &str, updater: &str) -> bool {
    name.strip_suffix('*').map_or(updater == name, |start| updater.starts_with(start))
}

fn operations(kind: Kind, body: &[u8], now: OffsetDateTime) -> Result<Vec<Feed>, String> {
    let all: Option<BTreeMap<String, Vec<Operation>>> =
        serde_json::from_slice(body).map_err(|why| format!("Clair's answer about what it has loaded cannot be read: {why}"))?;
    let mut feeds = Vec::new();
    for (updater, operations) in all.unwrap_or_default() {
        let mut newest: Option<(OffsetDateTime, Option<OffsetDateTime>)> = None;
        for operation in &operations {
            let loaded = OffsetDateTime::parse(&operation.date, &Rfc3339)
                .map_err(|_| format!("Clair says that {updater} was loaded at `{}`, which is no date", operation.date))?;
            if newest.is_none_or(|(known, _)| known < loaded) {
                newest = Some((loaded, source_date(&operation.fingerprint)));
            }
        }
        if let Some((loaded, recorded)) = newest {
            let since = recorded.map_or(loaded, |recorded| recorded.min(loaded));
            feeds.push(Feed { updater, kind, loaded: rfc3339(loaded), recorded: recorded.map(rfc3339), age: (now - since).whole_days() });
        }
    }
    Ok(feeds)
}

/// The date in a fingerprint, where it is one: Debian's updater keeps the `Last-Modified` of its source there.
fn source_date(fingerprint: &str) -> Option<OffsetDateTime> {
    let text = fingerprint.trim();
    OffsetDateTime::parse(text, &Rfc2822).or_else(|_| OffsetDateTime::parse(text, &Rfc3339)).ok()
}
