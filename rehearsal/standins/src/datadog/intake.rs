//! The intake: takes what agents send and answers what the lab asks, each with the right keys only.
//!
//! Configured by its folder /etc/intake: `tls.crt`, `tls.key`, and `keys.json` with `{"api": […], "app": […]}`, read anew for every
//! request, so that a key that is taken out is revoked at once. What is kept: dashboards and monitors (/var/lib/intake). Points are
//! not: they are gone after a restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::objects::Objects;
use super::payload::{self, Metric};
use super::query::Points;
use crate::common::http::{Handler, Request, Response, serve};
use crate::common::store::Store;
use crate::common::tls;

/// The service.
pub struct Intake {
    keys: PathBuf,
    points: Mutex<Points>,
    objects: Store<Objects>,
}

/// Serves until it is ended.
pub fn run() -> Result<(), String> {
    let folder = PathBuf::from(std::env::var("INTAKE_FOLDER").unwrap_or_else(|_| "/etc/intake".to_owned()));
    let state = PathBuf::from(std::env::var("INTAKE_STATE").unwrap_or_else(|_| "/var/lib/intake".to_owned()));
    let port: u16 = std::env::var("INTAKE_PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8443);
    let intake = Arc::new(Intake::open(&folder, &state)?);
    let tls = tls::server(&folder.join("tls.crt"), &folder.join("tls.key")).map_err(|why| why.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|why| why.to_string())?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(("0.0.0.0", port)).await.map_err(|why| format!("port {port}: {why}"))?;
        println!("intake of the poclab rehearsal (not Datadog) on port {port}");
        let handler: Handler = Arc::new(move |request: Request| intake.answer(&request));
        let server = tokio::spawn(serve(listener, Some(TlsAcceptor::from(tls)), handler));
        let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(|why| why.to_string())?;
        ended.recv().await;
        server.abort();
        Ok(())
    })
}

fn refused() -> Response {
    Response::json(403, &json!({"status": "error", "code": 403, "errors": ["Forbidden"], "statuspage": "http://status.datadoghq.com"}))
}

impl Intake {
    /// Opens its state; keys are in `folder`.
    pub fn open(folder: &Path, state: &Path) -> Result<Self, String> {
        let objects = Store::open(&state.join("objects.json")).map_err(|why| why.to_string())?;
        Ok(Self { keys: folder.join("keys.json"), points: Mutex::default(), objects })
    }

