//! Labs on disk, right and wrong: every mistake is reported with its place and with what to write instead.
//!
//! tests/labfiles/good is a whole lab; each folder in tests/labfiles/wrong holds the files that differ from it, and `expected.txt`.
//! `POCLAB_UPDATE=1 cargo test --test labfiles` writes the expectations anew; read the diff before you commit it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use poclab::base::Secret;
use poclab::lab::{Certificate, HandlerAction, Lab, Login, NamedSecret, Problems, Vault, load, schemas, validate};
use poclab::ssh::{Auth, Reach, Sudo};
use proptest::prelude::*;

/// A vault in memory.
#[derive(Default)]
struct Memory {
    given: BTreeMap<String, String>,
    asked: Vec<String>,
}

impl Vault for Memory {
    fn login(&mut self, name: &str, user: &str) -> anyhow::Result<Login> {
        self.asked.push(name.to_owned());
        Ok(Login {
            user: user.to_owned(),
            password: Secret::new(format!("pw-of-{name}")),
            htpasswd: Secret::new(format!("{user}:$2y$hash-of-{name}")),
        })
    }

    fn ssh_key(&mut self, name: &str) -> anyhow::Result<poclab::lab::SshKey> {
        Ok(poclab::lab::SshKey { public: format!("ssh-ed25519 AAAA {name}"), private: Secret::new(format!("private half of {name}\n")) })
    }

    fn certificate(&mut self, name: &str, dns: &[String], addresses: &[IpAddr], _days: i64) -> anyhow::Result<Certificate> {
        self.asked.push(format!("{name} {dns:?} {addresses:?}"));
        Ok(Certificate { cert: format!("CERT {name}\n"), key: Secret::new(format!("KEY {name}\n")) })
    }

    fn ca_pem(&mut self) -> anyhow::Result<String> {
        Ok("CA\n".to_owned())
    }

    fn get(&self, name: &str) -> Option<Secret> {
        self.given.get(name).map(Secret::new)
    }

    fn all(&self) -> Vec<NamedSecret> {
        self.given.iter().map(|(name, value)| NamedSecret { name: name.clone(), what: String::new(), value: Secret::new(value) }).collect()
    }
}

fn memory() -> Memory {
    Memory { given: BTreeMap::from([("sudo_password_registry".to_owned(), "open-sesame".to_owned())]), asked: Vec::new() }
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/labfiles")
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The good lab, with the files of a case over it.
fn lab(case: Option<&Path>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&cases().join("good"), folder.path());
    if let Some(case) = case {
        copy(case, folder.path());
    }
    folder
}

fn read(folder: &Path, overrides: &[(&str, &str)]) -> Result<Lab, Problems> {
    let overrides: Vec<(String, String)> = overrides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load(&folder.join("inventory/lab.yml"), &mut memory(), &overrides)
}

/// Puts `new` in the place of `old` in a file of the lab.
fn edit(folder: &Path, file: &str, old: &str, new: &str) {
    let path = folder.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(old), "{file} has no {old}");
    fs::write(path, text.replacen(old, new, 1)).unwrap();
}

fn packages(lab: &Lab) -> Vec<String> {
    lab.nodes
        .iter()
        .flat_map(|node| node.resources.iter().map(|resource| format!("{} {}: {}", lab.hosts[node.host].name, node.role, resource.label())))
        .collect()
}

