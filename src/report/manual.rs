//! `poclab explain`, laid out to the screen.

use super::line::Tone;
use super::page::Page as Out;
use super::{Format, clean, print_text};
use crate::base::Redactor;
use crate::lab::manual::{Field, Page, Topic};

/// Column of the meanings in lists of names.
const COLUMN: usize = 30;

/// Prints explanations on standard output.
pub fn print_pages(pages: &[Page], format: Format) -> Result<(), String> {
    let pages: Vec<Page> = clean::value(&pages.to_vec(), &Redactor::new())?;
    if format == Format::Json {
        return print_json(&pages);
    }
    let mut out = Out::for_stdout();
    for page in &pages {
        out.gap();
        write(&mut out, page);
    }
    print_text(&out.text());
    Ok(())
}

/// Prints the names of everything that can be explained, by group, with the first sentence of each.
pub fn print_contents(pages: &[Page], format: Format) -> Result<(), String> {
    let pages: Vec<Page> = clean::value(&pages.to_vec(), &Redactor::new())?;
    if format == Format::Json {
        return print_json(&pages);
    }
    let mut out = Out::for_stdout();
    contents(&mut out, &pages);
    print_text(&out.text());
    Ok(())
}

fn print_json(pages: &[Page]) -> Result<(), String> {
    let text = serde_json::to_string_pretty(pages).map_err(|error| error.to_string())?;
    print_text(&format!("{text}\n"));
    Ok(())
}

fn contents(out: &mut Out, pages: &[Page]) {
    for (topic, title) in [
        (Topic::Resource, "kinds of resources (`resources:` in role.yml)"),
        (Topic::Check, "kinds of checks (`checks:` in role.yml)"),
        (Topic::Role, "roles"),
        (Topic::Variable, "variables of roles and of the inventory"),
        (Topic::Given, "variables that poclab gives"),
        (Topic::Secret, "secrets"),
        (Topic::File, "files"),
    ] {
        let of_topic: Vec<&Page> = pages.iter().filter(|page| page.topic == topic).collect();
        if of_topic.is_empty() {
            continue;
        }
        out.gap();
        out.line(Tone::Title, title);
        for page in of_topic {
            out.entry(2, COLUMN, &page.name, Tone::Plain, first_sentence(&page.text));
        }
    }
    out.gap();
    out.line(Tone::Dim, "poclab explain NAME tells all about one; KIND.FIELD (file.mode) about a field");
}

fn first_sentence(text: &str) -> &str {
    let text = text.split("\n\n").next().unwrap_or_default();
    text.find(". ").map_or(text, |end| &text[..=end])
}

fn write(out: &mut Out, page: &Page) {
    let what = match page.topic {
        Topic::Resource => "a kind of resource",
        Topic::Check => "a kind of check",
        Topic::Role => "a role",
        Topic::Variable => "a variable",
        Topic::Given => "a variable that poclab gives",
        Topic::Secret => "a secret",
        Topic::File => "a file",
        Topic::Field => "a field",
    };
    let origin = if page.origin.is_empty() { String::new() } else { format!(", {}", page.origin) };
    out.line(Tone::Title, &format!("{}: {what}{origin}", page.name));
    if !page.text.is_empty() {
        out.gap();
        out.paragraph(Tone::Plain, 2, &page.text);
    }
    if !page.facts.is_empty() {
        out.gap();
        for (label, items) in &page.facts {
            let items: Vec<(Tone, String)> = items.iter().map(|item| (Tone::Plain, item.clone())).collect();
            out.list(label, &items);
        }
    }
    if !page.fields.is_empty() {
        out.gap();
        out.line(Tone::Title, if page.topic == Topic::Role { "  variables" } else { "  fields" });
        page.fields.iter().for_each(|field| write_field(out, field));
    }
    if !page.smallest.is_empty() {
        out.gap();
        out.line(Tone::Title, "  the least that can be written");
        out.verbatim(4, &page.smallest);
    }
    if let Some(example) = &page.example {
        out.gap();
        out.line(Tone::Title, &format!("  as {} has it", example.origin));
        out.verbatim(4, &example.text);
    }
    if !page.set.is_empty() {
        out.gap();
        out.line(Tone::Title, "  where it is set (the last one that applies to a host wins)");
        for setting in &page.set {
            let origin = if setting.origin == "--set" { String::new() } else { format!(", {}", setting.origin) };
            write_value(out, &format!("{}{origin}", setting.by), &setting.value);
        }
    }
    if !page.values.is_empty() {
        out.gap();
        out.line(Tone::Title, "  what it comes to");
        for value in &page.values {
            write_value(
                out,
                &format!("on {}, for {} (from {})", value.hosts.join(", "), value.roles.join(", "), value.origin),
                &value.value,
            );
        }
    }
    if !page.notes.is_empty() {
        out.gap();
        page.notes.iter().for_each(|note| out.paragraph(Tone::Dim, 2, note));
    }
}

fn write_field(out: &mut Out, field: &Field) {
    let need = if field.required {
        "required".to_owned()
    } else {
        field.default.as_ref().map_or(String::new(), |value| format!("default {}", flat(value)))
    };
    let about: Vec<&str> = [field.value_type.as_str(), &need].into_iter().filter(|part| !part.is_empty()).collect();
    out.entry(4, COLUMN, &field.name, Tone::Dim, &about.join("; "));
    out.paragraph(Tone::Plain, 8, &field.text);
}

/// A value of several lines in one, cut: the variable's own page shows it whole.
fn flat(value: &str) -> String {
    let mut lines = value.lines();
    let first = lines.next().unwrap_or_default();
    if lines.next().is_some() { format!("{first} …") } else { first.to_owned() }
}

fn write_value(out: &mut Out, whose: &str, value: &str) {
    if value.lines().count() <= 1 {
        out.paragraph(Tone::Plain, 4, &format!("{whose}: {value}"));
    } else {
        out.paragraph(Tone::Plain, 4, &format!("{whose}:"));
        out.verbatim(8, value);
    }
}
