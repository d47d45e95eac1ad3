use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};

use serde_json::json;

use super::*;
use crate::check::testing::{Ca, TlsServer, lab_ca};
use crate::scan::Registry;

/// A Clair that says 200 and what it was asked: request line, headers, body.
fn clair() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, heard) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let (mut asked, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap();
                }
                asked += &line;
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            asked += &String::from_utf8(body).unwrap();
            tell.send(asked).unwrap();
            reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnull").unwrap();
        }
    });
    (address, heard)
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(ca: &Ca) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca"), ca.pem()).unwrap();
        std::fs::write(folder.path().join("key"), "c2VjcmV0LWtleQ==\n").unwrap();
        std::fs::write(folder.path().join("password"), "hunter22\n").unwrap();
        Self { folder }
    }

    fn config(&self, clair: SocketAddr, registry: &str) -> Config {
        let file = |name: &str| self.folder.path().join(name);
        Config {
            clair: format!("http://{clair}/"),
            key: file("key"),
            issuer: "poclab".into(),
            registry: Registry {
                push_to: registry.into(),
                pull_from: registry.into(),
                ca: file("ca"),
                user: "pull".into(),
                password: file("password"),
            },
            updaters: vec!["debian/updater".into()],
            max_age_days: 7,
            deadline: 10,
        }
    }
}

/// A Clair that gives one of these answers to each connection; an empty one hangs up.
fn moody(answers: &'static [&'static str]) -> (SocketAddr, std::thread::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
        answers.len()
    });
    (address, asked)
}

const BUSY: &str = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnull";

#[test]
fn who_is_busy_or_hangs_up_is_asked_again() {
    let (address, asked) = moody(&[BUSY, "", GOOD]);
    let http = Http::new(&Place::new(&lab_ca()).config(address, "r:5443")).unwrap();
    assert_eq!(http.ask("/x", None).unwrap(), (200, b"null".to_vec()));
    assert_eq!(asked.join().unwrap(), 3);
    let (address, asked) = moody(&[BUSY, BUSY, BUSY]);
    let http = Http::new(&Place::new(&lab_ca()).config(address, "r:5443")).unwrap();
    assert_eq!(http.ask("/x", None).unwrap().0, 429, "not for ever");
    assert_eq!(asked.join().unwrap(), 3);
}

#[test]
fn all_that_is_asked_has_one_deadline() {
    // It is connected to, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new(&lab_ca());
    let config = Config { deadline: 1, ..place.config(silent.local_addr().unwrap(), "r:5443") };
    let http = Http::new(&config).unwrap();
    let started = Instant::now();
    for _ in 0..3 {
        let told = http.ask("/x", None).unwrap_err();
        assert!(told.ends_with("has not answered in time: all of it may take 1 s (`deadline`)"), "{told}");
    }
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

fn image(registry: &str) -> Image {
    format!("{registry}/a/b@sha256:{}", "ab".repeat(32)).parse().unwrap()
}

#[test]
fn clair_gets_a_token_and_never_the_key() {
    let (address, heard) = clair();
    let http = Http::new(&Place::new(&lab_ca()).config(address, "r:5443")).unwrap();
    assert_eq!(http.ask("/x?y=1", None).unwrap(), (200, b"null".to_vec()));
    let asked = heard.recv().unwrap();
    assert!(asked.starts_with("GET /x?y=1 HTTP/1.1\r\n") && asked.to_lowercase().contains("authorization: bearer ey"), "{asked}");
    assert!(!asked.contains("secret-key") && !asked.contains("c2VjcmV0"), "{asked}");
    http.ask("/x", Some(&json!({"hash": "h"}))).unwrap();
    let asked = heard.recv().unwrap();
    assert!(asked.starts_with("POST /x HTTP/1.1\r\n") && asked.ends_with("\r\n\r\n{\"hash\":\"h\"}"), "{asked}");
    let nobody = Http::new(&Place::new(&lab_ca()).config(SocketAddr::from(([127, 0, 0, 1], 1)), "r:5443")).unwrap();
    assert!(nobody.ask("/x", None).unwrap_err().starts_with("Clair at http://127.0.0.1:1 does not answer: "));
}

#[test]
fn manifests_come_over_tls_from_whom_the_lab_trusts() {
    let (ca, other) = (lab_ca(), lab_ca());
    let server = TlsServer::start(&ca, "localhost", |asked| match (asked.authorization.as_str(), asked.path.as_str()) {
        // pull:hunter22
        ("Basic cHVsbDpodW50ZXIyMg==", path) if path.starts_with("/v2/a/b/manifests/sha256:abab") => (200, vec![], b"{}".to_vec()),
        ("Basic cHVsbDpodW50ZXIyMg==", _) => (404, vec![], vec![]),
        _ => (401, vec![], vec![]),
    });
    let registry = format!("localhost:{}", server.address.port());
    let clair = SocketAddr::from(([127, 0, 0, 1], 1));
    let place = Place::new(&ca);
    let http = Http::new(&place.config(clair, &registry)).unwrap();
    assert_eq!(http.manifest(&image(&registry)).unwrap(), b"{}");
    let gone = Image { name: "c".into(), ..image(&registry) };
    assert!(http.manifest(&gone).unwrap_err().contains("push the image first"));
    let (uri, authorization) = http.layer(&image(&registry), "sha256:00");
    assert_eq!((uri, authorization.as_str()), (format!("https://{registry}/v2/a/b/blobs/sha256:00"), "Basic cHVsbDpodW50ZXIyMg=="));

    std::fs::write(place.folder.path().join("password"), "wrong").unwrap();
    let locked = Http::new(&place.config(clair, &registry)).unwrap();
    assert!(locked.manifest(&image(&registry)).unwrap_err().contains("does not let pull in (401)"));
    let distrusted = Http::new(&Place::new(&other).config(clair, &registry)).unwrap().manifest(&image(&registry)).unwrap_err();
    assert!(distrusted.contains("invalid peer certificate"), "{distrusted}");
}
