use std::path::Path;
use std::process::Command;

use super::jenkins::{Build, Stage};
use super::push::{self, Commit, Target};
use super::*;
use crate::check::testing::{self, Scripted};

fn site(url: &str) -> Site {
    Site { url: url.into(), address: [127, 0, 0, 1].into(), user: "developer".into(), password: Secret::new("hunter22-and-more") }
}

fn git(folder: &Path, words: &[&str]) -> String {
    let out = Command::new("git").args(words).current_dir(folder).output().unwrap();
    assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// A bare repository with the application's folders and one commit, at `pozos/student_list.git`.
fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let bare = folder.path().join("pozos/student_list.git");
    std::fs::create_dir_all(&bare).unwrap();
    git(&bare, &["init", "-q", "--bare", "-b", "main"]);
    let tree = folder.path().join("tree");
    git(folder.path(), &["clone", "-q", bare.to_str().unwrap(), "tree"]);
    std::fs::create_dir_all(tree.join("simple_api/tests")).unwrap();
    std::fs::write(tree.join("simple_api/tests/test_contract.py"), "").unwrap();
    git(&tree, &["checkout", "-q", "-B", "main"]);
    git(&tree, &["add", "-A"]);
    git(&tree, &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first"]);
    git(&tree, &["push", "-q", "origin", "HEAD:main"]);
    folder
}

fn here() -> Scripted<'static> {
    Scripted::new(|_, script, stdin| Ok(testing::sh(&["sh", "-c"], script, stdin)))
}

#[test]
fn pushes_are_real_break_a_test_and_mend_it() {
    let folder = repository();
    let gitlab = site(&format!("file://{}", folder.path().display()));
    let target = Target { gitlab: &gitlab, project: "pozos/student_list", branch: "main", host: "deploy" };
    let bare = folder.path().join("pozos/student_list.git");

    let broken = push::push(&target, Commit::BrokenTest, &here()).unwrap();
    assert_eq!(git(&bare, &["rev-parse", "main"]), broken);
    let test = git(&bare, &["show", "main:simple_api/tests/test_poclab_verify.py"]);
    assert!(test.contains("assert 1 == 2"), "{test}");

    let vulnerable = push::push(&target, Commit::Vulnerable, &here()).unwrap();
    assert_eq!(git(&bare, &["rev-parse", "main^"]), broken);
    let metadata = git(&bare, &["show", "main:simple_api/student_api/PyYAML-5.3.dist-info/METADATA"]);
    assert_eq!(metadata, "Metadata-Version: 2.1\nName: PyYAML\nVersion: 5.3");
    assert!(!git(&bare, &["ls-tree", "-r", "--name-only", "main"]).contains("test_poclab_verify"));

    let good = push::push(&target, Commit::Marker("poclab verify 'x'"), &here()).unwrap();
    assert_eq!(git(&bare, &["rev-parse", "main^"]), vulnerable);
    assert_eq!(git(&bare, &["rev-parse", "main"]), good);
    assert_eq!(git(&bare, &["ls-tree", "-r", "--name-only", "main"]), "poclab-verify.txt\nsimple_api/tests/test_contract.py");
    assert_eq!(git(&bare, &["show", "main:poclab-verify.txt"]), "poclab verify 'x'");
}

#[test]
fn a_push_that_is_refused_is_told_in_gits_words() {
    let folder = repository();
    let hook = folder.path().join("pozos/student_list.git/hooks/pre-receive");
    std::fs::write(
        &hook,
        "#!/bin/sh\necho 'GitLab: You are not allowed to push code to protected branches on this project.' >&2\nexit 1\n",
    )
    .unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let gitlab = site(&format!("file://{}", folder.path().display()));
    let target = Target { gitlab: &gitlab, project: "pozos/student_list", branch: "main", host: "deploy" };
    let why = push::push(&target, Commit::BrokenTest, &here()).unwrap_err();
    assert!(why.starts_with("git push on deploy failed: "), "{why}");
    let gone = Target { project: "pozos/other", ..target };
    let why = push::push(&gone, Commit::BrokenTest, &here()).unwrap_err();
    assert!(why.starts_with("git clone on deploy failed: "), "{why}");
}

#[test]
fn the_script_holds_no_password_and_is_clean() {
    let gitlab = site("https://gitlab.lab.example");
    let target = Target { gitlab: &gitlab, project: "pozos/student_list", branch: "main", host: "deploy" };
    for commit in [Commit::BrokenTest, Commit::Vulnerable, Commit::Marker("m 'x'")] {
        let script = push::script(&target, commit).text();
        assert!(!script.contains("hunter22"), "{script}");
        testing::shellcheck(&script);
    }
}

