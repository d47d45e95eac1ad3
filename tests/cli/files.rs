//! Wrong files are refused before any connection: where, what, and what to write.

use std::path::Path;
use std::process::Command;

use crate::lab::Lab;

#[test]
fn good_files() {
    let lab = Lab::new();
    same!(lab.poclab("validate").exits(0));
    lab.untouched();
    assert!(!lab.path(".poclab").exists(), "validating makes nothing");
}

#[test]
fn all_mistakes_at_once() {
    let lab = Lab::new();
    lab.replace("inventory/lab.yml", "operators:", "operator:");
    lab.replace("roles/base/role.yml", "  - directory:", "  - directry:");
    lab.replace("templates/site/site.conf.tera", "{{ site_port }}", "{{ site_port }");
    same!(lab.poclab("validate").exits(64));
    lab.untouched();
}

#[test]
fn a_run_refuses_a_typo_in_a_role_and_makes_nothing() {
    let lab = Lab::new();
    lab.replace("roles/site/role.yml", "notify: restart site\n  - command", "notify: restart siet\n  - command");
    same!(lab.poclab("bootstrap").exits(64));
    lab.untouched();
    assert!(!lab.path(".poclab").exists(), "a wrong file makes no secrets");
}

#[test]
fn a_run_refuses_an_undefined_variable_in_a_template() {
    let lab = Lab::new();
    lab.replace("templates/site/site.conf.tera", "site_port", "site_prot");
    for command in ["bootstrap", "plan", "verify", "status", "observe web", "secrets list"] {
        let ran = lab.poclab(command).exits(64);
        assert!(ran.stderr.contains("templates/site/site.conf.tera:2"), "{command}: {ran}");
        assert!(ran.stderr.contains("site_prot") && ran.stderr.contains("nothing was contacted"), "{command}: {ran}");
        assert_eq!(ran.stdout, "", "{command}");
    }
    lab.untouched();
}

#[test]
fn an_inventory_that_is_not_there() {
    let lab = Lab::new();
    same!(lab.poclab("plan --inventory inventory/lba.yml").exits(64));
    same!(lab.poclab("plan").env("POCLAB_INVENTORY", "elsewhere.yml").exits(64));
}

#[test]
fn what_a_missing_mirror_leaves_unchecked_is_said() {
    let lab = Lab::new();
    lab.replace("inventory/lab.yml", "flows: []", "flows: []\nsources: {mirror: no/mirror}");
    lab.replace("roles/site/role.yml", "{site_port: 8080}", "{site_port: \"{{ mirror.rpms.site.version }}\"}");
    same!(lab.poclab("validate").exits(0));
    // A run needs it.
    lab.poclab("plan").exits(64);
    lab.untouched();
}

/// The project's own files, without what must not be touched: state, secrets, a mirror.
fn own(lab: &Lab) {
    for folder in ["roles", "templates", "inventory"] {
        std::fs::remove_dir_all(lab.path(folder)).unwrap();
        let copied = Command::new("cp").arg("-r").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).arg(lab.root()).status();
        assert!(copied.unwrap().success());
    }
}

#[test]
fn our_own_inventories_are_good_without_a_mirror() {
    let lab = Lab::new();
    own(&lab);
    for file in std::fs::read_dir(lab.path("inventory")).unwrap() {
        let file = file.unwrap().path().display().to_string();
        let ran = lab.poclab("validate --inventory").arg(&file).exits(0);
        assert!(ran.stdout.contains(": good; 4 hosts"), "{ran}");
        assert_eq!(ran.stderr.contains("what comes from it was not checked"), file.contains("rehearsal"), "{ran}");
    }
}

#[test]
fn the_examples_of_the_mirror_guide_are_good() {
    let lab = Lab::new();
    own(&lab);
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/mirror.md")).unwrap();
    let examples: Vec<&str> = guide.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let [mirror, inventory] = examples[..] else { panic!("{examples:?}") };
    // Its variables belong to those that the inventory has.
    let (start, variables) = inventory.split_once("vars:\n").unwrap();
    let own = lab.read("inventory/lab.yml").replace("\nvars:\n", &format!("\nvars:\n{variables}"));
    lab.write("inventory/lab.yml", &(own + &start.replace("/srv/mirror ", "mirror ")));
    let without = lab.poclab("validate").exits(0);
    assert!(without.stderr.contains("was not checked"), "{without}");
    lab.write("mirror/mirror.yml", &mirror.replace('…', &"a".repeat(64)));
    lab.write("mirror/images/registry.tar", "");
    lab.write("mirror/images/probe.tar", "");
    assert_eq!(lab.poclab("validate").exits(0).stderr, "");
}

#[test]
fn schemas_are_those_that_are_committed() {
    let lab = Lab::new();
    let ran = lab.poclab("schema written").exits(0);
    let committed = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema");
    let files: Vec<_> = std::fs::read_dir(&committed).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(ran.stdout.lines().count(), files.len(), "{ran}");
    for file in files {
        let same = std::fs::read_to_string(committed.join(&file)).unwrap() == lab.read(&format!("written/{file}"));
        assert!(same, "docs/schema/{file} is old: make schemas");
    }
}
