//! A role that lacks what only people can give: said everywhere, never a success, never a failure.

use crate::lab::Lab;

fn lab() -> Lab {
    let lab = Lab::new();
    lab.replace(
        "roles/site/role.yml",
        "defaults: {site_port: 8080}\n",
        "configured:\n  - {when: \"{{ secrets.vendor_key.password != '' }}\", missing: \"no key of the vendor: poclab secrets set vendor_key\"}\ndefaults: {site_port: 8080}\n",
    );
    lab.replace("roles/site/role.yml", "secrets:\n", "secrets:\n  vendor_key: {what: a key, given: true, optional: true}\n");
    lab.replace("roles/site/role.yml", "services:\n", "checks:\n  - selinux_enforcing: {hosts: [web], absent_ok: true}\nservices:\n");
    lab
}

#[test]
fn plan_bootstrap_verify_and_status_say_what_is_missing() {
    let lab = lab();
    same!(lab.poclab("plan --parallel 1").exits(2));
    let ran = lab.poclab("bootstrap --parallel 1").exits(0);
    assert!(ran.all().contains("not configured: role site on web: no key of the vendor: poclab secrets set vendor_key"), "{ran}");
    assert!(ran.all().contains("NOT configured, and so neither set up nor proven: site"), "{ran}");
    assert!(!lab.path("hosts/web/etc/site.conf").exists() && !ran.all().contains("https://web.test.example"), "{ran}");
    let ran = lab.poclab("verify").exits(0);
    assert!(ran.all().contains("not configured: role site on web") && !ran.all().contains("site ok"), "{ran}");
    let ran = lab.poclab("status --no-links").exits(0);
    assert!(ran.stdout.contains("site NOT CONFIGURED") && ran.stdout.contains("no key of the vendor"), "{ran}");
    let junit = lab.poclab("bootstrap --format junit").exits(0).stdout;
    assert!(junit.contains("<skipped message=\"not configured: no key of the vendor") && !junit.contains("failures=\"1\""), "{junit}");
    lab.poclab("bootstrap --verify --html report.html").exits(0);
    let page = lab.read("report.html");
    assert!(page.contains("Only with the reservations below") && page.contains("1 role not configured"), "the report says it");

    // What it lacked is given: now it is set up like any other.
    lab.poclab("secrets set vendor_key").stdin("key-of-the-vendor\n").exits(0);
    let ran = lab.poclab("bootstrap").exits(0);
    assert!(lab.path("hosts/web/etc/site.conf").exists() && !ran.all().contains("ot configured"), "{ran}");
}

#[test]
fn a_secret_that_is_generated_cannot_be_optional() {
    let lab = Lab::new();
    lab.replace("roles/site/role.yml", "user: site}", "user: site, optional: true}");
    let ran = lab.poclab("validate").exits(64);
    assert!(ran.all().contains("a secret that is generated is always there; remove `optional`, or add `given: true`"), "{ran}");
}
