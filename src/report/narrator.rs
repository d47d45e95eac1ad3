//! Events told as lines of text: what both the live view and the plain output say.

use std::collections::BTreeMap;

use super::line::{Line, MANY_HOSTS, Tone, count, duration, few, names};
use super::summary;
use crate::engine::{Event, RunKind, Status};

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// Beside a live view that shows what is going on: only what is finished.
    Live,
    /// On its own: starts as well.
    Plain,
}

/// A diff is cut after this many lines when the change is made anyway; `plan` shows it whole.
const DIFF_LINES: usize = 30;
/// The live view lists the passed results of a check up to this many; more become a count.
const LISTED_PASSES: usize = 6;
/// Steps that took less (seconds) are not told again when they end.
const LONG_STEP: f64 = 2.0;

/// What has been told so far and is needed again.
pub(super) struct Narrator {
    view: View,
    pub kind: RunKind,
    /// Whether there are too many hosts for a line on each in the live view.
    many: bool,
    /// Passed results of the check that is running, held back for the live view.
    passed: Vec<String>,
    controls: usize,
    /// For the summary: what did not pass, with details.
    pub failed: Vec<(String, String)>,
    pub skipped: Vec<(String, String)>,
    /// Skipped resources with the reason, and the hosts.
    pub skipped_resources: BTreeMap<(String, String), Vec<String>>,
    /// `role on host`, and why.
    pub failed_roles: Vec<(String, String)>,
    pub not_reached: Vec<(String, String)>,
    /// Roles that lack something which people must give, with what it is, and the hosts.
    pub not_configured: BTreeMap<(String, String), Vec<String>>,
}

impl Narrator {
    pub fn new(view: View) -> Self {
        Self {
            view,
            kind: RunKind::Bootstrap,
            many: false,
            passed: Vec::new(),
            controls: 0,
            failed: Vec::new(),
            skipped: Vec::new(),
            skipped_resources: BTreeMap::new(),
            failed_roles: Vec::new(),
            not_reached: Vec::new(),
            not_configured: BTreeMap::new(),
        }
    }

    /// The lines for an event; often none.
    pub fn tell(&mut self, event: &Event) -> Vec<Line> {
        let plain = self.view == View::Plain;
        match event {
            Event::RunStarted { kind, lab, version, hosts, roles, started: _ } => {
                self.kind = *kind;
                self.many = hosts.len() > MANY_HOSTS;
                let roles = if roles.is_empty() { String::new() } else { format!("; roles {}", roles.join(", ")) };
                let text =
                    format!("poclab {version}: {} of lab {lab}: {} ({}){roles}", word(*kind), count(hosts.len(), "host"), names(hosts));
                Line::bare(Tone::Title, &text)
            }
            // For reports that are read later; whoever runs it knows.
            Event::Scope(_) => Vec::new(),
            Event::Connecting { host, address } if plain => Line::about(host, Tone::Dim, &format!("connecting to {address}")),
            Event::Connecting { .. } => Vec::new(),
            // The live view counts them.
            Event::Observed { .. } if self.many && !plain => Vec::new(),
            Event::Observed { host, resources, seconds, system, rehearsal } => {
                let system = summary::system(system, *rehearsal);
                let text = format!("looked at {} in {}; {system}", count(*resources, "resource"), duration(*seconds));
                Line::about(host, if *rehearsal { Tone::Warn } else { Tone::Dim }, &text)
            }
            Event::HostFailed { host, error } => Line::about(host, Tone::Bad, &format!("FAILED: {error}")),
            Event::HostWarning { host, warning } => Line::about(host, Tone::Loud, &format!("WARNING: {warning}")),
            Event::Change { host, role, resource, reasons, diff, origin } => {
                self.change(&at(host, role), resource, reasons, diff.as_deref(), origin)
            }
            Event::ResourceSkipped { host, role, resource, why } => {
                self.skipped_resources.entry((resource.clone(), why.clone())).or_default().push(host.clone());
                Line::about(&at(host, role), Tone::Warn, &format!("skipped {resource}: {why}"))
            }
            Event::ResourceUnknown { host, role, resource, why, deferred } => {
                let (tone, later) =
                    if *deferred { (Tone::Dim, " (is looked at again after the changes before it)") } else { (Tone::Bad, "") };
                Line::about(&at(host, role), tone, &format!("could not look at {resource}: {why}{later}"))
            }
            Event::RoleStarted { .. } | Event::Uploading { .. } => Vec::new(),
            Event::StepStarted { host, role, label, number, steps } if plain => {
                Line::about(&at(host, role), Tone::Plain, &format!("{number}/{steps} {label}"))
            }
            Event::StepStarted { .. } => Vec::new(),
            Event::StepDone { host, role, label, seconds } => self.done(&at(host, role), label, *seconds),
            Event::HandlerDone { host, role, name, seconds } => self.done(&at(host, role), name, *seconds),
            // Many roles, nothing to say: the summary counts them.
            Event::RoleDone { changed: 0, .. } => Vec::new(),
            Event::RoleDone { host, role, changed, seconds } => Line::about(
                &at(host, role),
                Tone::Good,
                &format!("done: {} changed in {}", count(*changed, "resource"), duration(*seconds)),
            ),
            Event::RoleFailed { host, role, error, output, hint } => {
                self.failed_roles.push((format!("{role} on {host}"), error.clone()));
                let mut lines = Line::about(&at(host, role), Tone::Bad, &format!("FAILED: {error}"));
                lines.extend(output.iter().flat_map(|text| text.lines()).map(|text| Line::quote(Tone::Plain, text)));
                if let Some(hint) = hint {
                    lines.extend(Line::about(&at(host, role), Tone::Warn, &format!("what to do: {hint}")));
                }
                lines
            }
            Event::RoleNotReached { host, role, because } => {
                self.not_reached.push((format!("{role} on {host}"), because.clone()));
                Line::about(&at(host, role), Tone::Warn, &format!("not reached: {because}"))
            }
            Event::RoleNotConfigured { host, role, why } => {
                self.not_configured.entry((role.clone(), why.clone())).or_default().push(host.clone());
                Line::about(&at(host, role), Tone::Warn, &format!("not configured: {why}"))
            }
            Event::Command { host, script } => {
                let mut lines = Line::about(host, Tone::Dim, "runs:");
                lines.extend(script.lines().map(|line| Line::quote(Tone::Dim, line)));
                lines
            }
            Event::ChecksStarted { checks } => Line::bare(Tone::Title, &format!("proving that it works: {}", count(*checks, "check"))),
            Event::CheckStarted { check, .. } => {
                self.passed.clear();
                self.controls = 0;
                if plain { Line::about(&format!("check {check}"), Tone::Dim, "started") } else { Vec::new() }
            }
            Event::CheckProgress { .. } => Vec::new(),
            Event::CheckResult { check, role: _, title, status, control, detail } => self.result(check, title, *status, *control, detail),
            Event::LastData { source, host, last } if plain => {
                Line::about(host, Tone::Dim, &format!("{source}: last data {}", last.as_deref().unwrap_or("not lately")))
            }
            Event::LastData { .. } => Vec::new(),
            Event::CheckDone { check, role: _, seconds } => self.check_done(check, *seconds),
            Event::Reservation { what, why, list } => {
                // The log and the report have all of them.
                let some = if list.is_empty() { String::new() } else { format!(" ({})", few(list)) };
                Line::bare(Tone::Loud, &format!("WARNING: {what}{some}: {why}"))
            }
            Event::Note { text } => Line::bare(Tone::Warn, &format!("note: {text}")),
            Event::RunDone(done) => summary::lines(done, self),
        }
    }