#[test]
fn every_mistake_is_reported_with_its_place() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    let mut folders: Vec<PathBuf> = fs::read_dir(cases().join("wrong")).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    for case in folders {
        let folder = lab(Some(&case));
        let root = folder.path().display().to_string();
        let told = match read(folder.path(), &[]) {
            Ok(_) => "no mistake was found\n".to_owned(),
            Err(problems) => format!("{problems}\n").replace(&root, "ROOT"),
        };
        let expected = case.join("expected.txt");
        if std::env::var_os("POCLAB_UPDATE").is_some() {
            fs::write(&expected, &told).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        if told != expected {
            wrong.push(format!("{}:\n--- expected\n{expected}--- told\n{told}", case.display()));
        }
        for line in told.lines() {
            let place = line.split(": ").next().unwrap();
            assert!(place.contains(':') || place.starts_with("templates") || place.starts_with("inventory"), "no place in: {line}");
        }
        seen += 1;
    }
    assert!(seen >= 20, "only {seen} cases");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_good_lab_is_resolved() {
    let folder = lab(None);
    let lab = read(folder.path(), &[]).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(
        packages(&lab),
        [
            "deploy base: package chrony",
            "deploy base: package git",
            "deploy base: package curl",
            "registry base: package chrony",
            "registry base: package curl",
            "registry registry: package docker-distribution",
            "deploy docker: package docker-ce",
            "registry docker: package docker-ce",
            "registry docker: file /etc/docker/daemon.json",
        ]
    );
    let docker = &lab.nodes[3];
    assert_eq!((docker.role.as_str(), &docker.requires), ("docker", &vec![0, 2]));
    assert_eq!(docker.resources[0].notify, ["restart docker"]);
    assert_eq!(docker.resources[0].origin, "roles/docker/role.yml:6");
    assert_eq!(docker.handlers[0].action, HandlerAction::Restart("docker".into()));
    let poclab::resource::Spec::package(package) = &docker.resources[0].spec else { panic!("not a package") };
    assert_eq!(package.version.as_deref(), Some("26.1.4-1.el7"));
    assert_eq!(
        lab.checks.iter().map(|check| (check.role.as_str(), check.host.as_deref())).collect::<Vec<_>>(),
        [("registry", Some("registry")), ("base", None)]
    );
    assert_eq!(lab.services[0].url, "https://registry.lab.example:5000");
    assert_eq!(lab.known_hosts, folder.path().join(".poclab/test/known_hosts"));
    let Reach::Ssh { target, sudo } = &lab.hosts[1].reach else { panic!("not SSH") };
    assert_eq!((target.address.as_str(), target.port, target.user.as_str()), ("127.0.0.1", 2222, "ops"));
    assert_eq!(target.auth, [Auth::Key { path: folder.path().join("keys/id"), passphrase: None }, Auth::Agent]);
    assert_eq!(sudo, &Sudo::Password(Secret::new("open-sesame")));
    assert_eq!(
        lab.redactor.redact("a open-sesame b pw-of-registry_push c"),
        "a [secret sudo_password_registry] b [secret registry_push] c"
    );
    assert_eq!(lab.secrets[0].what, "pushes to the registry");
}

#[test]
fn a_check_that_runs_once_is_with_the_first_host_on_which_its_role_is_configured() {
    let folder = lab(None);
    edit(
        folder.path(),
        "roles/base/role.yml",
        "defaults:\n",
        "configured: [{when: \"{{ wanted }}\", missing: nobody wants it here}]\ndefaults:\n  wanted: true\n",
    );
    // The names of these hosts, as packages of a host that takes the default.
    edit(folder.path(), "roles/base/role.yml", "tools: []", "tools: \"{{ role_hosts }}\"");
    let of_base = |folder: &Path| -> (usize, Vec<String>) {
        let lab = read(folder, &[]).unwrap();
        let named = packages(&lab).into_iter().filter(|line| line.starts_with("registry base: package "));
        let named = named.filter(|line| line.ends_with(" deploy") || line.ends_with(" registry")).collect();
        (lab.checks.iter().filter(|check| check.role == "base").count(), named)
    };
    let both = ["registry base: package deploy".to_owned(), "registry base: package registry".to_owned()];
    assert_eq!(of_base(folder.path()), (1, both.to_vec()));
    edit(folder.path(), "inventory/lab.yml", "tools: [git, make]", "tools: [git, make], wanted: false");
    assert_eq!(of_base(folder.path()), (1, both[1..].to_vec()));
    edit(folder.path(), "roles/base/role.yml", "wanted: true", "wanted: false");
    assert_eq!(of_base(folder.path()), (0, Vec::new()));
}

#[test]
fn the_vault_is_asked_for_what_is_declared_and_for_nothing_else() {
    let folder = lab(None);
    let mut vault = memory();
    load(&folder.path().join("inventory/lab.yml"), &mut vault, &[]).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(vault.asked, ["registry_push", "registry.registry [\"registry.lab.example\", \"registry\"] [192.168.56.13]"]);
}

#[test]
fn variables_of_the_command_line_win() {
    let folder = lab(None);
    let lab = read(folder.path(), &[("tools", "[make, gcc]"), ("registry_port", "5001")]).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(packages(&lab).contains(&"registry base: package gcc".to_owned()));
    assert_eq!(lab.services[0].url, "https://registry.lab.example:5001");
    assert_eq!(
        read(folder.path(), &[("toools", "x")]).err().unwrap().to_string(),
        "--set toools: no role and no inventory has a variable `toools`; did you mean `tools`?"
    );
}

#[test]
fn validate_needs_no_secret_no_mirror_and_writes_nothing() {
    let folder = lab(None);
    edit(folder.path(), "inventory/lab.yml", "flows:", "sources: {mirror: not-there}\nflows:");
    edit(
        folder.path(),
        "roles/registry/role.yml",
        "name: docker-distribution",
        "name: docker-distribution, version: \"{{ mirror.rpms['x-y'].version }}\"",
    );
    let lab = validate(&folder.path().join("inventory/lab.yml"), &[]).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(lab.notes.len(), 1);
    assert!(lab.notes[0].contains("not-there"), "{:?}", lab.notes);
    assert!(!folder.path().join(".poclab").exists());
}

#[test]
fn the_mirror_is_a_variable_with_absolute_paths() {
    let folder = lab(None);
    edit(folder.path(), "inventory/lab.yml", "flows:", "sources: {mirror: m}\nflows:");
    edit(
        folder.path(),
        "roles/registry/role.yml",
        "package: {name: docker-distribution}",
        "file: {path: \"{{ mirror.images.registry.archive }}\", content: \"{{ mirror.rpms.x.version }}\"}",
    );
    fs::create_dir(folder.path().join("m")).unwrap();
    let yml = "built: 2026-11-21\nimages: {registry: {reference: \"registry:2\", archive: r.tar, sha256: aa, id: \"sha256:bb\", what: registry}}\nrpms: {x: {version: 1-1, what: x}}\n";
    fs::write(folder.path().join("m/mirror.yml"), yml).unwrap();
    let told = read(folder.path(), &[]).err().unwrap().to_string();
    assert!(told.contains("m/mirror.yml:2:") && told.contains("r.tar is not there"), "{told}");
    fs::write(folder.path().join("m/r.tar"), "").unwrap();
    let lab = read(folder.path(), &[]).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(
        packages(&lab).contains(&format!("registry registry: file {}", folder.path().join("m/r.tar").display())),
        "{:?}",
        packages(&lab)
    );
}

#[test]
fn error_texts_hold_no_secret() {
    let folder = lab(None);
    edit(folder.path(), "roles/registry/role.yml", "name: docker-distribution", "name: [\"{{ secrets.registry_push.password }}\"]");
    edit(folder.path(), "roles/registry/role.yml", "hosts: [\"{{ host.name }}\"]", "hosts: \"{{ secrets.registry_push.password }}\"");
    let told = read(folder.path(), &[]).err().unwrap().to_string();
    assert!(told.contains("[secret registry_push]") && !told.contains("pw-of-registry_push"), "{told}");
}

#[test]
fn the_committed_inventories_are_right_as_far_as_their_roles_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["lab.yml", "rehearsal.yml"] {
        match validate(&root.join("inventory").join(name), &[]) {
            Ok(lab) => assert_eq!(lab.hosts.len(), 4),
            Err(problems) => {
                // A role that is not written yet is the only thing that may be wrong.
                let serious = problems.0.iter().filter(|problem| !problem.what.starts_with("no role"));
                let serious: Vec<String> = serious.map(ToString::to_string).collect();
                assert!(serious.is_empty(), "{}", serious.join("\n"));
            }
        }
    }
}

