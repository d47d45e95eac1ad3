//! Clair's and the registry's answers, for whatever they may be.

use time::macros::datetime;

use super::feeds::Feeds;
use super::policy::Policy;
use super::vulnerabilities::Report;
use super::{coverage, finding, manifest};
use crate::base::sha256;
use crate::hostile::Parser;

const OPERATIONS: &str = r#"{"debian/updater":[{"ref":"6d4c","updater":"debian/updater","fingerprint":"Sat, 21 Nov 2026 07:00:00 GMT","date":"2026-11-21T08:00:00.1Z","kind":"vulnerability"}]}"#;
const REPORT: &str = r#"{"manifest_hash":"sha256:00","packages":{"1":{"name":"openssl","version":"3.0.9-1"}},"distributions":{"7":{"did":"debian","version_id":"12"},"8":{"did":"alpine","version":"3.19"}},
    "repository":null,"environments":{"1":[{"distribution_id":"7","repository_ids":null}]},"vulnerabilities":{"11":{"name":"CVE-2023-5363",
    "description":"Bad. Worse.","links":"https://x/CVE-2023-5363 CVE-2","normalized_severity":"Unknown","fixed_in_version":"fixed=5%2E4&introduced=1"}},
    "package_vulnerabilities":{"1":["11"]},"enrichments":{"enricher=clair.cvss":[{"11":[{"baseScore":7.5}]}]}}"#;
const MANIFEST: &str =
    r#"{"schemaVersion":2,"layers":[{"digest":"sha256:abababababababababababababababababababababababababababababababab"}]}"#;

pub(crate) fn parsers() -> Vec<Parser> {
    let now = datetime!(2026-11-21 12:00 UTC);
    let feeds = Feeds::read(OPERATIONS.as_bytes(), now).unwrap_or_default();
    let policy = Policy::parse("p", "").unwrap_or_else(|why| panic!("{why}"));
    vec![
        Parser::new("scan", "operations", &[OPERATIONS], move |bytes| {
            if let Ok(feeds) = Feeds::read(bytes, now).and_then(|feeds| feeds.with_enrichments(bytes, now)) {
                let _ = feeds.state(&["debian/updater".to_owned(), "osv/*".to_owned()], 7).to_string();
            }
        }),
        Parser::new("scan", "report", &[REPORT], move |bytes| {
            if let Ok(report) = Report::read(bytes, "sha256:00") {
                let _ = coverage::gaps(&report, &feeds, &policy, 7, now.date());
                let _ = finding::judge(&report, &policy, now.date());
            }
        }),
        Parser::new("scan", "manifest", &[MANIFEST], |bytes| {
            let _ = manifest::layers(bytes, &format!("sha256:{}", sha256(bytes)));
        }),
    ]
}
