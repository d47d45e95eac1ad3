//! Container images by digest.

use std::fmt;
use std::str::FromStr;

/// An image by digest: `registry.example:5000/name@sha256:…`. A tag may stand before the `@`; it says nothing and is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Host, usually with a port.
    pub registry: String,
    /// Repository, without a tag.
    pub name: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
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
        if !is_digest(digest) {
            return Err(wrong("has a digest that is not sha256: and 64 hexadecimal digits"));
        }
        Ok(Self { registry: registry.to_owned(), name: name.to_owned(), digest: digest.to_owned() })
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.registry, self.name, self.digest)
    }
}

impl Image {
    /// The same image where it is pulled from: only the registry that it was pushed to is replaced, any other one is refused.
    pub fn pulled(&self, push_to: &str, pull_from: &str) -> Result<Self, String> {
        if self.registry != push_to && self.registry != pull_from {
            return Err(format!("{}/{} is not in this lab's registry: images come from {push_to}", self.registry, self.name));
        }
        Ok(Self { registry: pull_from.to_owned(), ..self.clone() })
    }
}

/// Whether a text is `sha256:` and 64 hexadecimal digits in lower case.
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| is_hex(hex, 64))
}

/// Whether a text is this many hexadecimal digits in lower case.
pub fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
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
        let pulled = image.pulled("registry.lab.example:5000", "registry.lab.example:5443").unwrap();
        assert_eq!(pulled.to_string(), format!("registry.lab.example:5443/student_list/simple_api@{}", digest()));
        assert_eq!(pulled.pulled("registry.lab.example:5000", "registry.lab.example:5443").unwrap(), pulled);
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
    }
}