#[test]
fn a_lab_without_a_splunk_of_its_own_says_what_is_missing_and_what_is_not_proven() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = "  splunk-server: {hosts: [registry], roles: [splunk_server]}";
    let committed = fs::read_to_string(tree.join("inventory/lab.yml")).unwrap();
    let given = [("splunk_general_terms", "--accept-sgt-current-at-splunk-com"), ("splunk_forwarder_sha512", "aa")];
    for group in ["", "  splunk-server: {hosts: [], roles: [splunk_server]} #"] {
        let folder = tempfile::tempdir().unwrap();
        let _links = ["roles", "templates", "app"].map(|n| std::os::unix::fs::symlink(tree.join(n), folder.path().join(n)).unwrap());
        fs::create_dir(folder.path().join("inventory")).unwrap();
        let file = folder.path().join("inventory/lab.yml");
        let rest = committed.lines().map(|line| if line.starts_with(own) { group } else { line });
        fs::write(&file, rest.collect::<Vec<_>>().join("\n")).unwrap();
        let with = |more: &[(&str, &str)]| {
            let vars: Vec<(String, String)> = given.iter().chain(more).map(|(name, value)| ((*name).into(), (*value).into())).collect();
            validate(&file, &vars).unwrap_or_else(|problems| panic!("{problems}"))
        };
        let lab = with(&[]);
        let forwarders = lab.nodes.iter().filter(|node| node.role == "splunk_forwarder");
        let why: Vec<&str> = forwarders.map(|node| node.not_configured.as_deref().unwrap_or("configured")).collect();
        assert!(why.len() == 3 && why.iter().all(|why| why.starts_with("no indexer: set `splunk_indexer: NAME:PORT`")), "{why:?}");
        // With an indexer of one's own: the forwarders are asked, and the search says that nobody can make it.
        let lab = with(&[("splunk_indexer", "splunk.example:9997")]);
        let checks: Vec<(&str, String)> = lab.checks.iter().map(|check| (check.spec.kind(), check.spec.id())).collect();
        let has = |kind: &str, id: &str| checks.contains(&(kind, id.to_owned()));
        assert!(has("splunk_forwarder", "splunk.example:9997") && has("splunk", "deploy"), "{checks:?}");
        assert!(!checks.iter().any(|(kind, _)| *kind == "splunk_outage"), "{checks:?}");
    }
}

