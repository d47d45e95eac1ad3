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

/// Asks the daemon itself, like firewall-cmd does: dbus-send takes 10 ms, firewall-cmd a third of a second of Python each time.
const ASK: &str = "fw() {
  method=$1; shift
  dbus-send --system --print-reply=literal --reply-timeout=60000 --dest=org.fedoraproject.FirewallD1 \\
    /org/fedoraproject/FirewallD1 \"org.fedoraproject.FirewallD1$method\" \"$@\" 2>&1
}";

fn script() -> Framed {
    Framed::new()
        .prelude(ASK)
        .ask("active", "systemctl is-active firewalld 2>&1")
        .ask("enabled", "systemctl is-enabled firewalld 2>&1")
        .ask("panic", "fw .queryPanicMode")
        .ask("interfaces", "fw .zone.getInterfaces string:trusted")
        .ask("sources", "fw .zone.getSources string:trusted")
        .ask("default", "timeout 60 firewall-cmd --list-all 2>&1")
        .ask("nonsense", "fw .zone.getInterfaces string:poclab-none")
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
    match word("panic")? {
        (0, said) if said == "boolean false" => {}
        (0, said) if said == "boolean true" => {
            return Err("panic mode is on: everything is cut off (`firewall-cmd --panic-off` on its console)".into());
        }
        (status, said) => {
            return Err(format!("unreadable answer about panic mode ({status}): {said}"));
        }
    }
    // The listing of the default zone names it as well.
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
    // What is in `trusted` goes around every rule.
    for (id, what) in [("interfaces", "interfaces"), ("sources", "sources")] {
        let inside = array(&frames.good(id)?).map_err(|said| format!("unreadable answer about the zone trusted: {said}"))?;
        if !inside.is_empty() {
            return Err(format!("the {what} {} are in the zone trusted, which lets everything in", inside.join(", ")));
        }
    }
    Ok(format!("zone {zone}, target {}", target.unwrap_or_default()))
}

/// The strings of an `array [ … ]` in dbus-send's literal form; any other text is an error.
fn array(text: &str) -> Result<Vec<String>, String> {
    let inside = text.trim().strip_prefix("array [").and_then(|rest| rest.strip_suffix(']')).ok_or_else(|| text.to_owned())?;
    Ok(inside.split_whitespace().map(str::to_owned).collect())
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

    /// The default zone from the recorded 0.5.3 daemon; dbus-send's answers from 1.3.
    const GOOD: &[(&str, &str, i32)] = &[
        ("active", "active\n", 0),
        ("enabled", "enabled\n", 0),
        ("panic", "   boolean false\n", 0),
        ("interfaces", "   array [\n   ]\n", 0),
        ("sources", "   array [\n   ]\n", 0),
        ("default", "public (active)\n  target: default\n  icmp-block-inversion: no\n  interfaces: eth9\n", 0),
        ("nonsense", "Error org.fedoraproject.FirewallD1.Exception: INVALID_ZONE: poclab-none\n", 1),
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
            ("panic", "   boolean true\n", 0),
            ("panic", "Error org.freedesktop.DBus.Error.ServiceUnknown: The name is not provided by any .service files\n", 1),
            ("panic", "sh: dbus-send: not found\n", 127),
            ("default", "public\n  target: ACCEPT\n", 0),
            ("default", "", 0),
            ("default", "FirewallD is not running\n", 252),
            ("interfaces", "   array [\n      eth0   ]\n", 0),
            ("interfaces", "", 0),
            ("sources", "   array [\n      10.0.0.0/8   ]\n", 0),
            ("sources", "Error org.freedesktop.DBus.Error.NoReply: no reply\n", 1),
        ] {
            assert!(matches!(with(id, text, status)[0].verdict, Verdict::Failed(_)), "{id} {text}");
        }
        let yes_man = with("nonsense", "   array [\n   ]\n", 0);
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
