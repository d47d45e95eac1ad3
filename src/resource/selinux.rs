//! SELinux is enforcing.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Change, Kind, Reply, State};

/// SELinux must be enforcing, now and after a boot. There is no way to ask for less.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Always `enforcing`.
    pub state: Wanted,
    /// Accept, as skipped with a reason, that there is no SELinux at all. Only works on rehearsal hosts (those with
    /// /etc/poclab-rehearsal). Default: false.
    #[serde(default)]
    pub absent_ok: bool,
}

/// The only state there is to want.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// Denials are enforced.
    Enforcing,
}

/// SELinux on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Whether the running kernel enforces; `None`: it has no SELinux (none built in, or switched off at boot).
    pub enforces: Option<bool>,
    /// `SELINUX=` of /etc/selinux/config, if it is there.
    pub config: Option<String>,
    /// Whether the host says that it is a rehearsal host.
    pub rehearsal: bool,
}

impl Kind for Spec {
    const NAME: &'static str = "selinux";
    type Observed = Observed;

    fn id(&self) -> String {
        "enforcing".to_owned()
    }

    fn observe(_specs: &[&Self]) -> String {
        // The kernel's own file: on CentOS 7 selinuxfs is mounted exactly when SELinux is on. getenforce reads the same file.
        concat!(
            "if [ -e /sys/fs/selinux/enforce ]; then printf 'kernel %s\\n' \"$(cat /sys/fs/selinux/enforce)\"\n",
            "elif command -v getenforce >/dev/null && [ \"$(getenforce 2>/dev/null)\" != Disabled ]; then echo 'kernel unclear'\n",
            "else echo 'kernel none'; fi\n",
            "if [ -e /etc/selinux/config ]; then sed -n 's/^[[:space:]]*SELINUX=[[:space:]]*/config /p' /etc/selinux/config; fi\n",
            "if [ -e /etc/poclab-rehearsal ]; then echo rehearsal; fi\n",
        )
        .to_owned()
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let text = reply.text();
        let enforces = match text.lines().find_map(|line| line.strip_prefix("kernel ")) {
            Some("1") => Ok(Some(true)),
            Some("0") => Ok(Some(false)),
            Some("none") => Ok(None),
            Some("unclear") => Err("getenforce and /sys/fs/selinux do not agree about SELinux".to_owned()),
            other => Err(format!("/sys/fs/selinux/enforce says {:?}", other.unwrap_or("nothing"))),
        };
        // libselinux takes the last line, in any case.
        let config =
            text.lines().filter_map(|line| line.strip_prefix("config ")).next_back().map(|value| value.trim().to_ascii_lowercase());
        let rehearsal = text.lines().any(|line| line == "rehearsal");
        specs.iter().map(|_| enforces.clone().map(|enforces| Observed { enforces, config: config.clone(), rehearsal })).collect()
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        let mut changes = Vec::new();
        match observed.enforces {
            None if self.absent_ok && observed.rehearsal => return State::Skipped("no SELinux in this kernel (rehearsal host)".to_owned()),
            None => changes.push(Change::new("SELinux is off in the running kernel, want it enforcing: this needs a reboot")),
            Some(false) => changes.push(Change::new("SELinux only logs, want it enforcing")),
            Some(true) => {}
        }
        match observed.config.as_deref() {
            Some("enforcing") => {}
            Some(other) => changes.push(Change::new(format!("SELinux after a boot is {other:?}, want enforcing"))),
            None => changes.push(Change::new("/etc/selinux/config does not say what SELinux is after a boot, want enforcing")),
        }
        if changes.is_empty() { State::InSync } else { State::Drift(changes) }
    }

    fn apply(&self, observed: &Self::Observed) -> Vec<Action> {
        let label = "make SELinux enforcing".to_owned();
        if observed.enforces.is_none() {
            // Files made while it was off have no labels, and switching it on needs a boot that labels them first. That is for
            // the host's owner to schedule.
            let script = concat!(
                "echo 'SELinux is off in the running kernel; switching it on needs a reboot. On this host: set SELINUX=enforcing in /etc/selinux/config, ",
                "take selinux=0 and enforcing=0 from the kernel command line (grubby --update-kernel=ALL --remove-args=\"selinux enforcing\"), ",
                "touch /.autorelabel, reboot; then run again' >&2\nexit 1\n",
            );
            return vec![Action { label, script: script.to_owned(), ..Action::default() }];
        }
        let mut script = String::from("set -e\n");
        if observed.enforces == Some(false) {
            script.push_str("setenforce 1\n");
        }
        match observed.config.as_deref() {
            Some("enforcing") => {}
            // sed writes a new file, keeps owner, mode and label, and renames it.
            Some(_) => script.push_str("sed -i --follow-symlinks 's/^[[:space:]]*SELINUX=.*/SELINUX=enforcing/' /etc/selinux/config\n"),
            None => script.push_str("printf 'SELINUX=enforcing\\n' >>/etc/selinux/config\n"),
        }
        vec![Action { label, script, ..Action::default() }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(absent_ok: bool, text: &str) -> Result<(State, Vec<Action>), String> {
        let spec = Spec { state: Wanted::Enforcing, absent_ok };
        let reply = Reply { stdout: text.as_bytes().to_vec(), status: 0 };
        Spec::parse(&[&spec], &reply).remove(0).map(|observed| (spec.diff(&observed), spec.apply(&observed)))
    }

    #[test]
    fn both_kernel_and_config_count() {
        assert_eq!(look(false, "kernel 1\nconfig enforcing\n").unwrap().0, State::InSync);
        let (state, actions) = look(false, "kernel 0\nconfig Permissive\n").unwrap();
        let State::Drift(changes) = state else { panic!() };
        assert_eq!(changes.len(), 2);
        assert!(actions[0].script.starts_with("set -e\nsetenforce 1\nsed -i"));
        assert!(matches!(look(false, "kernel 1\nconfig enforcing\nconfig disabled\n").unwrap().0, State::Drift(_)));
        assert!(matches!(look(false, "kernel 1\n").unwrap().0, State::Drift(_)));
    }

    #[test]
    fn without_selinux_it_fails_unless_the_lab_allows_it() {
        assert_eq!(
            look(true, "kernel none\nrehearsal\n").unwrap().0,
            State::Skipped("no SELinux in this kernel (rehearsal host)".to_owned())
        );
        let (state, actions) = look(false, "kernel none\nconfig disabled\n").unwrap();
        assert!(matches!(state, State::Drift(_)));
        assert!(actions[0].script.ends_with("exit 1\n") && actions[0].script.contains("reboot"));
        for (absent_ok, rehearsal) in [(true, ""), (false, "rehearsal\n")] {
            assert!(matches!(look(absent_ok, &format!("kernel none\n{rehearsal}")).unwrap().0, State::Drift(_)));
        }
        // Allowed to be absent is not allowed to be off: a kernel that has it must enforce.
        assert!(matches!(look(true, "kernel 0\nconfig enforcing\n").unwrap().0, State::Drift(_)));
    }

    #[test]
    fn unclear_is_not_good() {
        assert!(look(true, "").is_err());
        assert!(look(true, "kernel \n").is_err());
        assert!(look(true, "kernel unclear\n").is_err());
    }
}
