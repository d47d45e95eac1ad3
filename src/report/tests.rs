use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use indicatif::{InMemoryTerm, ProgressDrawTarget};

use super::*;
use crate::base::Secret;
use crate::engine::{RunKind, Status};

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
    fn pen(&self) -> Box<dyn Write + Send> {
        Box::new(self.clone())
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn told(make: impl Fn(Box<dyn Write + Send>) -> Box<dyn Sink>, events: &[Event]) -> String {
    let page = Page::default();
    let mut sink = make(page.pen());
    events.iter().for_each(|event| sink.event(event));
    sink.finish();
    page.text()
}

fn plain(events: &[Event]) -> String {
    told(|pen| Box::new(plain::Plain::new(pen)), events)
}

fn junit(events: &[Event]) -> String {
    told(|pen| Box::new(junit::Junit::new(pen)), events)
}

#[test]
fn plain_lines() {
    insta::assert_snapshot!("plain_bootstrap", plain(&script::bootstrap()));
    insta::assert_snapshot!("plain_plan", plain(&script::plan()));
    insta::assert_snapshot!("plain_failure", plain(&script::failure()));
    insta::assert_snapshot!("plain_nothing_changed", plain(&script::nothing_changed()));
    insta::assert_snapshot!("plain_verify", plain(&script::verify()));
}

#[test]
fn json_lines() {
    let json = |events: &[Event]| told(|pen| Box::new(json::Json::new(pen)), events);
    insta::assert_snapshot!("json_bootstrap", json(&script::bootstrap()));
    insta::assert_snapshot!("json_failure", json(&script::failure()));
    for line in json(&script::one_of_each()).lines() {
        assert!(line.starts_with("{\"event\":\""), "{line}");
    }
}

#[test]
fn junit_reports() {
    insta::assert_snapshot!("junit_bootstrap", junit(&script::bootstrap()));
    insta::assert_snapshot!("junit_failure", junit(&script::failure()));
    insta::assert_snapshot!("junit_verify", junit(&script::verify()));
    let half = &script::verify()[..4];
    assert!(junit(half).contains("the run ended before its end"), "half a run is not a good one");
}

/// What the last line but the hints says: is it fine?
#[test]
fn verdicts() {
    let verdict = |change: &dyn Fn(&mut crate::engine::Summary), kind: RunKind| {
        let mut events = script::nothing_changed();
        if let Some(Event::RunDone(summary)) = events.last_mut() {
            change(summary);
        }
        events[0] = script::started(kind);
        plain(&events).lines().last().unwrap().to_owned()
    };
    assert_eq!(verdict(&|_| {}, RunKind::Bootstrap), "nothing changed: 124 resources on 4 hosts are as they should be");
    assert_eq!(verdict(&|_| {}, RunKind::Plan), "nothing would change: 124 resources on 4 hosts are as they should be");
    let some = |s: &mut crate::engine::Summary| (s.skipped, s.unknown) = (3, 1);
    assert_eq!(
        verdict(&some, RunKind::Plan),
        "nothing would change: 120 resources on 4 hosts are as they should be; 1 could not be looked at"
    );
    let lost = |s: &mut crate::engine::Summary| {
        s.exit = 4;
        s.hosts[0].error = Some("gone".to_owned());
    };
    assert_eq!(verdict(&lost, RunKind::Plan), "NOT fine: 1 host could not be looked at");
    assert_eq!(verdict(&|s| s.exit = 130, RunKind::Bootstrap), "interrupted: what was begun is finished by the next run");
    assert_eq!(verdict(&|_| {}, RunKind::Verify), "nothing was proven: no check ran");
    let skips = |s: &mut crate::engine::Summary| {
        s.checks_note = None;
        s.checks = Some(crate::engine::CheckCounts { passed: 0, failed: 0, skipped: 7 });
    };
    assert_eq!(verdict(&skips, RunKind::Verify), "nothing was proven: no check passed, 7 skipped");
}

#[test]
fn silence_is_broken_after_fifteen_seconds() {
    let page = Page::default();
    let mut sink = plain::Plain::new(page.pen());
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    for event in [script::started(RunKind::Bootstrap), script::connecting("app"), script::observed("app", false)] {
        sink.event_at(&event, at(0));
    }
    sink.event_at(&script::step("deploy", "docker", "package docker-ce", 1), at(1));
    let before = page.text().len();
    (2..16).for_each(|second| sink.tick_at(at(second)));
    assert_eq!(page.text().len(), before);
    (16..47).for_each(|second| sink.tick_at(at(second)));
    let said = page.text()[before..].to_owned();
    let expected = ["15 s", "30 s", "45 s"].map(|time| format!("deploy: still: docker 1/3  package docker-ce, {time}\n")).concat();
    assert_eq!(said, expected);

    let before = page.text().len();
    sink.event_at(&Event::ChecksStarted { checks: 1 }, at(50));
    sink.event_at(&script::check_started("logs"), at(50));
    sink.event_at(&Event::CheckProgress { check: "logs".to_owned(), note: "waiting for the marker".to_owned() }, at(51));
    sink.tick_at(at(70));
    assert!(page.text()[before..].ends_with("check logs: still: waiting for the marker, 20 s\n"), "{}", page.text());
    sink.event_at(script::nothing_changed().last().unwrap(), at(71));
    let before = page.text().len();
    sink.tick_at(at(200));
    assert_eq!(page.text().len(), before, "nothing is waited for after the end");
}

fn live(width: u16, colour: bool) -> (InMemoryTerm, terminal::Terminal) {
    live_on(200, width, colour)
}

fn live_on(height: u16, width: u16, colour: bool) -> (InMemoryTerm, terminal::Terminal) {
    let term = InMemoryTerm::new(height, width);
    let target = ProgressDrawTarget::term_like(Box::new(term.clone()));
    (term, terminal::Terminal::on(target, colour, Box::new(move || (usize::from(height), usize::from(width)))))
}

/// The screen in the middle of work and at the end.
fn screens(width: u16) -> (String, String) {
    let (term, mut sink) = live(width, false);
    let start = Instant::now();
    let events = script::bootstrap();
    let middle = events.iter().position(|event| matches!(event, Event::Uploading { .. })).unwrap();
    for (n, event) in events.iter().enumerate() {
        sink.event_at(event, start + Duration::from_secs(n as u64));
        if n == middle {
            sink.draw(start + Duration::from_secs(90));
            break;
        }
    }
    let half = term.contents();
    events[middle + 1..].iter().for_each(|event| sink.event_at(event, start + Duration::from_secs(100)));
    sink.finish();
    (half, term.contents())
}

#[test]
fn live_view() {
    for width in [80, 120] {
        let (half, end) = screens(width);
        insta::assert_snapshot!(format!("live_{width}_half"), half);
        insta::assert_snapshot!(format!("live_{width}_end"), end);
        assert!(half.lines().chain(end.lines()).all(|line| line.chars().count() < usize::from(width)), "nothing is wrapped by the screen");
        assert!(!end.contains("Ctrl-C"), "the live view leaves the screen");
    }
}

/// A thousand hosts on a screen of 24 lines: the busy ones, the longest first, and how many there are.
#[test]
fn live_view_of_many_hosts_fits_the_screen() {
    let (term, mut sink) = live_on(24, 80, false);
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let name = |n: usize| format!("h{n:03}");
    let Event::RunStarted { kind, lab, version, roles, started, .. } = script::started(RunKind::Bootstrap) else { panic!() };
    let hosts = (0..1000).map(name).collect();
    sink.event_at(&Event::RunStarted { kind, lab, version, hosts, roles, started }, start);
    for n in 0..100 {
        sink.event_at(&script::connecting(&name(n)), at(n as u64));
        if n % 2 == 0 && n != 4 {
            sink.event_at(&script::observed(&name(n), false), at(n as u64));
        }
    }
    sink.draw(at(100));
    let text = term.contents();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() <= 24, "{text}");
    assert!(lines[0].starts_with("poclab 0.1.0: bootstrap of lab poclab: 1000 hosts (h000, h001, "), "{text}");
    let busy: Vec<&str> = lines.iter().filter_map(|line| line.trim().split_once("  connecting")).map(|(host, _)| host).collect();
    assert_eq!(busy, ["h001", "h003", "h004", "h005", "h007", "h009", "h011", "h013", "h015", "h017"], "{text}");
    assert!(text.contains("  41 more busy, 949 hosts waiting or done\n"), "{text}");
    assert!(!text.contains("looked at"), "{text}");
}

