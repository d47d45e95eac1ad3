//! The folder of a mirror: whose it is, what is in it, and how its files are written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::lock::{Lock, Section};
use super::said;
use crate::base::LocalFile;

/// The folder's own lock.
pub(super) const LOCK: &str = "lock.yml";
/// What a mirror's file is called that says what is in it. Written last: a folder without it is not whole.
pub(super) const MANIFEST: &str = "mirror.yml";
/// Layers of images that are not whole yet.
pub(super) const LAYERS: &str = ".layers";
/// What a file's name ends with as long as it is not whole.
pub(super) const PART: &str = ".part";
/// How every file begins that says what is in such a folder.
pub(super) const SIGN: &str = "Written by `poclab mirror build`";

/// The name of a file as long as it is not whole.
pub(super) fn part(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PART);
    PathBuf::from(name)
}

/// Writes a file whole or not at all; what a link leads to is written, not the link.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let part = part(&place);
    let write = || {
        let mut file = fs::File::create(&part)?;
        file.write_all(bytes)?;
        if let Ok(before) = fs::metadata(&place) {
            file.set_permissions(before.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&part, &place)
    };
    write().map_err(|e| {
        let _ = fs::remove_file(&part);
        format!("cannot write {}: {e}", path.display())
    })
}

/// Refuses a folder that holds something else: whatever the lock does not name is removed from it.
pub(super) fn is_ours(folder: &Path) -> Result<(), String> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(format!("{} cannot be read: {e}", folder.display())),
    };
    // A disk of its own has this one from the beginning.
    let used = entries.flatten().any(|entry| entry.file_name() != "lost+found");
    let signed = |name: &str| fs::read_to_string(folder.join(name)).is_ok_and(|text| text.starts_with(&format!("# {SIGN}")));
    if !used || signed(LOCK) || signed(MANIFEST) {
        return Ok(());
    }
    Err(format!(
        "{} is not empty, and `poclab mirror build` did not make it: files in it could be lost; name another folder, or empty this one",
        folder.display()
    ))
}

/// What the folders of a mirror hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Walked {
    /// Every file and link below the folders of the sections, with its path in the mirror, in order.
    pub files: Vec<String>,
    /// Folders that cannot be read, and why.
    pub unreadable: Vec<(String, String)>,
}

/// Looks at the folders of all sections, down to the last one; links are not followed.
pub(super) fn walk(folder: &Path) -> Walked {
    let mut walked = Walked::default();
    for section in Section::ALL {
        walk_into(folder, section.folder(), &mut walked);
    }
    walked.files.sort();
    walked
}

fn walk_into(folder: &Path, below: &str, walked: &mut Walked) {
    let entries = match fs::read_dir(folder.join(below)) {
        Ok(entries) => entries,
        // What should be in it is missed by name.
        Err(e) if e.kind() == ErrorKind::NotFound => return,
        Err(e) => return walked.unreadable.push((below.to_owned(), e.to_string())),
    };
    for entry in entries {
        match entry.and_then(|entry| Ok((format!("{below}/{}", entry.file_name().to_string_lossy()), entry.file_type()?.is_dir()))) {
            Ok((path, true)) => walk_into(folder, &path, walked),
            Ok((path, false)) => walked.files.push(path),
            Err(e) => walked.unreadable.push((below.to_owned(), e.to_string())),
        }
    }
}

/// Whether a file beside the artifacts belongs there: yum's index and the vendors' keys, what registries said of images.
fn belongs(lock: &Lock, file: &str) -> bool {
    let index_or_key = file.starts_with("rpm/") && !file.ends_with(".rpm") && !file.ends_with(PART);
    index_or_key || lock.images.iter().any(|(name, image)| said::beside(&image.place(Section::Images, name)).contains(&file.to_owned()))
}

/// Removes what earlier locks named: yum would find such packages.
pub(super) fn tidy(lock: &Lock, folder: &Path, say: &mut dyn FnMut(&str)) {
    let wanted: BTreeSet<String> = lock.all().map(|(section, name, artifact)| artifact.place(section, name)).collect();
    for file in walk(folder).files {
        if !wanted.contains(&file) && !belongs(lock, &file) && fs::remove_file(folder.join(&file)).is_ok() {
            say(&format!("removed {file}: the lock does not name it"));
        }
    }
}

/// The sums of all files that are no artifacts.
pub(super) fn others(lock: &Lock, folder: &Path) -> Result<BTreeMap<String, String>, String> {
    let wanted: BTreeSet<String> = lock.all().map(|(section, name, artifact)| artifact.place(section, name)).collect();
    let walked = walk(folder);
    if let Some((place, why)) = walked.unreadable.first() {
        return Err(format!("{} cannot be read: {why}", folder.join(place).display()));
    }
    let rest = walked.files.into_iter().filter(|file| !wanted.contains(file));
    rest.map(|file| {
        let sum = LocalFile::look(&folder.join(&file)).map_err(|e| format!("{} cannot be read: {e}", folder.join(&file).display()))?.sha256;
        Ok((file, sum))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_empty_folders_and_our_own_are_filled() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(is_ours(&dir.path().join("new")), Ok(()));
        assert_eq!(is_ours(dir.path()), Ok(()));
        fs::create_dir(dir.path().join("lost+found")).unwrap();
        assert_eq!(is_ours(dir.path()), Ok(()));
        fs::write(dir.path().join("thesis.tex"), "x").unwrap();
        assert!(is_ours(dir.path()).unwrap_err().contains("name another folder"));
        // A project's lock is nobody's mirror.
        fs::write(dir.path().join(LOCK), "# by hand\nrpms: {}\n").unwrap();
        assert!(is_ours(dir.path()).is_err());
        fs::write(dir.path().join(LOCK), Lock::default().to_yaml(SIGN).unwrap()).unwrap();
        assert_eq!(is_ours(dir.path()), Ok(()));
    }

    #[test]
    fn a_file_is_replaced_whole_also_behind_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("a"), dir.path().join("link"));
        replace(&file, b"one").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(replace(&dir.path().join("none/a"), b"x").unwrap_err().contains("cannot write"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left over");
    }

    #[test]
    fn what_no_lock_names_is_removed_wherever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let files =
            ["rpm/KEY", "rpm/repodata/repomd.xml", "rpm/sub/b.rpm", "rpm/c.rpm", "images/a.tar", "images/a.manifest.json", "tools/x.part"];
        for file in files {
            fs::create_dir_all(dir.path().join(file).parent().unwrap()).unwrap();
            fs::write(dir.path().join(file), "x").unwrap();
        }
        let lock = Lock::parse("images:\n  a: {version: '1', reference: 'a:1', sha256: unverified}\n").unwrap();
        let mut said = Vec::new();
        tidy(&lock, dir.path(), &mut |line| said.push(line.to_owned()));
        assert_eq!(walk(dir.path()).files, ["images/a.manifest.json", "images/a.tar", "rpm/KEY", "rpm/repodata/repomd.xml"]);
        assert_eq!(said.len(), 3, "{said:?}");
        let others = others(&lock, dir.path()).unwrap();
        assert_eq!(others.keys().collect::<Vec<_>>(), ["images/a.manifest.json", "rpm/KEY", "rpm/repodata/repomd.xml"]);
    }
}
