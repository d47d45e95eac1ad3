//! `poclab explain`: from the doc comments and the project's files, without contacting anything.

use crate::lab::Lab;

#[test]
fn a_variable_says_where_it_is_set_and_what_it_comes_to() {
    let lab = Lab::new();
    lab.replace("roles/site/role.yml", "defaults: {site_port: 8080}", "defaults:\n  # Where the website listens.\n  site_port: 8080");
    lab.replace("inventory/lab.yml", "hosts: [web], roles: [site]", "hosts: [web], roles: [site], vars: {site_port: 9090}");
    same!(lab.poclab("explain site_port --set site_port=7070").exits(0));
    let ran = lab.poclab("explain site_port").exits(0);
    assert!(ran.stdout.contains("on web, for site (from inventory/lab.yml:16): 9090"), "{ran}");
    lab.untouched();
}

#[test]
fn kinds_fields_roles_and_secrets() {
    let lab = Lab::new();
    same!(lab.poclab("explain file").env("COLUMNS", "80").exits(0));
    same!(lab.poclab("explain file.mode").exits(0));
    same!(lab.poclab("explain site").exits(0));
    same!(lab.poclab("explain api").exits(0));
    same!(lab.poclab("explain").env("COLUMNS", "120").exits(0));
}

#[test]
fn an_unknown_name_is_64_with_near_ones() {
    let lab = Lab::new();
    let error = |words: &str| lab.poclab(words).exits(64).stderr;
    assert!(error("explain site_prot").starts_with("error: nothing is called `site_prot`; near to it: `site_port`"));
    assert!(error("explain fiel.mode").contains("`file.mode`"));
    assert_eq!(error("explain qqqqqqqqqq"), "error: nothing is called `qqqqqqqqqq`; `poclab explain` lists all names\n");
}

#[test]
fn it_needs_no_project_for_what_is_built_in_and_no_right_one_for_the_rest() {
    let lab = Lab::new();
    let elsewhere = lab.poclab("explain port_matrix --inventory /nonexistent/inventory/lab.yml").exits(0);
    assert!(elsewhere.stdout.contains("port_matrix: a kind of check"), "{elsewhere}");
    lab.replace("inventory/lab.yml", "address: 10.0.0.12", "address: 10.0.0.11");
    let ran = lab.poclab("explain site_port").exits(0);
    assert!(ran.stdout.contains("8080") && ran.stdout.contains("is not known: inventory/lab.yml:"), "{ran}");
}

/// Neither generated ones, nor what somebody wrote into a variable that is called like a secret.
#[test]
fn secrets_are_never_shown() {
    let lab = Lab::bootstrapped();
    let password = lab.poclab("secrets show api --field password").exits(0).stdout.trim().to_owned();
    lab.replace(
        "roles/site/role.yml",
        "defaults: {site_port: 8080}",
        "defaults: {site_port: 8080, conn: \"a:{{ secrets.api.password }}\", more: \"{{ conn }}\", db_password: hunter22}",
    );
    for name in ["api", "conn", "more", "db_password", "site", "secrets"] {
        let ran = lab.poclab(&format!("explain {name}")).exits(0);
        assert!(!ran.all().contains(&password) && !ran.all().contains("hunter22") && !ran.all().contains("placeholder"), "{ran}");
    }
    let ran = lab.poclab("explain more").exits(0);
    assert!(ran.stdout.contains("not shown: it is made of secrets"), "{ran}");
    let ran = lab.poclab("explain db_password --set db_password=hunter22").exits(0);
    assert!(!ran.all().contains("hunter22"), "{ran}");
}

#[test]
fn json_for_programs() {
    let lab = Lab::new();
    let pages: serde_json::Value = serde_json::from_str(&lab.poclab("explain site_port --format json").exits(0).stdout).unwrap();
    assert_eq!((&pages[0]["topic"], &pages[0]["values"][0]["value"]), (&"variable".into(), &"8080".into()));
}
