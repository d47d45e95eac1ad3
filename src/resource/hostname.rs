//! The host's own name.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Change, Kind, Reply, State};
use crate::base::quote;

/// The name of the host, now and after a boot.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Fully qualified name, at most 64 characters, e.g. `deploy.lab.example`.
    pub name: String,
}

/// Where the name is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The kernel's.
    pub live: String,
    /// That of /etc/hostname, if the file is there.
    pub stored: Option<String>,
}

impl Kind for Spec {
    const NAME: &'static str = "hostname";
    type Observed = Observed;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn check(&self) -> Vec<String> {
        let label = |part: &str| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        if self.name.len() > 64 || !self.name.split('.').all(label) {
            return vec![format!(
                "name must be a host name of lower-case letters, digits and `-`, at most 64 characters, not {:?}",
                self.name
            )];
        }
        Vec::new()
    }

    fn observe(_specs: &[&Self]) -> String {
        "printf 'live %s\\n' \"$(cat /proc/sys/kernel/hostname)\"\nif [ -e /etc/hostname ]; then printf 'stored %s\\n' \"$(cat /etc/hostname)\"; fi\n".to_owned()
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let text = reply.text();
        let line = |word: &str| text.lines().find_map(|line| line.strip_prefix(word)).map(|name| name.trim().to_owned());
        let seen = match line("live ") {
            Some(live) if !live.is_empty() => Ok(Observed { live, stored: line("stored ") }),
            _ => Err("the kernel's host name could not be read".to_owned()),
        };
        specs.iter().map(|_| seen.clone()).collect()
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        let mut changes = Vec::new();
        if observed.live != self.name {
            changes.push(Change::new(format!("host name is {}, want {}", observed.live, self.name)));
        }
        match &observed.stored {
            Some(stored) if *stored == self.name => {}
            Some(stored) => changes.push(Change::new(format!("host name after a boot is {stored:?}, want {}", self.name))),
            None => changes.push(Change::new(format!("/etc/hostname does not exist, want {}", self.name))),
        }
        if changes.is_empty() { State::InSync } else { State::Drift(changes) }
    }

    fn apply(&self, _observed: &Self::Observed) -> Vec<Action> {
        let name = quote(&self.name);
        // hostnamectl replaces /etc/hostname, which a container has as a mount point: there only writing into it works.
        let script = format!(
            concat!(
                "if command -v hostnamectl >/dev/null && timeout 10 hostnamectl set-hostname {name} 2>/dev/null &&\n",
                "  [ \"$(cat /etc/hostname)\" = {name} ] && [ \"$(cat /proc/sys/kernel/hostname)\" = {name} ]; then exit 0; fi\n",
                "printf '%s\\n' {name} >/etc/hostname && hostname {name}\n",
            ),
            name = name
        );
        vec![Action { label: format!("set the host name to {}", self.name), script, ..Action::default() }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_places_count() {
        let spec = Spec { name: "app.lab.example".to_owned() };
        let look = |text: &str| {
            let reply = Reply { stdout: text.as_bytes().to_vec(), status: 0 };
            Spec::parse(&[&spec], &reply).remove(0).map(|observed| spec.diff(&observed))
        };
        assert_eq!(look("live app.lab.example\nstored app.lab.example\n"), Ok(State::InSync));
        let Ok(State::Drift(changes)) = look("live localhost.localdomain\nstored \n") else { panic!() };
        assert_eq!(changes.len(), 2);
        let Ok(State::Drift(changes)) = look("live app.lab.example\n") else { panic!() };
        assert_eq!(changes[0].what, "/etc/hostname does not exist, want app.lab.example");
        assert!(look("").is_err());
    }
}
