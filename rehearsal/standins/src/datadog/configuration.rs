//! datadog.yaml, as far as the roles use it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// Settings that are known here, and what is known of those that are mappings. Others are refused, where the real agent only warns: a
/// typo must not pass in the rehearsal.
const KNOWN: &[(&str, &[&str])] = &[
    ("api_key", &[]),
    ("site", &[]),
    ("dd_url", &[]),
    ("hostname", &[]),
    ("tags", &[]),
    ("expected_tags_duration", &[]),
    ("container_labels_as_tags", &[]),
    ("proxy", &["http", "https", "no_proxy"]),
    ("expvar_port", &[]),
    ("cmd_port", &[]),
    ("use_dogstatsd", &[]),
    ("apm_config", &["enabled"]),
    ("process_config", &["process_discovery", "process_collection", "container_collection", "expvar_port", "cmd_port"]),
    ("logs_enabled", &[]),
    ("logs_config", &["container_collect_all"]),
];

/// datadog.yaml.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// Where metrics are sent.
    pub url: String,
    /// The API key.
    pub key: String,
    /// The name that it reports.
    pub hostname: String,
    /// Tags of everything that it sends.
    pub tags: Vec<String>,
    /// Labels of containers (small letters) that become tags, with the names of these.
    pub labels: BTreeMap<String, String>,
    /// What it sends through.
    pub proxy: Option<String>,
    /// The port that `health` and `status` ask.
    pub cmd_port: u16,
    /// The port for its own numbers.
    pub expvar_port: u16,
    /// The same two of the process agent, if anything starts it.
    pub process_ports: Option<(u16, u16)>,
}

impl Configuration {
    /// Reads the file; an error is what the agent says before it ends.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text =
            std::fs::read_to_string(path).map_err(|why| format!("Error: unable to load Datadog config file: {}: {why}", path.display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_yaml::from_str(text).map_err(|why| format!("Error: unable to load Datadog config file: {why}"))?;
        known(&value)?;
        let word = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        let key = word("api_key");
        if key.is_empty() {
            return Err("Error: no API key configured, exiting".to_owned());
        }
        let url = match (word("dd_url"), word("site")) {
            (url, _) if !url.is_empty() => url,
            (_, site) if !site.is_empty() => format!("https://app.{site}"),
            _ => "https://app.datadoghq.com".to_owned(),
        };
        let hostname = match word("hostname") {
            name if name.is_empty() => std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
            name => name,
        };
        let labels = value["container_labels_as_tags"].as_object().into_iter().flatten();
        let proxy = if url.starts_with("https:") { "https" } else { "http" };
        // Discovery and containers are on unless told otherwise, and either of them starts the process agent.
        let process = &value["process_config"];
        let on = |part: &str, default: bool| process[part]["enabled"].as_bool().unwrap_or(default);
        let processes = on("process_discovery", true) || on("container_collection", true) || on("process_collection", false);
        let process_ports = (port(process, "cmd_port", 6162)?, port(process, "expvar_port", 6062)?);
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            key,
            hostname,
            tags: texts(&value["tags"]),
            labels: labels.filter_map(|(label, tag)| Some((label.to_lowercase(), tag.as_str()?.to_owned()))).collect(),
            proxy: value["proxy"][proxy].as_str().filter(|proxy| !proxy.is_empty()).map(str::to_owned),
            cmd_port: port(&value, "cmd_port", 5001)?,
            expvar_port: port(&value, "expvar_port", 5000)?,
            process_ports: processes.then_some(process_ports),
        })
    }
}

/// Refuses what is not known.
fn known(value: &Value) -> Result<(), String> {
    for (name, inner) in value.as_object().into_iter().flatten() {
        let unknown = |name: &str| format!("Error: datadog.yaml: the setting {name} is not known to the rehearsal's stand-in");
        let (_, parts) = KNOWN.iter().find(|(known, _)| known == name).ok_or_else(|| unknown(name))?;
        let inside = inner.as_object().filter(|_| !parts.is_empty()).into_iter().flatten();
        if let Some((part, _)) = inside.into_iter().find(|(part, _)| !parts.contains(&part.as_str())) {
            return Err(unknown(&format!("{name}.{part}")));
        }
    }
    Ok(())
}

fn port(value: &Value, field: &str, default: u16) -> Result<u16, String> {
    match &value[field] {
        Value::Null => Ok(default),
        other => other.as_u64().and_then(|port| port.try_into().ok()).ok_or_else(|| format!("Error: {field} is not a port: {other}")),
    }
}

/// A list of texts in a YAML document.
fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const OFF: &str = "process_config: {process_discovery: {enabled: false}, container_collection: {enabled: false}}\n";

    #[test]
    fn the_configuration_is_the_agents() {
        let text = "api_key: k\nsite: datadoghq.eu\nhostname: a.lab\ntags: [lab:x]\nexpvar_port: 6064\nproxy: {https: 'http://p:3128'}\n\
                    container_labels_as_tags: {com.docker.Compose.project: compose_project}\n";
        let read = Configuration::parse(&format!("{text}{OFF}")).unwrap();
        let want = Configuration {
            url: "https://app.datadoghq.eu".into(),
            key: "k".into(),
            hostname: "a.lab".into(),
            tags: vec!["lab:x".into()],
            labels: [("com.docker.compose.project".to_owned(), "compose_project".to_owned())].into(),
            proxy: Some("http://p:3128".into()),
            cmd_port: 5001,
            expvar_port: 6064,
            process_ports: None,
        };
        assert_eq!(read, want);
        assert_eq!(Configuration::parse("api_key: k\nsite: a\ndd_url: https://x:8443/\n").unwrap().url, "https://x:8443");
        assert_eq!(Configuration::parse("site: a\n").unwrap_err(), "Error: no API key configured, exiting");
        assert!(Configuration::parse("api_key: k\ncmd_port: many\n").is_err());
    }

    #[test]
    fn the_second_process_is_there_unless_all_of_it_is_off() {
        let ports = |text: &str| Configuration::parse(&format!("api_key: k\n{text}")).unwrap().process_ports;
        assert_eq!(ports(""), Some((6162, 6062)));
        assert_eq!(ports("process_config: {container_collection: {enabled: false}}\n"), Some((6162, 6062)));
        assert_eq!(ports(OFF), None);
        assert_eq!(ports("process_config: {expvar_port: 1, cmd_port: 2}\n"), Some((2, 1)));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (text, name) in [("api_keys: k\n", "api_keys"), ("process_config: {discovery: true}\n", "process_config.discovery")] {
            let why = Configuration::parse(&format!("api_key: k\n{text}")).unwrap_err();
            assert!(why.contains(&format!("the setting {name} is not known")), "{why}");
        }
    }
}
