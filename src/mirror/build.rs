//! `poclab mirror build`: fills a folder from upstream.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::fetch::Fetcher;
use super::folder::{self, LAYERS, LOCK, MANIFEST};
use super::image::{self, Place};
use super::index::Indexer;
use super::lock::{Artifact, Lock, Section, Sum};
use super::pins::Pin;
use super::{archive, manifest};
use crate::base::LocalFile;

/// A mirror that was filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The lock of the folder: with the places and the sums of all files.
    pub lock: Lock,
    /// How many were downloaded; the others were there already.
    pub fetched: usize,
    /// The sums of those that the lock calls `unverified`: what upstream sent this time.
    pub pins: Vec<Pin>,
}

/// A mirror that is not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// All that went wrong, one line each.
    pub wrong: Vec<String>,
    /// As in [`Built`], of what is there all the same.
    pub pins: Vec<Pin>,
}

impl From<String> for Unfinished {
    fn from(why: String) -> Self {
        Self { wrong: vec![why], pins: Vec::new() }
    }
}

/// Fetches everything that a lock names into a folder, checks it, indexes the packages and writes `lock.yml` and `mirror.yml`.
///
/// What is there already with the right sum is kept, also after a build that failed or was killed: `lock.yml` is written after each
/// artifact. `mirror.yml` alone says that the folder is whole.
pub fn build(lock: &Lock, folder: &Path, say: &mut dyn FnMut(&str)) -> Result<Built, Unfinished> {
    folder::is_ours(folder)?;
    let indexer = Indexer::find()?;
    let work = Work { fetcher: Fetcher::new()?, folder, layers: folder.join(LAYERS) };
    // What cannot be read is fetched again.
    let mut progress = Lock::read(&folder.join(LOCK)).unwrap_or_default();
    // What the lock has no more may have had a file that something else has now.
    for section in Section::ALL {
        progress.section_mut(section).retain(|name, _| lock.section(section).contains_key(name));
    }
    work.begin()?;
    write_lock(&progress, folder)?;
    let mut built = Built { lock: Lock::default(), fetched: 0, pins: Vec::new() };
    let (mut ids, mut wrong) = (BTreeMap::new(), Vec::new());
    for (section, name, artifact) in lock.all() {
        match work.have(section, name, artifact, progress.section(section).get(name), say) {
            Err(why) => wrong.push(format!("{section} {}: {why}", artifact.label(name))),
            Ok(Have { found, sum, id, fetched }) => {
                built.fetched += usize::from(fetched);
                if artifact.sha256 == Sum::Unverified {
                    built.pins.push((section, name.to_owned(), sum));
                }
                ids.extend(id.map(|id| (name.to_owned(), id)));
                let entry = Artifact { file: Some(place(section, name, artifact)), found: Some(found), ..artifact.clone() };
                progress.section_mut(section).insert(name.to_owned(), entry.clone());
                built.lock.section_mut(section).insert(name.to_owned(), entry);
                if fetched {
                    write_lock(&progress, folder)?;
                }
            }
        }
    }
    if !wrong.is_empty() {
        return Err(Unfinished { wrong, pins: built.pins });
    }
    let pins = std::mem::take(&mut built.pins);
    match work.finish(&mut built.lock, &ids, &indexer, say) {
        Ok(()) => Ok(Built { pins, ..built }),
        Err(why) => Err(Unfinished { wrong: vec![why], pins }),
    }
}

/// Writes a folder's own lock.
pub fn write_lock(lock: &Lock, folder: &Path) -> Result<(), String> {
    let text = lock.to_yaml(&format!("{}: what is in this folder.", folder::SIGN))?;
    folder::replace(&folder.join(LOCK), text.as_bytes())
}

/// Where an artifact is put; what somebody else's folder says about that does not matter here.
fn place(section: Section, name: &str, artifact: &Artifact) -> String {
    Artifact { file: None, ..artifact.clone() }.place(section, name)
}

/// An artifact that is in the folder.
struct Have {
    /// SHA-256 of its file.
    found: String,
    /// The sum by which a lock knows it: of images another one.
    sum: String,
    /// Images: the id.
    id: Option<String>,
    fetched: bool,
}

struct Work<'a> {
    fetcher: Fetcher,
    folder: &'a Path,
    layers: PathBuf,
}

