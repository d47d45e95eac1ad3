//! Hashes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// sha256 in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// sha256 of all that a reader gives, in lower-case hexadecimal.
pub fn sha256_of(reader: &mut impl io::Read) -> io::Result<String> {
    let mut digest = Sha256::new();
    io::copy(reader, &mut digest)?;
    Ok(hex(&digest.finalize()))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A file of this machine, by its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile {
    /// Where it is.
    pub path: PathBuf,
    /// Length in bytes.
    pub len: u64,
    /// sha256 in lower-case hexadecimal.
    pub sha256: String,
}

/// Files that were read before, with the time of their last change: a large one is compared on many hosts.
static READ: Mutex<BTreeMap<PathBuf, (SystemTime, LocalFile)>> = Mutex::new(BTreeMap::new());

impl LocalFile {
    /// Looks at a file; reads it once as long as it does not change.
    pub fn look(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let changed = about.modified()?;
        let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, known)) = read.get(path)
            && (*when, known.len) == (changed, about.len())
        {
            return Ok(known.clone());
        }
        let mut digest = Sha256::new();
        let len = io::copy(&mut file, &mut digest)?;
        let found = Self { path: path.to_owned(), len, sha256: hex(&digest.finalize()) };
        read.insert(path.to_owned(), (changed, found.clone()));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_file_is_known_by_its_content_and_read_again_when_it_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        std::fs::write(&path, "one").unwrap();
        let one = LocalFile::look(&path).unwrap();
        assert_eq!((one.len, one.sha256.as_str()), (3, sha256(b"one").as_str()));
        assert_eq!(LocalFile::look(&path).unwrap(), one);
        std::fs::write(&path, "other").unwrap();
        assert_eq!(LocalFile::look(&path).unwrap().sha256, sha256(b"other"));
        assert!(LocalFile::look(dir.path()).is_err());
        assert!(LocalFile::look(&dir.path().join("none")).is_err());
    }
}
