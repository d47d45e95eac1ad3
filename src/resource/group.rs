//! Groups of users of a host.

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::Presence;
use super::script;
use super::{Action, Change, Kind, Reply, State};
use crate::base::quote;

/// A group. Who is in it is said by the kind `user`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name.
    pub name: String,
    /// Number. Default: any.
    #[serde(default)]
    pub gid: Option<u32>,
    /// A group of the system: low number. Only counts when it is made. Default: false.
    #[serde(default)]
    pub system: bool,
    /// `present` (default) or `absent`.
    #[serde(default)]
    pub state: Presence,
}

impl Kind for Spec {
    const NAME: &'static str = "group";
    /// Its number, if it exists.
    type Observed = Option<u32>;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn check(&self) -> Vec<String> {
        script::name_errors("name", &self.name)
    }

    fn observe(specs: &[&Self]) -> String {
        let names: Vec<String> = specs.iter().map(|spec| quote(&spec.name)).collect();
        // getent: 2 = no such group; anything else means that it could not look, and then nothing is printed.
        format!(
            "set -- {}\nfor g do\n  if l=$(getent group \"$g\"); then printf 'group %s\\n' \"$l\"; elif [ $? -eq 2 ]; then echo \"absent $g\"; fi\ndone\n:\n",
            names.join(" ")
        )
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let text = reply.text();
        let read = |name: &str| {
            if text.lines().any(|line| line.strip_prefix("absent ") == Some(name)) {
                return Ok(None);
            }
            text.lines()
                .filter_map(|line| line.strip_prefix("group "))
                .map(|line| line.split(':').collect::<Vec<_>>())
                .find(|fields| fields.first() == Some(&name))
                .and_then(|fields| fields.get(2)?.parse().ok())
                .map(Some)
                .ok_or_else(|| format!("getent did not describe the group {name}"))
        };
        specs.iter().map(|spec| read(&spec.name)).collect()
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        let what = match (observed, self.state, self.gid) {
            (None, Presence::Present, _) => "does not exist".to_owned(),
            (Some(_), Presence::Absent, _) => "exists, want it gone".to_owned(),
            (Some(have), Presence::Present, Some(want)) if *have != want => format!("gid is {have}, want {want}"),
            _ => return State::InSync,
        };
        State::Drift(vec![Change::new(what)])
    }

    fn apply(&self, observed: &Self::Observed) -> Vec<Action> {
        let name = quote(&self.name);
        let gid = self.gid.map(|gid| format!(" -g {gid}")).unwrap_or_default();
        let system = if self.system { " -r" } else { "" };
        let (label, script) = match (self.state, observed) {
            (Presence::Absent, _) => ("remove", format!("groupdel {name}\n")),
            (Presence::Present, None) => ("make", format!("groupadd{system}{gid} {name}\n")),
            (Presence::Present, Some(_)) => ("change", format!("groupmod{gid} {name}\n")),
        };
        vec![Action { label: format!("{label} the group {}", self.name), script, ..Action::default() }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_compared_and_changed() {
        // Recorded from glibc 2.36; EL7 prints the same.
        let reply = Reply { stdout: b"group adm:x:4:syslog,ops\nabsent docker\n".to_vec(), status: 0 };
        let look = |json| {
            let spec: Spec = serde_json::from_value(json).unwrap();
            Spec::parse(&[&spec], &reply).remove(0).map(|observed| (spec.diff(&observed), spec.apply(&observed).remove(0).script))
        };
        assert_eq!(look(serde_json::json!({"name": "adm", "gid": 4})).unwrap().0, State::InSync);
        assert_eq!(look(serde_json::json!({"name": "adm", "gid": 5})).unwrap().1, "groupmod -g 5 adm\n");
        assert_eq!(look(serde_json::json!({"name": "docker", "system": true})).unwrap().1, "groupadd -r docker\n");
        assert!(look(serde_json::json!({"name": "other"})).is_err());
    }
}
