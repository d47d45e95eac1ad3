//! Archives of images, as `docker load` takes them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use super::folder;
use super::said::{MOST, Parts, Said};
use crate::base::sha256_of;

/// Writes an archive from layers in a folder: the same to the byte from the same image.
pub(super) fn pack(reference: &str, parts: &Parts, config: &[u8], layers: &Path, archive: &Path) -> std::io::Result<()> {
    let part = folder::part(archive);
    let mut tar = tar::Builder::new(File::create(&part)?);
    let header = |size: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o644);
        header
    };
    let manifest = manifest(reference, parts).to_string();
    tar.append_data(&mut header(config.len() as u64), format!("{}.json", parts.config), config)?;
    // An image may have the same layer twice.
    for layer in parts.layers.iter().collect::<std::collections::BTreeSet<_>>() {
        let file = File::open(layers.join(layer))?;
        let size = file.metadata()?.len();
        tar.append_data(&mut header(size), format!("{layer}.tar"), file)?;
    }
    tar.append_data(&mut header(manifest.len() as u64), "manifest.json", manifest.as_bytes())?;
    let mut file = tar.into_inner()?;
    file.flush()?;
    file.sync_all()?;
    std::fs::rename(&part, archive)
}

/// What says in the archive which file is what.
fn manifest(reference: &str, parts: &Parts) -> Value {
    json!([{
        "Config": format!("{}.json", parts.config),
        "RepoTags": [reference],
        "Layers": parts.layers.iter().map(|layer| format!("{layer}.tar")).collect::<Vec<_>>(),
    }])
}

/// What is in an archive.
struct Contents {
    /// SHA-256 of every file.
    sums: BTreeMap<String, String>,
    /// Its manifest.json.
    manifest: Value,
    /// Whether there is anything but files.
    odd: bool,
}

fn look(archive: &Path) -> Result<Contents, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("{} is not an image archive: {why}", archive.display());
    let file = File::open(archive).map_err(|e| wrong(&e))?;
    let mut tar = tar::Archive::new(file);
    let mut contents = Contents { sums: BTreeMap::new(), manifest: Value::Null, odd: false };
    for entry in tar.entries().map_err(|e| wrong(&e))? {
        let mut entry = entry.map_err(|e| wrong(&e))?;
        let name = entry.path().map_err(|e| wrong(&e))?.to_string_lossy().into_owned();
        if !entry.header().entry_type().is_file() {
            contents.odd = true;
            continue;
        }
        let sum = if name == "manifest.json" {
            let mut bytes = Vec::new();
            (&mut entry).take(MOST).read_to_end(&mut bytes).map_err(|e| wrong(&e))?;
            contents.manifest = serde_json::from_slice(&bytes).map_err(|e| wrong(&e))?;
            crate::base::sha256(&bytes)
        } else {
            sha256_of(&mut entry).map_err(|e| wrong(&e))?
        };
        if contents.sums.insert(name.clone(), sum).is_some() {
            return Err(wrong(&format!("it has {name} twice")));
        }
    }
    Ok(contents)
}

/// The id of the image in an archive: the digest of its configuration, with `sha256:`.
pub(super) fn id(archive: &Path) -> Result<String, String> {
    let contents = look(archive)?;
    let config = contents.manifest.pointer("/0/Config").and_then(Value::as_str);
    let sum = config.and_then(|config| contents.sums.get(config));
    sum.map(|sum| format!("sha256:{sum}")).ok_or_else(|| format!("{} is not an image archive: it has no configuration", archive.display()))
}

/// An archive that is what a registry said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    /// The image's digest in the registry, without `sha256:`.
    pub digest: String,
    /// Its id, with `sha256:`.
    pub id: String,
}

/// Follows an image from its digest to every byte of its archive. `want`: the digest, where it is known.
pub(super) fn check(archive: &Path, reference: &str, want: Option<&str>) -> Result<Checked, String> {
    let said = Said::read(archive)?;
    let digest = said.digest();
    let shown = archive.display();
    if let Some(want) = want.filter(|want| *want != digest) {
        return Err(format!("what the registry said of {shown} has the digest {digest}, expected {want}"));
    }
    let parts = said.parts().map_err(|why| format!("what the registry said of {shown} does not fit together: {why}"))?;
    let contents = look(archive)?;
    let mut left = contents.sums;
    left.remove("manifest.json");
    for (name, want) in std::iter::once((format!("{}.json", parts.config), &parts.config))
        .chain(parts.layers.iter().map(|layer| (format!("{layer}.tar"), layer)).collect::<BTreeMap<_, _>>())
    {
        match left.remove(&name) {
            Some(have) if have == *want => {}
            Some(have) => return Err(format!("{name} in {shown} has the SHA-256 {have}, expected {want}")),
            None => return Err(format!("{shown} lacks {name}")),
        }
    }
    if contents.odd || !left.is_empty() || contents.manifest != manifest(reference, &parts) {
        return Err(format!("{shown} holds something else than {reference} with its configuration and its layers"));
    }
    Ok(Checked { digest, id: format!("sha256:{}", parts.config) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sha256;

    #[test]
    fn an_archive_is_followed_from_its_digest_to_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("x.tar");
        let config = br#"{"os":"linux"}"#;
        let (layer, other) = (b"a layer", b"another");
        let parts = |layer: &[u8]| Parts { config: sha256(config), layers: vec![sha256(layer), sha256(layer)] };
        let descriptor = |sum: &str| json!({"digest": format!("sha256:{sum}")});
        let said = |layer: &[u8]| {
            let manifest =
                json!({"config": descriptor(&sha256(config)), "layers": [descriptor(&sha256(layer)), descriptor(&sha256(layer))]});
            Said { list: None, manifest: manifest.to_string().into_bytes() }
        };
        for bytes in [&layer[..], &other[..]] {
            std::fs::write(dir.path().join(sha256(bytes)), bytes).unwrap();
        }
        let write = |name: &str, bytes: &[u8]| pack(name, &parts(bytes), config, dir.path(), &archive).unwrap();
        write("x:1", layer);
        said(layer).write(&archive).unwrap();
        let digest = said(layer).digest();
        let good = Checked { digest: digest.clone(), id: format!("sha256:{}", sha256(config)) };
        assert_eq!(check(&archive, "x:1", Some(&digest)), Ok(good.clone()));
        assert_eq!(check(&archive, "x:1", None), Ok(good));
        assert_eq!(id(&archive).unwrap(), format!("sha256:{}", sha256(config)));

        assert!(check(&archive, "x:2", None).unwrap_err().contains("something else"), "another name");
        write("x:1", other);
        assert!(check(&archive, "x:1", None).unwrap_err().contains("lacks"), "another layer");
        said(other).write(&archive).unwrap();
        let error = check(&archive, "x:1", Some(&digest)).unwrap_err();
        assert!(error.contains(&digest) && error.contains(&said(other).digest()), "all of it was changed together: {error}");
        // A layer with other bytes under its name.
        std::fs::write(dir.path().join(sha256(layer)), other).unwrap();
        write("x:1", layer);
        said(layer).write(&archive).unwrap();
        let error = check(&archive, "x:1", None).unwrap_err();
        assert!(error.contains(&sha256(layer)) && error.contains(&sha256(other)), "{error}");
        std::fs::write(&archive, "no archive").unwrap();
        assert!(check(&archive, "x:1", None).is_err() && id(&archive).is_err());
    }
}
