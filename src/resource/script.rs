//! Shell and hashing that several kinds share.

use std::fmt::Write as _;

use super::{Action, Content};
pub(super) use crate::base::sha256;
use crate::base::{LocalFile, Payload, quote};

/// A user's piece of shell as one word-safe command: a syntax error, an `exit` or a `cd` in it stays in it, and it is not
/// in any process's arguments.
pub(super) fn sub_shell(prefix: &str, code: &str) -> String {
    // The text travels in a here-document on descriptor 3, so stdin stays what it was. Its end mark depends on the text:
    // no text contains its own hash.
    let mark = format!("POCLAB_{}", &sha256(code.as_bytes())[..16]);
    format!("{prefix}sh /dev/fd/3 3<<'{mark}'\n{}\n{mark}\n", code.trim_end_matches('\n'))
}

/// What a file will hold.
pub(super) enum Body<'a> {
    /// This text.
    Text(&'a Content),
    /// The bytes of a file of the control machine.
    Local(&'a LocalFile),
}

/// A file to put in place.
pub(super) struct NewFile<'a> {
    /// Absolute path.
    pub path: &'a str,
    /// What it will hold.
    pub body: Body<'a>,
    /// User name.
    pub owner: &'a str,
    /// Group name.
    pub group: &'a str,
    /// Octal digits.
    pub mode: &'a str,
    /// Shell command that must succeed before the file is put in place; `%s` is the temporary file.
    pub validate: Option<&'a str>,
    /// Write into the old file where it is a mount point of its own (as containers have in /etc): it cannot be replaced.
    pub mounted: bool,
    /// Only when the file in place still has this sha256.
    pub only_if: Option<&'a str>,
}

/// The step that puts a file in place, whole or not at all.
pub(super) fn write_file(label: String, file: &NewFile<'_>) -> Action {
    let (stdin, sum) = match &file.body {
        Body::Text(content) => (Payload::Bytes(content.0.as_bytes().to_vec()), sha256(content.0.as_bytes())),
        Body::Local(local) => (Payload::File { path: local.path.clone(), len: local.len }, local.sha256.clone()),
    };
    let len = stdin.len();
    let (path, dir) = (quote(file.path), quote(parent(file.path)));
    let mut s = String::from("set -e\n");
    let _ = writeln!(s, "p={path} d={dir}");
    s.push_str(concat!(
        "fail() { echo \"$p: $1\" >&2; exit 1; }\n",
        "[ -d \"$d\" ] || fail \"the directory $d does not exist\"\n",
        // Docker makes an empty directory where a file that it should mount is missing.
        "if [ -d \"$p\" ] && [ ! -L \"$p\" ]; then rmdir -- \"$p\" || fail \"is a directory that is not empty: move it away\"; fi\n",
    ));
    if let Some(sum) = file.only_if {
        let _ = writeln!(
            s,
            "[ \"$(sha256sum <\"$p\")\" = '{sum}  -' ] || fail 'was changed by something else since it was looked at: run again'"
        );
    }
    s.push_str(concat!(
        // Only one run works on a host at a time, so these are left over from one that was killed.
        "rm -f -- \"$d\"/.poclab.??????\n",
        "t=$(mktemp \"$d/.poclab.XXXXXX\") || fail 'cannot make a temporary file'\n",
        "trap 'rm -f -- \"$t\"' EXIT\n",
        "trap 'exit 1' HUP INT TERM PIPE\n",
    ));
    // A step must take exactly its own bytes from stdin: `head -c` does, dd writes through to the disk.
    let _ = writeln!(s, "head -c {len} | dd of=\"$t\" bs=65536 conv=fsync status=none || fail 'cannot write (is the disk full?)'");
    let _ = writeln!(s, "exec </dev/null\nn=$(wc -c <\"$t\")");
    let _ = writeln!(s, "[ \"$n\" -eq {len} ] || fail \"only $n of {len} bytes arrived (is the disk full?)\"");
    let _ = writeln!(s, "[ \"$(sha256sum <\"$t\")\" = '{sum}  -' ] || fail 'what was written is not what was sent'");
    let _ = writeln!(s, "chown {} \"$t\"\nchmod {} \"$t\"", quote(&format!("{}:{}", file.owner, file.group)), quote(file.mode));
    // The old file's label first: it may be one that a container was given. restorecon (without -F) leaves those alone, too.
    s.push_str(concat!(
        "selinux() { [ -e /sys/fs/selinux/enforce ] && command -v \"$1\" >/dev/null; }\n",
        "if selinux chcon; then\n",
        "  if [ -f \"$p\" ]; then chcon --reference=\"$p\" \"$t\"\n",
        "  elif selinux matchpathcon; then c=$(matchpathcon -n \"$p\"); [ \"$c\" = '<<none>>' ] || chcon \"$c\" \"$t\"; fi\n",
        "fi\n",
    ));
    if let Some(command) = file.validate {
        let command = command.replace("%s", "\"$1\"");
        let mark = format!("POCLAB_{}", &sha256(command.as_bytes())[..16]);
        let _ = writeln!(
            s,
            "sh /dev/fd/3 \"$t\" 3<<'{mark}' || fail 'refused by its validation, the old file stays in place'\n{command}\n{mark}"
        );
    }
    if file.mounted {
        s.push_str("if grep -qF \" $p \" /proc/self/mountinfo; then cat \"$t\" >\"$p\"; else mv -fT -- \"$t\" \"$p\"; fi\n");
    } else {
        s.push_str("mv -fT -- \"$t\" \"$p\"\n");
    }
    s.push_str("if selinux restorecon; then restorecon \"$p\"; fi\n");
    Action { label, script: s, stdin: Some(stdin), sweep: format!("rm -f -- {dir}/.poclab.??????\n"), ..Action::default() }
}

