//! Images from a registry, as archives that `docker load` takes. Everything in them is checked by its digest on the way.
//!
//! OCI distribution specification (`GET /v2/…`) and Docker's token protocol; the archive's layout is that of `docker save`.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use super::fetch::{Fetcher, save};
use super::lock::{is_local, is_sum};
use crate::base::{LocalFile, sha256};

const LISTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json";
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
/// Manifests and configurations are small; whatever is larger is none, in bytes.
const MOST: u64 = 4 << 20;

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
        let rest = url.strip_prefix("docker://").ok_or_else(wrong)?;
        let (host, path) = rest.split_once('/').ok_or_else(wrong)?;
        let (name, tag) = path.rsplit_once(':').ok_or_else(wrong)?;
        let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
        if host.is_empty() || !plain(name) || !plain(tag) || tag.contains('/') {
            return Err(wrong());
        }
        // Docker Hub answers under another name than the one it is called by.
        let host = if host == "docker.io" { "registry-1.docker.io" } else { host };
        let scheme = if is_local(rest) { "http" } else { "https" };
        Ok(Self { base: format!("{scheme}://{host}"), name: name.to_owned(), tag: tag.to_owned() })
    }

    fn url(&self, what: &str) -> String {
        format!("{}/v2/{}/{what}", self.base, self.name)
    }
}

/// An image that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fetched {
    /// What the registry calls it by, without `sha256:`. Of a list of images that is the list's.
    pub digest: String,
    /// Its id: the digest of its configuration, with `sha256:`.
    pub id: String,
}

struct Pull<'a> {
    fetcher: &'a Fetcher,
    place: &'a Place,
    token: Option<String>,
}

impl Pull<'_> {
    /// Asks the registry; logs in as nobody where it wants a token.
    fn ask(&mut self, what: &str, accept: &str) -> Result<reqwest::blocking::Response, String> {
        let url = self.place.url(what);
        let answer = self.fetcher.ask(&url, accept, self.token.as_deref())?;
        if answer.status().as_u16() != 401 || self.token.is_some() {
            return Ok(answer);
        }
        let challenge = answer.headers().get("www-authenticate").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        self.token = Some(self.log_in(&url, &challenge)?);
        self.fetcher.ask(&url, accept, self.token.as_deref())
    }

    fn log_in(&self, url: &str, challenge: &str) -> Result<String, String> {
        let field = |name: &str| {
            let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        let realm = field("realm").filter(|realm| challenge.starts_with("Bearer ") && (realm.starts_with("https://") || is_local(realm)));
        let realm = realm.ok_or_else(|| format!("{url} wants a login that poclab does not know: {challenge}"))?;
        let mut from = reqwest::Url::parse(realm).map_err(|e| format!("{url} names the login {realm}: {e}"))?;
        for name in ["service", "scope"] {
            if let Some(value) = field(name) {
                from.query_pairs_mut().append_pair(name, value);
            }
        }
        let answer = self.fetcher.ask(from.as_str(), "", None)?;
        let text = small(from.as_str(), answer)?;
        let value: Value = serde_json::from_slice(&text).map_err(|e| format!("{from} answers with no JSON: {e}"))?;
        let token = value.get("token").or_else(|| value.get("access_token")).and_then(Value::as_str);
        token.map(str::to_owned).ok_or_else(|| format!("{from} answers without a token"))
    }

    /// Something small that must have this digest.
    fn read(&mut self, what: &str, accept: &str, want: Option<&str>) -> Result<(Vec<u8>, String), String> {
        let url = self.place.url(what);
        let answer = self.ask(what, accept)?;
        let bytes = small(&url, answer)?;
        let have = sha256(&bytes);
        match want {
            Some(want) if want != have => Err(format!("{url} has the digest sha256:{have}, expected sha256:{want}")),
            _ => Ok((bytes, have)),
        }
    }

    /// A blob that must have this digest, as a file.
    fn blob(&mut self, digest: &str, to: &Path) -> Result<(), String> {
        let what = format!("blobs/sha256:{digest}");
        let answer = self.ask(&what, "")?;
        let url = self.place.url(&what);
        save(&url, answer, to)?;
        let have = LocalFile::look(to).map_err(|e| format!("{} cannot be read: {e}", to.display()))?.sha256;
        if have == digest { Ok(()) } else { Err(format!("{url} has the digest sha256:{have}, expected sha256:{digest}")) }
    }
}

fn small(url: &str, answer: reqwest::blocking::Response) -> Result<Vec<u8>, String> {
    if !answer.status().is_success() {
        return Err(format!("{url} answers with status {}", answer.status()));
    }
    let mut bytes = Vec::new();
    answer.take(MOST + 1).read_to_end(&mut bytes).map_err(|e| format!("{url} broke off: {e}"))?;
    if bytes.len() as u64 > MOST { Err(format!("{url} answers with more than {MOST} bytes")) } else { Ok(bytes) }
}

