//! What is to be deployed.

use std::fmt;
use std::str::FromStr;

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

/// An image by digest: `registry.example:5000/name@sha256:…`. A tag may stand before the `@`; it says nothing and is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    registry: String,
    name: String,
    digest: String,
}

impl FromStr for Image {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("`{text}` {what}: write registry:port/name@sha256:…, as ci/push leaves it in build/*.digest");
        let (tagged, digest) = text.split_once('@').ok_or_else(|| wrong("has no digest"))?;
        let (registry, path) = tagged.split_once('/').ok_or_else(|| wrong("names no registry"))?;
        let name = path.split_once(':').map_or(path, |(name, _)| name);
        let plain = |text: &str, more: &str| {
            text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        if !plain(registry, ".-:") || !registry.contains(['.', ':']) {
            return Err(wrong("names no registry"));
        }
        if !plain(name, "._-/") || !plain(path, "._-/:") {
            return Err(wrong("has a name with other characters than letters, digits and ._-/"));
        }
        if !digest.strip_prefix("sha256:").is_some_and(|hex| is_hex(hex, 64)) {
            return Err(wrong("has a digest that is not sha256: and 64 hexadecimal digits"));
        }
        Ok(Self { registry: registry.to_owned(), name: name.to_owned(), digest: digest.to_owned() })
    }
}

impl Image {
    /// The same image as the target pulls it: only the registry it was pushed to is replaced, any other one is refused.
    pub fn pulled(&self, push_to: &str, pull_from: &str) -> Result<String, String> {
        if self.registry != push_to && self.registry != pull_from {
            return Err(format!("{}/{} is not in this lab's registry: images come from {push_to}", self.registry, self.name));
        }
        Ok(format!("{pull_from}/{}@{}", self.name, self.digest))
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
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

    fn digest() -> String {
        format!("sha256:{}", "0a".repeat(32))
    }

    #[test]
    fn images_are_pulled_from_the_other_port() {
        let image: Image = format!("registry.lab.example:5000/student_list/simple_api:abc@{}", digest()).parse().unwrap();
        let pulled = format!("registry.lab.example:5443/student_list/simple_api@{}", digest());
        assert_eq!(image.pulled("registry.lab.example:5000", "registry.lab.example:5443").unwrap(), pulled);
        let again: Image = pulled.parse().unwrap();
        assert_eq!(again.pulled("registry.lab.example:5000", "registry.lab.example:5443").unwrap(), pulled);
        let other: Image = format!("evil.example:5000/student_list/simple_api@{}", digest()).parse().unwrap();
        assert!(other.pulled("registry.lab.example:5000", "registry.lab.example:5443").unwrap_err().contains("not in this lab's registry"));
    }

    #[test]
    fn anything_else_is_refused() {
        let digest = digest();
        for bad in [
            "r:5000/a".to_owned(),
            "r:5000/a:latest".to_owned(),
            format!("a@{digest}"),
            format!("library/a@{digest}"),
            format!("r:5000/a b@{digest}"),
            format!("r:5000/a;id@{digest}"),
            format!("r:5000/-a@{digest}"),
            format!("-r:5000/a@{digest}"),
            format!("r:5000/a@{}", digest.to_uppercase()),
            format!("r:5000/a@{digest}0"),
            format!("r:5000/a@{digest}@{digest}"),
        ] {
            assert!(bad.parse::<Image>().is_err(), "{bad}");
        }
        for bad in ["", "main", "abc123", &"A".repeat(40), &format!("{}-dirty", "a".repeat(40))] {
            assert!(bad.parse::<Commit>().is_err(), "{bad}");
        }
        assert!("a".repeat(40).parse::<Commit>().is_ok());
    }
}
