//! One run at a time on a host: who holds it, and whether that run is still there.
//!
//! Two files in `/var/lib/poclab`: `lock`, an flock that lives as long as one exec (it keeps two scripts apart, also a
//! script that outlived its run), and `holder`, the record of the run that holds the host between its execs. A record
//! names the sshd process of its run's connection: it holds as long as that process lives, so a run that ends, however
//! it ends, leaves no lock that anybody has to remove (ADR 0006).

use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::base::frame::{Frame, ScriptBuilder};
use crate::base::{frame, now, operator, quote};
use crate::ssh::Reach;

/// poclab's folder on a host.
pub const FOLDER: &str = "/var/lib/poclab";

/// Seconds to wait for a script that outlived its run.
pub const WAIT_SECONDS: u32 = 60;

/// Exit status of an exec that found the host taken (EX_TEMPFAIL).
const TAKEN: i32 = 75;

/// This run, as other runs will see it.
#[derive(Debug, Clone)]
pub struct Claim {
    run: String,
    owner: String,
    since: String,
    control: String,
    process: (u32, u64),
}

/// What a host says about the run that holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Random name of the run.
    pub run: String,
    /// `user@control-machine`
    pub owner: String,
    /// The address that the host saw it come from; empty when it came another way than SSH.
    pub from: String,
    /// When the run began, RFC 3339.
    pub since: String,
    /// Which control machine, which of its boots, which process namespace.
    control: String,
    /// The run's process on the control machine, and when it was started.
    process: (u32, u64),
    /// Whether the sshd process of the run's connection still exists; `None`: it had none.
    connected: Option<bool>,
}

/// What a record means to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// This run.
    Us,
    /// A run that is (or may be) alive.
    Alive,
    /// A run that is gone, and how that is known.
    Gone(&'static str),
}

impl Claim {
    /// The claim of this process, for one run.
    pub fn new() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let name = Some(read("/proc/sys/kernel/hostname")).filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned());
        let namespace = std::fs::read_link("/proc/self/ns/pid").map(|link| link.display().to_string()).unwrap_or_default();
        let machine = short_hash(&format!("{} {name}", read("/etc/machine-id")));
        let boot = short_hash(&read("/proc/sys/kernel/random/boot_id"));
        let pid = std::process::id();
        Self {
            run: frame::nonce(),
            owner: operator().chars().filter(|c| !c.is_control()).collect(),
            since: now(),
            control: format!("{machine}/{boot}/{}", short_hash(&namespace)),
            process: (pid, started(pid).unwrap_or_default()),
        }
    }

    /// The run's random name.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Who holds a host, judged with what only this machine knows.
    pub fn judge(&self, record: &Record) -> Holder {
        if record.run == self.run {
            return Holder::Us;
        }
        if record.connected == Some(false) {
            return Holder::Gone("its connection is gone");
        }
        let parts = |control: &str| control.split('/').map(str::to_owned).collect::<Vec<_>>();
        let (ours, theirs) = (parts(&self.control), parts(&record.control));
        if ours == theirs && started(record.process.0) != Some(record.process.1) {
            return Holder::Gone("its process on this machine is gone");
        }
        if ours.first() == theirs.first() && ours.get(1) != theirs.get(1) {
            return Holder::Gone("this machine has been restarted since");
        }
        Holder::Alive
    }
}

fn short_hash(text: &str) -> String {
    Sha256::digest(text).iter().take(8).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// When a process of this machine was started, in clock ticks since boot (field 22 of `/proc/PID/stat`, proc(5)).
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The name, in parentheses, may hold anything.
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

impl Record {
    /// For people: who, from where, since when.
    pub fn describe(&self) -> String {
        let from = if self.from.is_empty() { String::new() } else { format!(" (from {})", self.from) };
        format!("{}{from} since {}", self.owner, self.since)
    }

    /// Reads the lines `lock.KEY=VALUE`. `None`: nobody holds the host.
    pub fn parse(text: &str) -> Option<Self> {
        let mut record = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.strip_prefix("lock.")?.split_once('=')) {
            let value = value.to_owned();
            match key {
                "run" => record.run = value,
                "owner" => record.owner = value,
                "from" => record.from = value,
                "since" => record.since = value,
                "control" => record.control = value,
                "process" => {
                    let mut numbers = value.split(' ');
                    let pid = numbers.next().and_then(|pid| pid.parse().ok()).unwrap_or_default();
                    record.process = (pid, numbers.next().and_then(|start| start.parse().ok()).unwrap_or_default());
                }
                "connected" => {
                    record.connected = match value.as_str() {
                        "yes" => Some(true),
                        "no" => Some(false),
                        _ => None,
                    }
                }
                _ => {}
            }
        }
        (!record.run.is_empty()).then_some(record)
    }
}

