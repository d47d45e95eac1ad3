//! What an attack has done against what a step demands. Reads files of the scenario's folder and changes nothing.

use std::borrow::Cow;
use std::io::Read as _;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::css;
use super::findings::{self, Finding};
use super::launch::Ran;
use super::step::{Step, Stream, Wanted};
use super::{cookies, profile::Profile};

/// Longest file that is read, in bytes. A report that is longer cannot be judged.
const LONGEST: u64 = 64 << 20;
/// Why something else than a file is not read.
const NO_FILE: &str = "it is no regular file";
/// Longest quotation in a reason, in characters.
const QUOTED: usize = 160;

/// Why a step does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Against {
    /// It was seen not to hold.
    Seen(String),
    /// Nothing could be seen.
    Blind(String),
}

impl Against {
    /// Without secrets.
    pub fn redacted(self, profile: &Profile) -> Self {
        match self {
            Self::Seen(why) => Self::Seen(profile.redact(&why)),
            Self::Blind(why) => Self::Blind(profile.redact(&why)),
        }
    }
}

/// Whether the step holds after this attack.
pub(super) fn judge(step: &Step, ran: &Ran, folder: &Path) -> Result<(), Against> {
    match step {
        Step::Output { stream, negated, wanted } => {
            let (name, text) = match stream {
                Stream::All => ("output", all(ran)),
                Stream::Stdout => ("stdout", plain(&ran.stdout).into_owned()),
                Stream::Stderr => ("stderr", plain(&ran.stderr).into_owned()),
            };
            holds(&format!("the {name}"), &text, *negated, wanted)
        }
        Step::Ended { passes, .. } if (ran.status == 0) != *passes => Err(Against::Seen(format!("the exit status is {}", ran.status))),
        Step::Ended { wanted, .. } => holds("the output", &all(ran), false, wanted),
        Step::Reached { negated, pattern } => reached(*negated, pattern, &all(ran)),
        Step::ReachedStatus { negated, statuses } if statuses.contains(&ran.status) == *negated => {
            let what = if *negated { "has broken down" } else { "has not reached its target" };
            let text = all(ran);
            let last = quoted(text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it printed nothing"));
            Err(Against::Blind(format!("the attack {what}: it ended with {}: {last}", ran.status)))
        }
        Step::ExitStatus { negated, status } if (ran.status == *status) == *negated => {
            Err(Against::Seen(format!("the exit status is {}", ran.status)))
        }
        Step::FileText { file, negated, wanted } => holds(file, &read(folder, file)?, *negated, wanted),
        Step::FileExists { file, negated } if is_there(&folder.join(file)) == *negated => {
            Err(Against::Seen(format!("{file} {}", if *negated { "is there" } else { "is not there" })))
        }
        Step::FileXml { file, negated, selectors } => {
            let found = css::found(&read(folder, file)?, selectors).map_err(|why| Against::Blind(format!("{file} is no XML: {why}")))?;
            match selectors.iter().zip(found).find(|(_, found)| found == negated) {
                Some((selector, true)) => Err(Against::Seen(format!("{file} has `{}`", selector.text()))),
                Some((selector, false)) => Err(Against::Seen(format!("{file} has no `{}`", selector.text()))),
                None => Ok(()),
            }
        }
        Step::Cookies(wanted) => cookies::received(wanted, &all(ran)).map_err(Against::Seen),
        Step::Report { file, level, except } => {
            let all = findings::read(&read(folder, file)?).map_err(|why| Against::Blind(format!("{file}: {why}")))?;
            let counted: Vec<&Finding> = all.iter().filter(|finding| finding.level >= *level && !except.contains(&finding.name)).collect();
            match counted.as_slice() {
                [] => Ok(()),
                [first, rest @ ..] => {
                    let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
                    Err(Against::Seen(format!("{}{more}", first.words())))
                }
            }
        }
        _ => Ok(()),
    }
}

/// Both streams, standard output first.
fn all(ran: &Ran) -> String {
    plain(&format!("{}{}", ran.stdout, ran.stderr)).into_owned()
}

/// Without colours, as aruba compares. Other sequences stay: a text that a terminal would not show may be in them.
fn plain(text: &str) -> Cow<'_, str> {
    static COLOUR: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\x1b\[[0-9;]*m").ok());
    COLOUR.as_ref().map_or(Cow::Borrowed(text), |colour| colour.replace_all(text, ""))
}

fn reached(negated: bool, pattern: &Regex, text: &str) -> Result<(), Against> {
    match (pattern.find(text), negated) {
        (None, false) => {
            let last = quoted(text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default());
            Err(Against::Blind(format!("the attack has not reached its target: it printed nothing like /{pattern}/, and at last: {last}")))
        }
        (Some(found), true) => Err(Against::Blind(format!("the attack has broken down: {}", quoted(line_at(text, found.start()))))),
        _ => Ok(()),
    }
}

/// Whether there is such a file: not a link, which may lead out of the scenario's folder.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|file| file.is_file())
}

