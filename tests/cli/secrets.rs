//! `poclab secrets`: list, show, set, rotate.

use crate::lab::Lab;

fn password(lab: &Lab) -> String {
    lab.poclab("secrets show api --field password").exits(0).stdout.trim().to_owned()
}

#[test]
fn they_are_listed_before_the_first_run() {
    let lab = Lab::new();
    let ran = lab.poclab("secrets list").exits(0);
    let rows: Vec<Vec<&str>> = ran.stdout.lines().map(|line| line.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect()).collect();
    assert_eq!(rows[0], ["name", "kind", "made", "valid", "what it is for"]);
    assert!(rows.iter().any(|row| row[0] == "api" && row[1] == "login" && *row.last().unwrap() == "the site's way into the API"), "{ran}");
    assert!(rows.iter().any(|row| row[0] == "ca" && row[3].starts_with("until ")), "{ran}");
    assert!(ran.stderr.contains("note: made a new identity, [lab]/.config/poclab/identity.txt"), "{ran}");
    lab.untouched();
    // Said once.
    assert_eq!(lab.poclab("secrets list").exits(0).stderr, "");
}

#[test]
fn one_is_shown_whole_or_by_field() {
    let lab = Lab::new();
    lab.poclab("secrets list").exits(0);
    let whole = lab.poclab("secrets show api").exits(0).stdout;
    assert!(whole.starts_with(&format!("user: site\npassword: {}\nhtpasswd: site:$2y$10$", password(&lab))), "{whole}");
    assert_eq!(lab.poclab("secrets show api --field user").exits(0).stdout, "site\n");
    assert!(lab.poclab("secrets show ca --field certificate").exits(0).stdout.starts_with("-----BEGIN CERTIFICATE-----\n"));
}

#[test]
fn a_value_that_is_set_is_used_by_the_next_run() {
    let lab = Lab::bootstrapped();
    let ran = lab.poclab("secrets set api").stdin("chosen-by-hand\n").exits(0);
    assert_eq!(ran.stdout, "api is set; `poclab bootstrap` changes what depends on it\n");
    assert_eq!(password(&lab), "chosen-by-hand");
    assert_eq!(lab.poclab("bootstrap --format json").exits(0).changes(), ["web: file [lab]/hosts/web/etc/credentials"]);
    assert_eq!(lab.read("hosts/web/etc/credentials"), "site:chosen-by-hand\n");
    let error = lab.poclab("secrets set api").stdin("\n").exits(64).stderr;
    assert_eq!(error, "error: the value of api is empty\n");
    assert_eq!(password(&lab), "chosen-by-hand");
}

#[test]
fn after_a_rotation_the_plan_names_exactly_what_depends_on_it_with_hashes_only() {
    let lab = Lab::bootstrapped();
    let old = password(&lab);
    lab.poclab("secrets rotate api").exits(0);
    let new = password(&lab);
    assert_ne!(old, new);
    let ran = lab.poclab("plan --parallel 1").exits(2);
    assert!(!ran.all().contains(&old) && !ran.all().contains(&new));
    same!(ran);
    lab.poclab("bootstrap").exits(0);
    assert_eq!(lab.read("hosts/web/etc/credentials"), format!("site:{new}\n"));
    assert_eq!(lab.read("hosts/web/restarts"), "restarted\nrestarted\n");
}

#[test]
fn setting_what_nobody_asks_for_is_doubted_but_done() {
    let lab = Lab::new();
    let ran = lab.poclab("secrets set apii").stdin("value").exits(0);
    assert!(ran.stderr.contains("note: there is no declared secret `apii`; did you mean `api`? (it is set all the same)"), "{ran}");
    assert_eq!(lab.poclab("secrets show apii --field value").exits(0).stdout, "value\n");
    for name in ["sudo_password_web", "ssh_password"] {
        assert_eq!(lab.poclab("secrets set").arg(name).stdin("value").exits(0).stderr, "", "{name}");
    }
    assert!(lab.poclab("secrets set").arg("two words").stdin("value").exits(64).stderr.contains("is not a name for a secret"));
}

#[test]
fn a_secret_that_must_be_given_is_asked_for_before_any_connection() {
    let lab = Lab::new();
    lab.replace("roles/site/role.yml", "user: site}", "given: true}");
    lab.replace("roles/site/role.yml", "{{ secrets.api.user }}:{{ secrets.api.password }}", "{{ secrets.api.password }}");
    lab.poclab("validate").exits(0);
    same!(lab.poclab("plan").exits(64));
    lab.untouched();
    lab.poclab("secrets set api").stdin("from-the-vendor").exits(0);
    lab.poclab("bootstrap").exits(0);
    assert_eq!(lab.read("hosts/web/etc/credentials"), "from-the-vendor\n");
    // Nobody but the operator can make a new one.
    let error = lab.poclab("secrets rotate api").exits(1).stderr;
    assert!(error.starts_with("error: ") && error.contains("poclab secrets set api"), "{error}");
}

#[test]
fn a_lost_identity_is_said_and_nothing_is_made_anew() {
    let lab = Lab::bootstrapped();
    std::fs::rename(lab.path(".config/poclab/identity.txt"), lab.path("away")).unwrap();
    let ran = lab.poclab("plan").exits(1);
    assert!(ran.stderr.contains("there is no identity file") && ran.stderr.contains("POCLAB_IDENTITY"), "{ran}");
    lab.untouched();
    lab.poclab("plan").env("POCLAB_IDENTITY", "away").exits(0);
}
