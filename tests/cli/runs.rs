//! The way of a lab: bare, set up, nothing to do, damaged, repaired.

use crate::lab::Lab;

/// Most memory that poclab had used when it contacted a host, in KiB: by then everything is resolved.
#[test]
fn the_tool_stays_small() {
    let lab = Lab::new();
    lab.program("measured-host", "grep VmHWM: /proc/$PPID/status >\"$1/peak\"\nexec ./fake-host \"$@\"");
    lab.replace("inventory/lab.yml", "./fake-host, hosts/web", "./measured-host, hosts/web");
    lab.poclab("plan").exits(2);
    let peak: u64 = lab.read("hosts/web/peak").split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!((4_000..60_000).contains(&peak), "{peak} KiB");
}

#[test]
fn a_plan_of_bare_hosts_changes_nothing() {
    let lab = Lab::new();
    same!(lab.poclab("plan --parallel 1").exits(2));
    assert!(!lab.path("hosts/web/etc/motd").exists() && !lab.path("hosts/web/data").exists());
    assert_eq!((lab.take_execs("web"), lab.take_execs("db")), (1, 1), "one look at each host");
}

#[test]
fn a_bootstrap_and_a_second_one() {
    let lab = Lab::new();
    same!(lab.poclab("bootstrap --parallel 1").exits(0));
    assert_eq!(lab.read("hosts/web/etc/site.conf"), "# web.test.example\nport = 8080\n");
    assert_eq!(lab.read("hosts/db/etc/motd"), "welcome to db\n");
    assert_eq!(lab.read("hosts/web/restarts"), "restarted\n");
    let _ = (lab.take_execs("web"), lab.take_execs("db"));
    same!(lab.poclab("bootstrap --parallel 1").exits(0));
    assert_eq!((lab.take_execs("web"), lab.take_execs("db")), (1, 1), "nothing changed: one exec per host");
    assert_eq!(lab.read("hosts/web/restarts"), "restarted\n");
    lab.poclab("plan").exits(0);
}

#[test]
fn drift_is_named_and_repaired_exactly() {
    let lab = Lab::bootstrapped();
    lab.write("hosts/web/etc/site.conf", "# web.test.example\nport = 9\n");
    let expected = ["web: file [lab]/hosts/web/etc/site.conf"];
    assert_eq!(lab.poclab("plan --format json").exits(2).changes(), expected);
    same!(lab.poclab("plan --parallel 1").exits(2));
    assert_eq!(lab.poclab("bootstrap --format json").exits(0).changes(), expected);
    assert_eq!(lab.read("hosts/web/etc/site.conf"), "# web.test.example\nport = 8080\n");
    assert_eq!(lab.read("hosts/web/restarts"), "restarted\nrestarted\n");
    lab.poclab("plan").exits(0);
}

#[test]
fn a_run_is_narrowed_to_hosts_and_roles() {
    let lab = Lab::new();
    assert_eq!(lab.poclab("plan --host db --format json").exits(2).changes(), ["db: file [lab]/hosts/db/etc/motd"]);
    assert_eq!(lab.take_execs("web"), 0);
    let changes = lab.poclab("plan --role base --format json --parallel 1").exits(2).changes();
    assert_eq!(changes, ["web: file [lab]/hosts/web/etc/motd", "db: file [lab]/hosts/db/etc/motd"]);
}

#[test]
fn a_variable_is_overridden_for_one_run() {
    let lab = Lab::bootstrapped();
    let ran = lab.poclab("plan --set site_port=9090").exits(2);
    assert!(ran.stdout.contains("+port = 9090"), "{ran}");
    lab.poclab("plan").exits(0);
}

#[test]
fn the_script_that_observes_a_host_can_be_read_and_run() {
    let lab = Lab::bootstrapped();
    let ran = lab.poclab("observe web").exits(0);
    lab.untouched();
    lab.write("observe.sh", &format!("#!/bin/sh\n{}", ran.stdout.replace("[lab]", lab.root().to_str().unwrap())));
    if let Ok(output) = std::process::Command::new("shellcheck").arg("--severity=warning").arg(lab.path("observe.sh")).output() {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    } else {
        assert!(std::env::var_os("POCLAB_REQUIRE_TOOLS").is_none(), "shellcheck is not installed");
    }
}

#[test]
fn every_run_leaves_a_log_and_twenty_are_kept() {
    let lab = Lab::new();
    for day in 10..32 {
        lab.write(&format!(".poclab/test/runs/202001{day}T000000Z-plan.jsonl"), "");
    }
    let ran = lab.poclab("plan").exits(2);
    let logs = lab.logs();
    assert_eq!(logs.len(), 20);
    assert!(logs[0].0.ends_with("20200113T000000Z-plan.jsonl"), "the oldest are gone");
    let name = logs[19].0.file_name().unwrap().to_str().unwrap();
    assert!(name.ends_with("-plan.jsonl") && ran.stdout.contains(name), "{ran}");
    assert_eq!(std::fs::read_link(lab.path(".poclab/test/runs/latest")).unwrap().to_str(), Some(name));
    let last: serde_json::Value = serde_json::from_str(logs[19].1.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["exit"]), (&"run_done".into(), &2.into()));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&logs[19].0).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}
