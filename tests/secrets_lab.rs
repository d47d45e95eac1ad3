//! Secrets on the container lab: none of them shows up anywhere, and a new one changes what depends on it and nothing else.
//!
//! Run by `make lab-test`: `cargo test --test secrets_lab -- --ignored --nocapture`. The stages share one lab.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests may panic")]

#[path = "support/container_lab.rs"]
mod container_lab;
#[path = "secrets_lab/forms.rs"]
mod forms;
#[path = "secrets_lab/watch.rs"]
mod watch;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use container_lab::{HOSTS, Project, changes, of_kind, set};
use forms::Known;
use watch::Watch;

const LAB: &str = "secrettest";

/// A role that keeps secrets where a role can keep them, and spills them when /etc/canary/spill says how.
const CANARY: &str = r#"description: keeps and spills secrets
requires: [base]
defaults: {shown: nothing}
secrets:
  canary_login: {what: a login that only this test uses, user: canary}
  canary_key: {what: what a vendor gave us, given: true}
certificates:
  canary: {names: ["{{ host.fqdn }}"]}
resources:
  - directory: {path: /etc/canary, mode: "0700"}
  - file: {path: /etc/canary/all, content: "{{ secrets.canary_login.password }}\n{{ secrets.canary_login.htpasswd }}\n{{ secrets.canary_key.password }}\n{{ certs.canary.key }}{{ shown }}\n"}
  - command:
      what: canary sings
      run: |
        : "{{ secrets.canary_login.password }}"
        if [ -e /etc/canary/spill ]; then . /etc/canary/spill; exit 7; fi
        touch /etc/canary/done
      unless: |
        : "{{ secrets.canary_login.password }}"
        test -e /etc/canary/done && test ! -e /etc/canary/spill
"#;

/// What a careless product prints before it fails: the last 20 lines of it are shown.
const SPILLS: &[&str] = &[
    "cat /etc/canary/all; cat /etc/canary/all >&2",
    "base64 /etc/canary/all",
    "head -n 3 /etc/canary/all | while IFS= read -r line; do printf 'user:%s' \"$line\" | base64 -w0; echo; printf '%s' \"$line\" | base64; printf '%s' \"$line\" | od -An -v -tx1 | tr -d ' \\n'; echo; done",
    "python3 -c 'import json; print(json.dumps({\"a\": open(\"/etc/canary/all\").read()}))'",
    "python3 -c 'import html,urllib.parse as u\nfor line in open(\"/etc/canary/all\").read().split(\"\\n\")[:3]: print(html.escape(line), u.quote(line), u.quote_plus(line), repr(line))'",
    "head -n 1 /etc/canary/all | fold -w 7; grep --color=always . /etc/canary/all; sed 's/./&\\x1b[1m/g' /etc/canary/all",
    "set -x; while IFS= read -r line; do : \"$line\"; done </etc/canary/all",
    "head -c 3000000 /dev/zero | tr '\\0' 'x'; head -n 3 /etc/canary/all; printf '\\033]0;title\\007\\033[2J\\377\\n'",
];

#[test]
#[ignore = "needs docker and minutes: make lab-test"]
fn secrets_stay_secret_and_rotate_alone() {
    let lab = Project::new(LAB, "10.94");
    assert!(lab.poclab(&["rehearse", "up"]).status.success());
    let watches: Vec<Watch> = HOSTS.iter().map(|host| Watch::start(host, &lab.container(host))).collect();
    let mut known = give_secrets_everywhere(&lab);
    known.learn(&lab);
    nothing_shows_in_any_run(&lab, &known);
    a_rotated_login_changes_its_file_alone(&lab, &mut known);
    a_certificate_at_its_end_is_issued_again_alone(&lab, &mut known);
    a_new_ca_reaches_everybody_who_trusts_it(&lab, &mut known);
    nothing_is_left_anywhere(&lab, &known, watches);
}

