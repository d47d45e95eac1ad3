//! The values of a scenario, and commands made of them.

use std::collections::BTreeMap;

use crate::base::{Redactor, Secret};

/// Parts of a name whose values are not shown.
const SECRET: &[&str] = &["password", "passwd", "secret", "token", "credential", "authorization"];

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

    /// Splits a command into words as a shell does (no variables, no pipes: nothing is a shell here), then puts the values in. A value
    /// stays within its word, whatever is in it.
    pub fn command(&self, template: &str) -> Result<Vec<String>, String> {
        // A `#` at the beginning of a word would be the shell's comment; here it is part of an address or a colour.
        let one_line = template.replace("\\\n", " ");
        let words = shlex::split(&one_line.replace('#', "\u{e000}")).ok_or("a quote is not closed in the command")?;
        if words.is_empty() {
            return Err("the command is empty".to_owned());
        }
        words.iter().map(|word| self.fill(&word.replace('\u{e000}', "#"))).collect()
    }

    /// Replaces each `<name>`, once: values are not looked at again.
    fn fill(&self, word: &str) -> Result<String, String> {
        let mut out = String::with_capacity(word.len());
        let mut rest = word;
        while let Some((before, after)) = rest.split_once('<') {
            out.push_str(before);
            let name = after.split_once('>').map(|(name, _)| name).filter(|name| is_name(name));
            match name {
                None => {
                    out.push('<');
                    rest = after;
                }
                Some(name) => {
                    let value = self.values.get(name).ok_or_else(|| {
                        format!("<{name}> has no value: write it into the profile (a text that looks like a placeholder, too)")
                    })?;
                    out.push_str(value);
                    rest = &after[name.len() + 1..];
                }
            }
        }
        out.push_str(rest);
        Ok(out)
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
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
        assert!(profile(&[]).command("curl <hostname>").unwrap_err().contains("<hostname> has no value"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let profile = profile(&[("api_password", "hunter22"), ("url", "http://a")]);
        assert_eq!(profile.redact("curl -u x:hunter22 http://a"), "curl -u x:[secret api_password] http://a");
    }
}
