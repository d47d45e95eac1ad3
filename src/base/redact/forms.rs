//! The forms in which tools print a value.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a URL may hold as it is besides letters and digits differs by tool: RFC 3986's unreserved characters; the same with `/`
/// (Python); JavaScript's encodeURIComponent and encodeURI; what browsers leave in a path; nothing.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');
const COMPONENT: &AsciiSet = &UNRESERVED.remove(b'!').remove(b'*').remove(b'\'').remove(b'(').remove(b')');
const URI: &AsciiSet = &COMPONENT
    .remove(b';')
    .remove(b',')
    .remove(b'/')
    .remove(b'?')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b'#');
const LAX: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}').add(b'%');
const URLS: [&AsciiSet; 6] = [UNRESERVED, PATH, COMPONENT, URI, LAX, NON_ALPHANUMERIC];

/// Shorter pieces of Base64 would hide ordinary words.
const MIN_BASE64: usize = 6;

/// The value itself and its encodings, without repetitions.
pub(super) fn of(value: &str) -> BTreeSet<String> {
    let json = json(value);
    let mut forms: BTreeSet<String> = [
        value.to_owned(),
        // JSON; with / escaped (PHP), in ASCII (Python); JSON within JSON.
        json.replace('/', "\\/"),
        ascii(&json),
        self::json(&json),
        // Shells: quoted (ours and bash's), as dash's `set -x` shows it, and as `printf %q` writes it.
        value.replace('\'', "'\\''"),
        value.replace('\'', "'\"'\"'"),
        backslashes(value),
        // Python's repr and the like.
        value.replace('\\', "\\\\").replace('\'', "\\'"),
        // XML and HTML.
        markup(value, "&quot;", "&apos;"),
        markup(value, "&quot;", "&#39;"),
        markup(value, "&#34;", "&#39;"),
        markup(value, "&quot;", "&#x27;"),
        markup(value, "\"", "'"),
        // YAML's and SQL's quotes.
        value.replace('\'', "''"),
        // Hexadecimal.
        value.bytes().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }),
    ]
    .into();
    forms.insert(json);
    let hex = value.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02X}");
        hex
    });
    forms.insert(hex);
    for set in URLS {
        let percent = utf8_percent_encode(value, set).to_string();
        forms.insert(percent.replace("%20", "+"));
        forms.insert(lower(&percent));
        forms.insert(percent);
    }
    forms.extend(base64(value));
    forms
}

/// As in a JSON string.
fn json(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// JSON in ASCII only.
fn ascii(json: &str) -> String {
    json.chars().fold(String::new(), |mut text, c| {
        if c.is_ascii() {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
        text
    })
}

fn backslashes(value: &str) -> String {
    // A `~` or `#` means something at the beginning of a word only.
    let plain = |at: usize, c: char| c.is_alphanumeric() || "_-./:@%+,=".contains(c) || (at > 0 && "~#".contains(c));
    value.char_indices().flat_map(|(at, c)| (!plain(at, c)).then_some('\\').into_iter().chain([c])).collect()
}

fn markup(value: &str, double: &str, single: &str) -> String {
    value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', double).replace('\'', single)
}

/// Percent-encoding with lower-case digits.
fn lower(percent: &str) -> String {
    let mut left = 0;
    let letter = |c: char| {
        if c == '%' {
            left = 2;
            return c;
        }
        let digit = left > 0;
        left -= usize::from(digit);
        if digit { c.to_ascii_lowercase() } else { c }
    };
    percent.chars().map(letter).collect()
}

/// What of Base64 depends on this value alone, wherever in the encoded bytes it begins.
fn base64(value: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let bytes = [&vec![0; before][..], value.as_bytes()].concat();
        // Characters at the edges also depend on what comes before and behind.
        let (skip, partial) = ([0, 2, 3][before], usize::from(bytes.len() % 3 != 0));
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let whole = engine.encode(&bytes);
            let core = &whole[skip..whole.len() - partial];
            if core.len() >= MIN_BASE64 {
                forms.push(core.to_owned());
            }
        }
    }
    forms
}
