//! What `poclab scan` has seen: a table for people, JSON for programs, SARIF for code hosts, a page to keep (`html/scan.rs`).

use serde_json::{Value, json};

use super::html::scan_page;
use super::{Format, print_lines, print_table, print_text};
use crate::scan::{Fate, Feeds, Finding, Policy, Scan, Severity};

/// A scan and what it was judged by.
pub struct ScanReport<'a> {
    /// The image, as it was asked for.
    pub image: &'a str,
    /// The policy's file.
    pub file: &'a str,
    /// The policy.
    pub policy: &'a Policy,
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

    /// The JSON document: always with `format`, `image`, `verdict` and the policy; with `why` when nothing was seen, else with
    /// everything that was.
    pub fn json(&self) -> String {
        let mut document = json!({"format": "poclab scan 1", "image": self.image, "verdict": self.verdict()});
        match self.seen {
            Err(why) => document["why"] = why.into(),
            Ok(scan) => {
                document["counts"] = Value::Object(counts(scan).into_iter().map(|(word, count)| (word.to_owned(), count.into())).collect());
                // A struct of texts and numbers always becomes an object.
                if let Ok(Value::Object(fields)) = serde_json::to_value(scan) {
                    fields.into_iter().for_each(|(key, value)| document[key] = value);
                }
            }
        }
        document["policy"] = json!({"file": self.file, "severities": self.policy.severities, "only_fixable": self.policy.only_fixable});
        format!("{document:#}\n")
    }

    /// SARIF 2.1.0: one rule per vulnerability, one result per package that has it. What is accepted is a suppressed result.
    pub fn sarif(&self) -> String {
        let findings = self.seen.map(|scan| scan.findings.as_slice()).unwrap_or_default();
        let mut rules: Vec<&Finding> = Vec::new();
        let mut results = Vec::new();
        let artifact = self.image.split('@').next().and_then(|name| name.split_once('/')).map_or(self.image, |(_, name)| name);
        for finding in findings {
            let index = rules.iter().position(|rule| rule.vulnerability == finding.vulnerability).unwrap_or_else(|| {
                rules.push(finding);
                rules.len() - 1
            });
            results.push(result(finding, index, artifact));
        }
        let notification = |why: &str| json!([{"level": "error", "message": {"text": format!("could not look: {why}")}}]);
        let sarif = json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": {"driver": {"name": "poclab scan", "version": env!("CARGO_PKG_VERSION"), "rules": rules.into_iter().map(rule).collect::<Vec<_>>()}},
                "invocations": [{"executionSuccessful": self.seen.is_ok(), "toolExecutionNotifications": self.seen.err().map_or(json!([]), notification)}],
                "results": results,
            }],
        });
        format!("{sarif:#}\n")
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
        let rows: Vec<Vec<String>> = scan.findings.iter().filter(shown).map(row).collect();
        if !rows.is_empty() {
            print_table(&["severity", "vulnerability", "package", "version", "fixed in", "policy"], &rows);
        }
        print_lines(&tail(scan, self.verdict()));
    }
}

/// Prints what Clair has loaded.
pub fn print_feeds(feeds: &Feeds, format: Format) {
    if format == Format::Json {
        // Texts and numbers always become JSON.
        return print_text(&format!("{}\n", serde_json::to_string(feeds).unwrap_or_default()));
    }
    let row = |feed: &crate::scan::Feed| {
        vec![feed.updater.clone(), feed.loaded.clone(), feed.recorded.clone().unwrap_or_default(), format!("{} d", feed.age)]
    };
    print_table(&["updater", "loaded", "made by its source", "age"], &feeds.0.iter().map(row).collect::<Vec<_>>());
}

/// What was looked at, and by which knowledge.
pub(super) fn head(scan: &Scan) -> Vec<String> {
    let made_of = if scan.distributions.is_empty() { "no known distribution".to_owned() } else { scan.distributions.join(", ") };
    let data: Vec<String> =
        scan.feeds.iter().map(|feed| format!("{} of {}", feed.updater, feed.recorded.as_ref().unwrap_or(&feed.loaded))).collect();
    vec![scan.image.clone(), format!("{made_of}, {} packages; compared with {}", scan.packages, data.join(", "))]
}

/// How bad, and by whose word.
pub(super) fn severity(finding: &Finding) -> String {
    match finding.score {
        Some(score) => format!("{} (CVSS {score})", finding.severity.word()),
        None => finding.severity.word().to_owned(),
    }
}

/// What the policy says to a finding, in words.
pub(super) fn fate(finding: &Finding) -> String {
    match &finding.fate {
        Fate::Refused => "REFUSED".to_owned(),
        Fate::Expired { until, .. } => format!("REFUSED: was accepted until {until}"),
        Fate::Accepted { reason, until } => format!("accepted until {until}: {reason}"),
        Fate::Unfixed => "no fix yet".to_owned(),
        Fate::Tolerated => "tolerated".to_owned(),
    }
}

