//! The mirror: a folder of pinned packages and images, described by its mirror.yml.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::document::Document;
use super::inventory::Mirror;
use super::problem::{Problem, Sink};
use super::structure::Structure;

/// Reads `mirror.yml`: the variable `mirror`, with absolute paths of the images' archives.
pub fn read(folder: &Path, sink: &mut Sink) -> Option<Value> {
    let path = folder.join("mirror.yml");
    let shown = path.display().to_string();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            sink.push(Problem::new(shown, (0, 0), format!("cannot be read: {error}")));
            return None;
        }
    };
    let mut problems = Vec::new();
    let document = Document::parse(&shown, &text, &mut problems);
    problems.into_iter().for_each(|problem| sink.push(problem));
    let document = document?;
    let findings = Structure::new(schemars::schema_for!(Mirror).to_value()).check(&document, "", &document.value);
    let fine = findings.problems.is_empty();
    findings.problems.into_iter().for_each(|problem| sink.push(problem));
    if !fine {
        return None;
    }
    let mut mirror = document.value.as_object().cloned().unwrap_or_default();
    for name in ["images", "rpms"] {
        mirror.entry(name).or_insert_with(|| Value::Object(Map::new()));
    }
    for (name, image) in mirror.get_mut("images").and_then(Value::as_object_mut).into_iter().flatten() {
        let Some(archive) = image.get("archive").and_then(Value::as_str).map(|archive| folder.join(archive)) else { continue };
        if !archive.is_file() {
            let problem = document.problem(&format!("/images/{name}/archive"), format!("the archive {} is not there", archive.display()));
            sink.push(problem.suggest(remedy(folder)));
        }
        image["archive"] = json!(archive.display().to_string());
    }
    mirror.insert("path".to_owned(), json!(folder.display().to_string()));
    Some(Value::Object(mirror))
}

/// What makes a mirror whole: one that `poclab mirror build` fills, or the rehearsal's.
pub fn remedy(folder: &Path) -> &'static str {
    // Until a fetched one is whole it has no other file that could tell.
    let lock = std::fs::read_to_string(folder.join("lock.yml")).unwrap_or_default();
    if lock.starts_with("# Written by `poclab mirror build`") {
        "run `poclab mirror build`, which fetches what is missing"
    } else {
        "run `poclab rehearse up`, which makes the rehearsal's mirror, or `poclab mirror build`, which fills one from upstream"
    }
}

/// What the mirror's things really are, in words: for reports, which must not pass them off as the originals.
pub fn stand_ins(mirror: &Value) -> Vec<String> {
    let things = ["images", "rpms"].into_iter().filter_map(|kind| mirror.get(kind)?.as_object()).flatten();
    things.filter_map(|(name, thing)| Some(format!("{name}: {}", thing.get("what")?.as_str()?))).collect()
}
