//! Who may reach ports that containers publish: the `DOCKER-USER` policy.
//!
//! Published ports are forwarded, so no zone guards them. Docker lets forwarded packets pass through the chain
//! `DOCKER-USER` and never changes its rules, but a reload of firewalld flushes it. So the policy is firewalld's
//! permanent direct configuration, which is put back before Docker adds its jump.
//!
//! Docker does not always put that jump first (docs/adr/0005), so the same rules stand a second time where Docker never
//! writes and which packets meet earlier: in the mangle table. That is the guard.

mod chains;
mod observed;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use quick_xml::escape::escape;
use schemars::JsonSchema;
use serde::Deserialize;

use super::firewalld::shell::{PUT, RELOAD, SWEEP, direct_elements};
use super::firewalld::{Allow, Source, command_words};
use super::{Action, Change, Kind, Reply, State};
use crate::base::quote;
pub use observed::Observed;

/// Default-deny policy for published container ports.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Interfaces through which others come: a list of names, or `auto` (default): every interface with a global IPv4
    /// address that is not Docker's own or the loopback.
    #[serde(default)]
    pub interfaces: Interfaces,
    /// Who may reach which published port (usually `{{ host.published }}`); everybody else is dropped.
    pub allow: Vec<Allow>,
}

/// Which interfaces are external.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Interfaces {
    /// The host decides.
    #[default]
    #[serde(skip)]
    Automatic,
    /// `auto`
    Word(Auto),
    /// By name.
    Names(Vec<String>),
}

/// The word `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Auto {
    /// The host decides.
    Auto,
}

/// Priority and rule, as iptables prints it.
type Rule = (i32, String);

impl Spec {
    fn names<'a>(&'a self, observed: &'a Observed) -> &'a [String] {
        match &self.interfaces {
            Interfaces::Names(names) => names,
            _ => &observed.interfaces,
        }
    }

    /// The policy's rules in order.
    fn rules(&self, interfaces: &[String]) -> Vec<Rule> {
        let mut rules = vec![(0, "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN".to_owned())];
        let allow: BTreeSet<&Allow> = self.allow.iter().collect();
        for interface in interfaces {
            for flow in &allow {
                let source = match &flow.source {
                    Source::Any => String::new(),
                    net => format!("-s {net} "),
                };
                // After DNAT the destination port is the container's: the published one is only known to conntrack.
                rules.push((
                    10,
                    format!(
                        "{source}-i {interface} -p {} -m conntrack --ctorigdstport {} --ctdir ORIGINAL -j RETURN",
                        flow.protocol, flow.port
                    ),
                ));
            }
        }
        rules.extend(interfaces.iter().map(|interface| (100, format!("-i {interface} -j DROP"))));
        rules
    }

    fn findings(&self, observed: &Observed) -> Vec<(String, Repair)> {
        let interfaces = self.names(observed);
        let want = self.rules(interfaces);
        let mut found = Vec::new();
        if !observed.installed {
            return vec![(format!("firewalld is not installed: {} flows to allow, all else to drop", self.allow.len()), Repair::Write)];
        }
        let disk = match &observed.disk {
            Ok(disk) => disk.clone(),
            Err(why) => {
                found.push((format!("/etc/firewalld/direct.xml cannot be read: {why}"), Repair::Write));
                Vec::new()
            }
        };
        let disk_ok = found.is_empty();
        if disk_ok && !observed.chain_on_disk {
            found.push(("no policy for published ports (permanent)".to_owned(), Repair::Write));
        }
        let written = disk_ok && observed.chain_on_disk;
        let live: &[String] = &observed.live;
        // A rule that is wrong at both places is one difference.
        let mut said: BTreeSet<&str> = BTreeSet::new();
        if written {
            for (_, rule) in want.iter().filter(|rule| !disk.contains(rule)) {
                let both = observed.running && observed.enforced && !live.contains(rule);
                found.push((format!("`{rule}` is missing ({})", place(both)), Repair::Write));
                said.insert(rule);
            }
            for (_, rule) in disk.iter().filter(|rule| !want.contains(rule)) {
                let both = live.contains(rule);
                found.push((format!("unknown rule `{rule}` ({})", place(both)), Repair::Write));
                said.insert(rule);
            }
        }
        if !observed.running {
            found.push(("firewalld does not run: nothing guards published ports".to_owned(), Repair::Reload));
        } else if !observed.enforced {
            if written {
                found.push(("the chain DOCKER-USER is not in the kernel although firewalld runs".to_owned(), Repair::Reload));
            }
        } else if written {
            let wanted: BTreeSet<&str> = want.iter().map(|(_, rule)| rule.as_str()).collect();
            for (_, rule) in want.iter().filter(|(_, rule)| !live.contains(rule) && !said.contains(rule.as_str())) {
                found.push((format!("`{rule}` is missing (runtime)"), Repair::Reload));
            }
            for rule in live.iter().filter(|rule| !wanted.contains(rule.as_str()) && !said.contains(rule.as_str())) {
                found.push((format!("unknown rule `{rule}` (runtime)"), Repair::Delete(rule.clone())));
            }
            if found.is_empty() && !in_order(live) {
                found.push(("the rules of DOCKER-USER are in the wrong order".to_owned(), Repair::Reload));
            }
        }
        if written {
            found.extend(guard_findings(&want, observed));
        }
        // Without firewalld's own rules the reload for them is due anyway, and it brings Docker's back.
        if let [first, rest @ ..] = &observed.gone[..] {
            let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            found.push((format!("Docker's rules are gone from the kernel: {first}{more}"), Repair::Reload));
        }
        found
    }
}

