//! No Docker host talks to a registry without TLS.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::run::{Framed, Frames, blind, on_all};
use super::{CheckKind, Outcome, Reach, Verdict};

/// No Docker host is set up to trust a registry without a verified certificate: not the running daemon (`docker info`), not
/// daemon.json, not the unit's files.
///
/// Docker itself always trusts 127.0.0.0/8 (and ::1/128); that is accepted. Control: the host's own answers with such a registry put
/// into them must fail.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Names of the hosts with Docker.
    pub hosts: Vec<String>,
}

fn script() -> Framed {
    Framed::new()
        .ask("info", "timeout 60 docker info --format '{{json .RegistryConfig}}'")
        .ask("daemon", "if [ -e /etc/docker/daemon.json ]; then cat /etc/docker/daemon.json; else echo '{}'; fi")
        // Where a distribution or a drop-in may add options to the daemon's command line. 1 is "found nothing".
        .ask("units", "set --\nfor f in /etc/sysconfig/docker* /etc/default/docker* /etc/systemd/system/docker.service /etc/systemd/system/docker.service.d/*; do\n  [ ! -f \"$f\" ] || set -- \"$@\" \"$f\"\ndone\n[ $# -eq 0 ] || grep -HE '^[^#]*insecure.registr' \"$@\"\n[ $? -le 1 ]")
}

/// Everything that trusts too much.
fn insecure(info: &str, daemon: &str, units: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let info: Value = serde_json::from_str(info).map_err(|e| format!("unreadable answer of docker info: {e}"))?;
    let networks = info.get("InsecureRegistryCIDRs").and_then(Value::as_array).ok_or("docker info says nothing about registries")?;
    let own = |cidr: &str| cidr == "127.0.0.0/8" || cidr == "::1/128";
    for cidr in networks.iter().map(|cidr| cidr.as_str().unwrap_or("of an unknown form")).filter(|cidr| !own(cidr)) {
        found.push(format!("network {cidr} (running daemon)"));
    }
    let indexes = info.get("IndexConfigs").and_then(Value::as_object).ok_or("docker info says nothing about registries")?;
    for (name, index) in indexes {
        if index.get("Secure").and_then(Value::as_bool) != Some(true) {
            found.push(format!("{name} (running daemon)"));
        }
    }
    let daemon: Value = serde_json::from_str(daemon).map_err(|e| format!("/etc/docker/daemon.json is unreadable: {e}"))?;
    match daemon.get("insecure-registries") {
        None | Some(Value::Null) => {}
        Some(Value::Array(list)) => found.extend(list.iter().map(|entry| format!("{} (daemon.json)", entry.as_str().unwrap_or("?")))),
        Some(other) => found.push(format!("{other} (daemon.json)")),
    }
    found.extend(units.lines().map(|line| format!("`{}`", line.trim())));
    Ok(found)
}

fn texts(frames: &Frames) -> Result<[String; 3], String> {
    Ok([frames.good("info")?, frames.good("daemon")?, frames.good("units")?])
}

fn control(host: &str, [info, daemon, units]: &[String; 3]) -> Verdict {
    let name = "registry.example:5000";
    let mut running: Value = serde_json::from_str(info).unwrap_or(Value::Null);
    if let Some(indexes) = running.get_mut("IndexConfigs").and_then(Value::as_object_mut) {
        indexes.insert(name.into(), serde_json::json!({"Name": name, "Secure": false}));
    }
    let mut file: Value = serde_json::from_str(daemon).unwrap_or(Value::Null);
    if let Some(file) = file.as_object_mut() {
        file.insert("insecure-registries".into(), serde_json::json!([name]));
    }
    for (what, info, daemon) in [("docker info", &running.to_string(), daemon), ("daemon.json", info, &file.to_string())] {
        match insecure(info, daemon, units) {
            Ok(found) if found.iter().any(|entry| entry.contains(name)) => {}
            other => {
                return Verdict::Failed(format!("{host}'s {what} with {name} in it was judged {other:?}"));
            }
        }
    }
    Verdict::Passed(format!("{host}'s docker info and daemon.json with {name} in them fail"))
}

impl CheckKind for Spec {
    const NAME: &'static str = "no_insecure_registry";

