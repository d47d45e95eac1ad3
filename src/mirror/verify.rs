//! `poclab mirror verify`: a mirror's folder against its lock, and against the project's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::folder::{self, MANIFEST};
use super::lock::{Artifact, Lock, Section};
use super::{archive, manifest};
use crate::base::LocalFile;

/// What was found of one artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It is what the lock says.
    Good,
    /// It is what it was when the mirror was made; it is not the vendor's original, but what this says, and no other lock knows it.
    StandIn(String),
    /// It is what it was when the mirror was made; nobody vouches for that.
    Unverified(String),
    /// It is not.
    Wrong(String),
}

/// Compares every file of a mirror with its lock, its mirror.yml with both, and all of it with the sums of another lock, if there is one.
///
/// A file that is no artifact of the lock is wrong, too: yum would offer a package that nobody has pinned.
pub fn verify(folder: &Path, own: &Lock, pinned: Option<&Lock>) -> Vec<(String, Finding)> {
    let judge = Judge { folder, own, pinned };
    let mut out = Vec::new();
    let mut ids = BTreeMap::new();
    for (section, name, artifact) in own.all() {
        let finding = judge.artifact(section, name, artifact, &mut ids).unwrap_or_else(Finding::Wrong);
        out.push((format!("{section} {}", artifact.label(name)), finding));
    }
    judge.files(&mut out);
    // Stand-ins are a rehearsal's; what it does not need is not in its mirror.
    let whole = !judge.stand_ins_alone();
    for (section, name, artifact) in pinned.into_iter().flat_map(Lock::all).filter(|_| whole) {
        if !own.section(section).contains_key(name) {
            out.push((format!("{section} {}", artifact.label(name)), Finding::Wrong("is not in the mirror".to_owned())));
        }
    }
    out.extend(manifest::differences(folder, own, &ids).into_iter().map(|why| (MANIFEST.to_owned(), Finding::Wrong(why))));
    out
}

struct Judge<'a> {
    folder: &'a Path,
    own: &'a Lock,
    pinned: Option<&'a Lock>,
}

impl Judge<'_> {
    /// Whether somebody made all of it himself, as the rehearsal does.
    fn stand_ins_alone(&self) -> bool {
        self.own.all().next().is_some() && self.own.all().all(|(_, _, artifact)| artifact.what.is_some() && artifact.url.is_none())
    }

    /// The finding, or what is wrong; the image's id, if it is one.
    fn artifact(&self, section: Section, name: &str, artifact: &Artifact, ids: &mut BTreeMap<String, String>) -> Result<Finding, String> {
        let file = artifact.file.as_deref().ok_or("the mirror's lock does not say where it is")?;
        let have = LocalFile::look(&self.folder.join(file)).map_err(|e| format!("{file} cannot be read: {e}"))?.sha256;
        let own = artifact.sha256.known();
        // An image's sum is its registry's digest; its archive has one of its own.
        let of_file = own.filter(|_| section != Section::Images || artifact.found.is_none());
        let sums: Vec<&str> = artifact.found.as_deref().into_iter().chain(of_file).collect();
        match sums.iter().find(|want| **want != have) {
            Some(want) => return Err(format!("{file} has the SHA-256 {have}, expected {want}")),
            None if sums.is_empty() => return Err(format!("the mirror's lock has no sum for {file}")),
            None => {}
        }
        let other = self.pinned.and_then(|pinned| pinned.section(section).get(name));
        let stand_in = artifact.what.as_ref().filter(|what| other.is_none_or(|other| other.what.as_ref() != Some(what)));
        if section == Section::Images {
            ids.insert(name.to_owned(), archive::id(&self.folder.join(file))?);
        }
        if let Some(what) = stand_in {
            return Ok(Finding::StandIn(what.clone()));
        }
        if self.pinned.is_some() {
            agrees(artifact, other.ok_or("only the mirror's own lock names it")?)?;
        }
        let vouched = match other {
            Some(other) => other.sha256.known(),
            None => own,
        };
        if section == Section::Images && (artifact.url.is_some() || vouched.is_some()) {
            let reference = artifact.reference.as_deref().unwrap_or(name);
            let again = |why: String| format!("{why}; `poclab mirror build` fetches again what is not as it should be");
            archive::check(&self.folder.join(file), reference, vouched.or(own)).map_err(again)?;
        }
        match vouched {
            Some(want) if section != Section::Images && want != have => {
                Err(format!("{file} has the SHA-256 {have}, the lock wants {want}"))
            }
            Some(_) => Ok(Finding::Good),
            None => Ok(Finding::Unverified(format!("unverified; its file has the SHA-256 {have}"))),
        }
    }

    /// Everything in the folders that is no artifact: what the mirror's lock knows of it, and nothing else.
    fn files(&self, out: &mut Vec<(String, Finding)>) {
        let artifacts: BTreeSet<&str> = self.own.all().filter_map(|(_, _, artifact)| artifact.file.as_deref()).collect();
        let walked = folder::walk(self.folder);
        let mut wrong = |what: String, why: String| out.push((what, Finding::Wrong(why)));
        walked.unreadable.into_iter().for_each(|(place, why)| wrong(place, format!("cannot be read: {why}")));
        // Mirrors that the rehearsal makes say nothing of these.
        let lenient = self.own.files.is_empty() && self.stand_ins_alone();
        let mut unknown = 0;
        for file in walked.files.iter().filter(|file| !artifacts.contains(file.as_str())) {
            match self.own.files.get(file) {
                Some(want) => match LocalFile::look(&self.folder.join(file)) {
                    Ok(have) if have.sha256 == *want => {}
                    Ok(have) => wrong(file.clone(), format!("has the SHA-256 {}, expected {want}", have.sha256)),
                    Err(e) => wrong(file.clone(), format!("cannot be read: {e}")),
                },
                None if lenient && file.starts_with("rpm/") && !file.ends_with(".rpm") => unknown += 1,
                None => {
                    let key = file.starts_with("rpm/") && !file.ends_with(".rpm");
                    let how = if key { ": if it belongs there, `poclab mirror build` records it" } else { "" };
                    wrong(file.clone(), format!("is not in the mirror's lock{how}"));
                }
            }
        }
        for file in self.own.files.keys().filter(|file| !walked.files.contains(file)) {
            wrong(file.clone(), "is missing".to_owned());
        }
        if unknown > 0 {
            let why = format!("{unknown} files (yum's index, keys) have no checksum in the mirror's lock");
            out.push(("rpm".to_owned(), Finding::Unverified(why)));
        }
    }
}

/// Whether the mirror's lock and the other one mean the same artifact; what it is made of is compared apart from that.
fn agrees(artifact: &Artifact, other: &Artifact) -> Result<(), String> {
    let said = |text: Option<&String>| text.map_or("nothing", String::as_str).to_owned();
    for (field, have, want) in [
        ("version", Some(&artifact.version), Some(&other.version)),
        ("reference", artifact.reference.as_ref(), other.reference.as_ref()),
        ("url", artifact.url.as_ref(), other.url.as_ref()),
        ("what", artifact.what.as_ref(), other.what.as_ref()),
    ] {
        if have != want {
            return Err(format!("the mirror has the {field} {}, the lock wants {}", said(have), said(want)));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
