//! Variables from the command line: `--set name=value`.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::document::{Document, plain};
use super::inventory::Inventory;
use super::problem::{Problem, Sink};
use super::project::Project;
use super::variables::RawVars;

/// Reads overrides. A value is written as in YAML: `5` is a number, `"5"` text, `[a, b]` a list.
pub fn read(project: &Project, inventory: &Inventory, overrides: &[(String, String)], sink: &mut Sink) -> RawVars {
    let known = known(project, inventory);
    let mut values = Map::new();
    for (name, text) in overrides {
        if !known.contains(name.as_str()) {
            let file = format!("--set {name}");
            sink.push(
                Problem::new(file, (0, 0), format!("no role and no inventory has a variable `{name}`"))
                    .did_you_mean(name, known.iter().copied()),
            );
            continue;
        }
        values.insert(name.clone(), value(text));
    }
    let mut vars = RawVars::default();
    let document = Arc::new(Document::nameless("--set"));
    vars.add(&document, "", &values);
    vars
}

/// A value from the command line.
pub fn value(text: &str) -> Value {
    if text.starts_with(['[', '{', '"', '\'']) && !text.starts_with("{{") && !text.starts_with("{%") {
        let parsed = Document::parse("--set", &format!("value: {text}"), &mut Vec::new());
        return parsed.and_then(|document| document.value.get("value").cloned()).unwrap_or_else(|| Value::String(text.to_owned()));
    }
    plain(text)
}

fn known<'a>(project: &'a Project, inventory: &'a Inventory) -> BTreeSet<&'a str> {
    let roles = project.roles.values().flatten().filter_map(|file| file.role.as_ref());
    let in_roles = roles.flat_map(|role| [&role.defaults, &role.os_defaults.centos7, &role.os_defaults.rehearsal]);
    let groups = inventory.groups.iter().map(|(_, group)| &group.vars);
    let hosts = inventory.hosts.iter().map(|(_, host)| &host.vars);
    in_roles.chain(groups).chain(hosts).chain([&inventory.vars]).flat_map(|vars| vars.keys().map(String::as_str)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_written_as_in_yaml() {
        for (text, meant) in [
            ("5", json!(5)),
            ("\"5\"", json!("5")),
            ("[a, 1]", json!(["a", 1])),
            ("{{ x }}", json!("{{ x }}")),
            ("a: b", json!("a: b")),
            ("true", json!(true)),
            ("[", json!("[")),
        ] {
            assert_eq!(value(text), meant, "{text}");
        }
    }
}