/// Every place in which a user can put a secret.
fn give_secrets_everywhere(lab: &Project) -> Known {
    let state = lab.folder().join(".poclab").join(LAB);
    // poclab's own copy of roles and templates, with one more role.
    for folder in ["roles", "templates"] {
        std::fs::remove_file(lab.folder().join(folder)).unwrap();
        let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        assert!(Command::new("cp").arg("-r").arg(from).arg(lab.folder().join(folder)).status().unwrap().success());
    }
    std::fs::create_dir(lab.folder().join("roles/canary")).unwrap();
    std::fs::write(lab.folder().join("roles/canary/role.yml"), CANARY).unwrap();
    lab.edit_inventory("  gitlab: {hosts: [gitlab]}", "  gitlab: {hosts: [gitlab]}\n  canary: {hosts: [deploy], roles: [canary]}");
    // deploy lets nobody in by this key: the password is used. The key for registry has a passphrase. gitlab's sudo asks.
    lab.edit_inventory("    address: 10.94.0.11", "    address: 10.94.0.11\n    ssh: {key: .poclab/secrettest/unknown, password: true}");
    lab.edit_inventory("    address: 10.94.0.13", "    address: 10.94.0.13\n    ssh: {key: .poclab/secrettest/locked}");
    lab.edit_inventory("    address: 10.94.0.14", "    address: 10.94.0.14\n    ssh: {sudo: password}");
    let passphrase = "pass \"phrase\" of a key";
    let keygen = |args: &[&str], file: &str| {
        assert!(Command::new("ssh-keygen").args(args).arg(state.join(file)).stdout(Stdio::null()).status().unwrap().success());
    };
    keygen(&["-q", "-t", "ed25519", "-N", "", "-f"], "unknown");
    std::fs::copy(state.join("id_ed25519"), state.join("locked")).unwrap();
    keygen(&["-p", "-P", "", "-N", passphrase, "-f"], "locked");
    let (ssh_password, sudo_password) = ("l0gin <of> ops & co", "sud0 it's \\ $HOME");
    for (host, password) in [("deploy", ssh_password), ("gitlab", sudo_password)] {
        let done = piped(Command::new("docker").args(["exec", "-i", &lab.container(host), "chpasswd"]), &format!("ops:{password}\n"));
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    lab.on("gitlab", "echo 'ops ALL=(ALL) ALL' >/etc/sudoers.d/ops && chmod 440 /etc/sudoers.d/ops");
    for (name, value) in [
        ("ssh_password_deploy", ssh_password),
        ("ssh_key_passphrase_registry", passphrase),
        ("sudo_password_gitlab", sudo_password),
        ("canary_key", "K3y: it's \"<quoted>\" & 100% a/b\\c ü"),
    ] {
        let set = piped(&mut lab.command(&["secrets", "set", name]), value);
        assert!(set.status.success(), "{name}: {}", String::from_utf8_lossy(&set.stderr));
    }
    let mut known = Known::default();
    let of_app = std::fs::read_to_string(state.join("sudo-password-app")).unwrap();
    known.add("the file sudo-password-app", of_app.trim());
    known
}

fn nothing_shows_in_any_run(lab: &Project, known: &Known) {
    let shown = "shown={{ secrets.canary_key.password }} on the command line";
    for words in ["plan -v", "bootstrap -v --format json --check registry"] {
        let mut words: Vec<&str> = words.split(' ').collect();
        words.extend(["--set", shown]);
        let output = lab.poclab_quietly(&words);
        assert!([0, 2].contains(&output.status.code().unwrap()), "{words:?}: {}", known.clean(&output));
        known.not_in(&format!("{words:?}"), &output.stdout);
        known.not_in(&format!("{words:?}"), &output.stderr);
    }
    let all = lab.on("deploy", "cat /etc/canary/all");
    assert!(all.contains("K3y: it's") && all.contains("ü on the command line"), "it is where it belongs");
    // Failure: the step's output is shown, its secrets are not.
    for (number, spill) in SPILLS.iter().enumerate() {
        let written = piped(Command::new("docker").args(["exec", "-i", &lab.container("deploy"), "tee", "/etc/canary/spill"]), spill);
        assert!(written.status.success());
        let format = ["text", "json", "junit"][number % 3];
        let output = lab.poclab_quietly(&["bootstrap", "-v", "--host", "deploy", "--role", "canary", "--format", format, "--set", shown]);
        assert_eq!(output.status.code(), Some(1), "{spill}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("canary sings") && text.contains("[secret canary_"), "{spill}: it was printed: {}", known.clean(&output));
        let hostile = |c: char| c.is_control() && c != '\n' && c != '\t';
        assert!(!text.contains(hostile), "{spill}: control characters");
        known.not_in(spill, text.as_bytes());
    }
    lab.on("deploy", "rm /etc/canary/spill");
    for words in [
        "plan -v --format junit",
        "verify -v --check registry",
        "status",
        "status --format json",
        "secrets list",
        "validate",
        "observe deploy",
        "observe registry",
    ] {
        let mut words: Vec<&str> = words.split(' ').collect();
        words.extend(["--set", shown]);
        let output = lab.poclab_quietly(&words);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", known.clean(&output));
        known.not_in(&format!("{words:?}"), &output.stdout);
        known.not_in(&format!("{words:?}"), &output.stderr);
    }
    assert_eq!(lab.poclab(&["bootstrap", "--check", "selinux_enforcing"]).status.code(), Some(0));
}

/// What the registry answers to somebody on this machine. The login goes by stdin: it is a secret here, too.
fn answers(lab: &Project, user: &str, password: &str) -> String {
    let ca = lab.folder().join("ca.pem");
    std::fs::write(&ca, field(lab, "ca", "certificate")).unwrap();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-K", "-", "--resolve", "registry.lab.example:5000:10.94.0.13", "--cacert"]);
    let answer = piped(curl.arg(ca).arg("https://registry.lab.example:5000/v2/"), &format!("user = \"{user}:{password}\"\n"));
    String::from_utf8(answer.stdout).unwrap() + &String::from_utf8_lossy(&answer.stderr)
}

fn field(lab: &Project, name: &str, field: &str) -> String {
    let output = lab.poclab_quietly(&["secrets", "show", name, "--field", field]);
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Plans, then does it: both change exactly this. Returns the plan's events.
fn changes_exactly(lab: &Project, expected: &[&str]) -> Vec<serde_json::Value> {
    let (exit, planned) = lab.events(&["plan"]);
    assert_eq!((exit, changes(&planned)), (2, set(expected)));
    // The registry is asked by the test itself.
    let (exit, events) = lab.events(&["bootstrap", "--check", "selinux_enforcing"]);
    assert_eq!((exit, changes(&events)), (0, set(expected)));
    planned
}

fn a_rotated_login_changes_its_file_alone(lab: &Project, known: &mut Known) {
    let (old, pull) = (field(lab, "registry_push", "password"), field(lab, "registry_pull", "password"));
    assert_eq!((answers(lab, "push", &old).as_str(), answers(lab, "pull", &pull).as_str()), ("200", "401"));
    assert!(lab.poclab(&["secrets", "rotate", "registry_push"]).status.success());
    known.learn(lab);
    let new = field(lab, "registry_push", "password");
    assert_eq!((answers(lab, "push", &old).as_str(), answers(lab, "push", &new).as_str()), ("200", "401"), "not before the bootstrap");
    let pull_file = lab.on("registry", "stat -c '%i %Y %Z' /srv/registry/auth/htpasswd-pull");
    changes_exactly(lab, &["registry: file /srv/registry/auth/htpasswd"]);
    assert_eq!((answers(lab, "push", &old).as_str(), answers(lab, "push", &new).as_str()), ("401", "200"));
    assert_eq!(field(lab, "registry_pull", "password"), pull);
    assert_eq!(lab.on("registry", "stat -c '%i %Y %Z' /srv/registry/auth/htpasswd-pull"), pull_file, "not even touched");
}

/// The last day of the certificate that the registry shows.
fn served_until() -> String {
    let served = Command::new("openssl")
        .args(["s_client", "-connect", "10.94.0.13:5000", "-servername", "registry.lab.example"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let end = piped(
        Command::new("openssl").args(["x509", "-noout", "-enddate", "-dateopt", "iso_8601"]),
        &String::from_utf8_lossy(&served.stdout),
    );
    let text = String::from_utf8(end.stdout).unwrap();
    text.trim().trim_start_matches("notAfter=").split(' ').next().unwrap().to_owned()
}

fn a_certificate_at_its_end_is_issued_again_alone(lab: &Project, known: &mut Known) {
    let role = lab.folder().join("roles/registry/role.yml");
    let old = std::fs::read_to_string(&role).unwrap();
    let short = old.replace(r#"addresses: ["{{ host.address }}"]}"#, r#"addresses: ["{{ host.address }}"], days: 25}"#);
    assert_ne!(short, old);
    let both = ["registry: file /srv/registry/certs/registry.crt", "registry: file /srv/registry/certs/registry.key"];
    let day = |days: i64| (time::OffsetDateTime::now_utc() + time::Duration::days(days)).date().to_string();
    let reason = |planned: &[serde_json::Value]| {
        let change = of_kind(planned, "change").into_iter().find(|event| event["resource"] == "file /srv/registry/certs/registry.crt");
        change.unwrap()["reasons"].to_string()
    };

    // A role that wants short ones gets a short one.
    std::fs::write(&role, short).unwrap();
    let planned = changes_exactly(lab, &both);
    known.learn(lab);
    assert!(reason(&planned).contains(&format!("ends on {}, want one that ends on {}", day(825), day(25))), "{}", reason(&planned));
    assert_eq!(served_until(), day(25));

    // With the default validity less than thirty days are the end.
    std::fs::write(&role, old).unwrap();
    let output = lab.poclab(&["plan"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let note = format!("10.94.0.13 ends on {}: issued again, until {}", day(25), day(825));
    assert!(said.contains(&note), "{note:?} in {said}");
    let planned = changes_exactly(lab, &both);
    known.learn(lab);
    assert!(reason(&planned).contains(&format!("ends on {}, want one that ends on {}", day(25), day(825))), "{}", reason(&planned));
    assert_eq!(served_until(), day(825));
    assert_eq!(answers(lab, "push", &field(lab, "registry_push", "password")), "200");
}

fn a_new_ca_reaches_everybody_who_trusts_it(lab: &Project, known: &mut Known) {
    assert!(lab.poclab(&["secrets", "rotate", "ca"]).status.success());
    known.learn(lab);
    let mut expected: Vec<String> =
        HOSTS.iter().map(|host| format!("{host}: file /etc/pki/ca-trust/source/anchors/poclab-{LAB}-ca.pem")).collect();
    for host in ["deploy", "app", "registry"] {
        expected.extend([5000, 5443].map(|port| format!("{host}: file /etc/docker/certs.d/registry.lab.example:{port}/ca.crt")));
    }
    expected.extend(["crt", "key"].map(|end| format!("registry: file /srv/registry/certs/registry.{end}")));
    // It has a certificate of its own.
    expected.push("deploy: file /etc/canary/all".to_owned());
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    changes_exactly(lab, &expected);
    known.learn(lab);
    assert_eq!(answers(lab, "push", &field(lab, "registry_push", "password")), "200", "by the new CA alone");
}

fn nothing_is_left_anywhere(lab: &Project, known: &Known, watches: Vec<Watch>) {
    for watch in watches {
        let (host, seen) = watch.finish();
        known.not_in(&format!("arguments and environments of {host}'s processes"), &seen);
    }
    for host in HOSTS {
        for (what, command) in [
            ("the journal", "journalctl --no-pager -q -o verbose"),
            ("logs", "find /var/log -type f ! -name '*.journal' -exec cat {} +"),
            ("poclab's own files", "find /var/lib/poclab -type f -exec cat {} +"),
            ("left-over files", "find /tmp /var/tmp /run/poclab* /root /home -type f -exec cat {} + 2>/dev/null || true"),
            (
                "containers",
                "if command -v docker >/dev/null; then docker ps -aq | xargs -r docker inspect; docker ps -aq | xargs -r -n 1 docker logs 2>&1; fi",
            ),
        ] {
            let printed = Command::new("docker").args(["exec", &lab.container(host), "sh", "-c", command]).output().unwrap();
            assert!(printed.status.success(), "{host}: {what}: {}", String::from_utf8_lossy(&printed.stderr));
            known.not_in(&format!("{what} of {host}"), &printed.stdout);
        }
    }
    // This machine's side: logs of runs, state, everything but the identity and the password file.
    let state = lab.folder().join(".poclab").join(LAB);
    let files = Command::new("find").arg(&state).args(["-type", "f"]).output().unwrap();
    let mut logs = 0;
    for file in String::from_utf8(files.stdout).unwrap().lines().filter(|file| !file.ends_with("/sudo-password-app")) {
        known.not_in(file, &std::fs::read(file).unwrap());
        logs += usize::from(file.contains("/runs/") && file.ends_with(".jsonl"));
    }
    assert!(logs > 10, "{logs} logs");
}

/// Runs a command with this on its stdin.
fn piped(command: &mut Command, stdin: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}