/// The directory that holds an absolute path.
pub(super) fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &path[..at],
    }
}

/// What is wrong with a path, if anything: line-based tools must be able to print it back.
pub(super) fn path_errors(field: &str, path: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if !path.starts_with('/') || path.len() < 2 || path.ends_with('/') || path.split('/').any(|part| part == "..") {
        errors.push(format!("{field} must be an absolute path without `..` and without a `/` at its end, not {path:?}"));
    }
    if path.chars().any(|c| c.is_control() || c == '\\') {
        errors.push(format!("{field} must not contain control characters or backslashes: {path:?}"));
    }
    errors
}

/// What is wrong with a mode, if anything.
pub(super) fn mode_errors(mode: &str) -> Vec<String> {
    match parse_mode(mode) {
        Some(_) => Vec::new(),
        None => vec![format!("mode must be 3 or 4 octal digits in quotes, e.g. \"0644\", not {mode:?}")],
    }
}

/// The bits of `0644`.
pub(super) fn parse_mode(mode: &str) -> Option<u32> {
    if !(3..=4).contains(&mode.len()) {
        return None;
    }
    u32::from_str_radix(mode, 8).ok()
}

/// What is wrong with a user's or group's name, if anything.
pub(super) fn name_errors(field: &str, name: &str) -> Vec<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if name.is_empty() || name.len() > 32 || name.starts_with(['-', '.']) || !name.chars().all(plain) {
        return vec![format!("{field} must be a plain name (letters, digits, `_`, `-`, `.`; at most 32), not {name:?}")];
    }
    Vec::new()
}

/// Shell that observes entries of the file system: for each path `absent PATH` or what `stat` says.
///
/// It leaves the paths that exist in the positional parameters.
pub(super) fn stat_fragment<'a>(paths: impl IntoIterator<Item = &'a str>) -> String {
    let paths: Vec<String> = paths.into_iter().map(quote).collect();
    format!(
        concat!(
            "set -- {}\nfor p do\n",
            "  shift\n",
            "  if [ -e \"$p\" ] || [ -L \"$p\" ]; then set -- \"$@\" \"$p\"; else echo \"absent $p\"; fi\n",
            "done\n",
            "[ $# -eq 0 ] || stat -c 'stat %f %U %G %s %n' -- \"$@\" 2>&1\n",
        ),
        paths.join(" ")
    )
}

/// What is in a place of the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Type.
    pub what: What,
    /// User name; `UNKNOWN` when the id has no name.
    pub owner: String,
    /// Group name.
    pub group: String,
    /// Permission bits, with set-user-id and the like.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
}

/// Type of an entry of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Symbolic link.
    Link,
    /// A device, socket or pipe.
    Other,
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            What::File => "a file",
            What::Directory => "a directory",
            What::Link => "a symbolic link",
            What::Other => "a device, socket or pipe",
        })
    }
}

