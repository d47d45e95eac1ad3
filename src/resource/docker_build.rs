//! A container image that a host builds itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Change, Content, Detail, Kind, Reply, State};
use crate::base::sha256;
use crate::base::{Payload, quote};

/// An image that a host builds with `docker build` from files that are given here. Other files, another base image or an image
/// that somebody else has put under the name: it is built anew. Containers of it follow by themselves (see `container`).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name and tag under which the host knows it, e.g. `poclab/jenkins:lab`.
    pub reference: String,
    /// Its Dockerfile. Images that it is `FROM` must be named in `from`, too. In role.yml a file below templates/ can give it
    /// instead: `template: jenkins/Dockerfile.tera`.
    pub content: Content,
    /// Other files that the Dockerfile copies, by name (no folders). No secrets: an image keeps everything.
    #[serde(default)]
    pub files: BTreeMap<String, Content>,
    /// Images that it is built from; they must be on the host (see `docker_image`). When one of these names comes to mean another
    /// image, this one is built anew.
    pub from: Vec<String>,
}

/// Labels that say what an image was built from.
const FILES: &str = "poclab.files";
const FROM: &str = "poclab.from";

/// What a host has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// The image: id, and the labels of what it was built from.
    image: Option<(String, String, String)>,
    /// Ids of the images that it is built from; `None` for one that the host does not have.
    from: Vec<Option<String>>,
}

impl Spec {
    /// One hash over the names and contents of all files.
    fn files_hash(&self) -> String {
        let mut all = String::new();
        for (name, content) in self.all_files() {
            let _ = writeln!(all, "{name} {}", sha256(content.0.as_bytes()));
        }
        sha256(all.as_bytes())
    }

    fn all_files(&self) -> impl Iterator<Item = (&str, &Content)> {
        std::iter::once(("Dockerfile", &self.content)).chain(self.files.iter().map(|(name, content)| (name.as_str(), content)))
    }
}

fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}

impl Kind for Spec {
    const NAME: &'static str = "docker_build";
    type Observed = Observed;

    fn id(&self) -> String {
        self.reference.clone()
    }

