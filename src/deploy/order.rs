//! What is to be deployed.

use std::fmt;
use std::str::FromStr;

use crate::base::is_hex;

/// A commit's full SHA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit(String);

impl FromStr for Commit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if is_hex(text, 40) {
            return Ok(Self(text.to_owned()));
        }
        let hint = if text.ends_with("-dirty") { " (images of a tree with uncommitted changes are not deployed)" } else { "" };
        Err(format!("`{text}` is not a commit: write its full SHA, 40 hexadecimal digits{hint}"))
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Names it on the host: 16 hexadecimal digits.
    pub id: String,
    /// What `/status` must answer afterwards.
    pub commit: Commit,
    /// The images, as the host pulls them.
    pub images: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_a_full_sha() {
        for bad in ["", "main", "abc123", &"A".repeat(40), &format!("{}-dirty", "a".repeat(40))] {
            assert!(bad.parse::<Commit>().is_err(), "{bad}");
        }
        assert!("a".repeat(40).parse::<Commit>().is_ok());
    }
}
