//! What is done inside a fresh host through `docker exec`, a channel that needs no network and no trust: the login user, and
//! the host's keys read for `known_hosts`.

use std::net::Ipv4Addr;

use crate::base::{Secret, quote};

/// Marks the lines of the script's output that carry keys.
const MARK: &str = "poclab-host-key ";

/// The script, for `sh -s`. It may run again on a host where it ran before, or where it was cut.
///
/// With a password sudo asks for it; without one the user may do everything without.
pub fn script(user: &str, public_key: &str, password: Option<&Secret>) -> String {
    let rule = if password.is_some() { "ALL=(ALL) ALL" } else { "ALL=(ALL) NOPASSWD: ALL" };
    let (name, key, rule) = (quote(user), quote(public_key.trim()), quote(&format!("{user} {rule}")));
    let set_password = password
        .map_or(String::new(), |password| format!("printf '%s\\n' {} | chpasswd\n", quote(&format!("{user}:{}", password.expose()))));
    format!(
        "set -eu
user={name}
getent passwd \"$user\" >/dev/null || useradd --create-home --shell /bin/bash \"$user\"
home=/home/$user
mkdir -p \"$home/.ssh\"
printf '%s\\n' {key} >\"$home/.ssh/authorized_keys.new\"
chmod 600 \"$home/.ssh/authorized_keys.new\"
mv \"$home/.ssh/authorized_keys.new\" \"$home/.ssh/authorized_keys\"
chmod 700 \"$home/.ssh\"
chown -R \"$user:\" \"$home/.ssh\"
umask 337
printf '%s\\n' {rule} >/etc/sudoers.d/.new
mv -f /etc/sudoers.d/.new \"/etc/sudoers.d/$user\"
umask 022
{set_password}tries=0
until systemctl -q is-active sshd.service; do
    tries=$((tries + 1))
    if [ \"$tries\" -gt 300 ]; then
        echo 'sshd did not start within 30 s' >&2
        systemctl status sshd.service >&2 || :
        exit 1
    fi
    sleep 0.1
done
for type in ed25519 ecdsa; do
    sed 's/^/{MARK}/' \"/etc/ssh/ssh_host_${{type}}_key.pub\"
done
"
    )
}

/// Lines for `known_hosts` from the script's output. An error when there is no key: a host without one cannot be trusted.
pub fn known_hosts(output: &str, address: Ipv4Addr) -> anyhow::Result<String> {
    let mut lines = String::new();
    for key in output.lines().filter_map(|line| line.strip_prefix(MARK)) {
        let mut words = key.split_whitespace();
        let (Some(kind), Some(key)) = (words.next(), words.next()) else { anyhow::bail!("the host wrote a key that is none: {key}") };
        lines.push_str(&format!("{address} {kind} {key}\n"));
    }
    anyhow::ensure!(lines.contains("ssh-ed25519"), "the host showed no ed25519 host key");
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_decides_the_sudo_rule() {
        let without = script("ops", "ssh-ed25519 AAAA x\n", None);
        assert!(without.contains("NOPASSWD: ALL"));
        assert!(!without.contains("chpasswd"));
        let with = script("ops", "ssh-ed25519 AAAA x\n", Some(&Secret::new("abc123")));
        assert!(!with.contains("NOPASSWD"));
        assert!(with.contains("ops:abc123"));
    }

    #[test]
    fn keys_become_known_hosts() {
        let output = "noise\npoclab-host-key ssh-ed25519 AAAAC3 comment\npoclab-host-key ecdsa-sha2-nistp256 AAAAE2\n";
        let lines = known_hosts(output, Ipv4Addr::new(10, 90, 0, 11)).unwrap();
        assert_eq!(lines, "10.90.0.11 ssh-ed25519 AAAAC3\n10.90.0.11 ecdsa-sha2-nistp256 AAAAE2\n");
        assert!(known_hosts("noise\n", Ipv4Addr::LOCALHOST).is_err());
    }
}
