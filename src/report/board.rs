//! What is going on right now: one entry per host, or the running check. Knows no terminal; time is given to it.

use std::time::{Duration, Instant};

use super::line::{bytes, count, cut, duration};
use super::narrator::word;
use crate::engine::{Event, RunKind};

/// What a host does.
struct Row {
    host: String,
    /// `None`: nothing of its own; it waits for others, or has nothing to do yet.
    doing: Option<Doing>,
    since: Instant,
}

struct Doing {
    /// e.g. `docker 2/5`; may be empty.
    place: String,
    what: String,
    /// Sent and total bytes of an upload.
    upload: Option<(u64, u64)>,
}

/// The state of a run.
pub(super) struct Board {
    kind: RunKind,
    started: Option<Instant>,
    rows: Vec<Row>,
    /// Checks to run, checks started, the running one's name, note, start.
    checks: Option<Checks>,
    /// Nothing is shown before the start and after the end.
    over: bool,
}

struct Checks {
    all: usize,
    begun: usize,
    running: Option<(String, String, Instant)>,
}

impl Board {
    pub fn new() -> Self {
        Self { kind: RunKind::Bootstrap, started: None, rows: Vec::new(), checks: None, over: true }
    }

    /// Takes notice of an event.
    pub fn see(&mut self, event: &Event, now: Instant) {
        match event {
            Event::RunStarted { kind, hosts, .. } => {
                let rows = hosts.iter().map(|host| Row { host: host.clone(), doing: None, since: now }).collect();
                *self = Self { kind: *kind, started: Some(now), rows, checks: None, over: false };
            }
            Event::Connecting { host, address } => self.set(host, now, "", &format!("connecting to {address}")),
            Event::Observed { host, .. } | Event::RoleDone { host, .. } | Event::RoleFailed { host, .. } => self.idle(host, now),
            Event::HostFailed { host, .. } => self.rows.retain(|row| row.host != *host),
            Event::RoleStarted { host, role, .. } => self.set(host, now, role, "starts"),
            Event::StepStarted { host, role, label, number, steps } => self.set(host, now, &format!("{role} {number}/{steps}"), label),
            Event::StepDone { host, role, .. } | Event::HandlerDone { host, role, .. } => self.set(host, now, role, "works"),
            Event::Uploading { host, label, sent, total } => self.upload(host, now, label, *sent, *total),
            Event::ChecksStarted { checks } => {
                self.rows.clear();
                self.checks = Some(Checks { all: *checks, begun: 0, running: None });
            }
            Event::CheckStarted { check, .. } => {
                if let Some(checks) = &mut self.checks {
                    checks.begun += 1;
                    checks.running = Some((check.clone(), String::new(), now));
                }
            }
            Event::CheckProgress { check, note } => {
                if let Some((_, text, _)) = self.checks.as_mut().and_then(|c| c.running.as_mut()).filter(|(name, ..)| name == check) {
                    note.clone_into(text);
                }
            }
            Event::CheckDone { .. } => {
                if let Some(checks) = &mut self.checks {
                    checks.running = None;
                }
            }
            Event::RunDone(_) => *self = Self::new(),
            Event::Scope(_)
            | Event::Change { .. }
            | Event::HostWarning { .. }
            | Event::ResourceSkipped { .. }
            | Event::ResourceUnknown { .. }
            | Event::RoleNotReached { .. }
            | Event::RoleNotConfigured { .. }
            | Event::Command { .. }
            | Event::CheckResult { .. }
            | Event::LastData { .. }
            | Event::Reservation { .. }
            | Event::Note { .. } => {}
        }
    }

