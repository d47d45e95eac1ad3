//! What a lab installs, against its lock.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::lock::{Artifact, Lock, Section};
use crate::engine::Event;
use crate::lab::Lab;
use crate::resource::{Spec, docker_image, file::Presence};

/// How the artifacts of a lab are pinned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Used {
    /// Those whose sum is known, and compared before they are used.
    pub pinned: BTreeSet<String>,
    /// Those that are in the lock, without a sum.
    pub unverified: BTreeSet<String>,
    /// Those that no lock names as they are installed.
    pub unlocked: BTreeSet<String>,
    /// Packages that yum fetches from the internet: their sum is in the lock, but only their vendor's signature is checked.
    pub signed: BTreeSet<String>,
    /// Plugins that Jenkins' image fetches while it is built: their sum is in the lock, but nobody compares it.
    pub fetched: BTreeSet<String>,
    /// Packages that yum fetches from the internet, in whatever version it finds.
    pub floating: BTreeSet<String>,
}

/// Sorts everything that the lab's resources install: packages, images, plugins of Jenkins.
pub fn used(lab: &Lab, lock: &Lock) -> Used {
    let mut used = Used::default();
    let mirrored = lab.source.mirror.is_some();
    for resource in lab.nodes.iter().flat_map(|node| &node.resources) {
        match &resource.spec {
            Spec::package(spec) if spec.state == Presence::Present => {
                let single = spec.name.iter().map(|name| (name, &spec.version));
                for (name, version) in single.chain(spec.items.iter().map(|item| (&item.name, &item.version))) {
                    match version {
                        // A mirror has one version of each, which was compared when it was filled.
                        _ if mirrored => used.add(lock, Section::Rpms, name, version.as_deref(), |used| &mut used.pinned),
                        Some(version) => used.add(lock, Section::Rpms, name, Some(version), |used| &mut used.signed),
                        None => {
                            used.floating.insert(name.clone());
                        }
                    }
                }
            }
            Spec::docker_image(spec) => used.image(lock, spec, mirrored),
            // A stand-in of Jenkins has the plugins' names and nothing of them.
            Spec::docker_build(spec) if !lab.stand_ins.iter().any(|what| what.starts_with("jenkins: ")) => {
                let plugins = spec.files.get("plugins.txt").map(|file| file.0.as_str()).unwrap_or_default();
                for (name, version) in plugins.lines().filter_map(|line| line.trim().split_once(':')) {
                    used.add(lock, Section::Plugins, name, Some(version), |used| &mut used.fetched);
                }
            }
            _ => {}
        }
    }
    used
}

impl Used {
    /// Sorts an artifact in; one with a known sum goes where `known` says.
    fn add(&mut self, lock: &Lock, section: Section, name: &str, version: Option<&str>, known: fn(&mut Self) -> &mut BTreeSet<String>) {
        let found = lock.section(section).get(name).filter(|artifact| version.is_none_or(|version| artifact.version == version));
        match found {
            None => self.unlocked.insert(version.map_or_else(|| name.to_owned(), |version| format!("{name} {version}"))),
            Some(artifact) if artifact.sha256.known().is_none() => self.unverified.insert(artifact.label(name)),
            Some(artifact) => known(self).insert(artifact.label(name)),
        };
    }

    fn image(&mut self, lock: &Lock, spec: &docker_image::Spec, mirrored: bool) {
        let known = by_reference(lock, &spec.reference);
        let name = spec.reference.clone();
        match (&spec.archive, known) {
            // The inventory itself says which bytes are meant, and the host compares them.
            (Some(_), _) if !mirrored && spec.sha256.is_some() => self.pinned.insert(name),
            (None, _) if spec.digest.is_some() => self.pinned.insert(name),
            (_, None) => self.unlocked.insert(name),
            (Some(_), Some(image)) if image.found.is_none() || image.found != spec.sha256 => {
                self.unlocked.insert(format!("{name} (its archive has another SHA-256 than the lock says)"))
            }
            (Some(_), Some(image)) if image.sha256.known().is_some() => self.pinned.insert(name),
            _ => self.unverified.insert(name),
        };
    }
}

