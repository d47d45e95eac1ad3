//! What differs, and what would repair it. Pure.

use std::collections::BTreeSet;

use super::{Observed, Spec};
use crate::resource::firewalld::{Allow, Direct, Item, Rules, Source, Zone, command_words};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// For people.
    pub text: String,
    /// What repairs it.
    pub fix: Vec<Fix>,
}

/// One repair.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fix {
    /// Write the zone's file (and reload).
    WriteZone,
    /// Make the zone the default one.
    DefaultZone,
    /// Write Docker's zone as Docker makes it (and reload).
    DockerZone,
    /// Take away all entries of direct.xml that are not DOCKER-USER's (and reload).
    CleanDirect,
    /// Move a file out of firewalld's sight (and reload).
    MoveAway(String),
    /// Read the permanent configuration again.
    Reload,
    /// Let firewalld forget all rules that were passed through to iptables.
    ForgetPassthroughs,
    /// Arguments of firewall-cmd at runtime, and those that undo them.
    Runtime(Vec<String>, Option<Vec<String>>),
    /// Take a rule out of the kernel: chain, words.
    Kernel(String, Vec<String>),
}

/// All differences, most important first.
pub fn findings(spec: &Spec, observed: &Observed) -> Vec<Finding> {
    let mut found = Vec::new();
    if !observed.installed {
        found.push(finding(
            format!("firewalld is not installed: {} flows to allow", spec.allow.len()),
            vec![Fix::WriteZone, Fix::DefaultZone],
        ));
        return found;
    }
    if observed.runtime.is_none() {
        found.push(finding("firewalld does not run: nothing is enforced", Vec::new()));
    }
    zone(spec, observed, &mut found);
    if spec.default {
        default_zone(spec, observed, &mut found);
    }
    if spec.default && spec.strict {
        others(spec, observed, &mut found);
    }
    found
}

fn finding(text: impl Into<String>, fix: Vec<Fix>) -> Finding {
    Finding { text: text.into(), fix }
}

/// The zone itself: on disk, in firewalld, in the kernel.
fn zone(spec: &Spec, observed: &Observed, found: &mut Vec<Finding>) {
    let want = spec.zone();
    let empty = Zone::new(&spec.name);
    let disk = match observed.permanent.get(&spec.name) {
        Some(Ok(zone)) => zone,
        Some(Err(why)) => {
            found.push(finding(format!("/etc/firewalld/zones/{}.xml cannot be read: {why}", spec.name), vec![Fix::WriteZone]));
            &want
        }
        None => &empty,
    };
    let listed = observed.runtime.as_ref().map(|zones| zones.iter().find(|z| z.name == spec.name).unwrap_or(&empty));
    // Where firewalld does not run only the disk counts.
    let live = listed.unwrap_or(disk);
    let place = |disk: bool, live: bool| match (disk, live) {
        _ if listed.is_none() => "permanent",
        (true, true) => "permanent and runtime",
        (true, false) => "permanent",
        _ => "runtime",
    };
    if disk.target != want.target || live.target != want.target {
        let have = if disk.target == want.target { &live.target } else { &disk.target };
        let place = place(disk.target != want.target, live.target != want.target);
        let fix = if disk.target == want.target { Fix::Reload } else { Fix::WriteZone };
        found.push(finding(format!("target is {have}, want {} ({place})", want.target), vec![fix]));
    }
    for name in &want.interfaces {
        let (no_disk, no_live) = (!disk.interfaces.contains(name), !live.interfaces.contains(name));
        if no_disk || no_live {
            let mut fix = Vec::new();
            if no_disk {
                fix.push(Fix::WriteZone);
            }
            if no_live && listed.is_some() {
                fix.push(Fix::Runtime(vec![zone_option(&spec.name), format!("--change-interface={name}")], None));
            }
            found.push(finding(format!("interface {name} is not in the zone ({})", place(no_disk, no_live)), fix));
        }
    }
    let wanted: BTreeSet<&Item> = want.items.iter().collect();
    let all: BTreeSet<&Item> = disk.items.iter().chain(&live.items).chain(&want.items).collect();
    let mut listed_right = true;
    for item in all {
        let want = wanted.contains(item);
        let (disk_off, live_off) = (disk.items.contains(item) != want, live.items.contains(item) != want);
        if !disk_off && !live_off {
            continue;
        }
        listed_right &= !live_off;
        let place = place(disk_off, live_off);
        let text = if want { format!("{item} is missing ({place})") } else { format!("unknown rule `{item}` ({place})") };
        found.push(finding(text, vec![if disk_off { Fix::WriteZone } else { runtime_item(&spec.name, item, want) }]));
    }
    for source in disk.sources.iter().chain(&live.sources).collect::<BTreeSet<_>>() {
        let (on_disk, is_live) = (disk.sources.contains(source), live.sources.contains(source));
        let fix = if on_disk { Fix::WriteZone } else { remove_source(&spec.name, source) };
        found.push(finding(format!("unknown source {source} in the zone ({})", place(on_disk, is_live)), vec![fix]));
    }
    if let (Some(_), Some(rules), true, true) = (listed, &observed.rules, observed.iptables_backend, listed_right) {
        kernel(spec, observed, rules, found);
    }
}