    fn row(&mut self, host: &str) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.host == host)
    }

    fn set(&mut self, host: &str, now: Instant, place: &str, what: &str) {
        if let Some(row) = self.row(host) {
            row.doing = Some(Doing { place: place.to_owned(), what: what.to_owned(), upload: None });
            row.since = now;
        }
    }

    fn idle(&mut self, host: &str, now: Instant) {
        if let Some(row) = self.row(host) {
            row.doing = None;
            row.since = now;
        }
    }

    fn upload(&mut self, host: &str, now: Instant, label: &str, sent: u64, total: u64) {
        let Some(row) = self.row(host) else { return };
        let what = if label.is_empty() { "sending" } else { label };
        match &mut row.doing {
            Some(doing) => {
                what.clone_into(&mut doing.what);
                doing.upload = Some((sent, total));
            }
            None => {
                row.doing = Some(Doing { place: String::new(), what: what.to_owned(), upload: Some((sent, total)) });
                row.since = now;
            }
        }
    }

    /// The lines of the live view: at most `height`, of at most `width` characters each, the last one about the whole run.
    pub fn lines(&self, height: usize, width: usize, now: Instant) -> Vec<String> {
        let Some(started) = self.started.filter(|_| !self.over) else { return Vec::new() };
        let (rows, more) = self.visible(height.saturating_sub(1));
        let names = rows.iter().map(|row| row.host.chars().count()).max().unwrap_or(0).min(20);
        let mut lines: Vec<String> = rows
            .into_iter()
            .map(|row| {
                let time = duration(seconds(row.since, now));
                let what = row.doing.as_ref().map_or_else(|| "waits".to_owned(), Doing::text);
                fit(&format!("  {:names$}  {what}", cut(&row.host, 20)), &time, width)
            })
            .collect();
        lines.extend(more.map(|more| cut(&more, width)));
        if let Some(checks) = &self.checks {
            let number = format!("check {} of {}", checks.begun, checks.all);
            lines.push(match &checks.running {
                Some((name, note, since)) if note.is_empty() => fit(&format!("  {number}  {name}"), &duration(seconds(*since, now)), width),
                Some((name, note, since)) => fit(&format!("  {number}  {name}: {note}"), &duration(seconds(*since, now)), width),
                None => cut(&format!("  {number}"), width),
            });
        }
        lines.push(cut(&format!("{}, {} so far; Ctrl-C stops safely", word(self.kind), duration(seconds(started, now))), width));
        lines
    }

    /// The hosts that get a line. Where there is no room for all: those that have been busy the longest, and a line that counts.
    fn visible(&self, room: usize) -> (Vec<&Row>, Option<String>) {
        if self.rows.len() <= room {
            return (self.rows.iter().collect(), None);
        }
        let mut busy: Vec<&Row> = self.rows.iter().filter(|row| row.doing.is_some()).collect();
        busy.sort_by_key(|row| row.since);
        let hidden = busy.split_off(busy.len().min(room.saturating_sub(1))).len();
        let rest = self.rows.len() - busy.len() - hidden;
        let more = if hidden > 0 { format!("{hidden} more busy, ") } else { String::new() };
        (busy, Some(format!("  {more}{} waiting or done", count(rest, "host"))))
    }

    /// What is being waited for, for an output without a live view: who, what, for how long.
    pub fn waits(&self, now: Instant) -> Vec<(String, String, Duration)> {
        let busy = self.rows.iter().filter_map(|row| {
            let doing = row.doing.as_ref()?;
            Some((row.host.clone(), doing.text(), now.saturating_duration_since(row.since)))
        });
        let check = self.checks.iter().filter_map(|checks| checks.running.as_ref()).map(|(name, note, since)| {
            let note = if note.is_empty() { "runs" } else { note };
            (format!("check {name}"), note.to_owned(), now.saturating_duration_since(*since))
        });
        busy.chain(check).collect()
    }

    /// Whether a run is going on.
    pub fn is_running(&self) -> bool {
        !self.over
    }
}

impl Doing {
    fn text(&self) -> String {
        let what = match self.upload {
            Some((sent, total)) if total > 0 => {
                // u128: bytes times 100 may not fit.
                let percent = u128::from(sent) * 100 / u128::from(total);
                format!("{}: {} of {} sent ({percent} %)", self.what, bytes(sent), bytes(total))
            }
            _ => self.what.clone(),
        };
        if self.place.is_empty() { what } else { format!("{}  {what}", self.place) }
    }
}

fn seconds(since: Instant, now: Instant) -> f64 {
    now.saturating_duration_since(since).as_secs_f64()
}

/// Text on the left, time on the right, exactly as wide as allowed.
fn fit(text: &str, time: &str, width: usize) -> String {
    let room = width.saturating_sub(time.chars().count() + 2);
    cut(&format!("{:room$}  {time}", cut(&text.replace(['\n', '\t'], " "), room)), width)
}
