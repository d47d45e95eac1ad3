//! systemd units: running, enabled.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Deserialize;

use super::yum_repo::yes;
use super::{Action, Change, Detail, Kind, Reply, State};
use crate::base::quote;

/// A systemd unit.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Unit; without a suffix it is a service, e.g. `chronyd`.
    pub name: String,
    /// Whether it is to be running now. Default: true.
    #[serde(default = "yes")]
    pub running: bool,
    /// Whether it is to be started at boot. Default: true.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// What `systemctl show` says about a unit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// `loaded`, `not-found`, `masked`, `error` …
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating` …
    pub active: String,
    /// e.g. `running`, `auto-restart`
    pub sub: String,
    /// `enabled`, `disabled`, `static` …; empty when there is no unit file.
    pub file: String,
    /// Its unit file changed on disk since systemd read it.
    pub stale: bool,
}

impl Observed {
    fn found(&self) -> bool {
        self.load != "not-found"
    }

    fn running(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading")
    }

    fn stopped(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed")
    }

    /// Units that cannot be enabled (static …) are started by others: nothing is missing.
    fn enabled(&self) -> bool {
        matches!(self.file.as_str(), "enabled" | "static" | "indirect" | "generated" | "alias")
    }
}

impl Kind for Spec {
    const NAME: &'static str = "service";
    type Observed = Observed;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn check(&self) -> Vec<String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.@:\\".contains(c);
        if self.name.is_empty() || self.name.starts_with('-') || !self.name.chars().all(plain) {
            return vec![format!("name must be the name of one unit, e.g. chronyd, not {:?}", self.name)];
        }
        if protected(&self.name) && !(self.running && self.enabled) {
            return vec![format!("{} protects the host and must stay running and enabled", self.name)];
        }
        Vec::new()
    }

    fn observe(specs: &[&Self]) -> String {
        let units: Vec<String> = specs.iter().map(|spec| quote(&spec.name)).collect();
        // One block per unit, in order, with an empty line between (219 as well as newer).
        format!(
            concat!(
                "if command -v systemctl >/dev/null; then\n",
                "  systemctl show -p Id -p LoadState -p ActiveState -p SubState -p UnitFileState -p NeedDaemonReload -- {} 2>&1\n",
                "else\n  echo 'no systemctl'\nfi\n",
            ),
            units.join(" ")
        )
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let text = reply.text();
        if text.trim() == "no systemctl" {
            return specs
                .iter()
                .map(|_| Ok(Observed { load: "not-found".to_owned(), active: "inactive".to_owned(), ..Observed::default() }))
                .collect();
        }
        let blocks: Vec<&str> = text.split("\n\n").map(str::trim).filter(|block| !block.is_empty()).collect();
        if blocks.len() != specs.len() {
            let why = format!(
                "systemctl described {} units instead of {}: {}",
                blocks.len(),
                specs.len(),
                text.lines().last().unwrap_or_default()
            );
            return specs.iter().map(|_| Err(why.clone())).collect();
        }
        blocks.into_iter().map(block).collect()
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        let mut changes = Vec::new();
        let mut add = |what: String| changes.push(Change::new(what));
        if !observed.found() {
            let wanted: Vec<&str> = [(self.enabled, "enabled"), (self.running, "running")]
                .into_iter()
                .filter(|(want, _)| *want)
                .map(|(_, word)| word)
                .collect();
            if !wanted.is_empty() {
                add(format!("there is no such unit yet, want it {}", wanted.join(" and ")));
            }
        } else {
            if observed.load == "masked" && (self.running || self.enabled) {
                add("is masked".to_owned());
            }
            if observed.stale {
                add("its unit file changed on disk since systemd read it".to_owned());
            }
            // (A masked one is not started at boot for that reason alone.)
            if self.enabled && !observed.enabled() && observed.load != "masked" {
                add(format!(
                    "is {} at boot, want it enabled",
                    if observed.file.is_empty() { "not started" } else { observed.file.as_str() }
                ));
            }
            if !self.enabled && matches!(observed.file.as_str(), "enabled" | "enabled-runtime") {
                add("is enabled at boot, want it disabled".to_owned());
            }
            if self.running && !observed.running() {
                add(format!("is {} ({}), want it running", observed.active, observed.sub));
            }
            if !self.running && !observed.stopped() {
                add(format!("is {} ({}), want it stopped", observed.active, observed.sub));
            }
        }
        if changes.is_empty() { State::InSync } else { State::Drift(changes) }
    }

    fn details(&self, observed: &Self::Observed) -> Vec<Detail> {
        let state = if observed.found() {
            let load = if observed.load == "loaded" { "" } else { observed.load.as_str() };
            let more = [observed.sub.as_str(), observed.file.as_str(), load]
                .into_iter()
                .filter(|word| !word.is_empty() && *word != observed.active);
            format!("{} ({})", observed.active, more.collect::<Vec<_>>().join(", "))
        } else {
            "no such unit".to_owned()
        };
        vec![Detail::Unit { name: self.name.clone(), state, good: self.diff(observed) == State::InSync }]
    }

    fn apply(&self, observed: &Self::Observed) -> Vec<Action> {
        let unit = quote(&self.name);
        let start = self.running && !observed.running();
        let mut words = Vec::new();
        let mut s = String::from("set -e\n");
        if observed.stale || !observed.found() {
            s.push_str("systemctl daemon-reload\n");
        }
        if observed.load == "masked" {
            let _ = writeln!(s, "systemctl unmask {unit}");
            words.push("unmask");
        }
        if self.enabled && !observed.enabled() {
            let _ = writeln!(s, "systemctl enable {unit}");
            words.push("enable");
        }
        if !self.enabled && observed.file.starts_with("enabled") {
            let _ = writeln!(s, "systemctl disable {unit}");
            words.push("disable");
        }
        if start {
            // A unit that failed too often refuses to start until its failures are forgotten.
            if observed.active == "failed" || observed.active == "activating" {
                let _ = writeln!(s, "systemctl reset-failed {unit}");
            }
            let _ = writeln!(
                s,
                "systemctl start {unit} || {{ e=$?; echo \"the last lines of its log:\"; journalctl -u {unit} -n 15 --no-pager 2>&1 || :; exit \"$e\"; }}"
            );
            words.push("start");
        }
        if !self.running && !observed.stopped() {
            let _ = writeln!(s, "systemctl stop {unit}");
            words.push("stop");
        }
        if words.is_empty() {
            words.push("reload the unit file of");
        }
        vec![Action {
            label: format!("{} {}", words.join(" and "), self.name),
            script: s,
            starts: start.then(|| self.name.clone()),
            ..Action::default()
        }]
    }
}

/// What no role may switch off.
fn protected(unit: &str) -> bool {
    matches!(unit.trim_end_matches(".service"), "firewalld" | "auditd")
}

fn block(text: &str) -> Result<Observed, String> {
    let fields: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let field = |name: &str| fields.get(name).map(|value| (*value).to_owned());
    // A unit that is not there has no UnitFileState line in some versions.
    match (field("LoadState"), field("ActiveState"), field("SubState")) {
        (Some(load), Some(active), Some(sub)) => Ok(Observed {
            load,
            active,
            sub,
            file: field("UnitFileState").unwrap_or_default(),
            stale: match field("NeedDaemonReload").as_deref() {
                Some("yes") => true,
                Some("no") => false,
                other => return Err(format!("systemctl said of NeedDaemonReload {:?}", other.unwrap_or("nothing"))),
            },
        }),
        _ => Err(format!("systemctl said {:?}", text.lines().last().unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: serde_json::Value) -> Spec {
        serde_json::from_value(json).unwrap()
    }

    /// Written from documentation (systemd 219); 252 was seen to print the same form.
    const SHOW: &str = "Id=chronyd.service\nLoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nNeedDaemonReload=no\n\n\
        Id=docker.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\nNeedDaemonReload=no\n\n\
        Id=firewalld.service\nLoadState=masked\nActiveState=inactive\nSubState=dead\nUnitFileState=masked\nNeedDaemonReload=no\n\n\
        Id=registry.service\nLoadState=loaded\nActiveState=failed\nSubState=failed\nUnitFileState=disabled\nNeedDaemonReload=yes\n\n\
        Id=dbus.service\nLoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=static\nNeedDaemonReload=no\n";

    fn all() -> Vec<(Spec, Observed)> {
        let specs: Vec<Spec> =
            ["chronyd", "docker", "firewalld", "registry", "dbus"].iter().map(|name| spec(serde_json::json!({"name": name}))).collect();
        let reply = Reply { stdout: SHOW.as_bytes().to_vec(), status: 0 };
        let observed: Vec<_> = Spec::parse(&specs.iter().collect::<Vec<_>>(), &reply).into_iter().map(Result::unwrap).collect();
        specs.into_iter().zip(observed).collect()
    }

    #[test]
    fn differences_are_named() {
        let states: Vec<String> = all()
            .iter()
            .map(|(spec, observed)| match spec.diff(observed) {
                State::Drift(changes) => changes.into_iter().map(|change| change.what).collect::<Vec<_>>().join("; "),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(
            states,
            [
                "InSync",
                "there is no such unit yet, want it enabled and running",
                "is masked; is inactive (dead), want it running",
                "its unit file changed on disk since systemd read it; is disabled at boot, want it enabled; is failed (failed), want it running",
                "InSync",
            ]
        );
    }

    #[test]
    fn only_what_differs_is_done() {
        let (registry, observed) = all().remove(3);
        let action = registry.apply(&observed).remove(0);
        assert_eq!(action.starts.as_deref(), Some("registry"));
        assert_eq!(action.label, "enable and start registry");
        assert!(action.script.starts_with(
            "set -e\nsystemctl daemon-reload\nsystemctl enable registry\nsystemctl reset-failed registry\nsystemctl start registry || {"
        ));
        let stale = Observed { stale: true, ..all().remove(0).1 };
        let action = all().remove(0).0.apply(&stale).remove(0);
        assert_eq!((action.script.as_str(), action.starts), ("set -e\nsystemctl daemon-reload\n", None));
    }

    #[test]
    fn a_silent_or_broken_systemctl_is_not_good() {
        let chronyd = spec(serde_json::json!({"name": "chronyd"}));
        for text in ["", "Failed to get D-Bus connection: Operation not permitted\n"] {
            let reply = Reply { stdout: text.as_bytes().to_vec(), status: 0 };
            assert!(Spec::parse(&[&chronyd], &reply)[0].is_err(), "{text:?}");
        }
    }

    #[test]
    fn protections_cannot_be_switched_off() {
        assert!(!spec(serde_json::json!({"name": "firewalld.service", "running": false})).check().is_empty());
        assert!(!spec(serde_json::json!({"name": "a*"})).check().is_empty());
    }
}
