//! /etc/poclab/deploy.yml: where to deploy to. Role `deployment` writes it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// What `poclab deploy` knows about the lab.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Host keys, in OpenSSH's format. A host that is not in it is refused.
    pub known_hosts: PathBuf,
    /// The user that deploys, on every target.
    pub user: String,
    /// Private key file, unless the command line names one.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// Registry (host and port) that images were pushed to, which is what the pipeline calls them by.
    pub push_to: String,
    /// Registry that the targets pull them from. A digest names the same image in both.
    pub pull_from: String,
    /// Hosts by name.
    pub targets: BTreeMap<String, Target>,
}

/// A host that the application runs on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Name or address to connect to.
    pub address: String,
    /// Port of sshd. Default: 22.
    #[serde(default = "ssh")]
    pub port: u16,
    /// Where the API answers, seen from here: `http://10.0.0.12:5000`.
    pub api: String,
    /// Where the website answers, seen from here.
    pub website: String,
}

fn ssh() -> u16 {
    22
}

impl Config {
    /// Reads the file; errors name it and what to do.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|e| {
            format!("cannot read {shown}: {e}; on the deployment server `poclab bootstrap` writes it (role deployment), elsewhere name one with --config")
        })?;
        let config: Self = serde_yaml::from_str(&text).map_err(|e| format!("{shown}: {e}"))?;
        if config.targets.is_empty() {
            return Err(format!("{shown}: `targets` is empty: there is no host to deploy to"));
        }
        Ok(config)
    }

    /// The target of this name, or the only one.
    pub fn target(&self, name: Option<&str>) -> Result<(&str, &Target), String> {
        let names = || self.targets.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let mut all = self.targets.iter().map(|(name, target)| (name.as_str(), target));
        match name {
            Some(name) => {
                all.find(|(known, _)| *known == name).ok_or_else(|| format!("there is no target `{name}`; there is: {}", names()))
            }
            None if self.targets.len() == 1 => all.next().ok_or_else(|| "there is no target".to_owned()),
            None => Err(format!("there are several targets: say which one with --to ({})", names())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "known_hosts: /k\nuser: deployer\npush_to: r:5000\npull_from: r:5443\ntargets:\n  app: {address: 10.0.0.12, api: 'http://a', website: 'http://w'}\n";

    fn read(text: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deploy.yml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path)
    }

    #[test]
    fn the_only_target_need_not_be_named() {
        let one = read(TEXT).unwrap();
        assert_eq!(one.target(None).unwrap(), ("app", &one.targets["app"]));
        assert_eq!(one.targets["app"].port, 22);
        assert!(one.target(Some("other")).unwrap_err().contains("there is: app"));
        let two = read(&format!("{TEXT}  blue: {{address: b, api: 'http://a', website: 'http://w'}}\n")).unwrap();
        assert!(two.target(None).unwrap_err().contains("--to (app, blue)"));
        assert_eq!(two.target(Some("blue")).unwrap().0, "blue");
    }

    #[test]
    fn mistakes_are_named() {
        assert!(read(&TEXT.replace("user:", "usr:")).unwrap_err().contains("unknown field `usr`"));
        assert!(read(TEXT.split("  app").next().unwrap()).is_err());
        assert!(Config::read(Path::new("/nonexistent/deploy.yml")).unwrap_err().contains("--config"));
    }
}
