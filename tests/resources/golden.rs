//! (spec, observed) -> exact script. The files in tests/golden/resource are what poclab sends; each is clean for shellcheck.
//! `POCLAB_BLESS=1` writes them anew: read the difference before it is committed.

use std::path::{Path, PathBuf};
use std::process::Command;

use poclab::resource::{NAMES, Reply, Spec};
use serde_json::{Value, json};

struct Case {
    name: &'static str,
    kind: &'static str,
    specs: Vec<Value>,
    /// What the fragment printed on a host that needs a change of the first one.
    seen: &'static str,
}

fn cases() -> Vec<Case> {
    let case = |name, kind, specs: Value, seen| Case { name, kind, specs: specs.as_array().unwrap().clone(), seen };
    let file = json!([{"path": "/etc/docker/daemon.json", "content": "{}\n", "validate": "dockerd --validate --config-file %s"}, {"path": "/etc/key", "content": "k", "sensitive": true}]);
    let set = json!([{"items": [{"name": "a", "version": "2-1"}, {"name": "b", "version": "1-1"}, {"name": "c", "at_least": "3"}, {"name": "d"}]}]);
    let user = json!([{"name": "ops", "group": "wheel", "groups": ["docker"], "home": "/srv/it's", "shell": "/bin/bash"}]);
    let hook = json!({
        "what": "hook of x", "api": {"url": "https://gitlab.lab.example/api/v4", "ca": "/etc/ca.pem", "headers": {"PRIVATE-TOKEN": "t"}, "installed": "/opt/gitlab/x"},
        "list": "/projects/a%2Fb/hooks?per_page=100", "match": {"url": "https://h/x"}, "want": {"push_events": true}, "write_only": {"token": "it's"},
        "create": {"path": "/projects/a%2Fb/hooks", "body": {"url": "https://h/x"}, "numbers": {"group": {"read": "/groups/a"}}},
        "update": {"path": "/projects/a%2Fb/hooks/{id}"}, "delete": "/projects/a%2Fb/hooks/{id}", "patience": 90,
    });
    vec![
        case("package-install", "package", json!([{"name": "chrony"}]), "package chrony is not installed\n"),
        case("package-set", "package", set, "rpm a 1-1\nrpm b 2-1\nrpm c 2-1\npackage d is not installed\n"),
        case("package-absent", "package", json!([{"name": "podman", "state": "absent"}]), "rpm podman 1.6-1\n"),
        case(
            "yum_repo",
            "yum_repo",
            json!([{"id": "os", "baseurl": "http://h/os/", "gpgkey": "file:///k"}]),
            "absent /etc/yum.repos.d/poclab-os.repo\n",
        ),
        case("yum_repos_only", "yum_repos_only", json!([{}]), "CentOS-Base.repo\npoclab-os.repo\nend\n"),
        case("file-write", "file", file.clone(), "absent /etc/docker/daemon.json\nabsent /etc/key\n"),
        case(
            "file-mode",
            "file",
            file,
            "stat 8180 root root 3 /etc/docker/daemon.json\nabsent /etc/key\nca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356  /etc/docker/daemon.json\n",
        ),
        case(
            "file-absent",
            "file",
            json!([{"path": "/etc/x", "state": "absent"}]),
            "stat 81a4 root root 0 /etc/x\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  /etc/x\n",
        ),
        case("directory-make", "directory", json!([{"path": "/srv/registry", "mode": "0750"}]), "absent /srv/registry\n"),
        case("directory-replace", "directory", json!([{"path": "/srv/registry"}]), "stat 81a4 root root 3 /srv/registry\n"),
        case("link", "link", json!([{"path": "/usr/bin/x", "to": "/opt/x"}]), "0 absent\n"),
        case("user-make", "user", user.clone(), "absent ops\n"),
        case("user-change", "user", user, "user ops:x:1000:1000::/home/ops:/bin/sh\ngroup ops ops\ngroups ops ops\n"),
        case("group", "group", json!([{"name": "docker", "gid": 990, "system": true}]), "absent docker\n"),
        case(
            "service-new",
            "service",
            json!([{"name": "docker"}]),
            "Id=docker.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\nNeedDaemonReload=no\n",
        ),
        case(
            "service-failed",
            "service",
            json!([{"name": "docker"}]),
            "Id=docker.service\nLoadState=loaded\nActiveState=failed\nSubState=failed\nUnitFileState=disabled\nNeedDaemonReload=yes\n",
        ),
        case("hostname", "hostname", json!([{"name": "app.lab.example"}]), "live localhost\nstored localhost\n"),
        case(
            "hosts_entries",
            "hosts_entries",
            json!([{"entries": [{"address": "10.0.0.1", "names": ["a.lab.example", "a"]}]}]),
            "absent /etc/hosts\n",
        ),
        case(
            "sysctl",
            "sysctl",
            json!([{"key": "vm.max_map_count", "value": "262144"}]),
            "absent /etc/sysctl.d/90-poclab-vm.max_map_count.conf\nlive vm.max_map_count 65530\n",
        ),
        case("selinux-lax", "selinux", json!([{"state": "enforcing"}]), "kernel 0\nconfig permissive\n"),
        case("selinux-off", "selinux", json!([{"state": "enforcing"}]), "kernel none\n"),
        case(
            "selinux_boolean",
            "selinux_boolean",
            json!([{"name": "virt_use_nfs", "value": true}, {"name": "httpd_enable_cgi", "value": false}]),
            "selinux on\nlive virt_use_nfs 0 0\nlive httpd_enable_cgi 0 0\n",
        ),
        case("selinux_port", "selinux_port", json!([{"port": "2222/tcp", "type": "ssh_port_t"}]), "selinux on\n"),
        case(
            "selinux_fcontext",
            "selinux_fcontext",
            json!([{"path": "/srv/registry(/.*)?", "type": "container_file_t"}, {"path": "/srv/x", "type": "etc_t", "files": "file"}]),
            "selinux on\n",
        ),
        case(
            "directory-label",
            "directory",
            json!([{"path": "/srv/x"}]),
            "stat 41ed root root 6 /srv/x\nrestorecon reset /srv/x context unconfined_u:object_r:user_home_t:s0->unconfined_u:object_r:var_t:s0\n",
        ),
        case("api_object-create", "api_object", json!([hook]), "api 0 200 2\n[]\n"),
        case(
            "api_object-change",
            "api_object",
            json!([hook]),
            "api 0 200 55\n[{\"id\": 7, \"url\": \"https://h/x\", \"push_events\": false}]\n",
        ),
        case(
            "command",
            "command",
            json!([{"what": "swap is on", "run": "swapon /swap", "unless": "grep -q /swap /proc/swaps"}, {"what": "b", "run": "b", "creates": "/b"}]),
            "0 1\n1 0\n",
        ),
    ]
}

