//! Clair's API, version 4: an image is indexed, then its report is fetched. What each answer means, and what it does not mean.

use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::feeds::Feeds;
use super::vulnerabilities::Report;

/// What the vulnerability database was filled with: the newest operation of each updater.
pub const OPERATIONS: &str = "/matcher/api/v1/internal/update_operation?latest=true";
/// The same of its enrichers: [`OPERATIONS`] leaves them out.
pub const ENRICHMENTS: &str = "/matcher/api/v1/internal/update_operation?latest=true&kind=enrichment";
const INDEX: &str = "/indexer/api/v1/index_report";
const REPORT: &str = "/matcher/api/v1/vulnerability_report/";

/// Whoever asks Clair.
pub trait Ask {
    /// The status and the body of an answer, whatever they are. Without a body it is GET, with one POST.
    fn ask(&self, path: &str, body: Option<&Value>) -> Result<(u16, Vec<u8>), String>;
}

/// A layer, and how Clair gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its digest.
    pub digest: String,
    /// Where it is.
    pub uri: String,
    /// The value of the header `Authorization`.
    pub authorization: String,
}

#[derive(Deserialize)]
struct Index {
    state: String,
    success: bool,
    #[serde(default)]
    err: String,
}

/// The updaters' and enrichers' newest operations.
pub fn operations(clair: &dyn Ask, now: OffsetDateTime) -> Result<Feeds, String> {
    let ask = |path| match clair.ask(path, None)? {
        (200, body) => Ok(body),
        (status, body) => Err(unexpected("for what it has loaded", status, &body)),
    };
    Feeds::read(&ask(OPERATIONS)?, now)?.with_enrichments(&ask(ENRICHMENTS)?, now)
}

/// Has Clair look into the layers. Returns when it is done.
pub fn index(clair: &dyn Ask, digest: &str, layers: &[Layer]) -> Result<(), String> {
    let layers: Vec<Value> = layers
        .iter()
        .map(|layer| json!({"hash": layer.digest, "uri": layer.uri, "headers": {"Authorization": [layer.authorization]}}))
        .collect();
    let (status, body) = clair.ask(INDEX, Some(&json!({"hash": digest, "layers": layers})))?;
    if !matches!(status, 200 | 201) {
        return Err(unexpected("to the request to look into the image", status, &body));
    }
    let index: Index = serde_json::from_slice(&body).map_err(|why| format!("what Clair found in the image cannot be read: {why}"))?;
    match index {
        Index { success: true, state, .. } if state == "IndexFinished" => Ok(()),
        Index { err, state, .. } if err.is_empty() => Err(format!("Clair did not finish looking into the image: it is at {state}")),
        Index { err, .. } => Err(format!("Clair could not look into the image: {err}")),
    }
}

/// What Clair knows of an image that it has looked into.
pub fn report(clair: &dyn Ask, digest: &str) -> Result<Report, String> {
    match clair.ask(&format!("{REPORT}{digest}"), None)? {
        (200, body) => Report::read(&body, digest),
        (202, _) => Err("Clair's database of vulnerabilities is empty (it answers 202): nothing was compared".into()),
        (404, _) => Err("Clair has no finished index of the image (it answers 404)".into()),
        (status, body) => Err(unexpected("for the image's vulnerabilities", status, &body)),
    }
}

/// An answer that should not be.
fn unexpected(what: &str, status: u16, body: &[u8]) -> String {
    let said = String::from_utf8_lossy(body);
    let said: String = said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect();
    let hint = match status {
        401 => "; the key is not the one that Clair knows, the issuer is not in its list, or a clock is more than a minute off",
        429 => "; it is busy: try again",
        500.. => "; see `docker logs clair`",
        _ => "",
    };
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    format!("Clair answers {status} {what}{said}{hint}")
}
