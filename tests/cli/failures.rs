//! What goes wrong is said, and stops no more than it must.

use crate::lab::Lab;

#[test]
fn a_host_that_is_down_is_4_and_the_others_finish() {
    let lab = Lab::new();
    lab.write("hosts/web/down", "no route to host\n");
    same!(lab.poclab("bootstrap --parallel 1").exits(4));
    assert_eq!(lab.read("hosts/db/etc/motd"), "welcome to db\n");
    std::fs::remove_file(lab.path("hosts/web/down")).unwrap();
    lab.poclab("bootstrap").exits(0);
}

#[test]
fn a_host_that_is_not_what_the_inventory_says_is_4() {
    let lab = Lab::new();
    std::fs::remove_file(lab.path("hosts/web/etc/poclab-rehearsal")).unwrap();
    let ran = lab.poclab("plan").exits(4);
    assert!(ran.stdout.contains("calls this host a rehearsal host"), "{ran}");
}

#[test]
fn a_failing_step_is_1_with_its_last_lines_and_a_hint() {
    let lab = Lab::new();
    let failing = "echo loading >&2; echo 'data: No space left on device' >&2; exit 7";
    lab.replace("roles/site/role.yml", "echo data >{{ root }}/data", failing);
    same!(lab.poclab("bootstrap --parallel 1").exits(1));
    // The handler of what was changed before is not lost.
    lab.replace("roles/site/role.yml", failing, "echo data >{{ root }}/data");
    let ran = lab.poclab("plan --format json").exits(2);
    assert_eq!(ran.changes(), ["web: command the site has data", "web: handler restart site"]);
    lab.poclab("bootstrap").exits(0);
    assert_eq!(lab.read("hosts/web/restarts"), "restarted\n");
}

#[test]
fn a_failing_check_is_3() {
    let lab = Lab::bootstrapped();
    lab.replace("roles/base/role.yml", "absent_ok: true", "absent_ok: false");
    // One host: checks ask all of theirs at the same time, and who is first is left to chance.
    lab.replace("roles/base/role.yml", "{{ groups.all }}", "{{ groups.site }}");
    same!(lab.poclab("verify").exits(3));
    // What failed is looked at again, although nothing changed.
    lab.poclab("bootstrap").exits(3);
}
