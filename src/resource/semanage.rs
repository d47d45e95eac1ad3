//! What the kinds about SELinux's local policy (ports, booleans, contexts of files) share.
//!
//! The policy is changed by the host's own tools (semanage, setsebool, restorecon). What they keep is read from the files that
//! they write, as `semanage … -l` takes seconds of Python per question on EL7: `*.local` in the policy's store, which is
//! /etc/selinux/TYPE/active on EL7 (since 7.3) and /var/lib/selinux/TYPE/active on other systems.

use super::{Reply, State};

/// Shell that says whether this kernel has SELinux, and prints these files of the active policy, each line after `kept `.
/// A file that is not there holds nothing; one that cannot be read ends the look.
pub(super) fn look(files: &[&str]) -> String {
    let mut s = String::from(concat!(
        "if [ -e /sys/fs/selinux/enforce ]; then echo 'selinux on'; else echo 'selinux off'; fi\n",
        "if [ -e /etc/poclab-rehearsal ]; then echo rehearsal; fi\n",
        "poclab_type=\n",
        "if [ -e /etc/selinux/config ]; then poclab_type=$(sed -n 's/^[[:space:]]*SELINUXTYPE=[[:space:]]*//p' /etc/selinux/config | tail -n 1); fi\n",
        "kept() { if [ -e \"$1\" ]; then sed 's/^/kept /' \"$1\" || exit 1; fi; }\n",
    ));
    for file in files {
        s.push_str(&format!("kept {file}\n"));
    }
    s
}

/// Where the policy's store keeps a file.
pub(super) fn stored(name: &str) -> [String; 2] {
    [format!("\"/etc/selinux/$poclab_type/active/{name}\""), format!("\"/var/lib/selinux/$poclab_type/active/{name}\"")]
}

/// What [`look`] printed.
pub(super) struct Local {
    /// The whole answer.
    pub text: String,
    /// Why nothing can be wanted or seen here.
    pub without: Option<State>,
}

impl Local {
    /// Reads an answer; `Err`: it is none.
    pub fn read(reply: &Reply) -> Result<Self, String> {
        let text = reply.text();
        let line = |wanted: &str| text.lines().any(|line| line == wanted);
        let without = if line("selinux on") {
            None
        } else if !line("selinux off") {
            return Err("whether SELinux is on was not said".to_owned());
        } else if line("rehearsal") {
            Some(State::Skipped("no SELinux in this kernel (rehearsal host)".to_owned()))
        } else {
            Some(State::Unknown("SELinux is off in the running kernel; the resource `selinux` of role base says what to do".to_owned()))
        };
        Ok(Self { text, without })
    }

    /// The lines of the files.
    pub fn kept(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter_map(|line| line.strip_prefix("kept ")).filter(|line| !line.trim_start().starts_with('#'))
    }
}

/// The type in a context: `system_u:object_r:etc_t:s0` is `etc_t`.
pub(super) fn type_of(context: &str) -> &str {
    context.split(':').nth(2).unwrap_or(context)
}

/// What is wrong with the name of a type or boolean, if anything.
pub(super) fn word_errors(field: &str, word: &str) -> Vec<String> {
    let plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain { Vec::new() } else { vec![format!("{field} must be a name of SELinux' policy (letters, digits, `_`), not {word:?}")] }
}
