use super::*;
use crate::scan::{Accepted, Feed, Policy, Severity, Uncompared};

fn finding(name: &str, severity: Severity, fate: Fate) -> Finding {
    Finding {
        vulnerability: name.into(),
        aliases: vec![],
        package: "openssl".into(),
        version: "3.0.9-1".into(),
        severity,
        score: None,
        fixed_in: Some("3.0.11-1".into()),
        layer: Some("sha256:02".into()),
        description: "A <bad> thing.".into(),
        link: Some("https://security-tracker.debian.org/tracker/x".into()),
        fate,
    }
}

fn feed(updater: &str, kind: Kind) -> Feed {
    Feed { updater: updater.into(), kind, loaded: "2026-11-21T08:00:00Z".into(), recorded: None, age: 0 }
}

fn accepted(name: &str, until: &str) -> Accepted {
    Accepted { vulnerability: name.into(), package: None, reason: "x".into(), until: until.into() }
}

fn scan(findings: Vec<Finding>) -> Scan {
    Scan {
        image: "r:5000/a/b@sha256:00".into(),
        at: "2026-11-21T12:00:00Z".into(),
        feeds: vec![feed("debian/updater", Kind::Vulnerability), feed("clair.cvss", Kind::Enrichment)],
        distributions: vec!["Debian GNU/Linux 12 (bookworm)".into()],
        layers: vec!["sha256:01".into(), "sha256:02".into()],
        packages: 2,
        uncompared: vec![Uncompared { what: "unknown".into(), packages: 1 }],
        ended: vec!["Debian 10 (buster) ended on 2024-06-30".into()],
        findings,
        ending: vec![accepted("CVE-2", "2026-12-05")],
        unused: vec![accepted("CVE-9", "2027-01-01")],
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

fn judged() -> Judged {
    let text = "{without: [unknown], end_of_life: allow, accepted: [{vulnerability: CVE-2, reason: not reachable, until: 2027-01-01}]}";
    let file = "security/scan-policy.yml";
    Judged { file: file.into(), sha256: "5e".repeat(32), policy: Policy::parse(file, text).unwrap() }
}

fn report<'a>(judged: &'a Judged, seen: Result<&'a Scan, &'a str>) -> ScanReport<'a> {
    ScanReport { image: "r:5000/a/b@sha256:00", judged, max_age_days: 7, updaters: &[], seen }
}

#[test]
fn the_table() {
    let scan = all();
    let rows: Vec<String> = scan.findings.iter().map(|finding| words::row(finding, &scan).join(" | ")).collect();
    assert_eq!(
        rows,
        [
            "critical | CVE-1 | openssl | 3.0.9-1 | 3.0.11-1 | 2 of 2 | REFUSED",
            "high (CVSS 7.5) | CVE-2 | openssl | 3.0.9-1 | 3.0.11-1 | 2 of 2 | accepted until 2027-01-01: not reachable",
            "high | CVE-3 | openssl | 3.0.9-1 | - | 2 of 2 | no fix yet",
            "unknown | CVE-4 | openssl | 3.0.9-1 | 3.0.11-1 | 2 of 2 | tolerated",
        ]
    );
    assert_eq!(
        head(&scan)[1],
        "Debian GNU/Linux 12 (bookworm), 2 packages; compared with debian/updater of 2026-11-21T08:00:00Z; rated by clair.cvss of 2026-11-21T08:00:00Z"
    );
    assert_eq!(
        tail(&scan, "refused"),
        [
            "refused: 1 refused, 1 accepted, 1 without a fix, 1 tolerated",
            "critical 1, high 2, medium 0, low 0, negligible 0, unknown 1",
            "1 of them were rated by nobody: their severity is unknown",
            "1 packages of `unknown` were compared with nothing",
            "Debian 10 (buster) ended on 2024-06-30: the policy allows it, and Clair may know nothing new about it",
            "CVE-2 is accepted until 2026-12-05 only: after that day the image is refused again",
            "CVE-9 is accepted and was not found: take it out of the policy",
        ]
    );
}