/// The digest in a descriptor, without `sha256:`.
fn digest_of(descriptor: Option<&Value>) -> Option<&str> {
    descriptor?.get("digest")?.as_str()?.strip_prefix("sha256:").filter(|digest| is_sum(digest))
}

/// The digest of the image for these hosts (Linux on x86-64), if the manifest is a list.
fn for_us(manifest: &Value) -> Option<Result<&str, String>> {
    let list = manifest.get("manifests")?.as_array()?;
    let ours = |entry: &&Value| {
        let is = |field: &str, want: &str| entry.pointer(&format!("/platform/{field}")).and_then(Value::as_str) == Some(want);
        is("os", "linux") && is("architecture", "amd64")
    };
    Some(digest_of(list.iter().find(ours)).ok_or_else(|| "has no image for linux/amd64".to_owned()))
}

/// Fetches an image into an archive. `want`: the digest that the registry must give for its tag.
pub(super) fn fetch(
    fetcher: &Fetcher,
    place: &Place,
    reference: &str,
    want: Option<&str>,
    work: &Path,
    archive: &Path,
) -> Result<Fetched, String> {
    let mut pull = Pull { fetcher, place, token: None };
    // By its digest where that is known: a tag that was moved does not matter then.
    let name = want.map_or_else(|| place.tag.clone(), |digest| format!("sha256:{digest}"));
    let (bytes, digest) = pull.read(&format!("manifests/{name}"), &format!("{LISTS}, {MANIFESTS}"), want)?;
    let json =
        |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).map_err(|e| format!("{}: the manifest is no JSON: {e}", place.url(&name)));
    let mut manifest = json(&bytes)?;
    let inner = for_us(&manifest).transpose().map_err(|why| format!("{} {why}", place.url(&name)))?.map(str::to_owned);
    if let Some(inner) = inner {
        manifest = json(&pull.read(&format!("manifests/sha256:{inner}"), MANIFESTS, Some(&inner))?.0)?;
    }
    let wrong = || format!("{} is not the manifest of an image", place.url(&name));
    let config = digest_of(manifest.get("config")).ok_or_else(wrong)?.to_owned();
    let layers = manifest.get("layers").and_then(Value::as_array).ok_or_else(wrong)?;
    let layers = layers.iter().map(|layer| digest_of(Some(layer)).map(str::to_owned)).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
    let (config_bytes, _) = pull.read(&format!("blobs/sha256:{config}"), "", Some(&config))?;
    for layer in &layers {
        pull.blob(layer, &work.join(layer))?;
    }
    pack(reference, &config, &config_bytes, &layers, work, archive).map_err(|e| format!("cannot write {}: {e}", archive.display()))?;
    Ok(Fetched { digest, id: format!("sha256:{config}") })
}

/// The archive: the same to the byte from the same image.
fn pack(reference: &str, config: &str, config_bytes: &[u8], layers: &[String], work: &Path, archive: &Path) -> std::io::Result<()> {
    let part = archive.with_extension("part");
    let mut tar = tar::Builder::new(File::create(&part)?);
    let header = |size: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o644);
        header
    };
    let name = |layer: &String| format!("{layer}.tar");
    let manifest = json!([{
        "Config": format!("{config}.json"),
        "RepoTags": [reference],
        "Layers": layers.iter().map(name).collect::<Vec<_>>(),
    }])
    .to_string();
    tar.append_data(&mut header(config_bytes.len() as u64), format!("{config}.json"), config_bytes)?;
    // An image may have the same layer twice.
    for layer in layers.iter().collect::<std::collections::BTreeSet<_>>() {
        let file = File::open(work.join(layer))?;
        let size = file.metadata()?.len();
        tar.append_data(&mut header(size), name(layer), file)?;
    }
    tar.append_data(&mut header(manifest.len() as u64), "manifest.json", manifest.as_bytes())?;
    let mut file = tar.into_inner()?;
    file.flush()?;
    file.sync_all()?;
    std::fs::rename(&part, archive)
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
        for bad in
            ["registry:2", "docker://registry:2", "docker://h/n", "docker://h/n:", "docker://h/n:a/b", "docker:///n:t", "docker://h/n?x:t"]
        {
            assert!(Place::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn of_a_list_ours_is_taken() {
        let digest = "a".repeat(64);
        let entry = |os: &str, cpu: &str| json!({"digest": format!("sha256:{digest}"), "platform": {"os": os, "architecture": cpu}});
        let list = json!({"manifests": [entry("linux", "arm64"), entry("linux", "amd64")]});
        assert_eq!(for_us(&list).unwrap().unwrap(), digest);
        assert!(for_us(&json!({"manifests": [entry("linux", "arm64")]})).unwrap().is_err());
        assert!(for_us(&json!({"config": {}})).is_none());
        assert_eq!(digest_of(Some(&json!({"digest": "sha512:00"}))), None);
    }
}