fn read(folder: &Path, name: &str) -> Result<String, Against> {
    let blind = |why: String| Against::Blind(format!("the attack left no {name} that can be read: {why}"));
    let error = |error: std::io::Error| blind(error.to_string());
    // A tool, or the target that it was sent to, may leave a link to a file of this machine, or a pipe that never ends.
    let how = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(folder.join(name), how, Mode::empty()) {
        Ok(file) => std::fs::File::from(file),
        Err(Errno::LOOP) => return Err(blind(NO_FILE.to_owned())),
        Err(errno) => return Err(error(errno.into())),
    };
    if !file.metadata().map_err(error)?.is_file() {
        return Err(blind(NO_FILE.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(error)?;
    if bytes.len() as u64 > LONGEST {
        return Err(blind(format!("it is longer than {} MiB", LONGEST >> 20)));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn holds(what: &str, text: &str, negated: bool, wanted: &Wanted) -> Result<(), Against> {
    // aruba compares what was printed without the line breaks that a terminal would show.
    let text = text.replace("\r\n", "\n");
    let (is, place) = match wanted {
        Wanted::Contains(part) => (text.contains(part.as_str()), text.find(part.as_str())),
        Wanted::Exactly(whole) => (text.trim_end_matches('\n') == whole.trim_end_matches('\n'), Some(0)),
        Wanted::Matches(pattern) => {
            let found = pattern.find(&text);
            (found.is_some(), found.map(|found| found.start()))
        }
    };
    if is != negated {
        return Ok(());
    }
    let demand = match wanted {
        Wanted::Contains(part) => format!("contain {part:?}"),
        Wanted::Exactly(whole) => format!("be exactly {whole:?}"),
        Wanted::Matches(pattern) => format!("match /{pattern}/"),
    };
    let line = place
        .filter(|_| negated)
        .map_or_else(|| text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default(), |at| line_at(&text, at));
    let quoted = quoted(line);
    Err(Against::Seen(match (negated, quoted.is_empty()) {
        (true, _) => format!("{what} must not {demand}, and has: {quoted}"),
        (false, true) => format!("{what} should {demand}, and is empty"),
        (false, false) => format!("{what} should {demand}, and begins with: {quoted}"),
    }))
}

/// The line of a text that has this byte.
fn line_at(text: &str, at: usize) -> &str {
    let from = text[..at].rfind('\n').map_or(0, |at| at + 1);
    text[from..].lines().next().unwrap_or_default()
}

/// The beginning of a line.
fn quoted(line: &str) -> String {
    line.chars().take(QUOTED).collect()
}

/// A text as it may be shown: without secrets, and not endless.
pub(super) fn shown(profile: &Profile, text: &str, longest: usize) -> String {
    let text = profile.redact(text);
    match text.char_indices().nth(longest) {
        None => text,
        Some((at, _)) => format!("{}\n… ({} bytes more)", &text[..at], text.len() - at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(value: &str, text: Option<&str>, table: &[&[&str]]) -> Step {
        let table: Vec<Vec<String>> = table.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect();
        Step::parse(value, text, (!table.is_empty()).then_some(table.as_slice())).unwrap()
    }

    fn seen(step: &Step, ran: &Ran) -> bool {
        match judge(step, ran, Path::new("/nonexistent")) {
            Ok(()) => false,
            Err(Against::Seen(_)) => true,
            Err(Against::Blind(why)) => panic!("{why}"),
        }
    }

    #[test]
    fn outputs_are_judged_with_their_negation() {
        let ran = Ran { status: 3, stdout: "HTTP/1.1 401 X\r\nServer: no\r\n".into(), stderr: "warn: a \"b\"\n".into(), seconds: 0.0 };
        for (value, against) in [
            ("the output should contain \"401\"", false),
            ("the output should contain \"200\"", true),
            ("the output should not contain \"Server\"", true),
            ("the output should contain \"a \"b\"\"", false),
            ("the stdout should contain \"warn\"", true),
            ("the stderr should match /^warn: \\w/", false),
            ("the output should match /^HTTP\\/1\\.[01] 401/", false),
            ("the output should match /^HTTP/1\\.[01] (401|403)/", false),
            ("the output should not match /(?i)^server:/", true),
            ("the output should match /no$/", false),
            ("the stderr should contain exactly \"warn: a \"b\"\"", false),
            ("the stderr should not contain anything", true),
            ("the exit status should be 3", false),
            ("the exit status should be 0", true),
            ("the exit status should not be 3", true),
            ("the output should contain \"no\\n\"", false),
            ("the output should contain \"a \\\"b\\\"\"", false),
            ("the output should contain \"HTTP/1.1 401 X\\nServer\"", false),
        ] {
            assert_eq!(seen(&step(value, None, &[]), &ran), against, "{value}");
        }
    }

    #[test]
    fn colours_are_not_compared_and_statuses_say_whether_a_target_was_reached() {
        let ran = Ran { status: 7, stdout: "\x1b[1;31mfound\x1b[0m it \x1b]0;hidden\x07\n".into(), ..Ran::default() };
        assert!(!seen(&step("the output should match /^found it/", None, &[]), &ran));
        assert!(seen(&step("the output should not contain \"hidden\"", None, &[]), &ran));
        let judged = |value: &str| judge(&step(value, None, &[]), &ran, Path::new("/nonexistent"));
        assert_eq!(judged("the attack should have reached its target: exit status 0, 1 or 7"), Ok(()));
        assert_eq!(judged("the attack should not have broken down: exit status 3"), Ok(()));
        for blind in
            ["the attack should have reached its target: exit status 0", "the attack should not have broken down: exit status 7, 8"]
        {
            assert!(matches!(judged(blind), Err(Against::Blind(why)) if why.contains("ended with 7")), "{blind}");
        }
        assert!(!seen(&step("it should fail with:", Some("found it"), &[]), &ran));
        assert!(seen(&step("it should fail with:", Some("lost"), &[]), &ran));
        assert!(seen(&step("it should pass with:", Some("found it"), &[]), &ran));
    }

    #[test]
    fn files_are_judged_and_missing_ones_are_no_proof() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.txt"), "one\ntwo\n").unwrap();
        std::fs::write(folder.path().join("a.xml"), "<a><b c=\"1\"/></a>").unwrap();
        std::fs::write(
            folder.path().join("w.json"),
            r#"{"vulnerabilities":{"XSS":[{"path":"/","level":1}]},"anomalies":{},"infos":{"target":"http://a"}}"#,
        )
        .unwrap();
        let ran = Ran { stdout: "found 0 pages\r\n".into(), ..Ran::default() };
        let judged = |step: &Step| judge(step, &ran, folder.path());
        assert_eq!(judged(&step("the file \"a.txt\" should contain \"two\"", None, &[])), Ok(()));
        assert!(matches!(judged(&step("the file \"a.txt\" should not match /^t/", None, &[])), Err(Against::Seen(_))));
        assert_eq!(judged(&step("a file named \"a.txt\" should exist", None, &[])), Ok(()));
        assert_eq!(judged(&step("the attack should have reached its target: /found \\d pages$/", None, &[])), Ok(()));
        assert_eq!(judged(&step("the attack should not have broken down: /^Traceback/", None, &[])), Ok(()));
        assert!(matches!(judged(&step("a file named \"a.txt\" should not exist", None, &[])), Err(Against::Seen(_))));
        assert_eq!(judged(&step("the file \"a.xml\" should contain XML:", None, &[&["css"], &["a b[c=\"1\"]"]])), Ok(()));
        assert!(matches!(
            judged(&step("the file \"a.xml\" should not contain XML:", None, &[&["css"], &["x"], &["b"]])),
            Err(Against::Seen(_))
        ));
        assert!(matches!(judged(&step("the report \"w.json\" should have no findings", None, &[])), Err(Against::Seen(_))));
        assert_eq!(judged(&step("the report \"w.json\" should have no findings of at least \"medium\"", None, &[])), Ok(()));
        let table: &[&[&str]] = &[&["finding", "reason"], &["XSS", "a test"]];
        assert_eq!(judged(&step("the report \"w.json\" should have no findings except:", None, table)), Ok(()));
        for blind in [
            "the attack should have reached its target: /found [1-9]/",
            "the attack should not have broken down: /found \\d/",
            "the file \"b.txt\" should not contain \"x\"",
            "the report \"b.json\" should have no findings",
            "the report \"a.txt\" should have no findings",
        ] {
            assert!(matches!(judged(&step(blind, None, &[])), Err(Against::Blind(_))), "{blind}");
        }
        // A link is not followed, wherever it leads; a pipe is not waited for.
        std::os::unix::fs::symlink(folder.path().join("a.txt"), folder.path().join("link.txt")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(folder.path().join("pipe.txt")).status().unwrap().success());
        for name in ["link.txt", "pipe.txt"] {
            let said = judged(&step(&format!("the file \"{name}\" should not contain \"x\""), None, &[]));
            assert!(matches!(said, Err(Against::Blind(why)) if why.contains("no regular file")), "{name}");
            assert_eq!(judged(&step(&format!("a file named \"{name}\" should not exist"), None, &[])), Ok(()));
        }
        assert!(matches!(judged(&step("the file \"a.txt\" should not contain XML:", None, &[&["css"], &["x"]])), Err(Against::Blind(_))));
    }
}
