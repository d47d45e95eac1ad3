//! Puts the page of a run together.

use anyhow::Result;
use serde::Serialize;
use tera::Context;

use super::document::{self, Template};
use super::run::Run;
use super::{changes, checks, hosts, sign, timeline, topology};
use crate::engine::RunKind;
use crate::report::line::duration;
use crate::report::narrator::word;

const TEMPLATES: &[Template] = &[
    ("page.html", include_str!("templates/page.html")),
    ("summary.html", include_str!("templates/summary.html")),
    ("hosts.html", include_str!("templates/hosts.html")),
    ("topology.html", include_str!("templates/topology.html")),
    ("checks.html", include_str!("templates/checks.html")),
    ("changes.html", include_str!("templates/changes.html")),
    ("timeline.html", include_str!("templates/timeline.html")),
    ("proof.html", include_str!("templates/proof.html")),
];

/// What stands at the top.
#[derive(Serialize)]
struct Head<'a> {
    kind: &'static str,
    lab: &'a str,
    started: String,
    took: String,
    operator: &'a str,
    inventory: &'a str,
    sha256: &'a str,
    narrowed: &'a [String],
    exit: Option<u8>,
    exit_words: &'static str,
    record: &'a str,
    rehearsal: usize,
    hosts: usize,
}

/// The numbers of the summary.
#[derive(Serialize)]
struct Numbers {
    hosts: usize,
    hosts_bad: usize,
    looked: usize,
    resources: usize,
    changed: usize,
    changes: usize,
    passed: usize,
    failed: usize,
    skipped: usize,
    controls: usize,
    /// Whether checks ran.
    checked: bool,
    checks_note: String,
    plan: bool,
    verify: bool,
}

/// The page.
pub fn render(run: &Run, record: &str) -> Result<String> {
    document::render(TEMPLATES, "page.html", &run.version, context(run, record))
}

fn context(run: &Run, record: &str) -> Context {
    let done = run.done.as_ref();
    let hosts = hosts::all(run);
    let checks = checks::all(run);
    let head = Head {
        kind: word(run.kind),
        lab: &run.lab,
        started: run.started.replacen('T', " ", 1).replacen('Z', " UTC", 1),
        took: duration(done.map_or(run.seconds, |done| done.seconds)),
        operator: &run.scope.operator,
        inventory: &run.scope.inventory,
        sha256: &run.scope.inventory_sha256,
        narrowed: &run.scope.narrowed,
        exit: done.map(|done| done.exit),
        exit_words: done.map_or("the run did not come to its end", |done| exit_words(done.exit)),
        record,
        rehearsal: hosts.iter().filter(|host| host.rehearsal).count(),
        hosts: hosts.len(),
    };
    let sum = |count: fn(&checks::Check) -> usize| checks.iter().map(count).sum();
    let numbers = Numbers {
        hosts: hosts.len(),
        hosts_bad: hosts.iter().filter(|host| host.class == "bad").count(),
        looked: run.looked.len(),
        resources: done.map_or(0, |done| done.resources),
        changed: done.map_or(0, |done| done.changed),
        changes: run.changes.len(),
        passed: sum(|check| check.passed),
        failed: sum(|check| check.failed),
        skipped: sum(|check| check.skipped),
        controls: sum(|check| check.controls),
        checked: !checks.is_empty(),
        checks_note: sign::sentence(done.and_then(|done| done.checks_note.as_deref()).unwrap_or_default()),
        plan: run.kind == RunKind::Plan,
        verify: run.kind == RunKind::Verify,
    };
    let mut context = Context::new();
    context.insert("head", &head);
    context.insert("numbers", &numbers);
    context.insert("sign", &sign::judge(run));
    context.insert("hosts", &hosts);
    context.insert("failures", &failures(run));
    context.insert("services", &hosts::services(run));
    context.insert("arrivals", &run.arrivals);
    context.insert("topology", &topology::draw(&run.scope));
    context.insert("flows", &topology::rows(&run.scope));
    context.insert("most_hosts", &topology::MOST_HOSTS);
    context.insert("checks", &checks);
    context.insert("changes", &changes::by_role(run));
    context.insert("timeline", &timeline::draw(run));
    context.insert("spans", &timeline::rows(run));
    context.insert("stand_ins", &stand_ins(done.map(|done| done.stand_ins.as_slice()).unwrap_or_default()));
    context
}

/// A failed role with what is known about it.
#[derive(Serialize)]
struct Failure<'a> {
    host: &'a str,
    role: &'a str,
    error: &'a str,
    output: String,
    hint: &'a Option<String>,
}

fn failures(run: &Run) -> Vec<Failure<'_>> {
    run.failures
        .iter()
        .map(|f| Failure { host: &f.host, role: &f.role, error: &f.error, output: f.output.join("\n"), hint: &f.hint })
        .collect()
}

/// `name: what it really is`, as in mirror.yml.
fn stand_ins(all: &[String]) -> Vec<(&str, &str)> {
    all.iter().map(|text| text.split_once(": ").unwrap_or((text, ""))).collect()
}

/// The exit codes of the README, in words.
fn exit_words(exit: u8) -> &'static str {
    match exit {
        0 => "done, or nothing to do",
        1 => "something failed",
        2 => "there are changes to make",
        3 => "a check failed",
        4 => "a host, or something on it, could not be looked at",
        130 => "interrupted",
        _ => "failed",
    }
}
