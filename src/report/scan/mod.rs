//! What `poclab scan` has seen: a table for people, JSON for programs, SARIF for code hosts, a page to keep (`html/scan.rs`).

mod sarif;
#[cfg(test)]
mod tests;
mod words;

use serde_json::{Value, json};

use super::html::scan_page;
use super::{Format, print_lines, print_table, print_text};
use crate::scan::{Fate, Feeds, Finding, Judged, Kind, Scan};

pub(super) use words::{counts, fate, head, layer, severities, severity, tail};

/// A scan and what it was judged by.
pub struct ScanReport<'a> {
    /// The image, as it was asked for.
    pub image: &'a str,
    /// The policy, and where it is from.
    pub judged: &'a Judged,
    /// How old Clair's data may be, in days.
    pub max_age_days: u32,
    /// What Clair must have loaded.
    pub updaters: &'a [String],
    /// What was seen, or why nothing was.
    pub seen: Result<&'a Scan, &'a str>,
}

impl ScanReport<'_> {
    /// `passed`, `refused` or `could not look`.
    pub fn verdict(&self) -> &'static str {
        match self.seen {
            Ok(scan) if scan.passed() => "passed",
            Ok(_) => "refused",
            Err(_) => "could not look",
        }
    }

    /// The JSON document: always with `format`, `poclab` (its version), `image`, `verdict` and what it was judged by (`policy`,
    /// `max_age_days`, `updaters`); with `why` when nothing was seen, else with everything that was.
    pub fn json(&self) -> String {
        let mut document =
            json!({"format": "poclab scan 1", "poclab": env!("CARGO_PKG_VERSION"), "image": self.image, "verdict": self.verdict()});
        match self.seen {
            Err(why) => document["why"] = why.into(),
            Ok(scan) => {
                document["counts"] = numbers(&counts(scan));
                document["severities"] = numbers(&severities(scan));
                // A struct of texts and numbers always becomes an object.
                if let Ok(Value::Object(fields)) = serde_json::to_value(scan) {
                    fields.into_iter().for_each(|(key, value)| document[key] = value);
                }
            }
        }
        document["policy"] = json!({"file": self.judged.file, "sha256": self.judged.sha256});
        // The same for the policy.
        if let Ok(Value::Object(fields)) = serde_json::to_value(&self.judged.policy) {
            fields.into_iter().for_each(|(key, value)| document["policy"][key] = value);
        }
        document["max_age_days"] = self.max_age_days.into();
        document["updaters"] = self.updaters.into();
        format!("{document:#}\n")
    }

    /// SARIF 2.1.0: one rule per vulnerability, one result per package that has it. What is accepted is a suppressed result.
    pub fn sarif(&self) -> String {
        sarif::document(self)
    }

    /// The page.
    pub fn html(&self) -> anyhow::Result<String> {
        scan_page(self)
    }

    /// Prints it. What is merely tolerated is counted; `all` lists it, too.
    pub fn print(&self, format: Format, all: bool) {
        let Ok(scan) = self.seen else {
            // Why is the command's error text; programs get it in the document.
            if format == Format::Json {
                print_text(&self.json());
            }
            return;
        };
        if format == Format::Json {
            return print_text(&self.json());
        }
        print_lines(&head(scan));
        let shown = |finding: &&Finding| all || !matches!(finding.fate, Fate::Tolerated);
        let rows: Vec<Vec<String>> = scan.findings.iter().filter(shown).map(|finding| words::row(finding, scan)).collect();
        if !rows.is_empty() {
            print_table(&["severity", "vulnerability", "package", "version", "fixed in", "layer", "policy"], &rows);
        }
        print_lines(&tail(scan, self.verdict()));
    }
}

fn numbers(counts: &[(&str, usize)]) -> Value {
    Value::Object(counts.iter().map(|(word, count)| ((*word).to_owned(), (*count).into())).collect())
}

/// Prints what Clair has loaded.
pub fn print_feeds(feeds: &Feeds, format: Format) {
    if format == Format::Json {
        // Texts and numbers always become JSON.
        return print_text(&format!("{}\n", serde_json::to_string(feeds).unwrap_or_default()));
    }
    let row = |feed: &crate::scan::Feed| {
        let kind = match feed.kind {
            Kind::Vulnerability => "vulnerabilities",
            Kind::Enrichment => "ratings",
        };
        vec![
            feed.updater.clone(),
            kind.to_owned(),
            feed.loaded.clone(),
            feed.recorded.clone().unwrap_or_default(),
            format!("{} d", feed.age),
        ]
    };
    print_table(&["updater", "what", "loaded", "made by its source", "age"], &feeds.0.iter().map(row).collect::<Vec<_>>());
}
