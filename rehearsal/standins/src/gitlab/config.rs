//! /etc/gitlab/gitlab.rb and what `gitlab-ctl reconfigure` makes of it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ruby;

/// Keys of the 17.7 template that are known here. Others are refused: a typo must not pass in the rehearsal.
const KNOWN: &[(&str, &[&str])] = &[
    (
        "gitlab_rails",
        &[
            "initial_root_password",
            "store_initial_root_password",
            "display_initial_root_password",
            "monitoring_whitelist",
            "usage_ping_enabled",
            "env",
            "webhook_timeout",
            "gitlab_shell_ssh_port",
            "time_zone",
            "gitlab_email_enabled",
            "gitlab_email_from",
            "smtp_enable",
            "gravatar_plain_url",
            "gravatar_ssl_url",
            "gitlab_username_changing_enabled",
            "gitlab_default_theme",
            "backup_keep_time",
            "trusted_proxies",
            "lfs_enabled",
        ],
    ),
    (
        "nginx",
        &[
            "enable",
            "ssl_certificate",
            "ssl_certificate_key",
            "ssl_protocols",
            "redirect_http_to_https",
            "redirect_http_to_https_port",
            "listen_addresses",
            "listen_port",
            "hsts_max_age",
            "worker_processes",
            "client_max_body_size",
        ],
    ),
    ("letsencrypt", &["enable", "auto_renew", "contact_emails"]),
    ("puma", &["enable", "worker_processes", "min_threads", "max_threads", "port", "per_worker_max_memory_mb"]),
    ("sidekiq", &["enable", "concurrency", "max_concurrency", "min_concurrency", "listen_port"]),
    ("prometheus_monitoring", &["enable"]),
    ("prometheus", &["enable"]),
    ("alertmanager", &["enable"]),
    ("gitlab_kas", &["enable"]),
    ("gitlab_pages", &["enable"]),
    ("registry", &["enable"]),
    ("mattermost", &["enable"]),
    ("gitaly", &["configuration", "env", "enable"]),
    ("postgresql", &["shared_buffers", "enable", "max_connections"]),
    ("redis", &["enable", "maxmemory"]),
    ("logging", &["logrotate_frequency", "logrotate_rotate", "logrotate_size"]),
];

/// What the service is started with.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct Config {
    /// `https://gitlab.lab.example`
    pub external_url: String,
    /// PEM file.
    pub certificate: String,
    /// PEM file.
    pub key: String,
    /// Whether port 80 leads to 443.
    pub redirect: bool,
    /// Networks that may ask for the service's health.
    pub monitoring: Vec<String>,
    /// Seconds that a hook may take.
    pub webhook_timeout: u64,
    /// Password of the first user; used once.
    #[serde(skip)]
    pub root_password: Option<String>,
    /// Hash of what else is in the file: other values ask for a restart, too.
    pub rest: String,
}

impl Config {
    /// The host's name in `external_url`.
    pub fn host(&self) -> &str {
        self.external_url.split("://").nth(1).unwrap_or(&self.external_url).split([':', '/']).next().unwrap_or_default()
    }

    /// Reads gitlab.rb; an error is what `reconfigure` says.
    pub fn read(text: &str) -> Result<Self, String> {
        let refused = |why: String| format!("/etc/gitlab/gitlab.rb: {why}");
        let mut values: BTreeMap<Vec<String>, Value> = BTreeMap::new();
        for setting in ruby::parse(text).map_err(refused)? {
            let line = setting.line;
            let known = match setting.key.as_slice() {
                [word] => word == "external_url",
                [top, key, ..] => match KNOWN.iter().find(|(known, _)| known == top) {
                    None => {
                        return Err(refused(format!(
                            "line {line}: undefined method '{top}' (rehearsal: not a key of the 17.7 template that is known here)"
                        )));
                    }
                    Some((_, keys)) => keys.contains(&key.as_str()),
                },
                [] => false,
            };
            if !known {
                return Err(refused(format!(
                    "line {line}: {} is not a key of the 17.7 template that is known here (rehearsal)",
                    setting.key.join(".")
                )));
            }
            values.insert(setting.key, setting.value);
        }
        let get = |top: &str, key: &str| values.get(&vec![top.to_owned(), key.to_owned()]);
        let text = |top: &str, key: &str| match get(top, key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(refused(format!("{top}['{key}'] must be a string, not {other}"))),
        };
        let flag = |top: &str, key: &str, default: bool| match get(top, key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(refused(format!("{top}['{key}'] must be true or false, not {other}"))),
        };
        let external_url =
            values.get(&vec!["external_url".to_owned()]).and_then(Value::as_str).unwrap_or_default().trim_end_matches('/').to_owned();
        if !external_url.starts_with("https://") {
            return Err(refused("external_url must be an https:// address (rehearsal: nothing else is served here)".to_owned()));
        }
        if flag("letsencrypt", "enable", true)? {
            return Err("letsencrypt_certificate: RuntimeError: acme_certificate had an error: there is no way to Let's Encrypt (set letsencrypt['enable'] = false)".to_owned());
        }
        let host = external_url.trim_start_matches("https://").split([':', '/']).next().unwrap_or_default().to_owned();
        let pem = |key: &str, end: &str| Ok::<_, String>(text("nginx", key)?.unwrap_or_else(|| format!("/etc/gitlab/ssl/{host}.{end}")));
        let monitoring = match get("gitlab_rails", "monitoring_whitelist") {
            None => vec!["127.0.0.0/8".to_owned(), "::1/128".to_owned()],
            Some(list) => serde_json::from_value(list.clone())
                .map_err(|_| refused("gitlab_rails['monitoring_whitelist'] must be a list".to_owned()))?,
        };
        let root_password = text("gitlab_rails", "initial_root_password")?;
        // The password is used once and kept nowhere.
        let rest: String = values
            .iter()
            .filter(|(key, _)| key.last().is_none_or(|name| name != "initial_root_password"))
            .map(|(key, value)| format!("{} {value}\n", key.join(".")))
            .collect();
        Ok(Self {
            certificate: pem("ssl_certificate", "crt")?,
            key: pem("ssl_certificate_key", "key")?,
            redirect: flag("nginx", "redirect_http_to_https", false)?,
            monitoring,
            webhook_timeout: get("gitlab_rails", "webhook_timeout").and_then(Value::as_u64).unwrap_or(10),
            root_password,
            rest: crate::common::sha256(rest.as_bytes()),
            external_url,
        })
    }
}

