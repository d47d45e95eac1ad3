//! A build's console: lines with their time, secrets masked, in a file that can be read while it grows.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use time::OffsetDateTime;

/// What is written instead of a secret.
const MASK: &str = "****";

/// The console of one build.
pub struct Console {
    inner: Mutex<Inner>,
}

struct Inner {
    file: File,
    timestamps: bool,
    /// Longest first.
    secrets: Vec<String>,
}

impl Console {
    /// Begins a new one.
    pub fn begin(path: &Path) -> std::io::Result<Self> {
        Ok(Self { inner: Mutex::new(Inner { file: File::create(path)?, timestamps: false, secrets: Vec::new() }) })
    }

    /// From now on with times.
    pub fn timestamps(&self) {
        self.lock().timestamps = true;
    }

    /// Masks these as well, until [`Console::unmask`]; also their base64 forms.
    pub fn mask(&self, secrets: &[String]) {
        let mut inner = self.lock();
        for secret in secrets.iter().filter(|secret| !secret.trim().is_empty()) {
            inner.secrets.push(secret.clone());
            // What stands inside a longer text has other ends, so only the middle is sure to be there.
            let coded = STANDARD.encode(secret);
            inner.secrets.push(coded.trim_end_matches('=').to_owned());
        }
        inner.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// Masks these no longer.
    pub fn unmask(&self, secrets: &[String]) {
        let mut inner = self.lock();
        for secret in secrets {
            let coded = STANDARD.encode(secret);
            for text in [secret.as_str(), coded.trim_end_matches('=')] {
                if let Some(at) = inner.secrets.iter().position(|have| have == text) {
                    inner.secrets.remove(at);
                }
            }
        }
    }

    /// Writes lines.
    pub fn say(&self, text: &str) {
        let mut inner = self.lock();
        for line in text.split('\n') {
            let line = inner.secrets.iter().fold(line.to_owned(), |line, secret| line.replace(secret.as_str(), MASK));
            let line = if inner.timestamps { format!("[{}] {line}\n", now()) } else { format!("{line}\n") };
            // A full disk ends the build elsewhere; its console cannot say so.
            let _ = inner.file.write_all(line.as_bytes());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn now() -> String {
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::now_utc().format(format).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_while_they_are_bound() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log");
        let console = Console::begin(&file).unwrap();
        let secrets = ["pass".to_owned(), "password-long".to_owned()];
        console.mask(&secrets);
        console.say("+ login -p password-long\nand pass, cGFzcw==");
        console.unmask(&secrets);
        console.timestamps();
        console.say("pass");
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["+ login -p ****", "and ****, ****=="]);
        assert!(lines[2].starts_with("[20") && lines[2].ends_with("Z] pass"));
    }
}
