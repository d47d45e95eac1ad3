//! `poclab status` for people and programs.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::line::{Tone, count};
use super::page::Page;
use super::{Format, clean, print_text};
use crate::base::Redactor;
use crate::engine::{Finding, HostStatus, LastData, LinkStatus, Reached, RoleStatus, StatusReport};
use crate::lab::ca::RENEW_DAYS;
use crate::resource::Detail;

/// Differences of a host that are listed; more become a count.
const LISTED: usize = 6;

/// Seconds after which the last data of a host is old: what measures does it several times a minute.
const OLD: i64 = 120;

/// Prints the report on standard output.
pub fn print_status(report: &StatusReport, format: Format, redactor: &Redactor) -> Result<(), String> {
    let report: StatusReport = clean::value(report, redactor)?;
    if format == Format::Json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        print_text(&format!("{text}\n"));
    } else {
        let mut page = Page::for_stdout();
        write(&mut page, &report, OffsetDateTime::now_utc());
        print_text(&page.text());
    }
    Ok(())
}

fn write(page: &mut Page, report: &StatusReport, now: OffsetDateTime) {
    page.line(Tone::Title, &format!("lab {}, {}, seen {}", report.lab, count(report.hosts.len(), "host"), report.at));
    for host in &report.hosts {
        page.gap();
        write_host(page, host, now);
    }
    if !report.links.is_empty() {
        page.gap();
        page.line(Tone::Title, "links");
        report.links.iter().for_each(|link| write_link(page, link, now));
    }
    if !report.last_data.is_empty() {
        page.gap();
        page.line(Tone::Title, "last data");
        for data in &report.last_data {
            let about = if data.host.is_empty() { data.source.clone() } else { format!("{} of {}", data.source, data.host) };
            let (tone, when) = last(data, now);
            page.line(tone, &format!("  {about}: {when}"));
        }
    }
    page.gap();
    if ends(report).any(|end| until(end, now).0 != Tone::Plain) {
        let days = RENEW_DAYS;
        page.line(Tone::Loud, &format!("certificates of the lab CA are made anew by `poclab bootstrap` in their last {days} days"));
    }
    for stand_in in &report.stand_ins {
        page.line(Tone::Loud, &format!("stand-in: {stand_in}"));
    }
    let (tone, checks) = match &report.checks {
        None => (Tone::Warn, "the checks have not run on this lab yet: poclab verify".to_owned()),
        Some(last) if !last.passed => (Tone::Bad, format!("the checks FAILED on {}: poclab verify", last.at)),
        Some(last) if !last.same => {
            (Tone::Warn, format!("the checks passed on {}, but the lab has other checks now: poclab verify", last.at))
        }
        Some(last) => (Tone::Good, format!("the checks last passed on {}", last.at)),
    };
    page.line(tone, &checks);
}

/// `2026-05-06T10:00:00Z (8 s ago)`
fn last(data: &LastData, now: OffsetDateTime) -> (Tone, String) {
    let Some(at) = &data.at else { return (Tone::Bad, data.says.clone()) };
    let Ok(moment) = OffsetDateTime::parse(at, &Rfc3339) else { return (Tone::Warn, data.says.clone()) };
    // A clock may be a little behind that of whoever told it.
    match (now - moment).whole_seconds().max(0) {
        seconds if seconds <= OLD => (Tone::Plain, format!("{} ({seconds} s ago)", data.says)),
        seconds => (Tone::Warn, format!("{} (OLD: {} ago)", data.says, age(seconds.unsigned_abs()))),
    }
}

/// The ends of all certificates that were seen.
fn ends(report: &StatusReport) -> impl Iterator<Item = &str> {
    let in_files = report.hosts.iter().flat_map(|host| &host.details).filter_map(|detail| match detail {
        Detail::Certificate { ends, .. } => Some(ends.as_str()),
        _ => None,
    });
    in_files.chain(report.links.iter().filter_map(|link| link.certificate_ends.as_deref()))
}

fn write_host(page: &mut Page, host: &HostStatus, now: OffsetDateTime) {
    if let Some(error) = &host.error {
        page.line(Tone::Bad, &format!("{} ({}): COULD NOT BE OBSERVED", host.name, host.address));
        page.paragraph(Tone::Bad, 2, error);
        return;
    }
    page.line(Tone::Title, &format!("{} ({})", host.name, host.address));
    let up = host.uptime.map(|seconds| format!(", up {}", age(seconds))).unwrap_or_default();
    let system = format!("{}, kernel {}{up}", host.system, host.kernel);
    let loud = (Tone::Loud, "REHEARSAL host".to_owned());
    page.list("system", &host.rehearsal.then_some(loud).into_iter().chain([(Tone::Plain, system)]).collect::<Vec<_>>());
    if let Some(lock) = &host.lock {
        let from = if lock.from.is_empty() { String::new() } else { format!(" (from {})", lock.from) };
        page.lines("held by", &[(Tone::Warn, format!("a run of {}{from} since {}", lock.owner, lock.since))]);
    }
    page.lines("left behind", &host.left.iter().map(|left| (Tone::Warn, left.clone())).collect::<Vec<_>>());
    page.list("roles", &host.roles.iter().map(role).collect::<Vec<_>>());
    write_findings(page, host);

    let pick = |one: &dyn Fn(&Detail) -> Option<(Tone, String)>| host.details.iter().filter_map(one).collect::<Vec<_>>();
    let tone = |good: &bool| if *good { Tone::Plain } else { Tone::Bad };
    let list = |page: &mut Page, label: &str, one: &dyn Fn(&Detail) -> Option<(Tone, String)>| page.list(label, &pick(one));
    list(page, "services", &|detail| match detail {
        Detail::Unit { name, state, good } => Some((tone(good), format!("{name} {state}"))),
        _ => None,
    });
    list(page, "containers", &|detail| match detail {
        Detail::Container { name, state, image, version, good } => {
            let from = if image.is_empty() { String::new() } else { format!(" from {image}") };
            let version = version.as_ref().map(|version| format!(" (version {version})")).unwrap_or_default();
            Some((tone(good), format!("{name} {state}{from}{version}")))
        }
        _ => None,
    });
    list(page, "packages", &|detail| match detail {
        Detail::Package { name, version } => Some((Tone::Plain, format!("{name} {version}"))),
        _ => None,
    });
    list(page, "images", &|detail| match detail {
        Detail::Image { reference, id } => Some((Tone::Plain, format!("{reference} ({})", short(id)))),
        _ => None,
    });
    page.lines("certificates", &certificates(&host.details, now));
}

