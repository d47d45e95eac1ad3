//! `${…}` in Configuration as Code: variables, secrets by name, and the functions `readFile`, `trim`, `base64`, `decodeBase64`,
//! `readFileBase64`; `${A:-default}`, and `^${A}` for the text itself.
//! (configuration-as-code, docs/features/secrets.adoc)

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Where values come from.
pub struct Sources {
    /// Variables of the environment.
    pub env: fn(&str) -> Option<String>,
    /// The folder of secrets: `/run/secrets`, unless the variable `SECRETS` says otherwise.
    pub secrets: PathBuf,
}

impl Sources {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self {
            env: |name| std::env::var(name).ok(),
            secrets: std::env::var_os("SECRETS").map_or_else(|| PathBuf::from("/run/secrets"), PathBuf::from),
        }
    }

    /// Replaces all `${…}` of a text. What is not known becomes nothing, with a warning, as in the real plugin.
    pub fn resolve(&self, text: &str, warnings: &mut Vec<String>) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let end = closing(&rest[start + 2..]).map(|end| start + 2 + end);
            let Some(end) = end else { break };
            let inner = &rest[start + 2..end];
            if rest[..start].ends_with('^') {
                out.push_str(&rest[..start - 1]);
                out.push_str(&rest[start..=end]);
            } else {
                out.push_str(&rest[..start]);
                let inner = self.resolve(inner, warnings);
                match self.look_up(&inner) {
                    Some(value) => out.push_str(&value),
                    None => {
                        warnings.push(format!("Configuration import: Found unresolved variable '{inner}'. Will default to empty string"));
                    }
                }
            }
            rest = &rest[end + 1..];
        }
        out.push_str(rest);
        out
    }

    fn look_up(&self, key: &str) -> Option<String> {
        let (function, argument) = key.split_once(':').unwrap_or((key, ""));
        match function {
            "readFile" | "file" => std::fs::read_to_string(argument).ok(),
            "readFileBase64" | "fileBase64" => std::fs::read(argument).ok().map(|bytes| STANDARD.encode(bytes)),
            "trim" => Some(argument.trim().to_owned()),
            "base64" => Some(STANDARD.encode(argument)),
            "decodeBase64" => STANDARD.decode(argument).ok().and_then(|bytes| String::from_utf8(bytes).ok()),
            _ => {
                let (name, default) = key.split_once(":-").map_or((key, None), |(name, default)| (name, Some(default.to_owned())));
                let file = || {
                    let plain = !name.is_empty() && !name.contains('/') && name != "..";
                    plain.then(|| std::fs::read_to_string(self.secrets.join(name)).ok()).flatten()
                };
                (self.env)(name).or_else(file).or(default)
            }
        }
    }
}

/// Where the brace that is already open ends.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;

    #[test]
    fn as_documented() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "s3cret\n").unwrap();
        let sources = Sources { env: |name| (name == "A").then(|| "a".to_owned()), secrets: dir.path().to_owned() };
        let mut warnings = Vec::new();
        let path = dir.path().join("token").display().to_string();
        let mut resolve = |text: &str| sources.resolve(text, &mut warnings);
        assert_eq!(resolve("x ${A} y"), "x a y");
        assert_eq!(resolve("${token}"), "s3cret\n");
        assert_eq!(resolve(&format!("${{readFile:{path}}}")), "s3cret\n");
        assert_eq!(resolve(&format!("'${{trim:${{readFile:{path}}}}}'")), "'s3cret'");
        assert_eq!(resolve("^${A} ${NOPE:-d} ${base64:ab}"), "${A} d YWI=");
        assert_eq!(resolve("a ${open"), "a ${open");
        assert_eq!(resolve("[${NOPE}]"), "[]");
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("'NOPE'"));
    }
}
