//! The page of one scanned image.

use anyhow::Result;
use serde::Serialize;
use tera::Context;

use super::document::{self, Template};
use crate::report::scan::{ScanReport, counts, fate, head, severity, tail};
use crate::scan::Finding;

const TEMPLATE: Template = ("scan.html", include_str!("templates/scan.html"));

/// A line of the table.
#[derive(Serialize)]
struct Row<'a> {
    class: &'static str,
    severity: String,
    fate: String,
    finding: &'a Finding,
}

/// The page as text. It needs nothing else, and a browser applies no other style than its own.
pub fn scan_page(report: &ScanReport<'_>) -> Result<String> {
    let mut context = Context::new();
    context.insert("image", report.image);
    context.insert("verdict", report.verdict());
    context.insert("file", report.file);
    context.insert("severities", &report.policy.severities.iter().map(|severity| severity.word()).collect::<Vec<_>>());
    context.insert("only_fixable", &report.policy.only_fixable);
    context.insert("why", &report.seen.err());
    if let Ok(scan) = report.seen {
        let class = |finding: &Finding| if finding.refused() { "failed" } else { "passed" };
        let row = |finding| Row { class: class(finding), severity: severity(finding), fate: fate(finding), finding };
        context.insert("rows", &scan.findings.iter().map(row).collect::<Vec<_>>());
        context.insert("counts", &counts(scan));
        context.insert("seen", &head(scan)[1]);
        context.insert("at", &scan.at.replacen('T', " ", 1).replacen('Z', " UTC", 1));
        context.insert("notes", &tail(scan, report.verdict())[1..]);
        context.insert("feeds", &scan.feeds);
    }
    document::render(&[TEMPLATE], TEMPLATE.0, env!("CARGO_PKG_VERSION"), context)
}
