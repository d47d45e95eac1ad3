//! What is in the secrets file.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::lab::ca::hex;

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// User, password and its bcrypt line.
    Login,
    /// A value that the operator set.
    Value,
    /// An SSH key pair.
    #[serde(rename = "ssh key")]
    SshKey,
    /// A certificate and its key.
    Certificate,
    /// The lab CA and its key.
    Ca,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Login => "login",
            Kind::Value => "value",
            Kind::SshKey => "ssh key",
            Kind::Certificate => "certificate",
            Kind::Ca => "ca",
        })
    }
}

/// One entry. No `Debug`: its values are secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub kind: Kind,
    /// What it is for.
    pub what: String,
    /// RFC 3339, UTC.
    pub created: String,
    pub values: BTreeMap<String, String>,
}

impl Entry {
    pub fn new(kind: Kind, what: &str, now: OffsetDateTime, values: &[(&str, &str)]) -> Self {
        let values = values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self { kind, what: what.to_owned(), created: stamp(now), values }
    }

    /// A value; empty when it is not there.
    pub fn value(&self, key: &str) -> &str {
        self.values.get(key).map_or("", String::as_str)
    }
}

/// The whole content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Book {
    pub version: u32,
    pub lab: String,
    pub entries: BTreeMap<String, Entry>,
}

/// The format that this program reads and writes.
pub(super) const VERSION: u32 = 1;

impl Book {
    pub fn empty(lab: &str) -> Self {
        Self { version: VERSION, lab: lab.to_owned(), entries: BTreeMap::new() }
    }

    /// Reads the decrypted content; `Err` says what is wrong with it, without quoting it.
    pub fn parse(bytes: &[u8], lab: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        // serde's own message may quote a value, so only its position is passed on.
        let blind = |e: serde_json::Error| anyhow!("its content is damaged (line {}, column {})", e.line(), e.column());
        let head: Head = serde_json::from_slice(bytes).map_err(blind)?;
        if head.version != VERSION {
            bail!("its format is version {}, this poclab reads version {VERSION}: use the poclab that wrote it", head.version);
        }
        let book: Book = serde_json::from_slice(bytes).map_err(blind)?;
        if book.lab != lab {
            bail!("it belongs to the lab {:?}, not to {lab:?}: is the state folder the right one?", book.lab);
        }
        Ok(book)
    }

    pub fn bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).context("cannot serialize the secrets")
    }
}

/// Letters and digits without those that look like others (`0 O o 1 l I i L`).
const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789";
/// Characters of a generated password: 24 × log2(54) = 138 bits.
const PASSWORD_LEN: usize = 24;

/// A new password from the operating system's randomness. It has lower-case and upper-case letters and digits, as the
/// password rules of some products demand.
pub(super) fn password() -> Result<String> {
    loop {
        let mut word = String::with_capacity(PASSWORD_LEN);
        while word.len() < PASSWORD_LEN {
            let mut bytes = [0u8; 64];
            getrandom::fill(&mut bytes).map_err(|e| anyhow!("the operating system gives no random bytes: {e}"))?;
            // Only multiples of the alphabet's length, so that no character is more likely than another.
            let fair = 256 / ALPHABET.len() * ALPHABET.len();
            let picked = bytes.iter().map(|&b| usize::from(b)).filter(|&b| b < fair).map(|b| char::from(ALPHABET[b % ALPHABET.len()]));
            word.extend(picked.take(PASSWORD_LEN - word.len()));
        }
        let has = |test: fn(&char) -> bool| word.chars().any(|c| test(&c));
        if has(char::is_ascii_lowercase) && has(char::is_ascii_uppercase) && has(char::is_ascii_digit) {
            return Ok(word);
        }
    }
}

/// The line for an htpasswd file. `$2y$` is what Apache's htpasswd writes and every reader takes.
pub(super) fn htpasswd(user: &str, password: &str, cost: u32) -> Result<String> {
    let hash = bcrypt::non_truncating_hash_with_result(password, cost)
        .map_err(|e| anyhow!("cannot hash the password of {user:?} with bcrypt: {e}"))?;
    Ok(format!("{user}:{}", hash.format_for_version(bcrypt::Version::TwoY)))
}

/// Ties a bcrypt line to user and password, so that a load can tell that they belong together without paying for bcrypt.
pub(super) fn binding(user: &str, password: &str, htpasswd: &str) -> String {
    let mut hash = Sha256::new();
    for part in ["poclab login 1", user, password, htpasswd] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// RFC 3339 in whole seconds.
pub(super) fn stamp(at: OffsetDateTime) -> String {
    let at = at.replace_nanosecond(0).unwrap_or(at);
    at.format(&Rfc3339).unwrap_or_else(|_| at.unix_timestamp().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_mixed_and_different() {
        let words: std::collections::BTreeSet<_> = (0..200).map(|_| password().unwrap()).collect();
        assert_eq!(words.len(), 200);
        for word in &words {
            assert_eq!(word.len(), PASSWORD_LEN);
            assert!(word.bytes().all(|b| ALPHABET.contains(&b)));
            assert!(!word.contains(['0', 'O', 'o', '1', 'l', 'I', 'i', 'L']));
            assert!(word.chars().any(|c| c.is_ascii_digit()));
        }
    }

    #[test]
    fn bindings_tell_the_parts_apart() {
        assert_ne!(binding("a", "bc", "d"), binding("ab", "c", "d"));
        assert_ne!(binding("a", "b", "c"), binding("a", "b", "d"));
    }

    #[test]
    fn a_damaged_content_is_not_quoted() {
        let Err(error) = Book::parse(br#"{"version":1,"lab":"x","entries":"hunter22"}"#, "x") else { panic!("accepted") };
        assert!(!format!("{error:#}").contains("hunter22"), "{error:#}");
    }
}
