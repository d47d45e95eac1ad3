//! Host keys: poclab's own known-hosts file, pinned fingerprints, and the refusal of everything else.
//!
//! The file has OpenSSH's format: `name type base64`, the name being `address`, `[address]:port` for ports other than 22, a
//! comma-separated list of these, or a hashed one (`|1|…`). Patterns and `@` markers are refused rather than
//! half understood. One key per name is enough: any other key for a pinned name counts as changed, also one of another type.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};

use super::{HostKeyPolicy, SshError, SshTarget};

/// Host key algorithms by the type of key that they use, the preferred one first. `ssh-rsa` (SHA-1) is left out on purpose.
pub(super) const FAMILIES: [(&str, &str); 5] = [
    ("ssh-ed25519", "ssh-ed25519"),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
    ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"),
    ("ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521"),
    ("ssh-rsa", "rsa-sha2-512,rsa-sha2-256"),
];

/// Several worker threads pin keys of several hosts at the same time.
static PINNING: Mutex<()> = Mutex::new(());

/// The fingerprint of a raw public key as `ssh-keygen -l` prints it: `SHA256:` and base64 without padding.
pub fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

/// The name of a server in a known-hosts file.
pub(super) fn entry_name(address: &str, port: u16) -> String {
    let address = address.to_ascii_lowercase();
    if port == 22 { address } else { format!("[{address}]:{port}") }
}

/// The type that a raw public key names itself (its first string, RFC 4253 section 6.6).
pub(super) fn key_type(key: &[u8]) -> Option<&str> {
    let length = u32::from_be_bytes(key.get(..4)?.try_into().ok()?) as usize;
    std::str::from_utf8(key.get(4..4usize.checked_add(length)?)?).ok()
}

/// What we know about one server before we talk to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// The inventory's fingerprint; it has priority over the file.
    Fingerprint(String),
    /// Keys (raw) in the known-hosts file. Never empty.
    Keys(Vec<Vec<u8>>),
    /// Nothing: first contact.
    Nothing,
}

/// What a key is, measured against what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The expected one.
    Good,
    /// Nothing was expected.
    Unknown,
    /// Another one; the text names what was expected.
    Changed(String),
}

impl Expected {
    /// Reads what is expected of a target.
    pub(super) fn load(policy: &HostKeyPolicy, target: &SshTarget) -> Result<Self, SshError> {
        if let Some(pinned) = &target.host_key {
            return Ok(Self::Fingerprint(pinned.trim().trim_end_matches('=').to_owned()));
        }
        let keys = known_keys(&policy.known_hosts, &entry_name(&target.address, target.port))?;
        Ok(if keys.is_empty() { Self::Nothing } else { Self::Keys(keys) })
    }

    /// The algorithms to ask the server for, best first: a host with several keys must show the one that is pinned.
    pub(super) fn preference(&self) -> String {
        let pinned = |family: &str| matches!(self, Self::Keys(keys) if keys.iter().any(|key| key_type(key) == Some(family)));
        let (mut first, rest): (Vec<_>, Vec<_>) = FAMILIES.iter().partition(|(family, _)| pinned(family));
        first.extend(rest);
        first.iter().map(|(_, algorithms)| *algorithms).collect::<Vec<_>>().join(",")
    }

    /// Judges the key that the server has shown.
    pub(super) fn judge(&self, key: &[u8]) -> Verdict {
        match self {
            Self::Nothing => Verdict::Unknown,
            Self::Fingerprint(pinned) if *pinned == fingerprint(key) => Verdict::Good,
            Self::Fingerprint(pinned) => Verdict::Changed(pinned.clone()),
            Self::Keys(keys) if keys.iter().any(|known| known == key) => Verdict::Good,
            Self::Keys(keys) => Verdict::Changed(keys.iter().map(|known| fingerprint(known)).collect::<Vec<_>>().join(" or ")),
        }
    }
}

/// Beside the known-hosts file: keys that had the inventory's fingerprint. Nobody is let in because of them.
fn verified(known_hosts: &Path) -> PathBuf {
    let mut path = known_hosts.as_os_str().to_owned();
    path.push(".verified");
    path.into()
}

/// The key that a server has shown to be its own, as in an authorized_keys file: `ssh-ed25519 AAAA…`. `None`: not met yet.
pub fn known_key(known_hosts: &Path, target: &SshTarget) -> Result<Option<String>, SshError> {
    let name = entry_name(&target.address, target.port);
    let keys = match &target.host_key {
        Some(_) => known_keys(&verified(known_hosts), &name)?,
        None => known_keys(known_hosts, &name)?,
    };
    let fits = |key: &&Vec<u8>| target.host_key.as_ref().is_none_or(|pinned| pinned.trim().trim_end_matches('=') == fingerprint(key));
    Ok(keys.iter().find(fits).and_then(|key| Some(format!("{} {}", key_type(key)?, STANDARD.encode(key)))))
}

