//! What the control machine does itself: TCP connects and HTTPS clients. Whoever implements [`super::Reach`] uses these.

use std::error::Error;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use reqwest::blocking::Client;

use super::Tcp;

/// Time allowed for the TCP and TLS handshakes of an HTTPS request.
const CONNECT: Duration = Duration::from_secs(10);
/// Time allowed for a whole HTTPS request.
const REQUEST: Duration = Duration::from_secs(60);

/// Connects to `to` and says what it met. Errors are texts and mean "could not look" (no route from here, no permission …).
pub fn tcp_connect(to: SocketAddr, deadline: Duration) -> Result<Tcp, String> {
    match TcpStream::connect_timeout(&to, deadline) {
        Ok(_) => Ok(Tcp::Open),
        Err(error) => classify(error.kind()).ok_or_else(|| format!("cannot probe {to} from the control machine: {error}")),
    }
}

/// `None`: the probe says nothing about the target. A missing route of our own (network unreachable) must not look like a firewall.
fn classify(kind: ErrorKind) -> Option<Tcp> {
    match kind {
        ErrorKind::ConnectionRefused => Some(Tcp::Refused),
        ErrorKind::HostUnreachable => Some(Tcp::Rejected),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Some(Tcp::Dropped),
        _ => None,
    }
}

/// An HTTPS client that trusts this CA (PEM) and nothing else, and connects to `address` for `name`.
///
/// It uses no proxy and follows no redirect: a check looks at one server. Deadlines: 10 s to connect, 60 s in all.
pub fn https_client(ca_pem: &str, name: &str, address: SocketAddr) -> Result<Client, String> {
    let unreadable = |why: String| format!("the lab CA's certificate cannot be read: {why}; see `poclab secrets list`");
    // The single-certificate reader takes any text and trusts nothing then, without a word.
    let cas = reqwest::Certificate::from_pem_bundle(ca_pem.as_bytes()).map_err(|e| unreadable(chain(&e)))?;
    if cas.is_empty() {
        return Err(unreadable("no certificate in it".into()));
    }
    build(cas.into_iter().fold(Client::builder(), |builder, ca| builder.add_root_certificate(ca)), name, address)
}

/// An HTTPS client that trusts no CA at all: the control, which must be refused by every correct check of a certificate.
pub fn https_client_without_roots(name: &str, address: SocketAddr) -> Result<Client, String> {
    build(Client::builder(), name, address)
}

fn build(builder: reqwest::blocking::ClientBuilder, name: &str, address: SocketAddr) -> Result<Client, String> {
    builder
        .tls_built_in_root_certs(false)
        .tls_info(true)
        .resolve(name, address)
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|e| format!("cannot make an HTTPS client for {name}: {}", chain(&e)))
}

/// An error with all its causes in one line: the outer text of an HTTP error never says why.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// Whether an error's [`chain`] says that the server's certificate was not accepted (rustls' words).
pub fn is_certificate_error(chain: &str) -> bool {
    chain.contains("invalid peer certificate")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{TlsServer, lab_ca};

    const SHORT: Duration = Duration::from_millis(500);

    #[test]
    fn open_and_refused_on_loopback() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(tcp_connect(address, SHORT), Ok(Tcp::Open));
        drop(listener);
        assert_eq!(tcp_connect(address, SHORT), Ok(Tcp::Refused));
    }

    #[test]
    fn io_errors_are_told_apart() {
        assert_eq!(classify(ErrorKind::HostUnreachable), Some(Tcp::Rejected));
        assert_eq!(classify(ErrorKind::TimedOut), Some(Tcp::Dropped));
        assert_eq!(classify(ErrorKind::NetworkUnreachable), None);
        assert_eq!(classify(ErrorKind::PermissionDenied), None);
    }

    #[test]
    fn only_the_lab_ca_is_trusted_and_only_for_the_right_name() {
        let (ca, other) = (lab_ca(), lab_ca());
        let server = TlsServer::start(&ca, "registry.lab.example", |_| (200, vec![], b"{}".to_vec()));
        let get =
            |client: Client, name: &str| client.get(format!("https://{name}:{}/", server.address.port())).send().map_err(|e| chain(&e));

        let good = get(https_client(&ca.pem(), "registry.lab.example", server.address).unwrap(), "registry.lab.example").unwrap();
        assert_eq!(good.status(), 200);
        for bad in [
            get(https_client_without_roots("registry.lab.example", server.address).unwrap(), "registry.lab.example"),
            get(https_client(&other.pem(), "registry.lab.example", server.address).unwrap(), "registry.lab.example"),
            get(https_client(&ca.pem(), "other.lab.example", server.address).unwrap(), "other.lab.example"),
        ] {
            let text = bad.unwrap_err();
            assert!(is_certificate_error(&text), "{text}");
        }
        assert!(https_client("no pem", "x", server.address).is_err());
    }
}
