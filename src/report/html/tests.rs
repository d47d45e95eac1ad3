use std::collections::BTreeSet;

use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::Event as Xml;
use serde_json::Value;
use time::OffsetDateTime;

use super::record::{self, Stamped};
use super::run::Run;
use super::{page, sign};
use crate::engine::{CheckCounts, Event, Summary};
use crate::report::script;

/// A second between any two events.
fn stamped(events: &[Event]) -> Vec<Stamped> {
    let start = OffsetDateTime::from_unix_timestamp(1_795_247_662).unwrap();
    events.iter().zip(0i64..).map(|(event, n)| Stamped { event: event.clone(), at: start + time::Duration::seconds(n) }).collect()
}

fn run(events: &[Event]) -> Run {
    Run::from(&stamped(events))
}

fn page(events: &[Event]) -> String {
    page::render(&run(events), "20261121T080000Z-test.jsonl").unwrap()
}

/// All there is to know about a page's markup; panics when it is not well-formed.
#[derive(Default)]
struct Markup {
    elements: BTreeSet<String>,
    attributes: BTreeSet<String>,
    links: Vec<String>,
    text: String,
}

fn markup(html: &str) -> Markup {
    let mut found = Markup::default();
    let mut reader = Reader::from_str(html);
    let mut depth = 0;
    loop {
        let event = reader.read_event().unwrap_or_else(|error| panic!("{error} at {}:\n{html}", reader.error_position()));
        let (tag, opens) = match &event {
            Xml::Start(tag) => (tag, 1),
            Xml::Empty(tag) => (tag, 0),
            Xml::End(_) => {
                depth -= 1;
                continue;
            }
            Xml::Text(text) => {
                found.text.push_str(&text.unescape().unwrap());
                continue;
            }
            Xml::Eof => break,
            Xml::DocType(_) => continue,
            other => panic!("{other:?} has no place in a report"),
        };
        depth += opens;
        found.elements.insert(String::from_utf8(tag.name().as_ref().to_vec()).unwrap());
        for attribute in tag.attributes() {
            let attribute = attribute.unwrap();
            let name = String::from_utf8(attribute.key.as_ref().to_vec()).unwrap();
            let value = attribute.unescape_value().unwrap().into_owned();
            if ["href", "src", "action", "xlink:href"].contains(&name.as_str()) {
                found.links.push(value);
            }
            found.attributes.insert(name);
        }
    }
    assert_eq!(depth, 0, "every element is closed");
    found
}

#[test]
fn a_small_run_as_a_page() {
    let html = page(&script::bootstrap());
    let (head, rest) = html.split_once("<style>").unwrap();
    let (_, rest) = rest.split_once("</style>").unwrap();
    let hash = between(head, "sha256-", "&#x27;");
    insta::assert_snapshot!("bootstrap", format!("{}<style>[style]</style>{rest}", head.replace(&hash, "[hash]")));
}

/// What stands between two texts.
fn between(text: &str, from: &str, to: &str) -> String {
    text.split_once(from).unwrap().1.split_once(to).unwrap().0.to_owned()
}

#[test]
fn pages_are_well_formed_and_load_nothing() {
    for events in
        [script::bootstrap(), script::plan(), script::failure(), script::nothing_changed(), script::verify(), script::one_of_each()]
    {
        let html = page(&events);
        let markup = markup(&html);
        for link in &markup.links {
            assert!(link.starts_with('#') || link.starts_with("https://registry.lab.example"), "{link}");
        }
        for loads in ["script", "link", "img", "iframe", "object", "embed", "base", "form", "image", "use", "foreignObject"] {
            assert!(!markup.elements.contains(loads), "{loads}");
        }
        assert!(!markup.attributes.contains("style"), "the policy forbids it");
        assert!(!html.contains("url(") && !html.contains("@import"), "the style sheet loads nothing");
    }
}

