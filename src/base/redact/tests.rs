use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

fn knows(value: &str) -> Redactor {
    let mut redactor = Redactor::new();
    redactor.learn("root", &Secret::new(value));
    redactor
}

#[test]
fn replaces_values_and_lines_of_values() {
    let mut redactor = knows("hunter22");
    redactor.learn("key", &Secret::new("-----BEGIN KEY-----\nAAAABBBB\n-----END KEY-----\n"));
    assert_eq!(redactor.redact("pw=hunter22;"), "pw=[secret root];");
    assert_eq!(redactor.redact("line AAAABBBB"), "line [secret key]");
    assert_eq!(redactor.redact("-----BEGIN KEY-----"), "-----BEGIN KEY-----");
    assert!(!format!("{redactor:?}").contains("hunter22"));
    assert_eq!(Redactor::new().redact("hunter22"), "hunter22");
}

#[test]
fn the_longest_secret_disappears_whole() {
    let mut redactor = knows("hunter22");
    redactor.learn("long", &Secret::new("hunter22-and-more"));
    redactor.learn("short", &Secret::new("abc"));
    assert_eq!(redactor.redact("hunter22-and-more hunter22 abc"), "[secret long] [secret root] abc");
}

#[test]
fn values_are_found_broken_coloured_or_with_something_invisible() {
    let redactor = knows("hunter22Hunter");
    for hidden in [
        "hunter22\nHunter",
        "hun\r\nter22Hunter",
        "h\x1bunter22Hunter",
        "hun\x1b[01;31m\x1b[Kter\x1b[m22Hunter",
        "hun\u{200b}ter\u{202e}22\u{9b}Hunter",
        "hunter2\x002\x08Hunter",
    ] {
        assert_eq!(redactor.redact(&format!("a {hidden} b")), "a [secret root] b", "{hidden:?}");
    }
    assert_eq!(redactor.redact("a\n\x1b[31mb\r\n"), "a\n\x1b[31mb\r\n", "nothing else is touched");
}

/// Values with everything that some encoding treats in its own way, as real tools print them.
#[test]
fn what_tools_make_of_a_value_is_found() {
    let value = "it's \"<b>\" & a/b\\c%ü=+$x~";
    let redactor = knows(value);
    let shell = |script: &str| {
        let out = std::process::Command::new("bash").args(["-c", script, "bash", value]).env("LC_ALL", "C.UTF-8").output().unwrap();
        assert!(out.status.success(), "{script}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    for script in [
        "printf '%s' \"$1\"",
        "printf 'user:%s\\n' \"$1\" | base64",
        "printf 'longer-user:%s and what follows' \"$1\" | base64 -w0",
        "printf 'x%s' \"$1\" | base64 -w 5",
        "printf '%s' \"$1\" | od -An -v -tx1 | tr -d ' '",
        "printf '%s' \"$1\" | od -An -v -tx1 | tr -d ' \\n' | tr a-f A-F",
        "printf '%q' \"$1\"",
        "(set -x; : \"$1\") 2>&1",
        "dash -c 'set -x; : \"$1\"' sh \"$1\" 2>&1",
        "python3 -c 'import urllib.parse as u,sys; print(u.quote(sys.argv[1]))' \"$1\"",
        "python3 -c 'import sys; print(repr(sys.argv[1]))' \"$1\"",
        "printf '%s' \"$1\" | fold -b -w 7 | iconv -c -t UTF-8",
        "python3 -c 'import json,sys; print(json.dumps(sys.argv[1]))' \"$1\"",
        "python3 -c 'import json,sys; print(json.dumps(json.dumps(sys.argv[1], ensure_ascii=False), ensure_ascii=False))' \"$1\"",
        "python3 -c 'import html,sys; print(html.escape(sys.argv[1]))' \"$1\"",
        "python3 -c 'import xml.sax.saxutils as x,sys; print(x.escape(sys.argv[1]))' \"$1\"",
        "python3 -c 'import urllib.parse as u,sys; print(u.quote(sys.argv[1], safe=\"\"), u.quote_plus(sys.argv[1]), u.quote(sys.argv[1], safe=\"\").lower())' \"$1\" | head -c 70",
    ] {
        let printed = shell(script);
        let clean = redactor.redact(&printed);
        assert!(clean.contains("[secret root]"), "{script}: {printed}");
        assert!(!clean.contains("a/b") && !clean.contains("a%2Fb") && !clean.contains("a\\/b"), "{script}: {clean}");
    }
    assert_eq!(redactor.redact(&crate::base::quote(value)), "'[secret root]'");
    assert_eq!(redactor.redact(&serde_json::to_string(&[value]).unwrap()), "[\"[secret root]\"]");
}

#[test]
fn ordinary_texts_stay() {
    let redactor = knows("abcd");
    for text in ["YW", "ab cd", "6162", "abc", "Grüße, 世界\n\ttab"] {
        assert_eq!(redactor.redact(text), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_value_survives(value in "[ -~äß世]{6,30}", before in "[a-z=:\n ]{0,20}", after in "[a-z\n ]{0,20}") {
        let redactor = knows(&value);
        let trimmed = value.trim_end_matches('\n');
        let encoded = STANDARD.encode(format!("{before}{value}{after}"));
        let json = serde_json::to_string(&format!("{before}{value}{after}")).unwrap();
        for text in [format!("{before}{value}{after}"), encoded, json, format!("{before}{}{after}", crate::base::quote(&value))] {
            let clean = redactor.redact(&text);
            prop_assert!(clean.contains("[secret root]"), "{} in {}", value, text);
            prop_assert!(!clean.contains(trimmed) || "[secret root]".contains(trimmed));
        }
    }

    #[test]
    fn any_text_is_cut_at_characters(text in any::<String>()) {
        let _ = knows("hunter22").redact(&text);
        prop_assert_eq!(Redactor::new().redact(&text), text);
    }
}
