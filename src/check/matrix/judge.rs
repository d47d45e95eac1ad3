//! Compares what was met with what the flows promise.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::measure::Measured;
use super::plan::{Plan, Probe, Source};
use crate::check::run::blind;
use crate::check::{Outcome, Tcp, Verdict};

/// A result that is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Right {
    Open,
    NothingListens,
    NotPublished,
    Rejected,
    Dropped,
}

impl Right {
    fn text(self) -> &'static str {
        match self {
            Right::Open => "open",
            Right::NothingListens => "allowed with nothing listening yet",
            Right::NotPublished => "allowed but published by no container",
            Right::Rejected => "rejected",
            Right::Dropped => "dropped",
        }
    }
}

/// What kind of wrong a result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// A denied connection got through. Never excusable.
    Leak,
    /// An allowed connection did not get through.
    Blocked,
    /// Nobody can tell.
    Blind,
}

/// One result that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Index into the plan's probes.
    pub probe: usize,
    /// What kind of wrong.
    pub wrong: Wrong,
    /// For people: what was met, what to do next.
    pub why: String,
}

/// Judges one result. `published_now`: whether a container publishes the port at this moment; ports that no flow calls published: `true`.
fn judge(probe: &Probe, published_now: bool, met: Tcp) -> Result<Right, (Wrong, &'static str)> {
    match (probe.allowed, met) {
        (true, Tcp::Open) => Ok(Right::Open),
        (true, Tcp::Refused) => Ok(Right::NothingListens),
        (true, Tcp::Rejected | Tcp::Dropped) if probe.published && !published_now => Ok(Right::NotPublished),
        (true, Tcp::Rejected) => Err((Wrong::Blocked, "rejected although the flow matrix allows it")),
        (true, Tcp::Dropped) => Err((Wrong::Blocked, "no answer although the flow matrix allows it")),
        (false, Tcp::Rejected) => Ok(Right::Rejected),
        (false, Tcp::Dropped) => Ok(Right::Dropped),
        (false, Tcp::Open) => Err((Wrong::Leak, "open although the flow matrix does not allow it")),
        (false, Tcp::Refused) => {
            Err((Wrong::Leak, "answered by the host itself although the flow matrix does not allow it: the packet passed the firewall"))
        }
    }
}

/// What a probe met.
pub(super) fn met(plan: &Plan, measured: &Measured, probe: &Probe) -> Result<Tcp, String> {
    match probe.source {
        Source::Control => measured.control.get(&(probe.target, probe.port)).cloned().unwrap_or_else(|| Err("was not probed".into())),
        Source::Host(index) => {
            let seen = measured.hosts[index].as_ref().map_err(String::clone)?;
            seen.met.get(&(plan.hosts[probe.target].address, probe.port)).cloned().unwrap_or_else(|| Err("was not probed".into()))
        }
    }
}

fn published_now(measured: &Measured, probe: &Probe) -> Result<bool, String> {
    if !probe.published {
        return Ok(true);
    }
    let seen = measured.hosts[probe.target].as_ref().map_err(String::clone)?;
    seen.published
        .get(&probe.port)
        .cloned()
        .unwrap_or_else(|| Err("was not asked".into()))
        .map_err(|why| format!("cannot ask Docker what it publishes: {why}"))
}

/// Whether packets from `source` get to `target` at all: a target that is simply away must not pass as well protected.
fn path(plan: &Plan, measured: &Measured, source: Source, target: usize) -> Result<(), String> {
    let answered = |from: Source| {
        plan.probes
            .iter()
            .filter(move |probe| probe.source == from && probe.target == target)
            .filter_map(|probe| met(plan, measured, probe).ok())
            .collect::<Vec<_>>()
    };
    let reached = |from: Source| answered(from).iter().any(|tcp| matches!(tcp, Tcp::Open | Tcp::Refused));
    if reached(source) {
        return Ok(());
    }
    let (host, from) = (&plan.hosts[target], plan.source_name(source));
    let neighbour = match source {
        Source::Host(index) => measured.hosts[index].as_ref().ok().and_then(|seen| seen.neighbours.get(&host.address).copied()),
        Source::Control => None,
    };
    match neighbour {
        Some(true) => return Ok(()),
        Some(false) => {
            return Err(format!("{} does not answer on the network of {from} at all (no ARP reply from {})", host.name, host.address));
        }
        None => {}
    }
    // Not on the same network: somebody rejects us, and the target is known to be alive at this address.
    let alive = (0..plan.hosts.len()).map(Source::Host).chain([Source::Control]).any(|other| other != source && reached(other));
    if alive && answered(source).contains(&Tcp::Rejected) {
        return Ok(());
    }
    Err(format!("nothing proves that packets from {from} get to {} ({}) at all", host.name, host.address))
}

