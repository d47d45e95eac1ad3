//! The operator's age identity: the key that opens the secrets of every lab of this operator.
//!
//! An X25519 key and no passphrase: a passphrase would cost a second of scrypt in every run. The file is what has to be
//! protected; it lies outside of the project so that it is not committed or copied along with the state folder.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret;
use age::x25519;
use anyhow::{Context, Result, anyhow, bail};

/// The variable that names another identity file.
pub const VARIABLE: &str = "POCLAB_IDENTITY";

/// `$POCLAB_IDENTITY`, else `$XDG_CONFIG_HOME/poclab/identity.txt`, else `~/.config/poclab/identity.txt`.
pub fn default_path() -> Result<PathBuf> {
    path_from(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

fn path_from(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    if let Some(path) = variable(VARIABLE) {
        return Ok(path);
    }
    // The XDG specification: a relative path is to be ignored.
    let config = variable("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let config = config.or_else(|| variable("HOME").map(|home| home.join(".config")));
    let config = config.with_context(|| format!("neither {VARIABLE} nor HOME is set: name your identity file in {VARIABLE}"))?;
    Ok(config.join("poclab/identity.txt"))
}

/// What an identity file holds; the first key encrypts, all of them decrypt.
pub(super) struct Identities(Vec<x25519::Identity>);

impl Identities {
    /// Who new content is encrypted to.
    pub fn recipient(&self) -> x25519::Recipient {
        self.0[0].to_public()
    }

    pub fn all(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|identity| identity as &dyn age::Identity)
    }

    /// Its public keys, for error texts.
    pub fn names(&self) -> String {
        self.0.iter().map(|identity| identity.to_public().to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Reads a file; `None` when it does not exist.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).with_context(|| format!("cannot read the identity file {}", path.display())),
        };
        let mode = fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            bail!("the identity file {0} may be read by others (mode {mode:04o}): run `chmod 600 {0}`", path.display());
        }
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Vec<x25519::Identity> = lines
            .map(|line| line.parse().map_err(|e| anyhow!("the identity file {} is damaged: {e}", path.display())))
            .collect::<Result<_>>()?;
        if keys.is_empty() {
            bail!("the identity file {} holds no key (a line AGE-SECRET-KEY-1…): restore it, or remove it to start anew", path.display());
        }
        Ok(Some(Self(keys)))
    }

    /// Makes a new identity file (0600, in folders of mode 0700). One that another process makes first wins.
    pub fn create(path: &Path) -> Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("cannot make the folder {} for your identity file", folder.display()))?;
        let identity = x25519::Identity::generate();
        let text = format!(
            "# The key to the secrets of your poclab labs. Keep a copy in a safe place; never commit it.\n# public key: {}\n{}\n",
            identity.to_public(),
            identity.to_string().expose_secret()
        );
        let failed = || format!("cannot write the identity file {}", path.display());
        let part = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part).with_context(failed)?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        // A link fails when the name exists, a rename would overwrite somebody's key.
        let linked = written.and_then(|()| fs::hard_link(&part, path));
        let _ = fs::remove_file(&part);
        match linked {
            Ok(()) => Ok(Self(vec![identity])),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Self::read(path)?.with_context(failed),
            Err(e) => Err(e).with_context(failed),
        }
    }

    /// A key that exists only in memory.
    #[cfg(test)]
    pub fn text(&self) -> String {
        self.0[0].to_string().expose_secret().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_follows_the_environment() {
        let with = |set: &[(&str, &str)]| {
            let set: Vec<(String, PathBuf)> = set.iter().map(|(k, v)| ((*k).to_owned(), PathBuf::from(v))).collect();
            path_from(move |name| set.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
        };
        assert_eq!(with(&[("HOME", "/h")]).unwrap(), Path::new("/h/.config/poclab/identity.txt"));
        assert_eq!(with(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")]).unwrap(), Path::new("/c/poclab/identity.txt"));
        assert_eq!(with(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "c")]).unwrap(), Path::new("/h/.config/poclab/identity.txt"));
        assert_eq!(with(&[("HOME", "/h"), (VARIABLE, "/k")]).unwrap(), Path::new("/k"));
        assert!(with(&[]).unwrap_err().to_string().contains(VARIABLE));
    }

    #[test]
    fn comments_and_several_keys_are_read_and_open_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/id.txt");
        assert!(Identities::read(&path).unwrap().is_none());
        let first = Identities::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        // The one that is there wins.
        assert_eq!(Identities::create(&path).unwrap().names(), first.names());

        let second = Identities::create(&dir.path().join("second.txt")).unwrap();
        fs::write(&path, format!("{}\n\n# c\n{}\n", first.text(), second.text())).unwrap();
        let both = Identities::read(&path).unwrap().unwrap();
        assert_eq!(both.names(), format!("{}, {}", first.names(), second.names()));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let Err(error) = Identities::read(&path) else { panic!("accepted") };
        assert!(error.to_string().contains("chmod 600"), "{error}");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "# nothing\n").unwrap();
        assert!(Identities::read(&path).is_err());
        fs::write(&path, "AGE-SECRET-KEY-1NONSENSE\n").unwrap();
        let Err(error) = Identities::read(&path) else { panic!("accepted") };
        assert!(error.to_string().contains("damaged") && !error.to_string().contains("NONSENSE"), "{error}");
    }
}
