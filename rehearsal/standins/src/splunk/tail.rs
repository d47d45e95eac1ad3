//! Files as an input: which there are, what is new in them, and how a file is known again after it was renamed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::forwarder::Input;
use crate::common::sha256;

/// Bytes at a file's beginning by which it is known again.
const HEAD: u64 = 256;
/// Most bytes that are read of a file at once.
const CHUNK: u64 = 8 << 20;

/// How far a file was read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    at: u64,
    /// SHA-256 of its first bytes (as many as were read, at most [`HEAD`]): another file may get a number that became free.
    head: String,
}

/// By device and inode: a file that is renamed is the same file.
pub type Positions = BTreeMap<String, Position>;

/// A line that is new.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The file, under the name that it has now.
    pub source: String,
    /// Number of its input.
    pub input: usize,
    /// The line.
    pub raw: String,
}

/// Whether a name fits a pattern, in which each `*` stands for any number of letters.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// The files of a pattern; in a pattern `*` stands for part of one name. Folders that may not be read are told in `troubles`.
pub fn matching(pattern: &str, troubles: &mut BTreeSet<String>) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for folder in found {
            if !part.contains('*') {
                next.push(folder.join(part));
                continue;
            }
            match std::fs::read_dir(&folder) {
                Ok(entries) => next.extend(
                    entries
                        .flatten()
                        .map(|entry| entry.path())
                        .filter(|path| fits(part, path.file_name().and_then(|name| name.to_str()).unwrap_or_default())),
                ),
                Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(why) => drop(troubles.insert(format!("error opening {}: {why}", folder.display()))),
            }
        }
        found = next;
    }
    found.sort();
    found
}

fn head(file: &mut File, bytes: u64) -> io::Result<String> {
    let mut start = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(bytes).read_to_end(&mut start)?;
    Ok(sha256(&start))
}

/// New whole lines of a file from a position, at most `limit`, and where they end. A file that was emptied, or is another one, is read
/// from its beginning.
pub fn lines(file: &mut File, from: &Position, limit: usize) -> io::Result<(Vec<String>, Position)> {
    let same = file.metadata()?.len() >= from.at && head(file, from.at.min(HEAD))? == from.head;
    let mut at = if same { from.at } else { 0 };
    file.seek(SeekFrom::Start(at))?;
    let (mut reader, mut all, mut line) = (BufReader::new(Read::take(&mut *file, CHUNK)), Vec::new(), Vec::new());
    while all.len() < limit {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            break;
        }
        at += line.len() as u64;
        all.push(String::from_utf8_lossy(&line).trim_end().to_owned());
    }
    Ok((all, Position { at, head: head(file, at.min(HEAD))? }))
}

/// What is new in the files of all inputs, at most `limit` lines, and the positions after it. What may not be read is told in `troubles`.
pub fn news(inputs: &[Input], known: &Positions, limit: usize, troubles: &mut BTreeSet<String>) -> (Vec<Line>, Positions) {
    let (mut all, mut next, mut there) = (Vec::new(), known.clone(), BTreeSet::new());
    let all_files: Vec<(usize, PathBuf)> =
        inputs.iter().enumerate().flat_map(|(n, input)| matching(&input.what, troubles).into_iter().map(move |path| (n, path))).collect();
    for (input, path) in all_files {
        if all.len() >= limit {
            break;
        }
        match read(&path, &next, limit - all.len()) {
            Ok(Some((key, found, position))) => {
                // Renamed while this looked: it is met a second time, and nothing in it is new.
                there.insert(key.clone());
                next.insert(key, position);
                let source = path.display().to_string();
                all.extend(found.into_iter().map(|raw| Line { source: source.clone(), input, raw }));
            }
            Ok(None) => {}
            Err(why) => drop(troubles.insert(format!("error opening {}: {why}", path.display()))),
        }
    }
    // Unless not all of them were looked at.
    if all.len() < limit {
        next.retain(|key, _| there.contains(key));
    }
    (all, next)
}

