//! A container that runs on a host.

mod diff;
mod inspect;
mod run;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Content, Detail, Kind, Reply, State};
use crate::base::quote;
pub use inspect::{Found, Observed};

/// A container. One whose configuration differs is made anew: what must survive belongs into `volumes`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// Image (name and tag); it must be on the host (see `docker_image`). A container of an older image of this name is made anew.
    pub image: String,
    /// `host` (default: firewall zones apply), `bridge`, or the name of a network.
    #[serde(default = "host")]
    pub network: String,
    /// Arguments for the image's entry point. Default: the image's.
    #[serde(default)]
    pub command: Vec<String>,
    /// Environment. Values never appear on a command line or in a plan, as they may be secrets.
    #[serde(default)]
    pub env: BTreeMap<String, Content>,
    /// `source:destination` or `source:destination:options` (options: `ro`, `rw`, `z`, `Z`, with commas). A source that is a path
    /// must exist; one without a slash is a named volume.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// Adds SELinux relabelling to all volumes that are paths and do not say it themselves: `shared` (z) or `private` (Z). Where
    /// Docker runs without SELinux it has no effect. Default: none.
    #[serde(default)]
    pub relabel: Option<Relabel>,
    /// Folders in memory: `/tmp` or `/tmp:size=16m`.
    #[serde(default)]
    pub tmpfs: Vec<String>,
    /// Published ports: `8080:80`, `127.0.0.1:8080:80/tcp`. Published ports are guarded by `docker_ports`, not by firewall zones.
    #[serde(default)]
    pub publish: Vec<String>,
    /// `always` (default), `unless-stopped`, `on-failure` or `no`.
    #[serde(default = "always")]
    pub restart: String,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// User (and group) inside: `1000:1000`. Default: the image's.
    #[serde(default)]
    pub user: Option<String>,
    /// Groups of the host, by name, that its process belongs to besides its own, e.g. `[docker]` to use the engine's socket. Their
    /// numbers are looked up on the host.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Whether its root file system is read-only. Default: false.
    #[serde(default)]
    pub read_only: bool,
    /// Capabilities to take away, e.g. `[ALL]`.
    #[serde(default)]
    pub cap_drop: Vec<String>,
    /// Capabilities to add.
    #[serde(default)]
    pub cap_add: Vec<String>,
    /// Limit, e.g. `512m` (units b, k, m, g). Default: none.
    #[serde(default)]
    pub memory: Option<String>,
    /// e.g. `[no-new-privileges]`
    #[serde(default)]
    pub security_opt: Vec<String>,
}

/// How SELinux labels of volumes are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Relabel {
    /// For several containers (`z`).
    Shared,
    /// For this container alone (`Z`).
    Private,
}

fn host() -> String {
    "host".to_owned()
}

fn always() -> String {
    "always".to_owned()
}

impl Spec {
    /// Volumes as given to Docker.
    fn binds(&self) -> Vec<String> {
        self.volumes
            .iter()
            .map(|volume| {
                let options = volume.splitn(3, ':').nth(2).unwrap_or_default();
                let says = options.split(',').any(|option| matches!(option, "z" | "Z"));
                let flag = match self.relabel {
                    Some(Relabel::Shared) if !says && volume.starts_with('/') => "z",
                    Some(Relabel::Private) if !says && volume.starts_with('/') => "Z",
                    _ => return volume.clone(),
                };
                if options.is_empty() { format!("{volume}:{flag}") } else { format!("{volume},{flag}") }
            })
            .collect()
    }
}

