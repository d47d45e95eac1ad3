//! `poclab scan`: asks Clair about one image in the lab's registry and judges the answer by a policy.
//!
//! Clair's own words are not trusted to mean "clean": 202 (an empty database), `null`, an index that did not finish, data that is old or
//! does not cover what is in the image all look like an image without vulnerabilities. Each of them is "could not look" here.

mod clair;
mod config;
mod coverage;
mod feeds;
mod finding;
#[cfg(any(test, feature = "hostile"))]
pub(crate) mod hostile;
mod http;
mod manifest;
mod policy;
mod release;
mod token;
mod vulnerabilities;

#[cfg(test)]
mod tests;

use serde::Serialize;
use time::OffsetDateTime;

use crate::base::Image;

pub use clair::{Ask, ENRICHMENTS, Layer, OPERATIONS};
pub use config::{Config, Registry};
pub use coverage::Uncompared;
pub use feeds::{Feed, Feeds, Kind, State};
pub use finding::{Fate, Finding};
pub use http::Http;
pub use policy::{Accepted, EndOfLife, Judged, Policy};
pub use token::bearer;
pub use vulnerabilities::Severity;

/// Where the registry's manifests come from.
pub trait Manifests {
    /// The manifest of an image, byte for byte.
    fn manifest(&self, image: &Image) -> Result<Vec<u8>, String>;
    /// How Clair gets a layer: its address, and the value of the header `Authorization`.
    fn layer(&self, image: &Image, digest: &str) -> (String, String);
}

/// What was seen, and what it comes to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scan {
    /// The image, as it was asked for.
    pub image: String,
    /// When it was looked at, RFC 3339.
    pub at: String,
    /// What Clair knew then.
    pub feeds: Vec<Feed>,
    /// The distributions that it is made of.
    pub distributions: Vec<String>,
    /// Digests of its layers, the lowest first.
    pub layers: Vec<String>,
    /// How many packages Clair found in it.
    pub packages: usize,
    /// What of it was compared with nothing.
    pub uncompared: Vec<Uncompared>,
    /// Releases in it that have ended, in words, where the policy allows it.
    pub ended: Vec<String>,
    /// Everything that Clair found, the worst first.
    pub findings: Vec<Finding>,
    /// What is accepted, found, and in two weeks not accepted any more.
    pub ending: Vec<Accepted>,
    /// What is accepted, and found nowhere: it can be taken out of the policy.
    pub unused: Vec<Accepted>,
}

impl Scan {
    /// Whether the policy lets it pass.
    pub fn passed(&self) -> bool {
        !self.findings.iter().any(Finding::refused)
    }
}

/// Looks at an image. An error means "could not look", never that the image is bad.
pub fn scan(
    config: &Config,
    policy: &Policy,
    image: &Image,
    clair: &dyn Ask,
    registry: &dyn Manifests,
    now: OffsetDateTime,
) -> Result<Scan, String> {
    // First: with old or missing data nothing that follows means anything.
    let feeds = feeds(config, clair, now)?;
    let pulled = image.pulled(&config.registry.push_to, &config.registry.pull_from)?;
    let layers = manifest::layers(&registry.manifest(&pulled)?, &pulled.digest).map_err(|why| format!("the manifest of {image} {why}"))?;
    let wanted: Vec<Layer> = layers
        .iter()
        .map(|digest| {
            let (uri, authorization) = registry.layer(&pulled, digest);
            Layer { digest: digest.clone(), uri, authorization }
        })
        .collect();
    clair::index(clair, &image.digest, &wanted)?;
    let report = clair::report(clair, &image.digest)?;
    let coverage::Gaps { uncompared, ended } = coverage::gaps(&report, &feeds, policy, config.max_age_days, now.date())?;
    let finding::Judgement { findings, ending, unused } = finding::judge(&report, policy, now.date());
    Ok(Scan {
        image: image.to_string(),
        at: crate::base::rfc3339(now),
        feeds: feeds.0,
        distributions: report.distributions.values().map(vulnerabilities::Distribution::shown).collect(),
        layers,
        packages: report.packages.len(),
        uncompared,
        ended,
        findings,
        ending,
        unused,
    })
}

/// What Clair has loaded, whatever that is.
pub fn loaded(clair: &dyn Ask, now: OffsetDateTime) -> Result<Feeds, String> {
    clair::operations(clair, now)
}

/// What Clair knows; an error unless all that the configuration wants is loaded and fresh.
pub fn feeds(config: &Config, clair: &dyn Ask, now: OffsetDateTime) -> Result<Feeds, String> {
    let feeds = loaded(clair, now)?;
    match feeds.state(&config.updaters, config.max_age_days) {
        State::Loaded => Ok(feeds),
        other => Err(other.to_string()),
    }
}
