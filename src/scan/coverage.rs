//! Whether what is in an image was compared with anything. Clair finds nothing bad in what it knows nothing about, and does not say so.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use time::Date;

use super::feeds::Feeds;
use super::policy::{EndOfLife, Policy};
use super::release;
use super::vulnerabilities::{Environment, Report};

/// What packages without a distribution are called, here and in policies.
const UNKNOWN: &str = "unknown";

/// Packages that nothing was known about, although the policy lets them through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Uncompared {
    /// Of what: `npm`, `alpine`; `unknown` where Clair does not say where a package comes from.
    pub what: String,
    /// How many.
    pub packages: usize,
}

/// What the policy lets through although it was not, or not surely, compared with anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gaps {
    /// By `without`.
    pub uncompared: Vec<Uncompared>,
    /// By `end_of_life: allow`, in words: `Debian 10 (buster) ended on 2024-06-30`.
    pub ended: Vec<String>,
}

/// Packages of languages by Clair's name of their repository, and their updaters.
const REPOSITORIES: &[(&str, &str)] =
    &[("go", "osv/go"), ("maven", "osv/maven"), ("npm", "osv/npm"), ("pypi", "osv/pypi"), ("rubygems", "osv/rubygems")];

/// What a package belongs to.
struct Home {
    /// `npm`, `debian`.
    what: String,
    /// The updaters that know it: all must have loaded something. `None`: Clair has none for it.
    updaters: Option<Vec<String>>,
    /// In words, that its release has ended.
    ended: Option<String>,
}

/// Why packages were compared with nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    /// Clair knows no distribution for their list of packages.
    Homeless(String),
    /// Clair has no updater for them.
    Nobody,
    /// This updater has loaded nothing.
    Missing(String),
    /// This updater's newest data is so many days old.
    Old(String, i64),
    /// Their release has ended.
    Ended(String),
}

fn home(report: &Report, place: &Environment, today: Date) -> Option<Home> {
    if let Some(repository) = place.repository_ids.iter().find_map(|id| report.repositories.get(id)) {
        let known = REPOSITORIES.iter().find(|(name, _)| *name == repository.name).map(|(_, updater)| *updater);
        // Red Hat's repositories are CPEs.
        let updater = if repository.key.starts_with("rhel-") { Some("rhel-vex*") } else { known };
        return Some(Home { what: repository.name.clone(), updaters: updater.map(|updater| vec![updater.to_owned()]), ended: None });
    }
    let distribution = report.distributions.get(&place.distribution_id)?;
    Some(Home { what: distribution.did.clone(), updaters: release::updaters(distribution), ended: release::ended(distribution, today) })
}

/// Why nothing was said about packages of this kind; `Ok` has what is said of a release that the policy allows to have ended.
fn compared(home: &Home, feeds: &Feeds, policy: &Policy, max_age_days: u32) -> Result<Option<String>, Why> {
    for updater in home.updaters.as_ref().ok_or(Why::Nobody)? {
        match feeds.age(updater) {
            None => return Err(Why::Missing(updater.clone())),
            Some(age) if age > i64::from(max_age_days) => return Err(Why::Old(updater.clone(), age)),
            Some(_) => {}
        }
    }
    match &home.ended {
        Some(ended) if policy.end_of_life == EndOfLife::Refuse => Err(Why::Ended(ended.clone())),
        ended => Ok(ended.clone()),
    }
}

/// What was compared with nothing although the policy allows it; an error for everything else, and when it is all that the image has.
pub fn gaps(report: &Report, feeds: &Feeds, policy: &Policy, max_age_days: u32, today: Date) -> Result<Gaps, String> {
    let mut lost: BTreeMap<(String, Why), usize> = BTreeMap::new();
    let mut ended = BTreeSet::new();
    let mut any = false;
    for id in report.packages.keys() {
        let places = report.environments.get(id).map(Vec::as_slice).unwrap_or_default();
        let mut first = None;
        let mut known = false;
        for place in places {
            let Some(home) = home(report, place, today) else {
                first.get_or_insert_with(|| (UNKNOWN.to_owned(), Why::Homeless(place.package_db.clone())));
                continue;
            };
            match compared(&home, feeds, policy, max_age_days) {
                Ok(told) => {
                    known = true;
                    ended.extend(told);
                }
                Err(why) => {
                    first.get_or_insert((home.what, why));
                }
            }
        }
        if known {
            any = true;
        } else {
            *lost.entry(first.unwrap_or_else(|| (UNKNOWN.to_owned(), Why::Homeless(String::new())))).or_default() += 1;
        }
    }
    let unforgiven: Vec<String> = lost
        .iter()
        .filter(|((what, _), _)| !policy.without.contains(what))
        .map(|((what, why), packages)| sentence(what, why, *packages, max_age_days))
        .collect();
    if !unforgiven.is_empty() {
        return Err(unforgiven.join("; "));
    }
    if !any {
        return Err("not one package of the image was compared with anything: the policy leaves out all that it has (`without`)".into());
    }
    let mut uncompared: BTreeMap<String, usize> = BTreeMap::new();
    lost.into_iter().for_each(|((what, _), packages)| *uncompared.entry(what).or_default() += packages);
    Ok(Gaps {
        uncompared: uncompared.into_iter().map(|(what, packages)| Uncompared { what, packages }).collect(),
        ended: ended.into_iter().collect(),
    })
}

fn sentence(what: &str, why: &Why, packages: usize, max_age_days: u32) -> String {
    let forgive = format!("or write `without: [{what}]` into the policy: they were compared with nothing");
    match why {
        Why::Homeless(list) => {
            let list = if list.is_empty() { String::new() } else { format!(" ({list})") };
            format!(
                "{packages} packages of the image{list} belong to no distribution that Clair knows: build on a base image whose /etc/os-release it knows, {forgive}"
            )
        }
        Why::Nobody => format!(
            "{packages} packages of the image belong to `{what}`, and no updater of Clair knows it: leave them out of the image, {forgive}"
        ),
        Why::Missing(updater) => format!(
            "{packages} packages of the image belong to `{what}`, and Clair has loaded nothing for it ({updater}): add its updater to `clair_updater_sets`, {forgive}"
        ),
        Why::Old(updater, days) => format!(
            "{packages} packages of the image belong to `{what}`, and what Clair has loaded for it is too old to judge by ({updater} is {days} days old; the longest is {max_age_days} days): see that Clair reaches its feeds, {forgive}"
        ),
        Why::Ended(ended) => format!(
            "{ended}: Clair has no data for it; build on a newer release, or write `end_of_life: allow` into the policy: its {packages} packages were compared with nothing"
        ),
    }
}

#[cfg(test)]
#[path = "coverage_tests.rs"]
mod tests;
