//! The SARIF document of a scan.

use serde_json::{Value, json};

use super::ScanReport;
use super::words::{fate, layer, severity};
use crate::scan::{Fate, Finding, Scan, Severity};

/// Where the scanner behind it is described.
const INFORMATION: &str = "https://quay.github.io/clair/";

/// SARIF 2.1.0: one rule per vulnerability, one result per package that has it.
pub fn document(report: &ScanReport<'_>) -> String {
    let mut rules: Vec<&Finding> = Vec::new();
    let mut results = Vec::new();
    let artifact = report.image.split('@').next().and_then(|name| name.split_once('/')).map_or(report.image, |(_, name)| name);
    for (scan, finding) in report.seen.into_iter().flat_map(|scan| scan.findings.iter().map(move |finding| (scan, finding))) {
        let index = rules.iter().position(|rule| rule.vulnerability == finding.vulnerability).unwrap_or_else(|| {
            rules.push(finding);
            rules.len() - 1
        });
        results.push(result(finding, scan, index, artifact));
    }
    let notification = |why: &str| json!([{"level": "error", "message": {"text": format!("could not look: {why}")}}]);
    let driver = json!({
        "name": "poclab scan",
        "version": env!("CARGO_PKG_VERSION"),
        "informationUri": INFORMATION,
        "rules": rules.into_iter().map(rule).collect::<Vec<_>>(),
    });
    let invocation = json!({
        "executionSuccessful": report.seen.is_ok(),
        "toolExecutionNotifications": report.seen.err().map_or(json!([]), notification),
    });
    let sarif = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "invocations": [invocation], "results": results}],
    });
    format!("{sarif:#}\n")
}

fn rule(finding: &Finding) -> Value {
    let mut rule = json!({
        "id": finding.vulnerability,
        "shortDescription": {"text": if finding.description.is_empty() { &finding.vulnerability } else { &finding.description }},
        "properties": {"tags": ["security"], "security-severity": security_severity(finding)},
    });
    if let Some(link) = &finding.link {
        rule["helpUri"] = link.as_str().into();
    }
    rule
}

/// What code hosts sort by: a CVSS score. Where only a word is known, the lower end of its range.
fn security_severity(finding: &Finding) -> String {
    let score = finding.score.unwrap_or(match finding.severity {
        Severity::Critical => 9.0,
        Severity::High => 7.0,
        Severity::Medium => 4.0,
        Severity::Low => 0.1,
        Severity::Negligible | Severity::Unknown => 0.0,
    });
    format!("{score:.1}")
}

fn result(finding: &Finding, scan: &Scan, rule: usize, artifact: &str) -> Value {
    let Finding { vulnerability, package, version, .. } = finding;
    let fixed = finding.fixed_in.as_ref().map_or("there is no fix".to_owned(), |fixed| format!("fixed in {fixed}"));
    let level = match finding.fate {
        Fate::Tolerated => "note",
        Fate::Unfixed => "warning",
        Fate::Refused | Fate::Expired { .. } | Fate::Accepted { .. } => "error",
    };
    // A result without the field is one of which nobody knows whether it is suppressed; when one of them has it, all must (3.27.23).
    let suppressions = match &finding.fate {
        Fate::Accepted { reason, until } => {
            json!([{"kind": "external", "status": "accepted", "justification": format!("{reason} (until {until})")}])
        }
        _ => json!([]),
    };
    json!({
        "ruleId": vulnerability,
        "ruleIndex": rule,
        "level": level,
        "message": {"text": format!("{package} {version}: {vulnerability} ({}), {fixed}; policy: {}", severity(finding), fate(finding))},
        "locations": [{
            "physicalLocation": {"artifactLocation": {"uri": artifact}},
            "logicalLocations": [{"fullyQualifiedName": format!("{package}@{version}"), "kind": "package"}],
        }],
        "partialFingerprints": {"vulnerability/v2": format!("{artifact}:{package}@{version}:{vulnerability}")},
        "suppressions": suppressions,
        "properties": {"layer": layer(finding, scan)},
    })
}