fn role(role: &RoleStatus) -> (Tone, String) {
    if role.not_configured.is_some() {
        return (Tone::Warn, format!("{} NOT CONFIGURED", role.role));
    }
    let mut words = Vec::new();
    let mut add = |number: usize, what: &str| {
        if number > 0 {
            words.push(format!("{number} {what}"));
        }
    };
    add(role.differs.len(), if role.differs.len() == 1 { "differs" } else { "differ" });
    add(role.unknown.len(), "could not be looked at");
    add(role.pending.len(), if role.pending.len() == 1 { "restart to be done" } else { "restarts to be done" });
    let skipped = if role.skipped.is_empty() { String::new() } else { format!(" ({} skipped)", role.skipped.len()) };
    if words.is_empty() {
        let tone = if skipped.is_empty() { Tone::Good } else { Tone::Warn };
        return (tone, format!("{} ok{skipped}", role.role));
    }
    let tone = if role.differs.is_empty() && role.pending.is_empty() { Tone::Warn } else { Tone::Bad };
    (tone, format!("{}: {}{skipped}", role.role, words.join(" and ")))
}

fn write_findings(page: &mut Page, host: &HostStatus) {
    let said = |finding: &Finding| match finding.why.as_slice() {
        [] => finding.resource.clone(),
        [one] => format!("{}: {one}", finding.resource),
        [first, rest @ ..] => format!("{}: {first}; {} more", finding.resource, rest.len()),
    };
    let of = |pick: fn(&RoleStatus) -> &Vec<Finding>, tone: Tone| -> Vec<(Tone, String)> {
        let all: Vec<_> = host.roles.iter().flat_map(pick).map(|finding| (tone, said(finding))).collect();
        let more = all.len().saturating_sub(LISTED);
        let rest = (more > 0).then(|| (Tone::Dim, format!("and {more} more: poclab plan --host {}", host.name)));
        all.into_iter().take(LISTED).chain(rest).collect()
    };
    page.lines("differs", &of(|role| &role.differs, Tone::Bad));
    page.lines("not seen", &of(|role| &role.unknown, Tone::Warn));
    let pending = host.roles.iter().flat_map(|role| &role.pending);
    page.lines("to be done", &pending.map(|name| (Tone::Bad, format!("{name} (left by a run that did not finish)"))).collect::<Vec<_>>());
    page.lines("skipped", &of(|role| &role.skipped, Tone::Warn));
    let lacking = host.roles.iter().filter_map(|role| Some((Tone::Warn, format!("{}: {}", role.role, role.not_configured.as_ref()?))));
    page.lines("not configured", &lacking.collect::<Vec<_>>());
}

/// One line per certificate, however many files it is in; the first to end comes first.
fn certificates(details: &[Detail], now: OffsetDateTime) -> Vec<(Tone, String)> {
    let mut found: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for detail in details {
        if let Detail::Certificate { path, subject, ends } = detail {
            found.entry((ends, subject)).or_default().push(path);
        }
    }
    let line = |((ends, subject), files): ((&str, &str), Vec<&str>)| {
        let place = if let [one] = files.as_slice() { (*one).to_owned() } else { count(files.len(), "file") };
        let (tone, until) = until(ends, now);
        (tone, format!("{subject} {until}: {place}"))
    };
    found.into_iter().map(line).collect()
}

/// `valid until 2031-05-06 (1625 days)`
fn until(ends: &str, now: OffsetDateTime) -> (Tone, String) {
    let day = ends.split('T').next().unwrap_or_default();
    let Ok(end) = OffsetDateTime::parse(ends, &Rfc3339) else { return (Tone::Warn, format!("valid until {ends}")) };
    match (end - now).whole_days() {
        _ if end <= now => (Tone::Bad, format!("ENDED on {day}")),
        days if days < RENEW_DAYS => (Tone::Loud, format!("ENDS SOON, on {day} ({days} days left)")),
        days => (Tone::Plain, format!("valid until {day} ({days} days)")),
    }
}

fn write_link(page: &mut Page, link: &LinkStatus, now: OffsetDateTime) {
    page.line(Tone::Plain, &format!("  {} on {}: {}", link.name, link.host, link.url));
    let tone = match link.reached {
        Reached::Yes => Tone::Good,
        Reached::Wrong | Reached::No => Tone::Bad,
        Reached::NotTried => Tone::Dim,
    };
    page.paragraph(tone, 6, &link.says);
    if let Some(ends) = &link.certificate_ends {
        let (tone, until) = until(ends, now);
        page.paragraph(tone, 6, &format!("its certificate: {until}"));
    }
    if let Some(login) = &link.login {
        page.paragraph(Tone::Plain, 6, &format!("login: {login}"));
    }
}

fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}

/// `3 d 4 h`, `4 h 5 min`, `5 min`.
fn age(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds % 86_400 / 3600, seconds % 3600 / 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min"),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