fn zone_option(name: &str) -> String {
    format!("--zone={name}")
}

fn runtime_item(zone: &str, item: &Item, want: bool) -> Fix {
    match item.options() {
        None => Fix::Reload,
        Some((add, remove)) => {
            let call = |option: String| vec![zone_option(zone), option];
            if want { Fix::Runtime(call(add), None) } else { Fix::Runtime(call(remove), Some(call(add))) }
        }
    }
}

fn remove_source(zone: &str, source: &str) -> Fix {
    Fix::Runtime(
        vec![zone_option(zone), format!("--remove-source={source}")],
        Some(vec![zone_option(zone), format!("--add-source={source}")]),
    )
}

/// What the kernel makes of the zone; firewalld's own word has been found right before.
fn kernel(spec: &Spec, observed: &Observed, rules: &Rules, found: &mut Vec<Finding>) {
    let ends = |chain: &str| rules.of(chain).any(|rule| rule.contains("-j REJECT") || rule == "-j DROP");
    if !rules.of("INPUT").any(|rule| rule == "-j INPUT_ZONES") || !ends("INPUT") {
        found.push(finding("the kernel's rules are gone although firewalld runs: nothing is enforced", vec![Fix::Reload]));
        return;
    }
    if !rules.of("FORWARD").any(|rule| rule.starts_with("-j FORWARD_")) || !ends("FORWARD") {
        found.push(finding("the kernel's rules for forwarded packets are gone although firewalld runs", vec![Fix::Reload]));
    }
    // A zone that no interface and no source uses has no chains.
    let base = format!("IN_{}", spec.name);
    if !rules.has(&base) {
        if spec.default || !spec.interfaces.is_empty() {
            found.push(finding(format!("the kernel has no chain {base} although firewalld runs"), vec![Fix::Reload]));
        }
        return;
    }
    let services: Vec<Option<&Vec<String>>> = spec.services.iter().map(|name| observed.services.get(name)?.as_ref()).collect();
    let wanted: BTreeSet<String> =
        spec.allow.iter().map(kernel_rule).chain(services.iter().flatten().copied().flatten().cloned()).collect();
    let chain = format!("{base}_allow");
    let have: Vec<&str> = rules.of(&chain).collect();
    let known: BTreeSet<String> = have.iter().map(|rule| without_state(rule)).collect();
    for rule in wanted.iter().filter(|rule| !known.contains(*rule)) {
        found.push(finding(format!("the kernel's chain {chain} lacks `{rule}`"), vec![Fix::Reload]));
    }
    let mut unknown: Vec<(String, &str)> = Vec::new();
    // A service that refers to others may have opened any port, but only a port.
    let unclear = services.iter().any(Option::is_none);
    let of_service =
        |rule: &str| unclear && ["-p tcp -m tcp --dport ", "-p udp -m udp --dport "].iter().any(|start| rule.starts_with(start));
    let foreign = |rule: &&&str| !wanted.contains(&without_state(rule)) && !of_service(rule);
    unknown.extend(have.iter().filter(foreign).map(|rule| (chain.clone(), *rule)));
    for part in ["pre", "log", "deny", "post"] {
        let chain = format!("{base}_{part}");
        unknown.extend(rules.rules.iter().filter(|(c, _)| *c == chain).map(|(_, rule)| (chain.clone(), rule.as_str())));
    }
    if spec.target != "ACCEPT" {
        unknown.extend(
            rules.of(&base).filter(|rule| rule.ends_with("-j ACCEPT") && *rule != "-p icmp -j ACCEPT").map(|rule| (base.clone(), rule)),
        );
    }
    for (chain, rule) in unknown {
        found.push(finding(
            format!("unknown rule `-A {chain} {rule}` in the kernel (runtime)"),
            vec![Fix::Kernel(chain, command_words(rule))],
        ));
    }
}

/// The rule that firewalld makes of a flow, as `iptables -S` prints it, without the connection's state.
fn kernel_rule(allow: &Allow) -> String {
    let source = match &allow.source {
        Source::Any => String::new(),
        net => format!("-s {net} "),
    };
    format!("{source}-p {0} -m {0} --dport {1} -j ACCEPT", allow.protocol, allow.port)
}

fn without_state(rule: &str) -> String {
    rule.replace(" -m conntrack --ctstate NEW,UNTRACKED", "").replace(" -m conntrack --ctstate NEW", "")
}

fn default_zone(spec: &Spec, observed: &Observed, found: &mut Vec<Finding>) {
    // firewalld without the setting uses `public`.
    let disk = observed.default_zone.as_deref().unwrap_or("public");
    // Both backends' generations end INPUT_ZONES with a goto to the default zone.
    let live = observed.rules.as_ref().filter(|_| observed.iptables_backend && observed.runtime.is_some()).and_then(|rules| {
        rules.of("INPUT_ZONES").filter_map(|rule| rule.strip_prefix("-g IN_").or(rule.strip_prefix("-j IN_"))).last().map(str::to_owned)
    });
    if disk != spec.name {
        found.push(finding(format!("the default zone is {disk}, want {}", spec.name), vec![Fix::DefaultZone]));
    } else if let Some(live) = live.filter(|live| *live != spec.name) {
        found.push(finding(format!("the default zone is {live}, want {} (runtime)", spec.name), vec![Fix::DefaultZone]));
    }
}

