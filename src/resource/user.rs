//! Users of a host.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::Presence;
use super::script;
use super::{Action, Change, Kind, Reply, State};
use crate::base::quote;

/// A user. It has no password: nobody logs in as it unless a key or a password is set elsewhere.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Login name.
    pub name: String,
    /// Number. Default: any.
    #[serde(default)]
    pub uid: Option<u32>,
    /// Primary group, which must exist. Default: a group of the same name, made with the user.
    #[serde(default)]
    pub group: Option<String>,
    /// Further groups it must be in; others are left alone.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Home directory. Default: what the system gives.
    #[serde(default)]
    pub home: Option<String>,
    /// Login shell, e.g. /sbin/nologin. Default: what the system gives.
    #[serde(default)]
    pub shell: Option<String>,
    /// A user of the system: low number, no home directory made. Only counts when it is made. Default: false.
    #[serde(default)]
    pub system: bool,
    /// `present` (default) or `absent`; the home directory of a removed user stays.
    #[serde(default)]
    pub state: Presence,
}

/// A user as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// Number.
    pub uid: u32,
    /// Primary group's name.
    pub group: String,
    /// All groups' names.
    pub groups: Vec<String>,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

impl Spec {
    fn missing<'a>(&'a self, user: &'a User) -> Vec<&'a str> {
        self.groups.iter().filter(|group| !user.groups.contains(group)).map(String::as_str).collect()
    }
}

impl Kind for Spec {
    const NAME: &'static str = "user";
    type Observed = Option<User>;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn check(&self) -> Vec<String> {
        let mut errors = script::name_errors("name", &self.name);
        for group in self.group.iter().chain(&self.groups) {
            errors.extend(script::name_errors("group", group));
        }
        for (field, path) in [("home", &self.home), ("shell", &self.shell)] {
            errors.extend(path.iter().flat_map(|path| script::path_errors(field, path)));
            if path.as_ref().is_some_and(|path| path.contains(':')) {
                errors.push(format!("{field} must not contain a colon, which ends it in /etc/passwd"));
            }
        }
        if self.name == "root" && self.state == Presence::Absent {
            errors.push("root cannot be removed".to_owned());
        }
        errors
    }

    fn observe(specs: &[&Self]) -> String {
        let names: Vec<String> = specs.iter().map(|spec| quote(&spec.name)).collect();
        // getent: 2 = no such user; anything else means that it could not look, and then nothing is printed.
        format!(
            concat!(
                "set -- {}\nfor u do\n",
                "  if l=$(getent passwd \"$u\"); then\n",
                "    printf 'user %s\\ngroup %s %s\\ngroups %s %s\\n' \"$l\" \"$u\" \"$(id -gn \"$u\")\" \"$u\" \"$(id -Gn \"$u\")\"\n",
                "  elif [ $? -eq 2 ]; then echo \"absent $u\"; fi\n",
                "done\n:\n",
            ),
            names.join(" ")
        )
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let text = reply.text();
        specs.iter().map(|spec| read(&text, &spec.name)).collect()
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        let mut changes = Vec::new();
        match (observed, self.state) {
            (None, Presence::Present) => changes.push("does not exist".to_owned()),
            (Some(_), Presence::Absent) => changes.push("exists, want it gone".to_owned()),
            (None, Presence::Absent) => {}
            (Some(user), Presence::Present) => {
                if let Some(want) = self.uid.filter(|want| *want != user.uid) {
                    changes.push(format!("uid is {}, want {want}", user.uid));
                }
                for (what, have, want) in
                    [("group", &user.group, &self.group), ("home", &user.home, &self.home), ("shell", &user.shell, &self.shell)]
                {
                    if let Some(want) = want.as_ref().filter(|want| *want != have) {
                        changes.push(format!("{what} is {have}, want {want}"));
                    }
                }
                changes.extend(self.missing(user).iter().map(|group| format!("is not in the group {group}")));
            }
        }
        if changes.is_empty() { State::InSync } else { State::Drift(changes.into_iter().map(Change::new).collect()) }
    }

