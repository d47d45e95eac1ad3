//! `poclab mirror build`: fills a folder from upstream.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::fetch::Fetcher;
use super::image::{self, Place};
use super::lock::{Artifact, Lock, Section, Sum};
use crate::base::LocalFile;

/// What a mirror's file is called that says what is in it. Written last: a folder without it is not whole.
const MANIFEST: &str = "mirror.yml";

/// A mirror that was filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The lock of the folder: with the places and the sums of all files.
    pub lock: Lock,
    /// How many were downloaded; the others were there already.
    pub fetched: usize,
    /// The sums of those that the lock calls `unverified`: what upstream sent this time.
    pub pins: Vec<(Section, String, String)>,
}

/// Fetches everything that a lock names into a folder, checks it, indexes the packages and writes `mirror.yml` and `lock.yml`.
///
/// What is there already with the right sum is kept. All that goes wrong is in the error, one line each; then there is no `mirror.yml`.
pub fn build(lock: &Lock, folder: &Path, say: &mut dyn FnMut(&str)) -> Result<Built, Vec<String>> {
    let one = |why: String| vec![why];
    let cannot = |what: &str, e: std::io::Error| vec![format!("cannot {what} {}: {e}", folder.display())];
    let before = Lock::read(&folder.join("lock.yml")).unwrap_or_default();
    let fetcher = Fetcher::new().map_err(one)?;
    let work = folder.join(".layers");
    for section in Section::ALL {
        fs::create_dir_all(folder.join(section.folder())).map_err(|e| cannot("make folders in", e))?;
    }
    fs::create_dir_all(&work).map_err(|e| cannot("make folders in", e))?;
    if let Err(error) = fs::remove_file(folder.join(MANIFEST))
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(cannot("write to", error));
    }
    let mut built = Built { lock: Lock::default(), fetched: 0, pins: Vec::new() };
    let (mut ids, mut wrong) = (BTreeMap::new(), Vec::new());
    for (section, name, artifact) in lock.all() {
        let known = before.section(section).get(name);
        let place = folder.join(file_of(section, name, artifact));
        let done = match kept(section, artifact, known, &place) {
            Some((found, sum)) => Ok((found, sum, false)),
            None => get(&fetcher, section, name, artifact, &place, &work, say).map(|(found, sum)| (found, sum, true)),
        };
        match done.and_then(|(found, sum, fetched)| Ok((image_id(section, &place)?, found, sum, fetched))) {
            Err(why) => wrong.push(format!("{section} {}: {why}", artifact.label(name))),
            Ok((id, found, sum, fetched)) => {
                built.fetched += usize::from(fetched);
                if let (Sum::Unverified, Sum::Known(sum)) = (&artifact.sha256, &sum) {
                    built.pins.push((section, name.to_owned(), sum.clone()));
                }
                ids.extend(id.map(|id| (name.to_owned(), id)));
                let file = Some(file_of(section, name, artifact));
                let entry = Artifact { file, found: Some(found), ..artifact.clone() };
                built.lock.section_mut(section).insert(name.to_owned(), entry);
            }
        }
    }
    let _ = fs::remove_dir_all(&work);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    tidy(&built.lock, folder, say);
    index(folder, say).map_err(one)?;
    write_lock(&built.lock, folder).map_err(one)?;
    fs::write(folder.join(MANIFEST), manifest(&built.lock, &ids).map_err(one)?).map_err(|e| cannot("write to", e))?;
    Ok(built)
}

/// Writes a folder's own lock.
pub fn write_lock(lock: &Lock, folder: &Path) -> Result<(), String> {
    let file = folder.join("lock.yml");
    let text = lock.to_yaml("Written by `poclab mirror build`: what is in this folder.")?;
    fs::write(&file, text).map_err(|e| format!("cannot write {}: {e}", file.display()))
}

impl Built {
    /// The folder's lock with the sums that were found out.
    pub fn pinned(&self) -> Result<Lock, String> {
        let mut lock = self.lock.clone();
        for (section, name, sum) in &self.pins {
            let entry = lock.section_mut(*section).get_mut(name).ok_or_else(|| format!("{name} is not in the folder's lock"))?;
            entry.sha256 = Sum::Known(sum.clone());
        }
        Ok(lock)
    }
}

