//! Splunk's .conf files: stanzas of `key = value`.

use std::collections::BTreeMap;
use std::path::Path;

/// Stanzas by name; what stands before the first one is in `default`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conf(pub BTreeMap<String, BTreeMap<String, String>>);

impl Conf {
    /// Reads a file of `etc/system/local`; empty when there is none.
    pub fn read(home: &Path, name: &str) -> Result<Self, String> {
        let path = home.join("etc/system/local").join(format!("{name}.conf"));
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(why) => Err(format!("ERROR cannot read {}: {why}", path.display())),
        }
    }

    /// Reads a text.
    pub fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        let mut stanza = "default".to_owned();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                name.clone_into(&mut stanza);
                conf.0.entry(stanza.clone()).or_default();
            } else if let Some((key, value)) = line.split_once('=') {
                conf.0.entry(stanza.clone()).or_default().insert(key.trim().to_owned(), value.trim().to_owned());
            }
        }
        conf
    }

    /// A value; empty when there is none.
    pub fn get(&self, stanza: &str, key: &str) -> &str {
        self.0.get(stanza).and_then(|keys| keys.get(key)).map_or("", String::as_str)
    }

    /// Whether a value is one of Splunk's words for yes.
    pub fn yes(&self, stanza: &str, key: &str) -> bool {
        matches!(self.get(stanza, key).to_ascii_lowercase().as_str(), "1" | "true" | "t" | "yes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas() {
        let conf = Conf::parse("host = a\n# no\n[tcpout:lab]\nserver = b:9997\nuseACK = true\n\n[monitor:///x/*/y]\nindex=lab\n");
        assert_eq!(
            (conf.get("default", "host"), conf.get("tcpout:lab", "server"), conf.get("monitor:///x/*/y", "index")),
            ("a", "b:9997", "lab")
        );
        assert!(conf.yes("tcpout:lab", "useACK") && !conf.yes("tcpout:lab", "other") && conf.get("none", "x").is_empty());
    }
}