fn row(finding: &Finding) -> Vec<String> {
    let known_as = match finding.aliases.as_slice() {
        [] => finding.vulnerability.clone(),
        aliases => format!("{} ({})", finding.vulnerability, aliases.join(", ")),
    };
    let fixed = finding.fixed_in.clone().unwrap_or_else(|| "-".to_owned());
    vec![severity(finding), known_as, finding.package.clone(), finding.version.clone(), fixed, fate(finding)]
}

/// Findings by what the policy says to them.
pub(super) fn counts(scan: &Scan) -> [(&'static str, usize); 4] {
    let count = |test: fn(&Finding) -> bool| scan.findings.iter().filter(|finding| test(finding)).count();
    [
        ("refused", count(Finding::refused)),
        ("accepted", count(|finding| matches!(finding.fate, Fate::Accepted { .. }))),
        ("unfixed", count(|finding| finding.fate == Fate::Unfixed)),
        ("tolerated", count(|finding| finding.fate == Fate::Tolerated)),
    ]
}

/// The sum, and what somebody should know besides.
pub(super) fn tail(scan: &Scan, verdict: &str) -> Vec<String> {
    let [(_, refused), (_, accepted), (_, unfixed), (_, tolerated)] = counts(scan);
    let mut lines = vec![format!("{verdict}: {refused} refused, {accepted} accepted, {unfixed} without a fix, {tolerated} tolerated")];
    let unrated = scan.findings.iter().filter(|finding| finding.severity == Severity::Unknown).count();
    if unrated > 0 {
        lines.push(format!("{unrated} of them were rated by nobody: their severity is unknown"));
    }
    for lost in &scan.uncompared {
        lines.push(format!("{} packages of `{}` were compared with nothing", lost.packages, lost.what));
    }
    for accepted in &scan.unused {
        lines.push(format!("{} is accepted and was not found: take it out of the policy", accepted.vulnerability));
    }
    lines
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

fn result(finding: &Finding, rule: usize, artifact: &str) -> Value {
    let Finding { vulnerability, package, version, .. } = finding;
    let fixed = finding.fixed_in.as_ref().map_or("there is no fix".to_owned(), |fixed| format!("fixed in {fixed}"));
    let level = match finding.fate {
        Fate::Tolerated => "note",
        Fate::Unfixed => "warning",
        Fate::Refused | Fate::Expired { .. } | Fate::Accepted { .. } => "error",
    };
    let mut result = json!({
        "ruleId": vulnerability,
        "ruleIndex": rule,
        "level": level,
        "message": {"text": format!("{package} {version}: {vulnerability} ({}), {fixed}; policy: {}", severity(finding), fate(finding))},
        "locations": [{
            "physicalLocation": {"artifactLocation": {"uri": artifact}},
            "logicalLocations": [{"fullyQualifiedName": format!("{package}@{version}"), "kind": "package"}],
        }],
        "partialFingerprints": {"vulnerability/v1": format!("{artifact}:{package}:{vulnerability}")},
    });
    if let Fate::Accepted { reason, until } = &finding.fate {
        result["suppressions"] = json!([{"kind": "external", "status": "accepted", "justification": format!("{reason} (until {until})")}]);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{Accepted, Feed, Uncompared};

    fn finding(name: &str, severity: Severity, fate: Fate) -> Finding {
        Finding {
            vulnerability: name.into(),
            aliases: vec![],
            package: "openssl".into(),
            version: "3.0.9-1".into(),
            severity,
            score: None,
            fixed_in: Some("3.0.11-1".into()),
            description: "A <bad> thing.".into(),
            link: Some("https://security-tracker.debian.org/tracker/x".into()),
            fate,
        }
    }

    fn scan(findings: Vec<Finding>) -> Scan {
        Scan {
            image: "r:5000/a/b@sha256:00".into(),
            at: "2026-11-21T12:00:00Z".into(),
            feeds: vec![Feed { updater: "debian/updater".into(), loaded: "2026-11-21T08:00:00Z".into(), recorded: None, age: 0 }],
            distributions: vec!["Debian GNU/Linux 12 (bookworm)".into()],
            packages: 2,
            uncompared: vec![Uncompared { what: "unknown".into(), packages: 1 }],
            findings,
            unused: vec![Accepted { vulnerability: "CVE-9".into(), package: None, reason: "x".into(), until: "2027-01-01".into() }],
        }
    }

    fn all() -> Scan {
        let accepted = Fate::Accepted { reason: "not reachable".into(), until: "2027-01-01".into() };
        scan(vec![
            finding("CVE-1", Severity::Critical, Fate::Refused),
            Finding { score: Some(7.5), ..finding("CVE-2", Severity::High, accepted) },
            Finding { fixed_in: None, ..finding("CVE-3", Severity::High, Fate::Unfixed) },
            finding("CVE-4", Severity::Unknown, Fate::Tolerated),
        ])
    }

    fn report<'a>(policy: &'a Policy, seen: Result<&'a Scan, &'a str>) -> ScanReport<'a> {
        ScanReport { image: "r:5000/a/b@sha256:00", file: "security/scan-policy.yml", policy, seen }
    }

    #[test]
    fn the_table() {
        let scan = all();
        let rows: Vec<String> = scan.findings.iter().map(|finding| row(finding).join(" | ")).collect();
        assert_eq!(
            rows,
            [
                "critical | CVE-1 | openssl | 3.0.9-1 | 3.0.11-1 | REFUSED",
                "high (CVSS 7.5) | CVE-2 | openssl | 3.0.9-1 | 3.0.11-1 | accepted until 2027-01-01: not reachable",
                "high | CVE-3 | openssl | 3.0.9-1 | - | no fix yet",
                "unknown | CVE-4 | openssl | 3.0.9-1 | 3.0.11-1 | tolerated",
            ]
        );
        assert_eq!(head(&scan)[1], "Debian GNU/Linux 12 (bookworm), 2 packages; compared with debian/updater of 2026-11-21T08:00:00Z");
        assert_eq!(
            tail(&scan, "refused"),
            [
                "refused: 1 refused, 1 accepted, 1 without a fix, 1 tolerated",
                "1 of them were rated by nobody: their severity is unknown",
                "1 packages of `unknown` were compared with nothing",
                "CVE-9 is accepted and was not found: take it out of the policy",
            ]
        );
    }

    #[test]
    fn the_document_says_what_was_seen_or_why_not() {
        let policy = Policy::parse("").unwrap();
        let scan = all();
        let document: Value = serde_json::from_str(&report(&policy, Ok(&scan)).json()).unwrap();
        assert_eq!((&document["verdict"], &document["counts"]["refused"]), (&json!("refused"), &json!(1)));
        assert_eq!(document["findings"][1]["policy"], "accepted");
        assert_eq!(
            document["policy"],
            json!({"file": "security/scan-policy.yml", "severities": ["critical", "high"], "only_fixable": true})
        );
        let document: Value = serde_json::from_str(&report(&policy, Err("Clair is down")).json()).unwrap();
        assert_eq!((&document["verdict"], &document["why"]), (&json!("could not look"), &json!("Clair is down")));
        assert_eq!(document.get("findings"), None);
    }

    #[test]
    fn sarif_has_a_rule_and_a_result_for_each() {
        let policy = Policy::parse("").unwrap();
        let scan = all();
        let sarif: Value = serde_json::from_str(&report(&policy, Ok(&scan)).sarif()).unwrap();
        let run = &sarif["runs"][0];
        assert_eq!((run["tool"]["driver"]["rules"].as_array().unwrap().len(), run["results"].as_array().unwrap().len()), (4, 4));
        assert_eq!(run["invocations"][0]["executionSuccessful"], true);
        let results: Vec<(&str, bool)> =
            run["results"].as_array().unwrap().iter().map(|r| (r["level"].as_str().unwrap(), r.get("suppressions").is_some())).collect();
        assert_eq!(results, [("error", false), ("error", true), ("warning", false), ("note", false)]);
        assert_eq!(run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "a/b");
        assert_eq!(run["tool"]["driver"]["rules"][1]["properties"]["security-severity"], "7.5");
        let blind: Value = serde_json::from_str(&report(&policy, Err("Clair is down")).sarif()).unwrap();
        assert_eq!(blind["runs"][0]["invocations"][0]["executionSuccessful"], false);
        assert!(
            blind["runs"][0]["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]
                .as_str()
                .unwrap()
                .contains("Clair is down")
        );
    }

    #[test]
    fn the_page_stands_alone_and_escapes_what_others_wrote() {
        let policy = Policy::parse("").unwrap();
        let scan = all();
        let page = report(&policy, Ok(&scan)).html().unwrap();
        assert!(page.contains("default-src &#x27;none&#x27;") || page.contains("default-src 'none'"), "{page}");
        assert!(page.contains("A &lt;bad&gt; thing.") && !page.contains("<bad>"), "{page}");
        assert!(page.contains("REFUSED") && page.contains("not reachable") && !page.contains("<script"), "{page}");
        assert!(!page.contains("src=\"http"), "nothing is loaded");
        let blind = report(&policy, Err("Clair is down")).html().unwrap();
        assert!(blind.contains("Could not look") && blind.contains("Clair is down"), "{blind}");
    }
}
