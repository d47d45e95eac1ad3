//! One JSON object of a product's REST API.

mod diff;
mod script;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::script::path_errors;
use super::{Action, Content, Kind, Reply, State};
use crate::base::sha256;

/// One JSON object that a product's REST API keeps: a project, a user, a setting.
///
/// The host itself asks, with curl, in the run's one look; what differs is created or changed. An API that does not answer,
/// refuses the login or answers something else than JSON is never taken for good.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What it is, in words; also its name on the host, e.g. `project pozos/student_list`.
    pub what: String,
    /// The API.
    pub api: Api,
    /// Path of the object, e.g. `/groups/pozos`. The answer 404 means that there is none. This or `list`.
    #[serde(default)]
    pub read: Option<String>,
    /// Path of a list that the object is in, e.g. `/projects/1/hooks?per_page=100`. A page of 100 without the object is no proof that
    /// there is none: narrow the path then.
    #[serde(default)]
    pub list: Option<String>,
    /// With `list`: the field of the answer that has the list, e.g. `dashboards` for `{"dashboards": […]}`. Default: the answer is the list.
    #[serde(default)]
    pub list_field: Option<String>,
    /// With `list`: fields that tell it from the others, e.g. `{url: "https://…"}`. More than one such object is drift.
    #[serde(default, rename = "match")]
    pub matching: Map<String, Value>,
    /// Fields with the values that they must have. Of objects inside of it only what is written is compared; lists must have the
    /// same items, in any order.
    #[serde(default)]
    pub want: Map<String, Value>,
    /// Fields that the API takes and never tells, e.g. `{token: …}`. They are sent when the object is created, with every change,
    /// and when they are others than those that were sent last (a hash of them is kept on the host).
    #[serde(default)]
    pub write_only: BTreeMap<String, Content>,
    /// How it is created. Default: it cannot be (a setting that always exists).
    #[serde(default)]
    pub create: Option<Create>,
    /// How it is changed. Default: it is deleted and created again.
    #[serde(default)]
    pub update: Option<Update>,
    /// Path by which it is deleted; `{field}` stands for a field of the object, e.g. `/projects/1/hooks/{id}`.
    #[serde(default)]
    pub delete: Option<String>,
    /// `present` (default) or `absent`.
    #[serde(default)]
    pub state: Presence,
    /// For how many seconds a refusal is tried again, e.g. because a setting takes a while to have its effect. Default: 0.
    #[serde(default)]
    pub patience: u32,
}

/// Where an API is and how to get in.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// What all paths begin with: `https://gitlab.lab.example/api/v4`.
    pub url: String,
    /// File on the host with the certificates of the authorities that are trusted. Default: the host's own.
    #[serde(default)]
    pub ca: Option<String>,
    /// Headers of every request. Secret.
    #[serde(default)]
    pub headers: BTreeMap<String, Content>,
    /// Whether the API takes forms (`application/x-www-form-urlencoded`) instead of JSON; it answers with JSON all the same. Default: false.
    #[serde(default)]
    pub form: bool,
    /// What every request goes through, e.g. `http://proxy.example:3128`. Default, and when empty: nothing.
    #[serde(default)]
    pub proxy: Option<String>,
    /// A path on the host that exists once the product is installed. Until then nothing is asked, and the object is not there.
    #[serde(default)]
    pub installed: Option<String>,
}

impl Api {
    fn proxy(&self) -> Option<&String> {
        self.proxy.as_ref().filter(|proxy| !proxy.is_empty())
    }
}

/// How an object is created.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// Default: `POST`.
    #[serde(default = "post")]
    pub method: String,
    /// Path, e.g. `/groups`.
    pub path: String,
    /// What is sent, besides `write_only`. Default: `want`.
    #[serde(default)]
    pub body: Option<Map<String, Value>>,
    /// Numbers that another object has (of a list: the first one), by the field in which they are sent, e.g.
    /// `{namespace_id: {read: /groups/pozos}}`.
    #[serde(default)]
    pub numbers: BTreeMap<String, Number>,
}

/// A number that another object has.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// Path of the other object.
    pub read: String,
    /// Its field. Default: `id`.
    #[serde(default = "id_field")]
    pub field: String,
}

/// How an object is changed.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// Default: `PUT`.
    #[serde(default = "put")]
    pub method: String,
    /// Path; `{field}` stands for a field of the object, e.g. `/users/{id}`.
    pub path: String,
    /// What is sent, besides `write_only`. Default: `want`.
    #[serde(default)]
    pub body: Option<Map<String, Value>>,
}

/// Whether it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It does.
    #[default]
    Present,
    /// It does not.
    Absent,
}

fn post() -> String {
    "POST".to_owned()
}

fn put() -> String {
    "PUT".to_owned()
}

fn id_field() -> String {
    "id".to_owned()
}

/// What was seen.
pub struct Observed {
    /// Whether the product is there at all.
    installed: bool,
    /// The objects that match; none, or one, or several by mistake.
    objects: Vec<Map<String, Value>>,
    /// What is written down about the fields that are never told: their hash and the object's id.
    kept: Option<(String, String)>,
}

