//! Splunk's .conf files: stanzas of `key = value`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Stanzas by name; what stands before the first one is in `default`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conf(pub BTreeMap<String, BTreeMap<String, String>>);

impl Conf {
    /// What a file says after all that Splunk reads of it: `etc/apps/*/local` (of two apps the first one by name wins), and over
    /// them `etc/system/local`. Empty when there is none.
    pub fn read(home: &Path, name: &str) -> Result<Self, String> {
        let apps = home.join("etc/apps");
        let mut folders: Vec<PathBuf> = match std::fs::read_dir(&apps) {
            Ok(entries) => entries.flatten().map(|entry| entry.path().join("local")).collect(),
            Err(why) if why.kind() == ErrorKind::NotFound => Vec::new(),
            Err(why) => return Err(format!("ERROR cannot read {}: {why}", apps.display())),
        };
        folders.sort_by(|a, b| b.cmp(a));
        folders.push(home.join("etc/system/local"));
        let mut conf = Self::default();
        for folder in folders {
            let path = folder.join(format!("{name}.conf"));
            match std::fs::read_to_string(&path) {
                Ok(text) => conf.put(Self::parse(&text)),
                Err(why) if matches!(why.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(why) => return Err(format!("ERROR cannot read {}: {why}", path.display())),
            }
        }
        Ok(conf)
    }

    /// Puts the keys of another one over its own.
    fn put(&mut self, other: Self) {
        for (stanza, keys) in other.0 {
            self.0.entry(stanza).or_default().extend(keys);
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

    /// As a file.
    pub fn text(&self) -> String {
        let stanza = |(name, keys): (&String, &BTreeMap<String, String>)| {
            let keys: String = keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
            format!("[{name}]\n{keys}\n")
        };
        self.0.iter().map(stanza).collect()
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
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn apps_are_read_and_the_systems_own_file_is_over_them() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(Conf::read(home.path(), "server"), Ok(Conf::default()));
        let texts = [
            ("apps/b", "[a]\nx = b\ny = b\n"),
            ("apps/a", "[a]\nx = a\n"),
            ("system", "[general]\nserverName = s\n[a]\nz = s\n"),
            ("apps/empty", ""),
        ];
        for (folder, text) in texts {
            let folder = home.path().join("etc").join(folder).join("local");
            std::fs::create_dir_all(&folder).unwrap();
            if !text.is_empty() {
                std::fs::write(folder.join("server.conf"), text).unwrap();
            }
        }
        let conf = Conf::read(home.path(), "server").unwrap();
        let of = |key: &str| conf.get("a", key).to_owned();
        assert_eq!((of("x"), of("y"), of("z"), conf.get("general", "serverName")), ("a".into(), "b".into(), "s".into(), "s"));
    }

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
