//! Where generated values come from; everything asked for is created before any connection.
use super::NamedSecret;
use crate::base::Secret;
/// A login: user, password and the bcrypt line for an htpasswd file.
#[derive(Debug, Clone)]
pub struct Login {
    pub user: String,
    pub password: Secret,
    pub htpasswd: Secret,
}
/// A certificate with its key, PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub cert: String,
    pub key: Secret,
}
pub trait Vault {
    fn login(&mut self, name: &str, user: &str) -> anyhow::Result<Login>;
    fn certificate(&mut self, name: &str, dns: &[String], addresses: &[std::net::IpAddr]) -> anyhow::Result<Certificate>;
    fn ca_pem(&mut self) -> anyhow::Result<String>;
    fn get(&self, name: &str) -> Option<Secret>;
    fn all(&self) -> Vec<NamedSecret>;
}
