//! A lab that is set up from a folder which `poclab mirror build` filled, and from nothing else.
//!
//! Upstream is a server of this test with the rehearsal's packages and images: what the vendors' servers are for a real lab.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests may panic")]

#[path = "support/container_lab.rs"]
mod container_lab;
#[path = "support/upstream.rs"]
mod upstream;

use std::path::{Path, PathBuf};

use container_lab::{HOSTS, Project, of_kind};
use poclab::mirror::{Lock, Section, Sum};
use upstream::Upstream;

const KEY: &str = "rpm/RPM-GPG-KEY-poclab-rehearsal";

/// The rehearsal's own mirror.
fn rehearsals() -> PathBuf {
    poclab::lab::cache_dir().join("mirror")
}

/// Offers the rehearsal's packages and the images of the base, and writes the lock of that: as a vendor would, but for chrony,
/// whose sum nobody knows.
fn offer(upstream: &Upstream, lock_file: &Path) {
    let mut lock = Lock::read(&rehearsals().join("lock.yml")).unwrap();
    lock.plugins.clear();
    lock.images.retain(|name, _| ["probe", "registry"].contains(&name.as_str()));
    for section in [Section::Rpms, Section::Images] {
        for (name, artifact) in lock.section_mut(section) {
            let file = rehearsals().join(artifact.file.take().unwrap());
            artifact.found = None;
            if section == Section::Images {
                let reference = artifact.reference.clone().unwrap();
                let digest = upstream.archive(name, &artifact.version, &file);
                artifact.sha256 = Sum::Known(digest);
                artifact.url = Some(format!("docker://{}/{name}:{}", upstream.address, reference.rsplit_once(':').unwrap().1));
            } else {
                let path = format!("/Packages/{}", file.file_name().unwrap().to_str().unwrap());
                assert_eq!(Some(upstream.file(&path, &std::fs::read(&file).unwrap()).as_str()), artifact.sha256.known(), "{name}");
                artifact.url = Some(format!("http://{}{path}", upstream.address));
            }
        }
    }
    lock.rpms.get_mut("chrony").unwrap().sha256 = Sum::Unverified;
    std::fs::write(lock_file, lock.to_yaml("of a test").unwrap()).unwrap();
}

#[test]
#[ignore = "needs docker and minutes: make lab-test"]
fn a_lab_comes_out_of_a_fetched_mirror_alone() {
    let lab = Project::with("supply5", "10.102", &[]);
    let upstream = Upstream::new();
    let mirror = lab.folder().join("fetched");
    offer(&upstream, &lab.folder().join("lock.yml"));
    let folder = mirror.to_str().unwrap();
    assert!(lab.poclab(&["mirror", "build", folder]).status.success());
    std::fs::copy(rehearsals().join(KEY), mirror.join(KEY)).unwrap();
    // Recorded with the next one; nothing is fetched again.
    let again = lab.poclab(&["mirror", "build", folder]);
    assert!(String::from_utf8_lossy(&again.stdout).contains(" 0 of them fetched now"), "{again:?}");
    lab.edit_inventory("mirror: ${POCLAB_CACHE}/mirror", &format!("mirror: {folder}"));
    let verified = lab.poclab(&["mirror", "verify"]);
    assert!(verified.status.success() && String::from_utf8_lossy(&verified.stdout).contains("1 unverified, 0 wrong"));

    assert!(lab.poclab(&["rehearse", "up"]).status.success());
    assert_eq!(lab.on("app", "ls /srv/poclab-mirror").lines().filter(|name| *name == "lock.yml").count(), 1, "the hosts see this folder");
    let (exit, events) = lab.events(&["bootstrap", "--no-disruption"]);
    assert_eq!(exit, 0);
    let said = of_kind(&events, "reservation");
    assert_eq!(said.len(), 1, "{said:?}");
    let list = said[0]["list"].as_array().unwrap();
    assert!(said[0]["what"].as_str().unwrap().starts_with("unverified: 1 of ") && list.len() == 1, "{said:?}");
    assert!(list[0].as_str().unwrap().starts_with("chrony "), "{said:?}");
    for host in HOSTS {
        let repos = lab.on(host, "yum -q repolist enabled | tail -n +2");
        assert_eq!(repos.lines().count(), 1, "{host} has one repository: {repos}");
    }
    let (exit, events) = lab.events(&["bootstrap"]);
    assert_eq!((exit, of_kind(&events, "run_done")[0]["changed"].as_u64()), (0, Some(0)));

    a_changed_archive_is_refused(&lab, &mirror);
}

/// The host itself refuses it, with both sums.
fn a_changed_archive_is_refused(lab: &Project, mirror: &Path) {
    let archive = mirror.join("images/probe.tar");
    let good = std::fs::read(&archive).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&archive, &bad).unwrap();
    lab.on("app", "docker rmi -f $(docker images -q busybox) >/dev/null");
    let output = lab.poclab(&["bootstrap", "--host", "app"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1));
    let (have, want) = (poclab::base::sha256(&bad), poclab::base::sha256(&good));
    assert!(text.contains(&have) && text.contains(&want), "both sums are named:\n{text}");
    let verified = lab.poclab(&["mirror", "verify"]);
    let text = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(!verified.status.success() && text.contains(&have) && text.contains(&want), "{text}");
    std::fs::write(&archive, &good).unwrap();
    assert_eq!(lab.poclab(&["bootstrap", "--host", "app", "--no-disruption"]).status.code(), Some(0));
}
