//! The values that must not be seen, and how they would look. On purpose not the product's own list.

use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::container_lab::Project;

/// Known secrets.
#[derive(Default)]
pub struct Known {
    /// Name and needle.
    needles: Vec<(String, Vec<u8>)>,
}

impl Known {
    /// Every value that the lab has now. Those of before stay known.
    pub fn learn(&mut self, lab: &Project) {
        let listed = lab.poclab_quietly(&["secrets", "list"]);
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        let text = String::from_utf8(listed.stdout).unwrap();
        let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split("  ").filter(|cell| !cell.is_empty()).collect()).collect();
        assert!(rows.len() >= 8, "{rows:?}");
        for row in rows {
            let fields: &[&str] = match row[1].trim() {
                "login" => &["password", "htpasswd"],
                "value" => &["value"],
                "certificate" | "ca" => &["key"],
                other => panic!("{other}"),
            };
            for field in fields {
                let shown = lab.poclab_quietly(&["secrets", "show", row[0], "--field", field]);
                assert!(shown.status.success(), "{row:?}");
                self.add(row[0], String::from_utf8(shown.stdout).unwrap().trim());
            }
        }
    }

    /// One value; of several lines each.
    pub fn add(&mut self, name: &str, value: &str) {
        assert!(value.len() > 5, "{name}");
        for line in value.lines().filter(|line| line.len() > 5 && !line.starts_with("-----")) {
            let mut add = |needle: &str| {
                let needle = (name.to_owned(), needle.as_bytes().to_vec());
                if !self.needles.contains(&needle) {
                    self.needles.push(needle);
                }
            };
            add(line);
            add(serde_json::to_string(line).unwrap().trim_matches('"'));
            add(&line.replace('\'', "'\\''"));
            add(&line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
            let hex: String = line.bytes().map(|byte| format!("{byte:02x}")).collect();
            add(&hex);
            for before in 0..3 {
                let bytes = [&vec![b'x'; before][..], line.as_bytes()].concat();
                for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                    let whole = engine.encode(&bytes);
                    // Without what the bytes before and behind have a part in.
                    add(&whole[[0, 2, 3][before]..whole.len() - 2]);
                }
            }
            // Half of it is bad enough.
            if line.len() >= 20 && line.is_ascii() {
                add(&line[..line.len() / 2]);
                add(&line[line.len() / 2..]);
            }
        }
    }

    /// Fails without printing what it found.
    pub fn not_in(&self, place: &str, bytes: &[u8]) {
        // Broken over lines it is still there.
        let squeezed: Vec<u8> = bytes.iter().copied().filter(|b| !b"\r\n".contains(b)).collect();
        for (name, needle) in &self.needles {
            let found = [bytes, &squeezed].into_iter().any(|text| memchr::memmem::find(text, needle).is_some());
            assert!(!found, "the secret {name} is in {place}");
        }
    }

    /// What a run printed, for messages: nothing if it holds a secret.
    pub fn clean(&self, output: &Output) -> String {
        self.not_in("what the test wanted to show", &output.stdout);
        self.not_in("what the test wanted to show", &output.stderr);
        format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }
}
