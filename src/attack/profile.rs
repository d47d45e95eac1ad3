//! The values of a scenario, and commands made of them.

use std::collections::BTreeMap;

use crate::base::{Redactor, Secret};

/// Parts of a name whose values are not shown.
const SECRET: &[&str] = &[
    "pass",
    "pwd",
    "secret",
    "token",
    "credential",
    "auth",
    "cookie",
    "session",
    "api_key",
    "apikey",
    "api-key",
    "private_key",
    "private-key",
];

/// Names and values, from tables and the environment.
#[derive(Debug, Default)]
pub(super) struct Profile {
    values: BTreeMap<String, String>,
    redactor: Redactor,
}

impl Profile {
    /// Sets a value; what its name says is a secret is shown nowhere.
    pub fn set(&mut self, name: &str, value: &str) {
        let lower = name.to_lowercase();
        if SECRET.iter().any(|part| lower.contains(part)) {
            self.redactor.learn(name, &Secret::new(value));
        }
        self.values.insert(name.to_owned(), value.to_owned());
    }

    /// A text without the values of secrets.
    pub fn redact(&self, text: &str) -> String {
        self.redactor.redact(text)
    }

    /// The words of a command with the values in them. A value stays within its word, whatever is in it.
    pub fn command(&self, template: &str) -> Result<Vec<String>, String> {
        words(template)?.iter().map(|word| self.fill(word)).collect()
    }

    /// Replaces each `<name>`; one without a value is a mistake.
    fn fill(&self, word: &str) -> Result<String, String> {
        match names(word).into_iter().find(|name| !self.values.contains_key(*name)) {
            Some(name) => Err(no_value(name)),
            None => Ok(self.fill_known(word)),
        }
    }

    /// Replaces each `<name>` that has a value.
    pub fn fill_known(&self, text: &str) -> String {
        filled(text, |name| self.values.get(name).map(String::as_str))
    }
}

/// What to do about a `<name>` in a command.
pub(super) fn no_value(name: &str) -> String {
    format!("<{name}> has no value: write it into the profile (a text that looks like a placeholder, too)")
}

/// Puts values in for `<name>`s, once: what is put in is not looked at again.
pub(super) fn filled<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        match after.split_once('>').and_then(|(name, after)| Some((value(name)?, after))) {
            Some((value, after)) => {
                out.push_str(value);
                rest = after;
            }
            None => {
                out.push('<');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The names of the `<name>`s in a text.
pub(super) fn names(text: &str) -> Vec<&str> {
    text.split('<').skip(1).filter_map(|part| part.split_once('>')).map(|(name, _)| name).filter(|name| is_name(name)).collect()
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

/// Splits a command into words as a shell does; no variables, no pipes: nothing is a shell here. `Err`: why it cannot be meant.
pub(super) fn words(template: &str) -> Result<Vec<String>, String> {
    // A `#` at the beginning of a word would be the shell's comment; here it is part of an address or a colour.
    let one_line = template.replace("\\\n", " ");
    let words = shlex::split(&one_line.replace('#', "\u{e000}")).ok_or("a quote is not closed in the command")?;
    if words.is_empty() {
        return Err("the command is empty".to_owned());
    }
    if let Some(operator) = bare(&one_line).into_iter().find(|word| is_operator(word)) {
        return Err(format!(
            "`{operator}` would be a word of the command and nothing else: there is no shell; launch one program (further ones by further steps), or quote it if it is meant as a word: '{operator}'"
        ));
    }
    Ok(words.iter().map(|word| word.replace('\u{e000}', "#")).collect())
}

/// The words of a command as they are written, with their quotes.
fn bare(command: &str) -> Vec<&str> {
    let mut quote = None;
    let mut escaped = false;
    command
        .split(move |c: char| {
            if std::mem::take(&mut escaped) {
                return false;
            }
            match (quote, c) {
                (None | Some('"'), '\\') => escaped = true,
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), c) if open == c => quote = None,
                (None, c) => return c.is_whitespace(),
                _ => {}
            }
            false
        })
        .collect()
}

/// `|`, `&&`, `;`, `>file`, `2>&1`: what only a shell understands.
fn is_operator(word: &str) -> bool {
    matches!(word, "|" | "||" | "|&" | "&" | "&&" | ";" | "<" | "<<")
        || word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '&').starts_with('>')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(values: &[(&str, &str)]) -> Profile {
        let mut profile = Profile::default();
        values.iter().for_each(|(name, value)| profile.set(name, value));
        profile
    }

    #[test]
    fn a_value_stays_within_its_word() {
        let profile = profile(&[("url", "http://a/?x=1 2"), ("payload", "'; id \"<url>\"")]);
        let words = profile.command("curl --silent \\\n  --data 'p=<payload>' <url>/#top '<b>' # x").unwrap_err();
        assert!(words.contains("<b> has no value"), "{words}");
        let words = profile.command("curl --silent \\\n  --data 'p=<payload>' \"<url>\"/#top '</b>' #x").unwrap();
        assert_eq!(words, ["curl", "--silent", "--data", "p='; id \"<url>\"", "http://a/?x=1 2/#top", "</b>", "#x"]);
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        assert!(profile(&[]).command("curl 'x").is_err());
        assert!(profile(&[]).command(" \n ").is_err());
        for (command, operator) in [
            ("curl x | grep y", "|"),
            ("curl x >out.txt", ">out.txt"),
            ("curl x 2>&1", "2>&1"),
            ("curl x && id", "&&"),
            ("curl 'a b' \"c\\\" d\" ; id", ";"),
        ] {
            let why = profile(&[]).command(command).unwrap_err();
            assert!(why.starts_with(&format!("`{operator}` would be a word")), "{why}");
        }
        assert_eq!(profile(&[]).command("curl '|' \"> x\" a&b;c x|y '2>&1'").unwrap().len(), 6);
        assert!(profile(&[]).command("curl <hostname>").unwrap_err().contains("<hostname> has no value"));
    }

    #[test]
    fn values_are_put_in_once() {
        let profile = profile(&[("a", "<b>"), ("b", "c")]);
        assert_eq!(profile.command("x <a><b>"), Ok(vec!["x".to_owned(), "<b>c".to_owned()]));
        assert_eq!(profile.fill_known("<<a>> <c> <a"), "<<b>> <c> <a");
        assert_eq!(names("<<a>> <b c> <!d> <e-f"), ["a"]);
    }

    #[test]
    fn secrets_are_not_shown() {
        let profile = profile(&[("api_password", "hunter22"), ("url", "http://a")]);
        assert_eq!(profile.redact("curl -u x:hunter22 http://a"), "curl -u x:[secret api_password] http://a");
        for name in ["PWD", "api_key", "session_cookie", "basic-auth", "Private_Key", "pass"] {
            let profile = self::profile(&[(name, "hunter22")]);
            assert_eq!(profile.redact("x hunter22"), format!("x [secret {name}]"));
        }
    }
}
