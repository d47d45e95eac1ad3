//! The page about attacks. Whatever a target said is text.

use anyhow::Result;
use serde::Serialize;
use tera::Context;

use super::document::{self, Template};
use crate::attack::{Outcome, Report, Verdict};
use crate::report::attack::{command, place, summary, why, word};
use crate::report::clean::visible;

const TEMPLATE: Template = ("attack.html", include_str!("templates/attack.html"));

#[derive(Serialize)]
struct Row {
    class: &'static str,
    word: &'static str,
    feature: String,
    scenario: String,
    place: String,
    tags: Vec<String>,
    step: String,
    why: String,
    more: Vec<Told>,
    seconds: String,
    launched: Vec<Command>,
}

/// A step that does not hold, and why.
#[derive(Serialize)]
struct Told {
    step: String,
    why: String,
}

#[derive(Serialize)]
struct Command {
    command: String,
    status: i32,
    output: String,
}

/// One scenario. What a target said may hold characters that hide or turn around what follows: they are shown.
fn row(one: &Outcome, control: bool) -> Row {
    let step = |line: usize, step: &str| visible(&format!("{line}: {step}"));
    Row {
        class: class(&one.verdict, control),
        word: word(&one.verdict, control),
        feature: visible(&one.feature),
        scenario: visible(&one.scenario),
        place: visible(&place(one)),
        tags: one.tags.iter().map(|tag| visible(tag)).collect(),
        step: if one.step.is_empty() { String::new() } else { step(one.step_line, &one.step) },
        why: visible(why(one).unwrap_or_default()),
        more: one.more.iter().map(|broken| Told { step: step(broken.line, &broken.step), why: visible(&broken.why) }).collect(),
        seconds: format!("{:.1}", one.seconds),
        launched: one
            .launched
            .iter()
            .map(|ran| Command {
                command: visible(&command(ran)),
                status: ran.status,
                output: visible(&format!("{}{}", ran.stdout, ran.stderr)),
            })
            .collect(),
    }
}

fn class(verdict: &Verdict, control: bool) -> &'static str {
    match verdict {
        Verdict::Passed if control => "bad",
        Verdict::Passed => "good",
        Verdict::Failed(_) if control => "good",
        Verdict::Failed(_) | Verdict::Error(_) => "bad",
        Verdict::Skipped(_) => "skipped",
    }
}

/// The page.
pub fn attack_page(report: &Report) -> Result<String> {
    let rows: Vec<Row> = report.scenarios.iter().map(|one| row(one, report.control)).collect();
    // Nothing that was tried is nothing that was withstood.
    let good = rows.iter().any(|row| row.class == "good") && rows.iter().all(|row| row.class != "bad");
    let mut context = Context::new();
    context.insert("control", &report.control);
    context.insert("summary", &summary(report));
    context.insert("good", &good);
    context.insert("rows", &rows);
    document::render(&[TEMPLATE], TEMPLATE.0, env!("CARGO_PKG_VERSION"), context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::attack::tests::report;

    #[test]
    fn nothing_that_ran_is_not_good_and_hidden_characters_are_shown() {
        let mut run = report(false);
        for one in &mut run.scenarios {
            one.verdict = Verdict::Skipped("x".into());
        }
        assert!(attack_page(&run).unwrap().contains("Attacks succeeded, or nobody knows"));
        run.scenarios[0].verdict = Verdict::Passed;
        assert!(attack_page(&run).unwrap().contains("Every attack was withstood"));
        run.scenarios[0].launched[0].stdout = "a\u{202e}b\u{200b}c\u{1}".into();
        let text = attack_page(&run).unwrap();
        assert!(text.contains("a\\u{202e}b\\u{200b}c\\x01") && !text.contains('\u{202e}'), "{text}");
    }

    #[test]
    fn what_a_target_says_stays_text() {
        let text = attack_page(&report(false)).unwrap();
        assert!(text.contains("&lt;script&gt;alert(1)&lt;") && !text.contains("<script"), "{text}");
        assert!(text.contains("SUCCEEDED") && text.contains("Attacks succeeded, or nobody knows"), "{text}");
        // It is XML as well, so a reader can check that it is whole.
        let mut reader = quick_xml::Reader::from_str(&text);
        loop {
            match reader.read_event() {
                Ok(quick_xml::events::Event::Eof) => break,
                Ok(_) => {}
                Err(error) => panic!("{error} at {}", reader.error_position()),
            }
        }
    }
}
