//! Symbolic links.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::Presence;
use super::script;
use super::{Action, Change, Kind, Reply, State};
use crate::base::quote;

/// A symbolic link.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Absolute path of the link. Its directory must exist.
    pub path: String,
    /// What it points to, exactly as it is to be stored.
    pub to: String,
    /// `present` (default) or `absent`: a link in this place is removed, anything else is left alone.
    #[serde(default)]
    pub state: Presence,
}

/// What is in the link's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// Nothing.
    Absent,
    /// A link to this.
    Link(String),
    /// Something that is not a link.
    Other,
}

impl Kind for Spec {
    const NAME: &'static str = "link";
    type Observed = Observed;

    fn id(&self) -> String {
        self.path.clone()
    }

    fn check(&self) -> Vec<String> {
        let mut errors = script::path_errors("path", &self.path);
        if self.to.is_empty() || self.to.chars().any(char::is_control) {
            errors.push("to must name what the link points to".to_owned());
        }
        errors
    }

    fn observe(specs: &[&Self]) -> String {
        let mut s = String::from("i=0\nset --");
        for spec in specs {
            let _ = write!(s, " {}", quote(&spec.path));
        }
        s.push_str(concat!(
            "\nfor p do\n",
            "  if [ -L \"$p\" ]; then to=$(readlink -- \"$p\") && printf '%s link %s\\n' \"$i\" \"$to\"\n",
            "  elif [ -e \"$p\" ]; then echo \"$i other\"; else echo \"$i absent\"; fi\n",
            "  i=$((i + 1))\n",
            "done\n:\n",
        ));
        s
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let text = reply.text();
        (0..specs.len())
            .map(|i| {
                let found = text.split('\n').find_map(|line| line.strip_prefix(&format!("{i} ")));
                match found {
                    Some("absent") => Ok(Observed::Absent),
                    Some("other") => Ok(Observed::Other),
                    Some(rest) => {
                        rest.strip_prefix("link ").map(|to| Observed::Link(to.to_owned())).ok_or_else(|| format!("cannot read {rest:?}"))
                    }
                    None => Err("the link could not be read".to_owned()),
                }
            })
            .collect()
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        let what = match (observed, self.state) {
            (Observed::Link(to), Presence::Present) if *to == self.to => return State::InSync,
            (Observed::Absent | Observed::Other, Presence::Absent) => return State::InSync,
            (Observed::Link(to), Presence::Present) => format!("points to {to}, want {}", self.to),
            (Observed::Absent, Presence::Present) => "does not exist".to_owned(),
            (Observed::Other, Presence::Present) => "is not a symbolic link".to_owned(),
            (Observed::Link(to), Presence::Absent) => format!("points to {to}, want it gone"),
        };
        State::Drift(vec![Change::new(what)])
    }

    fn apply(&self, _observed: &Self::Observed) -> Vec<Action> {
        let path = quote(&self.path);
        if self.state == Presence::Absent {
            return vec![Action {
                label: format!("remove the link {}", self.path),
                script: format!("rm -f -- {path}\n"),
                ..Action::default()
            }];
        }
        // A link made beside it and renamed is never missing in between. -T: a link to a directory is replaced, not entered.
        let (to, beside) = (quote(&self.to), quote(&format!("{}/.poclab.link", script::parent(&self.path).trim_end_matches('/'))));
        let script = format!(
            concat!(
                "set -e\n",
                "if [ -d {path} ] && [ ! -L {path} ]; then rmdir -- {path}; fi\n",
                "rm -f -- {beside}\n",
                "ln -s -- {to} {beside}\n",
                "mv -fT -- {beside} {path}\n",
            ),
            path = path,
            to = to,
            beside = beside
        );
        let sweep = format!("rm -f -- {beside}\n");
        vec![Action { label: format!("link {} to {}", self.path, self.to), script, sweep, ..Action::default() }]
    }
}
