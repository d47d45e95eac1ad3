//! `<name>`s of steps: which are filled, which are markup, and which are mistakes. A `<name>` that is compared as it is written where a
//! value was meant would make a demand that nothing can break.

use super::profile::{names, no_value};
use super::step::{Step, Wanted};

/// Names of HTML's elements: `<script>` in a demand is markup, unless the profile has that name.
const ELEMENTS: &[&str] = &[
    "a",
    "abbr",
    "address",
    "article",
    "aside",
    "audio",
    "b",
    "base",
    "bdi",
    "bdo",
    "blockquote",
    "body",
    "br",
    "button",
    "canvas",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "data",
    "datalist",
    "dd",
    "del",
    "details",
    "dfn",
    "dialog",
    "div",
    "dl",
    "dt",
    "em",
    "embed",
    "fieldset",
    "figcaption",
    "figure",
    "font",
    "footer",
    "form",
    "frame",
    "frameset",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "header",
    "hr",
    "html",
    "i",
    "iframe",
    "img",
    "input",
    "ins",
    "kbd",
    "label",
    "legend",
    "li",
    "link",
    "main",
    "map",
    "mark",
    "math",
    "menu",
    "meta",
    "meter",
    "nav",
    "noscript",
    "object",
    "ol",
    "optgroup",
    "option",
    "output",
    "p",
    "param",
    "picture",
    "pre",
    "progress",
    "q",
    "s",
    "samp",
    "script",
    "section",
    "select",
    "small",
    "source",
    "span",
    "strong",
    "style",
    "sub",
    "summary",
    "sup",
    "svg",
    "table",
    "tbody",
    "td",
    "template",
    "textarea",
    "tfoot",
    "th",
    "thead",
    "title",
    "tr",
    "track",
    "u",
    "ul",
    "var",
    "video",
];

/// Whether all `<name>`s of a step can be meant, where these names have values. `Err`: what is wrong with which.
pub(super) fn check(step: &Step, known: &[&str]) -> Result<(), String> {
    match step {
        Step::Launch { command } => match names(command).into_iter().find(|name| !known.contains(name)) {
            Some(name) => Err(no_value(name)),
            None => Ok(()),
        },
        Step::File { content, .. } => literal(content, known),
        Step::Output { wanted, .. } | Step::FileText { wanted, .. } | Step::Ended { wanted, .. } => match wanted {
            Wanted::Contains(text) | Wanted::Exactly(text) => literal(text, known),
            Wanted::Matches(pattern) => unfilled(pattern.as_str(), known),
        },
        Step::Reached { pattern, .. } => unfilled(pattern.as_str(), known),
        _ => Ok(()),
    }
}

/// A text, in which known names are filled: the others must be markup.
fn literal(text: &str, known: &[&str]) -> Result<(), String> {
    match names(text).into_iter().find(|name| !known.contains(name) && !is_markup(name, text)) {
        Some(name) => Err(format!(
            "<{name}> has no value, and is no element of HTML: write it into the profile, or, if it is meant as it is, compare with a pattern: /[<]{name}>/"
        )),
        None => Ok(()),
    }
}

/// A pattern, in which nothing is filled.
fn unfilled(pattern: &str, known: &[&str]) -> Result<(), String> {
    // Groups may have names.
    let bare = pattern.replace("(?P<", "(?P").replace("(?<", "(?");
    match names(&bare).into_iter().find(|name| known.contains(name) || !is_markup(name, &bare)) {
        Some(name) => Err(format!(
            "<{name}> is not filled in a pattern, so it would be compared as it is: use `should (not) contain \"<{name}>\"`, or write /[<]{name}>/ if it is meant"
        )),
        None => Ok(()),
    }
}

fn is_markup(name: &str, text: &str) -> bool {
    ELEMENTS.contains(&name.to_ascii_lowercase().as_str()) || text.contains(&format!("</{name}>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(value: &str) -> Result<(), String> {
        check(&Step::parse(value, None, None).unwrap(), &["payload", "title"])
    }

    #[test]
    fn only_what_is_filled_or_markup_is_let_through() {
        for good in [
            r#"the output should not contain "<payload>""#,
            r#"the output should not contain "<script>alert(1)</script><IMG src=x>""#,
            r#"the output should contain "<user>x</user>""#,
            r"the output should match /(?P<year>\d+)-(?<month>\d+)<b>x/",
            r"the output should match /[<]payload>/",
        ] {
            assert_eq!(checked(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            (r#"the output should not contain "<paylod>""#, "<paylod> has no value"),
            (r#"the file "x" should not contain "<user>""#, "<user> has no value"),
            (r"the output should not match /<payload>/", "<payload> is not filled in a pattern"),
            (r"the output should not match /<title>/", "<title> is not filled in a pattern"),
            (r"the attack should have reached its target: /<url>/", "<url> is not filled in a pattern"),
        ] {
            assert!(checked(bad).is_err_and(|said| said.starts_with(why)), "{bad}");
        }
        let file = |text: &str| Step::parse("a file named \"x\" with:", Some(text), None).unwrap();
        assert_eq!(check(&file("user = x:<payload>"), &["payload"]), Ok(()));
        assert!(check(&file("user = x:<paylod>"), &["payload"]).is_err());
    }
}