/// Everything that is not as it should be. With `before`, what was open then must be open now.
pub fn violations(plan: &Plan, measured: &Measured, before: Option<&Measured>) -> Vec<Violation> {
    let mut paths: BTreeMap<(Source, usize), Result<(), String>> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, probe) in plan.probes.iter().enumerate() {
        // A host that could not be asked is reported once, as such.
        if matches!(probe.source, Source::Host(host) if measured.hosts[host].is_err()) {
            continue;
        }
        if let Err((wrong, why)) = check_one(plan, measured, before, probe, &mut paths) {
            found.push(Violation { probe: index, wrong, why });
        }
    }
    found
}

fn check_one(
    plan: &Plan,
    measured: &Measured,
    before: Option<&Measured>,
    probe: &Probe,
    paths: &mut BTreeMap<(Source, usize), Result<(), String>>,
) -> Result<Right, (Wrong, String)> {
    let target = &plan.hosts[probe.target].name;
    let tcp = met(plan, measured, probe).map_err(|why| (Wrong::Blind, format!("could not be measured: {why}")))?;
    let published = match (probe.allowed, published_now(measured, probe)) {
        (false, _) => true,
        (true, answer) => answer.map_err(|why| (Wrong::Blind, why))?,
    };
    let right = judge(probe, published, tcp).map_err(|(wrong, what)| {
        let next = match wrong {
            Wrong::Leak => {
                format!("look at `poclab plan --host {target}` for drift in its firewall, repair with `poclab bootstrap --host {target}`")
            }
            _ => format!("see that the firewall role is applied on {target} (`poclab plan --host {target}`)"),
        };
        (wrong, format!("{what}; {next}"))
    })?;
    if !probe.allowed {
        paths
            .entry((probe.source, probe.target))
            .or_insert_with(|| path(plan, measured, probe.source, probe.target))
            .clone()
            .map_err(|why| (Wrong::Blind, why))?;
    }
    let was_open = before.is_some_and(|before| met(plan, before, probe) == Ok(Tcp::Open));
    if was_open && right != Right::Open && probe.allowed {
        return Err((
            Wrong::Blocked,
            format!("was open before, now it is {}; look at the service on {target} (`docker ps`, `systemctl status`)", right.text()),
        ));
    }
    Ok(right)
}

/// The report: one line per target when all is well, one more per failure. `when` is appended to the titles (`, after a reload`).
pub fn report(plan: &Plan, measured: &Measured, before: Option<&Measured>, when: &str) -> Vec<Outcome> {
    let bad = violations(plan, measured, before);
    let mut out = Vec::new();
    for (host, seen) in plan.hosts.iter().zip(&measured.hosts) {
        if let Err(why) = seen {
            out.push(Outcome::new(format!("connections from {} can be measured{when}", host.name), blind(&host.name, why)));
        } else if let Ok(seen) = seen
            && !seen.addresses.contains(&host.address)
        {
            let why = format!("no interface of {} has the address {}; correct the inventory or the network", host.name, host.address);
            out.push(Outcome::new(format!("{} has its address{when}", host.name), Verdict::Failed(why)));
        }
    }
    for (target, host) in plan.hosts.iter().enumerate() {
        if !plan.probes.iter().any(|probe| probe.target == target) {
            continue;
        }
        out.push(summary(plan, measured, before, &bad, target, &host.name, when));
        // Several ports between the same two for the same reason are one line.
        let mut lines: Vec<(&Probe, Vec<String>, &str)> = Vec::new();
        for violation in bad.iter().filter(|v| plan.probes[v.probe].target == target) {
            let probe = &plan.probes[violation.probe];
            let same = |line: &&mut (&Probe, Vec<String>, &str)| {
                line.0.source == probe.source && line.0.allowed == probe.allowed && line.2 == violation.why
            };
            match lines.iter_mut().find(same) {
                Some(line) => line.1.push(probe.port.to_string()),
                None => lines.push((probe, vec![probe.port.to_string()], &violation.why)),
            }
        }
        out.extend(lines.into_iter().map(|(probe, ports, why)| {
            let must = if probe.allowed { "goes through" } else { "is stopped" };
            let title = format!("{} -> {}:{}/tcp {must}{when}", plan.source_name(probe.source), host.name, ports.join(","));
            Outcome::new(title, Verdict::Failed(why.to_owned()))
        }));
    }
    out
}