/// git asks the helper for the user's name and for the password; both come out as they are.
#[test]
fn git_is_given_the_login_by_a_program() {
    let mut gitlab = site("https://gitlab.lab.example");
    gitlab.user = "o'brien %s \\n".into();
    let target = Target { gitlab: &gitlab, project: "pozos/student_list", branch: "main", host: "deploy" };
    let script = push::script(&target, Commit::BrokenTest).text();
    let (begin, end) = (script.find("printf %s ").unwrap(), script.find("chmod 0700").unwrap());
    let tried = format!(
        "work=$(mktemp -d) HOME=$work; export HOME work\nprintf %s 'pass word' >\"$work/password\"\n{}\nsh \"$work/ask\" 'Username for x'; echo; sh \"$work/ask\" 'Password for x'; rm -rf \"$work\"",
        &script[begin..end]
    );
    let ran = testing::sh(&["sh", "-c"], &tried, b"");
    assert_eq!(ran.text(), "o'brien %s \\n\npass word", "{tried}");
}

#[test]
fn what_is_waited_for_in_vain_is_told_with_the_last_reason() {
    let why = wait::<()>(Duration::ZERO, || Err("no build of abc".into())).unwrap_err();
    assert_eq!(why, "no build of abc (waited for 0 s)");
}

pub(super) fn spec() -> Spec {
    serde_json::from_value(serde_json::json!({
        "gitlab": {"url": "https://gitlab.x", "address": "127.0.0.1", "user": "u", "password": "p"}, "gitlab_token": "t", "project": "a/b",
        "jenkins": {"url": "https://deploy.x:8080", "address": "127.0.0.1", "user": "u", "password": "p"}, "job": "j",
        "registry": {"url": "https://registry.x:5000", "address": "127.0.0.1", "user": "u", "password": "p"}, "images": {"api": "a/api"},
        "app": "app", "api": {"url": "http://app.x:5000", "address": "127.0.0.1", "user": "toto", "password": "python"},
        "website": {"url": "http://app.x", "address": "127.0.0.1", "user": "toto", "password": "python"},
        "push_from": "deploy",
    }))
    .unwrap()
}

fn chain_outcomes(stages: &[(&str, &str)], without: &[&str]) -> Vec<Outcome> {
    let spec = Spec { without: without.iter().map(|name| (*name).to_owned()).collect(), ..spec() };
    let reach = Scripted::new(|_, _, _| Err("not scripted".into()));
    let mut chain = Chain { spec: &spec, reach: &reach, progress: &mut |_| {}, out: Vec::new() };
    let build = Build { number: 3, causes: vec!["Started by user admin".into()], ..Build::default() };
    let stages: Vec<Stage> =
        stages.iter().map(|(name, status)| Stage { name: (*name).into(), status: (*status).into(), took: 1500 }).collect();
    chain.built(&build, &stages);
    chain.out
}

#[test]
fn stages_that_did_not_run_are_never_passes() {
    let out = chain_outcomes(&[("build", "SUCCESS"), ("scan", "UNSTABLE"), ("push", "FAILED"), ("deploy", "NOT_EXECUTED")], &["scan"]);
    assert!(matches!(&out[0].verdict, Verdict::Failed(why) if why.contains("Started by user admin")), "{out:?}");
    assert!(matches!(&out[1].verdict, Verdict::Passed(time) if time == "1.5 s"));
    assert!(matches!(&out[2].verdict, Verdict::Skipped(why) if why.contains("left out in this lab")));
    assert!(matches!(&out[3].verdict, Verdict::Failed(_)));
    assert!(matches!(&out[4].verdict, Verdict::Skipped(why) if why.contains("not reached")));
    // A stage that only says what is not configured is no news where it did not run, and it is where it did.
    assert_eq!(chain_outcomes(&[("no scanner configured", "NOT_EXECUTED"), ("push", "SUCCESS")], &[]).len(), 2);
    assert!(matches!(&chain_outcomes(&[("no scanner configured", "UNSTABLE")], &[])[1].verdict, Verdict::Failed(_)));
    assert_eq!(chain_outcomes(&[("scan", "NOT_EXECUTED")], &[]).len(), 2);
    // The same stage is a failure in a lab that has not said so.
    let out = chain_outcomes(&[("scan", "UNSTABLE")], &[]);
    assert!(matches!(&out[1].verdict, Verdict::Failed(_)));
    assert!(matches!(&chain_outcomes(&[], &[])[1].verdict, Verdict::Failed(_)));
}
