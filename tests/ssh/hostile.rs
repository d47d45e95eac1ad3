//! Hosts that print what they should not: noise at login, endless output, control sequences, our own marks.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use poclab::base::frame::{Frame, ScriptBuilder, Seen, nonce};
use poclab::ssh::*;

use crate::lab::*;
use crate::need_sshd;

/// Runs framed fragments, as the engine does.
fn framed(transport: &mut dyn Transport, fragments: &[(&str, &str)]) -> (Result<Vec<Frame>, String>, Output) {
    let mut builder = ScriptBuilder::new(&nonce());
    fragments.iter().for_each(|(id, shell)| builder.fragment(id, shell));
    let (script, mut reader) = builder.finish();
    let mut frames = Vec::new();
    let mut take = |bytes: &[u8]| {
        frames.extend(reader.feed(bytes).into_iter().filter_map(|seen| match seen {
            Seen::End(frame) => Some(frame),
            Seen::Begin(_) => None,
        }));
    };
    let output = transport.exec(&Exec { script, stdin: vec![] }, &mut take, &mut |_| {}).unwrap();
    (reader.refused().map_or(Ok(frames), |why| Err(why.to_string())), output)
}

/// A user whose ~/.bashrc holds this; bash reads it for commands over SSH, too.
fn with_bashrc(text: &str) -> User {
    let user = User::new("/bin/bash");
    std::fs::write(format!("/home/{}/.bashrc", user.name), text).unwrap();
    user
}

const NOISE: &str = "printf '\\033]0;owned\\007\\033[2J\\033[31mred\\036abc:facts\\037\\377\\200\\n'; echo loud >&2; cat /proc/$$/cmdline; ps -efww; env; set";

#[test]
fn noise_at_login_changes_nothing() {
    need_sshd!();
    let sshd = Sshd::start_with(&{
        // As much as sshd sends at all.
        let banner = std::env::temp_dir().join(format!("poclab-banner-{}", std::process::id()));
        std::fs::write(&banner, format!("\x1b[2J\x1b]0;owned\x07{}\u{9b}2J\n", "Unauthorised access is forbidden.\n".repeat(900))).unwrap();
        format!("Banner {}", banner.display())
    });
    for (bashrc, rules, sudo) in [
        (NOISE.to_owned(), "", Sudo::Never),
        (NOISE.to_owned(), "USER ALL=(ALL) NOPASSWD: ALL", Sudo::NoPassword),
        // Megabytes of it, on both outputs.
        ("head -c 5000000 /dev/urandom; head -c 5000000 /dev/urandom >&2".to_owned(), "", Sudo::Never),
        // A shell that shows what it runs, and would like to stop at the first failure.
        ("set -xveu; PS4='poclab '; exec 2>&1".to_owned(), "", Sudo::Never),
        (
            "alias sh=false; alias exec=false; export ENV=/nonexistent BASH_ENV=/nonexistent; umask 077; cd /; stty raw; false".to_owned(),
            "",
            Sudo::Never,
        ),
    ] {
        let user = with_bashrc(&bashrc);
        if !rules.is_empty() {
            user.sudoers(rules);
        }
        let mut transport = sshd.connect_with(user.target(&sshd), sudo, false).unwrap();
        let (frames, output) = framed(&mut *transport, &[("facts", "printf 'one\\0\\377'"), ("more", "echo two; exit 3")]);
        let frames: Vec<_> = frames.unwrap().into_iter().map(|frame| (frame.id, frame.payload, frame.status)).collect();
        assert_eq!(frames, [("facts".to_owned(), b"one\0\xff".to_vec(), 0), ("more".to_owned(), b"two\n".to_vec(), 3)], "{bashrc}");
        assert_eq!((output.status, output.stderr.as_slice()), (0, b"".as_slice()), "{bashrc}");
    }
}

