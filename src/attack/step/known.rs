//! The steps that are known: an example for people, a pattern, and how each is made. What is not among them is an error.

use std::sync::LazyLock;

use regex::{Captures, Regex, RegexBuilder};

use super::{Cookie, Step, Stream, Wanted};
use crate::attack::aliases;
use crate::attack::css::Selector;
use crate::attack::findings::Level;
use crate::attack::profile;

/// What stands below a step.
pub(super) struct Below<'a> {
    pub text: Option<&'a str>,
    pub table: Option<&'a [Vec<String>]>,
}

/// Names that may stand in `I launch a "NAME" attack with:`. All do the same: they run the command.
const ADAPTERS: &[&str] = &[
    "arachni",
    "curl",
    "dirb",
    "garmr",
    "generic",
    "nmap",
    "sqlmap",
    "sslyze",
    "wapiti",
    "zap",
    "zap-api-scan",
    "zap-baseline",
    "zap-cli",
];

type Build = fn(&Captures<'_>, &Below<'_>) -> Result<Step, String>;

/// Each kind of step: an example for people, its pattern, and how it is made.
pub(super) const STEPS: &[(&str, &str, Build)] = &[
    (r#""curl" is installed"#, r#"^"([^"]+)" is installed(?: in (?:my|the) path)?$"#, |c, b| {
        b.nothing().map(|()| Step::Installed(text(c, 1)))
    }),
    (r#"the "curl" command line binary is installed"#, r#"^the "([^"]+)" command line binary is installed$"#, |c, b| {
        b.nothing().map(|()| Step::Installed(text(c, 1)))
    }),
    ("the following profile:", "^the following profile:$", |_, b| b.pairs(["name", "value"]).map(Step::Profile)),
    ("the following environment variables:", "^the following environment variables:$", |_, b| {
        b.pairs(["name", "environment_variable_name"]).map(Step::Environment)
    }),
    (r#"a file named "rules.conf" with:"#, r#"^a file named "([^"]+)" with:$"#, |c, b| {
        Ok(Step::File { name: file(c)?, content: format!("{}\n", b.text()?) })
    }),
    (r#"I launch a "curl" attack with:"#, r#"^I launch an? "([^"]+)" attack with:$"#, |c, b| {
        let name = text(c, 1);
        if !ADAPTERS.contains(&name.as_str()) {
            return Err(format!("\"{name}\" is no kind of attack: write one of {}, or \"generic\"", ADAPTERS.join(", ")));
        }
        launch(b.text()?)
    }),
    (r#"I launch an "arachni-simple_xss" attack"#, r#"^I launch an? "([^"]+)" attack$"#, |c, b| {
        b.nothing()?;
        launch(aliases::command(&text(c, 1))?)
    }),
    (r#"the output should contain exactly "x""#, r#"^the (output|stdout|stderr) should (not )?contain exactly "(.*)"$"#, |c, b| {
        b.nothing()?;
        output(c, Wanted::Exactly(quoted(c, 3)))
    }),
    ("the output should contain exactly:", "^the (output|stdout|stderr) should (not )?contain exactly:$", |c, b| {
        output(c, Wanted::Exactly(b.text()?.to_owned()))
    }),
    (r#"the output should not contain "x""#, r#"^the (output|stdout|stderr) should (not )?contain "(.*)"$"#, |c, b| {
        b.nothing()?;
        output(c, contains(&quoted(c, 3))?)
    }),
    ("the output should not contain:", "^the (output|stdout|stderr) should (not )?contain:$", |c, b| output(c, contains(b.text()?)?)),
    ("the stderr should not contain anything", "^the (output|stdout|stderr) should (not )contain anything$", |c, b| {
        b.nothing()?;
        Ok(Step::Output { stream: stream(c), negated: false, wanted: Wanted::Exactly(String::new()) })
    }),
    ("the output should match /x+/", "^the (output|stdout|stderr) should (not )?match /(.*)/$", |c, b| {
        b.nothing()?;
        output(c, matches(&text(c, 3))?)
    }),
    ("the output should match:", "^the (output|stdout|stderr) should (not )?match:$", |c, b| output(c, matches(b.text()?)?)),
    ("the attack should have reached its target: /x+/", "^the attack should have reached its target: /(.*)/$", |c, b| {
        b.nothing()?;
        match matches(&text(c, 1))? {
            Wanted::Matches(pattern) => Ok(Step::Reached { negated: false, pattern }),
            _ => Err("write a pattern between slashes".to_owned()),
        }
    }),
    ("the attack should not have broken down: /x+/", "^the attack should not have broken down: /(.*)/$", |c, b| {
        b.nothing()?;
        match matches(&text(c, 1))? {
            Wanted::Matches(pattern) => Ok(Step::Reached { negated: true, pattern }),
            _ => Err("write a pattern between slashes".to_owned()),
        }
    }),
    (
        "the attack should have reached its target: exit status 0 or 7",
        r"^the attack should have reached its target: exit status ([\d, or]+)$",
        |c, b| {
            b.nothing()?;
            Ok(Step::ReachedStatus { negated: false, statuses: statuses(&text(c, 1))? })
        },
    ),
    (
        "the attack should not have broken down: exit status 3",
        r"^the attack should not have broken down: exit status ([\d, or]+)$",
        |c, b| {
            b.nothing()?;
            Ok(Step::ReachedStatus { negated: true, statuses: statuses(&text(c, 1))? })
        },
    ),
    ("it should pass with:", "^it should (pass|fail) with:$", |c, b| {
        Ok(Step::Ended { passes: &c[1] == "pass", wanted: contains(b.text()?)? })
    }),
    ("the exit status should be 0", r"^the exit status should (not )?be (\d{1,3})$", |c, b| {
        b.nothing()?;
        // Three digits fit.
        Ok(Step::ExitStatus { negated: c.get(1).is_some(), status: text(c, 2).parse().unwrap_or_default() })
    }),
    (r#"the file "x.txt" should contain "y""#, r#"^the file "([^"]+)" should (not )?contain "(.*)"$"#, |c, b| {
        b.nothing()?;
        Ok(Step::FileText { file: file(c)?, negated: c.get(2).is_some(), wanted: contains(&quoted(c, 3))? })
    }),
    (r#"the file "x.txt" should contain:"#, r#"^the file "([^"]+)" should (not )?contain:$"#, |c, b| {
        Ok(Step::FileText { file: file(c)?, negated: c.get(2).is_some(), wanted: contains(b.text()?)? })
    }),
    (r#"the file "x.txt" should match /y/"#, r#"^the file "([^"]+)" should (not )?match /(.*)/$"#, |c, b| {
        b.nothing()?;
        Ok(Step::FileText { file: file(c)?, negated: c.get(2).is_some(), wanted: matches(&text(c, 3))? })
    }),
    (r#"the file "x.xml" should contain XML:"#, r#"^the file "([^"]+)" should (not )?contain XML:$"#, |c, b| {
        let selectors = b.rows(&["css"], &[])?.iter().map(|row| Selector::parse(&row[0])).collect::<Result<_, _>>()?;
        Ok(Step::FileXml { file: file(c)?, negated: c.get(2).is_some(), selectors })
    }),
    (r#"a file named "x.txt" should exist"#, r#"^(?:a file named|the file) "([^"]+)" should (not )?exist$"#, |c, b| {
        b.nothing()?;
        Ok(Step::FileExists { file: file(c)?, negated: c.get(2).is_some() })
    }),
    ("the following cookies should be received:", "^the following cookies should be received:$", |_, b| {
        let rows = b.rows(&["name"], &["secure", "httponly"])?;
        rows.iter()
            .map(|row| Ok(Cookie { name: row[0].clone(), secure: flag(&row[1])?, httponly: flag(&row[2])? }))
            .collect::<Result<_, String>>()
            .map(Step::Cookies)
    }),
    (
        r#"the report "zap.json" should have no findings of at least "medium""#,
        r#"^the report "([^"]+)" should have no findings(?: of at least "([^"]+)")?( except:)?$"#,
        |c, b| {
            let level = c.get(2).map_or(Ok(Level::Low), |level| Level::parse(level.as_str()))?;
            let except = if c.get(3).is_some() { accepted(b)? } else { b.nothing().map(|()| Vec::new())? };
            Ok(Step::Report { file: file(c)?, level, except })
        },
    ),
];

