//! The registry's HTTP API (distribution specification), from the control machine.

use reqwest::Method;
use reqwest::blocking::{Client, Response};
use sha2::{Digest, Sha256};

use super::{Endpoint, Login, Trial, verdict};
use crate::base::Secret;
use crate::check::reach::{chain, is_certificate_error};
use crate::check::{Outcome, Verdict};

/// Docker 20.10 to 26 push schema 2; OCI is named as well because a registry answers 404 to what was not asked for.
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json";

struct Api<'a> {
    client: Client,
    endpoint: &'a Endpoint,
}

impl<'a> Api<'a> {
    fn new(trial: &Trial<'_>, endpoint: &'a Endpoint) -> Result<Self, String> {
        Ok(Self { client: trial.reach.http(&endpoint.name, trial.address(endpoint))?, endpoint })
    }

    fn ask(&self, method: Method, path: &str, login: Option<Login<'_>>) -> Result<Response, String> {
        let url = format!("https://{}{path}", self.endpoint.text());
        let mut request = self.client.request(method, &url).header("Accept", MANIFEST);
        if let Some(login) = login {
            request = request.basic_auth(login.user, Some(login.password.expose()));
        }
        request.send().map_err(|e| chain(&e))
    }

    fn status(&self, method: Method, path: &str, login: Option<Login<'_>>) -> Result<u16, String> {
        Ok(self.ask(method, path, login)?.status().as_u16())
    }
}

/// TLS and who gets in, on each endpoint.
pub(super) fn access(trial: &Trial<'_>) -> Vec<Outcome> {
    let mut out = Vec::new();
    let mut endpoints = vec![(&trial.push, trial.pusher)];
    if trial.pull != trial.push {
        endpoints.push((&trial.pull, trial.puller));
    }
    for (endpoint, login) in endpoints {
        let at = endpoint.text();
        let next = "see `docker logs registry` on the registry's host and that operators may reach the port";
        out.push(Outcome::new(
            format!("{at} has a certificate of the lab CA and asks for credentials"),
            verdict(locked(trial, endpoint), next),
        ));
        out.push(Outcome::control(
            format!("{at} is not trusted without the lab CA"),
            verdict(untrusted(trial, endpoint), "the certificate must come from the lab CA alone"),
        ));
        out.push(Outcome::new(format!("{at} lets {} in", login.user), verdict(enters(trial, endpoint, login), next)));
        out.push(Outcome::control(format!("{at} refuses a wrong password"), verdict(wrong_password(trial, endpoint, login), next)));
    }
    if trial.pull == trial.push {
        out.push(Outcome::new(
            format!("{} lets {} in", trial.pull.text(), trial.puller.user),
            verdict(enters(trial, &trial.pull, trial.puller), "the pull user must exist"),
        ));
    }
    let next = "the roles of push and pull users are mixed up; see the role registry";
    out.push(Outcome::control(format!("{} may not upload", trial.puller.user), uploads(trial, next)));
    out
}

fn locked(trial: &Trial<'_>, endpoint: &Endpoint) -> Result<String, String> {
    let answer = Api::new(trial, endpoint)?.ask(Method::GET, "/v2/", None)?;
    let realm = answer.headers().get("WWW-Authenticate").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    match answer.status().as_u16() {
        401 if realm.starts_with("Basic ") => Ok("verified by the lab CA, 401 without credentials".into()),
        401 => Err(format!("401, but asks for `{realm}` instead of Basic credentials")),
        status => Err(format!("answers {status} without credentials, must be 401")),
    }
}

fn untrusted(trial: &Trial<'_>, endpoint: &Endpoint) -> Result<String, String> {
    let client = trial.reach.http_without_ca(&endpoint.name, trial.address(endpoint))?;
    match (Api { client, endpoint }).ask(Method::GET, "/v2/", None) {
        Err(why) if is_certificate_error(&why) => Ok("the handshake fails: the certificate's issuer is unknown".into()),
        Err(why) => Err(format!("fails for another reason than the certificate: {why}")),
        Ok(answer) => Err(format!("answers {} to a client that trusts nobody", answer.status().as_u16())),
    }
}

fn enters(trial: &Trial<'_>, endpoint: &Endpoint, login: Login<'_>) -> Result<String, String> {
    match Api::new(trial, endpoint)?.status(Method::GET, "/v2/", Some(login))? {
        200 => Ok("200 with credentials".into()),
        status => Err(format!("answers {status} to {} with the password from the lab's secrets, must be 200", login.user)),
    }
}

