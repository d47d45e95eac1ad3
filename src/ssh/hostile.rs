//! What a server says before the script runs.

use super::gate::Gate;
use super::{hostkey, loader, sudo};
use crate::hostile::Parser;

pub(crate) fn parsers() -> Vec<Parser> {
    let keys = "# comment\n\ndeploy,[10.0.0.1]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBmgwkcUqBj0j0nyY1oDlNbrqKkL1RvWkhv2LwGxvnHl x\n";
    vec![
        Parser::text("ssh", "known_hosts", &[keys], |text| {
            let _ = hostkey::parse(text, "deploy");
        }),
        Parser::new("ssh", "host key", &["\0\0\0\x0bssh-ed25519\0\0\0\x20abcdefghijklmnopqrstuvwxyz012345"], |bytes| {
            let _ = (hostkey::key_type(bytes), hostkey::fingerprint(bytes));
        }),
        Parser::text(
            "ssh",
            "sudo",
            &[
                "sudo: sorry, you must have a tty to run sudo\n",
                "ops is not in the sudoers file.  This incident will be reported.\n",
                "Sorry, user ops is not allowed to execute '/bin/sh -c x' as root on app.\n",
                "Sorry, try again.\nsudo: 1 incorrect password attempt\n",
                "sudo: a password is required\n",
                "bash: sudo: command not found\n",
            ],
            |text| {
                for (status, given) in [(0, false), (1, true), (127, false)] {
                    let _ = sudo::problem(text, status, given);
                }
            },
        ),
        Parser::new("ssh", "ready mark", &["banner\n\x1eabc\x1frest", "\x1e\x1eab\x1eabc\x1f"], |bytes| {
            for size in [1, 7, 4096] {
                let mut gate = Gate::new(loader::ready_mark("abc"));
                let passed: usize = bytes.chunks(size).map(|chunk| gate.pass(chunk).len()).sum();
                assert!(passed <= bytes.len());
                assert!(gate.is_open() || passed == 0);
                let _ = gate.before();
            }
        }),
    ]
}
