//! State in memory and in one JSON file, replaced as a whole with every change.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// State that survives restarts.
pub struct Store<T> {
    path: PathBuf,
    state: Mutex<T>,
}

impl<T: Serialize + DeserializeOwned + Default> Store<T> {
    /// Reads the file; begins anew when there is none. A file that cannot be read is an error, never a new start.
    pub fn open(path: &Path) -> io::Result<Self> {
        let state = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|why| io::Error::other(format!("{}: {why}", path.display())))?,
            Err(why) if why.kind() == io::ErrorKind::NotFound => T::default(),
            Err(why) => return Err(why),
        };
        Ok(Self { path: path.to_owned(), state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the state.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock())
    }

    /// Changes the state; it is on disk before this returns.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> io::Result<R> {
        let mut state = self.lock();
        let result = change(&mut state);
        save(&self.path, &*state)?;
        Ok(result)
    }
}

/// Writes a JSON file that only its owner may read, whole or not at all.
pub fn save<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec_pretty(value).map_err(io::Error::other)?)?;
    file.sync_all()?;
    std::fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn state_survives_and_damage_is_no_new_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        Store::<Vec<u32>>::open(&path).unwrap().change(|list| list.push(7)).unwrap();
        assert_eq!(Store::<Vec<u32>>::open(&path).unwrap().read(Clone::clone), [7]);
        std::fs::write(&path, "[7").unwrap();
        assert!(Store::<Vec<u32>>::open(&path).is_err());
    }
}
