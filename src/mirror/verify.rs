//! `poclab mirror verify`: a mirror's folder against its lock, and against the project's.

use std::collections::BTreeSet;
use std::path::Path;

use super::lock::{Lock, Section};
use crate::base::LocalFile;

/// What was found of one artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It is what the lock says.
    Good,
    /// It is what it was when the mirror was made; nobody vouches for that.
    Unverified(String),
    /// It is not.
    Wrong(String),
}

/// Compares every file of a mirror with its lock, and what was fetched with the sums of another lock, if there is one.
///
/// A file that is no artifact of the lock is wrong, too: yum would offer a package that nobody has pinned.
pub fn verify(folder: &Path, lock: &Lock, pinned: Option<&Lock>) -> Vec<(String, Finding)> {
    let mut out = Vec::new();
    let mut known = BTreeSet::new();
    for (section, name, artifact) in lock.all() {
        let label = format!("{section} {}", artifact.label(name));
        let Some(file) = &artifact.file else {
            out.push((label, Finding::Wrong("the mirror's lock does not say where it is".to_owned())));
            continue;
        };
        known.insert(file.clone());
        out.push((label, judge(folder, section, name, lock, pinned)));
    }
    for section in [Section::Rpms, Section::Images, Section::Plugins, Section::Tools] {
        let Ok(entries) = std::fs::read_dir(folder.join(section.folder())) else { continue };
        let mut more: Vec<String> = entries
            .flatten()
            .filter(|entry| !entry.path().is_dir())
            .map(|entry| format!("{}/{}", section.folder(), entry.file_name().to_string_lossy()))
            // The public key beside the packages is no artifact.
            .filter(|file| !known.contains(file) && (section != Section::Rpms || file.ends_with(".rpm")))
            .collect();
        more.sort();
        out.extend(more.into_iter().map(|file| (file, Finding::Wrong("is not in the mirror's lock".to_owned()))));
    }
    for (section, name, artifact) in pinned.into_iter().flat_map(Lock::all) {
        if !lock.section(section).contains_key(name) {
            out.push((format!("{section} {}", artifact.label(name)), Finding::Wrong("is not in the mirror".to_owned())));
        }
    }
    out
}

fn judge(folder: &Path, section: Section, name: &str, lock: &Lock, pinned: Option<&Lock>) -> Finding {
    let artifact = &lock.section(section)[name];
    let file = artifact.file.as_deref().unwrap_or_default();
    let have = match LocalFile::look(&folder.join(file)) {
        Ok(found) => found.sha256,
        Err(error) => return Finding::Wrong(format!("{file} cannot be read: {error}")),
    };
    // An image's sum is its registry's digest; its archive has one of its own.
    let want = artifact.found.as_deref().or_else(|| artifact.sha256.known());
    match want {
        None => return Finding::Wrong(format!("the mirror's lock has no sum for {file}")),
        Some(want) if want != have => return Finding::Wrong(format!("{file} has the SHA-256 {have}, expected {want}")),
        Some(_) => {}
    }
    if section != Section::Images
        && let Some(want) = artifact.sha256.known().filter(|want| *want != have)
    {
        return Finding::Wrong(format!("{file} has the SHA-256 {have}, expected {want}"));
    }
    let Some(other) = pinned.and_then(|pinned| pinned.section(section).get(name)) else {
        return trusted(artifact.sha256.known().is_some(), &have);
    };
    if other.version != artifact.version {
        return Finding::Wrong(format!("the mirror has version {}, the lock wants {}", artifact.version, other.version));
    }
    match (other.sha256.known(), section) {
        (Some(want), Section::Images) if artifact.sha256.known() != Some(want) => {
            let have = artifact.sha256.known().unwrap_or("unverified");
            Finding::Wrong(format!("the mirror has the digest {have}, the lock wants {want}"))
        }
        (Some(want), _) if section != Section::Images && want != have => {
            Finding::Wrong(format!("{file} has the SHA-256 {have}, the lock wants {want}"))
        }
        (Some(_), _) => Finding::Good,
        (None, _) => trusted(false, &have),
    }
}

fn trusted(known: bool, have: &str) -> Finding {
    if known { Finding::Good } else { Finding::Unverified(format!("unverified; its file has the SHA-256 {have}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sha256;

    fn lock(sum: &str, found: &str) -> Lock {
        Lock::parse(&format!("rpms:\n  a: {{version: '1', sha256: {sum}, file: rpm/a.rpm, found: \"{found}\"}}\n")).unwrap()
    }

    #[test]
    fn both_sums_are_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("rpm")).unwrap();
        std::fs::write(dir.path().join("rpm/a.rpm"), "one").unwrap();
        let (one, two) = (sha256(b"one"), sha256(b"two"));
        let say = |lock: &Lock, pinned: Option<&Lock>| verify(dir.path(), lock, pinned).remove(0).1;
        assert_eq!(say(&lock(&one, &one), None), Finding::Good);
        assert!(matches!(say(&lock("unverified", &one), None), Finding::Unverified(why) if why.contains(&one)));
        for (mirror, pinned) in [
            (lock(&two, &two), None),
            (lock(&two, &one), None),
            (lock("unverified", &two), None),
            (lock("unverified", &one), Some(lock(&two, &two))),
        ] {
            let Finding::Wrong(why) = say(&mirror, pinned.as_ref()) else { panic!("{mirror:?}") };
            assert!(why.contains(&one) && why.contains(&two), "{why}");
        }
        assert!(matches!(say(&lock("unverified", &one), Some(&lock("unverified", &one))), Finding::Unverified(_)));
        assert_eq!(say(&lock("unverified", &one), Some(&lock(&one, &one))), Finding::Good);
    }

    #[test]
    fn nothing_is_missing_and_nothing_else_is_there() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("rpm")).unwrap();
        let one = sha256(b"one");
        assert!(matches!(&verify(dir.path(), &lock(&one, &one), None)[..], [(_, Finding::Wrong(why))] if why.contains("cannot be read")));
        std::fs::write(dir.path().join("rpm/a.rpm"), "one").unwrap();
        std::fs::write(dir.path().join("rpm/KEY"), "").unwrap();
        std::fs::write(dir.path().join("rpm/b.rpm"), "").unwrap();
        let found = verify(dir.path(), &lock(&one, &one), None);
        assert_eq!(found[1], ("rpm/b.rpm".to_owned(), Finding::Wrong("is not in the mirror's lock".to_owned())));
        let more = Lock::parse(&format!("tools:\n  t: {{version: '1', sha256: {one}}}\n")).unwrap();
        assert!(
            verify(dir.path(), &lock(&one, &one), Some(&more))
                .iter()
                .any(|(what, finding)| what == "tool t 1" && matches!(finding, Finding::Wrong(_)))
        );
    }
}
