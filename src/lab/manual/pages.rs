//! The pages of kinds, roles, variables and secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::super::document::{Document, join};
use super::super::overrides;
use super::super::project::RoleFile;
use super::super::resolve;
use super::super::role::Role;
use super::super::schema::Flavour;
use super::fields::{self, Field};
use super::source;
use super::{Example, Manual, Page, Setting, Topic, Value};

/// Most lines of an example.
const LINES: usize = 12;

/// The schema of a kind as its spec is, with the `template` that may make a content.
pub fn schema_of(flavour: Flavour, kind: &str) -> Option<Json> {
    let mut schema = flavour.schema(kind)?;
    let written = super::super::schema::as_written(schema.clone());
    if let Some(template) = written.pointer("/properties/template")
        && let Some(properties) = schema.get_mut("properties").and_then(Json::as_object_mut)
    {
        properties.insert("template".to_owned(), template.clone());
    }
    if let (Some(required), Some(target)) = (written.get("required"), schema.get_mut("required")) {
        target.clone_from(required);
    }
    Some(schema)
}

/// A declared secret.
pub struct Declared {
    pub name: String,
    what: String,
    user: Option<String>,
    given: bool,
    ssh_key: bool,
    origin: String,
}

/// Variables of one place, and where they are.
struct Vars<'m> {
    by: String,
    role: Option<&'m String>,
    document: &'m Arc<Document>,
    pointer: String,
    vars: &'m Map<String, Json>,
}

impl Manual {
    fn files(&self) -> impl Iterator<Item = (&String, &RoleFile, &Role)> {
        self.project.roles.iter().filter_map(|(name, file)| Some((name, file.as_ref()?, file.as_ref()?.role.as_ref()?)))
    }

