//! The kinds of resources against real shells: what `apply` does, `observe` sees; each damage is named; all shell is clean.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests may panic")]

#[path = "resources/golden.rs"]
mod golden;
#[path = "resources/shell.rs"]
mod shell;
#[path = "resources/tools.rs"]
mod tools;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use poclab::resource::{State, command, directory, file, hosts_entries, link};
use proptest::prelude::*;
use serde_json::json;
use shell::{Host, hosts, me, reasons, spec};

fn write(path: &str, text: impl AsRef<[u8]>) {
    std::fs::write(path, text).unwrap();
}

fn file_spec(path: &str, content: &str) -> file::Spec {
    let (owner, group) = me();
    spec(json!({"path": path, "content": content, "owner": owner, "group": group, "mode": "0640"}))
}

#[test]
fn files_converge_and_each_damage_is_named() {
    for host in hosts() {
        let path = host.path("it's a $file.conf");
        let file = file_spec(&path, "one\ntwo\n");
        assert_eq!(reasons(&host, &file), ["does not exist"]);
        host.converge(&file);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");

        write(&path, "one\n2\n");
        let changes = host.drift(&file);
        assert!(changes[0].what.starts_with("content differs (sha256 "), "{changes:?}");
        assert!(changes[0].diff.as_ref().unwrap().ends_with("@@ -1,2 +1,2 @@\n one\n-2\n+two\n"), "{changes:?}");
        assert_eq!(changes.len(), 1);
        host.converge(&file);

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o604)).unwrap();
        assert_eq!(reasons(&host, &file), ["mode is 0604, want 0640"]);
        host.converge(&file);

        if host.root {
            std::os::unix::fs::chown(&path, Some(1), Some(2)).unwrap();
            assert_eq!(reasons(&host, &file), ["owner is daemon, want root", "group is bin, want root"]);
            host.converge(&file);
        }

        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(reasons(&host, &file), ["is a directory, want a file"]);
        host.converge(&file);

        std::fs::remove_file(&path).unwrap();
        symlink("/etc", &path).unwrap();
        assert_eq!(reasons(&host, &file), ["is a symbolic link, want a file"]);
        host.converge(&file);
        assert!(Path::new("/etc").is_dir() && std::fs::symlink_metadata(&path).unwrap().is_file());
        host.no_leftovers();
    }
}

#[test]
fn diffs_are_whole_and_only_of_small_text() {
    for host in hosts() {
        let path = host.path("f");
        let file = file_spec(&path, "a\n");
        for (old, tail) in
            [("\n\nb", "@@ -1,3 +1 @@\n-\n-\n-b\n\\ No newline at end of file\n+a\n"), ("", "@@ -0,0 +1 @@\n+a\n"), ("\r\n", "-\r\n+a\n")]
        {
            write(&path, old);
            let diff = host.drift(&file).remove(0).diff.unwrap();
            assert!(diff.ends_with(tail), "{old:?}: {diff}");
        }
        for old in [b"\0\x01".to_vec(), b"\xff\n".to_vec(), vec![b'x'; 70_000]] {
            write(&path, &old);
            assert_eq!(host.drift(&file).remove(0).diff, None);
        }
        // Two files in one look, the first one without a newline at its end.
        let other = file_spec(&host.path("g"), "g\n");
        write(&path, "no end");
        write(&other.path, "G\n");
        let seen = host.observe(&[&file, &other]);
        assert_eq!(seen[0].as_ref().unwrap().text.as_deref(), Some("no end"));
        assert_eq!(seen[1].as_ref().unwrap().text.as_deref(), Some("G\n"));
    }
}