    fn change(&self, head: &str, resource: &str, reasons: &[String], diff: Option<&str>, origin: &str) -> Vec<Line> {
        // Changes are announced before any of them is made; "changed" is said by the role that made them.
        let verb = if self.kind == RunKind::Plan { "would change" } else { "will change" };
        let source = if origin.is_empty() { String::new() } else { format!(" [{origin}]") };
        let mut lines = match reasons {
            [only] => Line::about(head, Tone::Plain, &format!("{verb} {resource}: {only}{source}")),
            several => {
                let mut lines = Line::about(head, Tone::Plain, &format!("{verb} {resource}{source}"));
                lines.extend(several.iter().map(|reason| Line::quote(Tone::Plain, reason)));
                lines
            }
        };
        let all: Vec<&str> = diff.unwrap_or_default().lines().collect();
        let shown = if self.kind == RunKind::Plan { all.len() } else { all.len().min(DIFF_LINES) };
        lines.extend(all[..shown].iter().map(|line| {
            let tone = match line.as_bytes().first() {
                Some(b'+') => Tone::Added,
                Some(b'-') => Tone::Removed,
                _ => Tone::Dim,
            };
            Line::quote(tone, line)
        }));
        if shown < all.len() {
            lines
                .push(Line::quote(Tone::Dim, &format!("... {} more (`poclab plan` shows a diff whole)", count(all.len() - shown, "line"))));
        }
        lines
    }

    fn done(&self, head: &str, what: &str, seconds: f64) -> Vec<Line> {
        if self.view == View::Plain && seconds < LONG_STEP {
            return Vec::new();
        }
        Line::about(head, Tone::Dim, &format!("done: {what} ({})", duration(seconds)))
    }

    fn result(&mut self, check: &str, title: &str, status: Status, control: bool, detail: &str) -> Vec<Line> {
        let title = if control { format!("(control) {title}") } else { title.to_owned() };
        let text = if detail.is_empty() { title.clone() } else { format!("{title}: {detail}") };
        self.controls += usize::from(control);
        let head = format!("check {check}");
        match status {
            Status::Passed if self.view == View::Live => {
                self.passed.push(text);
                Vec::new()
            }
            Status::Passed => Line::about(&head, Tone::Good, &format!("passed  {text}")),
            Status::Failed => {
                self.failed.push((format!("{check}: {title}"), detail.to_owned()));
                Line::about(&head, Tone::Bad, &format!("FAILED  {text}"))
            }
            Status::Skipped => {
                self.skipped.push((format!("{check}: {title}"), detail.to_owned()));
                Line::about(&head, Tone::Warn, &format!("skipped {text}"))
            }
        }
    }

    fn check_done(&mut self, check: &str, seconds: f64) -> Vec<Line> {
        let head = format!("check {check}");
        let passed = std::mem::take(&mut self.passed);
        if self.view == View::Plain {
            return Line::about(&head, Tone::Dim, &format!("ended after {}", duration(seconds)));
        }
        if passed.len() <= LISTED_PASSES || self.kind == RunKind::Verify {
            return passed.iter().flat_map(|text| Line::about(&head, Tone::Good, &format!("passed  {text}"))).collect();
        }
        let controls = if self.controls == 0 { String::new() } else { format!(", {} among them", count(self.controls, "control")) };
        Line::about(&head, Tone::Good, &format!("passed  {}{controls} ({})", count(passed.len(), "result"), duration(seconds)))
    }
}

fn at(host: &str, role: &str) -> String {
    format!("{host} {role}")
}

/// The kind of a run, as it is said.
pub(super) fn word(kind: RunKind) -> &'static str {
    match kind {
        RunKind::Bootstrap => "bootstrap",
        RunKind::Plan => "plan",
        RunKind::Verify => "verification",
    }
}