/// Where an artifact is in the folder.
fn file_of(section: Section, name: &str, artifact: &Artifact) -> String {
    let last = artifact.url.as_deref().and_then(|url| url.rsplit('/').next()).unwrap_or(name);
    let file = match section {
        Section::Images => format!("{name}.tar"),
        // Jenkins knows a plugin by the name of its file.
        Section::Plugins => format!("{name}.hpi"),
        Section::Rpms | Section::Tools => last.split(['?', '#']).next().unwrap_or(last).to_owned(),
    };
    format!("{}/{file}", section.folder())
}

/// The sums of a file that is there and is what the lock wants: its own, and the one by which a lock knows it.
fn kept(section: Section, artifact: &Artifact, known: Option<&Artifact>, place: &Path) -> Option<(String, Sum)> {
    let have = LocalFile::look(place).ok()?.sha256;
    let parts = |artifact: &Artifact| (artifact.version.clone(), artifact.url.clone(), artifact.reference.clone(), artifact.sha256.clone());
    let same = known.is_some_and(|known| parts(known) == parts(artifact) && known.found.as_deref() == Some(have.as_str()));
    match (&artifact.sha256, section) {
        // The digest that no lock has yet is only in the registry.
        (Sum::Unverified, Section::Images) => None,
        (Sum::Known(_), Section::Images) => same.then(|| (have, artifact.sha256.clone())),
        (Sum::Known(want), _) => (*want == have).then(|| (have.clone(), Sum::Known(have))),
        (Sum::Unverified, _) => same.then(|| (have.clone(), Sum::Known(have))),
    }
}

/// Downloads one artifact; the sum of its file, and the one by which a lock knows it.
fn get(
    fetcher: &Fetcher,
    section: Section,
    name: &str,
    artifact: &Artifact,
    place: &Path,
    work: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<(String, Sum), String> {
    let url = artifact.url.as_deref().ok_or("the lock says no `url`, so it cannot be fetched; put the file into the folder by hand")?;
    say(&format!("fetching {section} {} from {url}", artifact.label(name)));
    let look = || LocalFile::look(place).map(|file| file.sha256).map_err(|e| format!("{} cannot be read: {e}", place.display()));
    if section == Section::Images {
        let reference = artifact.reference.as_deref().unwrap_or(name);
        let fetched = image::fetch(fetcher, &Place::parse(url)?, reference, artifact.sha256.known(), work, place)?;
        return Ok((look()?, Sum::Known(fetched.digest)));
    }
    fetcher.file(url, place)?;
    let have = look()?;
    if let Some(want) = artifact.sha256.known().filter(|want| *want != have) {
        let _ = fs::remove_file(place);
        return Err(format!("{url} has the SHA-256 {have}, expected {want}; the file was thrown away"));
    }
    Ok((have.clone(), Sum::Known(have)))
}

/// The id of an image, from its archive.
fn image_id(section: Section, archive: &Path) -> Result<Option<String>, String> {
    if section != Section::Images {
        return Ok(None);
    }
    let wrong = |why: String| format!("{} is not an image archive: {why}", archive.display());
    let file = fs::File::open(archive).map_err(|e| wrong(e.to_string()))?;
    let mut tar = tar::Archive::new(file);
    for entry in tar.entries().map_err(|e| wrong(e.to_string()))? {
        let entry = entry.map_err(|e| wrong(e.to_string()))?;
        if entry.path().is_ok_and(|path| path == Path::new("manifest.json")) {
            let value: Value = serde_json::from_reader(entry).map_err(|e| wrong(e.to_string()))?;
            let config = value.pointer("/0/Config").and_then(Value::as_str).and_then(|config| config.strip_suffix(".json"));
            return config.map(|id| Some(format!("sha256:{id}"))).ok_or_else(|| wrong("its manifest names no configuration".to_owned()));
        }
    }
    Err(wrong("it has no manifest.json".to_owned()))
}

/// Removes packages of earlier locks: yum would find them.
fn tidy(lock: &Lock, folder: &Path, say: &mut dyn FnMut(&str)) {
    let wanted: Vec<&str> = lock.all().filter_map(|(_, _, artifact)| artifact.file.as_deref()).collect();
    for section in Section::ALL {
        let Ok(entries) = fs::read_dir(folder.join(section.folder())) else { continue };
        for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
            let name = format!("{}/{}", section.folder(), entry.file_name().to_string_lossy());
            let key = section == Section::Rpms && !name.ends_with(".rpm") && !name.ends_with(".part");
            if !wanted.contains(&name.as_str()) && !key && fs::remove_file(entry.path()).is_ok() {
                say(&format!("removed {name}: the lock does not name it"));
            }
        }
    }
}

