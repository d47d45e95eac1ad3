//! SELinux enforces.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::run::{Framed, Frames, blind, on_all};
use super::{CheckKind, Outcome, Reach, Verdict};

/// SELinux is enforcing on every host, now and after the next boot.
///
/// A rehearsal host whose kernel has no SELinux is skipped, loudly, when `absent_ok` says so; on every other host its absence is a
/// failure. Control: the same answers with `Permissive` in them must fail.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Names of the hosts.
    pub hosts: Vec<String>,
    /// Whether rehearsal hosts (they carry /etc/poclab-rehearsal) may lack SELinux. Default: no.
    #[serde(default)]
    pub absent_ok: bool,
}

fn script() -> Framed {
    Framed::new()
        .ask("rehearsal", "[ -e /etc/poclab-rehearsal ] && echo yes")
        // The kernel lists selinuxfs as long as SELinux is not switched off, in containers too.
        .ask("kernel", "grep -qw selinuxfs /proc/filesystems")
        .ask("mounted", "[ -e /sys/fs/selinux/enforce ] && echo yes")
        .ask("enforce", "cat /sys/fs/selinux/enforce 2>&1")
        .ask("getenforce", "PATH=$PATH:/usr/sbin getenforce 2>&1")
        .ask("config", "sed -n 's/^SELINUX=//p' /etc/selinux/config 2>&1")
}

fn judge(frames: &Frames, absent_ok: bool) -> Result<Verdict, String> {
    let yes = |id: &str| frames.get(id).map(|frame| frame.status == 0);
    if !yes("kernel")? || (yes("rehearsal")? && !yes("mounted")?) {
        let what = if yes("kernel")? { "SELinux does not reach into this host" } else { "no SELinux in this kernel" };
        return Ok(match (absent_ok, yes("rehearsal")?) {
            (true, true) => Verdict::Skipped(format!("{what} (rehearsal host)")),
            (_, true) => Verdict::Failed(format!("{what}, and the check does not accept that (absent_ok)")),
            (_, false) => Verdict::Failed(format!(
                "{what}: it was switched off at boot; set SELINUX=enforcing in /etc/selinux/config, remove what disables it from the kernel's command line, reboot"
            )),
        });
    }
    let words = [("enforce", "1"), ("getenforce", "Enforcing"), ("config", "enforcing")];
    for (id, wanted) in words {
        let frame = frames.get(id)?;
        let said = frame.text().trim().to_owned();
        if frame.status != 0 || said != wanted {
            let what = match id {
                "enforce" => "the kernel's own word (/sys/fs/selinux/enforce)",
                "getenforce" => "getenforce",
                _ => "SELINUX in /etc/selinux/config",
            };
            return Ok(Verdict::Failed(format!(
                "{what} is `{said}`, not `{wanted}`; set it to enforcing (`setenforce 1`, /etc/selinux/config) and look for what it denied (`ausearch -m avc`)"
            )));
        }
    }
    Ok(Verdict::Passed("enforcing now and at boot".into()))
}

impl CheckKind for Spec {
    const NAME: &'static str = "selinux_enforcing";

