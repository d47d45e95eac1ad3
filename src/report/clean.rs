//! What every text of every event passes before anything shows or keeps it: secrets out, control characters made visible.
//!
//! An event is turned into JSON, every string in it is cleaned, and it is read back: so a new field cannot be forgotten.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::base::{Redactor, is_hostile};
use crate::engine::Event;

/// The event without secrets and without anything that a terminal would obey.
pub(super) fn event(event: &Event, redactor: &Redactor) -> Event {
    let cleaned = serde_json::to_value(event).ok().and_then(|mut value| {
        if let Value::Object(fields) = &mut value {
            let tag = fields.get("event").and_then(Value::as_str).unwrap_or_default().to_owned();
            for (key, value) in fields.iter_mut() {
                // Words of a closed list, not texts: a secret that happens to be `plan` must not change them.
                let word = matches!((tag.as_str(), key.as_str()), (_, "event") | ("run_started", "kind") | ("check_result", "status"));
                if !word {
                    walk(value, redactor);
                }
            }
        }
        serde_json::from_value(value).ok()
    });
    // Nothing of an event that cannot be cleaned may be shown.
    cleaned.unwrap_or_else(|| Event::Note { text: "an event could not be shown (please report this as a defect)".to_owned() })
}

/// A report whose texts are all free ones.
pub(super) fn value<T: Serialize + DeserializeOwned>(report: &T, redactor: &Redactor) -> Result<T, String> {
    let unclean =
        |error: serde_json::Error| format!("the report could not be cleaned of secrets (please report this as a defect): {error}");
    let mut value = serde_json::to_value(report).map_err(unclean)?;
    walk_texts(&mut value, redactor);
    serde_json::from_value(value).map_err(unclean)
}

/// As [`walk`], but closed lists of words are left alone: a secret that happens to be `no` must not change them.
fn walk_texts(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::Object(fields) => {
            fields
                .iter_mut()
                .filter(|(key, _)| !matches!(key.as_str(), "kind" | "reached"))
                .for_each(|(_, field)| walk_texts(field, redactor));
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|item| walk_texts(item, redactor));
            lines(items, redactor);
        }
        other => walk(other, redactor),
    }
}

fn walk(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::String(string) => *string = text(string, redactor),
        Value::Array(items) => {
            items.iter_mut().for_each(|item| walk(item, redactor));
            lines(items, redactor);
        }
        Value::Object(fields) => fields.values_mut().for_each(|field| walk(field, redactor)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// One text.
pub(super) fn text(text: &str, redactor: &Redactor) -> String {
    visible(&redactor.redact(text))
}

/// Lines of one text, each a text of its own: a secret may begin in one and end in the next (Base64 of many bytes does).
fn lines(items: &mut Vec<Value>, redactor: &Redactor) {
    // No clean text holds this character, and it does not hide a value from the redactor.
    const BREAK: char = '\0';
    let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
    if let Some(texts) = texts.filter(|texts| texts.len() > 1) {
        let joined = texts.join(&BREAK.to_string());
        let clean = redactor.redact(&joined);
        if clean != joined {
            *items = clean.split(BREAK).map(Value::from).collect();
        }
    }
}

/// Control characters as `\x1b`, direction and zero-width characters as `\u{202e}`. Line breaks and tabs stay; CR LF
/// becomes LF.
pub(super) fn visible(text: &str) -> String {
    if !text.chars().any(is_hostile) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.replace("\r\n", "\n").chars() {
        match c {
            c if !is_hostile(c) => shown.push(c),
            c if u32::from(c) < 0x100 => shown.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => shown.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;
    use crate::report::script;

    fn redactor() -> Redactor {
        let mut redactor = Redactor::new();
        redactor.learn("root", &Secret::new("hunter22"));
        redactor.learn("word", &Secret::new("plan"));
        redactor
    }

    #[test]
    fn texts_lose_secrets_and_control_characters() {
        let clean = |t: &str| text(t, &redactor());
        assert_eq!(clean("pw hunter22"), "pw [secret root]");
        assert_eq!(clean("\x1b]0;title\x07 a\r\nb\tc\rd\u{9b}2J"), "\\x1b]0;title\\x07 a\nb\tc\\x0dd\\x9b2J");
        assert_eq!(clean("\u{202e}abc\u{200b}"), "\\u{202e}abc\\u{200b}");
        assert_eq!(clean("Grüße, 世界"), "Grüße, 世界");
        for hidden in ["hun\x1bter22", "hun\u{200b}ter22", "h\0unter2\r2"] {
            assert_eq!(clean(hidden), "[secret root]", "{hidden:?}");
        }
    }

    #[test]
    fn a_secret_that_is_split_over_lines_is_found() {
        let output = vec!["first aHVud".to_owned(), "GVyMjI= last".to_owned(), "hunt".to_owned(), "er22".to_owned()];
        let failed = Event::RoleFailed { host: "h".into(), role: "r".into(), error: "e".into(), output, hint: None };
        let Event::RoleFailed { output, .. } = event(&failed, &redactor()) else { panic!() };
        // The last character of Base64 says little of the value, and depends on what follows.
        assert_eq!(output, ["first [secret root]I= last", "[secret root]"]);
    }

    /// Every string of every kind of event, whatever fields it has or will have.
    #[test]
    fn no_field_of_any_event_is_forgotten() {
        fn poison(value: &mut Value, poisoned: &mut usize) {
            match value {
                Value::String(string) => {
                    *string = "a hunter22 \x1b[2J b".to_owned();
                    *poisoned += 1;
                }
                Value::Array(items) => items.iter_mut().for_each(|item| poison(item, poisoned)),
                Value::Object(fields) => fields.values_mut().for_each(|field| poison(field, poisoned)),
                _ => {}
            }
        }
        let samples = script::one_of_each();
        let tags: std::collections::BTreeSet<&str> = samples.iter().map(script::tag).collect();
        assert_eq!(tags, script::all_tags().iter().map(String::as_str).collect(), "a sample of every kind of event");
        for sample in &samples {
            let mut value = serde_json::to_value(sample).unwrap();
            let mut poisoned = 0;
            for (key, field) in value.as_object_mut().unwrap() {
                if !["event", "kind", "status"].contains(&key.as_str()) {
                    poison(field, &mut poisoned);
                }
            }
            let hostile: Event = serde_json::from_value(value).unwrap();
            let clean = event(&hostile, &redactor());
            assert_eq!(script::tag(&clean), script::tag(sample));
            let json = serde_json::to_string(&clean).unwrap();
            assert!(!json.contains("hunter22") && !json.contains("\\u001b"), "{json}");
            assert_eq!(json.matches("[secret root]").count(), poisoned, "{json}");
        }
    }

    #[test]
    fn a_secret_that_is_one_of_our_words_breaks_nothing() {
        for sample in script::one_of_each() {
            assert_eq!(script::tag(&event(&sample, &redactor())), script::tag(&sample));
        }
    }
}
