//! For tests only: a Reach made of closures, one that runs scripts on this machine, and a small TLS server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::{Ran, Reach, Tcp, reach};
use crate::base::Payload;

type Exec = dyn Fn(&str, &str, &[u8]) -> Result<Ran, String> + Sync;
type Connect = dyn Fn(SocketAddr) -> Result<Tcp, String> + Sync;

/// A Reach made of closures: `exec` gets host, script and stdin.
pub struct Scripted<'a> {
    pub exec: Box<Exec>,
    pub tcp: Box<Connect>,
    pub ca: Option<&'a Ca>,
}

impl Scripted<'_> {
    pub fn new(exec: impl Fn(&str, &str, &[u8]) -> Result<Ran, String> + Sync + 'static) -> Self {
        Self { exec: Box::new(exec), tcp: Box::new(|_| Err("not scripted".into())), ca: None }
    }
}

impl Reach for Scripted<'_> {
    fn exec(&self, host: &str, script: &str, stdin: Vec<Payload>, _: Duration) -> Result<Ran, String> {
        let bytes: Vec<u8> = stdin
            .into_iter()
            .flat_map(|p| match p {
                Payload::Bytes(b) => b,
                Payload::File { .. } => vec![],
            })
            .collect();
        (self.exec)(host, script, &bytes)
    }

    fn tcp(&self, to: SocketAddr, _: Duration) -> Result<Tcp, String> {
        (self.tcp)(to)
    }

    fn http(&self, name: &str, address: SocketAddr) -> Result<reqwest::blocking::Client, String> {
        reach::https_client(&self.ca.ok_or("no CA scripted")?.pem(), name, address)
    }
}

/// Runs a script in a real shell of this machine.
pub fn sh(shell: &[&str], script: &str, stdin: &[u8]) -> Ran {
    let mut child = Command::new(shell[0])
        .args(&shell[1..])
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A script that does not read its stdin closes the pipe: that is its right.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let out = child.wait_with_output().unwrap();
    Ran { status: out.status.code().unwrap_or(-1), stdout: out.stdout, stderr: out.stderr }
}

pub fn ran(stdout: &str) -> Ran {
    Ran { status: 0, stdout: stdout.as_bytes().to_vec(), stderr: vec![] }
}

/// An answer in frames to a script made by `Framed`: the nonce is read from the script.
pub fn framed(script: &str, frames: &[(&str, &str, i32)]) -> Ran {
    let nonce = script.lines().find_map(|line| line.strip_prefix("poclab_n=")).expect("a framed script").to_owned();
    let mut out = String::new();
    for (id, text, status) in frames {
        out.push_str(&format!("\u{1e}{nonce}:{id}\u{1f}{text}\u{1e}{nonce}:{id}:{status}\u{1f}"));
    }
    ran(&out)
}

/// Fails when shellcheck (if it is there) finds anything.
pub fn shellcheck(script: &str) {
    let Ok(mut child) = Command::new("shellcheck").args(["-s", "sh", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
        return;
    };
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}\n{script}", String::from_utf8_lossy(&out.stdout));
}

pub struct Ca {
    cert: rcgen::Certificate,
    key: rcgen::KeyPair,
}

impl Ca {
    pub fn pem(&self) -> String {
        self.cert.pem()
    }
}

pub fn lab_ca() -> Ca {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "lab CA of a test");
    Ca { cert: params.self_signed(&key).unwrap(), key }
}

/// A request as the server saw it.
pub struct Asked {
    pub method: String,
    pub path: String,
    pub authorization: String,
    /// The header PRIVATE-TOKEN.
    pub token: String,
}

type Answer = (u16, Vec<(String, String)>, Vec<u8>);

/// An HTTPS server on loopback that answers each request with a closure.
pub struct TlsServer {
    pub address: SocketAddr,
}

impl TlsServer {
    pub fn start(ca: &Ca, name: &str, answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &ca.cert, &ca.key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                let (config, answer) = (config.clone(), answer.clone());
                std::thread::spawn(move || {
                    let tls = rustls::StreamOwned::new(rustls::ServerConnection::new(config).unwrap(), tcp);
                    serve(tls, &*answer)
                });
            }
        });
        Self { address }
    }
}

fn serve(tls: impl Read + Write, answer: &dyn Fn(&Asked) -> Answer) -> Option<()> {
    let mut tls = BufReader::new(tls);
    let mut line = String::new();
    tls.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let mut asked =
        Asked { method: words.next()?.to_owned(), path: words.next()?.to_owned(), authorization: String::new(), token: String::new() };
    loop {
        let mut header = String::new();
        tls.read_line(&mut header).ok()?;
        match header.trim().split_once(':') {
            None => break,
            Some((key, value)) if key.eq_ignore_ascii_case("authorization") => asked.authorization = value.trim().to_owned(),
            Some((key, value)) if key.eq_ignore_ascii_case("private-token") => asked.token = value.trim().to_owned(),
            Some(_) => {}
        }
    }
    let (status, headers, body) = answer(&asked);
    let mut out = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
    for (key, value) in headers {
        out.push_str(&format!("{key}: {value}\r\n"));
    }
    if asked.method == "HEAD" {
        out.push_str("\r\n");
        tls.get_mut().write_all(out.as_bytes()).ok()?;
    } else {
        out.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        tls.get_mut().write_all(out.as_bytes()).ok()?;
        tls.get_mut().write_all(&body).ok()?;
    }
    tls.get_mut().flush().ok()
}