impl Spec {
    /// The hash of the fields that are never told. The name is in it, so that equal secrets do not show as such.
    fn hash(&self) -> String {
        let mut text = format!("poclab api_object 1\n{}\n", self.what);
        for (field, value) in &self.write_only {
            text.push_str(&format!("{field} {}\n{}\n", value.0.len(), value.0));
        }
        sha256(text.as_bytes())
    }

    fn paths(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let numbers = self.create.iter().flat_map(|create| create.numbers.values().map(|number| ("create.numbers", &number.read)));
        let own = [
            ("read", self.read.as_ref()),
            ("list", self.list.as_ref()),
            ("create.path", self.create.as_ref().map(|create| &create.path)),
            ("update.path", self.update.as_ref().map(|update| &update.path)),
            ("delete", self.delete.as_ref()),
        ];
        own.into_iter().filter_map(|(field, path)| Some((field, path?))).chain(numbers)
    }
}

impl Kind for Spec {
    const NAME: &'static str = "api_object";
    type Observed = Observed;

    fn id(&self) -> String {
        self.what.clone()
    }

    fn check(&self) -> Vec<String> {
        let mut errors = Vec::new();
        let mut wrong = |bad: bool, why: &str| {
            if bad {
                errors.push(why.to_owned());
            }
        };
        wrong(self.what.trim().is_empty() || self.what.chars().any(char::is_control), "what must say in one line what the object is");
        let here = ["http://127.0.0.1:", "http://localhost:"].iter().any(|start| self.api.url.starts_with(start));
        let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && !"\"\\'{}".contains(c));
        wrong(
            !(self.api.url.starts_with("https://") || here) || !plain(&self.api.url) || self.api.url.ends_with('/'),
            "api.url must be an https:// address without a `/` at its end (http:// only on the host itself)",
        );
        wrong(self.read.is_some() == self.list.is_some(), "exactly one of read and list must be given");
        wrong(self.list.is_some() == self.matching.is_empty(), "match goes with list: the fields that tell the object from the others");
        wrong(self.list_field.is_some() && self.list.is_none(), "list_field goes with list");
        let numbers = self.create.as_ref().is_some_and(|create| !create.numbers.is_empty());
        wrong(self.api.form && numbers, "an API that takes forms cannot be given create.numbers");
        let proxy = self.api.proxy();
        wrong(
            proxy.is_some_and(|proxy| !(proxy.starts_with("http://") || proxy.starts_with("https://")) || !plain(proxy)),
            "api.proxy must be an http:// or https:// address",
        );
        let gone = self.state == Presence::Absent;
        wrong(gone && self.delete.is_none(), "state is absent, but there is no delete");
        wrong(!gone && self.want.is_empty() && self.write_only.is_empty() && self.create.is_none(), "nothing is wanted of it");
        wrong(!gone && self.create.is_none() && self.update.is_none(), "create or update must be given");
        let differs = !self.want.is_empty() || !self.write_only.is_empty();
        wrong(!gone && differs && self.update.is_none() && self.delete.is_none(), "update or delete must say how a difference is repaired");
        let unfilled = self.update.as_ref().is_some_and(|update| update.path.contains('{')) && self.create.is_none();
        wrong(!gone && unfilled, "update.path has a {field}, but as long as nothing is known of the object only create can help");
        for (field, path) in self.paths() {
            let braces = !matches!(field, "update.path" | "delete") && path.contains(['{', '}']);
            let odd = path.chars().any(|c| !c.is_ascii_graphic() || "\"\\'".contains(c));
            if !path.starts_with('/') || braces || odd {
                errors.push(format!("{field} must be a path that begins with `/` and is percent-encoded, not {path:?}"));
            }
        }
        for method in self.create.iter().map(|c| &c.method).chain(self.update.iter().map(|u| &u.method)) {
            if !["POST", "PUT", "PATCH"].contains(&method.as_str()) {
                errors.push(format!("method must be POST, PUT or PATCH, not {method:?}"));
            }
        }
        for (name, value) in &self.api.headers {
            let token = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && !name.is_empty();
            if !token || value.0.chars().any(char::is_control) {
                errors.push(format!("the header {name:?} must be a name of letters, digits and `-` with a value of one line"));
            }
        }
        errors.extend(self.api.ca.iter().flat_map(|path| path_errors("api.ca", path)));
        errors.extend(self.api.installed.iter().flat_map(|path| path_errors("api.installed", path)));
        errors
    }

    fn observe(specs: &[&Self]) -> String {
        script::observe(specs)
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let answers = script::read(&reply.stdout);
        specs.iter().enumerate().map(|(index, spec)| spec.seen(answers.as_ref(), index)).collect()
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        self.state_of(observed)
    }

    fn apply(&self, observed: &Self::Observed) -> Vec<Action> {
        self.repair(observed)
    }
}
