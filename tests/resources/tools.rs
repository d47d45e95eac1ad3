//! Kinds that use tools of the host, against tools that answer as the real ones do (exit statuses from documentation).

use std::os::unix::fs::PermissionsExt;

use poclab::resource::{package, selinux, service};
use serde_json::json;

use crate::shell::{Host, hosts, reasons, spec};

fn tool(host: &mut Host, name: &str, script: &str) {
    let path = host.path(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    host.prelude = format!("PATH={}:$PATH", host.dir.path().to_str().unwrap());
}

/// rpm that knows the packages in the folder `db`: a file each, named as the package, with its version.
fn rpm(host: &mut Host) {
    std::fs::create_dir_all(host.path("db")).unwrap();
    let db = host.path("db");
    tool(
        host,
        "rpm",
        &format!(
            "e=0; shift; f=; case $1 in --qf) f=$2; shift 2;; esac\nfor p; do if [ -e {db}/\"$p\" ]; then v=$(cat {db}/\"$p\"); \
             case $f in *NAME*) echo \"rpm $p $v\";; *) echo \"$v\";; esac; else echo \"package $p is not installed\"; e=$((e + 1)); fi; done; exit $e"
        ),
    );
}

#[test]
fn yum_is_believed_only_when_rpm_agrees() {
    for mut host in hosts() {
        rpm(&mut host);
        let (log, installed) = (host.path("log"), host.path("db/docker-ce"));
        let docker: package::Spec = spec(json!({"items": [{"name": "docker-ce", "version": "26.1.4-1.el7"}, {"name": "tar"}]}));
        std::fs::write(host.path("db/tar"), "1.26-35.el7\n").unwrap();
        assert_eq!(reasons(&host, &docker), ["docker-ce: not installed, want 26.1.4-1.el7"]);

        tool(&mut host, "yum", "exit 0");
        let (status, output) = host.step(&host.actions(&docker).remove(0));
        assert!(status != 0 && output.contains("yum succeeded but docker-ce is not installed"), "{output}");

        tool(&mut host, "yum", &format!("echo 27.0.1-1.el7 >{installed}"));
        let (status, output) = host.step(&host.actions(&docker).remove(0));
        assert!(status != 0 && output.contains("docker-ce is 27.0.1-1.el7, want 26.1.4-1.el7"), "{output}");

        tool(&mut host, "yum", &format!("echo \"$@\" >>{log}; echo 26.1.4-1.el7 >{installed}"));
        host.converge(&docker);
        let used = std::fs::read_to_string(&log).unwrap();
        let options = "--setopt=skip_missing_names_on_install=False --setopt=exit_on_lock=1 --setopt=timeout=15 --setopt=retries=3";
        assert_eq!(used, format!("-y {options} downgrade docker-ce-26.1.4-1.el7\n"));
    }
}

#[test]
fn a_held_lock_and_a_failure_are_told_apart() {
    for mut host in hosts() {
        rpm(&mut host);
        tool(&mut host, "sleep", "exit 0");
        let tar: package::Spec = spec(json!({"name": "tar"}));
        // The lock is free the third time.
        let (count, db) = (host.path("count"), host.path("db/tar"));
        tool(&mut host, "yum", &format!("echo x >>{count}; [ \"$(wc -l <{count})\" -gt 2 ] || exit 200; echo 1-1 >{db}"));
        host.converge(&tar);
        std::fs::remove_file(host.path("db/tar")).unwrap();
        tool(&mut host, "yum", "echo 'Another app is currently holding the yum lock' >&2; exit 200");
        let (status, output) = host.step(&host.actions(&tar).remove(0));
        assert!(status != 0 && output.contains("yum is locked by another program (process "), "{output}");
        tool(&mut host, "yum", "echo 'Could not resolve host: vault.centos.org' >&2; exit 1");
        let (status, output) = host.step(&host.actions(&tar).remove(0));
        assert!(
            status != 0 && output.contains("Could not resolve host") && output.contains("yum install failed with exit status 1"),
            "{output}"
        );
    }
}

#[test]
fn a_service_that_does_not_start_shows_its_log() {
    for mut host in hosts() {
        tool(
            &mut host,
            "systemctl",
            "case $1 in show) printf 'Id=x.service\\nLoadState=loaded\\nActiveState=failed\\nSubState=failed\\nUnitFileState=enabled\\nNeedDaemonReload=no\\n';; start) exit 5;; esac",
        );
        tool(&mut host, "journalctl", "echo 'x[1]: cannot bind'");
        let x: service::Spec = spec(json!({"name": "x"}));
        assert_eq!(reasons(&host, &x), ["is failed (failed), want it running"]);
        let (status, output) = host.step(&host.actions(&x).remove(0));
        assert!(status == 5 && output.contains("cannot bind"), "{status} {output}");
    }
}

#[test]
fn a_bare_host_can_be_looked_at() {
    for mut host in hosts() {
        // Neither systemctl nor rpm nor getenforce: only the shell and coreutils.
        let bin = host.path("bin");
        std::fs::create_dir(&bin).unwrap();
        for name in ["cat", "stat", "sha256sum", "head", "sed"] {
            let real =
                ["/usr/bin/", "/bin/"].iter().map(|dir| format!("{dir}{name}")).find(|path| std::path::Path::new(path).exists()).unwrap();
            std::os::unix::fs::symlink(real, format!("{bin}/{name}")).unwrap();
        }
        host.prelude = format!("PATH={bin}");
        assert_eq!(reasons(&host, &spec::<package::Spec>(json!({"name": "tar"}))), ["not installed"]);
        assert_eq!(
            reasons(&host, &spec::<service::Spec>(json!({"name": "x"}))),
            ["there is no such unit yet, want it enabled and running"]
        );
        if !std::path::Path::new("/sys/fs/selinux/enforce").exists() {
            let required: selinux::Spec = spec(json!({"state": "enforcing"}));
            assert!(reasons(&host, &required)[0].contains("needs a reboot"));
            let (status, output) = host.step(&host.actions(&required).remove(0));
            assert!(status != 0 && output.contains("SELinux is off in the running kernel"), "{output}");
        }
    }
}
