//! The command line that starts a script, and the form in which the script follows on stdin.

use super::{Output, SshError, Sudo};
use crate::base::quote;

/// Runs with the arguments NONCE and LENGTH: says that it is there on both outputs, reads exactly LENGTH bytes, and runs them
/// if they are whole (they begin and end with the nonce): a script that a lost connection cut in two must not run at all.
///
/// GNU `head -c` takes not one byte more than it is told, so the payloads stay for the script's own steps. There is no
/// single quote, `!` or line break in it, so that any login shell passes it on unharmed.
const LOADER: &str = r##"printf "\036%s\037" "$1"; printf "\036%s\037" "$1" >&2; _p=$(head -c "$2"); case $_p in "#$1"*"#$1") set --; eval "$_p";; *) echo "the script arrived incomplete" >&2; exit 96;; esac"##;

/// Exit status and text of a loader whose script did not arrive as it was sent.
const INCOMPLETE: (i32, &str) = (96, "the script arrived incomplete\n");

/// Whether this is the answer of a loader that did not run the script.
pub(super) fn is_incomplete(output: &Output) -> bool {
    output.status == INCOMPLETE.0 && output.stdout.is_empty() && output.stderr == INCOMPLETE.1.as_bytes()
}

/// What the loader prints when it has started.
pub(super) fn ready_mark(nonce: &str) -> Vec<u8> {
    format!("\x1e{nonce}\x1f").into_bytes()
}

/// What sudo prints when (and only when) it wants the password. The command line has it with two `%`, of which sudo makes
/// one: a login shell that prints the commands which it runs (`set -x`) must not be taken for sudo.
pub(super) fn prompt_mark(nonce: &str) -> String {
    format!("poclab-{nonce}-%-password:")
}

/// The script as it is sent: between two lines with the nonce.
pub(super) fn wrap(script: &str, nonce: &str) -> Result<Vec<u8>, SshError> {
    if script.contains('\0') {
        return Err(SshError::Local(
            "the script holds a NUL byte, which no shell can run; this is a defect of poclab or of a template".into(),
        ));
    }
    Ok(format!("#{nonce}\n{script}\n#{nonce}").into_bytes())
}

/// The words that start the loader for a wrapped script of this length.
pub(super) fn words(nonce: &str, length: usize) -> Vec<String> {
    ["sh", "-c", LOADER, "poclab", nonce, &length.to_string()].map(str::to_owned).to_vec()
}

/// The command line for the host: the loader, under sudo if asked. sudo's messages are asked for in English; `env` is used
/// because the login shell may be one that does not know `NAME=value command`.
pub(super) fn command_line(sudo: &Sudo, nonce: &str, length: usize) -> String {
    let prompt = prompt_mark(nonce).replace('%', "%%");
    let prefix: &[&str] = match sudo {
        Sudo::Never => &["exec"],
        Sudo::NoPassword => &["exec", "env", "LC_ALL=C", "sudo", "-n", "-H", "--"],
        Sudo::Password(_) => &["exec", "env", "LC_ALL=C", "sudo", "-S", "-H", "-p", &prompt, "--"],
    };
    prefix.iter().map(|word| (*word).to_owned()).chain(words(nonce, length).iter().map(|word| quote(word))).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;
    use std::io::Write;
    use std::process::{Command, Output, Stdio};

    fn run(shell: &str, line: &str, stdin: &[u8]) -> Output {
        let mut child =
            Command::new(shell).arg("-c").arg(line).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The script may end without reading everything.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        child.wait_with_output().unwrap()
    }

    /// Runs a script in `interpreter` as the host's `sh`.
    fn load(interpreter: &str, script: &str, payload: &[u8]) -> Output {
        let mut stdin = wrap(script, "abc123").unwrap();
        let line = command_line(&Sudo::Never, "abc123", stdin.len()).replacen("exec sh", &format!("exec {interpreter}"), 1);
        stdin.extend(payload);
        run(interpreter, &line, &stdin)
    }

    #[test]
    fn scripts_run_as_they_are_in_dash_and_bash() {
        for shell in ["dash", "bash"] {
            let out = load(shell, "printf 'a\\nb'; cat; echo \"[$#]\" it\\'s ü >&2; exit 3", b"\0payload\xff");
            assert_eq!(out.stdout, b"\x1eabc123\x1fa\nb\0payload\xff", "{shell}");
            assert_eq!(out.stderr, "\x1eabc123\x1f[0] it's ü\n".as_bytes(), "{shell}");
            assert_eq!(out.status.code(), Some(3), "{shell}");
        }
    }

    #[test]
    fn a_large_script_and_its_payload_are_told_apart_exactly() {
        for shell in ["dash", "bash"] {
            let script = format!("v='{}'\nprintf '%s:' \"${{#v}}\"\nwc -c", "x'\\''\n".repeat(100_000));
            let out = load(shell, &script, &[7u8; 300_001]);
            let text = String::from_utf8(out.stdout).unwrap();
            assert_eq!(text.trim_start_matches("\x1eabc123\x1f").trim(), "300000:300001", "{shell}");
        }
    }

    #[test]
    fn a_cut_script_does_not_run() {
        for shell in ["dash", "bash"] {
            let whole = wrap("echo ran\necho ran again", "abc123").unwrap();
            let line = command_line(&Sudo::Never, "abc123", whole.len()).replacen("exec sh", &format!("exec {shell}"), 1);
            for cut in [0, 1, 8, 16, whole.len() - 1] {
                let out = run(shell, &line, &whole[..cut]);
                assert_eq!((out.stdout.as_slice(), out.status.code()), (b"\x1eabc123\x1f".as_slice(), Some(INCOMPLETE.0)), "{shell} {cut}");
                assert!(out.stderr.ends_with(INCOMPLETE.1.as_bytes()));
            }
            // Something ate the beginning (a `read` in ~/.bashrc).
            let mut eaten = whole[5..].to_vec();
            eaten.extend(b"12345");
            assert_eq!(run(shell, &line, &eaten).status.code(), Some(96), "{shell}");
        }
    }

    #[test]
    fn nothing_secret_is_in_the_command_line() {
        let line = command_line(&Sudo::Password(Secret::new("hunter22")), "abc123", 10);
        assert!(!line.contains("hunter22"));
        assert!(line.starts_with("exec env LC_ALL=C sudo -S -H -p poclab-abc123-%%-password: -- sh -c '"), "{line}");
        assert!(command_line(&Sudo::NoPassword, "abc123", 10).starts_with("exec env LC_ALL=C sudo -n -H -- sh -c '"));
        assert!(!line.contains(&prompt_mark("abc123")), "a shell that prints its commands must not look like sudo");
        assert!(!LOADER.contains(['\'', '!', '\n']));
        assert!(wrap("a\0b", "n").is_err());
    }
}
