//! Whether what is in an image was compared with anything. Clair finds nothing bad in what it knows nothing about, and does not say so.

use std::collections::BTreeMap;

use serde::Serialize;

use super::feeds::Feeds;
use super::vulnerabilities::{Environment, Report};

/// Packages that nothing was known about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Uncompared {
    /// Of what: `npm`, `alpine`; `unknown` where Clair does not say where a package comes from.
    pub what: String,
    /// How many.
    pub packages: usize,
}

/// Distributions by the ID of their os-release, and how the names of their updaters begin (claircore 1.5).
const DISTRIBUTIONS: &[(&str, &str)] = &[
    ("alpine", "alpine-"),
    ("amzn", "aws-"),
    ("debian", "debian/"),
    ("ol", "oracle-"),
    ("opensuse", "suse-"),
    ("opensuse-leap", "suse-"),
    ("photon", "photon-"),
    ("rhel", "rhel-vex"),
    ("sles", "suse-"),
    ("ubuntu", "ubuntu/"),
];

/// Packages of languages by Clair's name of their repository, and their updaters.
const REPOSITORIES: &[(&str, &str)] =
    &[("go", "osv/go"), ("maven", "osv/maven"), ("npm", "osv/npm"), ("pypi", "osv/pypi"), ("rubygems", "osv/rubygems")];

/// What a package belongs to, and the updater that knows it; `None`: nobody does.
fn home(report: &Report, place: &Environment) -> Option<(String, Option<&'static str>)> {
    let known = |list: &[(&str, &'static str)], name: &str| list.iter().find(|(known, _)| *known == name).map(|(_, updater)| *updater);
    if let Some(repository) = place.repository_ids.iter().find_map(|id| report.repositories.get(id)) {
        // Red Hat's repositories are CPEs.
        let updater = if repository.key.starts_with("rhel-") { Some("rhel-vex") } else { known(REPOSITORIES, &repository.name) };
        return Some((repository.name.clone(), updater));
    }
    let distribution = report.distributions.get(&place.distribution_id)?;
    Some((distribution.did.clone(), known(DISTRIBUTIONS, &distribution.did)))
}

/// What was compared with nothing although the policy allows it (`without`), or because Clair does not say what it is; an error for
/// everything else, and when it is all that the image has.
pub fn uncompared(report: &Report, feeds: &Feeds, without: &[String]) -> Result<Vec<Uncompared>, String> {
    let mut lost: BTreeMap<String, (usize, Option<&str>)> = BTreeMap::new();
    let mut compared = 0;
    for id in report.packages.keys() {
        let places = report.environments.get(id).map(Vec::as_slice).unwrap_or_default();
        let homes: Vec<_> = places.iter().filter_map(|place| home(report, place)).collect();
        if homes.iter().any(|(_, updater)| updater.is_some_and(|updater| feeds.has(updater))) {
            compared += 1;
            continue;
        }
        let (what, updater) = homes.into_iter().next().unwrap_or_else(|| ("unknown".to_owned(), None));
        lost.entry(what).or_insert((0, updater)).0 += 1;
    }
    for (what, (packages, updater)) in &lost {
        if what == "unknown" || without.contains(what) {
            continue;
        }
        let why = match updater {
            Some(updater) => format!("Clair has loaded nothing for it ({updater}…): add its updater to `clair_updater_sets`"),
            None => "no updater of Clair knows it".to_owned(),
        };
        return Err(format!(
            "{packages} packages of the image belong to `{what}`, and {why}, or write `without: [{what}]` into the policy: they were compared with nothing"
        ));
    }
    if compared == 0 {
        return Err("not one package of the image was compared with anything: Clair does not know its distribution".into());
    }
    Ok(lost.into_iter().map(|(what, (packages, _))| Uncompared { what, packages }).collect())
}
