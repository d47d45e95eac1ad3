//! Images from a registry. Everything in them is checked by its digest on the way.
//!
//! OCI distribution specification (`GET /v2/…`) and Docker's token protocol.

use std::io::Read as _;
use std::path::Path;

use reqwest::blocking::Response;
use serde_json::Value;

use super::address;
use super::archive;
use super::fetch::{Fetcher, Trouble, good, save};
use super::said::{MOST, Said, for_others, for_us};
use crate::base::{LocalFile, sha256};

const LISTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json";
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// Where an image is: `docker://HOST/NAME:TAG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// `https://registry-1.docker.io`
    base: String,
    /// `library/registry`
    name: String,
    /// `2.8.3`
    tag: String,
}

impl Place {
    /// Reads an address.
    pub fn parse(url: &str) -> Result<Self, String> {
        let wrong = || format!("{url} is no image: write docker://HOST/NAME:TAG");
        let read = address::read(url)?;
        let (host, path) = url.strip_prefix("docker://").and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
        let (name, tag) = path.rsplit_once(':').ok_or_else(wrong)?;
        let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
        if !plain(&host.replace([':', '[', ']'], "-")) || !plain(name) || !plain(tag) || tag.contains('/') {
            return Err(wrong());
        }
        // Docker Hub answers under another name than the one it is called by.
        let host = if host == "docker.io" { "registry-1.docker.io" } else { host };
        let scheme = if address::is_local(&read) { "http" } else { "https" };
        Ok(Self { base: format!("{scheme}://{host}"), name: name.to_owned(), tag: tag.to_owned() })
    }

    fn url(&self, what: &str) -> String {
        format!("{}/v2/{}/{what}", self.base, self.name)
    }
}

struct Pull<'a> {
    fetcher: &'a Fetcher,
    place: &'a Place,
    token: Option<String>,
}

impl Pull<'_> {
    /// Asks the registry; logs in as nobody where it wants a token.
    fn ask(&mut self, what: &str, accept: &str) -> Result<Response, Trouble> {
        let url = self.place.url(what);
        let answer = self.fetcher.ask(&url, accept, self.token.as_deref())?;
        if answer.status().as_u16() != 401 {
            return Ok(answer);
        }
        // No token yet, or it has run out: they last minutes, a large image takes longer. Once per request: whoever refuses a new token,
        // too, means it.
        let challenge = answer.headers().get("www-authenticate").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        self.token = Some(self.log_in(&url, &challenge)?);
        self.fetcher.ask(&url, accept, self.token.as_deref())
    }

    fn log_in(&self, url: &str, challenge: &str) -> Result<String, Trouble> {
        let field = |name: &str| {
            let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        let realm = field("realm").filter(|_| challenge.starts_with("Bearer "));
        let realm = realm.ok_or_else(|| format!("{url} wants a login that poclab does not know: {challenge}"))?;
        let mut from = address::read(realm).map_err(|why| format!("{url} names a login that is refused: {why}"))?;
        if !address::is_safe(&from) {
            return Err(Trouble::from(format!("{url} names a login that is refused: {realm} is without TLS")));
        }
        for name in ["service", "scope"] {
            if let Some(value) = field(name) {
                from.query_pairs_mut().append_pair(name, value);
            }
        }
        let answer = self.fetcher.ask(from.as_str(), "", None)?;
        let text = small(from.as_str(), answer)?;
        let value: Value = serde_json::from_slice(&text).map_err(|e| format!("{from} answers with no JSON: {e}"))?;
        let token = value.get("token").or_else(|| value.get("access_token")).and_then(Value::as_str);
        token.map(str::to_owned).ok_or_else(|| Trouble::from(format!("{from} answers without a token")))
    }

    /// Something small that must have this digest.
    fn read(&mut self, what: &str, accept: &str, want: Option<&str>) -> Result<Vec<u8>, String> {
        let (url, fetcher) = (self.place.url(what), self.fetcher);
        let bytes = fetcher.patiently(&url, || small(&url, self.ask(what, accept)?))?;
        let have = sha256(&bytes);
        match want {
            Some(want) if want != have => Err(format!("{url} has the digest sha256:{have}, expected sha256:{want}")),
            _ => Ok(bytes),
        }
    }

    /// A blob that must have this digest, as a file; one that is there already is not fetched again.
    fn blob(&mut self, digest: &str, to: &Path) -> Result<(), String> {
        if LocalFile::look(to).is_ok_and(|file| file.sha256 == digest) {
            return Ok(());
        }
        let what = format!("blobs/sha256:{digest}");
        let (url, fetcher) = (self.place.url(&what), self.fetcher);
        fetcher.patiently(&url, || save(&url, self.ask(&what, "")?, to))?;
        let have = LocalFile::look(to).map_err(|e| format!("{} cannot be read: {e}", to.display()))?.sha256;
        if have == digest {
            return Ok(());
        }
        let _ = std::fs::remove_file(to);
        Err(format!("{url} has the digest sha256:{have}, expected sha256:{digest}"))
    }
}

