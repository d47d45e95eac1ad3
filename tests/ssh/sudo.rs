//! Becoming root.

use poclab::base::{Payload, Secret};
use poclab::ssh::*;

use crate::lab::*;
use crate::need_sshd;

struct Case {
    sshd: Sshd,
    user: User,
}

impl Case {
    fn new(rules: &str) -> Self {
        let case = Self { sshd: Sshd::start(), user: User::new("/bin/bash") };
        if !rules.is_empty() {
            case.user.sudoers(rules);
        }
        case
    }

    fn run(&self, sudo: Sudo) -> Result<Output, SshError> {
        let mut transport = self.sshd.connect_with(self.user.target(&self.sshd), sudo, false).unwrap();
        let payload = Payload::Bytes(b"first line\n\0payload".to_vec());
        transport.exec(&Exec { script: "id -un; echo \"$HOME\"; echo err >&2; cat".into(), stdin: vec![payload] }, &mut |_| {}, &mut |_| {})
    }

    fn password(&self) -> Sudo {
        Sudo::Password(self.user.password.clone())
    }

    #[track_caller]
    fn works(&self, sudo: Sudo) {
        let out = self.run(sudo).unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout), "root\n/root\nfirst line\n\0payload");
        assert_eq!((String::from_utf8_lossy(&out.stderr).as_ref(), out.status), ("err\n", 0), "no prompt, no lecture");
    }

    #[track_caller]
    fn fails(&self, sudo: Sudo) -> SudoProblem {
        match self.run(sudo).unwrap_err() {
            SshError::Sudo(problem) => {
                assert!(!problem.to_string().contains(self.user.password.expose()));
                problem
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_password_is_given_when_sudo_asks() {
    need_sshd!();
    let case = Case::new("USER ALL=(ALL) ALL");
    case.works(case.password());
    // Every exec asks again or finds a fresh ticket: both must work on one connection.
    let mut transport = case.sshd.connect_with(case.user.target(&case.sshd), case.password(), false).unwrap();
    for _ in 0..3 {
        assert_eq!(stdout(&mut *transport, "id -u"), "0\n");
    }
}

#[test]
fn a_ticket_from_before_is_fine() {
    need_sshd!();
    let case = Case::new("Defaults:USER timestamp_type=global\nUSER ALL=(ALL) ALL");
    case.works(case.password());
    case.works(case.password());
    case.works(Sudo::NoPassword);
}

#[test]
fn the_password_is_not_given_when_sudo_does_not_ask() {
    need_sshd!();
    let case = Case::new("USER ALL=(ALL) NOPASSWD: ALL");
    case.works(Sudo::NoPassword);
    case.works(case.password());
    case.works(Sudo::Password(Secret::new("wrong, but nobody asks")));
}

#[test]
fn a_wrong_password_is_said_after_one_try() {
    need_sshd!();
    for rules in ["USER ALL=(ALL) ALL", "Defaults:USER passwd_tries=1\nUSER ALL=(ALL) ALL"] {
        let case = Case::new(rules);
        assert_eq!(case.fails(Sudo::Password(Secret::new("wrong"))), SudoProblem::WrongPassword, "{rules}");
    }
}

#[test]
fn a_needed_password_that_is_not_configured_is_said() {
    need_sshd!();
    assert_eq!(Case::new("USER ALL=(ALL) ALL").fails(Sudo::NoPassword), SudoProblem::PasswordNeeded);
}

#[test]
fn a_required_terminal_is_said() {
    need_sshd!();
    let case = Case::new("Defaults:USER requiretty\nUSER ALL=(ALL) NOPASSWD: ALL");
    assert_eq!(case.fails(Sudo::NoPassword), SudoProblem::RequireTty);
    assert_eq!(case.fails(case.password()), SudoProblem::RequireTty);
}

#[test]
fn a_user_without_rights_is_said() {
    need_sshd!();
    let case = Case::new("");
    let SudoProblem::NotInSudoers(why) = case.fails(case.password()) else { panic!() };
    assert!(why.contains(&case.user.name), "{why}");
    // In sudoers, but not for everything.
    let case = Case::new("USER ALL=(ALL) NOPASSWD: /bin/true");
    let SudoProblem::NotInSudoers(why) = case.fails(case.password()) else { panic!() };
    assert!(why.contains(&case.user.name) && why.len() < 200, "{why}");
}

#[test]
fn sudo_in_a_terminal_of_its_own_keeps_the_streams() {
    need_sshd!();
    for setting in ["use_pty", "!use_pty", "lecture=always", "log_output,iolog_dir=/tmp/poclab-test-iolog"] {
        let case = Case::new(&format!("Defaults:USER {setting}\nUSER ALL=(ALL) ALL"));
        case.works(case.password());
    }
    let _ = std::fs::remove_dir_all("/tmp/poclab-test-iolog");
}

#[test]
fn the_password_is_in_no_process_list_and_no_log() {
    need_sshd!();
    let case = Case::new("USER ALL=(ALL) ALL");
    let mut transport = case.sshd.connect_with(case.user.target(&case.sshd), case.password(), false).unwrap();
    // Not via the script's own text, which travels on stdin too: all arguments and environments of all processes.
    let seen = stdout(&mut *transport, "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'");
    assert!(seen.contains("printf"), "the loader itself must be visible, otherwise this looked at nothing");
    assert!(!seen.contains(case.user.password.expose()));
    assert!(!seen.contains("cat /proc/"), "the script is not on a command line");
    assert!(!case.sshd.log().contains(case.user.password.expose()));
}
