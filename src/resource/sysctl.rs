//! Kernel settings.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::{self, Presence};
use super::{Action, Change, Kind, Reply, State};
use crate::base::quote;

/// A kernel setting, now and (by /etc/sysctl.d/90-poclab-KEY.conf) after a boot.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// e.g. `vm.max_map_count`
    pub key: String,
    /// e.g. "262144"; in quotes. Several numbers with one space between them.
    pub value: String,
}

/// A setting as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The kernel's value; `None`: the running kernel has no such setting.
    pub live: Option<String>,
    /// The file that sets it at boot.
    pub file: file::Observed,
}

impl Spec {
    fn file(&self) -> file::Spec {
        let text = format!("# Written by poclab; changes are reverted.\n{} = {}\n", self.key, self.value);
        file::Spec::new(format!("/etc/sysctl.d/90-poclab-{}.conf", self.key), text, Presence::Present)
    }

    fn live_ok(&self, observed: &Observed) -> bool {
        observed.live.as_deref() == Some(self.value.as_str())
    }
}

impl Kind for Spec {
    const NAME: &'static str = "sysctl";
    type Observed = Observed;

    fn id(&self) -> String {
        self.key.clone()
    }

    fn check(&self) -> Vec<String> {
        let mut errors = Vec::new();
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if self.key.is_empty() || !self.key.chars().all(plain) || self.key.split('.').any(str::is_empty) {
            errors.push(format!("key must be a kernel setting, e.g. vm.max_map_count, not {:?}", self.key));
        }
        if self.value.is_empty() || words(&self.value) != self.value {
            errors.push(format!("value must be words with one space between them, not {:?}", self.value));
        }
        errors
    }

    fn observe(specs: &[&Self]) -> String {
        let files: Vec<file::Spec> = specs.iter().map(|spec| spec.file()).collect();
        let mut s = file::Spec::observe(&files.iter().collect::<Vec<_>>());
        s.push_str(
            "live() { if [ -e \"/proc/sys/$2\" ]; then v=$(cat \"/proc/sys/$2\") && echo \"live $1 $v\"; else echo \"dead $1\"; fi; }\n",
        );
        for spec in specs {
            let _ = writeln!(s, "live {} {}", quote(&spec.key), quote(&spec.key.replace('.', "/")));
        }
        s.push_str(":\n");
        s
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let files: Vec<file::Spec> = specs.iter().map(|spec| spec.file()).collect();
        let text = reply.text();
        let seen = file::Spec::parse(&files.iter().collect::<Vec<_>>(), reply);
        let read = |spec: &Self, file: file::Observed| {
            if text.lines().any(|line| line.strip_prefix("dead ") == Some(&spec.key)) {
                return Ok(Observed { live: None, file });
            }
            let live = text.lines().find_map(|line| line.strip_prefix(&format!("live {} ", spec.key)));
            live.map(|live| Observed { live: Some(words(live)), file: file.clone() })
                .ok_or_else(|| format!("the value of {} could not be read", spec.key))
        };
        specs.iter().zip(seen).map(|(spec, file)| read(spec, file?)).collect()
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        let mut changes = Vec::new();
        match &observed.live {
            None => changes.push(Change::new("the running kernel has no such setting")),
            Some(live) if *live != self.value => changes.push(Change::new(format!("is {live}, want {}", self.value))),
            Some(_) => {}
        }
        if let State::Drift(more) = self.file().diff(&observed.file) {
            changes.extend(
                more.into_iter().map(|change| Change { what: format!("{}: {}", self.file().path, change.what), diff: change.diff }),
            );
        }
        if changes.is_empty() { State::InSync } else { State::Drift(changes) }
    }

    fn apply(&self, observed: &Self::Observed) -> Vec<Action> {
        let mut actions = match self.file().diff(&observed.file) {
            State::Drift(_) => self.file().apply(&observed.file),
            _ => Vec::new(),
        };
        if !self.live_ok(observed) {
            let script = format!("sysctl -w {} >/dev/null\n", quote(&format!("{}={}", self.key, self.value)));
            actions.push(Action { label: format!("set {} to {}", self.key, self.value), script, ..Action::default() });
        }
        actions
    }
}

/// Words with one space between them: the kernel puts tabs there.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_and_stored_values_count() {
        let spec = Spec { key: "net.ipv4.tcp_rmem".to_owned(), value: "4096 131072 6291456".to_owned() };
        assert!(spec.check().is_empty());
        let hash = crate::resource::script::sha256(spec.file().content.unwrap().0.as_bytes());
        let path = "/etc/sysctl.d/90-poclab-net.ipv4.tcp_rmem.conf";
        let good = format!("stat 81a4 root root 75 {path}\n{hash}  {path}\n");
        let look = |text: String| {
            let reply = Reply { stdout: text.into_bytes(), status: 0 };
            Spec::parse(&[&spec], &reply).remove(0).map(|observed| (spec.diff(&observed), spec.apply(&observed).len()))
        };
        assert_eq!(look(format!("{good}live net.ipv4.tcp_rmem 4096\t131072\t6291456\n")).unwrap(), (State::InSync, 0));
        let (state, steps) = look(format!("absent {path}\nlive net.ipv4.tcp_rmem 4096\t1\t2\n")).unwrap();
        let State::Drift(changes) = state else { panic!() };
        assert_eq!((changes.len(), steps), (2, 2));
        assert!(look(good).is_err());
    }
}