/// Bytes of a size such as `512m`.
fn bytes(size: &str) -> Option<u64> {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match size[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// Host address, host port, container port with protocol; `None` when it is not a publication.
fn publication(text: &str) -> Option<(String, String, String)> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let mut parts = ports.rsplitn(3, ':');
    let (container, host, address) = (parts.next()?, parts.next()?, parts.next().unwrap_or_default());
    let good = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let addressed = address.is_empty() || address.parse::<std::net::Ipv4Addr>().is_ok();
    (good(container) && good(host) && addressed && matches!(protocol, "tcp" | "udp")).then(|| {
        (if address == "0.0.0.0" { String::new() } else { address.to_owned() }, host.to_owned(), format!("{container}/{protocol}"))
    })
}

impl Kind for Spec {
    const NAME: &'static str = "container";
    type Observed = Observed;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn check(&self) -> Vec<String> {
        let mut errors = Vec::new();
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !self.name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !self.name.chars().all(plain) {
            errors.push(format!("`{}` cannot be a container's name: letters, digits, _ . - and a letter or digit first", self.name));
        }
        if self.image.is_empty() || self.image.starts_with('-') {
            errors.push(format!("`{}` is not an image", self.image));
        }
        if self.network.is_empty() || self.network.starts_with('-') {
            errors.push(format!("network is `{}`: write host, bridge or a network's name", self.network));
        }
        if self.network == "host" && !self.publish.is_empty() {
            errors.push("publish has no effect with network: host; use network: bridge, or leave publish out".to_owned());
        }
        errors.extend(
            self.publish
                .iter()
                .filter(|p| publication(p).is_none())
                .map(|p| format!("`{p}` is not a publication: write 8080:80 or 127.0.0.1:8080:80/tcp")),
        );
        for volume in &self.volumes {
            let parts: Vec<&str> = volume.split(':').collect();
            let options = parts.get(2).copied().unwrap_or("rw").split(',').all(|o| matches!(o, "ro" | "rw" | "z" | "Z"));
            if parts.len() < 2 || parts.len() > 3 || parts[0].is_empty() || !parts[1].starts_with('/') || !options {
                errors.push(format!("`{volume}` is not a volume: write /srv/x:/x or /srv/x:/x:ro"));
            }
        }
        for (key, value) in &self.env {
            if key.is_empty() || key.contains(['=', '\n', ' ']) {
                errors.push(format!("`{key}` cannot be the name of a variable"));
            }
            if value.0.contains(['\n', '\0']) {
                errors.push(format!("env {key} has several lines: put it into a file and mount that"));
            }
        }
        for group in &self.groups {
            errors.extend(crate::resource::script::name_errors("groups", group));
        }
        if let Some(memory) = self.memory.as_ref().filter(|memory| bytes(memory).is_none()) {
            errors.push(format!("memory is `{memory}`: write e.g. 512m"));
        }
        if !matches!(self.restart.as_str(), "always" | "unless-stopped" | "on-failure" | "no") {
            errors.push(format!("restart is `{}`: write always, unless-stopped, on-failure or no", self.restart));
        }
        errors
    }

    fn observe(specs: &[&Self]) -> String {
        let names = specs.iter().map(|spec| quote(&spec.name)).collect::<Vec<_>>().join(" ");
        let images = specs.iter().map(|spec| quote(&spec.image)).collect::<std::collections::BTreeSet<_>>();
        let images: String = images.into_iter().map(|image| format!("  poclab_image {image}\n")).collect();
        let groups = specs.iter().flat_map(|spec| spec.groups.iter().map(|group| quote(group))).collect::<std::collections::BTreeSet<_>>();
        let groups: String = groups
            .into_iter()
            .map(|group| format!("  printf 'group %s %s\\n' {group} \"$(getent group {group} | cut -d: -f3)\"\n"))
            .collect();
        // One line per container and per image; what does not exist is an error line.
        format!(
            "if command -v docker >/dev/null 2>&1; then\n  {{ poclab_err=$({{ \
             docker inspect --type container --format 'container {{{{json .}}}}' {names} 3>&-\n  echo \"docker $?\"; }} 2>&1 >&3); }} 3>&1\n  \
             printf '%s\\n' \"$poclab_err\" | sed 's/^/! /'\n  \
             poclab_image() {{ docker image inspect --format \"image $1 {{{{json .}}}}\" \"$1\" 2>/dev/null || :; }}\n{images}{groups}\
             else\n  echo 'docker absent'\nfi"
        )
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Observed, String>> {
        inspect::parse(specs, &reply.text())
    }

    fn diff(&self, observed: &Observed) -> State {
        diff::state(self, observed)
    }

    fn details(&self, observed: &Observed) -> Vec<Detail> {
        let Some(found) = &observed.container else {
            return vec![Detail::Container {
                name: self.name.clone(),
                state: "absent".to_owned(),
                image: String::new(),
                version: None,
                good: false,
            }];
        };
        let run = &found.state;
        let state = match (run.running, run.restarting, run.paused) {
            (_, true, _) => format!("restarting (exit status {})", run.exit_code),
            (true, _, true) => "paused".to_owned(),
            (true, ..) => "running".to_owned(),
            _ => format!("stopped (exit status {})", run.exit_code),
        };
        let version = found.config.labels.as_ref().and_then(|labels| labels.get("org.opencontainers.image.version")).cloned();
        let good = self.diff(observed) == State::InSync;
        vec![Detail::Container { name: self.name.clone(), state, image: found.config.image.clone(), version, good }]
    }

    fn apply(&self, observed: &Observed) -> Vec<Action> {
        run::actions(self, observed)
    }
}