impl Work<'_> {
    /// Makes the folders; from now on the mirror is not whole.
    fn begin(&self) -> Result<(), String> {
        let cannot = |what: &str, e: std::io::Error| format!("cannot {what} {}: {e}", self.folder.display());
        for section in Section::ALL {
            fs::create_dir_all(self.folder.join(section.folder())).map_err(|e| cannot("make folders in", e))?;
        }
        fs::create_dir_all(&self.layers).map_err(|e| cannot("make folders in", e))?;
        match fs::remove_file(self.folder.join(MANIFEST)) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(cannot("write to", e)),
            _ => Ok(()),
        }
    }

    /// When everything is there: what is too much is removed, yum's index is made, the folder is called whole.
    fn finish(&self, lock: &mut Lock, ids: &BTreeMap<String, String>, indexer: &Indexer, say: &mut dyn FnMut(&str)) -> Result<(), String> {
        let _ = fs::remove_dir_all(&self.layers);
        folder::tidy(lock, self.folder, say);
        say("indexing the packages");
        indexer.index(&self.folder.join(Section::Rpms.folder()))?;
        lock.files = folder::others(lock, self.folder)?;
        write_lock(lock, self.folder)?;
        folder::replace(&self.folder.join(MANIFEST), manifest::text(lock, ids)?.as_bytes())
    }

    /// Keeps or fetches an artifact. `known`: what the folder's lock said of it.
    fn have(
        &self,
        section: Section,
        name: &str,
        artifact: &Artifact,
        known: Option<&Artifact>,
        say: &mut dyn FnMut(&str),
    ) -> Result<Have, String> {
        let file = self.folder.join(place(section, name, artifact));
        if let Some(have) = self.kept(section, name, artifact, known, &file) {
            return Ok(have);
        }
        let url =
            artifact.url.as_deref().ok_or("the lock says no `url`, so it cannot be fetched: write one (a server of your own will do)")?;
        say(&format!("fetching {section} {} from {url}", artifact.label(name)));
        let want = artifact.sha256.known();
        if section == Section::Images {
            let reference = artifact.reference.as_deref().unwrap_or(name);
            let sum = image::fetch(&self.fetcher, &Place::parse(url)?, reference, want, &self.layers, &file)?;
            return Ok(Have { found: look(&file)?, sum, id: Some(archive::id(&file)?), fetched: true });
        }
        self.fetcher.file(url, &file)?;
        let found = look(&file)?;
        let refuse = |why: String| {
            let _ = fs::remove_file(&file);
            Err(format!("{url} {why}; the file was thrown away"))
        };
        if let Some(want) = want.filter(|want| *want != found) {
            return refuse(format!("has the SHA-256 {found}, expected {want}"));
        }
        match is_what_it_should_be(section, &file)? {
            true => Ok(Have { sum: found.clone(), found, id: None, fetched: true }),
            false => refuse(format!("is no {section} (SHA-256 {found}): a page that says why, perhaps; open it in a browser")),
        }
    }

    /// A file that is there and is what the lock wants.
    fn kept(&self, section: Section, name: &str, artifact: &Artifact, known: Option<&Artifact>, file: &Path) -> Option<Have> {
        let found = look(file).ok()?;
        let parts = |artifact: &Artifact| (artifact.version.clone(), artifact.url.clone(), artifact.reference.clone());
        let same = known.is_some_and(|known| parts(known) == parts(artifact) && known.found.as_deref() == Some(found.as_str()));
        let want = artifact.sha256.known();
        if want.is_none() && !same {
            return None;
        }
        if section == Section::Images {
            let checked = archive::check(file, artifact.reference.as_deref().unwrap_or(name), want).ok()?;
            return Some(Have { found, sum: checked.digest, id: Some(checked.id), fetched: false });
        }
        want.is_none_or(|want| want == found).then(|| Have { sum: found.clone(), found, id: None, fetched: false })
    }
}

fn look(file: &Path) -> Result<String, String> {
    LocalFile::look(file).map(|found| found.sha256).map_err(|e| format!("{} cannot be read: {e}", file.display()))
}

/// Whether a file begins as its kind does. Where no sum is known, a server's page of apologies would be taken for the artifact otherwise.
fn is_what_it_should_be(section: Section, file: &Path) -> Result<bool, String> {
    let begins: &[u8] = match section {
        Section::Rpms => &[0xed, 0xab, 0xee, 0xdb],
        // Archives of Java are zip archives.
        Section::Plugins => b"PK\x03\x04",
        Section::Images | Section::Tools => return Ok(true),
    };
    let mut first = Vec::new();
    let read = fs::File::open(file).and_then(|file| file.take(4).read_to_end(&mut first));
    read.map_err(|e| format!("{} cannot be read: {e}", file.display()))?;
    Ok(first == begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_apologies_are_no_packages() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        let is = |section: Section, content: &[u8]| {
            fs::write(&file, content).unwrap();
            is_what_it_should_be(section, &file).unwrap()
        };
        assert!(is(Section::Rpms, &[0xed, 0xab, 0xee, 0xdb, 3, 0]) && is(Section::Plugins, b"PK\x03\x04..."));
        for section in [Section::Rpms, Section::Plugins] {
            assert!(!is(section, b"<html>") && !is(section, b"") && !is(section, b"PK"), "{section}");
        }
        assert!(is(Section::Tools, b"#!/bin/sh"));
    }
}