fn small(url: &str, answer: Response) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    let broke_off = |e: std::io::Error| Trouble { text: format!("{url} broke off: {e}"), passing: true };
    good(url, answer)?.take(MOST + 1).read_to_end(&mut bytes).map_err(broke_off)?;
    if bytes.len() as u64 > MOST { Err(Trouble::from(format!("{url} answers with more than {MOST} bytes"))) } else { Ok(bytes) }
}

/// Fetches an image into an archive, with what the registry said of it beside it; its digest there, without `sha256:`.
///
/// `want`: the digest that the registry must give for its tag. `layers`: a folder where finished layers wait for the others.
pub(super) fn fetch(
    fetcher: &Fetcher,
    place: &Place,
    reference: &str,
    want: Option<&str>,
    layers: &Path,
    archive: &Path,
) -> Result<String, String> {
    let mut pull = Pull { fetcher, place, token: None };
    // By its digest where that is known: a tag that was moved does not matter then.
    let name = want.map_or_else(|| place.tag.clone(), |digest| format!("sha256:{digest}"));
    let whole = |why: String| format!("{}: {why}", place.url(&name));
    let first = pull.read(&format!("manifests/{name}"), &format!("{LISTS}, {MANIFESTS}"), want)?;
    let answer = serde_json::from_slice::<Value>(&first).map_err(|e| whole(format!("the manifest is no JSON: {e}")))?;
    let said = match for_us(&answer).transpose().map_err(whole)? {
        Some(inner) => {
            let manifest = pull.read(&format!("manifests/sha256:{inner}"), MANIFESTS, Some(inner))?;
            Said { list: Some(first), manifest }
        }
        None => Said { list: None, manifest: first },
    };
    let parts = said.parts().map_err(whole)?;
    let config = pull.read(&format!("blobs/sha256:{}", parts.config), "", Some(&parts.config))?;
    if let Some(why) = for_others(&config).filter(|_| said.list.is_none()) {
        return Err(whole(why));
    }
    for layer in &parts.layers {
        pull.blob(layer, &layers.join(layer))?;
    }
    archive::pack(reference, &parts, &config, layers, archive).map_err(|e| format!("cannot write {}: {e}", archive.display()))?;
    said.write(archive)?;
    Ok(said.digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        let hub = Place::parse("docker://docker.io/library/registry:2.8.3").unwrap();
        assert_eq!(hub.url("manifests/2.8.3"), "https://registry-1.docker.io/v2/library/registry/manifests/2.8.3");
        let here = Place::parse("docker://127.0.0.1:5000/a/b:c").unwrap();
        assert_eq!((here.base.as_str(), here.name.as_str(), here.tag.as_str()), ("http://127.0.0.1:5000", "a/b", "c"));
        assert_eq!(Place::parse("docker://quay.io/projectquay/clair:4.8.0").unwrap().base, "https://quay.io");
        for bad in [
            "registry:2",
            "docker://registry:2",
            "docker://h/n",
            "docker://h/n:",
            "docker://h/n:a/b",
            "docker:///n:t",
            "docker://h/n?x:t",
            "docker://127.0.0.1:80@evil.example/n:t",
            "docker://h\\x/n:t",
        ] {
            assert!(Place::parse(bad).is_err(), "{bad}");
        }
    }
}