    fn apply(&self, observed: &Self::Observed) -> Vec<Action> {
        let name = quote(&self.name);
        if self.state == Presence::Absent {
            return vec![Action {
                label: format!("remove the user {}", self.name),
                script: format!("userdel -- {name}\n"),
                ..Action::default()
            }];
        }
        let mut options = String::new();
        let have = observed.as_ref();
        if let Some(uid) = self.uid.filter(|uid| have.is_none_or(|user| user.uid != *uid)) {
            let _ = write!(options, " -u {uid}");
        }
        let fields = [
            ("-g", &self.group, have.map(|u| &u.group)),
            ("-d", &self.home, have.map(|u| &u.home)),
            ("-s", &self.shell, have.map(|u| &u.shell)),
        ];
        for (option, want, have) in fields {
            if let Some(want) = want.as_ref().filter(|want| have != Some(want)) {
                let _ = write!(options, " {option} {}", quote(want));
            }
        }
        let groups = have.map_or_else(|| self.groups.iter().map(String::as_str).collect(), |user| self.missing(user)).join(",");
        let more = if groups.is_empty() { String::new() } else { format!(" -aG {}", quote(&groups)) };
        let change = format!("usermod{options}{more} -- {name}");
        let (label, script) = match have {
            Some(_) => ("change", format!("{change}\n")),
            None => {
                let make = if self.system { "useradd -r -M" } else { "useradd -m" };
                let make = format!("{make}{options}{} -- {name}", more.replacen(" -aG", " -G", 1));
                // A package that was installed since it was looked for may have made it.
                let change = if options.is_empty() && more.is_empty() { ":" } else { &change };
                ("make", format!("if getent passwd {name} >/dev/null; then {change}; else {make}; fi\n"))
            }
        };
        vec![Action { label: format!("{label} the user {}", self.name), script, ..Action::default() }]
    }
}

fn read(text: &str, name: &str) -> Result<Option<User>, String> {
    if text.lines().any(|line| line.strip_prefix("absent ") == Some(name)) {
        return Ok(None);
    }
    let unclear = || format!("getent and id did not describe the user {name}");
    let line =
        text.lines().filter_map(|line| line.strip_prefix("user ")).find(|line| line.split(':').next() == Some(name)).ok_or_else(unclear)?;
    let fields: Vec<&str> = line.split(':').collect();
    let [_, _, uid, _, _, home, shell] = fields.as_slice() else { return Err(unclear()) };
    let of =
        |word: &str| text.lines().find_map(|line| line.strip_prefix(&format!("{word} {name} "))).map(str::to_owned).ok_or_else(unclear);
    Ok(Some(User {
        uid: uid.parse().map_err(|_| unclear())?,
        group: of("group")?,
        groups: of("groups")?.split(' ').map(str::to_owned).collect(),
        home: (*home).to_owned(),
        shell: (*shell).to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from glibc 2.36 and coreutils 9.1; EL7 prints the same.
    const SEEN: &str =
        "user daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\ngroup daemon daemon\ngroups daemon daemon adm\nabsent jenkins\n";

    fn look(json: serde_json::Value) -> (State, Vec<Action>) {
        let spec: Spec = serde_json::from_value(json).unwrap();
        assert_eq!(spec.check(), Vec::<String>::new());
        let reply = Reply { stdout: SEEN.as_bytes().to_vec(), status: 0 };
        let observed = Spec::parse(&[&spec], &reply).remove(0).unwrap();
        (spec.diff(&observed), spec.apply(&observed))
    }

    #[test]
    fn users_are_compared_and_changed() {
        use serde_json::json;
        assert_eq!(look(json!({"name": "daemon", "groups": ["adm"], "uid": 1})).0, State::InSync);
        assert_eq!(look(json!({"name": "jenkins", "state": "absent"})).0, State::InSync);
        let (state, actions) = look(json!({"name": "daemon", "groups": ["adm", "docker"], "shell": "/bin/sh"}));
        let State::Drift(changes) = state else { panic!() };
        assert_eq!(changes[0].what, "shell is /usr/sbin/nologin, want /bin/sh");
        assert_eq!(changes[1].what, "is not in the group docker");
        assert_eq!(actions[0].script, "usermod -s /bin/sh -aG docker -- daemon\n");
        let (_, actions) = look(json!({"name": "jenkins", "uid": 1000, "groups": ["a", "b"], "system": true}));
        let want = "usermod -u 1000 -aG a,b -- jenkins; else useradd -r -M -u 1000 -G a,b -- jenkins; fi\n";
        assert_eq!(actions[0].script, format!("if getent passwd jenkins >/dev/null; then {want}"));
        let (_, actions) = look(json!({"name": "jenkins"}));
        assert_eq!(actions[0].script, "if getent passwd jenkins >/dev/null; then :; else useradd -m -- jenkins; fi\n");
    }

    #[test]
    fn silence_is_not_absence() {
        assert!(read("", "a").is_err());
        assert!(read("user a:x:1:1::/:/bin/sh\n", "a").is_err());
    }
}