fn wrong_password(trial: &Trial<'_>, endpoint: &Endpoint, login: Login<'_>) -> Result<String, String> {
    let wrong = Secret::new(format!("not-{}", trial.marker));
    match Api::new(trial, endpoint)?.status(Method::GET, "/v2/", Some(Login { password: &wrong, ..login }))? {
        401 => Ok("401".into()),
        status => Err(format!("answers {status} to a wrong password, must be 401")),
    }
}

/// The pull user must not start an upload, on either endpoint; the push user must, or the refusal proves nothing.
fn uploads(trial: &Trial<'_>, next: &str) -> Verdict {
    let path = format!("/v2/{}/blobs/uploads/", trial.spec.repository);
    let result = (|| {
        let api = Api::new(trial, &trial.push)?;
        let answer = api.ask(Method::POST, &path, Some(trial.pusher))?;
        if answer.status().as_u16() != 202 {
            return Err(format!(
                "{} cannot start an upload either ({}), so a refusal would prove nothing",
                trial.pusher.user,
                answer.status().as_u16()
            ));
        }
        cancel(&api, &answer, trial.pusher);
        let mut seen = Vec::new();
        let mut endpoints = vec![&trial.push];
        if trial.pull != trial.push {
            endpoints.push(&trial.pull);
        }
        for endpoint in endpoints {
            let api = Api::new(trial, endpoint)?;
            let answer = api.ask(Method::POST, &path, Some(trial.puller))?;
            match answer.status().as_u16() {
                // 405 is what a read-only registry answers.
                status @ (401 | 403 | 405) => seen.push(format!("{status} at {}", endpoint.text())),
                status => {
                    cancel(&api, &answer, trial.puller);
                    return Err(format!(
                        "{} gets {status} at {} for starting an upload, must be refused",
                        trial.puller.user,
                        endpoint.text()
                    ));
                }
            }
        }
        Ok(seen.join(", "))
    })();
    verdict(result, next)
}

/// Gives up an upload that was only started for the check. Left alone it would only wait for the registry's own purging.
fn cancel(api: &Api<'_>, answer: &Response, login: Login<'_>) {
    let location = answer.headers().get("Location").and_then(|value| value.to_str().ok());
    let path = location.map(|l| l.find("/v2/").map_or(l, |start| &l[start..]));
    if let Some(path) = path.filter(|path| path.starts_with("/v2/")) {
        let _ = api.status(Method::DELETE, path, Some(login));
    }
}

/// The manifest at the pull endpoint has the digest that the push reported, by the registry's word and by our own sum.
pub(super) fn same_digest(trial: &Trial<'_>, digest: &str) -> Result<String, String> {
    let answer = Api::new(trial, &trial.pull)?.ask(Method::GET, &manifest(trial, &trial.tag), Some(trial.puller))?;
    let status = answer.status().as_u16();
    if status != 200 {
        return Err(format!("answers {status} for the tag that was just pushed"));
    }
    let word = answer.headers().get("Docker-Content-Digest").and_then(|value| value.to_str().ok()).unwrap_or("none").to_owned();
    let body = answer.bytes().map_err(|e| chain(&e))?;
    let sum = format!("sha256:{}", Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    match word == digest && sum == digest {
        true => Ok(format!("{digest}, by its word and by the manifest's sum")),
        false => Err(format!("pushed was {digest}, the registry says {word}, the manifest sums up to {sum}")),
    }
}

/// Deletes by digest and sees that it is gone.
pub(super) fn delete(trial: &Trial<'_>, digest: &str) -> Result<String, String> {
    let api = Api::new(trial, &trial.push)?;
    let path = manifest(trial, digest);
    match api.status(Method::DELETE, &path, Some(trial.pusher))? {
        202 => {}
        status => {
            return Err(format!("deleting answers {status}, must be 202; {digest} stays in {}", trial.spec.repository));
        }
    }
    match api.status(Method::GET, &path, Some(trial.pusher))? {
        404 => Ok("202, then 404".into()),
        status => Err(format!("still answers {status} after the deletion")),
    }
}

fn manifest(trial: &Trial<'_>, reference: &str) -> String {
    format!("/v2/{}/manifests/{reference}", trial.spec.repository)
}