/// `poclab_stat PID`: its name, parent and start. `poclab_holder`: reads the record; `poclab_show` prints it.
const FUNCTIONS: &str = r#"poclab_stat() {
  { IFS= read -r poclab_l <"/proc/$1/stat"; } 2>/dev/null || return 1
  # shellcheck disable=SC2034
  poclab_c=${poclab_l#*\(} poclab_l=${poclab_l##*\) }
  poclab_c=${poclab_c%%\)*}
  # shellcheck disable=SC2086
  set -- $poclab_l
  # shellcheck disable=SC2034
  poclab_up=$2 poclab_at=${20}
}
poclab_holder() {
  poclab_run='' poclab_sshd=''
  [ -r /var/lib/poclab/holder ] || return 1
  while IFS='=' read -r poclab_k poclab_v; do
    case $poclab_k in run) poclab_run=$poclab_v ;; sshd) poclab_sshd=$poclab_v ;; esac
  done </var/lib/poclab/holder
  [ -n "$poclab_run" ]
}
poclab_connected() {
  if [ -z "$poclab_sshd" ]; then echo unknown
  elif poclab_stat "${poclab_sshd% *}" && [ "$poclab_at" = "${poclab_sshd#* }" ]; then echo yes
  else echo no; fi
}
poclab_show() {
  sed 's/^/lock./' /var/lib/poclab/holder
  echo "lock.connected=$(poclab_connected)"
}
"#;

/// Prints the record as lines `lock.KEY=VALUE`, if there is one.
pub fn look() -> String {
    format!("{FUNCTIONS}if poclab_holder; then poclab_show; fi\n")
}

/// Cuts the connection of a run that is known to be gone (or is thrown out): its script then ends at its next read or write.
const CUT: &str = r#"poclab_cut() {
  if [ "$(poclab_connected)" = yes ]; then kill "${poclab_sshd% *}" 2>/dev/null || :; fi
}
"#;

/// Programs that SELinux confines do not get the open lock: the kernel would take it from them, and log a denial for each.
///
/// All of them are short. What may outlive its script (yum, docker) keeps it, so that a next run waits for that. Of some scripts ask
/// whether they are there, and a function always is: these become one only where they are.
const WITHOUT_LOCK: &str = r#"semanage() { command semanage "$@" 9>&-; }
setsebool() { command setsebool "$@" 9>&-; }
useradd() { command useradd "$@" 9>&-; }
usermod() { command usermod "$@" 9>&-; }
userdel() { command userdel "$@" 9>&-; }
groupadd() { command groupadd "$@" 9>&-; }
groupmod() { command groupmod "$@" 9>&-; }
groupdel() { command groupdel "$@" 9>&-; }
if command -v restorecon >/dev/null 2>&1; then restorecon() { command restorecon "$@" 9>&-; }; fi
if command -v chronyc >/dev/null 2>&1; then chronyc() { command chronyc "$@" 9>&-; }; fi
if command -v iptables >/dev/null 2>&1; then iptables() { command iptables "$@" 9>&-; }; fi
if command -v ip6tables >/dev/null 2>&1; then ip6tables() { command ip6tables "$@" 9>&-; }; fi
"#;

