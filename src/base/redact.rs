//! The one redactor that every output passes.

use crate::base::Secret;

/// Replaces known secret values in a text by `[secret NAME]`.
///
/// Values shorter than 4 characters are not replaced: they would hide ordinary words.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    /// Longest value first, so that a secret that contains another one disappears as a whole.
    known: Vec<(Secret, String)>,
}

impl Redactor {
    /// Shortest value that is replaced, in characters.
    pub const MIN_LEN: usize = 4;

    /// A redactor that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a secret known under a name. A value of several lines is also known line by line.
    pub fn learn(&mut self, name: &str, value: &Secret) {
        let whole = value.expose().trim_end_matches('\n');
        let lines = whole.lines().filter(|line| !line.starts_with("-----"));
        for part in std::iter::once(whole).chain(lines) {
            if part.chars().count() >= Self::MIN_LEN && !self.known.iter().any(|(k, _)| k.expose() == part) {
                self.known.push((Secret::new(part), name.to_owned()));
            }
        }
        self.known.sort_by_key(|(value, _)| std::cmp::Reverse(value.expose().len()));
    }

    /// The text without any known secret.
    pub fn redact(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for (value, name) in &self.known {
            if clean.contains(value.expose()) {
                clean = clean.replace(value.expose(), &format!("[secret {name}]"));
            }
        }
        clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_values_and_lines_of_values() {
        let mut redactor = Redactor::new();
        redactor.learn("root", &Secret::new("hunter22"));
        redactor.learn("key", &Secret::new("-----BEGIN KEY-----\nAAAABBBB\n-----END KEY-----\n"));
        assert_eq!(redactor.redact("pw=hunter22;"), "pw=[secret root];");
        assert_eq!(redactor.redact("line AAAABBBB"), "line [secret key]");
        assert_eq!(redactor.redact("-----BEGIN KEY-----"), "-----BEGIN KEY-----");
        assert!(!format!("{redactor:?}").contains("hunter22"));
    }
}
