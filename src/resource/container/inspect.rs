//! `docker inspect`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Spec;
use crate::resource::Content;

/// What a host has under a container's name.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The container; `None` when there is none.
    pub container: Option<Box<Found>>,
    /// The image that its name means now; `None` when the host does not have it.
    pub image: Option<Image>,
    /// Numbers of the host's groups by their names; empty for one that the host does not have.
    pub groups: BTreeMap<String, String>,
}

/// The parts of a container that are compared.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "names are Docker's")]
pub struct Found {
    pub name: String,
    /// Id of the image that it was made from.
    pub image: String,
    pub restart_count: u64,
    pub state: RunState,
    pub config: Config,
    pub host_config: HostConfig,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "names are Docker's")]
pub struct RunState {
    pub running: bool,
    #[serde(default)]
    pub paused: bool,
    #[serde(default)]
    pub restarting: bool,
    #[serde(default)]
    pub exit_code: i64,
    #[serde(default)]
    pub error: String,
}

/// Configuration of a container or of an image.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "names are Docker's")]
pub struct Config {
    pub image: String,
    pub user: String,
    /// `KEY=value`; may hold secrets.
    pub env: Option<Vec<Content>>,
    pub cmd: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    pub labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "names are Docker's")]
pub struct HostConfig {
    pub binds: Option<Vec<String>>,
    pub network_mode: String,
    pub pid_mode: String,
    pub devices: Option<Vec<Device>>,
    pub port_bindings: Option<BTreeMap<String, Option<Vec<PortBinding>>>>,
    pub restart_policy: RestartPolicy,
    pub cap_add: Option<Vec<String>>,
    pub cap_drop: Option<Vec<String>>,
    pub group_add: Option<Vec<String>>,
    pub privileged: bool,
    pub readonly_rootfs: bool,
    pub security_opt: Option<Vec<String>>,
    pub tmpfs: Option<BTreeMap<String, String>>,
    pub memory: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "names are Docker's")]
pub struct PortBinding {
    pub host_ip: String,
    pub host_port: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "names are Docker's")]
pub struct Device {
    pub path_on_host: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "names are Docker's")]
pub struct RestartPolicy {
    pub name: String,
}

/// The parts of an image that are compared.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Image {
    /// `sha256:…`
    pub id: String,
    /// What containers of it get unless told otherwise.
    #[serde(default)]
    pub config: Config,
}

/// Reads the observation's output.
pub fn parse(specs: &[&Spec], text: &str) -> Vec<Result<Observed, String>> {
    let all = |result: Result<Observed, String>| specs.iter().map(|_| result.clone()).collect();
    if text.lines().any(|line| line == "docker absent") {
        return all(Ok(Observed::default()));
    }
    // `Error: No such container: x` (20.10), `Error response from daemon: No such container: x` (26.1), `No such object`
    let missing = |line: &str| line.contains("No such container") || line.contains("No such object");
    if let Some(error) = text.lines().filter_map(|line| line.strip_prefix("! ")).find(|line| !line.trim().is_empty() && !missing(line)) {
        return all(Err(format!("docker inspect: {error}")));
    }
    if !text.lines().any(|line| line == "docker 0" || line == "docker 1") {
        return all(Err("docker inspect did not end well".to_owned()));
    }
    let mut containers: Vec<Found> = Vec::new();
    let mut images: BTreeMap<&str, Image> = BTreeMap::new();
    for line in text.lines() {
        if let Some(json) = line.strip_prefix("container ") {
            match serde_json::from_str(json) {
                Ok(found) => containers.push(found),
                // The position only: the text may hold secrets.
                Err(error) => return all(Err(format!("docker inspect printed what cannot be read (column {})", error.column()))),
            }
        } else if let Some((name, json)) = line.strip_prefix("image ").and_then(|rest| rest.split_once(' ')) {
            match serde_json::from_str(json) {
                Ok(image) => drop(images.insert(name, image)),
                Err(error) => return all(Err(format!("docker image inspect printed what cannot be read (column {})", error.column()))),
            }
        }
    }
    let groups: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("group ")?.split_once(' '))
        .map(|(name, number)| (name.to_owned(), number.to_owned()))
        .collect();
    specs
        .iter()
        .map(|spec| {
            if let Some(group) = spec.groups.iter().find(|group| !groups.contains_key(*group)) {
                return Err(format!("nothing was said about the group {group}"));
            }
            let container = containers.iter().find(|found| found.name.trim_start_matches('/') == spec.name);
            Ok(Observed {
                container: container.cloned().map(Box::new),
                image: images.get(spec.image.as_str()).cloned(),
                groups: groups.clone(),
            })
        })
        .collect()
}