/// At the end, too: what failed, some of what changed, and how many there are.
#[test]
fn the_summary_of_many_hosts_names_those_that_matter() {
    let mut events = script::nothing_changed();
    let Some(Event::RunDone(summary)) = events.last_mut() else { panic!() };
    let one = summary.hosts[0].clone();
    summary.exit = 4;
    summary.hosts = (0..1000)
        .map(|n| crate::engine::HostSummary {
            name: format!("h{n:03}"),
            changed: usize::from(n >= 500),
            error: (n == 7).then(|| "cannot connect".to_owned()),
            ..one.clone()
        })
        .collect();
    let page = Page::default();
    let mut sink = plain::Plain::new(page.pen());
    events.iter().for_each(|event| sink.event_at(event, Instant::now()));
    let text = page.text();
    let summary = &text[text.find("== bootstrap").unwrap()..];
    assert!(summary.lines().count() < 60, "{summary}");
    assert!(summary.contains("h007") && summary.contains("FAILED: cannot connect") && summary.contains("h519"), "{summary}");
    assert!(!summary.contains("h520") && !summary.contains("h000"), "{summary}");
    assert!(summary.contains("  and 979 more hosts on which nothing failed, 480 of them with changes\n"), "{summary}");
}

#[test]
fn live_view_shows_the_check_that_is_waited_for() {
    let (term, mut sink) = live(80, false);
    let start = Instant::now();
    for event in [script::started(RunKind::Verify), Event::ChecksStarted { checks: 12 }, script::check_started("logs")] {
        sink.event_at(&event, start);
    }
    sink.event_at(&Event::CheckProgress { check: "logs".to_owned(), note: "waiting for the marker ".repeat(9) }, start);
    sink.draw(start + Duration::from_secs(75));
    let text = term.contents();
    let line = text.lines().find(|line| line.contains("check 1 of 12  logs: waiting for the marker")).unwrap();
    assert!(line.ends_with("...  1 min 15 s") && line.len() == 79, "{line:?}");
}