#[test]
fn both_inventories_have_the_same_groups_roles_and_flows() {
    let read = |name: &str| -> serde_yaml::Value {
        serde_yaml::from_str(&fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("inventory").join(name)).unwrap()).unwrap()
    };
    let (lab, rehearsal) = (read("lab.yml"), read("rehearsal.yml"));
    for key in ["roles", "domain"] {
        assert_eq!(lab[key], rehearsal[key], "{key}");
    }
    // A rehearsal has one thing more: what plays the site of a vendor, and the way there.
    let mut groups = rehearsal["groups"].clone();
    groups.as_mapping_mut().unwrap().retain(|name, _| name != "datadog-intake");
    assert_eq!(lab["groups"], groups);
    let mut flows = rehearsal["flows"].clone();
    flows.as_sequence_mut().unwrap().retain(|flow| flow["port"] != "8443/tcp");
    assert_eq!(lab["flows"], flows);
}

#[test]
fn the_committed_schemas_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema");
    for (name, schema) in schemas() {
        let made = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
        if std::env::var_os("POCLAB_UPDATE").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), &made).unwrap();
        }
        let committed = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            committed == made,
            "docs/schema/{name} is not what the types say: run POCLAB_UPDATE=1 cargo test --test labfiles, and commit it"
        );
        jsonschema::validator_for(&schema).unwrap();
    }
}

#[test]
fn the_good_lab_fits_the_schemas_that_editors_use() {
    let schemas: BTreeMap<&str, serde_json::Value> = schemas().into_iter().collect();
    for (file, schema) in [
        ("inventory/lab.yml", "inventory.schema.json"),
        ("roles/base/role.yml", "role.schema.json"),
        ("roles/docker/role.yml", "role.schema.json"),
        ("roles/registry/role.yml", "role.schema.json"),
    ] {
        let value: serde_json::Value = serde_yaml::from_str(&fs::read_to_string(cases().join("good").join(file)).unwrap()).unwrap();
        let validator = jsonschema::validator_for(&schemas[schema]).unwrap();
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{file}: {errors:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// A valid file with any piece of it replaced by any text: an answer, never a panic.
    #[test]
    fn mutated_files_never_panic(file in 0usize..5, from in 0.0f64..1.0, length in 0usize..30, text in "[a-z:{}\\[\\]\"'%|. \n\\-#&*!0-9]{0,12}") {
        let folder = lab(None);
        let name = ["inventory/lab.yml", "roles/base/role.yml", "roles/docker/role.yml", "roles/registry/role.yml", "templates/docker/daemon.json.tera"][file];
        let path = folder.path().join(name);
        let good: Vec<char> = fs::read_to_string(&path).unwrap().chars().collect();
        let start = (from * good.len() as f64) as usize;
        let end = (start + length).min(good.len());
        let mutated: String = good[..start].iter().copied().chain(text.chars()).chain(good[end..].iter().copied()).collect();
        fs::write(&path, mutated).unwrap();
        if let Err(problems) = read(folder.path(), &[]) {
            prop_assert!(!problems.0.is_empty());
        }
    }

    /// Any bytes for a file.
    #[test]
    fn any_bytes_never_panic(file in 0usize..3, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let folder = lab(None);
        let name = ["inventory/lab.yml", "roles/base/role.yml", "templates/docker/daemon.json.tera"][file];
        fs::write(folder.path().join(name), bytes).unwrap();
        let _ = read(folder.path(), &[]);
    }
}

/// Scripts are templates: what reaches a host is what must be sound.
#[test]
fn every_script_that_this_lab_renders_is_sound() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lab = validate(&tree.join("inventory/lab.yml"), &[]).unwrap_or_else(|problems| panic!("{problems}"));
    let mut checked = 0;
    for resource in lab.nodes.iter().flat_map(|node| &node.resources) {
        let poclab::resource::Spec::file(spec) = &resource.spec else { continue };
        let Some(script) = spec.content.as_ref().map(|content| content.0.as_str()).filter(|text| text.starts_with("#!/bin/sh")) else {
            continue;
        };
        let mut shellcheck = std::process::Command::new("shellcheck")
            .args(["--shell", "sh", "-"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut shellcheck.stdin.take().unwrap(), script.as_bytes()).unwrap();
        let said = shellcheck.wait_with_output().unwrap();
        assert!(said.status.success(), "{}: {}", spec.path, String::from_utf8_lossy(&said.stdout));
        checked += 1;
    }
    assert!(checked >= 3, "only {checked} scripts were found");
}
