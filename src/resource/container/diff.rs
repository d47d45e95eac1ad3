//! What differs, field by field. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::inspect::Found;
use super::{Observed, Spec, bytes, publication};
use crate::resource::{Change, State};

/// Desired against observed.
pub fn state(spec: &Spec, observed: &Observed) -> State {
    let Some(found) = &observed.container else {
        return State::Drift(vec![Change::new("does not exist")]);
    };
    let mut changes = configuration(spec, found, observed);
    changes.extend(running(found));
    if changes.is_empty() { State::InSync } else { State::Drift(changes.into_iter().map(Change::new).collect()) }
}

/// Why it is not simply running.
pub fn running(found: &Found) -> Option<String> {
    let state = &found.state;
    if state.restarting {
        return Some(format!("starts again and again (exit status {})", state.exit_code));
    }
    if state.paused {
        return Some("is paused".to_owned());
    }
    let why = if state.error.is_empty() { String::new() } else { format!(": {}", state.error) };
    (!state.running).then(|| format!("is stopped (exit status {}){why}", state.exit_code))
}

/// Differences that need a new container.
pub fn configuration(spec: &Spec, found: &Found, observed: &Observed) -> Vec<String> {
    let image = observed.image.as_ref();
    let mut changes = Vec::new();
    let (config, host) = (&found.config, &found.host_config);
    let mut differs = |what: &str, have: String, want: String| {
        if have != want {
            let say = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
            changes.push(format!("{what} is {}, want {}", say(&have), say(&want)));
        }
    };
    if config.image != spec.image {
        differs("image", config.image.clone(), spec.image.clone());
    } else if let Some(image) = image.filter(|image| image.id != found.image) {
        differs("image", found.image.clone(), format!("{} ({})", image.id, spec.image));
    }
    differs("network", network(&host.network_mode), network(&spec.network));
    let default = image.map(|image| &image.config);
    // Without the image there is nothing to compare a default with.
    if !spec.command.is_empty() {
        differs("command", config.cmd.clone().unwrap_or_default().join(" "), spec.command.join(" "));
    } else if let Some(default) = default.filter(|_| config.image == spec.image) {
        differs("command", config.cmd.clone().unwrap_or_default().join(" "), default.cmd.clone().unwrap_or_default().join(" "));
    }
    if let Some(default) = default.filter(|_| config.image == spec.image) {
        let words = |entry: &Option<Vec<String>>| entry.clone().unwrap_or_default().join(" ");
        differs("entry point", words(&config.entrypoint), words(&default.entrypoint));
    }
    match (&spec.user, default) {
        (Some(user), _) => differs("user", config.user.clone(), user.clone()),
        (None, Some(default)) if config.image == spec.image => differs("user", config.user.clone(), default.user.clone()),
        _ => {}
    }
    differs("restart policy", restart(&host.restart_policy.name), restart(&spec.restart));
    differs("read-only root", host.readonly_rootfs.to_string(), spec.read_only.to_string());
    differs("memory limit", size(host.memory), size(spec.memory.as_deref().and_then(bytes).unwrap_or(0)));
    differs("dropped capabilities", capabilities(host.cap_drop.as_ref()), capabilities(Some(&spec.cap_drop)));
    differs("added capabilities", capabilities(host.cap_add.as_ref()), capabilities(Some(&spec.cap_add)));
    let group = |name: &String| {
        observed.groups.get(name).filter(|number| !number.is_empty()).cloned().unwrap_or_else(|| format!("{name} (no such group)"))
    };
    differs("groups", list(host.group_add.iter().flatten().cloned()), list(spec.groups.iter().map(group)));
    // No spec can ask for these.
    differs("process namespace", host.pid_mode.clone(), String::new());
    differs("devices", list(host.devices.iter().flatten().map(|device| device.path_on_host.clone())), String::new());
    differs("privileged", host.privileged.to_string(), false.to_string());
    differs("volumes", list(host.binds.iter().flatten().map(|bind| volume(bind))), list(spec.binds().iter().map(|bind| volume(bind))));
    differs(
        "tmpfs",
        list(host.tmpfs.iter().flatten().map(|(path, options)| tmpfs(&format!("{path}:{options}")))),
        list(spec.tmpfs.iter().map(|mount| tmpfs(mount))),
    );
    let bound = host.port_bindings.iter().flatten().flat_map(|(container, bindings)| {
        bindings.iter().flatten().map(move |binding| {
            let address = if binding.host_ip == "0.0.0.0" { "" } else { &binding.host_ip };
            published(address, &binding.host_port, container)
        })
    });
    let wanted =
        spec.publish.iter().filter_map(|text| publication(text)).map(|(address, host, container)| published(&address, &host, &container));
    differs("published ports", list(bound), list(wanted));
    let options: BTreeSet<&str> = host.security_opt.iter().flatten().map(|option| option_name(option)).collect();
    for option in spec.security_opt.iter().filter(|option| !options.contains(option_name(option))) {
        changes.push(format!("security option {option} is missing"));
    }
    // Docker adds `label=disable` itself only for privileged containers and those that share the host's PIDs.
    for option in
        host.security_opt.iter().flatten().filter(|have| !spec.security_opt.iter().any(|want| option_name(want) == option_name(have)))
    {
        changes.push(format!("unknown security option {option}"));
    }
    let labels = config.labels.clone().unwrap_or_default();
    for (key, want) in &spec.labels {
        match labels.get(key) {
            Some(have) if have == want => {}
            Some(have) => changes.push(format!("label {key} is {have}, want {want}")),
            None => changes.push(format!("label {key} is missing")),
        }
    }
    let env: BTreeMap<&str, &str> = config.env.iter().flatten().filter_map(|entry| entry.0.split_once('=')).collect();
    for (key, want) in &spec.env {
        // Values may be secrets: only names are shown.
        match env.get(key.as_str()) {
            Some(have) if *have == want.0 => {}
            Some(_) => changes.push(format!("env {key} differs")),
            None => changes.push(format!("env {key} is missing")),
        }
    }
    if let Some(image) = image.filter(|_| config.image == spec.image) {
        let default: BTreeMap<&str, &str> = image.config.env.iter().flatten().filter_map(|entry| entry.0.split_once('=')).collect();
        for (key, have) in env.iter().filter(|(key, _)| !spec.env.contains_key(**key)) {
            match default.get(key) {
                Some(want) if want == have => {}
                Some(_) => changes.push(format!("env {key} is not the image's")),
                // Docker gives a PATH to an image that has none.
                None if *key == "PATH" => {}
                None => changes.push(format!("unknown env {key}")),
            }
        }
    }
    changes
}

