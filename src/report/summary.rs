//! The end of a run, told so that it answers: is it fine, and where do I click?

use std::collections::BTreeSet;

use super::line::{Line, MANY_HOSTS, Tone, count, duration, names};
use super::narrator::{Narrator, word};
use crate::engine::{HostSummary, RoleTime, RunKind, Summary};

/// The lines of the summary.
pub(super) fn lines(done: &Summary, told: &Narrator) -> Vec<Line> {
    let mut lines = Line::bare(Tone::Plain, "");
    let title = if done.exit == 130 { "interrupted after" } else { "ended after" };
    lines.extend(Line::bare(Tone::Title, &format!("== {} {title} {} ==", word(told.kind), duration(done.seconds))));
    hosts(done, &mut lines);
    rehearsal(done, &mut lines);
    left_out(told, &mut lines);
    services(done, &mut lines);
    counts(done, told.kind, &mut lines);
    lines.extend(verdict(done, told));
    for next in &done.next {
        lines.extend(Line::bare(Tone::Plain, &format!("-> {next}")));
    }
    lines
}

fn hosts(done: &Summary, lines: &mut Vec<Line>) {
    let name_width = done.hosts.iter().map(|host| host.name.chars().count()).max().unwrap_or(0);
    let address_width = done.hosts.iter().map(|host| host.address.chars().count()).max().unwrap_or(0);
    let shown = worth_a_line(&done.hosts);
    for host in &shown {
        let system = system(&host.system, host.rehearsal);
        let text = format!("  {:name_width$}  {:address_width$}  {system}", host.name, host.address);
        let tone = if host.error.is_some() { Tone::Bad } else { Tone::Plain };
        lines.extend(Line::bare(tone, text.trim_end()));
        if let Some(error) = &host.error {
            lines.extend(Line::bare(Tone::Bad, &format!("  {:name_width$}  FAILED: {error}", "")));
        }
        for warning in &host.warnings {
            lines.extend(Line::bare(Tone::Loud, &format!("  {:name_width$}  WARNING: {warning}", "")));
        }
        if !host.roles.is_empty() {
            let roles: Vec<String> = host.roles.iter().map(role).collect();
            let bad = host.roles.iter().any(|role| matches!(role.state.as_str(), "failed" | "not reached"));
            let text = format!("  {:name_width$}  {}", "", roles.join("; "));
            lines.extend(Line::bare(if bad { Tone::Bad } else { Tone::Dim }, &text));
        }
    }
    let more: Vec<&HostSummary> = done.hosts.iter().filter(|host| !shown.iter().any(|shown| std::ptr::eq(*shown, *host))).collect();
    if !more.is_empty() {
        let touched = more.iter().filter(|host| host.changed > 0).count();
        let text = format!("  and {} on which nothing failed, {touched} of them with changes", count(more.len(), "more host"));
        lines.extend(Line::bare(Tone::Plain, &text));
    }
}

/// All hosts; of very many, those on which something failed, and the first ones with changes.
fn worth_a_line(hosts: &[HostSummary]) -> Vec<&HostSummary> {
    let failed =
        |host: &&HostSummary| host.error.is_some() || host.roles.iter().any(|role| matches!(role.state.as_str(), "failed" | "not reached"));
    if hosts.len() <= MANY_HOSTS {
        return hosts.iter().collect();
    }
    let first = hosts.iter().filter(|host| !failed(host) && host.changed > 0).take(MANY_HOSTS);
    first.chain(hosts.iter().filter(failed)).collect()
}

/// What a host is, in words.
pub(super) fn system(system: &str, rehearsal: bool) -> String {
    if rehearsal { format!("REHEARSAL host ({system})") } else { system.to_owned() }
}

fn role(role: &RoleTime) -> String {
    let seconds = if role.seconds >= 0.05 { format!(" {}", duration(role.seconds)) } else { String::new() };
    let name = &role.role;
    match role.state.as_str() {
        "changed" => format!("{name}{seconds}, {} changed", role.changed),
        "would change" => format!("{name}: {} would change", role.changed),
        "failed" => {
            let after = if seconds.is_empty() { String::new() } else { format!(" after{seconds}") };
            let changed = if role.changed == 0 { String::new() } else { format!(", {} changed before", role.changed) };
            format!("{name} FAILED{after}{changed}")
        }
        state => format!("{name} {state}"),
    }
}

