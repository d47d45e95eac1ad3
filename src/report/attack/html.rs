//! One page about attacks, without scripts; nothing in it is loaded from elsewhere, and whatever a target said is text.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tera::{Context, Tera};

use super::{place, summary, why, word};
use crate::attack::{Broken, Launched, Report, Verdict};

/// The name ends in .html, so that tera escapes all values.
const NAME: &str = "attack.html";
const TEMPLATE: &str = include_str!("attack.html");
const STYLE: &str = include_str!("attack.css");

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
pub(super) fn page(report: &Report) -> Result<String> {
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
    let mut tera = Tera::default();
    tera.add_raw_template(NAME, TEMPLATE).context("the template of the attacks' page is wrong (please report this as a defect)")?;
    let mut context = Context::new();
    context.insert(
        "policy",
        &format!(
            "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
            STANDARD.encode(Sha256::digest(STYLE.as_bytes()))
        ),
    );
    context.insert("style", STYLE);
    context.insert("version", env!("CARGO_PKG_VERSION"));
    context.insert("control", &report.control);
    context.insert("summary", &summary(report));
    context.insert("good", &good);
    context.insert("rows", &rows);
    tera.render(NAME, &context).context("the attacks' page cannot be rendered (please report this as a defect)")
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn what_a_target_says_stays_text() {
        let text = page(&report(false)).unwrap();
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
