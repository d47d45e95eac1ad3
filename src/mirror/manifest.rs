//! mirror.yml, which says to inventories what is in a mirror.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::folder::{MANIFEST, SIGN};
use super::lock::{Artifact, Lock};

/// Packages and images, as a lock has them. `ids`: ids of images by their names in the lock.
fn entries(lock: &Lock, ids: &BTreeMap<String, String>) -> Value {
    let with = |artifact: &Artifact, mut entry: Value| {
        if let Some(what) = &artifact.what {
            entry["what"] = json!(what);
        }
        entry
    };
    let rpms = lock.rpms.iter().map(|(name, rpm)| (name.clone(), with(rpm, json!({"version": rpm.version}))));
    let images = lock.images.iter().map(|(name, image)| {
        let entry = json!({"reference": image.reference, "archive": image.file, "sha256": image.found, "id": ids.get(name)});
        (name.clone(), with(image, entry))
    });
    json!({"rpms": rpms.collect::<serde_json::Map<_, _>>(), "images": images.collect::<serde_json::Map<_, _>>()})
}

/// The file's text.
pub(super) fn text(lock: &Lock, ids: &BTreeMap<String, String>) -> Result<String, String> {
    let mut all = json!({"built": crate::base::now().split('T').next()});
    for (kind, entries) in entries(lock, ids).as_object().into_iter().flatten() {
        all[kind] = entries.clone();
    }
    let text = serde_yaml::to_string(&all).map_err(|e| format!("cannot write {MANIFEST}: {e}"))?;
    Ok(format!("# {SIGN}: what is in this mirror.\n{text}"))
}

/// What a folder's mirror.yml says otherwise than its lock and its archives; nothing when there is none. Ids of images that are not in
/// `ids` are not compared.
pub(super) fn differences(folder: &Path, lock: &Lock, ids: &BTreeMap<String, String>) -> Vec<String> {
    let path = folder.join(MANIFEST);
    if !path.exists() {
        return Vec::new();
    }
    let read = std::fs::read_to_string(&path).map_err(|e| e.to_string());
    let have: Value = match read.and_then(|text| serde_yaml::from_str(&text).map_err(|e| e.to_string())) {
        Ok(have) => have,
        Err(why) => return vec![format!("cannot be read: {why}")],
    };
    let want = entries(lock, ids);
    let mut out = Vec::new();
    for kind in ["rpms", "images"] {
        for name in keys(&have[kind]).union(&keys(&want[kind])) {
            match (&have[kind][name], &want[kind][name]) {
                (Value::Null, _) => out.push(format!("{kind}.{name} is missing")),
                (_, Value::Null) => out.push(format!("{kind}.{name} is not in the mirror's lock")),
                (have, want) => {
                    for field in keys(have).union(&keys(want)).filter(|field| *field != "id" || ids.contains_key(name)) {
                        let (is, must) = (&have[field], &want[field]);
                        if is != must {
                            out.push(format!("{kind}.{name}.{field} is {is}, but the mirror's lock and files say {must}"));
                        }
                    }
                }
            }
        }
    }
    out
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().into_iter().flat_map(|fields| fields.keys().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_compared() {
        let dir = tempfile::tempdir().unwrap();
        let sum = "a".repeat(64);
        let lock = Lock::parse(&format!(
            "rpms:\n  a: {{version: '1', sha256: {sum}, what: another}}\nimages:\n  i: {{version: '1', reference: 'i:1', sha256: {sum}, file: images/i.tar, found: {sum}}}\n"
        ))
        .unwrap();
        let ids = BTreeMap::from([("i".to_owned(), format!("sha256:{sum}"))]);
        let good = text(&lock, &ids).unwrap();
        let differ = |text: &str| {
            std::fs::write(dir.path().join(MANIFEST), text).unwrap();
            differences(dir.path(), &lock, &ids)
        };
        assert_eq!(differ(&good), Vec::<String>::new());
        for (from, to, what) in [
            ("archive: images/i.tar", "archive: images/j.tar", "images.i.archive"),
            (&*format!("sha256: {sum}"), "sha256: other", "images.i.sha256"),
            (&*format!("id: sha256:{sum}"), "id: other", "images.i.id"),
            ("reference: i:1", "reference: i:2", "images.i.reference"),
            ("what: another", "what: \"\"", "rpms.a.what"),
            ("version: '1'", "version: '2'", "rpms.a.version"),
            ("\n  i:", "\n  j:", "images.i is missing"),
            ("rpms:", "other:", "rpms.a is missing"),
        ] {
            assert!(good.contains(from), "{from} in {good}");
            let found = differ(&good.replacen(from, to, 1));
            assert!(found.iter().any(|line| line.starts_with(what)), "{what}: {found:?}");
        }
        assert!(differ("a: [").first().unwrap().contains("cannot be read"));
        std::fs::remove_file(dir.path().join(MANIFEST)).unwrap();
        assert_eq!(differences(dir.path(), &lock, &ids), Vec::<String>::new());
    }
}
