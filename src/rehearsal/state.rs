//! What this machine keeps about a rehearsal: the login key, the hosts' keys, sudo passwords.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::base::Secret;

/// The file that says that a folder is a rehearsal's, and may be removed with it.
const MARKER: &str = "rehearsal-state";

/// The state folder.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
}

impl State {
    /// Makes the folder (mode 0700) if it is not there.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let folder = std::path::absolute(folder).with_context(|| format!("no such place: {}", folder.display()))?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let state = Self { folder };
        state.write(MARKER, "made by `poclab rehearse up`; `poclab rehearse down` removes this folder\n")?;
        Ok(state)
    }

    /// The folder, absolute.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The public key of the login key; the pair is made at the first call.
    pub fn key(&self) -> anyhow::Result<String> {
        let private = self.folder.join("id_ed25519");
        let public = self.folder.join("id_ed25519.pub");
        if !private.is_file() || !public.is_file() {
            let new = self.folder.join("id_ed25519.new");
            for leftover in [new.clone(), new.with_extension("new.pub")] {
                remove_file(&leftover)?;
            }
            let output = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "poclab-rehearsal", "-f"])
                .arg(&new)
                .output()
                .context("cannot start ssh-keygen; run rehearsal/install-prerequisites")?;
            if !output.status.success() {
                bail!("ssh-keygen made no key in {}: {}", self.folder.display(), String::from_utf8_lossy(&output.stderr).trim());
            }
            fs::rename(new.with_extension("new.pub"), &public).context("cannot keep the public key")?;
            fs::rename(&new, &private).context("cannot keep the private key")?;
        }
        fs::read_to_string(&public).with_context(|| format!("cannot read {}", public.display()))
    }

    /// The sudo password of a host: 24 random hexadecimal digits in `sudo-password-<host>` (mode 0600), made at the first call.
    pub fn sudo_password(&self, host: &str) -> anyhow::Result<Secret> {
        let name = format!("sudo-password-{host}");
        let path = self.folder.join(&name);
        if let Some(line) = fs::read_to_string(&path).ok().as_deref().and_then(|text| text.lines().next()).filter(|line| !line.is_empty()) {
            return Ok(Secret::new(line));
        }
        let mut random = [0_u8; 12];
        getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("this machine gives no random numbers: {error}"))?;
        let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        self.write(&name, &format!("{password}\n"))?;
        Ok(Secret::new(password))
    }

    /// Writes `known_hosts`: the keys of the hosts as they are now.
    pub fn known_hosts(&self, lines: &str) -> anyhow::Result<()> {
        self.write("known_hosts", lines)
    }

    /// Removes the folder, if a rehearsal made it.
    pub fn remove(folder: &Path) -> anyhow::Result<()> {
        if !folder.join(MARKER).is_file() {
            return Ok(());
        }
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).with_context(|| format!("cannot remove {}", folder.display())),
            _ => Ok(()),
        }
    }

    /// A file with mode 0600, complete or not there.
    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        let new = self.folder.join(format!("{name}.new"));
        let write = || -> std::io::Result<()> {
            remove_file(&new)?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(text.as_bytes())?;
            fs::rename(&new, &path)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

fn remove_file(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn passwords_are_made_once_and_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&folder.path().join("state")).unwrap();
        let first = state.sudo_password("app").unwrap();
        assert_eq!(first.expose().len(), 24);
        assert_eq!(first, state.sudo_password("app").unwrap());
        assert_ne!(first, state.sudo_password("other").unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state.folder().join("sudo-password-app")), 0o600);
        assert_eq!(mode(state.folder()), 0o700);
    }

    #[test]
    fn only_a_rehearsals_folder_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("precious"), "x").unwrap();
        State::remove(folder.path()).unwrap();
        assert!(folder.path().join("precious").exists());
        let state = State::open(&folder.path().join("state")).unwrap();
        state.known_hosts("a b c\n").unwrap();
        State::remove(state.folder()).unwrap();
        assert!(!state.folder().exists());
        State::remove(state.folder()).unwrap();
    }
}
