//! Clair and the registry over HTTP, from the machine that this runs on.

use std::io::Read as _;
use std::time::Duration;

use reqwest::blocking::{Client, ClientBuilder, RequestBuilder, Response};
use reqwest::redirect::Policy as Redirects;
use serde_json::Value;
use time::OffsetDateTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::config::Config;
use super::{Ask, Manifests, manifest, token};
use crate::base::{Image, Secret};

/// An answer that is longer is no answer. The reports of the largest images have a few MB.
const LONGEST: u64 = 256 << 20;

/// Both, with one deadline.
pub struct Http {
    clair: Client,
    registry: Client,
    base: String,
    key: Vec<u8>,
    issuer: String,
    user: String,
    password: Secret,
}

impl Http {
    /// Reads keys and certificates; nothing is asked yet.
    pub fn new(config: &Config) -> Result<Self, String> {
        let ca = &config.registry.ca;
        let pem = std::fs::read(ca).map_err(|e| format!("cannot read {}: {e}; role clair writes it", ca.display()))?;
        let cas = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| format!("{} is no certificate: {}", ca.display(), chain(&e)))?;
        if cas.is_empty() {
            return Err(format!("{} has no certificate", ca.display()));
        }
        let plain = || {
            Client::builder()
                .tls_built_in_root_certs(false)
                .connect_timeout(Duration::from_secs(10))
                .timeout(Duration::from_secs(config.deadline))
                .no_proxy()
                .redirect(Redirects::none())
        };
        let build = |builder: ClientBuilder| builder.build().map_err(|e| format!("cannot make an HTTP client: {}", chain(&e)));
        Ok(Self {
            clair: build(plain())?,
            registry: build(cas.into_iter().fold(plain(), ClientBuilder::add_root_certificate))?,
            base: config.clair.trim_end_matches('/').to_owned(),
            key: config.read_key()?,
            issuer: config.issuer.clone(),
            user: config.registry.user.clone(),
            password: config.read_password()?,
        })
    }
}

impl Ask for Http {
    fn ask(&self, path: &str, body: Option<&Value>) -> Result<(u16, Vec<u8>), String> {
        let url = format!("{}{path}", self.base);
        let request = match body {
            None => self.clair.get(url),
            Some(body) => self.clair.post(url).header("Content-Type", "application/json").body(body.to_string()),
        };
        let token = token::bearer(&self.key, &self.issuer, OffsetDateTime::now_utc().unix_timestamp());
        let answer = send(request.header("Authorization", token).header("Accept", "application/json"), &format!("Clair at {}", self.base))?;
        Ok((answer.status().as_u16(), read(answer, "Clair")?))
    }
}

impl Manifests for Http {
    fn manifest(&self, image: &Image) -> Result<Vec<u8>, String> {
        let Image { registry, name, digest } = image;
        let request = self.registry.get(format!("https://{registry}/v2/{name}/manifests/{digest}")).header("Accept", manifest::ACCEPT);
        let answer = send(request.basic_auth(&self.user, Some(self.password.expose())), registry)?;
        match answer.status().as_u16() {
            200 => read(answer, registry),
            404 => Err(format!("{registry} has no {name}@{digest}: push the image first")),
            401 | 403 => Err(format!("{registry} does not let {} in ({})", self.user, answer.status().as_u16())),
            status => Err(format!("{registry} answers {status} for {name}@{digest}")),
        }
    }

    fn layer(&self, image: &Image, digest: &str) -> (String, String) {
        let login = STANDARD.encode(format!("{}:{}", self.user, self.password.expose()));
        (format!("https://{}/v2/{}/blobs/{digest}", image.registry, image.name), format!("Basic {login}"))
    }
}

fn send(request: RequestBuilder, whom: &str) -> Result<Response, String> {
    request.send().map_err(|e| format!("{whom} does not answer: {}", chain(&e)))
}

fn read(answer: Response, whom: &str) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    answer.take(LONGEST + 1).read_to_end(&mut body).map_err(|e| format!("the answer of {whom} broke off: {e}"))?;
    if body.len() as u64 > LONGEST { Err(format!("{whom} answers with more than {} MiB", LONGEST >> 20)) } else { Ok(body) }
}

/// An error with all its causes in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