/// The guard against its rules: each difference once, named by where it shows.
fn guard_findings(want: &[Rule], observed: &Observed) -> Vec<(String, Repair)> {
    let mut found = Vec::new();
    let running = observed.running && observed.enforced;
    for rule in want {
        let live = !running || observed.guard_live.contains(&rule.1);
        if !observed.guard_disk.contains(rule) {
            found.push((format!("guard: `{}` is missing ({})", rule.1, place(!live)), Repair::Write));
        } else if !live {
            found.push((format!("guard: `{}` is missing (runtime)", rule.1), Repair::Reload));
        }
    }
    for rule in observed.guard_disk.iter().filter(|rule| !want.contains(rule)) {
        found.push((format!("guard: unknown rule `{}` ({})", rule.1, place(observed.guard_live.contains(&rule.1))), Repair::Write));
    }
    let known = |rule: &String| want.iter().chain(&observed.guard_disk).any(|(_, known)| known == rule);
    for rule in observed.guard_live.iter().filter(|rule| running && !known(rule)) {
        found.push((format!("guard: unknown rule `{rule}` (runtime)"), Repair::DeleteGuard(rule.clone())));
    }
    if found.is_empty() && running && !in_order(&observed.guard_live) {
        found.push(("guard: the rules are in the wrong order".to_owned(), Repair::Reload));
    }
    found
}

fn place(both: bool) -> &'static str {
    if both { "permanent and runtime" } else { "permanent" }
}