pub(super) static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "constants of this file, each of which a test compiles")]
    let compiled =
        STEPS.iter().map(|(_, pattern, _)| Regex::new(pattern).expect("the pattern of a step is a regular expression")).collect();
    compiled
});

/// A command whose quotes and words are understood: what is wrong with it is said before anything runs.
fn launch(command: &str) -> Result<Step, String> {
    profile::words(command)?;
    Ok(Step::Launch { command: command.to_owned() })
}

/// `0, 1 or 56`
fn statuses(list: &str) -> Result<Vec<i32>, String> {
    let one = |word: &str| word.trim().parse::<u8>().map(i32::from);
    list.replace(" or ", ",")
        .split(',')
        .map(one)
        .collect::<Result<_, _>>()
        .map_err(|_| format!("`{list}` is no list of exit statuses: write numbers up to 255, such as `0` or `0, 1 or 56`"))
}

/// A text between quotes. As in aruba, `\n` in it is a line break and `\"` a quote.
fn quoted(captures: &Captures<'_>, index: usize) -> String {
    text(captures, index).replace("\\n", "\n").replace("\\\"", "\"")
}

fn text(captures: &Captures<'_>, index: usize) -> String {
    captures.get(index).map(|found| found.as_str().to_owned()).unwrap_or_default()
}

