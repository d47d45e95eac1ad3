//! The files of the project, each checked by itself: the inventory, all roles, all templates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::document::Document;
use super::entry::{Entry, Kinds};
use super::inventory::Inventory;
use super::paths;
use super::problem::{Problem, Sink};
use super::role::Role;
use super::schema::{self, Flavour};
use super::structure::{Structure, without};
use super::template::Templates;

/// One role.yml.
pub struct RoleFile {
    /// The file.
    pub document: Arc<Document>,
    /// Its content; `None` = too wrong to go on with (which is a problem already).
    pub role: Option<Role>,
    /// The resources whose structure is right.
    pub resources: Vec<Entry>,
    /// The checks whose structure is right.
    pub checks: Vec<Entry>,
}

/// All files.
pub struct Project {
    /// Folder with inventory/, roles/, templates/.
    pub root: PathBuf,
    /// The inventory's file.
    pub document: Arc<Document>,
    /// Its content; `None` = too wrong to go on with.
    pub inventory: Option<Inventory>,
    /// Roles by name; `None` = a folder without a readable role.yml.
    pub roles: BTreeMap<String, Option<RoleFile>>,
    /// The files in templates/.
    pub templates: Templates,
    /// Schemas of the kinds.
    pub kinds: Kinds,
}

impl Project {
    /// Reads and checks all files; mistakes are noted.
    pub fn read(inventory: &Path, sink: &mut Sink) -> Self {
        let root = paths::root(inventory);
        let kinds = Kinds::default();
        let document = document(&root, inventory, sink).map(Arc::new);
        let content = document.as_ref().and_then(|document| typed(document, schema::inventory(), sink));
        let mut problems = Vec::new();
        let templates = Templates::load(&root.join("templates"), &mut problems);
        let roles = roles(&root, &kinds, sink);
        problems.into_iter().for_each(|problem| sink.push(problem));
        Self { document: document.unwrap_or_default(), inventory: content, roles, templates, kinds, root }
    }

    /// Names of the roles.
    pub fn role_names(&self) -> impl Iterator<Item = &str> {
        self.roles.keys().map(String::as_str)
    }
}

/// Reads the inventory alone.
pub fn inventory(file: &Path, sink: &mut Sink) -> Option<Inventory> {
    let document = document(&paths::root(file), file, sink)?;
    typed(&document, schema::inventory(), sink)
}

fn document(root: &Path, file: &Path, sink: &mut Sink) -> Option<Document> {
    let shown = paths::shown(root, file);
    let text = match std::fs::read(file) {
        Ok(bytes) => String::from_utf8(bytes),
        Err(error) => {
            sink.push(Problem::new(shown, (0, 0), format!("cannot be read: {error}")));
            return None;
        }
    };
    let Ok(text) = text else {
        sink.push(Problem::new(shown, (0, 0), "is not UTF-8 text"));
        return None;
    };
    let mut problems = Vec::new();
    let document = Document::parse(&shown, &text, &mut problems);
    problems.into_iter().for_each(|problem| sink.push(problem));
    document
}

/// A document's content as a type. Unknown fields are noted and left out; any other mistake means `None`.
fn typed<T: DeserializeOwned>(document: &Document, schema: Value, sink: &mut Sink) -> Option<T> {
    let findings = Structure::new(schema).check(document, "", &document.value);
    findings.problems.into_iter().for_each(|problem| sink.push(problem));
    if findings.broken {
        return None;
    }
    let mut value = document.value.clone();
    without(&mut value, &findings.unknown);
    serde_json::from_value(value).map_err(|error| sink.push(document.problem("", error.to_string()))).ok()
}

fn roles(root: &Path, kinds: &Kinds, sink: &mut Sink) -> BTreeMap<String, Option<RoleFile>> {
    let mut roles = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(root.join("roles")) else { return roles };
    let folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    let frame = schema::role_frame();
    for folder in folders {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let file = folder.join("role.yml");
        let role = if file.is_file() { document(root, &file, sink).map(|document| role(document, &frame, kinds, sink)) } else { None };
        roles.insert(name, role);
    }
    roles
}

fn role(document: Document, frame: &Value, kinds: &Kinds, sink: &mut Sink) -> RoleFile {
    let role = typed(&document, frame.clone(), sink);
    let entries = |flavour: Flavour, list: &str, sink: &mut Sink| {
        let nothing = Map::new();
        // As written: a mistake elsewhere in the file does not hide those in here.
        let items = document.value.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
        let keys: Vec<Map<String, Value>> = items.iter().map(|item| own_keys(item.as_object().unwrap_or(&nothing), flavour)).collect();
        let keys: Vec<&Map<String, Value>> = keys.iter().collect();
        let mut problems = Vec::new();
        let entries = kinds.entries(flavour, &document, &format!("/{list}"), &keys, &mut problems);
        problems.into_iter().for_each(|problem| sink.push(problem));
        entries
    };
    let resources = entries(Flavour::Resource, "resources", sink);
    let checks = entries(Flavour::Check, "checks", sink);
    RoleFile { role, resources, checks, document: Arc::new(document) }
}

fn own_keys(entry: &Map<String, Value>, flavour: Flavour) -> Map<String, Value> {
    entry.iter().filter(|(key, _)| !flavour.meta().contains(&key.as_str())).map(|(key, value)| (key.clone(), value.clone())).collect()
}
