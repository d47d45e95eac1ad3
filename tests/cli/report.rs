//! The HTML report: where it is, what it knows, what becomes of a wrong wish.

use crate::lab::Lab;

fn pages(lab: &Lab) -> Vec<String> {
    let name = |path: std::path::PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    lab.logs().into_iter().map(|(path, _)| name(path)).filter(|name| name.ends_with(".html")).collect()
}

#[test]
fn bootstrap_and_verify_write_a_report_beside_their_log_and_say_where() {
    let lab = Lab::new();
    let ran = lab.poclab("bootstrap").exits(0);
    let pages = pages(&lab);
    assert_eq!(pages.len(), 1);
    let line = format!("-> report of this run: [lab]/.poclab/test/runs/{}", pages[0]);
    assert!(ran.stdout.contains(&line), "{ran}");
    let html = lab.read(&format!(".poclab/test/runs/{}", pages[0]));
    assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>\n"));
    for said in ["tester@", "inventory&#x2F;lab.yml", "This is a rehearsal", "no SELinux in this kernel", "exit code 0"] {
        assert!(html.contains(said), "{said}");
    }
    let sum = std::process::Command::new("sha256sum").arg(lab.path("inventory/lab.yml")).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    assert!(html.contains(sum.split(' ').next().unwrap()), "what the page tells to compare is right");
    // Like the log beside it.
    let mode = std::fs::metadata(lab.path(&format!(".poclab/test/runs/{}", pages[0]))).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    lab.poclab("verify").exits(0);
    assert_eq!(self::pages(&lab).len(), 2);
    lab.poclab("plan").exits(0);
    assert_eq!(self::pages(&lab).len(), 2, "a plan is asked for its report");
}

#[test]
fn a_report_says_what_the_run_saw_whatever_the_files_say_now() {
    let lab = Lab::new();
    lab.replace("inventory/lab.yml", "flows: []", "flows:\n  - {to: web, port: 4711/tcp, from: [operators], why: the old purpose}");
    lab.poclab("plan --html plan.html").exits(2);
    let first = lab.read("plan.html");
    assert!(first.contains("the old purpose") && first.contains("4711"));
    lab.replace("inventory/lab.yml", "the old purpose", "a new purpose");
    let ran = lab.poclab("report -o again.html").exits(0);
    assert_eq!(ran.stdout, "again.html\n");
    assert_eq!(lab.read("again.html"), first);
    assert_eq!(lab.poclab("report -o -").exits(0).stdout, first.replace(lab.root().to_str().unwrap(), "[lab]"));
    assert!(lab.poclab("plan --html other.html").exits(2).stdout.contains("-> report of this run: other.html"));
    assert!(lab.read("other.html").contains("a new purpose"));
}

#[test]
fn a_run_is_found_by_name_and_a_log_by_its_path() {
    let lab = Lab::new();
    let error = |words: &str| lab.poclab(words).exits(64).stderr.lines().last().unwrap().to_owned();
    assert_eq!(
        error("report"),
        "error: no run of this lab is recorded in [lab]/.poclab/test/runs; bootstrap, plan and verify record theirs"
    );
    lab.poclab("plan").exits(2);
    let (log, _) = lab.logs().remove(0);
    let name = log.file_stem().unwrap().to_str().unwrap().to_owned();
    lab.poclab(&format!("report {name}")).exits(0);
    assert!(log.with_extension("html").is_file());
    std::fs::rename(&log, lab.path("sent.jsonl")).unwrap();
    assert_eq!(lab.poclab("report ./sent.jsonl --inventory nowhere.yml").exits(0).stdout, "./sent.html\n");
    lab.poclab("plan").exits(2);
    assert!(error("report 2026").starts_with("error: there is no recorded run `2026`; "));
    lab.write("not-a-log.jsonl", "{}\n");
    let ran = lab.poclab("report ./not-a-log.jsonl").exits(1);
    assert!(ran.stderr.contains("line 1 of the log is not an event"), "{ran}");
    assert!(!lab.path("not-a-log.html").exists());
    assert_eq!(lab.poclab("report -o /no/such/folder/x.html").exits(1).stdout, "");
}

#[test]
fn a_report_without_a_place_is_refused_before_anything_is_contacted() {
    let lab = Lab::new();
    let error = |words: &str| lab.poclab(words).exits(64).stderr.lines().last().unwrap().to_owned();
    assert_eq!(error("bootstrap --html nowhere/x.html"), "error: --html nowhere/x.html: there is no folder nowhere; make it first");
    assert_eq!(error("verify --html hosts"), "error: --html hosts: that is a folder; name a file in it");
    lab.untouched();
}

/// What was asked for and is not there is a failure, and the run's own result is still told.
#[test]
fn a_report_that_cannot_be_written_is_said_and_fails_a_good_run() {
    let lab = Lab::bootstrapped();
    let runs = lab.path(".poclab/test/runs");
    std::fs::rename(&runs, lab.path(".poclab/test/old")).unwrap();
    // No folder for the log can be made where a file is.
    std::fs::write(&runs, "").unwrap();
    let ran = lab.poclab("plan --html page.html").exits(1);
    assert!(ran.stdout.contains("note: no log of this run in") && ran.stdout.contains("nothing would change"), "{ran}");
    assert!(ran.stderr.ends_with("error: the report page.html was not written; why is said above\n"), "{ran}");
    assert!(!lab.path("page.html").exists());
    lab.write("hosts/web/etc/site.conf", "port = 9\n");
    lab.poclab("plan --html page.html").exits(2);
}