#[test]
fn live_view_lists_or_counts_what_passed() {
    let count = |kind| {
        let mut events = script::verify();
        events[0] = script::started(kind);
        let (term, mut sink) = live(120, false);
        events.iter().for_each(|event| sink.event_at(event, Instant::now()));
        let text = term.contents();
        (text.matches("may reach port").count(), text.contains("passed  8 results, 4 controls among them (4.0 s)"))
    };
    assert_eq!(count(RunKind::Verify), (8, false));
    assert_eq!(count(RunKind::Bootstrap), (0, true));
}

#[test]
fn diffs_have_colours() {
    let (term, mut sink) = live(100, true);
    script::plan().iter().for_each(|event| sink.event_at(event, Instant::now()));
    let text = String::from_utf8(term.contents_formatted()).unwrap();
    assert!(text.contains("\x1b[31m    |") && text.contains("\x1b[32m    |"), "{text:?}");
}

/// The whole way: many threads, one receiver, hostile texts; nothing raw comes out anywhere.
#[test]
fn what_a_host_says_never_reaches_a_sink_raw() {
    let mut redactor = Redactor::new();
    redactor.learn("registry_push", &Secret::new("hunter22"));
    let pages = [Page::default(), Page::default(), Page::default()];
    let dir = tempfile::tempdir().unwrap();
    let options = Options { kind: "verify".to_owned(), report: true, redactor, ..Options::default() };
    let keep = keep::Keep::create(dir.path(), &options).unwrap();
    let log_path = keep.log().to_owned();
    let (term, screen) = live(120, false);
    let sinks: Vec<Box<dyn Sink>> = vec![
        Box::new(plain::Plain::new(pages[0].pen())),
        Box::new(json::Json::new(pages[1].pen())),
        Box::new(junit::Junit::new(pages[2].pen())),
        Box::new(screen),
    ];
    let (sender, reporter) = Reporter::with_sinks(options, sinks, Some(keep), Vec::new());
    sender.send(script::started(RunKind::Verify)).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let evil = format!("t{n} \x1b[2J\x1b]0;x\x07 pw=hunter22 hun\x08ter22\r\nforged: line");
                sender.send(script::result("logs", "a title", Status::Failed, false, &evil)).unwrap();
                sender.send(Event::HostFailed { host: format!("h{n}"), error: evil }).unwrap();
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    sender.send(script::verify().pop().unwrap()).unwrap();
    drop(sender);
    reporter.finish().unwrap();
    let log_text = std::fs::read_to_string(&log_path).unwrap();
    let mut texts: Vec<String> = pages.iter().map(Page::text).collect();
    let html = std::fs::read_to_string(html_beside(&log_path)).unwrap();
    texts.extend([log_text.clone(), term.contents(), html]);
    for text in &texts {
        assert!(!text.contains("hunter22") && text.contains("[secret registry_push]"), "{text}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        for n in 0..4 {
            assert!(text.contains(&format!("t{n} ")), "{text}");
        }
        assert!(
            !text.lines().any(|line| line.starts_with("forged")) || text.starts_with("<?xml") || text.starts_with("<!DOCTYPE"),
            "{text}"
        );
    }
    assert!(texts[0].contains(&format!("-> log of this run: {}", log_path.display())));
    assert_eq!(log_text.lines().count(), 10);
}

#[test]
fn a_log_that_cannot_be_written_is_said_and_stops_nothing() {
    let page = Page::default();
    let note = Event::Note { text: "no log of this run".to_owned() };
    let (sender, reporter) = Reporter::with_sinks(Options::default(), vec![Box::new(plain::Plain::new(page.pen()))], None, vec![note]);
    drop(sender);
    reporter.finish().unwrap();
    assert_eq!(page.text(), "note: no log of this run\n");
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(keep::Keep::create(file.path(), &Options::default()).is_err());
}
