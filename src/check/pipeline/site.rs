//! A product's web API, from the control machine.

use std::net::{Ipv4Addr, SocketAddr};

use reqwest::blocking::{Client, RequestBuilder};
use reqwest::{Method, Url};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::base::Secret;
use crate::check::reach::chain;
use crate::check::{Reach, shapes};

/// Where a product is and who asks.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// e.g. `https://deploy.lab.example:8080`, without a slash at its end.
    pub url: String,
    /// The host's address in the lab.
    #[schemars(with = "String")]
    pub address: Ipv4Addr,
    /// Login.
    pub user: String,
    /// Its password.
    #[serde(deserialize_with = "shapes::secret")]
    #[schemars(with = "String")]
    pub password: Secret,
}

/// What Docker 20.10 to 26 push.
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json";

/// An answer: its status and its text.
pub type Answer = (u16, String);

/// A client for one site.
pub struct Api<'a> {
    site: &'a Site,
    client: Client,
}

impl<'a> Api<'a> {
    /// Makes a client; nothing is asked yet.
    pub fn new(site: &'a Site, reach: &dyn Reach) -> Result<Self, String> {
        let url = Url::parse(&site.url).map_err(|why| format!("`{}` is not an address: {why}", site.url))?;
        let (Some(name), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(format!("`{}` names no host", site.url));
        };
        Ok(Self { site, client: reach.http(name, SocketAddr::from((site.address, port)))? })
    }

    /// The site.
    pub fn site(&self) -> &'a Site {
        self.site
    }

    /// A request to a path, without any login.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.site.url))
    }

    /// GET with the site's login; whatever status comes back.
    pub fn get(&self, path: &str) -> Result<Answer, String> {
        self.send(self.request(Method::GET, path).basic_auth(&self.site.user, Some(self.site.password.expose())))
    }

    /// Sends a request. Errors name the site.
    pub fn send(&self, request: RequestBuilder) -> Result<Answer, String> {
        let told = |e: reqwest::Error| format!("{}: {}", self.site.url, chain(&e));
        let answer = request.send().map_err(told)?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().map_err(told)?))
    }

    /// The digest that a registry has for a repository's tag. `None`: it says that it has no such image (404). Anything else that keeps it
    /// from saying so (a login that is refused, an error of its own, no connection) is an error: it may have the image.
    pub fn digest(&self, repository: &str, tag: &str) -> Result<Option<String>, String> {
        let blind =
            |why: String| format!("cannot see whether the registry has {repository}:{tag}: {why}; see that it answers (`poclab status`)");
        let request = self
            .request(Method::HEAD, &format!("/v2/{repository}/manifests/{tag}"))
            .basic_auth(&self.site.user, Some(self.site.password.expose()))
            .header("Accept", MANIFEST);
        let answer = request.send().map_err(|e| blind(chain(&e)))?;
        match answer.status().as_u16() {
            200 => {
                let digest = answer.headers().get("Docker-Content-Digest").and_then(|digest| digest.to_str().ok());
                digest.map(|digest| Some(digest.to_owned())).ok_or_else(|| blind("it answers 200 and names no digest".into()))
            }
            404 => Ok(None),
            status => Err(blind(format!("it answers {status}"))),
        }
    }

    /// GET of a JSON document with the site's login. `None`: 404.
    pub fn json(&self, path: &str) -> Result<Option<Value>, String> {
        self.read(path, self.get(path)?)
    }

    /// The JSON of an answer. `None`: 404. Any other status but 200 is an error.
    pub fn read(&self, path: &str, (status, text): Answer) -> Result<Option<Value>, String> {
        match status {
            200 => serde_json::from_str(&text).map(Some).map_err(|why| format!("{}{path} answers what is not JSON: {why}", self.site.url)),
            404 => Ok(None),
            status => Err(format!("{}{path} answers {status}: {}", self.site.url, first_line(&text))),
        }
    }
}

/// The first line that says something, cut to a readable length.
pub fn first_line(text: &str) -> String {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().chars().take(200).collect()
}
