//! Nothing in the tree may switch off a protection (design: firewalld and SELinux stay on, TLS and signatures are checked).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests may panic")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Each pattern, split so that this file does not match itself, and what it would switch off.
fn forbidden() -> Vec<(String, &'static str)> {
    let join = |parts: &[&str]| parts.concat();
    vec![
        (join(&["gpgcheck", "=0"]), "package signatures"),
        (join(&["gpgcheck: ", "false"]), "package signatures"),
        (join(&["--no", "gpgcheck"]), "package signatures"),
        (join(&["--no", "deps"]), "package dependencies"),
        (join(&["StrictHostKey", "Checking=no"]), "host keys"),
        (join(&["StrictHostKey", "Checking no"]), "host keys"),
        (join(&["StrictHostKey", "Checking accept-new"]), "host keys"),
        (join(&["UserKnownHosts", "File=/dev/null"]), "host keys"),
        (join(&["insecure-", "registry"]), "the registry's TLS"),
        (join(&["insecure-", "registries\":"]), "the registry's TLS"),
        (join(&["set", "enforce 0"]), "SELinux"),
        (join(&["set", "enforce permissive"]), "SELinux"),
        (join(&["SELINUX=", "permissive"]), "SELinux"),
        (join(&["SELINUX=", "disabled"]), "SELinux"),
        (join(&["stop fire", "walld"]), "the firewall"),
        (join(&["disable fire", "walld"]), "the firewall"),
        (join(&["disable --now fire", "walld"]), "the firewall"),
        (join(&["mask fire", "walld"]), "the firewall"),
        (join(&["curl ", "-k"]), "TLS"),
        (join(&["curl -", "-insecure"]), "TLS"),
        (join(&["danger_accept_", "invalid"]), "TLS"),
        (join(&["sslverify", "=0"]), "TLS"),
        (join(&["sslverify=", "false"]), "TLS"),
        (join(&["http.sslVerify ", "false"]), "TLS"),
        (join(&["iptables ", "-F"]), "the firewall"),
        (join(&["iptables\": ", "false"]), "Docker's firewall rules"),
    ]
}

/// Product code, roles, templates, scripts, inventories: everything but prose, recorded outputs and tests.
fn product_files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed =
        Command::new("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root).output().unwrap();
    assert!(listed.status.success(), "git ls-files works in the tree");
    let names = String::from_utf8(listed.stdout).unwrap();
    names
        .split('\0')
        .filter(|name| !name.is_empty() && !name.ends_with(".md") && !name.starts_with("tests/"))
        .map(|name| root.join(name))
        .filter(|file| file.is_file())
        .collect()
}

/// Lines of a text that match, with line numbers. Only a test may do damage, on a line that says `protection:` and why.
fn offences(text: &str, is_test: bool) -> Vec<(usize, String)> {
    let forbidden = forbidden();
    text.lines()
        .enumerate()
        .filter(|(_, line)| !(is_test && line.contains("protection: ")))
        .filter_map(|(number, line)| {
            let squeezed = line.split_whitespace().collect::<Vec<_>>().join(" ");
            let found = forbidden.iter().find(|(pattern, _)| squeezed.to_lowercase().contains(&pattern.to_lowercase()));
            found.map(|(pattern, what)| (number + 1, format!("{what}: {pattern}")))
        })
        .collect()
}

#[test]
fn nothing_in_the_tree_switches_off_a_protection() {
    let files = product_files();
    assert!(files.len() > 50, "the tree is listed: {} files", files.len());
    let mut found = Vec::new();
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let is_test = file.ends_with("tests.rs");
        found.extend(offences(&text, is_test).into_iter().map(|(line, what)| format!("{}:{line}: {what}", file.display())));
    }
    assert!(found.is_empty(), "switched off:\n{}", found.join("\n"));
}

#[test]
fn the_search_finds_what_it_is_for() {
    for (pattern, _) in forbidden() {
        assert_eq!(offences(&format!("x\n  {pattern}\n"), false).len(), 1, "{pattern}");
        assert_eq!(offences(&format!("{pattern} # protection: no excuse in product code"), false).len(), 1, "{pattern}");
        assert_eq!(offences(&format!("{pattern} // protection: damage on purpose"), true).len(), 0, "{pattern}");
    }
    assert_eq!(offences(&["systemctl  stop  fire", "walld"].concat(), false).len(), 1);
}
