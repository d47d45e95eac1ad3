//! Where generated values come from, as the lab sees it.

use std::net::IpAddr;

use super::model::NamedSecret;
use crate::base::Secret;

/// A declared login.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// `user:bcrypt-hash`, the same line on every call as long as the password is the same.
    pub htpasswd: Secret,
}

/// A certificate of the lab CA.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// PEM.
    pub cert: String,
    /// PEM (PKCS #8).
    pub key: Secret,
}

/// An SSH key pair.
#[derive(Debug, Clone)]
pub struct SshKey {
    /// One line, as in authorized_keys, without a newline.
    pub public: String,
    /// OpenSSH's format, without a passphrase; ends with a newline.
    pub private: Secret,
}

impl SshKey {
    /// A new Ed25519 pair from the operating system's randomness; `comment` ends the public line.
    pub fn generate(comment: &str) -> anyhow::Result<Self> {
        let mut key = ssh_key::PrivateKey::random(&mut ssh_key::rand_core::OsRng, ssh_key::Algorithm::Ed25519)?;
        key.set_comment(comment);
        Ok(Self { public: key.public_key().to_openssh()?, private: Secret::new(key.to_openssh(ssh_key::LineEnding::LF)?.as_str()) })
    }
}

/// Where generated values come from; everything asked for is created before any connection.
pub trait Vault {
    /// User, password and bcrypt htpasswd line of a declared secret; generated at first use.
    fn login(&mut self, name: &str, user: &str) -> anyhow::Result<Login>;
    /// A declared SSH key pair; generated at first use.
    fn ssh_key(&mut self, name: &str) -> anyhow::Result<SshKey>;
    /// Certificate and key, valid for `days`; made anew when the names change, the end is near, or it is valid for longer.
    fn certificate(&mut self, name: &str, dns: &[String], addresses: &[IpAddr], days: i64) -> anyhow::Result<Certificate>;
    /// PEM of the lab CA's certificate.
    fn ca_pem(&mut self) -> anyhow::Result<String>;
    /// A value set by hand (`sudo_password_app`, `ssh_password` …).
    fn get(&self, name: &str) -> Option<Secret>;
    /// Says what a secret is for.
    fn describe(&mut self, name: &str, what: &str) -> anyhow::Result<()> {
        let _ = (name, what);
        Ok(())
    }
    /// All values, for the redactor.
    fn all(&self) -> Vec<NamedSecret>;
    /// What the operator should know: what was made anew because its end was near, and what comes to its end.
    fn news(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Dummy values of the right form, for `poclab validate`: nothing is generated, stored or read.
#[derive(Debug, Default)]
pub struct Placeholder {
    given: Vec<NamedSecret>,
}

impl Placeholder {
    fn note(&mut self, name: &str, value: &Secret) {
        self.given.push(NamedSecret { name: name.to_owned(), what: String::new(), value: value.clone() });
    }
}

impl Vault for Placeholder {
    fn login(&mut self, name: &str, user: &str) -> anyhow::Result<Login> {
        let password = Secret::new(format!("placeholder-for-{name}"));
        // The form of a bcrypt line; no password has this hash.
        let htpasswd = Secret::new(format!("{user}:$2y$05${}", "placeholder".repeat(5).chars().take(53).collect::<String>()));
        self.note(name, &password);
        Ok(Login { user: user.to_owned(), password, htpasswd })
    }

    fn ssh_key(&mut self, name: &str) -> anyhow::Result<SshKey> {
        let key = SshKey::generate(name)?;
        self.note(name, &key.private);
        Ok(key)
    }

    fn certificate(&mut self, name: &str, dns: &[String], addresses: &[IpAddr], _days: i64) -> anyhow::Result<Certificate> {
        let names: Vec<String> = dns.iter().cloned().chain(addresses.iter().map(ToString::to_string)).collect();
        let made = rcgen::generate_simple_self_signed(names)?;
        let key = Secret::new(made.key_pair.serialize_pem());
        self.note(name, &key);
        Ok(Certificate { cert: made.cert.pem(), key })
    }

    fn ca_pem(&mut self) -> anyhow::Result<String> {
        Ok(rcgen::generate_simple_self_signed(vec!["placeholder CA".to_owned()])?.cert.pem())
    }

    fn get(&self, name: &str) -> Option<Secret> {
        Some(Secret::new(format!("placeholder-for-{name}")))
    }

    fn all(&self) -> Vec<NamedSecret> {
        self.given.clone()
    }
}
