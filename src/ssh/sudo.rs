//! Understanding why sudo did not start the script, from what it says.
//!
//! Texts are those of sudo 1.8.23 (CentOS 7.6) to 1.9; they are matched loosely and only when the script has not started,
//! so a script that itself prints such words is never misread.

use super::SudoProblem;

/// What sudo's stderr and exit status mean; `None` when it was something else.
pub(super) fn problem(stderr: &str, status: i32, password_given: bool) -> Option<SudoProblem> {
    let lower = stderr.to_lowercase();
    let says = |text: &str| lower.contains(text);
    if says("you must have a tty") {
        return Some(SudoProblem::RequireTty);
    }
    let refusals = ["not in the sudoers file", "is not allowed to execute", "is not allowed to run sudo", "may not run sudo"];
    if let Some(line) = stderr.lines().find(|line| refusals.iter().any(|text| line.to_lowercase().contains(text))) {
        return Some(SudoProblem::NotInSudoers(shorten(line)));
    }
    if says("incorrect password attempt") || (password_given && (says("sorry, try again") || says("a password is required"))) {
        return Some(SudoProblem::WrongPassword);
    }
    if says("a password is required") || says("no password was provided") || says("no tty present and no askpass") {
        return Some(SudoProblem::PasswordNeeded);
    }
    // The login shell's words for a missing program, or env's.
    let missing =
        ["sudo: command not found", "sudo: not found", "sudo: no such file", "sudo\u{2019}: no such file", "'sudo': no such file"];
    if missing.iter().any(|text| says(text)) || (status == 127 && says("sudo")) {
        return Some(SudoProblem::Missing);
    }
    None
}

/// The refusal without the long command that sudo quotes in it.
fn shorten(line: &str) -> String {
    let line = line.trim();
    match (line.find('\''), line.rfind('\'')) {
        (Some(start), Some(end)) if end > start => format!("{}sh{}", &line[..start], &line[end + 1..]),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_refusal_is_told_apart() {
        let quoted = "Sorry, user poc is not allowed to execute '/bin/sh -c printf x; it'\\''s poclab 1 2' as root on app.";
        for (stderr, status, given, expected) in [
            ("sudo: sorry, you must have a tty to run sudo\n", 1, false, Some(SudoProblem::RequireTty)),
            ("sudo: a password is required\n", 1, false, Some(SudoProblem::PasswordNeeded)),
            ("sudo: no tty present and no askpass program specified\n", 1, false, Some(SudoProblem::PasswordNeeded)),
            (
                "sudo: a terminal is required to read the password; either use the -S option to read from standard input\nsudo: a password is required\n",
                1,
                false,
                Some(SudoProblem::PasswordNeeded),
            ),
            ("Sorry, try again.\nsudo: 1 incorrect password attempt\n", 1, true, Some(SudoProblem::WrongPassword)),
            ("sudo: 3 incorrect password attempts\n", 1, true, Some(SudoProblem::WrongPassword)),
            (
                "banner\npoc is not in the sudoers file.  This incident will be reported.\n",
                1,
                true,
                Some(SudoProblem::NotInSudoers("poc is not in the sudoers file.  This incident will be reported.".into())),
            ),
            (quoted, 1, true, Some(SudoProblem::NotInSudoers("Sorry, user poc is not allowed to execute sh as root on app.".into()))),
            (
                "Sorry, user poc may not run sudo on app.\n",
                1,
                true,
                Some(SudoProblem::NotInSudoers("Sorry, user poc may not run sudo on app.".into())),
            ),
            ("env: 'sudo': No such file or directory\n", 127, false, Some(SudoProblem::Missing)),
            ("env: sudo: No such file or directory\n", 127, false, Some(SudoProblem::Missing)),
            ("bash: line 1: sudo: command not found\n", 127, false, Some(SudoProblem::Missing)),
            ("sh: 1: exec: sudo: not found\n", 127, false, Some(SudoProblem::Missing)),
            ("This account is currently not available.\n", 1, false, None),
            ("", 255, false, None),
        ] {
            assert_eq!(problem(stderr, status, given), expected, "{stderr}");
        }
    }
}
