//! Upstream on this machine: files and images over plain HTTP, as vendors' servers answer.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use poclab::base::sha256;
use serde_json::{Value, json};

/// What there is, and how the server behaves.
#[derive(Default)]
struct Shop {
    files: BTreeMap<String, Vec<u8>>,
    /// Paths that were asked for and given, in order.
    given: Vec<String>,
    /// How often the server is still busy (503).
    busy: usize,
    /// After how many requests for images a token is no good any more (0: never), and how many were made with this one.
    token_lasts: usize,
    token_used: usize,
    token: usize,
}

type Files = Arc<Mutex<Shop>>;

/// A server for as long as the test runs. It gives images only to who has fetched a token, as Docker Hub does.
pub struct Upstream {
    /// `127.0.0.1:PORT`
    pub address: String,
    files: Files,
}

impl Upstream {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let files = Files::default();
        let (shared, own) = (Arc::clone(&files), address.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (files, own) = (Arc::clone(&shared), own.clone());
                std::thread::spawn(move || answer(stream, &files, &own));
            }
        });
        Self { address, files }
    }

    /// Offers a file; its SHA-256.
    pub fn file(&self, path: &str, content: &[u8]) -> String {
        self.files.lock().unwrap().files.insert(path.to_owned(), content.to_vec());
        sha256(content)
    }

    /// What is offered at a place.
    pub fn content(&self, path: &str) -> Vec<u8> {
        self.files.lock().unwrap().files[path].clone()
    }

    /// Takes a file away.
    pub fn lose(&self, path: &str) {
        self.files.lock().unwrap().files.remove(path).unwrap();
    }

    /// Answers the next requests with "busy".
    pub fn busy(&self, times: usize) {
        self.files.lock().unwrap().busy = times;
    }

    /// Makes a token good for so many requests only.
    pub fn tokens_last(&self, requests: usize) {
        self.files.lock().unwrap().token_lasts = requests;
    }

    /// What was given since the last call.
    pub fn take_given(&self) -> Vec<String> {
        std::mem::take(&mut self.files.lock().unwrap().given)
    }

    /// Offers an image for two machines under a tag; the digest of the list, without `sha256:`.
    pub fn image(&self, name: &str, tag: &str, config: &[u8], layers: &[Vec<u8>]) -> String {
        let blob = |bytes: &[u8]| {
            let digest = sha256(bytes);
            self.file(&format!("/v2/{name}/blobs/sha256:{digest}"), bytes);
            json!({"mediaType": "application/octet-stream", "size": bytes.len(), "digest": format!("sha256:{digest}")})
        };
        let layers: Vec<Value> = layers.iter().map(|layer| blob(layer)).collect();
        let manifest = json!({"schemaVersion": 2, "config": blob(config), "layers": layers}).to_string();
        let ours = self.manifest(name, manifest.as_bytes());
        let entry =
            |cpu: &str, digest: &str| json!({"digest": format!("sha256:{digest}"), "platform": {"os": "linux", "architecture": cpu}});
        let list = json!({"schemaVersion": 2, "manifests": [entry("arm64", &"0".repeat(64)), entry("amd64", &ours)]}).to_string();
        let digest = self.manifest(name, list.as_bytes());
        self.file(&format!("/v2/{name}/manifests/{tag}"), list.as_bytes());
        digest
    }

    fn manifest(&self, name: &str, bytes: &[u8]) -> String {
        let digest = sha256(bytes);
        self.file(&format!("/v2/{name}/manifests/sha256:{digest}"), bytes);
        digest
    }

    /// Offers what is in an archive of `docker save`.
    pub fn archive(&self, name: &str, tag: &str, archive: &Path) -> String {
        let mut files = BTreeMap::new();
        let mut tar = tar::Archive::new(std::fs::File::open(archive).unwrap());
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            files.insert(path, bytes);
        }
        let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        let layers: Vec<Vec<u8>> =
            manifest[0]["Layers"].as_array().unwrap().iter().map(|layer| files[layer.as_str().unwrap()].clone()).collect();
        self.image(name, tag, &files[manifest[0]["Config"].as_str().unwrap()], &layers)
    }
}

fn answer(mut stream: TcpStream, files: &Files, own: &str) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut token) = (String::new(), None);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
            break;
        }
        let bearer = line.trim().to_ascii_lowercase();
        token = token.or(bearer.strip_prefix("authorization: bearer for-everybody-").and_then(|number| number.parse().ok()));
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, header, body) = files.lock().unwrap().serve(&path, token, own);
    let _ = write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{header}Content-Length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(&body);
}

impl Shop {
    fn serve(&mut self, path: &str, token: Option<usize>, own: &str) -> (&'static str, String, Vec<u8>) {
        if self.busy > 0 {
            self.busy -= 1;
            return ("503 Service Unavailable", String::new(), Vec::new());
        }
        if path.starts_with("/token?") {
            (self.token, self.token_used) = (self.token + 1, 0);
            return ("200 OK", String::new(), format!("{{\"token\": \"for-everybody-{}\"}}", self.token).into_bytes());
        }
        if path.starts_with("/v2/") {
            let good = token == Some(self.token) && (self.token_lasts == 0 || self.token_used < self.token_lasts);
            self.token_used += 1;
            if !good {
                let header =
                    format!("WWW-Authenticate: Bearer realm=\"http://{own}/token\",service=\"test\",scope=\"repository:x:pull\"\r\n");
                return ("401 Unauthorized", header, Vec::new());
            }
        }
        // A server that sends one somewhere else.
        if let Some((_, to)) = path.split_once("/leads-to/") {
            return ("302 Found", format!("Location: {to}\r\n"), Vec::new());
        }
        match self.files.get(path).cloned() {
            Some(body) => {
                self.given.push(path.to_owned());
                ("200 OK", String::new(), body)
            }
            None => ("404 Not Found", String::new(), Vec::new()),
        }
    }
}