fn read(case: &Case) -> Vec<Spec> {
    let specs: Vec<Spec> = case.specs.iter().map(|value| Spec::read(case.kind, value.clone()).unwrap().unwrap()).collect();
    specs.iter().for_each(|spec| assert_eq!(spec.check(), Vec::<String>::new(), "{}", case.name));
    specs
}

/// File name and script, of every case.
fn scripts() -> Vec<(String, String)> {
    let mut scripts = Vec::new();
    for case in cases() {
        let specs = read(&case);
        let specs: Vec<&Spec> = specs.iter().collect();
        scripts.push((format!("{}.observe.sh", case.name), Spec::observe(&specs)));
        let assessed = Spec::assess(&specs, &Reply { stdout: format!("{}poclab: looked\n", case.seen).into_bytes(), status: 0 });
        let first = &assessed[0];
        assert!(!first.actions.is_empty(), "{}: {:?}", case.name, first.state);
        for (i, action) in first.actions.iter().enumerate() {
            scripts.push((format!("{}.apply{}.sh", case.name, i + 1), format!("# {}\n{}", action.label, action.script)));
        }
    }
    scripts
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/resource")
}

#[test]
fn scripts_are_exactly_as_reviewed() {
    let bless = std::env::var_os("POCLAB_BLESS").is_some();
    let mut wrong = Vec::new();
    for (name, script) in scripts() {
        let path = folder().join(&name);
        if bless {
            std::fs::write(&path, &script).unwrap();
        } else if std::fs::read_to_string(&path).ok().as_deref() != Some(&script) {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "differ from tests/golden/resource: {wrong:?}\nPOCLAB_BLESS=1 cargo test --test resources writes them anew");
}

#[test]
fn every_script_is_clean_for_shellcheck() {
    let there = Command::new("shellcheck").arg("--version").output().is_ok_and(|out| out.status.success());
    if !there {
        assert!(std::env::var_os("POCLAB_REQUIRE_TOOLS").is_none(), "shellcheck is missing");
        return;
    }
    let dir = tempfile::TempDir::new().unwrap();
    let mut paths = Vec::new();
    for (name, script) in scripts() {
        let path = dir.path().join(name);
        std::fs::write(&path, script).unwrap();
        paths.push(path);
    }
    let out = Command::new("shellcheck").args(["-s", "sh"]).args(&paths).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
}

#[test]
fn every_basic_kind_has_a_case() {
    let cases = cases();
    for kind in [
        "package",
        "yum_repo",
        "yum_repos_only",
        "file",
        "directory",
        "link",
        "user",
        "group",
        "service",
        "hostname",
        "hosts_entries",
        "sysctl",
        "selinux",
        "selinux_boolean",
        "selinux_port",
        "selinux_fcontext",
        "command",
    ] {
        assert!(NAMES.contains(&kind) && cases.iter().any(|case| case.kind == kind), "{kind}");
    }
}
