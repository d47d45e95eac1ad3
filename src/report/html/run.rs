//! What happened in a run, by subject.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::record::Stamped;
use crate::engine::{Event, RunKind, Scope, Status, Summary};
use crate::report::line::Line;
use crate::report::narrator::{Narrator, View};
use crate::report::summary;

/// A run.
pub struct Run {
    pub kind: RunKind,
    pub lab: String,
    pub version: String,
    /// As the run said it.
    pub started: String,
    /// Hosts that the run was about.
    pub hosts: Vec<String>,
    /// Empty when the log is of a version that did not say it.
    pub scope: Scope,
    /// System by host, and resources looked at.
    pub looked: BTreeMap<String, Look>,
    pub spans: Vec<Span>,
    pub changes: Vec<Change>,
    /// `kind id`, role, host, why.
    pub skipped: Vec<Left>,
    /// Could not be looked at, and was not later either.
    pub unknown: Vec<Left>,
    pub checks: Vec<Check>,
    /// Who collects, of which host, and the last moment.
    pub arrivals: Vec<(String, String, Option<String>)>,
    pub notes: Vec<String>,
    /// `host: what is wrong with it`
    pub warnings: Vec<String>,
    /// What a reader must accept, why, and the single things.
    pub reservations: Vec<(String, String, Vec<String>)>,
    /// Failed and not reached roles, failed and skipped results; in the words of the other outputs.
    pub told: Narrator,
    /// Role on a host, and the last lines and the hint of its failure.
    pub failures: Vec<Failure>,
    /// `None`: the run did not come to its end.
    pub done: Option<Summary>,
    /// Seconds from the first to the last event.
    pub seconds: f64,
}

/// A look at a host.
pub struct Look {
    pub system: String,
    pub rehearsal: bool,
    pub resources: usize,
}

/// What a bar of the timeline stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Look,
    Role,
    Check,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Good,
    Bad,
    Skipped,
    /// The log ends before it.
    Open,
}

/// Something that took time. Times are seconds since the first event.
#[derive(Debug, Clone)]
pub struct Span {
    /// Host, or empty for checks.
    pub lane: String,
    pub work: Work,
    pub label: String,
    pub start: f64,
    pub end: f64,
    pub how: End,
    /// Starts of steps after the first.
    pub marks: Vec<f64>,
}

/// A change.
pub struct Change {
    pub host: String,
    pub role: String,
    pub resource: String,
    pub reasons: Vec<String>,
    pub diff: Option<String>,
    pub origin: String,
}

/// A resource that was left out.
pub struct Left {
    pub host: String,
    pub role: String,
    pub resource: String,
    pub why: String,
}

/// A failed role.
pub struct Failure {
    pub host: String,
    pub role: String,
    pub error: String,
    pub output: Vec<String>,
    pub hint: Option<String>,
}

/// A check with the lines of its report.
pub struct Check {
    pub name: String,
    pub role: String,
    /// `None`: it did not end.
    pub seconds: Option<f64>,
    pub results: Vec<Proof>,
}

/// One line of a check's report.
pub struct Proof {
    pub title: String,
    pub status: Status,
    pub control: bool,
    pub detail: String,
}

impl Run {
    /// Reads a run's events.
    pub fn from(events: &[Stamped]) -> Self {
        let mut run = Self {
            kind: RunKind::Bootstrap,
            lab: String::new(),
            version: String::new(),
            started: String::new(),
            hosts: Vec::new(),
            scope: Scope::default(),
            looked: BTreeMap::new(),
            spans: Vec::new(),
            changes: Vec::new(),
            skipped: Vec::new(),
            unknown: Vec::new(),
            checks: Vec::new(),
            arrivals: Vec::new(),
            notes: Vec::new(),
            warnings: Vec::new(),
            reservations: Vec::new(),
            told: Narrator::new(View::Live),
            failures: Vec::new(),
            done: None,
            seconds: 0.0,
        };
        let first = events.first().map_or(OffsetDateTime::UNIX_EPOCH, |first| first.at);
        for Stamped { event, at } in events {
            // A clock that is set back during a run must not bend the picture.
            run.seconds = run.seconds.max((*at - first).as_seconds_f64());
            run.told.tell(event);
            run.see(event, run.seconds);
        }
        run.close_all();
        run
    }

    /// One sentence that says whether it is fine, in the words of the other outputs.
    pub fn verdict(&self) -> String {
        let lines = self.done.as_ref().map(|done| summary::verdict(done, &self.told)).unwrap_or_default();
        lines.iter().map(Line::plain).collect::<Vec<_>>().join(" ")
    }