    fn id(&self) -> String {
        String::new()
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        progress(&format!("asking Docker on {}", self.hosts.join(", ")));
        let answers =
            on_all(&self.hosts, |host| script().run(reach, host, Vec::new(), Duration::from_secs(120)).and_then(|frames| texts(&frames)));
        let mut out = Vec::new();
        for (host, answer) in self.hosts.iter().zip(&answers) {
            let verdict = match answer.as_ref().map_err(String::clone).and_then(|[info, daemon, units]| insecure(info, daemon, units)) {
                Err(why) => blind(host, &why),
                Ok(found) if found.is_empty() => Verdict::Passed("only Docker's own loopback exception".into()),
                Ok(found) => Verdict::Failed(format!(
                    "trusted without a certificate: {}; remove it and restart docker (`poclab bootstrap --host {host} --role docker`)",
                    found.join(", ")
                )),
            };
            out.push(Outcome::new(format!("{host} trusts no registry without a certificate"), verdict));
        }
        // On answers that are good in themselves, or the control would find what was there before.
        let good = self.hosts.iter().zip(&answers).zip(&out).find_map(|((host, answer), outcome)| match (answer, &outcome.verdict) {
            (Ok(texts), Verdict::Passed(_)) => Some((host, texts)),
            _ => None,
        });
        if let Some((host, texts)) = good {
            out.push(Outcome::control("a registry without a certificate is noticed", control(host, texts)));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Scripted, framed, sh, shellcheck};

    /// Recorded from Docker 20.10.24; 26.1 prints the same keys (Engine API 1.45).
    const INFO: &str = r#"{"AllowNondistributableArtifactsCIDRs":[],"AllowNondistributableArtifactsHostnames":[],"InsecureRegistryCIDRs":["127.0.0.0/8"],"IndexConfigs":{"docker.io":{"Name":"docker.io","Mirrors":[],"Secure":true,"Official":true}},"Mirrors":[]}"#;

    #[test]
    fn a_good_host_passes_with_its_control() {
        let spec: Spec = serde_json::from_value(serde_json::json!({"hosts": ["app"]})).unwrap();
        let out = spec.run(
            &Scripted::new(|_, script, _| {
                Ok(framed(script, &[("info", INFO, 0), ("daemon", "{\"live-restore\": true}", 0), ("units", "", 0)]))
            }),
            &mut |_| {},
        );
        assert!(out.len() == 2 && out.iter().all(|o| matches!(o.verdict, Verdict::Passed(_))) && out[1].control, "{out:?}");
    }

    #[test]
    fn what_trusts_too_much_is_found_wherever_it_is() {
        let found = |info: &str, daemon: &str, units: &str| insecure(info, daemon, units).unwrap();
        assert_eq!(
            found(&INFO.replace("\"127.0.0.0/8\"", "\"127.0.0.0/8\",\"10.0.0.0/8\""), "{}", ""),
            ["network 10.0.0.0/8 (running daemon)"]
        );
        let hub = r#""docker.io":{"#;
        let info = INFO.replace(hub, &format!(r#""r:5000":{{"Name":"r:5000","Secure":false}},{hub}"#));
        assert_eq!(found(&info, "{}", ""), ["r:5000 (running daemon)"]);
        let daemon = serde_json::json!({ "insecure-registries" : ["r:5000"] }).to_string();
        assert_eq!(found(INFO, &daemon, ""), ["r:5000 (daemon.json)"]);
        assert_eq!(found(INFO, "{}", "/etc/sysconfig/docker:OPTIONS=x").len(), 1);
    }

    #[test]
    fn what_cannot_be_read_fails() {
        assert!(insecure("", "{}", "").is_err());
        assert!(insecure("{}", "{}", "").is_err());
        assert!(insecure(INFO, "{", "").is_err());
        let spec: Spec = serde_json::from_value(serde_json::json!({"hosts": ["app"]})).unwrap();
        let out = spec.run(
            &Scripted::new(|_, script, _| Ok(framed(script, &[("info", "", 127), ("daemon", "{}", 0), ("units", "", 0)]))),
            &mut |_| {},
        );
        assert!(out.len() == 1 && matches!(out[0].verdict, Verdict::Failed(_)));
    }

    #[test]
    fn the_units_fragment_runs_in_real_shells() {
        let script = script().text();
        shellcheck(&script);
        for shell in [["sh", "-c"], ["bash", "-c"]] {
            let frames = super::super::run::Framed::new().ask("x", "true").text();
            assert!(!frames.is_empty());
            assert_eq!(sh(&shell, &script, b"").status, 0);
        }
    }
}