#[test]
fn a_shell_that_shows_its_commands_is_not_taken_for_sudo() {
    need_sshd!();
    let sshd = Sshd::start();
    for bashrc in [
        "set -x",
        "set -xv; ps -efww >&2; cat /proc/$$/cmdline >&2; echo \"$BASH_EXECUTION_STRING\" >&2",
        "trap 'echo \"$BASH_COMMAND\" >&2' DEBUG",
    ] {
        let user = with_bashrc(bashrc);
        user.sudoers("USER ALL=(ALL) ALL");
        let sudo = Sudo::Password(user.password.clone());
        let mut transport = sshd.connect_with(user.target(&sshd), sudo, false).unwrap();
        assert_eq!(stdout(&mut *transport, "id -u"), "0\n", "{bashrc}");
        let wrong = Sudo::Password(poclab::base::Secret::new("wrong"));
        let mut transport = sshd.connect_with(user.target(&sshd), wrong, false).unwrap();
        assert_eq!(exec(&mut *transport, "true").unwrap_err(), SshError::Sudo(SudoProblem::WrongPassword), "{bashrc}");
    }
}

#[test]
fn a_login_that_ends_early_says_so() {
    need_sshd!();
    let sshd = Sshd::start();
    let user = with_bashrc("echo 'this account is \x1b[31mfor people\x1b[m'; exit 3\n");
    let mut transport = sshd.connect_with(user.target(&sshd), Sudo::Never, false).unwrap();
    let error = exec(&mut *transport, "true").unwrap_err();
    assert!(matches!(&error, SshError::NotStarted { status: 3, output } if output.contains("for people")), "{error}");
    assert!(error.to_string().contains(".bashrc"), "{error}");
}

#[test]
fn a_login_that_reads_stdin_runs_nothing_and_says_so() {
    need_sshd!();
    let sshd = Sshd::start();
    for bashrc in ["read line", "cat >/dev/null", "head -c 1 >/dev/null", "IFS= read -r a; echo \"$a\"; read -r b"] {
        let user = with_bashrc(bashrc);
        let ran = sshd.path("ran");
        let mut transport = sshd.connect_with(user.target(&sshd), Sudo::Never, false).unwrap();
        let error = exec(&mut *transport, &format!("touch {}", ran.display())).unwrap_err();
        assert!(error == SshError::Eaten && error.to_string().contains(".bashrc"), "{bashrc}: {error}");
        assert!(!ran.exists(), "{bashrc}");
    }
}

#[test]
fn a_login_that_never_ends_is_bounded() {
    need_sshd!();
    let sshd = Sshd::start();
    let user = with_bashrc("yes 'welcome to this host'");
    let timeouts = Timeouts { idle: Duration::from_secs(2), ..Timeouts::default() };
    let mut transport = sshd.connect_with(SshTarget { timeouts, ..user.target(&sshd) }, Sudo::Never, false).unwrap();
    let started = Instant::now();
    let error = exec(&mut *transport, "true").unwrap_err();
    assert!(matches!(&error, SshError::Timeout { doing, .. } if doing.contains(".bashrc")), "{error}");
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
}

#[test]
fn marks_in_the_output_are_parsed_right_or_refused() {
    need_sshd!();
    let sshd = Sshd::start();
    let mut transport = sshd.connect();
    // Everything that a fragment can print of its surroundings, and marks with other nonces: payload like any other.
    let look = "ps -efww; cat /proc/self/cmdline /proc/$$/cmdline /proc/$$/environ /proc/$PPID/cmdline; set | grep -v '^poclab_n='; printf '\\036%s:a:0\\037' 0123456789abcdef";
    let (frames, _) = framed(&mut *transport, &[("a", look), ("b", "echo b")]);
    let frames = frames.unwrap();
    assert_eq!(frames.len(), 2);
    assert!(frames[0].payload.len() > 300 && frames[0].payload.ends_with(b"\x1e0123456789abcdef:a:0\x1f"));
    // A fragment that does know the nonce (nothing but the shell itself does).
    for (what, forged) in [
        ("an early end", "poclab_end a 0"),
        ("the next frame", "poclab_end a 0; poclab_begin b; echo forged; poclab_end b 0; poclab_begin a"),
        ("everything", "poclab_end a 0; poclab_begin b; echo forged; poclab_end b 0"),
        ("a nested frame", "poclab_begin b; echo forged; poclab_end b 0"),
        ("an unknown frame", "poclab_begin z; poclab_end z 0"),
        ("from the background", "(sleep 0.2; poclab_begin b; poclab_end b 0) & true"),
        ("half a mark", "printf '\\036%s:' \"$poclab_n\""),
    ] {
        let (frames, _) = framed(&mut *transport, &[("a", forged), ("b", "sleep 0.4; echo true")]);
        assert!(frames.as_ref().is_err_and(|why| why.contains("marks") || why.contains("mark")), "{what}: {frames:?}");
    }
    assert_eq!(stdout(&mut *transport, "echo still there"), "still there\n");
}

