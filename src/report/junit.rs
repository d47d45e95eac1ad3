//! JUnit XML at the end of a run: a suite per check, a suite for the hosts and one for the roles.

use std::io::Write;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::Sink;
use crate::engine::{Event, Status};

/// Collects cases; prints them when the run is over.
pub(super) struct Junit {
    out: Box<dyn Write + Send>,
    /// In the order in which they were first heard of.
    suites: Vec<(String, Vec<TestCase>, f64)>,
    lab: String,
    seconds: f64,
    /// Whether the run came to its end.
    done: bool,
}

impl Junit {
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, suites: Vec::new(), lab: String::new(), seconds: 0.0, done: false }
    }

    fn suite(&mut self, name: &str) -> &mut (String, Vec<TestCase>, f64) {
        let at = self.suites.iter().position(|(known, ..)| known == name).unwrap_or_else(|| {
            self.suites.push((name.to_owned(), Vec::new(), 0.0));
            self.suites.len() - 1
        });
        &mut self.suites[at]
    }

    fn case(&mut self, suite: &str, class: &str, name: &str, status: TestCaseStatus, seconds: Option<f64>) {
        let mut case = TestCase::new(name, status);
        case.set_classname(class);
        if let Some(seconds) = seconds {
            case.set_time(time(seconds));
        }
        self.suite(suite).1.push(case);
    }

    fn report(&self) -> Report {
        let mut report = Report::new(format!("poclab {}", self.lab));
        report.set_time(time(self.seconds));
        for (name, cases, seconds) in &self.suites {
            let mut suite = TestSuite::new(name.as_str());
            suite.set_time(time(*seconds));
            suite.add_test_cases(cases.iter().cloned());
            report.add_test_suite(suite);
        }
        report
    }
}

fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn bad(kind: NonSuccessKind, message: &str, detail: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message.lines().next().unwrap_or_default());
    status.set_description(if detail.is_empty() { message } else { detail });
    status
}

fn skipped(why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(why);
    status
}

impl Sink for Junit {
    fn event(&mut self, event: &Event) {
        match event {
            Event::RunStarted { lab, .. } => self.lab.clone_from(lab),
            Event::Observed { host, seconds, .. } => {
                self.case("hosts", "hosts", &format!("{host} can be looked at"), TestCaseStatus::success(), Some(*seconds));
                self.suite("hosts").2 += seconds;
            }
            Event::HostFailed { host, error } => {
                self.case("hosts", "hosts", &format!("{host} can be looked at"), bad(NonSuccessKind::Error, error, ""), None);
            }
            Event::HostWarning { host, warning } => {
                // Neither proven good nor what this run failed at.
                self.case("hosts", "hosts", &format!("{host} gives no cause for a warning"), skipped(warning), None);
            }
            Event::RoleDone { host, role, seconds, .. } => {
                self.case("roles", role, &format!("{role} on {host}"), TestCaseStatus::success(), Some(*seconds));
                self.suite("roles").2 += seconds;
            }
            Event::RoleFailed { host, role, error, output, hint } => {
                let hint = hint.as_ref().map(|hint| format!("\nwhat to do: {hint}")).unwrap_or_default();
                let output = if output.is_empty() { String::new() } else { format!("\n{}", output.join("\n")) };
                let status = bad(NonSuccessKind::Failure, error, &format!("{error}{output}{hint}"));
                self.case("roles", role, &format!("{role} on {host}"), status, None);
            }
            Event::RoleNotReached { host, role, because } => self.case("roles", role, &format!("{role} on {host}"), skipped(because), None),
            Event::RoleNotConfigured { host, role, why } => {
                self.case("roles", role, &format!("{role} on {host}"), skipped(&format!("not configured: {why}")), None);
            }
            Event::ResourceUnknown { host, role, resource, why, deferred: false } => {
                self.case("roles", role, &format!("{resource} on {host} can be looked at"), bad(NonSuccessKind::Error, why, ""), None);
            }
            Event::ResourceSkipped { host, role, resource, why } => {
                self.case("roles", role, &format!("{resource} on {host}"), skipped(why), None)
            }
            Event::CheckStarted { check, .. } => {
                self.suite(check);
            }
            Event::CheckResult { check, role, title, status, control, detail } => {
                let name = if *control { format!("control: {title}") } else { title.clone() };
                let seen = *status == Status::Passed && !detail.is_empty();
                let status = match status {
                    Status::Passed => TestCaseStatus::success(),
                    Status::Failed => bad(NonSuccessKind::Failure, detail, ""),
                    Status::Skipped => skipped(detail),
                };
                self.case(check, role, &name, status, None);
                if let (Some(case), true) = (self.suite(check).1.last_mut(), seen) {
                    case.set_system_out(detail.as_str());
                }
            }
            Event::CheckDone { check, seconds, .. } => self.suite(check).2 += seconds,
            Event::Reservation { what, why, list } => {
                let mut status = skipped(&format!("{what}: {why}"));
                if !list.is_empty() {
                    status.set_description(list.join("\n"));
                }
                self.case("run", "run", &format!("without the reservation: {what}"), status, None);
            }
            Event::RunDone(summary) => {
                self.seconds = summary.seconds;
                self.done = true;
            }
            Event::Scope(_)
            | Event::Connecting { .. }
            | Event::Change { .. }
            | Event::ResourceUnknown { .. }
            | Event::RoleStarted { .. }
            | Event::StepStarted { .. }
            | Event::Uploading { .. }
            | Event::StepDone { .. }
            | Event::HandlerDone { .. }
            | Event::Command { .. }
            | Event::ChecksStarted { .. }
            | Event::CheckProgress { .. }
            | Event::LastData { .. }
            | Event::Note { .. } => {}
        }
    }

    fn finish(&mut self) {
        if !self.done {
            // A report of half a run must not look like a good one.
            let why = "the run ended before its end: what is missing here was not looked at";
            self.case("run", "run", "the run comes to its end", bad(NonSuccessKind::Error, why, ""), None);
        }
        if let Ok(xml) = self.report().to_string() {
            let _ = self.out.write_all(xml.as_bytes());
            let _ = self.out.flush();
        }
    }
}