fn rehearsal(done: &Summary, lines: &mut Vec<Line>) {
    let rehearsing = done.hosts.iter().filter(|host| host.rehearsal).count();
    if rehearsing > 0 {
        let text = format!(
            "REHEARSAL: {rehearsing} of {} are rehearsal hosts, not CentOS 7.6; what is said here holds for them only",
            count(done.hosts.len(), "host")
        );
        lines.extend(Line::bare(Tone::Loud, &text));
    }
    lines.extend(stand_ins(&done.stand_ins).into_iter().flat_map(|text| Line::bare(Tone::Loud, &format!("  {text}"))));
}

/// The names of the things that are not the real ones. What each of them is, is a page of text: `poclab status` shows it.
fn stand_ins(all: &[String]) -> Vec<String> {
    // `name: what it really is`, as in mirror.yml
    let parts = all.iter().map(|text| text.split_once(": ").unwrap_or((text, "")));
    let (empty, working): (Vec<_>, Vec<_>) = parts.partition(|(_, what)| what.starts_with("Placeholder"));
    let line = |label: &str, list: Vec<(&str, &str)>| {
        let names: Vec<&str> = list.into_iter().map(|(name, _)| name).collect();
        (!names.is_empty()).then(|| format!("{label}: {}", names.join(", ")))
    };
    let lines = [line("stand-ins (`poclab status` says what they really are)", working), line("placeholders that do nothing", empty)];
    lines.into_iter().flatten().collect()
}

/// The same thing about several hosts becomes one line: what the titles begin with, and their last words.
pub(super) fn together(titles: &[&str]) -> String {
    let halves: Vec<(&str, &str)> = titles.iter().filter_map(|title| title.rsplit_once(' ')).collect();
    match halves.first() {
        Some((start, _)) if halves.len() == titles.len() && halves.iter().all(|(other, _)| other == start) => {
            format!("{start} {}", halves.iter().map(|(_, last)| *last).collect::<Vec<_>>().join(", "))
        }
        _ => titles.join("; "),
    }
}

/// What did not happen, and why.
fn left_out(told: &Narrator, lines: &mut Vec<Line>) {
    for ((resource, why), hosts) in &told.skipped_resources {
        lines.extend(Line::bare(Tone::Warn, &format!("skipped on {}: {resource}: {why}", names(hosts))));
    }
    let mut checks: Vec<(&str, Vec<&str>)> = Vec::new();
    for (what, why) in &told.skipped {
        match checks.iter_mut().find(|(reason, _)| reason == why) {
            Some((_, titles)) => titles.push(what),
            None => checks.push((why, vec![what])),
        }
    }
    for (why, titles) in checks {
        lines.extend(Line::bare(Tone::Warn, &format!("skipped: check {}: {why}", together(&titles))));
    }
    for (what, why) in &told.failed_roles {
        lines.extend(Line::bare(Tone::Bad, &format!("failed: role {what}: {why}")));
    }
    for (what, why) in &told.not_reached {
        lines.extend(Line::bare(Tone::Warn, &format!("not reached: role {what}: {why}")));
    }
    for ((role, why), hosts) in &told.not_configured {
        lines.extend(Line::bare(Tone::Warn, &format!("not configured: role {role} on {}: {why}", names(hosts))));
    }
    for (what, why) in &told.failed {
        lines.extend(Line::bare(Tone::Bad, &format!("failed: check {what}: {why}")));
    }
}

fn services(done: &Summary, lines: &mut Vec<Line>) {
    if !done.services.is_empty() {
        lines.extend(Line::bare(Tone::Plain, "services:"));
    }
    let width = done.services.iter().map(|service| service.name.chars().count()).max().unwrap_or(0);
    for service in &done.services {
        let login = service.login.as_ref().map(|login| format!("  (login: {login})")).unwrap_or_default();
        lines.extend(Line::bare(Tone::Title, &format!("  {:width$}  {}{login}", service.name, service.url)));
    }
}

fn counts(done: &Summary, kind: RunKind, lines: &mut Vec<Line>) {
    if kind != RunKind::Verify {
        let verb = if kind == RunKind::Plan { "would change" } else { "changed" };
        let mut text = format!("{}: {} {verb}", count(done.resources, "resource"), done.changed);
        if done.skipped > 0 {
            text += &format!(", {} skipped", done.skipped);
        }
        if done.unknown > 0 {
            let when = if kind == RunKind::Plan { "" } else { " at first" };
            text += &format!(", {} could not be looked at{when}", done.unknown);
        }
        lines.extend(Line::bare(Tone::Plain, &text));
    }
    if let Some(checks) = done.checks {
        let tone = if checks.failed > 0 { Tone::Bad } else { Tone::Plain };
        lines.extend(Line::bare(tone, &format!("checks: {} passed, {} failed, {} skipped", checks.passed, checks.failed, checks.skipped)));
    }
    if let Some(note) = &done.checks_note {
        lines.extend(Line::bare(Tone::Plain, &format!("checks: {note}")));
    } else if done.checks.is_none() && kind == RunKind::Bootstrap {
        lines.extend(Line::bare(Tone::Warn, "checks: not run"));
    }
}