/// Whether an address is in one of these networks.
pub fn in_networks(address: IpAddr, networks: &[String]) -> bool {
    networks.iter().any(|network| {
        let (base, bits) = network.split_once('/').unwrap_or((network, if network.contains(':') { "128" } else { "32" }));
        let (Ok(base), Ok(bits)) = (base.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
        match (address, base) {
            (IpAddr::V4(a), IpAddr::V4(b)) => bits == 0 || (bits <= 32 && (u32::from(a) ^ u32::from(b)) >> (32 - bits) == 0),
            (IpAddr::V6(a), IpAddr::V6(b)) => bits == 0 || (bits <= 128 && (u128::from(a) ^ u128::from(b)) >> (128 - bits) == 0),
            _ => false,
        }
    })
}

/// Why GitLab does not take a password; `None` when it does.
pub fn weak(password: &str, username: &str) -> Option<&'static str> {
    const COMMON: &[&str] =
        &["password", "12345678", "gitlab", "qwerty", "letmein", "admin", "changeme", "11111111", "iloveyou", "welcome"];
    let lower = password.to_lowercase();
    if password.chars().count() < 8 {
        return Some("is too short (minimum is 8 characters)");
    }
    if COMMON.iter().any(|word| lower.contains(word)) || (username.len() > 3 && lower.contains(&username.to_lowercase())) {
        return Some("must not contain commonly used combinations of words and letters");
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const GOOD: &str =
        "external_url 'https://gitlab.lab.example'\nletsencrypt['enable'] = false\ngitlab_rails['initial_root_password'] = 'x1'\n";

    #[test]
    fn a_good_file_and_its_defaults() {
        let config = Config::read(GOOD).unwrap();
        assert_eq!((config.host(), config.certificate.as_str()), ("gitlab.lab.example", "/etc/gitlab/ssl/gitlab.lab.example.crt"));
        assert_eq!(config.root_password.as_deref(), Some("x1"));
        assert!(!serde_json::to_string(&config).unwrap().contains("x1"), "the password is not kept");
        let other = Config::read(&format!("{GOOD}puma['worker_processes'] = 0\n")).unwrap();
        assert_ne!(config.rest, other.rest);
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_refused() {
        for (more, says) in [
            ("gitlab_rail['x'] = 1", "undefined method 'gitlab_rail'"),
            ("gitlab_rails['initial_rot_password'] = 'x'", "initial_rot_password is not a key"),
            ("externalurl 'x'", "externalurl is not a key"),
            ("nginx['redirect_http_to_https'] = 'yes'", "must be true or false"),
            ("letsencrypt['enable'] = true", "Let's Encrypt"),
            ("external_url 'http://x'", "https://"),
        ] {
            let said = Config::read(&format!("{GOOD}{more}\n")).unwrap_err();
            assert!(said.contains(says), "{more}: {said}");
        }
    }

    #[test]
    fn networks_and_passwords() {
        let networks = ["127.0.0.0/8".to_owned(), "10.90.0.1/32".to_owned(), "::1".to_owned()];
        for (address, inside) in [("127.9.9.9", true), ("10.90.0.1", true), ("10.90.0.2", false), ("::1", true), ("::2", false)] {
            assert_eq!(in_networks(address.parse().unwrap(), &networks), inside, "{address}");
        }
        assert!(weak("short1", "root").is_some() && weak("mypassword99", "root").is_some() && weak("xroot2345678", "root").is_some());
        assert_eq!(weak("abcdEFGH2345jkmn", "root"), None);
    }
}
