//! The page about attacks. Whatever a target said is text.

use anyhow::Result;
use serde::Serialize;
use tera::Context;

use super::document::{self, Template};
use crate::attack::{Broken, Launched, Report, Verdict};
use crate::report::attack::{place, summary, why, word};

const TEMPLATE: Template = ("attack.html", include_str!("templates/attack.html"));

#[derive(Serialize)]
struct Row<'a> {
    class: &'static str,
    word: &'static str,
    feature: &'a str,
    scenario: &'a str,
    place: String,
    tags: &'a [String],
    step: &'a str,
    why: &'a str,
    more: &'a [Broken],
    seconds: String,
    launched: &'a [Launched],
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
    let rows: Vec<Row<'_>> = report
        .scenarios
        .iter()
        .map(|one| Row {
            class: class(&one.verdict, report.control),
            word: word(&one.verdict, report.control),
            feature: &one.feature,
            scenario: &one.scenario,
            place: place(one),
            tags: &one.tags,
            step: &one.step,
            why: why(one).unwrap_or_default(),
            more: &one.more,
            seconds: format!("{:.1}", one.seconds),
            launched: &one.launched,
        })
        .collect();
    let good = !rows.is_empty() && rows.iter().all(|row| row.class != "bad");
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
