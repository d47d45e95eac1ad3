//! A lock as a bill of materials: CycloneDX 1.5, JSON.
//!
//! Written by hand rather than with a crate: it is one list of flat objects. The same lock gives the same text, to the byte.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::lock::{Artifact, Lock, Section};
use crate::base::sha256;

/// What stands for itself in the parts of a package URL.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// The bill of materials of a lab.
pub fn sbom(lab: &str, lock: &Lock) -> Result<String, String> {
    let components: Vec<Value> = lock.all().map(|(section, name, artifact)| component(section, name, artifact)).collect();
    let root = json!({"type": "application", "bom-ref": format!("lab-{lab}"), "name": lab});
    let depends: Vec<&Value> = components.iter().filter_map(|component| component.get("bom-ref")).collect();
    let bom = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": serial(lab, &components),
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "poclab", "version": env!("CARGO_PKG_VERSION")}]},
            "component": root,
        },
        "dependencies": [{"ref": format!("lab-{lab}"), "dependsOn": depends}],
        "components": components,
    });
    serde_json::to_string_pretty(&bom).map(|text| text + "\n").map_err(|e| format!("cannot write JSON: {e}"))
}

/// A UUID of the content (version 8: whatever its maker likes).
fn serial(lab: &str, components: &[Value]) -> String {
    let h = sha256(format!("{lab}\n{}", Value::from(components.to_vec())).as_bytes());
    format!("urn:uuid:{}-{}-8{}-8{}-{}", &h[..8], &h[8..12], &h[13..16], &h[17..20], &h[20..32])
}

fn component(section: Section, name: &str, artifact: &Artifact) -> Value {
    let purl = purl(section, name, artifact);
    let (kind, called) = match section {
        Section::Images => ("container", artifact.reference.as_deref().and_then(|r| r.rsplit_once(':')).map_or(name, |(name, _)| name)),
        Section::Rpms | Section::Plugins => ("library", name),
        Section::Tools => ("application", name),
    };
    let mut component = json!({
        "type": kind,
        "bom-ref": format!("{}-{name}", section.key()),
        "name": called,
        "version": artifact.version,
        "purl": purl,
        "properties": [{"name": "poclab:kind", "value": section.to_string()}],
    });
    // An image's digest is that of its manifest; a hash of a component is of its content all the same.
    match artifact.sha256.known() {
        Some(sum) => component["hashes"] = json!([{"alg": "SHA-256", "content": sum}]),
        None => {
            if let Some(properties) = component["properties"].as_array_mut() {
                properties.push(json!({"name": "poclab:sha256", "value": "unverified"}));
            }
        }
    }
    if let Some(url) = artifact.url.as_ref().filter(|_| section != Section::Images) {
        component["externalReferences"] = json!([{"type": "distribution", "url": url}]);
    }
    if let Some(what) = &artifact.what {
        component["description"] = json!(what);
    }
    component
}

/// A package URL. Types as registered (rpm, docker); what has no type of its own is generic.
fn purl(section: Section, name: &str, artifact: &Artifact) -> String {
    let plain = |text: &str| utf8_percent_encode(text, PLAIN).to_string();
    let version = plain(&artifact.version);
    let from = artifact.url.as_deref().map_or(String::new(), |url| format!("?download_url={}", plain(url)));
    match section {
        Section::Rpms => {
            let file = artifact.url.as_deref().or(artifact.file.as_deref()).unwrap_or_default();
            let arch =
                file.strip_suffix(".rpm").and_then(|file| file.rsplit_once('.')).map_or(String::new(), |(_, arch)| format!("?arch={arch}"));
            format!("pkg:rpm/{}@{version}{arch}", plain(name))
        }
        Section::Images => {
            let place = artifact.url.as_deref().and_then(|url| url.strip_prefix("docker://"));
            let place = place.or(artifact.reference.as_deref()).unwrap_or(name);
            let place = place.rsplit_once(':').map_or(place, |(place, _)| place);
            let (host, path) = match place.split_once('/') {
                Some((host, path)) if host.contains(['.', ':']) => (Some(host), path),
                _ => (None, place),
            };
            let path = path.split('/').map(plain).collect::<Vec<_>>().join("/");
            let from = host.filter(|host| *host != "docker.io").map_or(String::new(), |host| format!("?repository_url={}", plain(host)));
            format!("pkg:docker/{path}@{version}{from}")
        }
        Section::Plugins | Section::Tools => format!("pkg:generic/{}@{version}{from}", plain(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_becomes_a_bill_of_materials() {
        let sum = "a".repeat(64);
        let lock = Lock::parse(&format!(
            "rpms:\n  docker-ce: {{version: 26.1.4-1.el7, url: \"https://h/p/docker-ce-26.1.4-1.el7.x86_64.rpm\", sha256: {sum}}}\n\
             images:\n  clair: {{version: 4.8.0, reference: \"quay.io/projectquay/clair:4.8.0\", url: \"docker://quay.io/projectquay/clair:4.8.0\", sha256: unverified}}\n\
             \x20 registry: {{version: 2.8.3, reference: \"registry:2.8.3\", url: \"docker://docker.io/library/registry:2.8.3\", sha256: {sum}}}\n\
             plugins:\n  git: {{version: 5.10.1, url: \"https://h/git.hpi\", sha256: unverified}}\n"
        ))
        .unwrap();
        let text = sbom("lab", &lock).unwrap();
        assert_eq!(text, sbom("lab", &lock).unwrap());
        let bom: Value = serde_json::from_str(&text).unwrap();
        let all = bom["components"].as_array().unwrap();
        let purls: Vec<_> = all.iter().map(|component| component["purl"].as_str().unwrap()).collect();
        assert_eq!(
            purls,
            [
                "pkg:rpm/docker-ce@26.1.4-1.el7?arch=x86_64",
                "pkg:docker/projectquay/clair@4.8.0?repository_url=quay.io",
                "pkg:docker/library/registry@2.8.3",
                "pkg:generic/git@5.10.1?download_url=https%3A%2F%2Fh%2Fgit.hpi",
            ]
        );
        assert_eq!(all[0]["hashes"][0]["content"], sum.as_str());
        assert!(all[1].get("hashes").is_none() && all[1]["properties"][1]["value"] == "unverified");
        assert_eq!(bom["serialNumber"].as_str().unwrap().len(), "urn:uuid:".len() + 36);
        assert_eq!(bom["dependencies"][0]["dependsOn"].as_array().unwrap().len(), 4);
    }
}