/// All keys in the file for a name. A missing file holds none.
fn known_keys(path: &Path, name: &str) -> Result<Vec<Vec<u8>>, SshError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(SshError::Local(format!("cannot read the known host keys in {}: {e}", path.display()))),
    };
    parse(&text, name).map_err(|(line, why)| SshError::Local(format!("{}:{line}: {why}; fix or remove this line", path.display())))
}

/// The keys of one name in the text of a known-hosts file; an error has the line number.
pub(super) fn parse(text: &str, name: &str) -> Result<Vec<Vec<u8>>, (usize, String)> {
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |why: &str| (index + 1, why.to_owned());
        if line.starts_with('@') {
            return Err(wrong("markers (@revoked, @cert-authority) are not supported here"));
        }
        let mut fields = line.split_ascii_whitespace();
        let (Some(names), Some(kind), Some(base64)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(wrong("expected `name type key`"));
        };
        if names.contains(['*', '?', '!']) {
            return Err(wrong("patterns in host names are not supported here"));
        }
        let key = STANDARD.decode(base64).map_err(|_| wrong("the key is not base64"))?;
        if key_type(&key) != Some(kind) {
            return Err(wrong("the key is damaged: it is not of the type that the line says"));
        }
        let mine = if names.starts_with("|1|") {
            hashed_match(line, name, &key).map_err(|why| wrong(&why))?
        } else {
            names.split(',').any(|n| n.eq_ignore_ascii_case(name))
        };
        if mine {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// Whether a line with a hashed name is about this name. libssh2 knows how to hash.
fn hashed_match(line: &str, name: &str, key: &[u8]) -> Result<bool, String> {
    let check = || {
        let mut known = ssh2::Session::new()?.known_hosts()?;
        known.read_str(line, ssh2::KnownHostFileKind::OpenSSH)?;
        Ok(matches!(known.check(name, key), ssh2::CheckResult::Match))
    };
    check().map_err(|e: ssh2::Error| format!("unreadable hashed entry ({})", e.message()))
}

/// Pins a key at first contact. Another thread may have met the same host meanwhile: its key then decides.
pub(super) fn pin(path: &Path, name: &str, key: &[u8]) -> Result<Verdict, SshError> {
    let _one_at_a_time = PINNING.lock().unwrap_or_else(PoisonError::into_inner);
    let already = known_keys(path, name)?;
    if !already.is_empty() {
        return Ok(Expected::Keys(already).judge(key));
    }
    append(path, name, key)
        .map(|()| Verdict::Good)
        .map_err(|e| SshError::Local(format!("cannot pin the host key of {name} in {}: {e}", path.display())))
}

/// Writes down a key that has the inventory's fingerprint: other hosts of the lab need the whole key.
pub(super) fn note(known_hosts: &Path, name: &str, key: &[u8]) -> Result<(), SshError> {
    let _one_at_a_time = PINNING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = verified(known_hosts);
    if known_keys(&path, name)?.iter().any(|known| known == key) {
        return Ok(());
    }
    append(&path, name, key).map_err(|e| SshError::Local(format!("cannot write the host key of {name} to {}: {e}", path.display())))
}

fn append(path: &Path, name: &str, key: &[u8]) -> std::io::Result<()> {
    let kind = key_type(key).ok_or_else(|| std::io::Error::new(ErrorKind::InvalidData, "the server's key is malformed"))?;
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let unfinished = match fs::read(path) {
        Ok(bytes) => bytes.last().is_some_and(|&last| last != b'\n'),
        Err(_) => false,
    };
    let newline = if unfinished { "\n" } else { "" };
    let line = format!("{newline}{name} {kind} {}\n", STANDARD.encode(key));
    // One write in append mode: another poclab process can neither cut into it nor be overwritten by it.
    fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str, body: &[u8]) -> Vec<u8> {
        let mut key = (kind.len() as u32).to_be_bytes().to_vec();
        key.extend(kind.as_bytes());
        key.extend(body);
        key
    }

    fn line(names: &str, key: &[u8]) -> String {
        format!("{names} {} {}\n", key_type(key).unwrap(), STANDARD.encode(key))
    }

    #[test]
    fn a_name_is_found_plain_with_a_port_in_a_list_and_never_for_another_port() {
        let a = key("ssh-ed25519", b"a");
        let text = format!("# comment\n\n{}", line("deploy,[10.0.0.1]:2222", &a));
        assert_eq!(parse(&text, "deploy").unwrap(), vec![a.clone()]);
        assert_eq!(parse(&text, &entry_name("10.0.0.1", 2222)).unwrap(), vec![a]);
        assert!(parse(&text, "10.0.0.1").unwrap().is_empty());
        assert!(parse(&text, &entry_name("deploy", 2222)).unwrap().is_empty());
    }

    #[test]
    fn a_hashed_name_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known");
        let a = key("ssh-rsa", b"a");
        fs::write(&file, line("[10.0.0.1]:2222", &a) + &line("deploy", &a)).unwrap();
        let done = std::process::Command::new("ssh-keygen").arg("-q").arg("-H").arg("-f").arg(&file).status().unwrap();
        assert!(done.success());
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("|1|") && !text.contains("deploy"), "{text}");
        assert_eq!(parse(&text, "[10.0.0.1]:2222").unwrap(), vec![a.clone()]);
        assert_eq!(parse(&text, "deploy").unwrap(), vec![a]);
        assert!(parse(&text, "10.0.0.1").unwrap().is_empty());
        assert!(parse(&text, "other").unwrap().is_empty());
    }

    #[test]
    fn lines_that_are_not_understood_are_refused_by_number() {
        let good = line("deploy", &key("ssh-ed25519", b"a"));
        for (bad, why) in [
            ("@revoked deploy ssh-ed25519 AAAA", "markers"),
            ("*.lab ssh-ed25519 AAAA", "patterns"),
            ("deploy ssh-ed25519", "expected"),
            ("deploy ssh-ed25519 !!!!", "base64"),
            ("deploy ssh-ed25519 AAAA", "damaged"),
        ] {
            let (number, text) = parse(&format!("{good}{bad}\n"), "deploy").unwrap_err();
            assert_eq!(number, 2, "{bad}");
            assert!(text.contains(why), "{bad}: {text}");
        }
    }

    #[test]
    fn the_pinned_type_is_asked_for_first() {
        assert!(Expected::Nothing.preference().starts_with("ssh-ed25519,ecdsa"));
        let rsa = Expected::Keys(vec![key("ssh-rsa", b"a")]);
        assert!(rsa.preference().starts_with("rsa-sha2-512,rsa-sha2-256,ssh-ed25519"));
        assert!(!rsa.preference().split(',').any(|algorithm| algorithm == "ssh-rsa"));
    }

    #[test]
    fn another_key_for_a_pinned_name_is_a_change_whatever_its_type() {
        let (a, b) = (key("ssh-rsa", b"a"), key("ssh-ed25519", b"b"));
        let known = Expected::Keys(vec![a.clone()]);
        assert_eq!(known.judge(&a), Verdict::Good);
        assert_eq!(known.judge(&b), Verdict::Changed(fingerprint(&a)));
        assert_eq!(Expected::Fingerprint(fingerprint(&b)).judge(&b), Verdict::Good);
        assert_eq!(Expected::Fingerprint(fingerprint(&b)).judge(&a), Verdict::Changed(fingerprint(&b)));
        assert_eq!(Expected::Nothing.judge(&a), Verdict::Unknown);
    }

    #[test]
    fn pinning_creates_a_private_file_repairs_a_missing_newline_and_never_replaces() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("new/known_hosts");
        let (a, b) = (key("ssh-rsa", b"a"), key("ssh-ed25519", b"b"));
        assert_eq!(pin(&file, "one", &a).unwrap(), Verdict::Good);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        let cut = fs::read_to_string(&file).unwrap().trim_end().to_owned();
        fs::write(&file, cut).unwrap();
        assert_eq!(pin(&file, "two", &b).unwrap(), Verdict::Good);
        assert_eq!(pin(&file, "one", &b).unwrap(), Verdict::Changed(fingerprint(&a)));
        assert_eq!(known_keys(&file, "one").unwrap(), vec![a]);
        assert_eq!(known_keys(&file, "two").unwrap(), vec![b]);
    }

    #[test]
    fn many_threads_pin_without_losing_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known_hosts");
        std::thread::scope(|scope| {
            for n in 0..16u8 {
                let file = &file;
                scope.spawn(move || pin(file, &format!("host{}", n / 2), &key("ssh-rsa", &[n / 2])).unwrap());
            }
        });
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 8);
    }

    #[test]
    fn the_fingerprint_is_the_one_that_ssh_keygen_prints() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let made = std::process::Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file).status().unwrap();
        assert!(made.success());
        let public = fs::read_to_string(file.with_extension("pub")).unwrap();
        let key = STANDARD.decode(public.split(' ').nth(1).unwrap()).unwrap();
        let listed = std::process::Command::new("ssh-keygen").arg("-lf").arg(&file).output().unwrap().stdout;
        assert!(String::from_utf8(listed).unwrap().contains(&fingerprint(&key)));
    }
}