#[test]
fn the_document_says_what_was_seen_or_why_not() {
    let judged = judged();
    let scan = all();
    let document: Value = serde_json::from_str(&report(&judged, Ok(&scan)).json()).unwrap();
    assert_eq!((&document["verdict"], &document["counts"]["refused"]), (&json!("refused"), &json!(1)));
    assert_eq!(document["findings"][1]["policy"], "accepted");
    assert_eq!(document["severities"], json!({"critical": 1, "high": 2, "medium": 0, "low": 0, "negligible": 0, "unknown": 1}));
    // By what.
    let accepted = json!([{"vulnerability": "CVE-2", "reason": "not reachable", "until": "2027-01-01"}]);
    let policy = json!({"file": "security/scan-policy.yml", "sha256": "5e".repeat(32), "severities": ["critical", "high"], "only_fixable": true,
        "end_of_life": "allow", "without": ["unknown"], "accepted": accepted});
    let by = |document: &Value| (document["policy"].clone(), document["max_age_days"].clone(), document["poclab"].clone());
    let want = (policy, json!(7), json!(env!("CARGO_PKG_VERSION")));
    assert_eq!(by(&document), want);
    let document: Value = serde_json::from_str(&report(&judged, Err("Clair is down")).json()).unwrap();
    assert_eq!((&document["verdict"], &document["why"]), (&json!("could not look"), &json!("Clair is down")));
    assert_eq!((document.get("findings"), by(&document)), (None, want));
}

#[test]
fn sarif_has_a_rule_and_a_result_for_each() {
    let judged = judged();
    let scan = all();
    let sarif: Value = serde_json::from_str(&report(&judged, Ok(&scan)).sarif()).unwrap();
    let run = &sarif["runs"][0];
    assert_eq!((run["tool"]["driver"]["rules"].as_array().unwrap().len(), run["results"].as_array().unwrap().len()), (4, 4));
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
    let results: Vec<(&str, bool)> = run["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["level"].as_str().unwrap(), !r["suppressions"].as_array().unwrap().is_empty()))
        .collect();
    assert_eq!(results, [("error", false), ("error", true), ("warning", false), ("note", false)]);
    assert_eq!(run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "a/b");
    assert_eq!(run["results"][0]["partialFingerprints"]["vulnerability/v2"], "a/b:openssl@3.0.9-1:CVE-1");
    assert_eq!(run["tool"]["driver"]["rules"][1]["properties"]["security-severity"], "7.5");
    let blind: Value = serde_json::from_str(&report(&judged, Err("Clair is down")).sarif()).unwrap();
    assert_eq!(blind["runs"][0]["invocations"][0]["executionSuccessful"], false);
    assert!(
        blind["runs"][0]["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"].as_str().unwrap().contains("Clair is down")
    );
}

/// The three things that a scan comes to: findings, of which some are accepted; nothing bad; could not look.
#[test]
fn sarif_is_what_the_standard_says() {
    let schema: Value = serde_json::from_str(include_str!("sarif.schema.json")).unwrap();
    let validator = jsonschema::draft7::new(&schema).unwrap();
    let judged = judged();
    let (bad, good) = (all(), scan(vec![]));
    for seen in [Ok(&bad), Ok(&good), Err("Clair is down")] {
        let sarif: Value = serde_json::from_str(&report(&judged, seen).sarif()).unwrap();
        let wrong: Vec<String> = validator.iter_errors(&sarif).map(|why| format!("{why} at {}", why.instance_path())).collect();
        assert_eq!(wrong, Vec::<String>::new(), "{sarif:#}");
    }
    let mut other: Value = serde_json::from_str(&report(&judged, Ok(&bad)).sarif()).unwrap();
    other["runs"][0]["results"][0]["suppressions"] = json!([{"status": "accepted"}]);
    assert!(!validator.is_valid(&other), "a missing field is noticed");
}

#[test]
fn the_page_stands_alone_and_escapes_what_others_wrote() {
    let judged = judged();
    let scan = all();
    let page = report(&judged, Ok(&scan)).html().unwrap();
    assert!(page.contains("default-src &#x27;none&#x27;") || page.contains("default-src 'none'"), "{page}");
    assert!(page.contains("A &lt;bad&gt; thing.") && !page.contains("<bad>"), "{page}");
    assert!(page.contains("REFUSED") && page.contains("not reachable") && !page.contains("<script"), "{page}");
    assert!(page.contains("critical 1, high 2, medium 0") && page.contains("layer 2 of 2") && page.contains(&"5e".repeat(32)), "{page}");
    assert!(!page.contains("src=\"http"), "nothing is loaded");
    let blind = report(&judged, Err("Clair is down")).html().unwrap();
    assert!(blind.contains("Could not look") && blind.contains("Clair is down"), "{blind}");
}
