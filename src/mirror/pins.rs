//! `--pin`: sums that were found out, written into a lock.

use std::path::Path;

use super::folder;
use super::lock::{Lock, Section, Sum};

/// What upstream sent for an artifact that a lock calls `unverified`: kind, name, sum.
pub type Pin = (Section, String, String);

/// A lock with these sums.
pub fn pinned(lock: &Lock, pins: &[Pin]) -> Lock {
    let mut lock = lock.clone();
    for (section, name, sum) in pins {
        if let Some(entry) = lock.section_mut(*section).get_mut(name) {
            entry.sha256 = Sum::Known(sum.clone());
        }
    }
    lock
}

/// A lock's text with these sums instead of `unverified`; everything else stays as it is written, comments too.
///
/// An entry is one line, `NAME: {… sha256: unverified …}`; one that is written otherwise is an error that says what to write by hand.
pub fn pin(text: &str, pins: &[Pin]) -> Result<String, String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (section, name, sum) in pins {
        let mut inside = false;
        let head = [format!("{name}:"), format!("\"{name}\":")];
        let line = lines.iter_mut().find(|line| {
            if !line.starts_with([' ', '#']) && !line.is_empty() {
                inside = line.starts_with(&format!("{}:", section.key()));
            }
            inside && head.iter().any(|head| line.trim_start().starts_with(head)) && line.contains("sha256: unverified")
        });
        let line = line.ok_or_else(|| {
            format!("{}.{name} is not written on one line with `sha256: unverified`; write by hand: {sum}", section.key())
        })?;
        *line = line.replacen("sha256: unverified", &format!("sha256: {sum}"), 1);
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// Writes these sums into a lock's file, whole or not at all.
pub fn write_pins(path: &Path, pins: &[Pin]) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    let text = pin(&text, pins).map_err(|why| format!("{}: {why}", path.display()))?;
    folder::replace(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_written_where_they_belong() {
        let text = "# why\nrpms:\n  git: {version: 1, sha256: unverified}   # comment\nplugins:\n  git: {version: 5, sha256: unverified}\n";
        let sum = "1".repeat(64);
        let pinned = pin(text, &[(Section::Plugins, "git".to_owned(), sum.clone())]).unwrap();
        assert_eq!(pinned, text.replace("version: 5, sha256: unverified", &format!("version: 5, sha256: {sum}")));
        let error = pin(&pinned, &[(Section::Plugins, "git".to_owned(), sum.clone())]).unwrap_err();
        assert!(error.contains(&sum), "{error}");
        assert!(pin(text, &[(Section::Tools, "git".to_owned(), sum)]).is_err());
    }
}
