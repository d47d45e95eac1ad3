use serde_json::{Value, json};
use time::macros::{date, datetime};

use super::*;

const TODAY: Date = date!(2026 - 11 - 30);

/// Debian's and PyPI's data of today, and these of some days ago.
fn feeds(more: &[(&str, i64)]) -> Feeds {
    let now = datetime!(2026-11-30 12:00 UTC);
    let operation = |days: i64| json!([{"date": crate::base::rfc3339(now - time::Duration::days(days)), "fingerprint": ""}]);
    let all = [("debian/updater", 0), ("osv/pypi", 0)].iter().chain(more).map(|(name, days)| ((*name).to_owned(), operation(*days)));
    Feeds::read(Value::Object(all.collect()).to_string().as_bytes(), now).unwrap()
}

/// An image with one package of this distribution, and one of this repository.
fn report(distribution: &Value, repository: &str) -> Report {
    let known = !distribution.is_null();
    let report = json!({
        "manifest_hash": "sha256:00",
        "packages": {"1": {"name": "libc6", "version": "2"}, "2": {"name": "flask", "version": "3"}},
        "distributions": if known { json!({"7": distribution}) } else { json!({}) },
        "repository": {"3": {"name": repository}},
        "environments": {
            "1": [{"package_db": "var/lib/dpkg/status", "distribution_id": if known { "7" } else { "" }, "repository_ids": null}],
            "2": [{"package_db": "python:app", "distribution_id": "", "repository_ids": ["3"]}],
        },
        "vulnerabilities": {}, "package_vulnerabilities": {},
    });
    Report::read(report.to_string().as_bytes(), "sha256:00").unwrap()
}

fn debian(version: &str, name: &str) -> Value {
    json!({"did": "debian", "name": "Debian GNU/Linux", "version": format!("{version} ({name})"), "version_code_name": name, "version_id": version})
}

fn look(report: &Report, feeds: &Feeds, policy: &str) -> Result<Gaps, String> {
    gaps(report, feeds, &Policy::parse("p.yml", policy).unwrap(), 7, TODAY)
}

fn lost(what: &str) -> Vec<Uncompared> {
    vec![Uncompared { what: what.into(), packages: 1 }]
}

#[test]
fn what_clair_knows_is_compared() {
    assert_eq!(look(&report(&debian("12", "bookworm"), "pypi"), &feeds(&[]), "").unwrap(), Gaps::default());
}

/// Debian sid and everything without /etc/os-release: nothing of the operating system was compared, however much of PyPI was.
#[test]
fn packages_without_a_distribution_are_not_compared() {
    let sid = report(&Value::Null, "pypi");
    let told = look(&sid, &feeds(&[]), "").unwrap_err();
    assert!(told.starts_with("1 packages of the image (var/lib/dpkg/status) belong to no distribution that Clair knows: "), "{told}");
    assert!(told.contains("`without: [unknown]`"), "{told}");
    assert_eq!(look(&sid, &feeds(&[]), "without: [unknown]").unwrap().uncompared, lost("unknown"));
    // Known to Clair, which has no updater for it.
    let told = look(&report(&json!({"did": "rocky", "version_id": "9.3"}), "pypi"), &feeds(&[]), "").unwrap_err();
    assert!(told.contains("belong to `rocky`, and no updater of Clair knows it"), "{told}");
}

#[test]
fn each_release_of_ubuntu_and_alpine_needs_its_own_data() {
    let noble = report(&json!({"did": "ubuntu", "version_code_name": "noble", "version_id": "24.04"}), "pypi");
    let told = look(&noble, &feeds(&[("ubuntu/updater/jammy", 0)]), "").unwrap_err();
    assert!(told.contains("has loaded nothing for it (ubuntu/updater/noble)"), "{told}");
    assert_eq!(look(&noble, &feeds(&[("ubuntu/updater/noble", 0)]), "").unwrap(), Gaps::default());
    let alpine = report(&json!({"did": "alpine", "version": "3.19"}), "pypi");
    let other = [("alpine-main-v3.18-updater", 0), ("alpine-community-v3.18-updater", 0)];
    assert!(look(&alpine, &feeds(&other), "").unwrap_err().contains("(alpine-main-v3.19-updater)"));
    assert!(look(&alpine, &feeds(&[("alpine-main-v3.19-updater", 0)]), "").unwrap_err().contains("(alpine-community-v3.19-updater)"));
    let both = [("alpine-main-v3.19-updater", 0), ("alpine-community-v3.19-updater", 0)];
    assert_eq!(look(&alpine, &feeds(&both), "").unwrap(), Gaps::default());
}

#[test]
fn a_release_that_has_ended_is_not_compared() {
    let buster = report(&debian("10", "buster"), "pypi");
    let told = look(&buster, &feeds(&[]), "").unwrap_err();
    assert!(told.starts_with("Debian 10 (buster) ended on 2024-06-30: Clair has no data for it"), "{told}");
    let allowed = look(&buster, &feeds(&[]), "end_of_life: allow").unwrap();
    assert_eq!(allowed, Gaps { uncompared: vec![], ended: vec!["Debian 10 (buster) ended on 2024-06-30".into()] });
}

#[test]
fn old_data_compares_nothing() {
    let npm = report(&debian("12", "bookworm"), "npm");
    assert!(look(&npm, &feeds(&[]), "").unwrap_err().contains("belong to `npm`, and Clair has loaded nothing for it (osv/npm)"));
    assert_eq!(look(&npm, &feeds(&[("osv/npm", 7)]), "").unwrap(), Gaps::default());
    let told = look(&npm, &feeds(&[("osv/npm", 8)]), "").unwrap_err();
    assert!(told.contains("too old to judge by (osv/npm is 8 days old; the longest is 7 days)"), "{told}");
    assert_eq!(look(&npm, &feeds(&[("osv/npm", 8)]), "without: [npm]").unwrap().uncompared, lost("npm"));
}

#[test]
fn an_enricher_compares_nothing() {
    let now = datetime!(2026-11-30 12:00 UTC);
    let body = json!({"osv/npm": [{"date": "2026-11-30T08:00:00Z"}]}).to_string();
    let feeds = feeds(&[]).with_enrichments(body.as_bytes(), now).unwrap();
    assert!(look(&report(&debian("12", "bookworm"), "npm"), &feeds, "").unwrap_err().contains("loaded nothing for it (osv/npm)"));
}

#[test]
fn all_that_is_wrong_is_told_and_all_is_not_to_be_left_out() {
    let told = look(&report(&Value::Null, "npm"), &feeds(&[]), "").unwrap_err();
    assert!(told.contains("belong to `npm`") && told.contains("; 1 packages of the image (var/lib"), "{told}");
    let told = look(&report(&Value::Null, "npm"), &feeds(&[]), "without: [unknown, npm]").unwrap_err();
    assert!(told.starts_with("not one package of the image was compared"), "{told}");
}