#[test]
fn secret_content_never_shows() {
    for host in hosts() {
        let path = host.path("key");
        let (owner, group) = me();
        let secret: file::Spec = spec(json!({"path": path, "content": "hunter22\n", "sensitive": true, "owner": owner, "group": group}));
        let new = host.drift(&secret).remove(0);
        assert_eq!((new.what.as_str(), new.diff), ("does not exist", None));
        host.converge(&secret);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        write(&path, "other999\n");
        let (_, printed) = host.look(&[&secret]);
        assert!(!String::from_utf8_lossy(&printed.stdout).contains("other999"));
        assert_eq!(host.drift(&secret).remove(0).diff, None);
        for action in host.actions(&secret) {
            assert!(!action.script.contains("hunter22") && !format!("{action:?}").contains("hunter22"));
        }
    }
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_old_one() {
    for host in hosts() {
        let path = host.path("f");
        write(&path, "old\n");
        let big = file_spec(&path, &"x".repeat(100_000));
        let action = host.actions(&big).remove(0);
        let (status, output) = host.step_after("ulimit -f 8\ntrap '' XFSZ", &action);
        assert_ne!(status, 0);
        assert!(output.contains("cannot write (is the disk full?)"), "{output}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old\n");

        let mut refused = file_spec(&path, "new\n");
        refused.validate = Some("grep -q good %s".to_owned());
        let (status, output) = host.step(&host.actions(&refused).remove(0));
        assert_ne!(status, 0);
        assert!(output.contains("refused by its validation"), "{output}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old\n");
        refused.content = file_spec(&path, "good\n").content;
        host.converge(&refused);

        let mut cut = host.actions(&file_spec(&path, "shorter than it was said\n")).remove(0);
        cut.stdin = Some(poclab::base::Payload::Bytes(b"short".to_vec()));
        let (status, output) = host.step(&cut);
        assert_ne!(status, 0);
        assert!(output.contains("only 5 of 25 bytes arrived"), "{output}");

        let nowhere = file_spec(&host.path("none/f"), "x");
        let (_, output) = host.step(&host.actions(&nowhere).remove(0));
        assert!(output.contains("/none does not exist"), "{output}");
        let taken = file_spec(&host.path("d"), "x");
        std::fs::create_dir_all(host.path("d/e")).unwrap();
        let (_, output) = host.step(&host.actions(&taken).remove(0));
        assert!(output.contains("is a directory that is not empty"), "{output}");
        host.no_leftovers();
    }
}

#[test]
fn a_killed_run_leaves_nothing_for_long() {
    for host in hosts() {
        let left = host.path(".poclab.AbCdEf");
        write(&left, "half");
        host.converge(&file_spec(&host.path("f"), "x\n"));
        assert!(!Path::new(&left).exists());
    }
}

#[test]
fn absent_files_converge() {
    for host in hosts() {
        let path = host.path("f");
        let gone: file::Spec = spec(json!({"path": path, "state": "absent"}));
        assert_eq!(host.state(&gone), State::InSync);
        write(&path, "x");
        assert_eq!(reasons(&host, &gone), ["is there (a file), want it gone"]);
        host.converge(&gone);
    }
}

#[test]
fn directories_and_links_converge() {
    for host in hosts() {
        let (owner, group) = me();
        let dir: directory::Spec = spec(json!({"path": host.path("a/b"), "owner": owner, "group": group, "mode": "0750"}));
        assert_eq!(reasons(&host, &dir), ["does not exist"]);
        host.converge(&dir);
        std::fs::set_permissions(&dir.path, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(reasons(&host, &dir), ["mode is 0777, want 0750"]);
        host.converge(&dir);
        std::fs::remove_dir(&dir.path).unwrap();
        symlink("/etc", &dir.path).unwrap();
        assert_eq!(reasons(&host, &dir), ["is a symbolic link, want a directory"]);
        host.converge(&dir);
        assert!(Path::new("/etc").is_dir());
        let gone: directory::Spec = spec(json!({"path": dir.path, "state": "absent"}));
        host.converge(&gone);

        let link: link::Spec = spec(json!({"path": host.path("l"), "to": "/some where/$x"}));
        assert_eq!(reasons(&host, &link), ["does not exist"]);
        host.converge(&link);
        std::fs::remove_file(&link.path).unwrap();
        symlink("/etc", &link.path).unwrap();
        assert_eq!(reasons(&host, &link), ["points to /etc, want /some where/$x"]);
        host.converge(&link);
        std::fs::remove_file(&link.path).unwrap();
        write(&link.path, "x");
        assert_eq!(reasons(&host, &link), ["is not a symbolic link"]);
        host.converge(&link);
        let gone: link::Spec = spec(json!({"path": link.path, "to": "x", "state": "absent"}));
        host.converge(&gone);
    }
}

#[test]
fn names_in_hosts_converge() {
    for host in hosts().into_iter().filter(|host| host.root) {
        let path = host.path("hosts");
        let names: hosts_entries::Spec =
            spec(json!({"path": path, "entries": [{"address": "10.90.0.11", "names": ["deploy.lab.example", "deploy"]}]}));
        write(&path, "127.0.0.1 localhost\n127.0.1.1 deploy # box");
        assert_eq!(reasons(&host, &names), ["the lab's block is missing", "deploy is 127.0.1.1 in another line, want 10.90.0.11"]);
        let stale = host.actions(&names).remove(0);
        host.converge(&names);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("10.90.0.11 deploy.lab.example deploy\n# poclab end\n127.0.0.1 localhost\n"), "{text}");
        // What was planned from another text is not written over this one.
        let (status, output) = host.step(&stale);
        assert!(status != 0 && output.contains("was changed by something else"), "{output}");
        std::fs::remove_file(&path).unwrap();
        host.converge(&names);
        host.no_leftovers();
    }
}

#[test]
fn commands_run_when_their_guard_asks() {
    for host in hosts() {
        let mark = host.path("mark");
        let by_guard: command::Spec =
            spec(json!({"what": "a", "run": format!("echo 'x' > '{mark}'\nexit 0"), "unless": format!("grep -q x '{mark}'")}));
        assert_eq!(reasons(&host, &by_guard), ["its guard says that it is needed"]);
        host.converge(&by_guard);
        let made: command::Spec = spec(json!({"what": "b", "run": "exit 3", "creates": mark}));
        assert_eq!(host.state(&made), State::InSync);
        std::fs::remove_file(&mark).unwrap();
        assert_eq!(host.step(&host.actions(&made).remove(0)).0, 3);
        // What is wrong in one guard stays in it.
        let broken: command::Spec = spec(json!({"what": "c", "run": "true", "unless": "if then ("}));
        let missing: command::Spec = spec(json!({"what": "d", "run": "true", "unless": "no-such-tool --check"}));
        let content: command::Spec = spec(json!({"what": "e", "run": "true", "unless": "cd /; true"}));
        let seen = host.observe(&[&broken, &missing, &content]);
        assert_eq!(seen, [Ok(false), Ok(false), Ok(true)]);
        let killed: command::Spec = spec(json!({"what": "f", "run": "true", "unless": "kill -9 $$"}));
        assert!(host.observe(&[&killed])[0].is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_text_arrives_and_is_seen(content in "(?s).{0,200}", name in "[^/\\p{C}\\\\]{1,20}", before in proptest::option::of("(?s).{0,60}")) {
        prop_assume!(name != "." && name != "..");
        let host = Host::new("sh").unwrap();
        let file = file_spec(&host.path(&name), &content);
        prop_assert_eq!(poclab::resource::Kind::check(&file), Vec::<String>::new());
        if let Some(before) = &before {
            write(&file.path, before);
        }
        if let (Some(before), Ok(seen)) = (before.as_ref().filter(|before| **before != content), &host.observe(&[&file])[0]) {
            let shown = (!before.contains('\0')).then_some(before);
            prop_assert_eq!(seen.text.as_ref(), shown);
        }
        host.converge(&file);
        prop_assert_eq!(std::fs::read_to_string(&file.path).unwrap(), content);
    }
}
