//! Comments and entries as they are written in a file.

use super::super::document::Document;

/// The comment in the lines right above a key, without its marks: that is where a variable is explained.
pub fn comment_above(document: &Document, pointer: &str) -> String {
    let (line, _) = document.key_place(pointer);
    let lines: Vec<&str> = document.text.lines().take(line.saturating_sub(1)).collect();
    let comment = lines.iter().rev().map_while(|line| line.trim_start().strip_prefix('#'));
    let mut comment: Vec<&str> = comment.map(str::trim).filter(|line| !line.starts_with("yaml-language-server")).collect();
    comment.reverse();
    comment.join(" ").trim().to_owned()
}

/// The lines of a list's entry, set out to the left; `None` when the place is not the begin of one.
pub fn entry(document: &Document, pointer: &str) -> Option<String> {
    let (line, _) = document.place(pointer);
    let mut lines = document.text.lines().skip(line.checked_sub(1)?);
    let first = lines.next()?;
    let indent = first.len() - first.trim_start().len();
    if !first.trim_start().starts_with('-') {
        return None;
    }
    let mut text = vec![first];
    text.extend(lines.take_while(|line| line.trim().is_empty() || line.len() - line.trim_start().len() > indent));
    while text.last().is_some_and(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        text.pop();
    }
    Some(text.iter().map(|line| line.get(indent..).unwrap_or_default()).collect::<Vec<_>>().join("\n"))
}

/// A value in YAML, without the line break at its end.
pub fn yaml(value: &serde_json::Value) -> String {
    match value {
        // One line is enough for what is short.
        serde_json::Value::Array(_) | serde_json::Value::Object(_) if value.to_string().len() <= 60 => value.to_string(),
        other => serde_yaml::to_string(other).unwrap_or_else(|_| other.to_string()).trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# about the file\n\ndefaults:\n  # Two lines\n  # of comment.\n  a: 1\n  b: 2\nresources:\n  # for c\n  - file:\n      path: /a\n\n      content: |\n        x\n\n  # the next\n  - file: {path: /b}\nchecks: []\n";

    #[test]
    fn comments_and_entries_are_found() {
        let document = Document::parse("r.yml", FILE, &mut Vec::new()).unwrap();
        assert_eq!(comment_above(&document, "/defaults/a"), "Two lines of comment.");
        assert_eq!(comment_above(&document, "/defaults/b"), "");
        assert_eq!(entry(&document, "/resources/0").unwrap(), "- file:\n    path: /a\n\n    content: |\n      x");
        assert_eq!(entry(&document, "/resources/1").unwrap(), "- file: {path: /b}");
        assert_eq!(entry(&document, "/defaults"), None);
    }

    #[test]
    fn values_are_yaml() {
        assert_eq!(yaml(&serde_json::json!("5")), "'5'");
        assert_eq!(yaml(&serde_json::json!([1, "a"])), r#"[1,"a"]"#);
    }
}
