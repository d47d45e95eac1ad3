//! Downloads: whole or not at all.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use reqwest::blocking::{Client, Response};
use reqwest::{StatusCode, Url, redirect};

use super::address;

/// Longest silence of a server.
const SILENCE: Duration = Duration::from_secs(60);
/// How long to wait before the second and the third try.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// In words, with the address.
    pub text: String,
    /// Whether it may be gone in a moment.
    pub passing: bool,
}

impl Trouble {
    fn passing(text: String) -> Self {
        Self { text, passing: true }
    }
}

/// What no second try mends.
impl From<String> for Trouble {
    fn from(text: String) -> Self {
        Self { text, passing: false }
    }
}

/// Asks servers, with the authorities that this machine trusts.
pub(super) struct Fetcher {
    client: Client,
    /// How many authorities this machine trusts.
    authorities: usize,
    /// Why there are none, if the system says it.
    without: String,
    pauses: [Duration; 2],
    /// Servers that did not get well: no more waiting for these.
    given_up: RefCell<BTreeSet<String>>,
}

impl Fetcher {
    /// Takes the machine's own list of authorities (SSL_CERT_FILE names another one) and its proxies (HTTPS_PROXY).
    pub fn new() -> Result<Self, String> {
        let found = rustls_native_certs::load_native_certs();
        let follow = redirect::Policy::custom(|hop| match address::refused(hop.previous(), hop.url()) {
            None => hop.follow(),
            Some(why) => hop.error(why),
        });
        let mut builder = Client::builder().timeout(SILENCE).redirect(follow).user_agent(concat!("poclab/", env!("CARGO_PKG_VERSION")));
        let mut authorities = 0;
        for authority in &found.certs {
            // A list may hold one that this TLS library does not take; the others count.
            if let Ok(authority) = reqwest::Certificate::from_der(authority) {
                builder = builder.add_root_certificate(authority);
                authorities += 1;
            }
        }
        let client = builder.build().map_err(|e| format!("cannot make an HTTP client: {}", chain(&e)))?;
        let without = found.errors.first().map(|e| format!(" ({e})")).unwrap_or_default();
        Ok(Self { client, authorities, without, pauses: PAUSES, given_up: RefCell::default() })
    }

    /// Does something again, a few times, when what went wrong may be gone in a moment: a connection, a busy server.
    pub fn patiently<T>(&self, url: &str, mut work: impl FnMut() -> Result<T, Trouble>) -> Result<T, String> {
        let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        let mut pauses = self.pauses.iter();
        loop {
            match work() {
                Ok(done) => {
                    self.given_up.borrow_mut().remove(&host);
                    return Ok(done);
                }
                Err(Trouble { text, passing: false }) => return Err(text),
                Err(Trouble { text, passing: true }) => {
                    let patient = !self.given_up.borrow().contains(&host);
                    match pauses.next().filter(|_| patient) {
                        Some(pause) => std::thread::sleep(*pause),
                        None => {
                            self.given_up.borrow_mut().insert(host);
                            return Err(text);
                        }
                    }
                }
            }
        }
    }

    /// Asks for something; any status.
    pub fn ask(&self, url: &str, accept: &str, token: Option<&str>) -> Result<Response, Trouble> {
        if self.authorities == 0 && url.starts_with("https://") {
            let text = format!("{url}: this machine trusts no authority{}: install ca-certificates, or set SSL_CERT_FILE", self.without);
            return Err(Trouble::from(text));
        }
        let mut request = self.client.get(url);
        if !accept.is_empty() {
            request = request.header("Accept", accept);
        }
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().map_err(|e| {
            let text = format!("{url}: {}", chain(&e));
            if e.is_redirect() || e.is_builder() { Trouble::from(text) } else { Trouble::passing(text) }
        })
    }

    /// Downloads a file. A file that is there already is replaced.
    pub fn file(&self, url: &str, to: &Path) -> Result<(), String> {
        self.patiently(url, || save(url, self.ask(url, "", None)?, to))
    }
}

/// A good answer, or what is wrong with it.
pub(super) fn good(url: &str, answer: Response) -> Result<Response, Trouble> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let text = format!("{url} answers with status {status}");
    let busy = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT;
    Err(Trouble { text, passing: busy })
}

/// Writes the body of a good answer into a file.
pub(super) fn save(url: &str, answer: Response, to: &Path) -> Result<(), Trouble> {
    let mut answer = good(url, answer)?;
    let cannot = |e: io::Error| Trouble::from(format!("cannot write {}: {e}", to.display()));
    let part = super::folder::part(to);
    let mut file = File::create(&part).map_err(cannot)?;
    let length = answer.content_length();
    let done = answer.copy_to(&mut file).map_err(|e| Trouble::passing(format!("{url} broke off: {}", chain(&e))))?;
    if length.is_some_and(|length| length != done) {
        return Err(Trouble::passing(format!("{url} broke off after {done} bytes")));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_but_not_for_ever() {
        let mut fetcher = Fetcher::new().unwrap();
        fetcher.pauses = [Duration::ZERO; 2];
        let tries = RefCell::new(0);
        let run = |well_after: usize, passing: bool| {
            *tries.borrow_mut() = 0;
            let done = fetcher.patiently("https://h.example/x", || {
                *tries.borrow_mut() += 1;
                if *tries.borrow() > well_after { Ok(()) } else { Err(Trouble { text: "no".to_owned(), passing }) }
            });
            (done.is_ok(), *tries.borrow())
        };
        assert_eq!(run(2, true), (true, 3));
        assert_eq!(run(2, false), (false, 1), "what no second try mends");
        assert_eq!(run(9, true), (false, 3));
        assert_eq!(run(9, true), (false, 1), "a server that is down is not waited for a second time");
        assert_eq!(run(0, true), (true, 1));
        assert_eq!(run(2, true), (true, 3), "it came back");
    }

    #[test]
    fn without_authorities_it_says_what_to_do() {
        let mut fetcher = Fetcher::new().unwrap();
        fetcher.authorities = 0;
        let trouble = fetcher.ask("https://h.example/x", "", None).map(|_| ()).unwrap_err();
        assert!(trouble.text.contains("trusts no authority") && trouble.text.contains("SSL_CERT_FILE") && !trouble.passing, "{trouble:?}");
    }
}