    /// Whether a key is one of those that are valid now.
    fn valid(&self, kind: &str, key: &str) -> bool {
        let keys = std::fs::read(&self.keys).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()).unwrap_or_default();
        !key.is_empty() && keys[kind].as_array().is_some_and(|all| all.iter().any(|known| known == key))
    }

    fn points(&self) -> std::sync::MutexGuard<'_, Points> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request.
    pub fn answer(&self, request: &Request) -> Response {
        let parameters = request.parameters();
        let query = |field: &str| -> String {
            parameters.as_ref().and_then(|all| all.get(field)).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        if request.path == "/" && request.method == "GET" {
            return self.page();
        }
        let key = match request.header("dd-api-key") {
            "" => query("api_key"),
            key => key.to_owned(),
        };
        if !self.valid("api", &key) {
            return refused();
        }
        let segments = request.segments();
        let path: Vec<&str> = segments.iter().map(String::as_str).collect();
        match (request.method.as_str(), path.as_slice()) {
            ("POST", ["api", "v2", "series"]) => self.take(request, payload::metrics),
            ("POST", ["api", "v1", "series"]) => self.take(request, payload::metrics_v1),
            ("POST", ["api", "v1", "check_run" | "metadata" | "container"] | ["intake"] | ["api", "v2", "logs"]) => {
                match payload::unpack(request.header("content-encoding"), &request.body) {
                    Ok(_) => Response::json(202, &json!({"status": "ok"})),
                    Err(why) => Response::json(400, &json!({"errors": [why]})),
                }
            }
            ("GET", ["api", "v1", "validate"]) => Response::json(200, &json!({"valid": true})),
            // Everything below reads or changes what belongs to people: an application key is needed, too.
            _ if !self.valid("app", request.header("dd-application-key")) => refused(),
            ("GET", ["api", "v2", "validate_keys"]) => Response::json(200, &json!({"status": "ok"})),
            ("GET", ["api", "v1", "query"]) => {
                let (Ok(from), Ok(to)) = (query("from").parse(), query("to").parse()) else {
                    return Response::json(400, &json!({"errors": ["The parameters 'from' and 'to' are required"]}));
                };
                match self.points().answer(&query("query"), from, to) {
                    Ok(answer) => Response::json(200, &answer),
                    Err(why) => Response::json(400, &json!({"status": "error", "error": why.clone(), "errors": [why]})),
                }
            }
            (method, ["api", "v1", kind @ ("dashboard" | "monitor"), rest @ ..]) if rest.len() < 2 => {
                let body: Map<String, Value> = serde_json::from_slice(&request.body).unwrap_or_default();
                let id = rest.first().copied();
                let done = self.objects.change(|objects| match *kind {
                    "dashboard" => objects.dashboards(method, id, body),
                    _ => objects.monitors(method, id, &query("name"), body),
                });
                match done {
                    Ok((status, answer)) => Response::json(status, &answer),
                    Err(why) => Response::json(500, &json!({"errors": [why.to_string()]})),
                }
            }
            _ => Response::json(404, &json!({"errors": ["Not found (of the rehearsal's intake)"]})),
        }
    }

    fn take(&self, request: &Request, read: fn(&[u8]) -> Result<Vec<Metric>, String>) -> Response {
        let metrics = payload::unpack(request.header("content-encoding"), &request.body).and_then(|body| read(&body));
        match metrics {
            Ok(metrics) => {
                self.points().take(metrics, OffsetDateTime::now_utc().unix_timestamp());
                Response::json(202, &json!({"errors": []}))
            }
            Err(why) => Response::json(400, &json!({"errors": [why]})),
        }
    }

    /// What people see: which hosts sent something, and when. No keys are needed, as no values are shown.
    fn page(&self) -> Response {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let mut text = "intake of the poclab rehearsal; it is not Datadog\n\nlast data of each host:\n".to_owned();
        for (host, at) in self.points().last_of_hosts() {
            text.push_str(&format!("  {host}: {} s ago\n", now - at));
        }
        text.push_str("\ndashboards:\n");
        for (title, path) in self.objects.read(Objects::links) {
            text.push_str(&format!("  {title} ({path})\n"));
        }
        Response::text(200, "text/plain; charset=utf-8", text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::Ipv4Addr;

    use hyper::header::{HeaderMap, HeaderName, HeaderValue};

    use super::*;
    use crate::datadog::payload::{MetricPayload, MetricPoint, MetricSeries, Resource, pack};

    fn request(method: &str, url: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Request {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        Request { method: method.into(), path: path.into(), query: query.into(), headers: all, body, peer: Ipv4Addr::LOCALHOST.into() }
    }

    #[test]
    fn keys_decide() {
        let folder = tempfile::tempdir().unwrap();
        let keys = |text: &str| std::fs::write(folder.path().join("keys.json"), text).unwrap();
        keys(r#"{"api": ["api-key"], "app": ["app-key"]}"#);
        let intake = Intake::open(folder.path(), folder.path()).unwrap();
        let status = |method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]| {
            intake.answer(&request(method, url, headers, body.to_vec())).status
        };
        let (api, app) = (("dd-api-key", "api-key"), ("dd-application-key", "app-key"));
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let series = MetricSeries {
            resources: vec![Resource { kind: "host".into(), name: "a".into() }],
            metric: "m".into(),
            points: vec![MetricPoint { value: 1.0, timestamp: now }],
            ..MetricSeries::default()
        };
        let packed = pack(&MetricPayload { series: vec![series] }).unwrap();
        let zlib = ("content-encoding", "deflate");
        assert_eq!(status("POST", "/api/v2/series", &[("dd-api-key", "other"), zlib], &packed), 403);
        assert_eq!(status("POST", "/api/v2/series", &[api, zlib], &packed), 202);
        assert_eq!(status("POST", "/api/v2/series", &[api], &packed), 400);
        assert_eq!(status("GET", "/api/v1/validate", &[], b""), 403);
        assert_eq!(status("GET", "/api/v1/validate", &[api], b""), 200);
        let url = format!("/api/v1/query?from={}&to={now}&query=avg%3Am%7B%2A%7D%20by%20%7Bhost%7D", now - 60);
        assert_eq!(status("GET", &url, &[api], b""), 403);
        let answer = intake.answer(&request("GET", &url, &[api, app], Vec::new()));
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["series"][0]["scope"], "host:a");
        keys(r#"{"api": [], "app": ["app-key"]}"#);
        assert_eq!(status("GET", "/api/v1/validate", &[api], b""), 403);
    }
}
