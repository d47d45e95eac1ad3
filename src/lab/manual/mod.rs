//! The manual behind `poclab explain`: what every kind, field, check, role, variable and secret means, from where it is
//! declared. Doc comments come through the JSON schemas, roles and variables from role.yml and the comments in it.

mod fields;
mod given;
mod pages;
mod source;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::problem::Sink;
use super::project::Project;
use super::schema::{self, Flavour};

pub use fields::Field;

/// What a page is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// A kind of resource.
    Resource,
    /// A kind of check.
    Check,
    /// A role.
    Role,
    /// A variable of roles or of the inventory.
    Variable,
    /// A variable that poclab gives.
    Given,
    /// A declared secret.
    Secret,
    /// A kind of file.
    File,
    /// A field of a kind or of a file.
    Field,
}

/// One explanation. Parts that do not apply are empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// As it is asked for: `file`, `file.mode`, `docker_repo`.
    pub name: String,
    /// What it is.
    pub topic: Topic,
    /// What it means; empty when nobody wrote that down.
    pub text: String,
    /// Where it is declared (`roles/docker/role.yml`); empty for what is built in.
    pub origin: String,
    /// Short facts with a label: hosts, type, default.
    pub facts: Vec<(String, Vec<String>)>,
    /// Fields of a kind or file; variables of a role.
    pub fields: Vec<Field>,
    /// The smallest thing that can be written; empty for what is not written.
    pub smallest: String,
    /// A real use.
    pub example: Option<Example>,
    /// Everything that sets a variable; a later one wins over an earlier one.
    pub set: Vec<Setting>,
    /// What a variable comes to, where it is used.
    pub values: Vec<Value>,
    /// What else must be known to read this.
    pub notes: Vec<String>,
}

impl Page {
    fn new(topic: Topic, name: &str, text: String) -> Self {
        Self {
            name: name.to_owned(),
            topic,
            text,
            origin: String::new(),
            facts: Vec::new(),
            fields: Vec::new(),
            smallest: String::new(),
            example: None,
            set: Vec::new(),
            values: Vec::new(),
            notes: Vec::new(),
        }
    }
}

/// A real use, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// `roles/docker/role.yml:17`
    pub origin: String,
    /// The lines.
    pub text: String,
}

/// A place that sets a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// `role docker`, `group registry`, `this command line` …
    pub by: String,
    /// The role, if it is one that declares it.
    pub role: Option<String>,
    /// `roles/docker/role.yml:17`
    pub origin: String,
    /// The value as written, in YAML.
    pub value: String,
    /// The comment above it.
    pub text: String,
}

/// What a variable comes to on hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// The roles that use it.
    pub roles: Vec<String>,
    /// The hosts on which it comes to this.
    pub hosts: Vec<String>,
    /// The value in YAML, without secrets.
    pub value: String,
    /// What set it: `inventory/lab.yml:12`
    pub origin: String,
}

/// The manual of one project.
pub struct Manual {
    project: Project,
    inventory: PathBuf,
    overrides: Vec<(String, String)>,
}

impl Manual {
    /// Reads what is there: without a project only what is built in is explained. Mistakes in files are for `validate` to tell.
    pub fn open(inventory: &Path, overrides: &[(String, String)]) -> Self {
        let project = Project::read(inventory, &mut Sink::default());
        Self { project, inventory: inventory.to_owned(), overrides: overrides.to_vec() }
    }

    /// Everything that has a page of its own.
    pub fn contents(&self) -> Vec<(Topic, String)> {
        let kinds = |topic: Topic, flavour: Flavour| flavour.names().iter().map(move |name| (topic, (*name).to_owned()));
        let roles = self.project.role_names().filter(|name| self.role(name).is_some()).map(|name| (Topic::Role, name.to_owned()));
        let of = |topic: Topic, names: BTreeSet<String>| names.into_iter().map(move |name| (topic, name));
        kinds(Topic::Resource, Flavour::Resource)
            .chain(kinds(Topic::Check, Flavour::Check))
            .chain(roles)
            .chain(of(Topic::Variable, self.variable_names()))
            .chain(given::VARIABLES.iter().map(|(name, _)| (Topic::Given, (*name).to_owned())))
            .chain(of(Topic::Secret, self.secrets().into_iter().map(|secret| secret.name).collect()))
            .chain(["inventory", "role"].map(|name| (Topic::File, name.to_owned())))
            .collect()
    }

    /// The page of something in [`Manual::contents`], without what takes a resolved lab to know.
    pub fn page(&self, topic: Topic, name: &str) -> Option<Page> {
        match topic {
            Topic::Resource => self.kind(Flavour::Resource, name),
            Topic::Check => self.kind(Flavour::Check, name),
            Topic::Role => self.role(name),
            Topic::Variable => self.variable(name),
            Topic::Given => given::page(name),
            Topic::Secret => self.secret(name),
            Topic::File => file(name),
            Topic::Field => None,
        }
    }

