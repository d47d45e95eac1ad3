//! Shell functions that scripts of both kinds begin with.

/// `poclab_reload`: reloads firewalld; a reload flushes Docker's chains too, so it waits until Docker has put them
/// back, and restarts Docker when it does not (it only listens to a firewalld that ran before it). systemd refuses more
/// than three starts of Docker in a minute unless its count is reset.
pub const RELOAD: &str = "\
poclab_docker_chains() {
  iptables -w -S FORWARD 2>/dev/null | grep -q -e '-j DOCKER-USER$' && iptables -w -t nat -S PREROUTING 2>/dev/null | grep -q -e '-j DOCKER$'
}
poclab_docker_restart() {
  systemctl reset-failed docker >/dev/null 2>&1 || :
  systemctl restart docker
}
poclab_docker_back() {
  systemctl is-active --quiet docker || return 0
  poclab_i=0
  until poclab_docker_chains; do
    poclab_i=$((poclab_i + 1))
    if [ \"$poclab_i\" -gt 20 ]; then
      poclab_docker_restart || return 1
      # Docker makes this jump with a new network only (20.10): with containers that kept running there is none.
      iptables -w -C FORWARD -j DOCKER-USER 2>/dev/null || iptables -w -I FORWARD -j DOCKER-USER
      poclab_docker_chains && return 0
      echo 'docker did not put its firewall chains back: see journalctl -u docker' >&2
      return 1
    fi
    sleep 0.25
  done
}
poclab_reload() {
  firewall-cmd --reload >/dev/null && poclab_docker_back
}
";

/// `poclab_put FILE`: replaces a file by what comes on stdin, in one step.
pub const PUT: &str = "\
poclab_put() {
  mkdir -p \"${1%/*}\" && poclab_t=$(mktemp \"${1%/*}/.poclab.XXXXXX\") || return 1
  if cat >\"$poclab_t\" && chmod 0644 \"$poclab_t\" && mv -f \"$poclab_t\" \"$1\"; then
    if command -v restorecon >/dev/null 2>&1; then restorecon \"$1\"; fi
    return 0
  fi
  rm -f \"$poclab_t\"
  return 1
}
";

/// Removes what a killed `poclab_put` leaves.
pub const SWEEP: &str = "rm -f -- /etc/firewalld/.poclab.?????? /etc/firewalld/zones/.poclab.??????\n";

/// Shows `direct.xml`'s elements one per line, without the frame. awk reads records between `<`, so that it does not
/// matter how the file is laid out; a record that starts with a slash is the end of an element.
///
/// `keep` is an awk expression on `mine`: whether the element belongs to the policy for published ports
/// (filter DOCKER-USER, or the guard in mangle FORWARD).
pub fn direct_elements(keep: &str) -> String {
    format!(
        "awk 'BEGIN {{ RS = \"<\" }}\n\
         /^(chain|rule|passthrough)[ \\t\\n]/ {{\n\
         \x20 mine = ($0 ~ /ipv=[\"\\047]ipv4[\"\\047]/) && (($0 ~ /chain=[\"\\047]DOCKER-USER[\"\\047]/ && $0 ~ /table=[\"\\047]filter[\"\\047]/) || ($0 ~ /^rule/ && $0 ~ /chain=[\"\\047]FORWARD[\"\\047]/ && $0 ~ /table=[\"\\047]mangle[\"\\047]/))\n\
         \x20 if (!({keep})) next\n\
         \x20 sub(/[ \\t\\n]+$/, \"\")\n\
         \x20 tag = $0; sub(/[ \\t\\n].*/, \"\", tag)\n\
         \x20 end = \"\"; if ($0 !~ /\\/>$/) end = \"</\" tag \">\"\n\
         \x20 print \"  <\" $0 end\n\
         }}' /etc/firewalld/direct.xml"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn direct_elements_are_kept_whatever_the_layout() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("direct.xml");
        std::fs::write(
            &file,
            "<?xml version='1.0'?>\n<direct><chain table='filter' ipv='ipv4'\n chain='DOCKER-USER'/><rule ipv=\"ipv4\" table=\"filter\" chain=\"DOCKER-USER\" priority=\"0\">-j RETURN</rule>\n\
             <rule ipv=\"ipv6\" table=\"filter\" chain=\"DOCKER-USER\" priority=\"0\">-j DROP</rule>\n  <passthrough ipv=\"ipv4\">-I INPUT -j ACCEPT\n</passthrough></direct>",
        )
        .unwrap();
        let run = |keep: &str| {
            let script = direct_elements(keep).replace("/etc/firewalld/direct.xml", file.to_str().unwrap());
            String::from_utf8(Command::new("sh").arg("-c").arg(script).output().unwrap().stdout).unwrap()
        };
        assert_eq!(
            run("mine"),
            "  <chain table='filter' ipv='ipv4'\n chain='DOCKER-USER'/>\n  <rule ipv=\"ipv4\" table=\"filter\" chain=\"DOCKER-USER\" priority=\"0\">-j RETURN</rule>\n"
        );
        assert_eq!(
            run("!mine"),
            "  <rule ipv=\"ipv6\" table=\"filter\" chain=\"DOCKER-USER\" priority=\"0\">-j DROP</rule>\n  <passthrough ipv=\"ipv4\">-I INPUT -j ACCEPT</passthrough>\n"
        );
    }
}