/// Established connections first, drops last. (The order among flows does not matter, and firewalld does not promise one.)
fn in_order(live: &[String]) -> bool {
    let drops_end =
        live.iter().position(|rule| rule.ends_with("-j DROP")).is_none_or(|at| live[at..].iter().all(|rule| rule.ends_with("-j DROP")));
    live.first().is_some_and(|rule| rule.contains("RELATED,ESTABLISHED")) && drops_end
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Repair {
    Write,
    Reload,
    Delete(String),
    DeleteGuard(String),
}

impl Kind for Spec {
    const NAME: &'static str = "docker_ports";
    type Observed = Observed;

    fn id(&self) -> String {
        "DOCKER-USER".to_owned()
    }

    fn check(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if let Interfaces::Names(names) = &self.interfaces {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-.@".contains(c);
            errors.extend(
                names
                    .iter()
                    .filter(|name| name.is_empty() || name.len() > 15 || !name.chars().all(plain))
                    .map(|name| format!("`{name}` is not the name of an interface")),
            );
            if names.is_empty() {
                errors.push("interfaces is empty, so nothing would be dropped: name the external interfaces or write auto".to_owned());
            }
        }
        errors.extend(self.allow.iter().filter(|a| a.port == 0).map(|_| "port 0 cannot be allowed: write 1 to 65535".to_owned()));
        errors
    }

    fn observe(_specs: &[&Self]) -> String {
        observed::FRAGMENT.to_owned()
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Observed, String>> {
        let observed = Observed::read(&reply.text());
        specs
            .iter()
            .map(|spec| {
                let observed = observed.clone()?;
                if spec.names(&observed).is_empty() {
                    return Err("no interface of this host has a global IPv4 address: name the external ones in `interfaces`".to_owned());
                }
                Ok(observed)
            })
            .collect()
    }

    fn diff(&self, observed: &Observed) -> State {
        let found = self.findings(observed);
        if found.is_empty() { State::InSync } else { State::Drift(found.into_iter().map(|(what, _)| Change::new(what)).collect()) }
    }

    fn apply(&self, observed: &Observed) -> Vec<Action> {
        let repairs: BTreeSet<Repair> = self.findings(observed).into_iter().map(|(_, repair)| repair).collect();
        let mut script = format!("{RELOAD}{PUT}");
        if repairs.contains(&Repair::Write) {
            script.push_str(&self.write(self.names(observed)));
        }
        script.push_str("if systemctl is-active --quiet firewalld; then\n  :\n");
        if repairs.contains(&Repair::Write) || repairs.contains(&Repair::Reload) {
            script.push_str(
                "  poclab_reload || { echo 'firewalld did not take the rules for published ports: see journalctl -u firewalld' >&2; exit 1; }\n",
            );
        }
        let deletes = repairs.iter().filter_map(|repair| match repair {
            Repair::Delete(rule) => Some(rule),
            _ => None,
        });
        let deletes: Vec<&String> = deletes.collect();
        let guard_deletes: Vec<&String> =
            repairs.iter().filter_map(|repair| if let Repair::DeleteGuard(rule) = repair { Some(rule) } else { None }).collect();
        if repairs.contains(&Repair::Write) || !deletes.is_empty() || !guard_deletes.is_empty() {
            // A reload puts back direct rules that firewalld knows at runtime only: it must forget them.
            let known: Vec<String> = self
                .rules(self.names(observed))
                .iter()
                .map(|(priority, rule)| format!("-e {}", quote(&format!("{priority} {rule}"))))
                .collect();
            let known = known.join(" ");
            for chain in ["filter DOCKER-USER", "mangle FORWARD"] {
                let _ = write!(
                    script,
                    "  firewall-cmd --direct --get-rules ipv4 {chain} | grep -vxF {known} | while IFS= read -r poclab_l; do\n\
                     \x20   [ -z \"$poclab_l\" ] || printf '%s\\n' \"$poclab_l\" | xargs firewall-cmd --direct --remove-rule ipv4 {chain} || exit 1\n  done || exit 1\n"
                );
            }
        }
        let filter = deletes.into_iter().map(|rule| ("filter", "DOCKER-USER", rule));
        for (table, chain, rule) in filter.chain(guard_deletes.into_iter().map(|rule| ("mangle", "FORWARD_direct", rule))) {
            let words: Vec<String> = command_words(rule).iter().map(|word| quote(word)).collect();
            let rule = words.join(" ");
            let _ = writeln!(
                script,
                "  while iptables -w -t {table} -C {chain} {rule} 2>/dev/null; do iptables -w -t {table} -D {chain} {rule} || exit 1; done"
            );
        }
        script.push_str("fi\n");
        vec![Action {
            label: "set the policy for published container ports".to_owned(),
            script,
            sweep: SWEEP.to_owned(),
            ..Action::default()
        }]
    }
}

impl Spec {
    /// Replaces what direct.xml holds for the chain; entries of others stay as they are (`firewall_zone` judges them).
    fn write(&self, interfaces: &[String]) -> String {
        let mut lines = vec!["  <chain ipv=\"ipv4\" table=\"filter\" chain=\"DOCKER-USER\"/>".to_owned()];
        for chain in ["table=\"filter\" chain=\"DOCKER-USER\"", "table=\"mangle\" chain=\"FORWARD\""] {
            for (priority, rule) in self.rules(interfaces) {
                lines.push(format!("  <rule ipv=\"ipv4\" {chain} priority=\"{priority}\">{}</rule>", escape(rule.as_str())));
            }
        }
        lines.push("</direct>".to_owned());
        let lines: Vec<String> = lines.iter().map(|line| quote(line)).collect();
        format!(
            "{{\n  printf '%s\\n' '<?xml version=\"1.0\" encoding=\"utf-8\"?>' '<direct>'\n  if [ -s /etc/firewalld/direct.xml ]; then\n{}\n  fi\n  \
             printf '%s\\n' \\\n    {}\n}} | poclab_put /etc/firewalld/direct.xml || exit 1\n",
            direct_elements("!mine"),
            lines.join(" \\\n    ")
        )
    }
}
