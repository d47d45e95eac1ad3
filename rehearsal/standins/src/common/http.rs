//! Requests and answers as plain values; hyper serves them, one blocking handler for each request.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

/// Largest body of a request, in bytes.
const LIMIT: usize = 256 << 20;

/// A request.
pub struct Request {
    /// `GET`
    pub method: String,
    /// As it was sent: percent-encoded.
    pub path: String,
    /// As it was sent.
    pub query: String,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
    /// Who asks.
    pub peer: IpAddr,
}

impl Request {
    /// A header as text; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The decoded segments of the path.
    pub fn segments(&self) -> Vec<String> {
        self.path.split('/').filter(|part| !part.is_empty()).map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned()).collect()
    }

    /// The parameters of query and body (JSON or a form). `None`: the body is not what it says.
    pub fn parameters(&self) -> Option<Map<String, Value>> {
        let mut all = Map::new();
        let form = |all: &mut Map<String, Value>, bytes: &[u8]| {
            for (key, value) in form_urlencoded::parse(bytes) {
                match key.strip_suffix("[]") {
                    Some(list) => {
                        if let Value::Array(items) = all.entry(list).or_insert_with(|| json!([])) {
                            items.push(json!(value));
                        }
                    }
                    None => drop(all.insert(key.into_owned(), json!(value))),
                }
            }
        };
        form(&mut all, self.query.as_bytes());
        if self.header("content-type").starts_with("application/json") && !self.body.is_empty() {
            all.extend(serde_json::from_slice::<Map<String, Value>>(&self.body).ok()?);
        } else if self.header("content-type").starts_with("application/x-www-form-urlencoded") {
            form(&mut all, &self.body);
        }
        Some(all)
    }
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Response {
    /// JSON.
    pub fn json(status: u16, value: &Value) -> Self {
        Self { status, headers: vec![("Content-Type".into(), "application/json".into())], body: value.to_string().into_bytes() }
    }

    /// Text of some type.
    pub fn text(status: u16, kind: &str, text: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("Content-Type".into(), kind.into())], body: text.into() }
    }

    /// The same with one more header.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// Answers requests.
pub type Handler = Arc<dyn Fn(Request) -> Response + Send + Sync>;

/// Serves a TCP port, with TLS if there is any.
pub async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, handler: Handler) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (tls, handler) = (tls.clone(), handler.clone());
        tokio::spawn(async move {
            // An address of the older family looks like one of the newer where both are served.
            let peer = peer.ip().to_canonical();
            match tls {
                None => connection(stream, peer, handler).await,
                Some(tls) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_secs(10), tls.accept(stream)).await {
                        connection(stream, peer, handler).await;
                    }
                }
            }
        });
    }
}

/// Serves a socket of this machine.
pub async fn serve_local(listener: UnixListener, handler: Handler) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, Ipv4Addr::LOCALHOST.into(), handler.clone()));
        }
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: IpAddr, handler: Handler) {
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let handler = handler.clone();
        async move { Ok::<_, std::convert::Infallible>(answer(request, peer, handler).await) }
    });
    // A client that goes away is its own business.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: hyper::Request<Incoming>, peer: IpAddr, handler: Handler) -> hyper::Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, LIMIT).collect().await {
        Ok(body) => body.to_bytes().to_vec(),
        Err(_) => return finish(Response::text(413, "text/plain", "the request is too large\n")),
    };
    let request = Request {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
        peer,
    };
    let done = tokio::task::spawn_blocking(move || handler(request)).await;
    finish(done.unwrap_or_else(|_| Response::json(500, &json!({"message": "500 Internal Server Error"}))))
}

fn finish(response: Response) -> hyper::Response<Full<Bytes>> {
    let mut built = hyper::Response::builder().status(response.status);
    for (name, value) in &response.headers {
        built = built.header(name, value);
    }
    built.body(Full::new(Bytes::from(response.body))).unwrap_or_default()
}

/// Asks a service on this machine through its socket, for programs that have no time for more: JSON in, JSON out.
pub fn ask(socket: &Path, path: &str, body: &Value) -> io::Result<(u16, Value)> {
    let mut stream = UnixStream::connect(socket)?;
    let body = body.to_string();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let odd = || io::Error::other("the service gave no answer that can be read");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(odd)?;
    let status = head.split_whitespace().nth(1).and_then(|word| word.parse().ok()).ok_or_else(odd)?;
    Ok((status, serde_json::from_str(body).map_err(|_| odd())?))
}
