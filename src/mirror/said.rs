//! What a registry said of an image: kept beside its archive as it came, so that the digest by which a lock knows the image can be
//! computed again, from list to manifest to configuration and layers.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::folder;
use super::lock::is_sum;
use crate::base::sha256;

/// Manifests and configurations are small; whatever is larger is none, in bytes.
pub(super) const MOST: u64 = 4 << 20;

/// The answers, to the byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// The list of images for several machines, if the tag is one.
    pub list: Option<Vec<u8>>,
    /// The manifest of the image for these hosts.
    pub manifest: Vec<u8>,
}

/// What an image consists of, as digests without `sha256:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    pub config: String,
    pub layers: Vec<String>,
}

/// The files beside an archive `images/NAME.tar`: list and manifest.
pub(super) fn beside(archive: &str) -> [String; 2] {
    let name = archive.strip_suffix(".tar").unwrap_or(archive);
    [format!("{name}.list.json"), format!("{name}.manifest.json")]
}

fn places(archive: &Path) -> [PathBuf; 2] {
    beside(&archive.to_string_lossy()).map(PathBuf::from)
}

impl Said {
    /// What the registry calls the image by, without `sha256:`. Of a list that is the list's.
    pub fn digest(&self) -> String {
        sha256(self.list.as_ref().unwrap_or(&self.manifest))
    }

    /// What the image consists of; each link of the chain is checked.
    pub fn parts(&self) -> Result<Parts, String> {
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).map_err(|e| format!("the manifest is no JSON: {e}"));
        if let Some(list) = &self.list {
            let list = json(list)?;
            let want = for_us(&list).ok_or("the list of images is none")??;
            let have = sha256(&self.manifest);
            if want != have {
                return Err(format!("the manifest has the digest sha256:{have}, the list of images says sha256:{want}"));
            }
        }
        let manifest = json(&self.manifest)?;
        let wrong = "it is not the manifest of an image";
        let config = digest_of(manifest.get("config")).ok_or(wrong)?.to_owned();
        let layers = manifest.get("layers").and_then(Value::as_array).ok_or(wrong)?;
        let layers = layers.iter().map(|layer| digest_of(Some(layer)).map(str::to_owned)).collect::<Option<Vec<_>>>().ok_or(wrong)?;
        Ok(Parts { config, layers })
    }

    /// Reads what is beside an archive.
    pub fn read(archive: &Path) -> Result<Self, String> {
        let [list, manifest] = places(archive);
        let cannot = |path: &Path, e: &dyn std::fmt::Display| format!("{} cannot be read: {e}", path.display());
        let read = |path: &Path| {
            let mut bytes = Vec::new();
            fs::File::open(path)?.take(MOST).read_to_end(&mut bytes).map(|_| bytes)
        };
        let list = match read(&list) {
            Ok(bytes) => Some(bytes),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(cannot(&list, &e)),
        };
        let manifest = read(&manifest).map_err(|e| cannot(&manifest, &e))?;
        Ok(Self { list, manifest })
    }

    /// Writes it beside an archive.
    pub fn write(&self, archive: &Path) -> Result<(), String> {
        let [list, manifest] = places(archive);
        match &self.list {
            Some(bytes) => folder::replace(&list, bytes)?,
            // Of an image that had one before.
            None => drop(fs::remove_file(&list)),
        }
        folder::replace(&manifest, &self.manifest)
    }
}

/// The digest in a descriptor, without `sha256:`.
fn digest_of(descriptor: Option<&Value>) -> Option<&str> {
    descriptor?.get("digest")?.as_str()?.strip_prefix("sha256:").filter(|digest| is_sum(digest))
}

/// The digest of the image for these hosts (Linux on x86-64), if the manifest is a list.
pub(super) fn for_us(manifest: &Value) -> Option<Result<&str, String>> {
    let list = manifest.get("manifests")?.as_array()?;
    let ours = |entry: &&Value| {
        let is = |field: &str, want: &str| entry.pointer(&format!("/platform/{field}")).and_then(Value::as_str) == Some(want);
        is("os", "linux") && is("architecture", "amd64")
    };
    Some(digest_of(list.iter().find(ours)).ok_or_else(|| "has no image for linux/amd64".to_owned()))
}

/// What is wrong with the configuration of an image that is in no list, if it is for other machines.
pub(super) fn for_others(config: &[u8]) -> Option<String> {
    let config: Value = serde_json::from_slice(config).unwrap_or_default();
    let field = |name: &str| config.get(name).and_then(Value::as_str).unwrap_or("?").to_owned();
    let (os, cpu) = (field("os"), field("architecture"));
    ((os.as_str(), cpu.as_str()) != ("linux", "amd64")).then(|| format!("is an image for {os}/{cpu}, not for linux/amd64"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(os: &str, cpu: &str, digest: &str) -> Value {
        json!({"digest": format!("sha256:{digest}"), "platform": {"os": os, "architecture": cpu}})
    }

    #[test]
    fn of_a_list_ours_is_taken() {
        let digest = "a".repeat(64);
        let list = json!({"manifests": [entry("linux", "arm64", &"b".repeat(64)), entry("linux", "amd64", &digest)]});
        assert_eq!(for_us(&list).unwrap().unwrap(), digest);
        assert!(for_us(&json!({"manifests": [entry("linux", "arm64", &digest)]})).unwrap().is_err());
        assert!(for_us(&json!({"config": {}})).is_none());
        assert_eq!(digest_of(Some(&json!({"digest": "sha512:00"}))), None);
        assert_eq!(for_others(br#"{"os":"linux","architecture":"amd64"}"#), None);
        assert!(for_others(br#"{"os":"linux","architecture":"arm64"}"#).unwrap().contains("linux/arm64"));
        assert!(for_others(b"x").unwrap().contains("?/?"));
    }

    #[test]
    fn each_link_of_the_chain_is_checked_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("x.tar");
        let descriptor = |digit: &str| json!({"digest": format!("sha256:{}", digit.repeat(64))});
        let manifest = json!({"config": descriptor("1"), "layers": [descriptor("2"), descriptor("3")]}).to_string().into_bytes();
        let list = json!({"manifests": [entry("linux", "amd64", &sha256(&manifest))]}).to_string().into_bytes();
        let said = Said { list: Some(list.clone()), manifest: manifest.clone() };
        assert_eq!(said.digest(), sha256(&list));
        assert_eq!(said.parts().unwrap(), Parts { config: "1".repeat(64), layers: vec!["2".repeat(64), "3".repeat(64)] });
        said.write(&archive).unwrap();
        assert_eq!(Said::read(&archive).unwrap(), said);
        let other = Said { list: Some(list), manifest: [&manifest[..], b" "].concat() };
        assert!(other.parts().unwrap_err().contains("the list of images says"));
        let single = Said { list: None, manifest };
        single.write(&archive).unwrap();
        assert_eq!(Said::read(&archive).unwrap(), single, "no list is left over");
        assert!(Said::read(&dir.path().join("y.tar")).unwrap_err().contains("y.manifest.json"));
    }
}