    /// Everything that sets variables; later ones win.
    fn vars(&self) -> Vec<Vars<'_>> {
        let mut all = Vec::new();
        for (name, file, role) in self.files() {
            let mut add = |by: String, pointer: &str, vars| {
                all.push(Vars { by, role: Some(name), document: &file.document, pointer: pointer.to_owned(), vars });
            };
            add(format!("role {name}"), "/defaults", &role.defaults);
            add(format!("role {name}, centos7"), "/os_defaults/centos7", &role.os_defaults.centos7);
            add(format!("role {name}, rehearsal hosts"), "/os_defaults/rehearsal", &role.os_defaults.rehearsal);
        }
        let Some(inventory) = &self.project.inventory else { return all };
        let mut add =
            |by: String, pointer: String, vars| all.push(Vars { by, role: None, document: &self.project.document, pointer, vars });
        add("all hosts".to_owned(), "/vars".to_owned(), &inventory.vars);
        for (name, group) in inventory.groups.iter() {
            add(format!("group {name}"), format!("{}/vars", join("/groups", name)), &group.vars);
        }
        for (name, host) in inventory.hosts.iter() {
            add(format!("host {name}"), format!("{}/vars", join("/hosts", name)), &host.vars);
        }
        all
    }

    /// Names of all variables.
    pub fn variable_names(&self) -> BTreeSet<String> {
        self.vars().iter().flat_map(|place| place.vars.keys().cloned()).collect()
    }

    /// All declared secrets.
    pub fn secrets(&self) -> Vec<Declared> {
        let roles = self.files().map(|(_, file, role)| (&file.document, &role.secrets));
        let inventory = self.project.inventory.as_ref().map(|inventory| (&self.project.document, &inventory.secrets));
        let all = inventory.into_iter().chain(roles).flat_map(|(document, secrets)| {
            secrets.iter().map(move |(name, secret)| Declared {
                name: name.to_owned(),
                what: secret.what.clone(),
                user: secret.user.clone(),
                given: secret.given,
                ssh_key: secret.ssh_key,
                origin: document.origin(&join("/secrets", name)),
            })
        });
        all.collect()
    }

    /// A kind of resource or check.
    pub(super) fn kind(&self, flavour: Flavour, name: &str) -> Option<Page> {
        let schema = schema_of(flavour, name)?;
        let topic = if flavour == Flavour::Resource { Topic::Resource } else { Topic::Check };
        let mut page = Page::new(topic, name, fields::text(&schema));
        page.fields = fields::all(&schema);
        page.smallest = smallest(name, &page.fields);
        page.example = self.example(flavour, name);
        page.facts.push(("beside it".to_owned(), flavour.meta().iter().map(|meta| (*meta).to_owned()).collect()));
        if page.example.is_none() {
            page.notes.push("no role of this project uses it".to_owned());
        }
        Some(page)
    }

    /// The use with most fields among those that are not long, else the shortest.
    fn example(&self, flavour: Flavour, kind: &str) -> Option<Example> {
        let uses = self.files().flat_map(|(_, file, _)| {
            let entries = if flavour == Flavour::Resource { &file.resources } else { &file.checks };
            entries.iter().filter(|entry| entry.kind == kind).filter_map(|entry| {
                let at = entry.pointer.rsplit_once('/').map(|(entry, _)| entry)?;
                let written = entry.value.as_object().map_or(0, Map::len);
                Some((written, Example { origin: file.document.origin(&entry.pointer), text: source::entry(&file.document, at)? }))
            })
        });
        let uses: Vec<(usize, Example)> = uses.collect();
        let short = uses.iter().filter(|(_, example)| example.text.lines().count() <= LINES);
        // The first of several with as many fields.
        let best = short.rev().max_by_key(|(written, _)| *written);
        best.or_else(|| uses.iter().min_by_key(|(_, example)| example.text.lines().count())).map(|(_, example)| example.clone())
    }

    /// A role.
    pub(super) fn role(&self, name: &str) -> Option<Page> {
        let (_, file, role) = self.files().find(|(known, ..)| *known == name)?;
        let mut page = Page::new(Topic::Role, name, role.description.clone());
        page.origin.clone_from(&file.document.file);
        let mut fact = |label: &str, items: Vec<String>| {
            if !items.is_empty() {
                page.facts.push((label.to_owned(), items));
            }
        };
        fact("on", self.hosts_of(name));
        fact("requires", role.requires.clone());
        fact("after, anywhere", role.requires_elsewhere.clone());
        fact("keeps", kinds(file.resources.iter().map(|entry| entry.kind.as_str())));
        fact("restarts", role.handlers.names().map(str::to_owned).collect());
        fact("listens on", role.ports.iter().map(|port| format!("{} ({})", port.port, port.what)).collect());
        fact("secrets", role.secrets.names().map(str::to_owned).collect());
        fact("certificates", role.certificates.names().map(str::to_owned).collect());
        fact("services", role.services.iter().map(|service| service.name.clone()).collect());
        fact("proven by", kinds(file.checks.iter().map(|entry| entry.kind.as_str())));
        page.fields = role
            .defaults
            .iter()
            .map(|(variable, value)| Field {
                name: variable.clone(),
                value_type: String::new(),
                required: false,
                default: Some(shown(variable, value)),
                text: source::comment_above(&file.document, &join("/defaults", variable)),
            })
            .collect();
        Some(page)
    }

    fn hosts_of(&self, role: &str) -> Vec<String> {
        let Some(inventory) = &self.project.inventory else { return Vec::new() };
        if inventory.roles.iter().any(|name| name == role) {
            return inventory.hosts.names().map(str::to_owned).collect();
        }
        let groups: Vec<_> = inventory.groups.iter().filter(|(_, group)| group.roles.iter().any(|name| name == role)).collect();
        let of_any = |host: &&str| groups.iter().any(|(_, group)| group.hosts.iter().any(|name| name == host));
        inventory.hosts.names().filter(of_any).map(str::to_owned).collect()
    }

    /// A variable, without what it comes to.
    pub(super) fn variable(&self, name: &str) -> Option<Page> {
        let mut set: Vec<Setting> = Vec::new();
        for place in self.vars() {
            let Some(value) = place.vars.get(name) else { continue };
            let pointer = join(&place.pointer, name);
            set.push(Setting {
                by: place.by,
                role: place.role.cloned(),
                origin: place.document.origin(&pointer),
                value: shown(name, value),
                text: source::comment_above(place.document, &pointer),
            });
        }
        if set.is_empty() {
            return None;
        }
        for (_, text) in self.overrides.iter().filter(|(known, _)| known == name) {
            let value = shown(name, &overrides::value(text));
            set.push(Setting { by: "this command line".to_owned(), role: None, origin: "--set".to_owned(), value, text: String::new() });
        }
        let mut texts: Vec<&str> = Vec::new();
        for setting in set.iter().filter(|setting| !setting.text.is_empty()) {
            if !texts.contains(&setting.text.as_str()) {
                texts.push(&setting.text);
            }
        }
        let mut page = Page::new(Topic::Variable, name, texts.join("\n\n"));
        page.set = set;
        Some(page)
    }

    /// Adds what a variable comes to on each host, from an inventory that is right.
    pub(super) fn add_values(&self, page: &mut Page) {
        if self.project.inventory.is_none() {
            page.notes.push(format!("no inventory ({}): what it comes to on hosts is not known", self.inventory.display()));
            return;
        }
        match resolve::watch(&self.inventory, &self.overrides, &page.name) {
            Err(problems) => {
                page.notes.push(format!("what it comes to on hosts is not known: {} (poclab validate)", first_line(&problems.to_string())));
            }
            Ok(seen) => {
                // An inventory's variable is there for all roles; what counts are those that declare it, if any does.
                let declares = |role: &str| page.set.iter().any(|setting| setting.role.as_deref() == Some(role));
                let declared = page.set.iter().any(|setting| setting.role.is_some());
                let mut values: Vec<Value> = Vec::new();
                for one in seen.into_iter().filter(|one| !declared || declares(&one.role)) {
                    let value = match &one.value {
                        Ok(value) => shown(&page.name, value),
                        Err(why) => why.clone(),
                    };
                    let add = |list: &mut Vec<String>, name: String| {
                        if !list.contains(&name) {
                            list.push(name);
                        }
                    };
                    match values.iter_mut().find(|known| known.value == value && known.origin == one.origin) {
                        Some(known) => {
                            add(&mut known.hosts, one.host);
                            add(&mut known.roles, one.role);
                        }
                        None => values.push(Value { roles: vec![one.role], hosts: vec![one.host], value, origin: one.origin }),
                    }
                }
                if values.is_empty() {
                    page.notes.push("no role that is in use knows it".to_owned());
                }
                page.values = values;
            }
        }
    }

    /// A declared secret; never its value.
    pub(super) fn secret(&self, name: &str) -> Option<Page> {
        let declared = self.secrets().into_iter().find(|secret| secret.name == name)?;
        let mut page = Page::new(Topic::Secret, name, declared.what);
        page.origin = declared.origin;
        let (kind, show) = if declared.given {
            ("set by hand", format!("poclab secrets set {name}"))
        } else if declared.ssh_key {
            ("an SSH key pair, generated", format!("poclab secrets show {name} --field public"))
        } else {
            page.facts.push(("user".to_owned(), vec![declared.user.unwrap_or_else(|| name.to_owned())]));
            ("generated", format!("poclab secrets show {name}"))
        };
        page.facts.push(("value".to_owned(), vec![kind.to_owned(), show]));
        Some(page)
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// A value as it is shown. Nobody should write a secret into a variable; whoever did must not find it on the screen.
fn shown(name: &str, value: &Json) -> String {
    let secret = ["password", "passwd", "secret", "token"].iter().any(|word| name.contains(word));
    let harmless = matches!(value, Json::Bool(_) | Json::Null) || value.as_str().is_some_and(|text| text.is_empty() || text.contains("{{"));
    if secret && !harmless { "not shown: its name says that it is a secret".to_owned() } else { source::yaml(value) }
}

/// `3 file, 1 service`
fn kinds<'e>(entries: impl Iterator<Item = &'e str>) -> Vec<String> {
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    for kind in entries {
        *counted.entry(kind).or_default() += 1;
    }
    counted.into_iter().map(|(kind, number)| if number == 1 { kind.to_owned() } else { format!("{kind} ({number})") }).collect()
}

/// `- package: {name: …}`
fn smallest(kind: &str, fields: &[Field]) -> String {
    let required: Vec<String> =
        fields.iter().filter(|field| field.required && !field.name.contains('.')).map(|field| format!("{}: …", field.name)).collect();
    format!("- {kind}: {{{}}}", required.join(", "))
}