/// The beginning of every exec that changes a host: takes the lock, or ends the exec.
///
/// `gone` is a run that the control machine knows to be gone, although its connection may still stand.
pub fn take(script: &mut ScriptBuilder, claim: &Claim, gone: Option<&str>, reach: &Reach) {
    script.prelude(&format!("mkdir -p -m 0700 {FOLDER}\nexec 9>>{FOLDER}/lock"));
    script.prelude(WITHOUT_LOCK);
    script.prelude(FUNCTIONS);
    script.prelude(CUT);
    script.prelude(&format!("poclab_us={} poclab_gone={}", claim.run, quote(gone.unwrap_or("-"))));
    script.prelude(
        r#"poclab_may() {
  poclab_holder || return 0
  [ "$poclab_run" != "$poclab_us" ] || return 0
  [ "$poclab_run" = "$poclab_gone" ] || [ "$(poclab_connected)" = no ]
}"#,
    );
    script.step(
        "lock",
        &format!("poclab_may || {{ poclab_show; exit {TAKEN}; }}\n[ \"$poclab_run\" != \"$poclab_gone\" ] || poclab_cut"),
        false,
    );
    // A run that was killed may have left a script: it ends at its next read or write, at the latest with its step.
    script.announce("wait");
    script.prelude(&format!(
        r#"if command -v flock >/dev/null 2>&1 && ! flock -n 9; then
  poclab_begin wait
  flock -w {WAIT_SECONDS} 9
  poclab_s=$?
  # The process that has our lock open and is not this one.
  [ "$poclab_s" -eq 0 ] || for poclab_p in /proc/[0-9]*; do
    if [ "$poclab_p" != "/proc/$$" ] && [ "$poclab_p/fd/9" -ef {FOLDER}/lock ]; then echo "${{poclab_p##*/}}"; break; fi
  done
  poclab_end wait "$poclab_s"
  [ "$poclab_s" -eq 0 ] || exit {TAKEN}
fi"#
    ));
    // Somebody may have come first while we waited. From here on the flock keeps everybody else out.
    let lines = [
        ("run", claim.run.clone()),
        ("owner", claim.owner.clone()),
        ("since", claim.since.clone()),
        ("control", claim.control.clone()),
        ("process", format!("{} {}", claim.process.0, claim.process.1)),
    ];
    let lines: Vec<String> = lines.iter().map(|(key, value)| quote(&format!("{key}={value}"))).collect();
    // A local program has no connection that outlives an exec: then only the control machine can tell whether its run is alive.
    let connection = match reach {
        Reach::Ssh { .. } => FIND_SSHD,
        Reach::Program(_) => "poclab_ours='' poclab_from=''\n",
    };
    script.step(
        "hold",
        &format!(
            r#"{connection}poclab_may || {{ poclab_show; exit {TAKEN}; }}
if [ "$poclab_run" = "$poclab_us" ] && [ "$poclab_sshd" = "$poclab_ours" ]; then exit 0; fi
if [ -n "$poclab_run" ] && [ "$poclab_run" != "$poclab_us" ]; then poclab_show; fi
umask 077
printf '%s\n' {} "from=$poclab_from" "sshd=$poclab_ours" >{FOLDER}/holder.new && mv -f {FOLDER}/holder.new {FOLDER}/holder"#,
            lines.join(" ")
        ),
        false,
    );
}

/// Finds the sshd process of this connection among our ancestors, and the client's address in the environment of what it started.
const FIND_SSHD: &str = r#"poclab_ours='' poclab_from='' poclab_p=$$ poclab_child=$$
while [ "$poclab_p" -gt 1 ] && poclab_stat "$poclab_p"; do
  case $poclab_c in sshd | sshd-session)
    poclab_ours="$poclab_p $poclab_at"
    poclab_from=$(tr '\0' '\n' <"/proc/$poclab_child/environ" 2>/dev/null | sed -n 's/^SSH_CONNECTION=\([^ ]*\) .*/\1/p')
    break ;;
  esac
  poclab_child=$poclab_p poclab_p=$poclab_up
done
"#;

/// What [`take`] came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The host is ours; the record of the run that we took it over from, if any.
    Yes(Option<Record>),
    /// Somebody else holds it.
    No(Record),
    /// A script that outlived its run still works there (its process, when it could be found).
    Busy(String),
    /// The exec did not come that far, or this step failed with this text.
    Failed(String),
}

/// Reads the frames of [`take`].
pub fn taken(frames: &[Frame]) -> Taken {
    let frame = |id: &str| frames.iter().find(|frame| frame.id == id);
    if let Some(wait) = frame("wait").filter(|wait| wait.status != 0) {
        return Taken::Busy(wait.text().trim().to_owned());
    }
    for id in ["lock", "hold"] {
        match frame(id) {
            None => return Taken::Failed(String::new()),
            Some(frame) if frame.status == 0 => {}
            Some(frame) => return Record::parse(&frame.text()).map_or_else(|| Taken::Failed(frame.text()), Taken::No),
        }
    }
    Taken::Yes(frame("hold").and_then(|hold| Record::parse(&hold.text())))
}

/// Gives the host back, at the end of an exec that holds it.
pub fn release(script: &mut ScriptBuilder) {
    script.fragment("free", &format!("rm -f {FOLDER}/holder {FOLDER}/holder.new"));
}

/// Removes the record of one run, and with `cut` ends its connection if that is still there. A record of another run stays.
pub fn remove(script: &mut ScriptBuilder, run: &str, cut: bool) {
    script.prelude(FUNCTIONS);
    script.prelude(CUT);
    script.step(
        "unlock",
        &format!(
            "exec 9>>{FOLDER}/lock\nif command -v flock >/dev/null 2>&1; then flock -w 5 9; fi\n\
             poclab_holder || exit 0\nif [ \"$poclab_run\" != {} ]; then poclab_show; exit {TAKEN}; fi\n\
             rm -f {FOLDER}/holder {FOLDER}/holder.new || exit 1\n{}",
            quote(run),
            if cut { "poclab_cut" } else { ":" }
        ),
        false,
    );
}
