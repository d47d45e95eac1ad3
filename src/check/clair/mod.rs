//! Clair knows what it must, answers nobody but the pipeline, and the gate that asks it says no when it must.

mod gate;
mod listeners;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use time::OffsetDateTime;

use super::pipeline::site::Site;
use super::run::{Framed, Frames, blind, last_line};
use super::{CheckKind, Outcome, Reach, Tcp, Verdict, shapes};
use crate::base::frame::nonce;
use crate::base::{Payload, Secret, quote};
use crate::scan::{ENRICHMENTS, Feeds, OPERATIONS, State, bearer};

/// Clair is ready, everything that it must know is loaded and fresh, and the gate, run as the pipeline runs it, lets a clean image pass.
///
/// Controls: requests without a key and with a wrong one are refused, the database lets nobody in without its password, all of it listens
/// on loopback only and nothing of it is reachable from outside; an image is refused for a package of PyPI with a known vulnerability, and
/// for one of Debian's (rated by its CVSS score; skipped where that data is not wanted); without its data Clair's word about an image
/// counts for nothing. The two images are made for the check and removed again.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of Clair's host.
    pub host: String,
    /// Its address in the lab: nothing of Clair may answer there.
    #[schemars(with = "String")]
    pub address: Ipv4Addr,
    /// Clair's API, seen from its host: `http://127.0.0.1:6060`.
    pub api: String,
    /// Where it tells of its health: `http://127.0.0.1:6061`.
    pub health: String,
    /// The port of its database.
    pub database_port: u16,
    /// The database's container. Default: `clair-database`.
    #[serde(default = "database")]
    pub database: String,
    /// The key that signs requests, in base64.
    #[serde(deserialize_with = "shapes::secret")]
    #[schemars(with = "String")]
    pub key: Secret,
    /// As whom they are signed.
    pub issuer: String,
    /// Updaters and enrichers that must have loaded something; `*` at the end stands for anything.
    pub updaters: Vec<String>,
    /// How old that may be, in days.
    pub max_age_days: u32,
    /// The container on that host in which the pipeline runs the gate.
    pub container: String,
    /// The gate's program in it. Default: `/opt/lab/bin/poclab`.
    #[serde(default = "program")]
    pub program: String,
    /// The gate's configuration, the same in the container and on the host. Default: `/etc/poclab/scan.yml`.
    #[serde(default = "config")]
    pub config: String,
    /// The registry, and who pushes.
    pub registry: Site,
}

fn database() -> String {
    "clair-database".into()
}
fn program() -> String {
    "/opt/lab/bin/poclab".into()
}
fn config() -> String {
    "/etc/poclab/scan.yml".into()
}

const DEADLINE: Duration = Duration::from_secs(90);
/// What to do next.
const NEXT: &str = "see `docker logs clair` on its host and run `poclab bootstrap`";

fn verdict(result: Result<String, String>) -> Verdict {
    match result {
        Ok(text) => Verdict::Passed(text),
        Err(why) => Verdict::Failed(format!("{why}; {NEXT}")),
    }
}

/// The key's bytes. Clair takes what base64 makes of the secret's text.
fn key(spec: &Spec) -> Result<Vec<u8>, String> {
    use base64::Engine as _;
    let key = base64::engine::general_purpose::STANDARD.decode(spec.key.expose());
    key.map_err(|_| "the secret clair_psk is not base64: rotate it (`poclab secrets rotate clair_psk`)".into())
}

/// curl's answer to a question: the body, and the status in a last line.
fn curl(url: &str, more: &str) -> String {
    format!("curl -sS --noproxy '*' --max-time 30 -w '\\n%{{http_code}}' {more}{} 2>&1", quote(url))
}

/// Asks all that needs no image, in one script. The token goes by stdin.
fn questions(spec: &Spec, token: &str, wrong: &str) -> Framed {
    let operations = format!("{}{OPERATIONS}", spec.api);
    let header = header(token);
    let psql = format!(
        "timeout 30 docker exec {} psql -h 127.0.0.1 -p {} -U clair -d clair -w -AtXqc 'SELECT 1' 2>&1",
        quote(&spec.database),
        spec.database_port
    );
    Framed::new()
        .ask("ready", &curl(&format!("{}/readyz", spec.health), ""))
        .ask("nobody", &curl(&operations, ""))
        .ask("wrong", &curl(&operations, &format!("-H {} ", quote(&format!("Authorization: {wrong}")))))
        .ask("database", &psql)
        .ask("listening", listeners::SCRIPT)
        .step("known", &format!("head -c {} | {}", header.len(), curl(&operations, "-K - ")), true)
        .step("enriched", &format!("head -c {} | {}", header.len(), curl(&format!("{}{ENRICHMENTS}", spec.api), "-K - ")), true)
}

/// A line of curl's configuration.
fn header(token: &str) -> String {
    format!("header = \"Authorization: {token}\"\n")
}

/// An answer of [`curl`]: status and body.
fn answer(frames: &Frames, id: &str) -> Result<(u16, String), String> {
    let frame = frames.get(id)?;
    let text = frame.text();
    if frame.status != 0 {
        return Err(format!("curl on its host ended with {}: {}", frame.status, last_line(&text)));
    }
    let (body, status) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim()));
    let status = status.trim().parse().map_err(|_| format!("curl said no status: {}", last_line(&text)))?;
    Ok((status, body.to_owned()))
}

