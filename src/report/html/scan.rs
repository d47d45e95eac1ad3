//! The page of one scanned image.

use anyhow::Result;
use serde::Serialize;
use tera::Context;

use super::document::{self, Template};
use crate::report::scan::{ScanReport, counts, fate, head, layer, severity, tail};
use crate::scan::{EndOfLife, Finding};

const TEMPLATE: Template = ("scan.html", include_str!("templates/scan.html"));

/// A line of the table.
#[derive(Serialize)]
struct Row<'a> {
    class: &'static str,
    severity: String,
    fate: String,
    layer: String,
    finding: &'a Finding,
}

/// The page as text. It needs nothing else, and a browser applies no other style than its own.
pub fn scan_page(report: &ScanReport<'_>) -> Result<String> {
    let mut context = Context::new();
    context.insert("image", report.image);
    context.insert("verdict", report.verdict());
    let policy = &report.judged.policy;
    context.insert("file", &report.judged.file);
    context.insert("sha256", &report.judged.sha256);
    context.insert("without", &policy.without);
    context.insert("ended", &(policy.end_of_life == EndOfLife::Allow));
    context.insert("max_age_days", &report.max_age_days);
    context.insert("severities", &policy.severities.iter().map(|severity| severity.word()).collect::<Vec<_>>());
    context.insert("only_fixable", &policy.only_fixable);
    context.insert("why", &report.seen.err());
    if let Ok(scan) = report.seen {
        let class = |finding: &Finding| if finding.refused() { "failed" } else { "passed" };
        let row =
            |finding| Row { class: class(finding), severity: severity(finding), fate: fate(finding), layer: layer(finding, scan), finding };
        context.insert("rows", &scan.findings.iter().map(row).collect::<Vec<_>>());
        context.insert("counts", &counts(scan));
        context.insert("seen", &head(scan)[1]);
        context.insert("at", &scan.at.replacen('T', " ", 1).replacen('Z', " UTC", 1));
        context.insert("notes", &tail(scan, report.verdict())[1..]);
        context.insert("feeds", &scan.feeds);
    }
    document::render(&[TEMPLATE], TEMPLATE.0, env!("CARGO_PKG_VERSION"), context)
}