/// Runs one test of this binary in a process of its own and returns its peak memory, as it says itself, in MB.
fn peak_of(name: &str, port: u16, dir: &std::path::Path, fingerprint: &str) -> u64 {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
        .env("POCLAB_HOSTILE", format!("{port} {fingerprint} {}", dir.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    eprintln!("{}", text.lines().filter(|line| line.contains("MB")).collect::<Vec<_>>().join("\n"));
    let peak = text.lines().filter_map(|line| line.split("peak of all: ").nth(1)).next_back().unwrap_or_else(|| panic!("{text}"));
    peak.trim_end_matches(" MB").parse().unwrap()
}

#[test]
fn two_hundred_megabytes_of_anything_fit_into_little_memory() {
    need_sshd!();
    let sshd = Sshd::start();
    let peak = peak_of("hostile::floods", sshd.port, sshd.dir.path(), &sshd.fingerprint("ed25519"));
    assert!(peak < 60, "{peak} MB");
}

/// In a process of its own, started by the test above.
#[test]
#[ignore = "a part of two_hundred_megabytes_of_anything_fit_into_little_memory"]
fn floods() {
    let Ok(place) = std::env::var("POCLAB_HOSTILE") else { return };
    let mut words = place.splitn(3, ' ');
    let (port, fingerprint, dir) = (words.next().unwrap().parse().unwrap(), words.next().unwrap(), words.next().unwrap());
    let target = SshTarget {
        address: "127.0.0.1".into(),
        port,
        user: "root".into(),
        auth: vec![Auth::Key { path: format!("{dir}/key").into(), passphrase: None }],
        host_key: Some(fingerprint.to_owned()),
        jump: None,
        timeouts: Timeouts::default(),
    };
    let policy = HostKeyPolicy { known_hosts: format!("{dir}/known/hosts").into(), accept_new: false };
    let mut transport = Ssh::new(policy, std::sync::Arc::default()).connect(&Reach::Ssh { target, sudo: Sudo::Never }).unwrap();
    let flood = "head -c 200000000 /dev/zero | tr '\\0' 'x'";
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1000
    };
    eprintln!("before: {} MB", peak());
    let (frames, output) = framed(&mut *transport, &[("a", &format!("{flood} >&2; echo end >&2")), ("b", "echo b")]);
    assert!(frames.unwrap()[1].payload == b"b\n" && output.stderr.ends_with(b"xend\n"));
    eprintln!("200 MB of stderr: {} MB", peak());

    // Outside of frames: it is no business of ours.
    let mut builder = ScriptBuilder::new(&nonce());
    builder.prelude(flood);
    builder.fragment("a", "echo a");
    builder.step("b", &format!("{flood}; echo; echo the end"), false);
    let (script, mut reader) = builder.finish();
    let mut frames = Vec::new();
    transport.exec(&Exec { script, stdin: vec![] }, &mut |bytes| frames.extend(reader.feed(bytes)), &mut |_| {}).unwrap();
    let Some(Seen::End(step)) = frames.last() else { panic!("{:?}", reader.refused()) };
    assert!(step.status == 0 && step.text().ends_with("x\nthe end\n") && step.payload.len() <= 64 << 10);
    eprintln!("400 MB outside of frames and in a step: {} MB", peak());

    // Inside: more than anybody can mean is refused.
    let (frames, _) = framed(&mut *transport, &[("a", flood), ("b", "echo b")]);
    assert!(frames.unwrap_err().contains("more than 8 MiB"));
    eprintln!("peak of all: {} MB", peak());
}
