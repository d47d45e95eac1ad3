//! `poclab scan`: how it ends when nothing can be asked, and what becomes of an earlier run's files.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// A folder with a configuration, what it names, a policy, and the files of an earlier run.
struct Folder(tempfile::TempDir);

const OLD: [&str; 3] = ["f.json", "f.sarif", "f.html"];

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let ca = rcgen::generate_simple_self_signed(vec!["r".into()]).unwrap();
        folder.write("ca", &ca.cert.pem());
        folder.write("key", "c2VjcmV0LWtleQ==\n");
        folder.write("password", "hunter22\n");
        folder.write("policy.yml", "{}\n");
        let file = |name: &str| folder.path(name).display().to_string();
        // Nobody listens at port 1.
        folder.write(
            "scan.yml",
            &format!(
                "{{clair: 'http://127.0.0.1:1', key: {}, registry: {{push_to: 'r:1', pull_from: 'r:1', ca: {}, user: u, password: {}}}, updaters: [x], deadline: 5}}",
                file("key"),
                file("ca"),
                file("password")
            ),
        );
        OLD.iter().for_each(|name| folder.write(name, "old"));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Its exit code, and what it said on standard error.
    fn scan(&self, more: &[&str]) -> (i32, String) {
        let image = format!("r:1/a@sha256:{}", "0".repeat(64));
        let mut command = Command::new(env!("CARGO_BIN_EXE_poclab"));
        command.args(["scan", "--config", "scan.yml", "--policy", "policy.yml", &image]).args(more).current_dir(self.0.path());
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn scan_into_files(&self) -> (i32, String) {
        self.scan(&["--json", "f.json", "--sarif", "f.sarif", "--html", "f.html"])
    }
}

#[test]
fn what_is_wrong_here_is_64_and_leaves_no_old_file() {
    for (file, text, why) in [
        ("key", None, "cannot read"),
        ("ca", None, "role clair writes it"),
        ("password", Some(""), "is empty"),
        ("scan.yml", Some("clair: x"), "missing field"),
        ("policy.yml", Some("severities: [critical, medium]\n"), "policy.yml:1:13: severities: `severities` leaves out high"),
        ("policy.yml", None, "name one with --policy"),
    ] {
        let folder = Folder::new();
        match text {
            Some(text) => folder.write(file, text),
            None => std::fs::remove_file(folder.path(file)).unwrap(),
        }
        let (exit, said) = folder.scan_into_files();
        assert!(exit == 64 && said.contains(why), "{file}: {exit} {said}");
        assert!(OLD.iter().all(|name| !folder.path(name).exists()), "{file}: an old file stands for this run");
    }
}

#[test]
fn what_could_not_be_looked_at_is_written() {
    let folder = Folder::new();
    let (exit, said) = folder.scan_into_files();
    assert!(exit == 4 && said.contains("could not look at r:1/a@sha256:") && said.contains("does not answer"), "{exit} {said}");
    let read = |name: &str| std::fs::read_to_string(folder.path(name)).unwrap();
    let document: Value = serde_json::from_str(&read("f.json")).unwrap();
    assert_eq!((&document["verdict"], &document["policy"]["file"]), (&"could not look".into(), &"policy.yml".into()));
    assert_eq!(document["policy"]["sha256"], "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356");
    assert!(read("f.sarif").contains("\"executionSuccessful\": false") && read("f.html").contains("Could not look"));
}

#[test]
fn what_cannot_be_written_is_told_beside_the_verdict() {
    let folder = Folder::new();
    let (exit, said) = folder.scan(&["--json", "none/f.json", "--sarif", "f.sarif", "--html", "none/f.html"]);
    assert!(exit == 4 && said.contains("does not answer") && said.contains("none/f.json") && said.contains("none/f.html"), "{exit} {said}");
    assert!(std::fs::read_to_string(folder.path("f.sarif")).unwrap().contains("executionSuccessful"), "one that fails stops no other");
}
