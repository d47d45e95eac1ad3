//! What a lab installs, against its lock.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::lock::{Lock, Section};
use crate::lab::Lab;
use crate::resource::{Spec, file::Presence};

/// How the artifacts of a lab are pinned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Used {
    /// Those with a sum.
    pub pinned: BTreeSet<String>,
    /// Those that are in the lock, without one.
    pub unverified: BTreeSet<String>,
    /// Those that no lock names, or with another version.
    pub unlocked: BTreeSet<String>,
}

/// Sorts everything that the lab's resources install: packages, images that hosts pull, plugins of Jenkins.
///
/// An image from an archive is pinned by the resource itself, which has the archive's sum.
pub fn used(lab: &Lab, lock: &Lock) -> Used {
    let mut used = Used::default();
    for resource in lab.nodes.iter().flat_map(|node| &node.resources) {
        match &resource.spec {
            Spec::package(spec) if spec.state == Presence::Present => {
                let single = spec.name.iter().map(|name| (name, &spec.version));
                for (name, version) in single.chain(spec.items.iter().map(|item| (&item.name, &item.version))) {
                    used.add(lock, Section::Rpms, name, version.as_deref());
                }
            }
            Spec::docker_image(spec) if spec.archive.is_none() => {
                if spec.digest.is_some() {
                    used.pinned.insert(spec.reference.clone());
                    continue;
                }
                let known = lock.images.iter().find(|(_, image)| image.reference.as_ref() == Some(&spec.reference));
                match known {
                    Some((name, image)) => used.add(lock, Section::Images, name, Some(&image.version)),
                    None => {
                        used.unlocked.insert(spec.reference.clone());
                    }
                }
            }
            // A stand-in of Jenkins has the plugins' names and nothing of them.
            Spec::docker_build(spec) if !lab.stand_ins.iter().any(|what| what.starts_with("jenkins: ")) => {
                let plugins = spec.files.get("plugins.txt").map(|file| file.0.as_str()).unwrap_or_default();
                for (name, version) in plugins.lines().filter_map(|line| line.trim().split_once(':')) {
                    used.add(lock, Section::Plugins, name, Some(version));
                }
            }
            _ => {}
        }
    }
    used
}

impl Used {
    fn add(&mut self, lock: &Lock, section: Section, name: &str, version: Option<&str>) {
        let known = lock.section(section).get(name).filter(|artifact| version.is_none_or(|version| artifact.version == version));
        match known {
            None => self.unlocked.insert(version.map_or_else(|| name.to_owned(), |version| format!("{name} {version}"))),
            Some(artifact) if artifact.sha256.known().is_none() => self.unverified.insert(artifact.label(name)),
            Some(artifact) => self.pinned.insert(artifact.label(name)),
        };
    }
}

/// Where the lock of a lab is: in its mirror, if it has one; else beside its inventory's folder.
pub fn place(lab: &Lab) -> PathBuf {
    lab.source.mirror.clone().unwrap_or_else(|| lab.root.clone()).join("lock.yml")
}

/// What a bootstrap must say about the sums of what it installs; nothing when all of it is pinned.
pub fn warnings(lab: &Lab) -> Vec<String> {
    let place = place(lab);
    if !place.exists() {
        let all = used(lab, &Lock::default()).unlocked;
        if all.is_empty() {
            return Vec::new();
        }
        return vec![format!(
            "there is no {}: none of the {} artifacts that this lab installs is pinned by a checksum",
            place.display(),
            all.len()
        )];
    }
    let used = match Lock::read(&place) {
        Ok(lock) => used(lab, &lock),
        Err(why) => return vec![format!("the checksums of what this lab installs are not known: {why}")],
    };
    let total = used.pinned.len() + used.unverified.len() + used.unlocked.len();
    let mut out = Vec::new();
    if !used.unverified.is_empty() {
        out.push(format!(
            "unverified: {} of {total} artifacts have no checksum in {} ({}); signatures of packages are checked all the same; `poclab mirror build --pin` finds the sums out",
            used.unverified.len(),
            place.display(),
            few(&used.unverified)
        ));
    }
    if !used.unlocked.is_empty() {
        out.push(format!("{} of {total} artifacts are not in {}: {}", used.unlocked.len(), place.display(), few(&used.unlocked)));
    }
    out
}

/// The first few names.
fn few(names: &BTreeSet<String>) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_lock_of_this_tree_names_all_that_its_roles_install() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
        // With all that is not configured at first.
        let terms = ("splunk_general_terms".to_owned(), "--accept-sgt-current-at-splunk-com".to_owned());
        let lab = crate::lab::validate(&tree.join("inventory/lab.yml"), &[terms]).unwrap();
        let lock = Lock::read(&tree.join("lock.yml")).unwrap();
        let used = used(&lab, &lock);
        assert_eq!(used.unlocked, BTreeSet::new(), "one line each in lock.yml, with the version that the role has");
        assert!(used.unverified.len() + used.pinned.len() > 60, "{used:?}");
        for name in ["splunk/splunk:9.4.3", "quay.io/projectquay/clair:4.9.0", "datadog-agent 7.58.1-1", "docker-ce 26.1.4-1.el7"] {
            assert!(used.unverified.contains(name) || used.pinned.contains(name), "{name} is looked at: {used:?}");
        }
        // Another version is another artifact.
        let mut other = lock;
        other.rpms.get_mut("docker-ce").unwrap().version = "26.1.3-1.el7".to_owned();
        assert_eq!(super::used(&lab, &other).unlocked, BTreeSet::from(["docker-ce 26.1.4-1.el7".to_owned()]));
    }
}
