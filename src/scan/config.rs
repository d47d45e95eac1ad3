//! /etc/poclab/scan.yml: where Clair and the registry are, and what Clair must know. Role `clair` writes it.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::base::Secret;

/// What `poclab scan` knows about the lab.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Clair's API: `http://127.0.0.1:6060`.
    pub clair: String,
    /// File with the key that Clair knows, in base64.
    pub key: PathBuf,
    /// As whom requests are signed; one of `auth.psk.iss` in Clair's configuration. Default: `poclab`.
    #[serde(default = "issuer")]
    pub issuer: String,
    /// Where images are.
    pub registry: Registry,
    /// Updaters that must have loaded something; `*` at the end stands for anything: `alpine-*`.
    pub updaters: Vec<String>,
    /// How old what they have loaded may be, in days. Default: 7.
    #[serde(default = "max_age_days")]
    pub max_age_days: u32,
    /// How long one image may take, in seconds. Default: 600.
    #[serde(default = "deadline")]
    pub deadline: u64,
}

/// The lab's registry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Where images are pushed to, which is what the pipeline calls them by.
    pub push_to: String,
    /// Where Clair gets them from. A digest names the same image in both.
    pub pull_from: String,
    /// File with the CA of its certificate (PEM). No other CA is trusted.
    pub ca: PathBuf,
    /// Who reads.
    pub user: String,
    /// File with that user's password.
    pub password: PathBuf,
}

fn issuer() -> String {
    "poclab".into()
}
fn max_age_days() -> u32 {
    7
}
fn deadline() -> u64 {
    600
}

impl Config {
    /// Reads the file; errors name it and what to do.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|e| {
            format!("cannot read {shown}: {e}; on the deployment server `poclab bootstrap` writes it (role clair), elsewhere name one with --config")
        })?;
        let config: Self = serde_yaml::from_str(&text).map_err(|e| format!("{shown}: {e}"))?;
        if config.updaters.is_empty() {
            return Err(format!("{shown}: `updaters` is empty: then an empty database would be as good as a full one"));
        }
        Ok(config)
    }

    /// The key's bytes.
    pub fn read_key(&self) -> Result<Vec<u8>, String> {
        let text = read_secret(&self.key)?;
        STANDARD.decode(text.expose()).map_err(|_| format!("{} is not base64; role clair writes it", self.key.display()))
    }

    /// The registry's password.
    pub fn read_password(&self) -> Result<Secret, String> {
        read_secret(&self.registry.password)
    }
}

/// A file's content without the line break at its end.
fn read_secret(path: &Path) -> Result<Secret, String> {
    let text =
        std::fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}; who runs this must be allowed to", path.display()))?;
    let text = text.trim_end();
    if text.is_empty() { Err(format!("{} is empty", path.display())) } else { Ok(Secret::new(text)) }
}