/// The policy lets exactly the page's own style in: its hash is made of the very bytes between the tags.
#[test]
fn the_policy_has_the_hash_of_the_style() {
    use base64::Engine as _;
    use sha2::Digest as _;
    let html = page(&script::verify());
    let style = between(&html, "<style>", "</style>");
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(style.as_bytes()));
    let policy = format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'");
    let head = &html[..html.find("<style>").unwrap()];
    let escaped = policy.replace('\'', "&#x27;").replace('/', "&#x2F;");
    assert!(head.contains(&escaped), "{policy}\n{head}");
}

/// Puts a text into every string of an event, but the words of closed lists.
fn poison(event: &Event, text: &str) -> Event {
    fn walk(value: &mut Value, text: &str) {
        match value {
            Value::String(string) => text.clone_into(string),
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, text)),
            Value::Object(fields) => fields.values_mut().for_each(|field| walk(field, text)),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(event).unwrap();
    for (key, field) in value.as_object_mut().unwrap() {
        if !["event", "kind", "status"].contains(&key.as_str()) {
            walk(field, text);
        }
    }
    serde_json::from_value(value).unwrap()
}

const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=y>&amp;</title></style>--> javascript:x {{ 7 * 7 }}";

#[test]
fn what_hosts_say_cannot_become_markup() {
    let harmless = markup(&page(&script::one_of_each()));
    for events in [script::one_of_each(), script::bootstrap(), script::failure(), script::verify()] {
        let poisoned: Vec<Event> = events.iter().map(|event| poison(event, HOSTILE)).collect();
        let html = page(&poisoned);
        let found = markup(&html);
        let known: BTreeSet<String> = ["article", "h4"].iter().map(|name| (*name).to_owned()).chain(harmless.elements.clone()).collect();
        assert!(found.elements.is_subset(&known), "{:?}", found.elements);
        assert!(!found.attributes.iter().any(|name| name.starts_with("on")), "{:?}", found.attributes);
        assert!(found.links.iter().all(|link| link.starts_with('#')), "what is not of the web is no link: {:?}", found.links);
        assert!(found.text.contains(HOSTILE), "it is shown as it is");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_text_anywhere_makes_a_well_formed_page(text in "\\PC{0,40}") {
        let poisoned: Vec<Event> = script::one_of_each().iter().map(|event| poison(event, &text)).collect();
        markup(&page(&poisoned));
    }
}

fn log(events: &[Event]) -> String {
    let line = |stamped: Stamped| {
        let mut value = serde_json::to_value(&stamped.event).unwrap();
        value["at"] = stamped.at.format(&time::format_description::well_known::Rfc3339).unwrap().into();
        format!("{value}\n")
    };
    stamped(events).into_iter().map(line).collect()
}

#[test]
fn a_log_is_read_back() {
    let text = log(&script::one_of_each());
    assert_eq!(record::read(&text).unwrap_err().to_string(), "the log does not begin with the start of a run");
    let text = log(&script::bootstrap());
    assert_eq!(record::read(&text).unwrap(), stamped(&script::bootstrap()));
    // Killed while it wrote.
    let half = record::read(&text[..text.len() - 9]).unwrap();
    assert_eq!(half.len(), script::bootstrap().len() - 1);
    let error = record::read(&text.replacen("\"scope\"", "\"scoop\"", 1)).unwrap_err();
    assert!(
        format!("{error:#}").starts_with("line 2 of the log is not an event of this version of poclab: unknown variant `scoop`"),
        "{error:#}"
    );
    assert!(record::read("").is_err());
}

#[test]
fn an_edited_log_brings_no_control_characters_into_a_page() {
    let text = log(&script::failure()).replacen("No space left", "\\u001b[2JNo space\\u202e left", 1);
    let events = record::read(&text).unwrap();
    let html = page::render(&Run::from(&events), "x").unwrap();
    assert!(html.contains("\\x1b[2JNo space\\u{202e} left"));
    assert!(!html.chars().any(|c| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}'));
}

#[test]
fn half_a_run_is_not_a_good_one() {
    let all = script::bootstrap();
    let half = run(&all[..all.len() - 8]);
    assert!(half.done.is_none());
    let html = page::render(&half, "x").unwrap();
    assert!(html.contains("✗ No.") && html.contains("The run did not come to its end"));
    assert!(html.contains("it may have been made or not"), "the changes that were announced");
}

fn judged(change: impl FnOnce(&mut Vec<Event>)) -> sign::Sign {
    let mut events = vec![script::started(crate::engine::RunKind::Bootstrap), script::observed("app", false)];
    let checks = Some(CheckCounts { passed: 9, failed: 0, skipped: 0 });
    events.push(Event::RunDone(Box::new(Summary {
        resources: 9,
        checks,
        hosts: vec![script::host("app", "12", false, &[])],
        ..Summary::default()
    })));
    change(&mut events);
    sign::judge(&run(&events))
}

fn done(events: &mut [Event]) -> &mut Summary {
    match events.last_mut() {
        Some(Event::RunDone(done)) => done,
        other => panic!("{other:?}"),
    }
}

/// Only a whole, real, verified run may be signed without more ado.
#[test]
fn what_speaks_against_signing() {
    let whats = |sign: &sign::Sign| sign.points.iter().map(|point| point.what.clone()).collect::<Vec<_>>();
    let fine = judged(|_| {});
    assert_eq!((fine.class, whats(&fine)), ("good", Vec::new()));
    let reserved = |change: &dyn Fn(&mut Vec<Event>), what: &str| {
        let sign = judged(|events| change(events));
        assert_eq!((sign.class, whats(&sign)), ("warn", vec![what.to_owned()]));
    };
    reserved(&|events| events[1] = script::observed("app", true), "This is a rehearsal");
    let of_kind = |tag: &str| script::one_of_each().into_iter().find(|event| script::tag(event) == tag).unwrap();
    reserved(&|events| events.insert(2, of_kind("host_warning")), "1 warning");
    reserved(&|events| done(events).checks = None, "No check was run");
    reserved(&|events| done(events).checks = Some(CheckCounts { passed: 0, failed: 0, skipped: 0 }), "No check passed");
    reserved(
        &|events| {
            let mut scope = script::scope();
            if let Event::Scope(scope) = &mut scope {
                scope.members.clear();
            }
            events.insert(1, scope);
        },
        "The run was narrowed",
    );
    let skip = Event::ResourceSkipped { host: "app".into(), role: "base".into(), resource: "selinux x".into(), why: "no".into() };
    reserved(&|events| events.insert(2, skip.clone()), "1 resource left out");
    let unknown =
        Event::ResourceUnknown { host: "app".into(), role: "base".into(), resource: "file x".into(), why: "no".into(), deferred: true };
    reserved(&|events| events.insert(2, unknown.clone()), "1 resource could not be looked at");
    let seen_later = judged(|events| events.splice(2..2, [unknown.clone(), script::role_done("app", "base", 1, 1.0)]).for_each(drop));
    assert_eq!(seen_later.class, "good", "it was looked at after the changes before it");
    let against = |change: &dyn Fn(&mut Vec<Event>), what: &str| {
        let sign = judged(|events| change(events));
        assert_eq!((sign.class, sign.answer), ("bad", "No"));
        assert_eq!(whats(&sign)[0], what);
    };
    against(&|events| done(events).exit = 130, "The run was interrupted");
    against(&|events| done(events).exit = 1, "Exit code 1");
    against(&|events| done(events).hosts[0].error = Some("gone".into()), "1 host could not be looked at");
    against(&|events| events.insert(2, of_kind("role_failed")), "1 role failed");
    against(&|events| events.truncate(2), "The run did not come to its end");
    let failed = script::result("x", "y", crate::engine::Status::Failed, true, "z");
    against(&|events| events.insert(2, failed.clone()), "1 check result failed");
}
