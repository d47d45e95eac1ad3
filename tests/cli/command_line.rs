//! Help, wrong words, names that do not exist.

use crate::lab::Lab;

#[test]
fn help_and_version() {
    let lab = Lab::new();
    same!(lab.poclab("--help").exits(0));
    assert_eq!(lab.poclab("--version").exits(0).stdout, concat!("poclab ", env!("CARGO_PKG_VERSION"), "\n"));
    lab.untouched();
}

#[test]
fn wrong_words_are_64_with_a_suggestion() {
    let lab = Lab::new();
    same!(lab.poclab("bootstrp").exits(64));
    assert!(lab.poclab("plan --hots web").exits(64).stderr.contains("'--host'"));
    assert!(lab.poclab("plan --format xml").exits(64).stderr.contains("possible values: text, json, junit"));
    assert!(lab.poclab("plan --set port").exits(64).stderr.contains("expected NAME=VALUE, got port"));
    assert!(lab.poclab("").exits(64).stderr.contains("Usage: poclab"));
    lab.untouched();
}

#[test]
fn names_that_do_not_exist_are_64_with_a_suggestion() {
    let lab = Lab::new();
    let error = |words: &str| {
        let ran = lab.poclab(words).env("POCLAB_IDENTITY", "identity").exits(64);
        assert_eq!(ran.stdout, "", "{words}");
        ran.stderr.lines().last().unwrap().to_owned()
    };
    assert_eq!(error("plan --host wbe"), "error: there is no host `wbe`; did you mean `web`?");
    assert_eq!(error("plan --host zzz"), "error: there is no host `zzz`; there is: web, db");
    assert_eq!(error("bootstrap --role stie"), "error: there is no role `stie`; did you mean `site`?");
    assert_eq!(error("verify --check selinux_enforce"), "error: there is no check `selinux_enforce`; did you mean `selinux_enforcing`?");
    assert_eq!(error("observe dbb"), "error: there is no host `dbb`; did you mean `db`?");
    assert_eq!(error("secrets show apii"), "error: there is no secret `apii`; did you mean `api`? `poclab secrets list` names all");
    assert_eq!(error("secrets rotate apii"), "error: there is no secret `apii`; did you mean `api`? `poclab secrets list` names all");
    assert_eq!(error("secrets show api --field pasword"), "error: there is no field `pasword`; did you mean `password`?");
    lab.untouched();
}