/// An interface that Docker itself puts into its zone.
fn is_dockers(interface: &str) -> bool {
    interface == "docker0" || interface == "docker_gwbridge" || interface.starts_with("br-")
}

/// Everything outside of the zone that lets packets in.
fn others(spec: &Spec, observed: &Observed, found: &mut Vec<Finding>) {
    for (name, zone) in &observed.permanent {
        let Ok(zone) = zone else { continue };
        if observed.managed.contains(name) {
            continue;
        }
        let fix = if name == "docker" { Fix::DockerZone } else { Fix::MoveAway(format!("/etc/firewalld/zones/{name}.xml")) };
        for (what, value) in bindings(name, zone) {
            found.push(finding(format!("{what} {value} is in zone {name} (permanent)"), vec![fix.clone()]));
        }
    }
    for zone in observed.runtime.iter().flatten().filter(|zone| !observed.managed.contains(&zone.name)) {
        let name = &zone.name;
        for (what, value) in bindings(name, zone) {
            let fix = match what {
                "source" => remove_source(name, value),
                // Docker refuses to start when its bridge is in another zone.
                _ if is_dockers(value) => Fix::Runtime(vec!["--zone=docker".into(), format!("--change-interface={value}")], None),
                // firewall-cmd also tells NetworkManager, so that the interface stays there.
                _ => Fix::Runtime(
                    vec![zone_option(&spec.name), format!("--change-interface={value}")],
                    Some(vec![zone_option(name), format!("--change-interface={value}")]),
                ),
            };
            found.push(finding(format!("{what} {value} is in zone {name} (runtime)"), vec![fix]));
        }
    }
    match &observed.direct {
        Err(why) => found.push(finding(format!("/etc/firewalld/direct.xml cannot be read: {why}"), vec![Fix::CleanDirect])),
        Ok(entries) => {
            for entry in entries.iter().filter(|entry| !entry.is_docker_user() && !entry.is_docker_guard()) {
                let mut fix = vec![Fix::CleanDirect];
                // Direct rules survive a reload: firewalld must be told, too.
                if observed.runtime.is_some() {
                    fix.push(forget(entry));
                }
                found.push(finding(format!("unknown direct {entry} (permanent)"), fix));
            }
        }
    }
    for file in &observed.overrides {
        found.push(finding(format!("{file} changes what firewalld ships"), vec![Fix::MoveAway(file.clone())]));
    }
    if let Some(rules) = &observed.rules {
        for (chain, rule) in rules.foreign() {
            // A permanent direct rule has been reported already.
            let reported = observed.direct.iter().flatten().any(|d| rule_of(d) == Some((chain.as_str(), rule.as_str())));
            if reported {
                continue;
            }
            let mut fix = Vec::new();
            if observed.runtime.is_some() {
                fix.push(match chain.strip_suffix("_direct") {
                    Some(base) => direct(&["--remove-rules", "ipv4", "filter", base]),
                    None => Fix::ForgetPassthroughs,
                });
            }
            fix.push(Fix::Kernel(chain.clone(), command_words(&rule)));
            found.push(finding(format!("unknown rule `-A {chain} {rule}` (runtime)"), fix));
        }
    }
}

/// What binds packets to a zone, apart from what Docker and the loopback need.
fn bindings<'a>(name: &str, zone: &'a Zone) -> Vec<(&'static str, &'a str)> {
    let ours = |interface: &str| interface == "lo" || (name == "docker" && is_dockers(interface));
    let interfaces = zone.interfaces.iter().filter(|i| !ours(i)).map(|i| ("interface", i.as_str()));
    interfaces.chain(zone.sources.iter().map(|s| ("source", s.as_str()))).collect()
}

fn direct(words: &[&str]) -> Fix {
    Fix::Runtime(std::iter::once("--direct").chain(words.iter().copied()).map(str::to_owned).collect(), None)
}

fn forget(entry: &Direct) -> Fix {
    match entry.tag.as_str() {
        "passthrough" => Fix::ForgetPassthroughs,
        "rule" => direct(&["--remove-rules", &entry.ipv, &entry.table, &entry.chain]),
        _ => direct(&["--remove-chain", &entry.ipv, &entry.table, &entry.chain]),
    }
}

/// Chain and rule under which a direct rule appears in the filter table.
fn rule_of(entry: &Direct) -> Option<(&str, &str)> {
    if entry.tag != "rule" || entry.table != "filter" || entry.ipv != "ipv4" {
        return None;
    }
    let chain = match entry.chain.as_str() {
        "INPUT" => "INPUT_direct",
        "FORWARD" => "FORWARD_direct",
        "OUTPUT" => "OUTPUT_direct",
        other => other,
    };
    Some((chain, entry.args.as_str()))
}
