//! Completions and manual pages: for every command, and accepted by the real tools.

use std::process::Command;

use crate::lab::Lab;

/// All commands, as `--help` lists them: `plan`, `secrets list` …
fn commands(lab: &Lab, above: &str) -> Vec<String> {
    let help = lab.poclab(&format!("{above} --help")).exits(0).stdout;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> = listed
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let mut all = Vec::new();
    for name in names.into_iter().filter(|name| *name != "help") {
        let command = format!("{above} {name}").trim().to_owned();
        all.push(command.clone());
        all.extend(commands(lab, &command));
    }
    all
}

fn required(tool: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().unwrap().status.success();
    assert!(found || std::env::var_os("POCLAB_REQUIRE_TOOLS").is_none(), "{tool} is not installed");
    if !found {
        eprintln!("skipped: {tool} is not installed");
    }
    found
}

/// A shell's answer, with poclab in PATH and the completion script of that shell in `c`.
fn in_shell(lab: &Lab, shell: &str, args: &[&str], script: &str) -> String {
    lab.write("c", &lab.poclab(&format!("completions {shell}")).exits(0).stdout);
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_poclab")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(shell);
    command.args(args).args(["-c", script]).current_dir(lab.root()).env_clear();
    let output = command.env("PATH", path).env("HOME", lab.root()).env("TERM", "dumb").output().unwrap();
    assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{shell}");
    String::from_utf8(output.stdout).unwrap()
}

/// What bash offers for a command line whose last word is being typed.
fn bash_offers(lab: &Lab, words: &[&str]) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let (current, before) = (words[words.len() - 1], words[words.len() - 2]);
    let script = format!(
        "source ./c; f=$(complete -p poclab | sed 's/.* -F \\([^ ]*\\).*/\\1/'); COMP_WORDS=({}); COMP_CWORD={}; COMP_TYPE=9; $f poclab '{current}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words.len() - 1
    );
    in_shell(lab, "bash", &["--norc", "--noprofile"], &script)
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn bash_completes_every_command() {
    let lab = Lab::new();
    let all = commands(&lab, "");
    assert!(all.len() > 15 && all.contains(&"secrets rotate".to_owned()), "{all:?}");
    let mut groups: Vec<&str> = all.iter().filter_map(|command| command.rsplit_once(' ').map(|(above, _)| above)).collect();
    groups.dedup();
    for above in std::iter::once("").chain(groups) {
        let mut words: Vec<&str> = std::iter::once("poclab").chain(above.split_whitespace()).collect();
        words.push("");
        let offered = bash_offers(&lab, &words);
        for command in &all {
            let (of, name) = command.rsplit_once(' ').unwrap_or(("", command));
            assert!(of != above || offered.iter().any(|word| word == name), "{command} is not offered: {offered:?}");
        }
    }
    lab.untouched();
}

#[test]
fn bash_completes_names_of_this_lab() {
    let lab = Lab::new();
    let all = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        bash_offers(&lab, &words)
    };
    assert_eq!(all("poclab plan --host "), ["web", "db"]);
    assert_eq!(all("poclab bootstrap --role s"), ["site"]);
    assert_eq!(all("poclab verify --check sel"), ["selinux_enforcing"]);
    assert_eq!(all("poclab secrets show "), ["api"]);
    assert_eq!(all("poclab explain file.mo"), ["file.mode"]);
    assert_eq!(all("poclab secrets show --f"), ["--field", "--format"]);
    assert!(all("poclab plan ").contains(&"--host".to_owned()), "options, as there is nothing else");
    assert_eq!(all("poclab plan --no-such"), Vec::<String>::new());
    // A broken file must not spoil the command line that is being typed.
    lab.write("inventory/lab.yml", "{{{");
    assert_eq!(all("poclab plan --host "), Vec::<String>::new());
    lab.untouched();
}

#[test]
fn zsh_and_fish_take_their_scripts() {
    let lab = Lab::new();
    if required("zsh") {
        let script = "autoload -Uz compinit && compinit -u -d ./dump && source ./c && print -r -- ${_comps[poclab]}";
        assert!(in_shell(&lab, "zsh", &["-f"], script).contains("poclab"));
    }
    if required("fish") {
        let offered = in_shell(&lab, "fish", &["--no-config"], "source ./c; complete -C 'poclab secrets show '");
        assert_eq!(offered.trim(), "api");
    }
    for shell in ["elvish", "powershell"] {
        assert!(lab.poclab(&format!("completions {shell}")).exits(0).stdout.contains("POCLAB_COMPLETE"));
    }
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let lab = Lab::new();
    lab.poclab("man pages").exits(0);
    let mut wanted: Vec<String> = commands(&lab, "").iter().map(|command| format!("poclab-{}.1", command.replace(' ', "-"))).collect();
    wanted.push("poclab.1".to_owned());
    wanted.sort();
    let mut made: Vec<String> =
        std::fs::read_dir(lab.path("pages")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    made.sort();
    assert_eq!(made, wanted);
    for page in &made {
        let text = lab.read(&format!("pages/{page}"));
        for section in ["SH NAME", "SH SYNOPSIS", "SH DESCRIPTION", "SH OPTIONS", "EXIT STATUS", "SH ENVIRONMENT", "SH FILES"] {
            assert!(text.contains(section), "{page} has no {section}");
        }
    }
    assert_eq!(lab.poclab("man").exits(0).stdout, lab.read("pages/poclab.1"));
    if required("groff") {
        for page in &made {
            let output =
                Command::new("groff").args(["-Kutf8", "-man", "-ww", "-Tutf8"]).arg(lab.path(&format!("pages/{page}"))).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{page}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let output = Command::new("groff")
            .args(["-Kutf8", "-man", "-Tutf8", "-P-cbou"])
            .arg(lab.path("pages/poclab-secrets-rotate.1"))
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains("poclab secrets rotate") && shown.contains("could not be observed"), "{shown}");
    }
}
