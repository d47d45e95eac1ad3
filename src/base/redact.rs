//! The one redactor that every output passes.

mod forms;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use aho_corasick::{AhoCorasick, MatchKind};

use crate::base::{Secret, is_hostile};

/// Replaces known secret values in a text by `[secret NAME]`: as they are, in the encodings that tools print (see
/// `redact/forms.rs`), broken over lines, coloured, or with invisible characters in between.
///
/// Values shorter than 4 characters are not replaced: they would hide ordinary words.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Every form of every value, squeezed, and the name of its secret.
    known: Vec<(Secret, String)>,
    /// The same forms, to tell what is known already.
    forms: HashSet<Secret>,
    /// Finds them; made when it is first needed, once for all clones.
    finder: Arc<OnceLock<Option<AhoCorasick>>>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Redactor {
    /// Shortest value that is replaced, in characters.
    pub const MIN_LEN: usize = 4;

    /// A redactor that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a secret known under a name. A value of several lines is also known line by line.
    pub fn learn(&mut self, name: &str, value: &Secret) {
        let whole = value.expose().trim_end_matches('\n');
        let lines = whole.lines().filter(|line| !line.starts_with("-----"));
        for part in std::iter::once(whole).chain(lines).filter(|part| part.chars().count() >= Self::MIN_LEN) {
            // Encodings of many lines hold those of each line.
            let forms = if part.contains('\n') { [part.to_owned()].into() } else { forms::of(part) };
            for form in forms {
                let (bare, _) = squeeze(&form);
                // Squeezing removes whole characters.
                let bare = Secret::new(String::from_utf8_lossy(&bare));
                if bare.expose().len() >= Self::MIN_LEN && self.forms.insert(bare.clone()) {
                    self.known.push((bare, name.to_owned()));
                }
            }
        }
        self.finder = Arc::default();
    }

    /// The text without any known secret.
    pub fn redact(&self, text: &str) -> String {
        let Some(finder) = self.finder.get_or_init(|| self.finder()) else { return text.to_owned() };
        let (bare, places) = squeeze(text);
        let mut clean = String::with_capacity(text.len());
        let mut done = 0;
        for found in finder.find_iter(&bare) {
            // All forms are whole characters, so these are their first and last bytes.
            let (start, end) = (places[found.start()], places[found.end() - 1] + 1);
            clean.push_str(&text[done..start]);
            clean.push_str("[secret ");
            clean.push_str(&self.known[found.pattern().as_usize()].1);
            clean.push(']');
            done = end;
        }
        clean.push_str(&text[done..]);
        clean
    }

    fn finder(&self) -> Option<AhoCorasick> {
        if self.known.is_empty() {
            return None;
        }
        // The longest, so that a secret that contains another one disappears as a whole.
        let patterns = self.known.iter().map(|(value, _)| value.expose());
        #[expect(clippy::expect_used, reason = "without a redactor nothing may be printed")]
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns).expect("the secrets fit into 2 GB");
        Some(finder)
    }
}

/// A text without what may come between the characters of a value (line breaks, invisible characters, colours), and for
/// each byte its place in the text.
fn squeeze(text: &str) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = Vec::with_capacity(text.len());
    let mut places = Vec::with_capacity(text.len());
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\x1b' && chars.next_if(|(_, c)| *c == '[').is_some() {
            // A control sequence: parameters up to a final byte (ECMA-48, 5.4).
            while chars.next_if(|(_, c)| ('\x20'..='\x3f').contains(c)).is_some() {}
            let _ = chars.next_if(|(_, c)| ('\x40'..='\x7e').contains(c));
        } else if c != '\n' && !is_hostile(c) {
            let mut buffer = [0; 4];
            for (offset, byte) in c.encode_utf8(&mut buffer).bytes().enumerate() {
                bytes.push(byte);
                places.push(at + offset);
            }
        }
    }
    (bytes, places)
}

#[cfg(test)]
mod tests;