fn summary(
    plan: &Plan,
    measured: &Measured,
    before: Option<&Measured>,
    bad: &[Violation],
    target: usize,
    name: &str,
    when: &str,
) -> Outcome {
    let mut counts: BTreeMap<Right, usize> = BTreeMap::new();
    let mut idle: BTreeSet<u16> = BTreeSet::new();
    let mut paths = BTreeMap::new();
    let (mut good, mut all) = (0usize, 0usize);
    for probe in plan.probes.iter().filter(|probe| probe.target == target) {
        all += 1;
        let asked = !matches!(probe.source, Source::Host(host) if measured.hosts[host].is_err());
        if let (true, Ok(right)) = (asked, check_one(plan, measured, before, probe, &mut paths)) {
            good += 1;
            *counts.entry(right).or_default() += 1;
            if matches!(right, Right::NothingListens | Right::NotPublished) {
                idle.insert(probe.port);
            }
        }
    }
    let counts: Vec<String> = counts.iter().map(|(right, count)| format!("{count} {}", right.text())).collect();
    let mut text = format!("{good} of {all} as the matrix says: {}", if counts.is_empty() { "none".to_owned() } else { counts.join(", ") });
    if !idle.is_empty() {
        let ports: Vec<String> = idle.iter().map(u16::to_string).collect();
        text.push_str(&format!(" (nothing behind {} yet)", ports.join(", ")));
    }
    let verdict = if good == all {
        Verdict::Passed(text)
    } else {
        let leaks = bad.iter().filter(|v| v.wrong == Wrong::Leak && plan.probes[v.probe].target == target).count();
        Verdict::Failed(format!("{text}; {leaks} got through that must not; each failure has its own line"))
    };
    Outcome::new(format!("{name}: reachable is exactly what the flow matrix allows{when}"), verdict)
}

/// The controls: the probe can tell open from closed on every source, and a wrong expectation is noticed on the real measurement.
pub fn control(plan: &Plan, measured: &Measured) -> Vec<Outcome> {
    let mut out = Vec::new();
    let mut proven = 0;
    for (host, seen) in plan.hosts.iter().zip(&measured.hosts) {
        let Ok(seen) = seen else { continue };
        let at = |port| seen.met.get(&(Ipv4Addr::LOCALHOST, port)).cloned().unwrap_or_else(|| Err("was not probed".into()));
        match (at(plan.ssh_port), at(plan.closed)) {
            (Ok(Tcp::Open), Ok(Tcp::Refused)) => proven += 1,
            (open, closed) => out.push(Outcome::control(
                format!("on {} the probe tells open from closed", host.name),
                Verdict::Failed(format!(
                    "on loopback the port of sshd ({}) must be open and was {open:?}, a closed port ({}) must be refused and was {closed:?}; set ssh_port in the check to the port of sshd, and see what listens on the other",
                    plan.ssh_port, plan.closed
                )),
            )),
        }
    }
    if out.is_empty() && proven > 0 {
        let text = format!("on {proven} hosts loopback port {} is open and {} refused", plan.ssh_port, plan.closed);
        out.push(Outcome::control("the probe tells open from closed on every source", Verdict::Passed(text)));
    }
    out.push(Outcome::control("a wrong expectation is noticed", wrong_expectation(plan, measured)));
    out
}

fn wrong_expectation(plan: &Plan, measured: &Measured) -> Verdict {
    let mut noticed = Vec::new();
    for allowed in [true, false] {
        let real = plan.probes.iter().filter(|probe| probe.allowed == allowed).find_map(|probe| {
            let tcp = met(plan, measured, probe).ok()?;
            judge(probe, true, tcp).ok().map(|_| (probe, tcp))
        });
        let Some((probe, tcp)) = real else { continue };
        let wrong = Probe { allowed: !allowed, ..probe.clone() };
        match judge(&wrong, true, tcp) {
            Err(_) => {
                noticed.push(format!("{} ({tcp:?}) judged as {} fails", plan.label(probe), if allowed { "denied" } else { "allowed" }))
            }
            Ok(_) => {
                return Verdict::Failed(format!(
                    "{} ({tcp:?}) passes as allowed and as denied: the comparison proves nothing",
                    plan.label(probe)
                ));
            }
        }
    }
    match noticed.is_empty() {
        true => Verdict::Failed("no measurement to try it on: nothing was as the matrix says".into()),
        false => Verdict::Passed(noticed.join("; ")),
    }
}

/// The whole report of one measurement, with controls, and UDP flows named as not measured.
pub fn outcomes(plan: &Plan, measured: &Measured) -> Vec<Outcome> {
    let mut out = report(plan, measured, None, "");
    out.extend(control(plan, measured));
    if !plan.udp.is_empty() {
        let why = format!(
            "{}: an open UDP port cannot be told from a dropped packet by a connect; the services' own checks must prove these",
            plan.udp.join(", ")
        );
        out.push(Outcome::new("UDP flows", Verdict::Skipped(why)));
    }
    out
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
