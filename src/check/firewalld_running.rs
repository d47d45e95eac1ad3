//! firewalld runs, starts at boot and applies its policy.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::run::{Framed, Frames, blind, on_all};
use super::{CheckKind, Outcome, Reach, Verdict};

/// firewalld is running and enabled on every host, its default zone refuses what is not allowed, and panic mode is off.
///
/// Control: the daemon refuses to speak about a zone that does not exist, so its other answers are answers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Names of the hosts.
    pub hosts: Vec<String>,
}

fn script() -> Framed {
    Framed::new()
        .ask("active", "systemctl is-active firewalld 2>&1")
        .ask("enabled", "systemctl is-enabled firewalld 2>&1")
        .ask("panic", "timeout 60 firewall-cmd --query-panic 2>&1")
        .ask("zones", "timeout 60 firewall-cmd --get-active-zones 2>&1")
        .ask("default", "timeout 60 firewall-cmd --list-all 2>&1")
        .ask("nonsense", "timeout 60 firewall-cmd --zone=poclab-none --list-all 2>&1")
}

/// What must hold on one host; the evidence.
fn judge(frames: &Frames) -> Result<String, String> {
    let word = |id: &str| frames.get(id).map(|frame| (frame.status, frame.text().trim().to_owned()));
    for (id, wanted, what) in [("active", "active", "the service"), ("enabled", "enabled", "the start at boot")] {
        let (status, said) = word(id)?;
        if status != 0 || said != wanted {
            return Err(format!("{what} is `{said}`, not `{wanted}`"));
        }
    }
    // 1 is "no"; 0 would be "yes, panic mode".
    match word("panic")? {
        (1, said) if said == "no" => {}
        (0, _) => return Err("panic mode is on: everything is cut off (`firewall-cmd --panic-off` on its console)".into()),
        (status, said) => {
            return Err(format!("unreadable answer about panic mode ({status}): {said}"));
        }
    }
    // Every firewall-cmd costs a third of a second of Python: the listing of the default zone names it as well.
    let list = frames.good("default")?;
    let mut zone = "";
    let mut target = None;
    for line in list.lines() {
        match line.trim().strip_prefix("target:") {
            Some(rest) => {
                target = Some(rest.trim());
                break;
            }
            // Newer versions print advice before the zone's own line.
            None if !line.starts_with(' ') => zone = line.split_whitespace().next().unwrap_or(zone),
            None => {}
        }
    }
    match target {
        Some("default" | "%%REJECT%%" | "DROP" | "REJECT") => {}
        Some(other) => {
            return Err(format!("the default zone {zone} has the target {other}: it lets everything in"));
        }
        None => {
            return Err(format!("the default zone {zone} says nothing about its target"));
        }
    }
    // An interface in `trusted` goes around every rule.
    let zones = frames.good("zones")?;
    let mut current = "";
    for line in zones.lines() {
        match line.trim().split_once(':') {
            None => current = line.split_whitespace().next().unwrap_or_default(),
            Some(("interfaces", interfaces)) if current == "trusted" => {
                return Err(format!("the interfaces{interfaces} are in the zone trusted, which lets everything in"));
            }
            Some(_) => {}
        }
    }
    Ok(format!("zone {zone}, target {}", target.unwrap_or_default()))
}

fn control(frames: &Frames) -> Result<(), String> {
    let frame = frames.get("nonsense")?;
    // INVALID_ZONE of firewalld's errors.py, the same from 0.5.3 to 1.3.
    match (frame.status, frame.text().contains("INVALID_ZONE")) {
        (status, true) if status != 0 => Ok(()),
        (status, _) => {
            Err(format!("asked about a zone that does not exist, it answered ({status}): {}", super::run::last_line(&frame.text())))
        }
    }
}

impl CheckKind for Spec {
    const NAME: &'static str = "firewalld_running";

    fn id(&self) -> String {
        String::new()
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        progress(&format!("asking firewalld on {}", self.hosts.join(", ")));
        let answers = on_all(&self.hosts, |host| script().run(reach, host, Vec::new(), Duration::from_secs(180)));
        let mut out = Vec::new();
        let mut refused = Vec::new();
        for (host, frames) in self.hosts.iter().zip(answers) {
            let title = format!("firewalld protects {host}");
            let frames = match frames {
                Ok(frames) => frames,
                Err(why) => {
                    out.push(Outcome::new(title, blind(host, &why)));
                    continue;
                }
            };
            let verdict = match judge(&frames) {
                Ok(text) => Verdict::Passed(text),
                Err(why) => Verdict::Failed(format!("{why}; repair with `poclab bootstrap --host {host} --role firewall`")),
            };
            out.push(Outcome::new(title, verdict));
            match control(&frames) {
                Ok(()) => refused.push(host.as_str()),
                Err(why) => out.push(Outcome::control(format!("firewalld on {host} tells sense from nonsense"), Verdict::Failed(why))),
            }
        }
        if !refused.is_empty() {
            out.push(Outcome::control(
                "firewalld tells sense from nonsense",
                Verdict::Passed(format!("an unknown zone was refused on {}", refused.join(", "))),
            ));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Scripted, framed, shellcheck};

    /// From the recorded 0.5.3 daemon, and (panic, unknown zone) its source.
    const GOOD: &[(&str, &str, i32)] = &[
        ("active", "active\n", 0),
        ("enabled", "enabled\n", 0),
        ("panic", "no\n", 1),
        ("zones", "public\n  interfaces: eth9\n", 0),
        ("default", "public (active)\n  target: default\n  icmp-block-inversion: no\n  interfaces: eth9\n", 0),
        ("nonsense", "Error: INVALID_ZONE: poclab-none\n", 112),
    ];

    fn with(id: &'static str, text: &'static str, status: i32) -> Vec<Outcome> {
        let frames: Vec<_> = GOOD.iter().map(|frame| if frame.0 == id { (id, text, status) } else { *frame }).collect();
        let spec: Spec = serde_json::from_value(serde_json::json!({"hosts": ["app"]})).unwrap();
        spec.run(&Scripted::new(move |_, script, _| Ok(framed(script, &frames))), &mut |_| {})
    }

    #[test]
    fn a_protected_host_passes() {
        let out = with("", "", 0);
        assert_eq!(out[0].verdict, Verdict::Passed("zone public, target default".into()));
        assert!(out[1].control && matches!(out[1].verdict, Verdict::Passed(_)));
    }

    #[test]
    fn everything_else_fails() {
        for (id, text, status) in [
            ("active", "inactive\n", 3),
            ("enabled", "disabled\n", 1),
            ("panic", "yes\n", 0),
            ("panic", "FirewallD is not running\n", 252),
            ("default", "public\n  target: ACCEPT\n", 0),
            ("default", "", 0),
            ("default", "FirewallD is not running\n", 252),
            ("zones", "trusted\n  interfaces: eth0\n", 0),
        ] {
            assert!(matches!(with(id, text, status)[0].verdict, Verdict::Failed(_)), "{id} {text}");
        }
        let yes_man = with("nonsense", "poclab-none\n  target: default\n", 0);
        assert!(yes_man[1].control && matches!(yes_man[1].verdict, Verdict::Failed(_)));
    }

    #[test]
    fn the_script_is_clean_and_no_answer_fails() {
        shellcheck(&script().text());
        let spec: Spec = serde_json::from_value(serde_json::json!({"hosts": ["app"]})).unwrap();
        let out = spec.run(&Scripted::new(|_, _, _| Err("away".into())), &mut |_| {});
        assert!(out.len() == 1 && matches!(out[0].verdict, Verdict::Failed(_)));
    }
}