/// One line that says whether it is fine.
pub(super) fn verdict(done: &Summary, told: &Narrator) -> Vec<Line> {
    let seen: Vec<&HostSummary> = done.hosts.iter().filter(|host| host.error.is_none()).collect();
    let unseen = done.hosts.len() - seen.len();
    let touched = seen.iter().filter(|host| host.changed > 0).count();
    let on = count(seen.len(), "host");
    let proven = match done.checks {
        Some(checks) if checks.skipped > 0 => {
            format!("; {} passed, {} skipped and NOT proven", count(checks.passed, "check result"), checks.skipped)
        }
        Some(checks) => format!("; {} passed", count(checks.passed, "check result")),
        None => String::new(),
    };
    let roles: BTreeSet<&str> = told.not_configured.keys().map(|(role, _)| role.as_str()).collect();
    let lacking = if roles.is_empty() {
        String::new()
    } else {
        format!("; NOT configured, and so neither set up nor proven: {}", roles.into_iter().collect::<Vec<_>>().join(", "))
    };
    let (tone, text) = match (done.exit, told.kind) {
        (0, RunKind::Verify) => match done.checks {
            // A verification that looked at nothing proves nothing.
            None => (Tone::Warn, "nothing was proven: no check ran".to_owned()),
            Some(checks) if checks.passed == 0 => (Tone::Warn, format!("nothing was proven: no check passed, {} skipped", checks.skipped)),
            Some(checks) => {
                let skipped = if checks.skipped > 0 { format!("; {} skipped and NOT proven", checks.skipped) } else { String::new() };
                (Tone::Good, format!("fine: {} passed, none failed{skipped}", count(checks.passed, "check result")))
            }
        },
        (0, kind) if done.changed == 0 => {
            let verb = if kind == RunKind::Plan { "nothing would change" } else { "nothing changed" };
            let sure = done.resources.saturating_sub(done.skipped + done.unknown);
            let (are, they) = if sure == 1 { ("is", "it") } else { ("are", "they") };
            let rest = if done.unknown > 0 { format!("; {} could not be looked at", done.unknown) } else { String::new() };
            (
                if done.unknown > 0 { Tone::Warn } else { Tone::Good },
                format!("{verb}: {} on {on} {are} as {they} should be{rest}{proven}", count(sure, "resource")),
            )
        }
        (0, _) => (
            Tone::Good,
            format!(
                "fine: {} changed on {}; everything is as it should be{proven}",
                count(done.changed, "resource"),
                count(touched, "host")
            ),
        ),
        (2, _) if done.changed == 0 => {
            (Tone::Warn, "nothing would change, but what an earlier run left is still to be tidied up".to_owned())
        }
        (2, _) => (Tone::Warn, format!("{} on {} would change", count(done.changed, "resource"), count(touched, "host"))),
        (3, _) => (Tone::Bad, format!("NOT fine: {} failed", count(done.checks.map_or(0, |checks| checks.failed), "check result"))),
        (4, _) => {
            let what = if unseen > 0 { count(unseen, "host") } else { count(done.unknown, "resource") };
            (Tone::Bad, format!("NOT fine: {what} could not be looked at"))
        }
        (130, _) => (Tone::Warn, "interrupted: what was begun is finished by the next run".to_owned()),
        _ => {
            let roles = |number: usize, end: &str| if number == 0 { String::new() } else { format!("{} {end}", count(number, "role")) };
            let mut parts = vec![roles(told.failed_roles.len(), "failed"), roles(told.not_reached.len(), "not reached")];
            if unseen > 0 {
                parts.push(format!("{} left out", count(unseen, "host")));
            }
            parts.retain(|part| !part.is_empty());
            let what = if parts.is_empty() { format!("exit code {}", done.exit) } else { parts.join(", ") };
            (Tone::Bad, format!("NOT fine: {what}"))
        }
    };
    Line::bare(tone, &if done.exit == 0 { text + &lacking } else { text })
}