/// 20.10 calls the default network `default`.
fn network(mode: &str) -> String {
    if mode == "default" || mode.is_empty() { "bridge".to_owned() } else { mode.to_owned() }
}

fn restart(policy: &str) -> String {
    if policy.is_empty() { "no".to_owned() } else { policy.to_owned() }
}

fn size(bytes: u64) -> String {
    if bytes == 0 { String::new() } else { format!("{bytes} bytes") }
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
}

fn capabilities(names: Option<&Vec<String>>) -> String {
    list(names.into_iter().flatten().map(|name| name.to_ascii_uppercase().trim_start_matches("CAP_").to_owned()))
}

/// `no-new-privileges` and `no-new-privileges:true` are the same.
fn option_name(option: &str) -> &str {
    option.strip_suffix(":true").or(option.strip_suffix("=true")).unwrap_or(option)
}

/// A volume with its options sorted and without the default ones.
fn volume(bind: &str) -> String {
    let mut parts = bind.splitn(3, ':');
    let (source, destination) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let options: BTreeSet<&str> = parts.next().unwrap_or_default().split(',').filter(|o| !o.is_empty() && *o != "rw").collect();
    let options: Vec<&str> = options.into_iter().collect();
    if options.is_empty() { format!("{source}:{destination}") } else { format!("{source}:{destination}:{}", options.join(",")) }
}

fn tmpfs(mount: &str) -> String {
    mount.strip_suffix(':').unwrap_or(mount).to_owned()
}

fn published(address: &str, host: &str, container: &str) -> String {
    if address.is_empty() { format!("{host}:{container}") } else { format!("{address}:{host}:{container}") }
}