/// Makes a yum repository of the packages.
fn index(folder: &Path, say: &mut dyn FnMut(&str)) -> Result<(), String> {
    say("indexing the packages");
    let tool = "createrepo_c";
    let ran = Command::new(tool).arg("--quiet").arg(folder.join(Section::Rpms.folder())).output();
    let out = ran.map_err(|e| {
        format!("{tool}, which indexes the packages, cannot be started: {e}; install it (Debian: createrepo-c) and run again")
    })?;
    if out.status.success() { Ok(()) } else { Err(format!("{tool} failed: {}", String::from_utf8_lossy(&out.stderr).trim())) }
}

/// mirror.yml, as inventories read it.
fn manifest(lock: &Lock, ids: &BTreeMap<String, String>) -> Result<String, String> {
    let with = |artifact: &Artifact, mut entry: Value| {
        if let Some(what) = &artifact.what {
            entry["what"] = json!(what);
        }
        entry
    };
    let rpms = lock.rpms.iter().map(|(name, rpm)| (name.clone(), with(rpm, json!({"version": rpm.version}))));
    let images = lock.images.iter().map(|(name, image)| {
        let entry = json!({"reference": image.reference, "archive": image.file, "sha256": image.found, "id": ids.get(name)});
        (name.clone(), with(image, entry))
    });
    let built = crate::base::now().split('T').next().unwrap_or_default().to_owned();
    let all = json!({"built": built, "rpms": rpms.collect::<serde_json::Map<_, _>>(), "images": images.collect::<serde_json::Map<_, _>>()});
    let text = serde_yaml::to_string(&all).map_err(|e| format!("cannot write {MANIFEST}: {e}"))?;
    Ok(format!("# Written by `poclab mirror build`: what is in this mirror.\n{text}"))
}

/// A lock's text with these sums instead of `unverified`; everything else stays as it is written, comments too.
///
/// An entry is one line, `NAME: {… sha256: unverified …}`; one that is written otherwise is an error that says what to write by hand.
pub fn pin(text: &str, pins: &[(Section, String, String)]) -> Result<String, String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (section, name, sum) in pins {
        let mut inside = false;
        let head = [format!("{name}:"), format!("\"{name}\":")];
        let line = lines.iter_mut().find(|line| {
            if !line.starts_with([' ', '#']) && !line.is_empty() {
                inside = line.starts_with(&format!("{}:", section.key()));
            }
            inside && head.iter().any(|head| line.trim_start().starts_with(head)) && line.contains("sha256: unverified")
        });
        let line = line.ok_or_else(|| {
            format!("{}.{name} is not written on one line with `sha256: unverified`; write by hand: {sum}", section.key())
        })?;
        *line = line.replacen("sha256: unverified", &format!("sha256: {sum}"), 1);
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_written_where_they_belong() {
        let text = "# why\nrpms:\n  git: {version: 1, sha256: unverified}   # comment\nplugins:\n  git: {version: 5, sha256: unverified}\n";
        let sum = "1".repeat(64);
        let pinned = pin(text, &[(Section::Plugins, "git".to_owned(), sum.clone())]).unwrap();
        assert_eq!(pinned, text.replace("version: 5, sha256: unverified", &format!("version: 5, sha256: {sum}")));
        let error = pin(&pinned, &[(Section::Plugins, "git".to_owned(), sum.clone())]).unwrap_err();
        assert!(error.contains(&sum), "{error}");
        assert!(pin(text, &[(Section::Tools, "git".to_owned(), sum)]).is_err());
    }

    #[test]
    fn files_have_a_place_each() {
        let artifact = |url: &str| Artifact {
            version: "1".to_owned(),
            sha256: Sum::Unverified,
            url: Some(url.to_owned()),
            reference: None,
            file: None,
            found: None,
            what: None,
        };
        assert_eq!(file_of(Section::Rpms, "a", &artifact("https://h/x/a-1.rpm")), "rpm/a-1.rpm");
        assert_eq!(file_of(Section::Plugins, "git", &artifact("https://h/git/5/git.hpi")), "plugins/git.hpi");
        assert_eq!(file_of(Section::Images, "registry", &artifact("docker://h/registry:2")), "images/registry.tar");
        assert_eq!(file_of(Section::Tools, "t", &artifact("https://h/t.gz?x=/y")), "tools/y");
    }
}