fn must(status: u16, frames: &Frames, id: &str) -> Result<String, String> {
    match answer(frames, id)? {
        (told, _) if told == status => Ok(status.to_string()),
        (told, body) => Err(format!("it answers {told}, must be {status}: {}", last_line(&body))),
    }
}

/// What Clair has loaded is what it must know.
fn knows(spec: &Spec, frames: &Frames) -> Result<String, String> {
    let told = |id: &str| match answer(frames, id)? {
        (200, body) => Ok(body),
        (status, _) => Err(format!("it answers {status} to the lab's key, must be 200")),
    };
    let now = OffsetDateTime::now_utc();
    let feeds = Feeds::read(told("known")?.as_bytes(), now)?.with_enrichments(told("enriched")?.as_bytes(), now)?;
    match feeds.state(&spec.updaters, spec.max_age_days) {
        State::Loaded => Ok(feeds
            .0
            .iter()
            .map(|feed| format!("{} of {}", feed.updater, feed.recorded.as_ref().unwrap_or(&feed.loaded)))
            .collect::<Vec<_>>()
            .join(", ")),
        other => Err(other.to_string()),
    }
}

/// The database refuses a login without a password, for that reason.
fn database_is_locked(frames: &Frames) -> Result<String, String> {
    let frame = frames.get("database")?;
    let text = frame.text();
    match (frame.status, text.contains("no password supplied")) {
        (0, _) => Err("it lets in whoever asks".into()),
        (_, true) => Ok(last_line(&text).to_owned()),
        (_, false) => Err(format!("it refuses for another reason: {}", last_line(&text))),
    }
}

fn port(url: &str) -> Result<u16, String> {
    let port = reqwest::Url::parse(url).ok().and_then(|url| url.port_or_known_default());
    port.ok_or_else(|| format!("`{url}` names no port"))
}

/// Where Clair and its database listen.
fn ports(spec: &Spec) -> Result<[u16; 3], String> {
    Ok([port(&spec.api)?, port(&spec.health)?, spec.database_port])
}

/// Each of the ports is there, on loopback and nowhere else. A firewall hides what a probe from outside would look for.
fn loopback_only(spec: &Spec, frames: &Frames) -> Result<String, String> {
    let listeners = listeners::read(&frames.good("listening")?)?;
    let mut seen = Vec::new();
    for port in ports(spec)? {
        let at: Vec<_> = listeners.iter().filter(|listener| listener.port() == port).collect();
        if let Some(open) = at.iter().find(|listener| !listener.ip().is_loopback()) {
            return Err(format!("something listens at {open}, must be on loopback only"));
        }
        seen.extend(at.first().map(ToString::to_string));
        if at.is_empty() {
            return Err(format!("nothing listens at port {port}"));
        }
    }
    Ok(seen.join(", "))
}

/// Nothing of it answers at the host's address in the lab.
fn closed(spec: &Spec, reach: &dyn Reach) -> Result<String, String> {
    let mut seen = Vec::new();
    for port in ports(spec)? {
        match reach.tcp(SocketAddr::from((spec.address, port)), Duration::from_secs(3))? {
            Tcp::Open => return Err(format!("{}:{port} can be reached from the control machine", spec.address)),
            Tcp::Refused | Tcp::Rejected | Tcp::Dropped => seen.push(port.to_string()),
        }
    }
    Ok(format!("ports {} are closed", seen.join(", ")))
}

impl CheckKind for Spec {
    const NAME: &'static str = "clair";

    fn id(&self) -> String {
        self.host.clone()
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        progress(&format!("asking Clair on {}", self.host));
        let ready = "Clair is ready";
        let key = match key(self) {
            Ok(key) => key,
            Err(why) => return vec![Outcome::new(ready, Verdict::Failed(why))],
        };
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let token = bearer(&key, &self.issuer, now);
        let wrong = bearer(nonce().as_bytes(), &self.issuer, now);
        let stdin = vec![Payload::Bytes(header(&token).repeat(2).into_bytes())];
        let frames = match questions(self, &token, &wrong).run(reach, &self.host, stdin, DEADLINE) {
            Ok(frames) => frames,
            Err(why) => return vec![Outcome::new(ready, blind(&self.host, &why))],
        };
        let mut out = vec![
            Outcome::new(ready, verdict(must(200, &frames, "ready"))),
            Outcome::control("a request without a key is refused", verdict(must(401, &frames, "nobody"))),
            Outcome::control("a request with a wrong key is refused", verdict(must(401, &frames, "wrong"))),
            Outcome::control("its database lets nobody in without a password", verdict(database_is_locked(&frames))),
            Outcome::control("both listen on loopback only", verdict(loopback_only(self, &frames))),
            Outcome::control("neither can be reached from outside", verdict(closed(self, reach))),
        ];
        let knows = knows(self, &frames);
        let judges = knows.is_ok();
        out.push(Outcome::new("Clair has loaded all that it must know", verdict(knows)));
        if judges {
            progress("having two images scanned");
        }
        out.extend(gate::outcomes(self, reach, judges));
        out
    }
}

#[cfg(test)]
mod tests;