    fn id(&self) -> String {
        String::new()
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        progress(&format!("asking SELinux on {}", self.hosts.join(", ")));
        let answers = on_all(&self.hosts, |host| script().run(reach, host, Vec::new(), Duration::from_secs(60)));
        let mut out = Vec::new();
        let mut tried = None;
        for (host, frames) in self.hosts.iter().zip(&answers) {
            let verdict = match frames.as_ref().map_err(String::clone).and_then(|frames| judge(frames, self.absent_ok)) {
                Ok(verdict) => verdict,
                Err(why) => blind(host, &why),
            };
            if let (Verdict::Passed(_), Ok(frames), None) = (&verdict, frames, &tried) {
                tried = Some((host, frames));
            }
            out.push(Outcome::new(format!("SELinux is enforcing on {host}"), verdict));
        }
        if let Some((host, frames)) = tried {
            let verdict = match judge(&frames.with("getenforce", "Permissive\n"), self.absent_ok) {
                Ok(Verdict::Failed(_)) => Verdict::Passed(format!("{host}'s answers with `Permissive` fail")),
                other => Verdict::Failed(format!("a permissive host was judged {other:?}")),
            };
            out.push(Outcome::control("a permissive SELinux is noticed", verdict));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Scripted, framed, shellcheck};

    /// As CentOS 7.6 answers (written from documentation).
    const GOOD: &[(&str, &str, i32)] = &[
        ("rehearsal", "", 1),
        ("kernel", "", 0),
        ("mounted", "", 0),
        ("enforce", "1", 0),
        ("getenforce", "Enforcing\n", 0),
        ("config", "enforcing\n", 0),
    ];
    const NONE: &[(&str, &str, i32)] = &[
        ("rehearsal", "", 0),
        ("kernel", "", 1),
        ("mounted", "", 1),
        ("enforce", "cat: /sys/fs/selinux/enforce: No such file or directory\n", 1),
        ("getenforce", "Disabled\n", 0),
        ("config", "", 2),
    ];

    fn run(
        base: &'static [(&'static str, &'static str, i32)],
        absent_ok: bool,
        id: &'static str,
        text: &'static str,
        status: i32,
    ) -> Vec<Outcome> {
        let frames: Vec<_> = base.iter().map(|frame| if frame.0 == id { (id, text, status) } else { *frame }).collect();
        let spec: Spec = serde_json::from_value(serde_json::json!({"hosts": ["app"], "absent_ok": absent_ok})).unwrap();
        spec.run(&Scripted::new(move |_, script, _| Ok(framed(script, &frames))), &mut |_| {})
    }

    #[test]
    fn an_enforcing_host_passes_with_its_control() {
        let out = run(GOOD, false, "", "", 0);
        assert!(matches!(out[0].verdict, Verdict::Passed(_)));
        assert!(out[1].control && matches!(out[1].verdict, Verdict::Passed(_)), "{out:?}");
    }

    #[test]
    fn permissive_now_or_at_boot_fails() {
        for (id, text, status) in [
            ("getenforce", "Permissive\n", 0),
            ("enforce", "0", 0),
            ("config", "permissive\n", 0),
            ("config", "", 2),
            ("getenforce", "sh: getenforce: not found", 127),
            ("mounted", "", 1),
        ] {
            let failed = matches!(run(GOOD, true, id, text, status)[0].verdict, Verdict::Failed(_));
            assert_eq!(failed, id != "mounted", "{id} {text}");
        }
    }

    #[test]
    fn absence_is_skipped_only_on_rehearsal_hosts_that_may() {
        assert_eq!(run(NONE, true, "", "", 0)[0].verdict, Verdict::Skipped("no SELinux in this kernel (rehearsal host)".into()));
        assert!(matches!(run(NONE, true, "kernel", "", 0)[0].verdict, Verdict::Skipped(_)));
        assert!(matches!(run(NONE, false, "", "", 0)[0].verdict, Verdict::Failed(_)));
        assert!(matches!(run(NONE, true, "rehearsal", "", 1)[0].verdict, Verdict::Failed(_)));
        let real_but_unmounted = run(GOOD, true, "enforce", "cat: no such file\n", 1);
        assert!(matches!(real_but_unmounted[0].verdict, Verdict::Failed(_)));
    }

    #[test]
    fn the_script_runs_here() {
        shellcheck(&script().text());
        let spec: Spec = serde_json::from_value(serde_json::json!({"hosts": ["here"]})).unwrap();
        let out = spec.run(&Scripted::new(|_, script, _| Ok(crate::check::testing::sh(&["sh", "-c"], script, b""))), &mut |_| {});
        assert!(!matches!(out[0].verdict, Verdict::Skipped(_)), "{out:?}");
    }
}