    /// Everything that is meant by a name: the pages of that name, or the field that a path (`file.mode`) leads to.
    ///
    /// Variables come with what they are on each host, if the inventory is right.
    pub fn find(&self, name: &str) -> Vec<Page> {
        let mut pages = self.pages(name);
        pages.iter_mut().filter(|page| page.topic == Topic::Variable).for_each(|page| self.add_values(page));
        pages
    }

    fn pages(&self, name: &str) -> Vec<Page> {
        let of_name = self.contents().into_iter().filter(|(_, known)| known == name);
        let mut pages: Vec<Page> = of_name.filter_map(|(topic, name)| self.page(topic, &name)).collect();
        if let Some((first, path)) = name.split_once('.') {
            let schemas = [Flavour::Resource, Flavour::Check].into_iter().filter_map(|flavour| pages::schema_of(flavour, first));
            pages.extend(schemas.chain(file_schema(first)).filter_map(|schema| fields::page(&schema, first, path)));
            pages.extend(given::page(first).filter(|page| page.fields.iter().any(|field| field.name == name)));
        }
        if pages.is_empty() {
            // A bare field: everywhere it is known.
            pages.extend(self.with_field(name));
        }
        pages
    }

    /// The pages of a field that several kinds may have.
    fn with_field(&self, field: &str) -> Vec<Page> {
        let kinds = [Flavour::Resource, Flavour::Check].into_iter();
        let kinds =
            kinds.flat_map(|flavour| flavour.names().iter().filter_map(move |kind| Some((*kind, pages::schema_of(flavour, kind)?))));
        let files = ["inventory", "role"].into_iter().filter_map(|name| Some((name, file_schema(name)?)));
        kinds.chain(files).filter_map(|(name, schema)| fields::page(&schema, name, field)).collect()
    }

    /// Names near to one that is not known, nearest first; at most five.
    pub fn near(&self, name: &str) -> Vec<String> {
        let mut names = self.names();
        names.sort_by_key(|known| (strsim::damerau_levenshtein(name, known), known.clone()));
        let close = |known: &String| {
            let most = name.chars().count().max(known.chars().count());
            strsim::damerau_levenshtein(name, known) * 2 <= most || (name.len() > 2 && known.contains(name))
        };
        names.into_iter().filter(close).take(5).collect()
    }

    /// Every name that [`Manual::find`] knows, for suggestions and completion.
    pub fn names(&self) -> Vec<String> {
        let mut names: BTreeSet<String> = self.contents().into_iter().map(|(_, name)| name).collect();
        for flavour in [Flavour::Resource, Flavour::Check] {
            for kind in flavour.names() {
                let schema = pages::schema_of(flavour, kind).unwrap_or_default();
                names.extend(fields::all(&schema).into_iter().map(|field| format!("{kind}.{}", field.name)));
            }
        }
        for file in ["inventory", "role"] {
            let schema = file_schema(file).unwrap_or_default();
            names.extend(fields::all(&schema).into_iter().map(|field| format!("{file}.{}", field.name)));
        }
        names.into_iter().collect()
    }
}

/// Names of a project's things, for completion; empty where there is no project.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// In the order of the inventory.
    pub hosts: Vec<String>,
    /// Sorted.
    pub roles: Vec<String>,
    /// Sorted.
    pub secrets: Vec<String>,
    /// Sorted.
    pub variables: Vec<String>,
}

/// The names of a project's things.
pub fn names_of(inventory: &Path) -> Names {
    let manual = Manual::open(inventory, &[]);
    let hosts = manual.project.inventory.as_ref().map(|content| content.hosts.names().map(str::to_owned).collect());
    let of = |topic: Topic| manual.contents().into_iter().filter(|(known, _)| *known == topic).map(|(_, name)| name).collect();
    Names { hosts: hosts.unwrap_or_default(), roles: of(Topic::Role), secrets: of(Topic::Secret), variables: of(Topic::Variable) }
}

fn file_schema(name: &str) -> Option<serde_json::Value> {
    match name {
        "inventory" => Some(schema::inventory()),
        "role" => Some(schema::role_frame()),
        _ => None,
    }
}

fn file(name: &str) -> Option<Page> {
    let schema = file_schema(name)?;
    let mut page = Page::new(Topic::File, name, fields::text(&schema));
    page.origin = if name == "inventory" { "inventory/*.yml" } else { "roles/<role>/role.yml" }.to_owned();
    page.fields = fields::all(&schema);
    page.notes.push("docs/formats.md tells the rest; docs/schema/ has the schemas for editors".to_owned());
    Some(page)
}

#[cfg(test)]
mod tests;
