//! Hosts that print control sequences and poclab's own marks.

use crate::lab::{Lab, Ran};

const SEQUENCES: &str = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\u{9b}2J\u{202e}evil\r\x08\x00\x1e\x1f";

/// Nothing that a terminal would act on, in what was printed and in every text of every log.
fn tame(lab: &Lab, ran: &Ran) {
    let wild = |text: &str| text.contains(|c: char| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}');
    assert!(!wild(&ran.all()), "{ran}");
    fn texts(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::String(text) => found.push(text.clone()),
            serde_json::Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
            serde_json::Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
            _ => {}
        }
    }
    let mut said = Vec::new();
    if ran.stdout.starts_with('{') {
        let values = serde_json::Deserializer::from_str(&ran.stdout).into_iter::<serde_json::Value>();
        values.for_each(|value| texts(&value.unwrap(), &mut said));
    }
    for (file, log) in lab.logs() {
        if file.extension().is_some_and(|extension| extension == "html") {
            assert!(!wild(&log), "{}", file.display());
            continue;
        }
        log.lines().for_each(|line| texts(&serde_json::from_str(line).unwrap(), &mut said));
    }
    assert!(said.iter().all(|text| !wild(text)), "{said:?}");
}

#[test]
fn control_sequences_of_a_host_reach_nobody() {
    let lab = Lab::new();
    lab.write("hosts/web/etc/os-release", &format!("PRETTY_NAME=\"Linux {SEQUENCES}\"\n"));
    lab.write("hosts/db/down", &format!("go away {SEQUENCES}\n"));
    for words in ["plan --format text", "status", "status --format json", "plan -v --format junit", "bootstrap -v --format json"] {
        let ran = lab.poclab(words).exits(4);
        assert!(ran.all().contains("go away"), "{ran}");
        tame(&lab, &ran);
    }
    std::fs::remove_file(lab.path("hosts/db/down")).unwrap();
    std::fs::remove_file(lab.path("hosts/web/data")).unwrap();
    let wild = "printf '%b' '\\033]0;owned\\007\\033[2Jred\\0233\\377\\0000\\b\\r'; echo the step ran; false";
    lab.replace("roles/site/role.yml", "echo data >{{ root }}/data", &wild.replace('\\', "\\\\").replace("{{ root }}", ""));
    for format in ["text", "json", "junit"] {
        let ran = lab.poclab(&format!("bootstrap -v --format {format}")).exits(1);
        assert!(ran.all().contains("the step ran") && ran.all().contains("x1b]0;owned"), "{ran}");
        tame(&lab, &ran);
    }
}

/// Only the shell itself can print them: a role's handler runs in it.
#[test]
fn marks_out_of_order_fail_the_role_and_are_never_believed() {
    for forged in [
        "poclab_end s0 0",
        "poclab_begin facts; echo system=forged; poclab_end facts 0",
        "poclab_begin s99",
        "printf '\\036%s:' \"$poclab_n\"",
    ] {
        let lab = Lab::new();
        lab.replace("roles/site/role.yml", "echo restarted >>{{ root }}/restarts", &forged.replace('\\', "\\\\").replace('"', "\\\""));
        let ran = lab.poclab("bootstrap --format json").exits(1);
        let failed: Vec<_> = ran.events().into_iter().filter(|event| event["event"] == "role_failed").collect();
        assert_eq!(failed.len(), 1, "{forged}: {ran}");
        assert!(failed[0]["error"].as_str().unwrap().contains("was not understood, and nothing of it was used"), "{forged}: {failed:?}");
        // The right role makes it good.
        lab.replace("roles/site/role.yml", &forged.replace('\\', "\\\\").replace('"', "\\\""), "echo restarted >>{{ root }}/restarts");
        lab.poclab("bootstrap").exits(0);
    }
}

/// A command runs in a shell of its own, which knows nothing of the marks: whatever it prints is its output.
#[test]
fn marks_of_a_command_are_its_output() {
    let lab = Lab::new();
    let print =
        "printf '%b' '\\\\0036abc:s0:0\\\\0037'; set; ps -efww; cat /proc/$$/cmdline /proc/$PPID/cmdline; echo data >{{ root }}/data";
    lab.replace("roles/site/role.yml", "echo data >{{ root }}/data", &print.replace('"', "\\\""));
    let text = lab.read("roles/site/role.yml");
    assert!(text.contains("$PPID"));
    lab.poclab("bootstrap").exits(0);
    assert_eq!(lab.read("hosts/web/data"), "data\n");
}
