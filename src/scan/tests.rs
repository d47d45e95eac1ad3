//! Against a Clair and a registry made of answers, written after Clair 4.9.0's source and compared with what it really answered
//! (`tests/golden/clair`); `tests/clair.rs` asks the real one.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

use super::*;
use crate::base::sha256;

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

fn layer() -> String {
    format!("sha256:{}", "ab".repeat(32))
}

fn manifest() -> String {
    format!(r#"{{"schemaVersion":2,"layers":[{{"digest":"{}"}}]}}"#, layer())
}

fn digest() -> String {
    format!("sha256:{}", sha256(manifest().as_bytes()))
}

/// Answers by the beginning of the path.
struct Fake {
    answers: BTreeMap<&'static str, (u16, String)>,
    asked: RefCell<Vec<Value>>,
}

impl Fake {
    fn good() -> Self {
        let answers = BTreeMap::from([
            (OPERATIONS, (200, operations().to_string())),
            (ENRICHMENTS, (200, enrichments("2026-11-21T08:00:00Z").to_string())),
            (
                "/indexer/api/v1/index_report",
                (201, json!({"manifest_hash": digest(), "state": "IndexFinished", "success": true, "err": ""}).to_string()),
            ),
            ("/matcher/api/v1/vulnerability_report/", (200, report().to_string())),
        ]);
        Self { answers, asked: RefCell::default() }
    }

    fn with(path: &'static str, status: u16, body: impl ToString) -> Self {
        let mut fake = Self::good();
        let key = *fake.answers.keys().find(|known| known.starts_with(path)).unwrap();
        fake.answers.insert(key, (status, body.to_string()));
        fake
    }
}

impl Ask for Fake {
    fn ask(&self, path: &str, body: Option<&Value>) -> Result<(u16, Vec<u8>), String> {
        self.asked.borrow_mut().extend(body.cloned());
        // The longest that fits: the question about enrichers begins like the one about all others.
        let (_, (status, text)) = self.answers.iter().rev().find(|(known, _)| path.starts_with(*known)).ok_or("not scripted")?;
        Ok((*status, text.clone().into_bytes()))
    }
}

impl Manifests for Fake {
    fn manifest(&self, image: &Image) -> Result<Vec<u8>, String> {
        assert_eq!(image.registry, "r:5443", "Clair's user may only pull");
        Ok(manifest().into_bytes())
    }

    fn layer(&self, image: &Image, digest: &str) -> (String, String) {
        (format!("https://{}/v2/{}/blobs/{digest}", image.registry, image.name), "Basic x".into())
    }
}

fn operation(updater: &str, date: &str, fingerprint: &str) -> Value {
    json!([{"ref": "6d4c1b4e-0000-4000-8000-000000000001", "updater": updater, "fingerprint": fingerprint, "date": date, "kind": ""}])
}

fn enrichments(date: &str) -> Value {
    json!({"clair.cvss": operation("clair.cvss", date, "{}")})
}

fn operations() -> Value {
    json!({
        "debian/updater": operation("debian/updater", "2026-11-21T08:00:00.123456Z", "Sat, 21 Nov 2026 07:00:00 GMT"),
        "osv/pypi": operation("osv/pypi", "2026-11-20T08:00:00+01:00", "\"etag\""),
    })
}

fn vulnerability(name: &str, severity: &str, fixed: &str) -> Value {
    json!({"id": "1", "updater": "u", "name": name, "description": "A bad thing. More.", "issued": "2026-01-01T00:00:00Z",
        "links": format!("https://security-tracker.debian.org/tracker/{name} https://osv.dev/vulnerability/CVE-2020-14343"), "severity": "x",
        "normalized_severity": severity, "package": {"id": "", "name": "x", "version": "", "cpe": ""}, "fixed_in_version": fixed})
}

/// An image of Debian with openssl and one package of PyPI, each with one vulnerability.
fn report() -> Value {
    let package = |id: &str, name: &str, version: &str| json!({"id": id, "name": name, "version": version, "kind": "binary", "cpe": ""});
    json!({
        "manifest_hash": digest(),
        "packages": {"1": package("1", "openssl", "3.0.9-1"), "2": package("2", "pyyaml", "5.3")},
        "distributions": {"7": {"id": "7", "did": "debian", "name": "Debian GNU/Linux", "version": "12 (bookworm)", "version_code_name": "bookworm", "version_id": "12"}},
        "repository": {"3": {"id": "3", "name": "pypi", "uri": "https://packages.example/simple", "cpe": ""}},
        "environments": {
            "1": [{"package_db": "var/lib/dpkg/status", "introduced_in": layer(), "distribution_id": "7", "repository_ids": null}],
            "2": [{"package_db": "python:app", "introduced_in": layer(), "distribution_id": "", "repository_ids": ["3"]}],
        },
        "vulnerabilities": {"11": vulnerability("CVE-2023-5363", "Unknown", "3.0.11-1~deb12u2"), "12": vulnerability("GHSA-8q59-q68h-6hv4", "Critical", "fixed=5.4")},
        "package_vulnerabilities": {"1": ["11"], "2": ["12"]},
        "enrichments": {"message/vnd.clair.map.vulnerability; enricher=clair.cvss schema=x": [{"11": [{"version": "3.1", "baseScore": 7.5, "baseSeverity": "HIGH"}]}]},
    })
}

fn config() -> Config {
    serde_yaml::from_str(
        "{clair: 'http://c', key: /k, registry: {push_to: 'r:5000', pull_from: 'r:5443', ca: /c, user: pull, password: /p}, updaters: [debian/updater, osv/*]}",
    )
    .unwrap()
}

fn image() -> Image {
    format!("r:5000/student_list-candidate/simple_api@{}", digest()).parse().unwrap()
}

fn look(fake: &Fake, policy: &str) -> Result<Scan, String> {
    scan(&config(), &Policy::parse("p.yml", policy).unwrap(), &image(), fake, fake, NOW)
}

fn fates(scan: &Scan) -> Vec<(&str, Severity, &Fate)> {
    scan.findings.iter().map(|f| (f.package.as_str(), f.severity, &f.fate)).collect()
}

#[test]
fn what_is_bad_and_fixable_is_refused_and_the_rest_is_told() {
    let fake = Fake::good();
    let scan = look(&fake, "").unwrap();
    assert!(!scan.passed());
    // Debian says nothing of openssl's severity; the score does.
    assert_eq!(fates(&scan), [("pyyaml", Severity::Critical, &Fate::Refused), ("openssl", Severity::High, &Fate::Refused)]);
    assert_eq!((scan.findings[0].fixed_in.as_deref(), scan.findings[0].score), (Some("5.4"), None));
    assert_eq!((scan.findings[1].fixed_in.as_deref(), scan.findings[1].score), (Some("3.0.11-1~deb12u2"), Some(7.5)));
    assert_eq!(scan.findings[0].aliases, ["CVE-2020-14343"]);
    assert_eq!(scan.findings[0].description, "A bad thing.");
    assert_eq!(
        (scan.packages, scan.distributions.as_slice(), scan.uncompared.len()),
        (2, &["Debian GNU/Linux 12 (bookworm)".to_owned()][..], 0)
    );
    // Clair was given the layers where the user that only pulls may get them.
    let want = json!({"hash": digest(), "layers": [{"hash": layer(),
        "uri": format!("https://r:5443/v2/student_list-candidate/simple_api/blobs/{}", layer()), "headers": {"Authorization": ["Basic x"]}}]});
    assert_eq!(fake.asked.borrow().as_slice(), [want]);
}

/// Recorded from Clair 4.9.0 with the rehearsal's feed and the check's bad image (`tests/golden/clair`).
#[test]
fn the_real_answers_are_read() {
    let golden = |name: &str| crate::hostile::golden(&format!("clair/{name}")).into_bytes();
    let feeds = Feeds::read(&golden("operations.json"), NOW).unwrap();
    let shown: Vec<_> = feeds.0.iter().map(|feed| (feed.updater.as_str(), feed.recorded.as_deref(), feed.age)).collect();
    assert_eq!(shown, [("debian/updater", Some("2026-11-21T00:00:00Z"), 0), ("osv/pypi", None, 0)]);
    let body = golden("vulnerability_report.json");
    let digest = "sha256:a3dab0942a725f15a0392898c7b53a40eaa01f98db0aacaadf3e8a55ca76afa3";
    let report = vulnerabilities::Report::read(&body, digest).unwrap();
    let policy = Policy::parse("p.yml", "").unwrap();
    assert_eq!(coverage::gaps(&report, &feeds, &policy, 7, NOW.date()).unwrap(), coverage::Gaps::default());
    let judged = finding::judge(&report, &policy, NOW.date());
    let shown: Vec<_> = judged
        .findings
        .iter()
        .map(|f| (f.vulnerability.as_str(), f.package.as_str(), f.severity, f.score, f.fixed_in.as_deref()))
        .collect();
    assert_eq!(
        shown,
        [
            ("GHSA-8q59-q68h-6hv4", "pyyaml", Severity::Critical, None, Some("5.4")),
            ("CVE-2023-5363", "openssl", Severity::High, Some(7.5), Some("3.0.11-1~deb12u2")),
        ]
    );
}

#[test]
fn the_policy_decides() {
    let critical = look(&Fake::good(), "severities: [critical]").unwrap();
    assert_eq!(fates(&critical), [("pyyaml", Severity::Critical, &Fate::Refused), ("openssl", Severity::High, &Fate::Tolerated)]);
    let unfixed = report().to_string().replace("fixed=5.4", "lastAffected=5.3").replace("3.0.11-1~deb12u2", "");
    let unfixed = || Fake::with("/matcher/api/v1/vulnerability", 200, &unfixed);
    let scan = look(&unfixed(), "").unwrap();
    assert!(scan.passed());
    assert_eq!(fates(&scan)[0], ("pyyaml", Severity::Critical, &Fate::Unfixed));
    assert!(!look(&unfixed(), "only_fixable: false").unwrap().passed());
}

#[test]
fn what_is_accepted_is_accepted_until_its_last_day() {
    let accept = |more: &str, until: &str| {
        format!("severities: [critical]\naccepted: [{{vulnerability: CVE-2020-14343, reason: not reachable, until: {until}{more}}}]")
    };
    let today = look(&Fake::good(), &accept("", "2026-11-21")).unwrap();
    assert!(today.passed());
    assert_eq!(fates(&today)[0].2, &Fate::Accepted { reason: "not reachable".into(), until: "2026-11-21".into() });
    let over = look(&Fake::good(), &accept("", "2026-11-20")).unwrap();
    assert!(!over.passed());
    assert_eq!(fates(&over)[0].2, &Fate::Expired { reason: "not reachable".into(), until: "2026-11-20".into() });
    assert!(look(&Fake::good(), &accept(", package: pyyaml", "2027-01-01")).unwrap().passed());
    let other = look(&Fake::good(), &accept(", package: django", "2027-01-01")).unwrap();
    assert!(!other.passed());
    assert_eq!((other.unused.len(), today.unused.len()), (1, 0));
}

/// Each of these looks like a clean image to whoever only counts vulnerabilities.
#[test]
fn what_says_nothing_is_not_clean() {
    let with = |key: &str, value: Value| {
        let mut report = report();
        report[key] = value;
        report.to_string()
    };
    let stale = operations().to_string().replace("2026-11-2", "2026-10-2");
    let imported_late = operations().to_string().replace("21 Nov 2026", "21 Oct 2026").replace("Sat", "Wed");
    let alpine = report().to_string().replace("\"did\":\"debian\"", "\"did\":\"alpine\"");
    let npm = report().to_string().replace("\"name\":\"pypi\"", "\"name\":\"npm\"");
    for (path, status, body, why) in [
        ("/matcher/api/v1/vuln", 202, String::new(), "database of vulnerabilities is empty (it answers 202)"),
        ("/matcher/api/v1/vuln", 200, "null".into(), "answers `null`"),
        ("/matcher/api/v1/vuln", 200, String::new(), "cannot be read"),
        ("/matcher/api/v1/vuln", 200, "{}".into(), "cannot be read: missing field"),
        ("/matcher/api/v1/vuln", 200, with("vulnerabilities", Value::Null), "cannot be read"),
        ("/matcher/api/v1/vuln", 200, with("packages", json!({})), "found no package"),
        ("/matcher/api/v1/vuln", 200, with("vulnerabilities", json!({})), "does not describe"),
        ("/matcher/api/v1/vuln", 200, with("manifest_hash", json!("sha256:00")), "answers about sha256:00"),
        (
            "/matcher/api/v1/vuln",
            200,
            with("environments", json!({})),
            "2 packages of the image belong to no distribution that Clair knows",
        ),
        ("/matcher/api/v1/vuln", 200, alpine, "belong to `alpine`, and Clair has loaded nothing for it (alpine-main-v12-updater)"),
        ("/matcher/api/v1/vuln", 200, npm, "belong to `npm`"),
        ("/matcher/api/v1/vuln", 404, String::new(), "no finished index"),
        (
            "/matcher/api/v1/vuln",
            500,
            "{\"message\":\"oops\"}".into(),
            "answers 500 for the image's vulnerabilities: {\"message\":\"oops\"}",
        ),
        (
            "/indexer",
            201,
            json!({"state": "IndexError", "success": false, "err": "fetcher: request failed"}).to_string(),
            "fetcher: request failed",
        ),
        ("/indexer", 201, json!({"state": "CheckManifest", "success": true, "err": ""}).to_string(), "it is at CheckManifest"),
        ("/indexer", 401, String::new(), "answers 401"),
        ("/indexer", 429, String::new(), "it is busy"),
        ("/matcher/api/v1/internal", 200, "{}".into(), "no updater has loaded anything"),
        ("/matcher/api/v1/internal", 200, "null".into(), "no updater has loaded anything"),
        ("/matcher/api/v1/internal", 200, json!({"osv/pypi": operations()["osv/pypi"]}).to_string(), "nothing of debian/updater yet"),
        ("/matcher/api/v1/internal", 200, stale, "too old to judge by (debian/updater is 31 days old, osv/* is 32 days old"),
        ("/matcher/api/v1/internal", 200, imported_late, "debian/updater is 31 days old"),
        ("/matcher/api/v1/internal", 401, String::new(), "answers 401"),
    ] {
        let told = look(&Fake::with(path, status, &body), "");
        assert!(told.as_ref().is_err_and(|told| told.contains(why)), "{path} {status} {body}: {told:?}");
    }
}

/// What the configuration wants is asked for by both kinds: without the enricher most of Debian's vulnerabilities would have no severity.
#[test]
fn an_enricher_that_is_wanted_must_be_there() {
    let config = || Config { updaters: vec!["debian/updater".into(), "clair.cvss".into()], ..config() };
    let look = |fake: &Fake| scan(&config(), &Policy::parse("p.yml", "").unwrap(), &image(), fake, fake, NOW);
    let seen = look(&Fake::good()).unwrap();
    let enrichers: Vec<_> = seen.feeds.iter().filter(|feed| feed.kind == Kind::Enrichment).map(|feed| feed.updater.as_str()).collect();
    assert_eq!((enrichers, seen.feeds.len()), (vec!["clair.cvss"], 3));
    for (status, body, why) in [
        (200, "{}".to_owned(), "nothing of clair.cvss yet"),
        (200, "null".to_owned(), "nothing of clair.cvss yet"),
        (200, enrichments("2026-10-21T08:00:00Z").to_string(), "clair.cvss is 31 days old"),
        (400, "{\"message\":\"unknown kind\"}".to_owned(), "answers 400 for what it has loaded"),
    ] {
        let mut fake = Fake::good();
        fake.answers.insert(ENRICHMENTS, (status, body));
        let told = look(&fake).unwrap_err();
        assert!(told.contains(why), "{told}");
    }
    // An enricher alone is an empty database.
    let told = look(&Fake::with("/matcher/api/v1/internal", 200, "{}")).unwrap_err();
    assert!(told.contains("no updater has loaded anything"), "{told}");
}

#[test]
fn what_is_accepted_is_accepted_by_its_own_names_only() {
    let accept = |name: &str| format!("severities: [critical]\naccepted: [{{vulnerability: {name}, reason: x, until: 2026-12-05}}]");
    let own = look(&Fake::good(), &accept("cve-2020-14343")).unwrap();
    assert!(own.passed());
    // It ends within two weeks, and somebody is told.
    assert_eq!(own.ending.iter().map(|accepted| accepted.vulnerability.as_str()).collect::<Vec<_>>(), ["cve-2020-14343"]);
    assert!(look(&Fake::good(), &accept("ghsa-8Q59-q68h-6hv4").replace("12-05", "12-06")).unwrap().ending.is_empty());
    // A link to another vulnerability is no name.
    let linked = report().to_string().replace("https://osv.dev/vulnerability/CVE-2020-14343", "https://nvd.example/CVE-2020-14343");
    let other = look(&Fake::with("/matcher/api/v1/vuln", 200, linked), &accept("CVE-2020-14343")).unwrap();
    assert!(!other.passed());
    assert_eq!(other.unused.len(), 1);
}

#[test]
fn who_brought_a_package_is_told() {
    let seen = look(&Fake::good(), "").unwrap();
    assert_eq!((seen.findings[0].layer.as_deref(), seen.layers.as_slice()), (Some(layer().as_str()), &[layer()][..]));
}

#[test]
fn an_image_of_another_registry_is_refused() {
    let other: Image = format!("evil.example:5000/a@{}", digest()).parse().unwrap();
    let told = scan(&config(), &Policy::parse("p.yml", "").unwrap(), &other, &Fake::good(), &Fake::good(), NOW);
    assert!(told.unwrap_err().contains("not in this lab's registry"));
}

#[test]
fn configurations_are_read() {
    assert_eq!((config().issuer.as_str(), config().max_age_days, config().deadline), ("poclab", 7, 600));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scan.yml");
    let read = |text: &str| {
        std::fs::write(&file, text).unwrap();
        Config::read(&file)
    };
    let text = "{clair: 'http://c', key: /k, registry: {push_to: r, pull_from: r, ca: /c, user: u, password: /p}, updaters: []}";
    assert!(read(text).unwrap_err().contains("`updaters` is empty"));
    assert!(read(&text.replace("clair:", "claire:")).unwrap_err().contains("unknown field `claire`"));
    assert!(Config::read(std::path::Path::new("/nonexistent")).unwrap_err().contains("--config"));
    std::fs::write(folder.path().join("key"), "Zm9v\n").unwrap();
    let good = Config { key: folder.path().join("key"), ..config() };
    assert_eq!(good.read_key().unwrap(), b"foo");
    std::fs::write(folder.path().join("key"), "?").unwrap();
    assert!(good.read_key().unwrap_err().contains("is not base64"));
    std::fs::write(folder.path().join("key"), "\n").unwrap();
    assert!(good.read_key().unwrap_err().contains("is empty"));
}