/// A file of the scenario's own folder.
fn file(captures: &Captures<'_>) -> Result<String, String> {
    let name = text(captures, 1);
    let plain = !name.starts_with('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if plain { Ok(name) } else { Err(format!("\"{name}\" is no plain file name: files of an attack are in a folder of its own")) }
}

fn stream(captures: &Captures<'_>) -> Stream {
    match captures.get(1).map(|found| found.as_str()) {
        Some("stdout") => Stream::Stdout,
        Some("stderr") => Stream::Stderr,
        _ => Stream::All,
    }
}

fn output(captures: &Captures<'_>, wanted: Wanted) -> Result<Step, String> {
    Ok(Step::Output { stream: stream(captures), negated: captures.get(2).is_some(), wanted })
}

fn contains(text: &str) -> Result<Wanted, String> {
    if text.is_empty() {
        return Err("every output contains an empty text: this proves nothing".to_owned());
    }
    Ok(Wanted::Contains(text.to_owned()))
}

/// As in Ruby, `^` and `$` are those of a line.
fn matches(pattern: &str) -> Result<Wanted, String> {
    if pattern.is_empty() {
        return Err("every output matches an empty pattern: this proves nothing".to_owned());
    }
    let regex = RegexBuilder::new(pattern).multi_line(true).crlf(true).build();
    regex.map(Wanted::Matches).map_err(|error| format!("/{pattern}/ is no regular expression: {}", last_line(&error.to_string())))
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text)
}

fn flag(text: &str) -> Result<Option<bool>, String> {
    match text {
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        "na" | "" => Ok(None),
        other => Err(format!("`{other}` is neither true nor false nor na")),
    }
}

/// Findings that are accepted; each needs a reason.
fn accepted(below: &Below<'_>) -> Result<Vec<String>, String> {
    let pairs = below.pairs(["finding", "reason"])?;
    match pairs.iter().find(|(_, reason)| reason.is_empty()) {
        Some((finding, _)) => Err(format!("`{finding}` is accepted without a reason")),
        None => Ok(pairs.into_iter().map(|(finding, _)| finding).collect()),
    }
}

impl Below<'_> {
    fn nothing(&self) -> Result<(), String> {
        if self.text.is_some() || self.table.is_some() {
            return Err("nothing belongs below this step: the text or table there would be ignored".to_owned());
        }
        Ok(())
    }

    fn text(&self) -> Result<&str, String> {
        match (self.text, self.table) {
            (Some(text), None) if !text.trim().is_empty() => Ok(text),
            _ => Err("a text between lines of \"\"\" belongs below this step".to_owned()),
        }
    }

    /// The rows below the header, in the order of `needed` and `optional`; an optional column that is not there is empty.
    fn rows(&self, needed: &[&str], optional: &[&str]) -> Result<Vec<Vec<String>>, String> {
        let form = || format!("a table with the header | {} | belongs below this step", needed.join(" | "));
        let (Some([header, rows @ ..]), None) = (self.table, self.text) else { return Err(form()) };
        if let Some(other) = header.iter().find(|name| !needed.contains(&name.as_str()) && !optional.contains(&name.as_str())) {
            return Err(format!("{}; `{other}` is not known", form()));
        }
        let place = |name: &&str| header.iter().position(|cell| cell == name);
        if needed.iter().any(|name| place(name).is_none()) || rows.is_empty() {
            return Err(format!("{}, and at least one row", form()));
        }
        let columns: Vec<Option<usize>> = needed.iter().chain(optional).map(place).collect();
        let row = |row: &Vec<String>| columns.iter().map(|at| at.and_then(|at| row.get(at).cloned()).unwrap_or_default()).collect();
        Ok(rows.iter().map(row).collect())
    }

    fn pairs(&self, names: [&str; 2]) -> Result<Vec<(String, String)>, String> {
        let rows = self.rows(&names, &[])?;
        Ok(rows.into_iter().filter_map(|row| <[String; 2]>::try_from(row).ok()).map(|[a, b]| (a, b)).collect())
    }
}