fn by_reference<'a>(lock: &'a Lock, reference: &str) -> Option<&'a Artifact> {
    lock.images.values().find(|image| image.reference.as_deref() == Some(reference))
}

/// Makes hosts pull images by the digests that the lab's lock knows, unless a role gives another one. A lock that cannot be read is
/// told by [`reservations`].
pub fn enforce(lab: &mut Lab) {
    if let Ok(lock) = Lock::read(&place(lab)) {
        pin_images(lab, &lock);
    }
}

fn pin_images(lab: &mut Lab, lock: &Lock) {
    for resource in lab.nodes.iter_mut().flat_map(|node| &mut node.resources) {
        if let Spec::docker_image(spec) = &mut resource.spec
            && spec.archive.is_none()
            && spec.digest.is_none()
        {
            // Without an address the sum is no registry's digest, but that of an archive which somebody made.
            let known = by_reference(lock, &spec.reference).filter(|image| image.url.is_some());
            spec.digest = known.and_then(|image| image.sha256.known()).map(|sum| format!("sha256:{sum}"));
        }
    }
}

/// Where the lock of a lab is: in its mirror, if it has one; else beside its inventory's folder.
pub fn place(lab: &Lab) -> PathBuf {
    lab.source.mirror.clone().unwrap_or_else(|| lab.root.clone()).join("lock.yml")
}

/// What a run must say about the sums of what the lab is made of; nothing when all of it is pinned.
pub fn reservations(lab: &Lab) -> Vec<Event> {
    let place = place(lab);
    let shown = place.display();
    if !place.exists() {
        let Used { unlocked, floating, .. } = used(lab, &Lock::default());
        let all: BTreeSet<String> = unlocked.into_iter().chain(floating).collect();
        let what = format!("there is no {shown}: none of the {} artifacts that this lab installs is pinned by a checksum", all.len());
        return reservation(&what, "write one (docs/mirror.md)", all).into_iter().collect();
    }
    match Lock::read(&place) {
        Ok(lock) => sorted(used(lab, &lock), &shown.to_string()),
        Err(why) => {
            let what = "the checksums of what this lab installs are not known, so none is compared".to_owned();
            vec![Event::Reservation { what, why, list: Vec::new() }]
        }
    }
}

fn sorted(used: Used, place: &str) -> Vec<Event> {
    let Used { pinned, unverified, unlocked, signed, fetched, floating } = used;
    let total = [&pinned, &unverified, &unlocked, &signed, &fetched, &floating].iter().map(|set| set.len()).sum::<usize>();
    let of = |set: &BTreeSet<String>| format!("{} of {total} artifacts", set.len());
    [
        reservation(
            &format!("unverified: {} have no checksum in {place}", of(&unverified)),
            "signatures of packages are checked all the same; `poclab mirror build --pin` finds the sums out",
            unverified,
        ),
        reservation(&format!("{} are not in {place}", of(&unlocked)), "nobody has pinned them: add them to it", unlocked),
        reservation(
            &format!("{} are packages whose checksums in {place} nobody compares", of(&signed)),
            "yum fetches them and checks their signatures alone; a mirror compares them (docs/mirror.md)",
            signed,
        ),
        reservation(
            &format!("{} are plugins of Jenkins whose checksums in {place} nobody compares", of(&fetched)),
            "they come from their server over TLS while Jenkins' image is built (docs/jenkins.md)",
            fetched,
        ),
        reservation(
            &format!("{} are packages without a version", of(&floating)),
            "whatever version yum picks is installed, and only its signature is checked; a mirror has one version of each (docs/mirror.md)",
            floating,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn reservation(what: &str, why: &str, list: BTreeSet<String>) -> Option<Event> {
    let event = || Event::Reservation { what: what.to_owned(), why: why.to_owned(), list: list.iter().cloned().collect() };
    (!list.is_empty()).then(event)
}

#[cfg(test)]
#[path = "used_tests.rs"]
mod tests;