/// A file's key, its new lines and its position; nothing when it is no file, or gone.
fn read(path: &Path, known: &Positions, limit: usize) -> io::Result<Option<(String, Vec<String>, Position)>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(why),
    };
    // Of what was opened, not of the name: it may be another file's by now.
    let about = file.metadata()?;
    if !about.is_file() {
        return Ok(None);
    }
    let key = format!("{}:{}", about.dev(), about.ino());
    let none = Position { at: 0, head: sha256(b"") };
    let (found, position) = lines(&mut file, known.get(&key).unwrap_or(&none), limit)?;
    Ok(Some((key, found, position)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A folder with the log of a container, and the input that reads it.
    fn container() -> (tempfile::TempDir, PathBuf, Vec<Input>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("c1")).unwrap();
        let log = folder.path().join("c1/c1-json.log");
        let what = format!("{}/*/*-json.log*", folder.path().display());
        (folder, log, vec![Input { what, host: "a".into(), index: "lab".into(), sourcetype: "t".into() }])
    }

    fn append(path: &Path, text: &str) {
        use std::io::Write as _;
        File::options().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn look(inputs: &[Input], known: &Positions) -> (Vec<String>, Positions) {
        let mut troubles = BTreeSet::new();
        let (found, next) = news(inputs, known, 100, &mut troubles);
        assert!(troubles.is_empty(), "{troubles:?}");
        (found.into_iter().map(|line| line.raw).collect(), next)
    }

    #[test]
    fn patterns() {
        for (pattern, name) in [("*-json.log*", "a-json.log"), ("*-json.log*", "a-json.log.1"), ("*", "x"), ("a", "a"), ("a*b*c", "a1b2c")]
        {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*-json.log", "a-json.log.1"), ("*-json.log*", "other.txt"), ("a", "ab"), ("a*b*c", "ac"), ("ab*b", "ab")]
        {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn files_are_read_by_whole_lines() {
        let (folder, log, inputs) = container();
        append(&folder.path().join("c1/other.txt"), "no\n");
        append(&log, "one\ntwo\nthr");
        let (found, next) = look(&inputs, &Positions::new());
        assert_eq!(found, ["one", "two"]);
        append(&log, "ee\n");
        let (found, next) = look(&inputs, &next);
        assert_eq!(found, ["three"]);
        assert_eq!(look(&inputs, &next), (Vec::new(), next.clone()));
        // Emptied and begun anew: shorter, and as long as it was.
        std::fs::write(&log, "new\n").unwrap();
        assert_eq!(look(&inputs, &next).0, ["new"]);
        std::fs::write(&log, "one\ntwo\nTHREE\n").unwrap();
        assert_eq!(look(&inputs, &next).0, ["one", "two", "THREE"]);
    }

    #[test]
    fn logs_that_are_rotated_during_an_outage_arrive_once_and_whole() {
        let (folder, log, inputs) = container();
        let rotated = |n: usize| folder.path().join(format!("c1/c1-json.log.{n}"));
        append(&log, "1\n2\n");
        // Sent, and acknowledged.
        let (found, sent) = look(&inputs, &Positions::new());
        assert_eq!(found, ["1", "2"]);
        // An outage: what was not acknowledged keeps its position. Docker rotates twice meanwhile.
        append(&log, "3\n");
        assert_eq!(look(&inputs, &sent).0, ["3"]);
        std::fs::rename(&log, rotated(1)).unwrap();
        append(&log, "4\n5\n");
        std::fs::rename(rotated(1), rotated(2)).unwrap();
        std::fs::rename(&log, rotated(1)).unwrap();
        append(&log, "6\n");
        let (mut found, next) = look(&inputs, &sent);
        found.sort();
        assert_eq!(found, ["3", "4", "5", "6"]);
        assert_eq!(look(&inputs, &next).0, [""; 0]);
        // The oldest one goes, as `max-file` says, and its number may become another file's.
        std::fs::remove_file(rotated(2)).unwrap();
        std::fs::rename(rotated(1), rotated(2)).unwrap();
        std::fs::rename(&log, rotated(1)).unwrap();
        append(&log, "7\n8\n");
        assert_eq!(look(&inputs, &next).0, ["7", "8"]);
    }

    #[test]
    fn what_does_not_fit_into_a_batch_is_read_next() {
        let (folder, log, inputs) = container();
        append(&log, "1\n2\n3\n");
        append(&folder.path().join("c1/c1-json.log.1"), "0\n");
        let (found, next) = news(&inputs, &Positions::new(), 2, &mut BTreeSet::new());
        assert_eq!(found.iter().map(|line| line.raw.as_str()).collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(found[0].source, log.display().to_string());
        assert_eq!(look(&inputs, &next).0, ["3", "0"]);
    }
}
