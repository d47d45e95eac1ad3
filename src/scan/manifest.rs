//! The layers of an image, from its manifest: Docker's schema 2 or OCI's.

use serde::Deserialize;

use crate::base::{is_digest, sha256};

/// What is asked for. The last two are lists of images: a registry that may not answer with one says that there is nothing, or gives
/// one of its images instead, and nobody would know why.
pub const ACCEPT: &str = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.index.v1+json";
/// So many images of a list are named.
const MOST: usize = 16;

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
    #[serde(default)]
    manifests: Option<Vec<Child>>,
}

/// An image of a list.
#[derive(Deserialize)]
struct Child {
    #[serde(default)]
    digest: String,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Default, Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
}

impl Child {
    /// `linux/arm64/v8 sha256:…`; `None` for what is no image, such as a build's provenance.
    fn shown(&self) -> Option<String> {
        let platform = self.platform.as_ref()?;
        if !is_digest(&self.digest) || platform.os == "unknown" {
            return None;
        }
        let words = [&platform.os, &platform.architecture, &platform.variant];
        let words: Vec<&str> = words.into_iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        Some(format!("{} {}", words.join("/"), self.digest))
    }
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
    if let Some(children) = manifest.manifests {
        let children: Vec<String> = children.iter().filter_map(Child::shown).take(MOST).collect();
        let children = if children.is_empty() { "it names none".to_owned() } else { children.join(", ") };
        return Err(format!("is a list of images for several platforms: scan the one that is deployed, by its own digest ({children})"));
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
            (r#"{"manifests":[]}"#, "several platforms: scan the one that is deployed, by its own digest (it names none)"),
            (r#"{"layers":[]}"#, "names no layers"),
            (r#"{"fsLayers":[{"blobSum":"x"}]}"#, "names no layers"),
            (r#"{"layers":[{"digest":"sha256:../x"}]}"#, "no sha256 digest"),
            ("<html>", "cannot be read"),
        ] {
            assert!(layers(text.as_bytes(), &digest(text)).unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn a_list_names_its_images() {
        let child = |digit: &str, platform: &str| format!(r#"{{"digest":"sha256:{}","platform":{platform}}}"#, digit.repeat(64));
        let list = format!(
            r#"{{"schemaVersion":2,"manifests":[{},{},{},{{"digest":"x"}}]}}"#,
            child("1", r#"{"os":"linux","architecture":"amd64"}"#),
            child("2", r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#),
            child("3", r#"{"os":"unknown","architecture":"unknown"}"#),
        );
        let told = layers(list.as_bytes(), &format!("sha256:{}", sha256(list.as_bytes()))).unwrap_err();
        let want = format!("(linux/amd64 sha256:{}, linux/arm64/v8 sha256:{})", "1".repeat(64), "2".repeat(64));
        assert!(told.ends_with(&want), "{told}");
    }
}
