//! The layers of an image, from its manifest: Docker's schema 2 or OCI's.

use serde::Deserialize;

use crate::base::{is_digest, sha256};

/// What is asked for; other forms are no single image.
pub const ACCEPT: &str = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json";

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
    #[serde(default)]
    manifests: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Layer {
    digest: String,
}

/// The layers' digests, the lowest first. The manifest must be the one that was asked for: its bytes must sum up to the digest.
pub fn layers(bytes: &[u8], digest: &str) -> Result<Vec<String>, String> {
    let sum = format!("sha256:{}", sha256(bytes));
    if sum != digest {
        return Err(format!("sums up to {sum}: the registry gave another one"));
    }
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|why| format!("cannot be read: {why}"))?;
    if manifest.manifests.is_some() {
        return Err("is a list of images for several platforms: scan the one that is deployed, by its own digest".into());
    }
    if manifest.layers.is_empty() {
        return Err("names no layers".into());
    }
    let layers: Vec<String> = manifest.layers.into_iter().map(|layer| layer.digest).collect();
    match layers.iter().find(|layer| !is_digest(layer)) {
        Some(bad) => Err(format!("names a layer `{bad}`, which is no sha256 digest")),
        None => Ok(layers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_was_not_asked_for_is_refused() {
        let layer = format!("sha256:{}", "ab".repeat(32));
        let good = format!(r#"{{"schemaVersion":2,"config":{{"digest":"{layer}"}},"layers":[{{"size":1,"digest":"{layer}"}}]}}"#);
        let digest = |text: &str| format!("sha256:{}", sha256(text.as_bytes()));
        assert_eq!(layers(good.as_bytes(), &digest(&good)).unwrap(), [layer]);
        assert!(layers(good.as_bytes(), &digest("other")).unwrap_err().contains("the registry gave another one"));
        for (text, why) in [
            (r#"{"manifests":[]}"#, "several platforms"),
            (r#"{"layers":[]}"#, "names no layers"),
            (r#"{"fsLayers":[{"blobSum":"x"}]}"#, "names no layers"),
            (r#"{"layers":[{"digest":"sha256:../x"}]}"#, "no sha256 digest"),
            ("<html>", "cannot be read"),
        ] {
            assert!(layers(text.as_bytes(), &digest(text)).unwrap_err().contains(why), "{text}");
        }
    }
}