    fn check(&self) -> Vec<String> {
        let plain = |name: &str, more: &str| {
            !name.is_empty() && !name.starts_with(['-', '.']) && name.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        let mut errors = Vec::new();
        if !plain(&self.reference, "._-/:") || !self.reference.rsplit('/').next().unwrap_or_default().contains(':') {
            errors.push(format!("`{}` is not a name and tag: write e.g. poclab/jenkins:lab", self.reference));
        }
        if self.content.0.trim().is_empty() {
            errors.push("content is empty: it is the Dockerfile".to_owned());
        }
        if self.from.is_empty() {
            errors.push("from is empty: write the images of the Dockerfile's FROM lines".to_owned());
        }
        for name in self.from.iter().filter(|name| !plain(name, "._-/:@")) {
            errors.push(format!("`{name}` in from is not an image"));
        }
        for name in self.files.keys().filter(|name| !plain(name, "._-") || name.as_str() == "Dockerfile") {
            errors.push(format!("`{name}` cannot be the name of a file here: letters, digits, . _ - and no folders"));
        }
        errors
    }

    fn observe(specs: &[&Self]) -> String {
        let mut s = String::from(
            "poclab_image() {\n  poclab_out=$(docker image inspect --format \"$2\" \"$1\" 2>&1) && echo \"there $poclab_out\" && return\n  \
             case $poclab_out in *'No such image'*) echo absent ;; *) printf '%s\\n' \"$poclab_out\" | sed 's/^/! /' ;; esac\n}\n\
             if command -v docker >/dev/null 2>&1; then\n",
        );
        for spec in specs {
            let _ = writeln!(s, "  poclab_image {} '{{{{.Id}}}} {{{{json .Config.Labels}}}}'", quote(&spec.reference));
            for from in &spec.from {
                let _ = writeln!(s, "  poclab_image {} '{{{{.Id}}}}'", quote(from));
            }
        }
        s.push_str("else\n  echo 'docker absent'\nfi");
        s
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let text = reply.text();
        if text.lines().any(|line| line == "docker absent") {
            return specs.iter().map(|spec| Ok(Observed { image: None, from: vec![None; spec.from.len()] })).collect();
        }
        if let Some(error) = text.lines().find_map(|line| line.strip_prefix("! ")) {
            return specs.iter().map(|_| Err(format!("docker image inspect: {error}"))).collect();
        }
        let mut lines = text.lines();
        // One line per question, in their order.
        let mut answer = || match lines.next() {
            Some("absent") => Ok(None),
            Some(line) => line
                .strip_prefix("there ")
                .map(|rest| Some(rest.to_owned()))
                .ok_or_else(|| format!("docker image inspect printed `{line}`")),
            None => Err("docker image inspect said nothing about it".to_owned()),
        };
        // An image without labels has `null`.
        let read = |line: &str| -> Option<(String, String, String)> {
            let (id, labels) = line.split_once(' ').filter(|(id, _)| id.starts_with("sha256:"))?;
            let mut labels = serde_json::from_str::<Option<BTreeMap<String, String>>>(labels).ok()?.unwrap_or_default();
            let mut label = |name: &str| labels.remove(name).unwrap_or_default();
            Some((id.to_owned(), label(FILES), label(FROM)))
        };
        specs
            .iter()
            .map(|spec| {
                let image = match answer()? {
                    None => None,
                    Some(line) => Some(read(&line).ok_or_else(|| format!("docker image inspect printed `{line}`"))?),
                };
                let from: Vec<Option<String>> = spec.from.iter().map(|_| answer()).collect::<Result<_, _>>()?;
                match from.iter().flatten().find(|id| !id.starts_with("sha256:")) {
                    Some(odd) => Err(format!("docker image inspect printed `{odd}`")),
                    None => Ok(Observed { image, from }),
                }
            })
            .collect()
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        let Some((_, files, from)) = &observed.image else {
            return State::Drift(vec![Change::new("not on the host: build it")]);
        };
        let mut changes = Vec::new();
        match files.as_str() {
            "" => changes.push(Change::new("was not built by poclab")),
            have if have != self.files_hash() => {
                changes.push(Change::new(format!("was built from other files ({}, want {})", short(have), short(&self.files_hash()))));
            }
            _ => {
                let built: Vec<&str> = from.split(' ').collect();
                for (at, (name, now)) in self.from.iter().zip(&observed.from).enumerate() {
                    // A base that is gone from the host changes nothing about what was built from it.
                    let was = built.get(at).copied().unwrap_or("none");
                    if let Some(now) = now.as_ref().filter(|now| *now != was) {
                        changes.push(Change::new(format!("was built from another {name} ({}, now {})", short(was), short(now))));
                    }
                }
            }
        }
        if changes.is_empty() { State::InSync } else { State::Drift(changes) }
    }

    fn details(&self, observed: &Self::Observed) -> Vec<Detail> {
        observed.image.iter().map(|(id, ..)| Detail::Image { reference: self.reference.clone(), id: id.clone() }).collect()
    }

    fn apply(&self, _observed: &Self::Observed) -> Vec<Action> {
        let reference = quote(&self.reference);
        let mut script = String::from(
            "umask 077\npoclab_d=$(mktemp -d /var/tmp/poclab-build.XXXXXX) || exit 1\ntrap 'rm -rf \"$poclab_d\"' EXIT\ntrap 'exit 1' HUP INT TERM PIPE\n",
        );
        let mut bytes = Vec::new();
        for (name, content) in self.all_files() {
            let _ = writeln!(script, "head -c {} >\"$poclab_d\"/{} || exit 1", content.0.len(), quote(name));
            bytes.extend_from_slice(content.0.as_bytes());
        }
        script.push_str("chmod 0644 \"$poclab_d\"/* || exit 1\npoclab_from=\n");
        for from in &self.from {
            let from = quote(from);
            let _ = writeln!(
                script,
                "poclab_id=$(docker image inspect --format '{{{{.Id}}}}' {from}) || {{ echo 'the image' {from} 'is not on this host, but it is built from it' >&2; exit 1; }}\n\
                 poclab_from=\"$poclab_from${{poclab_from:+ }}$poclab_id\""
            );
        }
        let _ = writeln!(
            script,
            "docker build --force-rm --label {FILES}={} --label \"{FROM}=$poclab_from\" --tag {reference} \"$poclab_d\" || {{ echo 'the image' {reference} 'could not be built: the lines above say why' >&2; exit 1; }}",
            self.files_hash()
        );
        vec![Action {
            label: format!("build image {}", self.reference),
            script,
            stdin: Some(Payload::Bytes(bytes)),
            sweep: "rm -rf -- /var/tmp/poclab-build.??????\n".to_owned(),
            ..Action::default()
        }]
    }
}

#[cfg(test)]
#[path = "docker_build_tests.rs"]
mod tests;
