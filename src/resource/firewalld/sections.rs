//! The output of an observation that shows several files and commands.
//!
//! `@ name value` starts a section, every line of its content begins with `|`. So no content can be taken for a
//! section, whatever is in it.

/// Sections in order of appearance.
#[derive(Debug, Clone, Default)]
pub struct Sections(Vec<(String, String, Vec<String>)>);

impl Sections {
    /// Reads an observation's output; lines that belong to no section are ignored.
    pub fn read(text: &str) -> Self {
        let mut sections = Vec::new();
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("@ ") {
                let (name, value) = head.split_once(' ').unwrap_or((head, ""));
                sections.push((name.to_owned(), value.to_owned(), Vec::new()));
            } else if let (Some(content), Some((_, _, lines))) = (line.strip_prefix('|'), sections.last_mut()) {
                lines.push(content.to_owned());
            }
        }
        Self(sections)
    }

    /// The value in the first section head of this name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _, _)| n == name).map(|(_, value, _)| value.as_str())
    }

    /// The values in all section heads of this name.
    pub fn values(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(n, _, _)| n == name).map(|(_, value, _)| value.clone()).collect()
    }

    /// Content of the first section of this name.
    pub fn content(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(n, _, _)| n == name).map(|(_, _, lines)| lines.join("\n"))
    }

    /// Files that were shown: path and text.
    pub fn files(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().filter(|(name, _, _)| name == "file").map(|(_, path, lines)| (path.as_str(), lines.join("\n")))
    }

    /// One file's text, if it exists.
    pub fn file(&self, path: &str) -> Option<String> {
        self.files().find(|(p, _)| *p == path).map(|(_, text)| text)
    }
}

#[cfg(test)]
mod tests {
    use super::Sections;

    #[test]
    fn content_never_looks_like_a_section() {
        let sections = Sections::read("noise\n@ installed yes\n@ file /a b.xml\n|@ file /etc/x\n||\n|\n@ file /empty\n");
        assert_eq!(sections.value("installed"), Some("yes"));
        assert_eq!(sections.file("/a b.xml").as_deref(), Some("@ file /etc/x\n|\n"));
        assert_eq!(sections.file("/empty").as_deref(), Some(""));
        assert_eq!(sections.file("/etc/x"), None);
    }
}