    fn see(&mut self, event: &Event, now: f64) {
        match event {
            Event::RunStarted { kind, lab, version, hosts, started, roles: _ } => {
                (self.kind, self.hosts) = (*kind, hosts.clone());
                (self.lab, self.version, self.started) = (lab.clone(), version.clone(), started.clone());
            }
            Event::Scope(scope) => self.scope = (**scope).clone(),
            // Later connections are part of a role or a check.
            Event::Connecting { host, .. } if !self.spans.iter().any(|span| span.lane == *host) && self.checks.is_empty() => {
                self.open(host, Work::Look, "look", now);
            }
            Event::Observed { host, system, rehearsal, resources, .. } => {
                self.close(host, Work::Look, now, End::Good);
                let look = Look { system: system.clone(), rehearsal: *rehearsal, resources: *resources };
                self.looked.insert(host.clone(), look);
            }
            Event::HostFailed { host, .. } => self.close(host, Work::Look, now, End::Bad),
            Event::RoleStarted { host, role, .. } => self.open(host, Work::Role, role, now),
            Event::StepStarted { host, number, .. } if *number > 1 => {
                if let Some(span) = self.running(host, Work::Role) {
                    span.marks.push(now);
                }
            }
            Event::RoleDone { host, role, .. } => {
                self.close(host, Work::Role, now, End::Good);
                // Its resources have been looked at again since.
                self.unknown.retain(|left| (&left.host, &left.role) != (host, role));
            }
            Event::RoleFailed { host, role, error, output, hint } => {
                self.close(host, Work::Role, now, End::Bad);
                let (host, role, error) = (host.clone(), role.clone(), error.clone());
                self.failures.push(Failure { host, role, error, output: output.clone(), hint: hint.clone() });
            }
            Event::Change { host, role, resource, reasons, diff, origin } => self.changes.push(Change {
                host: host.clone(),
                role: role.clone(),
                resource: resource.clone(),
                reasons: reasons.clone(),
                diff: diff.clone(),
                origin: origin.clone(),
            }),
            Event::ResourceSkipped { host, role, resource, why } => self.skipped.push(left(host, role, resource, why)),
            Event::ResourceUnknown { host, role, resource, why, .. } => self.unknown.push(left(host, role, resource, why)),
            Event::CheckStarted { check, role } => {
                self.open("", Work::Check, check, now);
                self.checks.push(Check { name: check.clone(), role: role.clone(), seconds: None, results: Vec::new() });
            }
            Event::CheckResult { check, title, status, control, detail, .. } => {
                if let Some(known) = self.checks.iter_mut().rfind(|known| known.name == *check) {
                    let (title, detail) = (title.clone(), detail.clone());
                    known.results.push(Proof { title, status: *status, control: *control, detail });
                }
            }
            Event::CheckDone { check, seconds, .. } => {
                let known = self.checks.iter_mut().rfind(|known| known.name == *check);
                let how = known.map_or(End::Open, |known| {
                    known.seconds = Some(*seconds);
                    let all = |status| known.results.iter().all(|result| result.status == status);
                    let failed = known.results.iter().any(|result| result.status == Status::Failed);
                    if failed {
                        End::Bad
                    } else if all(Status::Skipped) {
                        End::Skipped
                    } else {
                        End::Good
                    }
                });
                self.close("", Work::Check, now, how);
            }
            Event::LastData { source, host, last } => self.arrivals.push((source.clone(), host.clone(), last.clone())),
            Event::HostWarning { host, warning } => self.warnings.push(format!("{host}: {warning}")),
            Event::Reservation { what, why, list } => self.reservations.push((what.clone(), why.clone(), list.clone())),
            Event::Note { text } => self.notes.push(text.clone()),
            Event::RunDone(done) => self.done = Some((**done).clone()),
            Event::Connecting { .. }
            | Event::StepStarted { .. }
            | Event::Uploading { .. }
            | Event::StepDone { .. }
            | Event::HandlerDone { .. }
            | Event::RoleNotReached { .. }
            | Event::RoleNotConfigured { .. }
            | Event::Command { .. }
            | Event::ChecksStarted { .. }
            | Event::CheckProgress { .. } => {}
        }
    }

    fn open(&mut self, lane: &str, work: Work, label: &str, now: f64) {
        let (lane, label) = (lane.to_owned(), label.to_owned());
        self.spans.push(Span { lane, work, label, start: now, end: now, how: End::Open, marks: Vec::new() });
    }

    fn running(&mut self, lane: &str, work: Work) -> Option<&mut Span> {
        self.spans.iter_mut().rfind(|span| span.lane == lane && span.work == work && span.how == End::Open)
    }

    fn close(&mut self, lane: &str, work: Work, now: f64, how: End) {
        if let Some(span) = self.running(lane, work) {
            (span.end, span.how) = (now, how);
        }
    }

    /// What did not end lasts until the last event; connections that were no look at a host are no bars.
    fn close_all(&mut self) {
        let (done, last) = (self.done.is_some(), self.seconds);
        self.spans.retain(|span| span.how != End::Open || span.work != Work::Look || !done);
        self.spans.iter_mut().filter(|span| span.how == End::Open).for_each(|span| span.end = last);
    }
}

fn left(host: &str, role: &str, resource: &str, why: &str) -> Left {
    Left { host: host.to_owned(), role: role.to_owned(), resource: resource.to_owned(), why: why.to_owned() }
}
