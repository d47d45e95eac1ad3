//! The encrypted file, and the lock that keeps two processes from writing it at once.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::entry::Book;
use super::identity::{Identities, VARIABLE};

/// The encrypted file in the state folder.
pub const FILE: &str = "secrets.age";
/// Who it is encrypted to, for error texts: age files do not say it. Public; not needed to open the file.
const RECIPIENT: &str = "secrets.recipient";
const LOCK: &str = "secrets.lock";

/// How long to wait for another process.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// An open, locked secrets file.
pub(super) struct Disk {
    folder: PathBuf,
    identities: Identities,
    /// The operating system drops the lock with the file, also after a crash.
    _lock: File,
}

/// What opening gave.
pub(super) struct Opened {
    pub disk: Disk,
    pub book: Book,
    /// Worth telling the operator.
    pub notice: Option<String>,
}

impl Disk {
    pub fn open(folder: &Path, lab: &str, identity_path: &Path, wait: Option<Duration>) -> Result<Opened> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("cannot make the state folder {}", folder.display()))?;
        let lock = lock(&folder.join(LOCK), wait.unwrap_or(LOCK_WAIT))?;
        let path = folder.join(FILE);
        let sealed = match fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        };
        let encrypted_to =
            fs::read_to_string(folder.join(RECIPIENT)).map_or_else(|_| "another key".to_owned(), |text| text.trim().to_owned());
        let advice = || {
            format!(
                "restore the identity file, or name the right one in {VARIABLE}; if it is lost, move {} away: \
                 every password and certificate of the lab is then made anew",
                path.display()
            )
        };
        let mut notice = None;
        let identities = match (Identities::read(identity_path)?, &sealed) {
            (Some(identities), _) => identities,
            (None, Some(_)) => bail!(
                "{} is encrypted to {encrypted_to}, and there is no identity file {}: {}",
                path.display(),
                identity_path.display(),
                advice()
            ),
            (None, None) => {
                let identities = Identities::create(identity_path)?;
                notice = Some(format!(
                    "made a new identity, {}: it opens {}. Keep a copy of it in a safe place; without it the lab's secrets are lost",
                    identity_path.display(),
                    path.display()
                ));
                identities
            }
        };
        let book = match sealed {
            None => Book::empty(lab),
            Some(sealed) => {
                let clear = decrypt(&identities, &sealed).map_err(|e| match e {
                    age::DecryptError::NoMatchingKeys => anyhow!(
                        "{} is encrypted to {encrypted_to}, but the identity file {} holds {}: {}",
                        path.display(),
                        identity_path.display(),
                        identities.names(),
                        advice()
                    ),
                    e => anyhow!(
                        "{} is damaged ({e}): restore it from a copy, or move it away: every password and certificate of the lab \
                         is then made anew",
                        path.display()
                    ),
                })?;
                Book::parse(&clear, lab).with_context(|| format!("cannot use {}", path.display()))?
            }
        };
        Ok(Opened { disk: Disk { folder: folder.to_owned(), identities, _lock: lock }, book, notice })
    }

    /// Writes everything: after a crash the file is either the old or the new one.
    pub fn save(&self, book: &Book) -> Result<()> {
        let recipient = self.identities.recipient();
        let sealed = age::encrypt(&recipient, &book.bytes()?).map_err(|e| anyhow!("cannot encrypt the secrets: {e}"))?;
        replace(&self.folder, FILE, &sealed)?;
        let recipient = format!("{recipient}\n");
        if fs::read_to_string(self.folder.join(RECIPIENT)).is_ok_and(|text| text == recipient) {
            return Ok(());
        }
        replace(&self.folder, RECIPIENT, recipient.as_bytes())
    }
}

fn decrypt(identities: &Identities, sealed: &[u8]) -> Result<Vec<u8>, age::DecryptError> {
    let mut clear = Vec::new();
    age::Decryptor::new_buffered(sealed)?.decrypt(identities.all())?.read_to_end(&mut clear)?;
    Ok(clear)
}

/// Replaces a file by way of a temporary one in the same folder; mode 0600.
fn replace(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    let part = folder.join(format!("{name}.tmp"));
    let write = || -> std::io::Result<()> {
        // A leftover of a crash may have other permissions. The lock is held, so it is nobody's.
        match fs::remove_file(&part) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, &path)?;
        // The rename itself must survive a power cut as well.
        File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn lock(path: &Path, wait: Duration) -> Result<File> {
    let failed = || format!("cannot lock {}", path.display());
    let mut file =
        fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).with_context(failed)?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if start.elapsed() < wait => std::thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let holder = if holder.is_empty() { "another process".to_owned() } else { format!("process {holder}") };
                bail!("the secrets in {} are in use by {holder}: wait until it has ended", path.with_file_name(FILE).display());
            }
            Err(TryLockError::Error(e)) => return Err(e).with_context(failed),
        }
    }
    // Only for the message above; the lock itself is the operating system's.
    let named = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id()));
    named.with_context(failed)?;
    Ok(file)
}
