use super::*;
use crate::resource::testing::shellcheck;

fn spec() -> Spec {
    serde_json::from_value(serde_json::json!({
        "url": "https://gitlab.lab.example/pozos/student_list.git", "branch": "main", "source": concat!(env!("CARGO_MANIFEST_DIR"), "/app"),
        "message": "it's the first", "author": "poclab <poclab@lab.example>", "user": "root", "password": "hunter22hunter22",
        "ca": "/etc/ca.pem", "git": "/opt/gitlab/embedded/bin/git",
    }))
    .unwrap()
}

fn parse(text: &str) -> Result<Observed, String> {
    Spec::parse(&[&spec()], &Reply { stdout: text.as_bytes().to_vec(), status: 0 }).remove(0)
}

#[test]
fn what_git_says_is_told_apart() {
    // recorded with git 2.39
    let there = "git 0 0\nout 0 1e5f0d6ccb5a1b5a1b5a1b5a1b5a1b5a1b5a1b5a\trefs/heads/main\n";
    assert_eq!(parse(there), Ok(Observed::Commit("1e5f0d6ccb5a1b5a1b5a1b5a1b5a1b5a1b5a1b5a".into())));
    assert_eq!(parse("git 0 0\n"), Ok(Observed::Nothing));
    assert_eq!(parse("absent 0\n"), Ok(Observed::NoGit));
    let gone = "git 0 128\nerr 0 remote: The project you were looking for could not be found or you don't have permission to view it.\n\
                err 0 fatal: repository 'https://gitlab.lab.example/pozos/student_list.git/' not found\n";
    assert_eq!(parse(gone), Ok(Observed::NoRepository));
    let refused = "git 0 128\nerr 0 fatal: Authentication failed for 'https://gitlab.lab.example/pozos/student_list.git/'\n";
    assert!(parse(refused).unwrap_err().contains("Authentication failed"));
    assert!(parse("git 0 124\n").is_err() && parse("").is_err());
}

#[test]
fn scripts_are_clean_and_the_password_travels_on_stdin() {
    shellcheck(&Spec::observe(&[&spec(), &spec()]));
    let action = spec().apply(&Observed::Nothing).remove(0);
    shellcheck(&action.script);
    assert!(!action.script.contains("hunter22"));
    assert!(matches!(&action.stdin, Some(Payload::Bytes(bytes)) if bytes.starts_with(b"hunter22hunter22\n")));
}

#[test]
fn an_archive_is_the_same_every_time_and_holds_what_git_takes() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    for (name, text) in [(".gitignore", "*.pyc\n"), ("a.py", "a"), ("a.pyc", "no"), ("ci/b", "b"), (".git/config", "no"), (".hidden", "h")]
    {
        write(name, text);
    }
    let bytes = folder::pack(folder.path()).unwrap();
    assert_eq!(bytes, folder::pack(folder.path()).unwrap());
    let mut archive = tar::Archive::new(bytes.as_slice());
    let names: Vec<String> = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
    assert_eq!(names, [".gitignore", ".hidden", "a.py", "ci/b"]);
    assert!(folder::pack(&folder.path().join("nothing")).is_err());
}

#[test]
fn mistakes_are_refused() {
    let with = |field: &str, value: &str| {
        let mut json = serde_json::json!({"url": "https://h/p.git", "branch": "main", "source": "app", "message": "m", "author": "a <b>"});
        json[field] = value.into();
        serde_json::from_value::<Spec>(json).unwrap().check()
    };
    assert_eq!(with("message", "m"), Vec::<String>::new());
    for (field, value) in [
        ("url", "http://h/p"),
        ("url", "https://u:p@h/p"),
        ("branch", "-x"),
        ("branch", "a..b"),
        ("author", "me"),
        ("message", " "),
        ("user", "a b"),
        ("password", "a\nb"),
        ("git", "bin/git"),
    ] {
        assert_eq!(with(field, value).len(), 1, "{field} {value}");
    }
}
