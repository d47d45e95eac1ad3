//! Confirm or revert: a change that could cut us off is undone by the host itself unless a NEW connection confirms it.
//!
//! The protocol is a folder on the host, `/var/lib/poclab/confirm/UNIT/`:
//!
//! - the script of such a change begins with [`arm`]: it saves the old files (`saved/`), writes `revert.sh`, creates the
//!   file `armed` and starts a systemd timer `UNIT.timer` that runs `revert.sh` once. That timer does not outlive a reboot,
//!   so a unit of its own (`BOOT_UNIT`) runs the same script early in the next boot, before firewalld;
//! - after the exec that held such an action ([`Action::confirm_within`](super::Action::confirm_within)), the engine logs in
//!   anew and runs [`CONFIRM`] there. It renames `armed`, which only one side can do, stops the timer and removes the folder
//!   and the unit. When the host was faster, [`CONFIRM`] fails and says what was put back;
//! - a run that finds `armed` from one that was cut off has itself logged in since: it confirms;
//! - a second change before a confirmation keeps what the first one saved, as that is the last state known to be good.

use std::fmt::Write as _;

/// The folder of the protocol on a host.
pub const FOLDER: &str = "/var/lib/poclab/confirm";

/// Undoes at boot what nobody confirmed before it. Written and linked by hand: only the next boot has to know it.
const BOOT_UNIT: &str = "\
[Unit]
Description=Undo changes that poclab could not confirm before a reboot
ConditionPathExistsGlob=/var/lib/poclab/confirm/*/armed
DefaultDependencies=no
RequiresMountsFor=/var/lib/poclab /etc
After=local-fs.target
Before=firewalld.service sshd.service network-pre.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'for d in /var/lib/poclab/confirm/*/; do /bin/sh \"$$d/revert.sh\"; done'

[Install]
WantedBy=multi-user.target
";

/// What a change asks for.
#[derive(Debug, Clone)]
pub struct Revert<'a> {
    /// Name of the timer and its service, e.g. `poclab-revert-firewall`.
    pub unit: &'a str,
    /// After how many seconds the host reverts.
    pub seconds: u32,
    /// A directory to save and put back, with no slash at its end.
    pub directory: &'a str,
    /// POSIX sh, run when the change is armed for the first time; what it prints is in `$poclab_was` for `script`.
    pub remember: &'a str,
    /// POSIX sh that makes the restored files effective; ends with a newline. At boot it runs before any daemon.
    pub script: String,
}

/// The beginning of a script that makes such a change; it fails before anything was changed when there is no timer.
pub fn arm(revert: &Revert<'_>) -> String {
    let Revert { unit, seconds, directory, remember, script } = revert;
    let (dir, name) = (format!("{FOLDER}/{unit}"), directory.rsplit('/').next().unwrap_or(directory));
    let undo = format!(
        "set -u\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH\n\
         mv {dir}/armed {dir}/reverted || exit 0\n\
         poclab_was=$(cat {dir}/was)\n\
         ( cd {directory} && find . -type f ) | while IFS= read -r f; do [ -e {dir}/saved/{name}/\"$f\" ] || rm -f {directory}/\"$f\"; done\n\
         cp -a {dir}/saved/{name}/. {directory}/\n\
         {script}"
    );
    let mut shell = String::new();
    // The old files must be on the disk before the new ones are: a power failure in between is a reboot, too.
    let _ = write!(
        shell,
        "poclab_arm() {{\n\
         \x20 umask 077\n\
         \x20 systemctl stop {unit}.timer >/dev/null 2>&1 || :\n\
         \x20 systemctl reset-failed {unit}.timer {unit}.service >/dev/null 2>&1 || :\n\
         \x20 if [ ! -e {dir}/armed ]; then\n\
         \x20   rm -rf {dir} && mkdir -p {dir}/saved && cp -a {directory} {dir}/saved/ || return 1\n\
         \x20   {{ {remember}; }} >{dir}/was || return 1\n\
         \x20 fi\n\
         \x20 cat >{dir}/revert.sh <<'POCLAB_REVERT' || return 1\n{undo}POCLAB_REVERT\n\
         \x20 ( umask 022; mkdir -p /etc/systemd/system/multi-user.target.wants && cat >/etc/systemd/system/poclab-revert.service ) <<'POCLAB_UNIT' || return 1\n{BOOT_UNIT}POCLAB_UNIT\n\
         \x20 ln -sf ../poclab-revert.service /etc/systemd/system/multi-user.target.wants/poclab-revert.service || return 1\n\
         \x20 : >{dir}/armed || return 1\n\
         \x20 sync\n\
         \x20 systemd-run --unit={unit} --on-active={seconds} --timer-property=AccuracySec=1s /bin/sh {dir}/revert.sh >{dir}/log 2>&1 && return 0\n\
         \x20 cat {dir}/log >&2; rm -f {dir}/armed\n\
         \x20 return 1\n\
         }}\n\
         mkdir -p {directory}\n\
         ( poclab_arm ) || {{ echo 'cannot arm the timer that would undo this change: nothing was changed' >&2; exit 1; }}\n",
    );
    shell
}

/// Confirms all armed changes of a host; to be run over a NEW connection. Fails when the host has reverted one.
pub const CONFIRM: &str = "\
poclab_rc=0
for poclab_d in /var/lib/poclab/confirm/*/; do
  [ -e \"$poclab_d/revert.sh\" ] || continue
  poclab_u=${poclab_d%/}
  poclab_u=${poclab_u##*/}
  if mv \"$poclab_d/armed\" \"$poclab_d/confirmed\" 2>/dev/null; then
    systemctl stop \"$poclab_u.timer\" >/dev/null 2>&1 || :
    rm -rf \"$poclab_d\"
  elif [ -e \"$poclab_d/reverted\" ]; then
    poclab_i=0
    while systemctl is-active --quiet \"$poclab_u.service\" && [ \"$poclab_i\" -lt 30 ]; do sleep 1; poclab_i=$((poclab_i + 1)); done
    echo \"$poclab_u: the change was not confirmed in time, so the host has put the old state back\" >&2
    rm -rf \"$poclab_d\"
    poclab_rc=1
  else
    rm -rf \"$poclab_d\"
  fi
done
if [ -e /etc/systemd/system/poclab-revert.service ]; then
  rm -f /etc/systemd/system/multi-user.target.wants/poclab-revert.service /etc/systemd/system/poclab-revert.service
  systemctl daemon-reload || :
fi
exit \"$poclab_rc\"
";
