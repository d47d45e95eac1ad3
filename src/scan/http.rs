//! Clair and the registry over HTTP, from the machine that this runs on.

use std::io::{ErrorKind, Read as _};
use std::time::{Duration, Instant};

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

/// How long it waits before it asks again whoever is busy or hung up: as often as there are entries.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// Both, with one deadline for all that is asked.
pub struct Http {
    deadline: Duration,
    until: Instant,
    clair: Client,
    registry: Client,
    base: String,
    key: Vec<u8>,
    issuer: String,
    user: String,
    password: Secret,
}

impl Http {
    /// Reads keys and certificates; nothing is asked yet. Its time begins now. An error means that the configuration, or a file that it
    /// names, is wrong.
    pub fn new(config: &Config) -> Result<Self, String> {
        let ca = &config.registry.ca;
        let pem = std::fs::read(ca).map_err(|e| format!("cannot read {}: {e}; role clair writes it", ca.display()))?;
        let cas = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| format!("{} is no certificate: {}", ca.display(), chain(&e)))?;
        if cas.is_empty() {
            return Err(format!("{} has no certificate", ca.display()));
        }
        let plain = || {
            Client::builder().tls_built_in_root_certs(false).connect_timeout(Duration::from_secs(10)).no_proxy().redirect(Redirects::none())
        };
        let build = |builder: ClientBuilder| builder.build().map_err(|e| format!("cannot make an HTTP client: {}", chain(&e)));
        let deadline = Duration::from_secs(config.deadline);
        let until = Instant::now().checked_add(deadline).ok_or_else(|| format!("`deadline` of {} s is too long", config.deadline))?;
        Ok(Self {
            deadline,
            until,
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

impl Http {
    /// Sends a request, made anew each time; again when whoever is asked is busy (429, 503) or hung up. All of them may be repeated:
    /// asking Clair a second time to look into an image changes nothing.
    fn send(&self, whom: &str, make: impl Fn() -> RequestBuilder) -> Result<Response, String> {
        let late = || format!("{whom} has not answered in time: all of it may take {} s (`deadline`)", self.deadline.as_secs());
        let mut pauses = PAUSES.iter();
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(late());
            }
            let told = make().timeout(left).send();
            let again = match &told {
                Ok(answer) => matches!(answer.status().as_u16(), 429 | 503),
                Err(why) => hung_up(why),
            };
            match pauses.next().filter(|pause| again && Instant::now() + **pause < self.until) {
                Some(pause) => std::thread::sleep(*pause),
                None => {
                    return told.map_err(|why| {
                        if why.is_timeout() && Instant::now() >= self.until {
                            late()
                        } else {
                            format!("{whom} does not answer: {}", chain(&why))
                        }
                    });
                }
            }
        }
    }
}

/// Whether a connection ended before there was an answer: whoever was asked is just being started again, or throttles.
fn hung_up(error: &reqwest::Error) -> bool {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source()).any(|error| {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        matches!(kind, Some(ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof))
            // What hyper calls it; its type cannot be named from here.
            || error.to_string().contains("connection closed before message completed")
    })
}

impl Ask for Http {
    fn ask(&self, path: &str, body: Option<&Value>) -> Result<(u16, Vec<u8>), String> {
        let url = format!("{}{path}", self.base);
        let make = || {
            let request = match body {
                None => self.clair.get(&url),
                Some(body) => self.clair.post(&url).header("Content-Type", "application/json").body(body.to_string()),
            };
            let token = token::bearer(&self.key, &self.issuer, OffsetDateTime::now_utc().unix_timestamp());
            request.header("Authorization", token).header("Accept", "application/json")
        };
        let answer = self.send(&format!("Clair at {}", self.base), make)?;
        Ok((answer.status().as_u16(), read(answer, "Clair")?))
    }
}

impl Manifests for Http {
    fn manifest(&self, image: &Image) -> Result<Vec<u8>, String> {
        let Image { registry, name, digest } = image;
        let url = format!("https://{registry}/v2/{name}/manifests/{digest}");
        let password = Some(self.password.expose());
        let answer = self.send(registry, || self.registry.get(&url).header("Accept", manifest::ACCEPT).basic_auth(&self.user, password))?;
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
