//! Downloads: whole or not at all.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use reqwest::blocking::{Client, Response};

use super::lock::is_local;

/// Longest silence of a server.
const SILENCE: Duration = Duration::from_secs(60);

/// Asks servers, with the authorities that this machine trusts.
pub(super) struct Fetcher {
    client: Client,
}

impl Fetcher {
    /// Takes the machine's own list of authorities (SSL_CERT_FILE names another one) and its proxies (HTTPS_PROXY).
    pub fn new() -> Result<Self, String> {
        let found = rustls_native_certs::load_native_certs();
        let mut builder = Client::builder().timeout(SILENCE).user_agent(concat!("poclab/", env!("CARGO_PKG_VERSION")));
        for authority in &found.certs {
            // A list may hold one that this TLS library does not take; the others count.
            if let Ok(authority) = reqwest::Certificate::from_der(authority) {
                builder = builder.add_root_certificate(authority);
            }
        }
        let client = builder.build().map_err(|e| format!("cannot make an HTTP client: {}", chain(&e)))?;
        Ok(Self { client })
    }

    /// Asks for something; any status.
    pub fn ask(&self, url: &str, accept: &str, token: Option<&str>) -> Result<Response, String> {
        let mut request = self.client.get(url);
        if !accept.is_empty() {
            request = request.header("Accept", accept);
        }
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().map_err(|e| format!("{url}: {}", chain(&e)))?;
        // A redirect must not lead out of TLS.
        let end = answer.url().as_str();
        if url.starts_with("https://") && !end.starts_with("https://") && !is_local(end) {
            return Err(format!("{url} leads to {end}, which is without TLS"));
        }
        Ok(answer)
    }

    /// Downloads a file. A file that is there already is replaced.
    pub fn file(&self, url: &str, to: &Path) -> Result<(), String> {
        let answer = self.ask(url, "", None)?;
        save(url, answer, to)
    }
}

/// Writes the body of a good answer into a file.
pub(super) fn save(url: &str, mut answer: Response, to: &Path) -> Result<(), String> {
    if !answer.status().is_success() {
        return Err(format!("{url} answers with status {}", answer.status()));
    }
    let cannot = |e: io::Error| format!("cannot write {}: {e}", to.display());
    let part = to.with_extension("part");
    let mut file = File::create(&part).map_err(cannot)?;
    let length = answer.content_length();
    let done = answer.copy_to(&mut file).map_err(|e| format!("{url} broke off: {}", chain(&e)))?;
    if length.is_some_and(|length| length != done) {
        return Err(format!("{url} broke off after {done} bytes"));
    }
    file.sync_all().map_err(cannot)?;
    std::fs::rename(&part, to).map_err(cannot)
}

/// An error and what caused it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}
