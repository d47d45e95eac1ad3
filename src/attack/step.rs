//! The steps of attack files: Gauntlt's, what of aruba's it was used with, and some of our own (reports of scanners).

mod known;

use regex::Regex;

use super::css::Selector;
use super::findings::Level;
use super::profile::Profile;
use known::{Below, PATTERNS, STEPS};

/// One understood step.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A program is there.
    Installed(String),
    /// Names and values for placeholders.
    Profile(Vec<(String, String)>),
    /// Names for placeholders, and the variables of the environment that have their values.
    Environment(Vec<(String, String)>),
    /// A file that the attack needs, with placeholders.
    File { name: String, content: String },
    /// The command of an attack, with placeholders.
    Launch { command: String },
    /// What the last attack prints when it has reached its target (negated: when it has broken down): else nothing is known.
    Reached { negated: bool, pattern: Regex },
    /// With which exit status the last attack has reached its target (negated: has broken down): else nothing is known.
    ReachedStatus { negated: bool, statuses: Vec<i32> },
    /// It ends with 0 (or with anything else), and prints a text.
    Ended { passes: bool, wanted: Wanted },
    /// About what the last attack printed.
    Output { stream: Stream, negated: bool, wanted: Wanted },
    /// About how it ended.
    ExitStatus { negated: bool, status: i32 },
    /// About a file that it wrote.
    FileText { file: String, negated: bool, wanted: Wanted },
    /// Whether there is such a file.
    FileExists { file: String, negated: bool },
    /// About an XML file that it wrote.
    FileXml { file: String, negated: bool, selectors: Vec<Selector> },
    /// The cookies that an answer in its output sets.
    Cookies(Vec<Cookie>),
    /// A scanner's report: no findings of this level or above, but for those that are accepted.
    Report { file: String, level: Level, except: Vec<String> },
}

/// What was printed where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// Both, standard output first.
    All,
    Stdout,
    Stderr,
}

/// What a text should be like.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    Contains(String),
    Exactly(String),
    Matches(Regex),
}

/// A cookie that must be set, and how; `None`: either way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cookie {
    pub name: String,
    pub secure: Option<bool>,
    pub httponly: Option<bool>,
}

/// The known step that is most like this one. Most may stand with and without "not", and are listed with one of these only.
fn nearest(value: &str) -> String {
    let forms = STEPS.iter().flat_map(|(example, _, _)| [(*example).to_owned(), example.replacen(" not ", " ", 1)]);
    let known = forms.filter(|form| PATTERNS.iter().any(|pattern| pattern.is_match(form)));
    known.max_by(|a, b| strsim::jaro(value, a).total_cmp(&strsim::jaro(value, b))).unwrap_or_default()
}

impl Step {
    /// Reads a step without its keyword. `Err`: what is wrong with it.
    pub fn parse(value: &str, text: Option<&str>, table: Option<&[Vec<String>]>) -> Result<Self, String> {
        let below = Below { text, table };
        for ((_, _, build), pattern) in STEPS.iter().zip(PATTERNS.iter()) {
            if let Some(captures) = pattern.captures(value) {
                return build(&captures, &below);
            }
        }
        Err(format!("unknown step `{value}`; the nearest known one is `{}`", nearest(value)))
    }

    /// Whether it judges what an attack has done.
    pub fn asserts(&self) -> bool {
        !matches!(self, Self::Installed(_) | Self::Profile(_) | Self::Environment(_) | Self::File { .. } | Self::Launch { .. })
    }

    /// Whether it can only hold where something was seen. That a text is missing is also true of a tool that saw nothing.
    pub fn affirms(&self) -> bool {
        match self {
            Self::Output { negated, wanted, .. } => !negated && !matches!(wanted, Wanted::Exactly(text) if text.is_empty()),
            Self::FileText { negated, .. } | Self::FileXml { negated, .. } | Self::FileExists { negated, .. } => !negated,
            Self::Reached { negated, .. } => !negated,
            Self::Cookies(_) | Self::Report { .. } | Self::Ended { .. } => true,
            _ => false,
        }
    }

    /// Whether it says with which exit status the attack should end, and this is one that it allows or speaks of. That it should not be
    /// a certain one says nothing of all the others.
    pub fn demands_status(&self, status: i32) -> bool {
        match self {
            Self::ExitStatus { negated, .. } => !negated,
            Self::ReachedStatus { negated, statuses } => !negated && statuses.contains(&status),
            Self::Ended { .. } => true,
            _ => false,
        }
    }

    /// Whether it holds when nothing at all was seen.
    pub fn is_silent(&self) -> bool {
        self.forbids() && !self.affirms()
    }

    /// With the profile's values in the texts that it compares.
    pub fn filled(&self, profile: &Profile) -> Self {
        let mut step = self.clone();
        if let Self::Output { wanted, .. } | Self::FileText { wanted, .. } | Self::Ended { wanted, .. } = &mut step
            && let Wanted::Contains(text) | Wanted::Exactly(text) = wanted
        {
            *text = profile.fill_known(text);
        }
        if let Self::File { content, .. } = &mut step {
            *content = profile.fill_known(content);
        }
        step
    }

    /// Whether it does not hold because of something that is there.
    pub fn forbids(&self) -> bool {
        match self {
            Self::Output { negated, wanted, .. } => *negated || matches!(wanted, Wanted::Exactly(text) if text.is_empty()),
            Self::FileText { negated, .. } | Self::FileXml { negated, .. } | Self::FileExists { negated, .. } => *negated,
            Self::Report { .. } => true,
            _ => false,
        }
    }

    /// Whether it is about files that an attack leaves.
    pub fn reads_files(&self) -> bool {
        matches!(self, Self::FileText { .. } | Self::FileExists { .. } | Self::FileXml { .. } | Self::Report { .. })
    }
}

/// The steps that are known, as they may be written.
pub fn steps() -> impl Iterator<Item = &'static str> {
    STEPS.iter().map(|(example, _, _)| *example)
}

#[cfg(test)]
pub(super) fn examples() -> impl Iterator<Item = (&'static str, &'static Regex)> {
    STEPS.iter().map(|(example, _, _)| *example).zip(PATTERNS.iter())
}