/// Reads what [`stat_fragment`] printed about one path: `None` = nothing there, `Err` = could not look.
pub(super) fn parse_stat(text: &str, path: &str) -> Result<Option<Entry>, String> {
    for line in text.split('\n') {
        if line.strip_prefix("absent ") == Some(path) {
            return Ok(None);
        }
        let Some(rest) = line.strip_prefix("stat ") else { continue };
        let mut fields = rest.splitn(5, ' ');
        let (Some(raw), Some(owner), Some(group), Some(size), Some(name)) =
            (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if name != path {
            continue;
        }
        let raw = u32::from_str_radix(raw, 16).map_err(|_| format!("stat said {line:?}"))?;
        let what = match raw & 0o170_000 {
            0o100_000 => What::File,
            0o040_000 => What::Directory,
            0o120_000 => What::Link,
            _ => What::Other,
        };
        let size = size.parse().map_err(|_| format!("stat said {line:?}"))?;
        return Ok(Some(Entry { what, owner: owner.to_owned(), group: group.to_owned(), mode: raw & 0o7777, size }));
    }
    let why = text.split('\n').find(|line| line.contains(path)).unwrap_or("stat said nothing about it");
    Err(why.to_owned())
}

/// Differences in owner, group and mode.
pub(super) fn meta_changes(entry: &Entry, owner: &str, group: &str, mode: &str) -> Vec<super::Change> {
    let mut changes = Vec::new();
    if entry.owner != owner {
        changes.push(super::Change::new(format!("owner is {}, want {owner}", entry.owner)));
    }
    if entry.group != group {
        changes.push(super::Change::new(format!("group is {}, want {group}", entry.group)));
    }
    if Some(entry.mode) != parse_mode(mode) {
        changes.push(super::Change::new(format!("mode is {:04o}, want {mode}", entry.mode)));
    }
    changes
}

/// Shell that sets owner, group and mode of what is there; for a script with `set -e`.
pub(super) fn meta_lines(path: &str, owner: &str, group: &str, mode: &str) -> String {
    let (path, who, mode) = (quote(path), quote(&format!("{owner}:{group}")), quote(mode));
    // chown clears set-user-id bits of files, so the mode comes after it. A numeric mode leaves those of directories as they
    // are: only letters take them away.
    format!("chown -- {who} {path}\nif [ -d {path} ]; then chmod -- ug-s {path}; fi\nchmod -- {mode} {path}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Recorded: coreutils 9.1; 8.22 (EL7) prints the same for this format.
    const STAT: &str = "absent /etc/none\nstat 81a4 root root 12 /etc/a b\nstat 41ed root adm 4096 /etc/d\nstat a1ff root root 3 /etc/l\n";

    #[test]
    fn stat_is_read() {
        assert_eq!(parse_stat(STAT, "/etc/none"), Ok(None));
        let file = parse_stat(STAT, "/etc/a b").unwrap().unwrap();
        assert_eq!((file.what, file.mode, file.size), (What::File, 0o644, 12));
        let dir = parse_stat(STAT, "/etc/d").unwrap().unwrap();
        assert_eq!((dir.what, dir.group.as_str()), (What::Directory, "adm"));
        assert_eq!(parse_stat(STAT, "/etc/l").unwrap().unwrap().what, What::Link);
        // A longer path that ends the same is another path.
        assert!(parse_stat(STAT, "b").is_err());
    }

    #[test]
    fn what_stat_could_not_see_is_an_error() {
        let text = "stat: cannot statx '/x/y': Permission denied\n";
        assert_eq!(parse_stat(text, "/x/y").unwrap_err(), text.trim_end());
    }

    #[test]
    fn paths_and_modes_are_checked() {
        assert!(path_errors("path", "/etc/hosts").is_empty());
        for bad in ["etc/hosts", "/", "/etc/", "/a/../b", "/a\nb", "/a\\b"] {
            assert!(!path_errors("path", bad).is_empty(), "{bad}");
        }
        for bad in ["644 ", "rw-", "8888", "", "00644"] {
            assert!(!mode_errors(bad).is_empty(), "{bad}");
        }
        assert_eq!(parent("/a"), "/");
        assert_eq!(parent("/a/b"), "/a");
    }
}
