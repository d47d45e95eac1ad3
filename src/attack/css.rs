//! CSS selectors over XML, as far as attack files use them: names, attributes, descendants and children.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// `ports port[portid="80"] > state[state="open"]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selector {
    text: String,
    /// From the outermost to the element that is meant.
    parts: Vec<Part>,
}

/// One element of a selector.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Part {
    /// Whether the part before it must be its parent, not just around it.
    child: bool,
    /// `None`: any.
    name: Option<String>,
    /// Attributes; `None`: with any value.
    attributes: Vec<(String, Option<String>)>,
}

/// An element.
#[derive(Debug, Default)]
struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
}

impl Selector {
    /// Reads a selector. `Err`: what is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no selector that is understood here: write names, [attribute=\"value\"], blanks and >");
        let mut parts: Vec<Part> = Vec::new();
        let mut child = false;
        for word in words(text) {
            if word == ">" {
                if parts.is_empty() || child {
                    return Err(wrong());
                }
                child = true;
                continue;
            }
            let mut part = part(&word).ok_or_else(wrong)?;
            part.child = std::mem::take(&mut child);
            parts.push(part);
        }
        if parts.is_empty() || child {
            return Err(wrong());
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the selector means the innermost of these elements, each within the one before.
    fn means(&self, path: &[Element]) -> bool {
        let (Some(last), Some((element, around))) = (self.parts.last(), path.split_last()) else { return false };
        last.is(element) && self.around(self.parts.len() - 1, around)
    }

    /// Whether the parts before `at` are found around an element.
    fn around(&self, at: usize, path: &[Element]) -> bool {
        let Some(before) = at.checked_sub(1) else { return true };
        let part = &self.parts[before];
        let places = if self.parts[at].child { path.len().saturating_sub(1)..path.len() } else { 0..path.len() };
        places.rev().any(|place| part.is(&path[place]) && self.around(before, &path[..place]))
    }
}

impl Part {
    fn is(&self, element: &Element) -> bool {
        self.name.as_ref().is_none_or(|name| *name == element.name)
            && self.attributes.iter().all(|(name, wanted)| {
                element.attributes.get(name).is_some_and(|value| wanted.as_ref().is_none_or(|wanted| wanted == value))
            })
    }
}

/// Split at blanks outside of brackets; `>` is a word of its own.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut inside) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        inside = (inside || c == '[') && c != ']';
        if !inside && (c.is_whitespace() || c == '>') {
            words.push(std::mem::take(&mut word));
            if c == '>' {
                words.push(">".to_owned());
            }
        } else {
            word.push(c);
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

fn part(word: &str) -> Option<Part> {
    let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-:".contains(c));
    let (name, mut rest) = word.split_at(word.find('[').unwrap_or(word.len()));
    let name = match name {
        "" | "*" => None,
        name if plain(name) => Some(name.to_owned()),
        _ => return None,
    };
    let mut attributes = Vec::new();
    while let Some(inner) = rest.strip_prefix('[') {
        let (attribute, after) = inner.split_once(']')?;
        let (key, value) = match attribute.split_once('=') {
            None => (attribute, None),
            Some((key, value)) => (key, Some(value.trim_matches(['"', '\'']).to_owned())),
        };
        if !plain(key) {
            return None;
        }
        attributes.push((key.to_owned(), value));
        rest = after;
    }
    (rest.is_empty() && !word.is_empty()).then_some(Part { child: false, name, attributes })
}

fn element(start: &BytesStart<'_>, reader: &Reader<&[u8]>) -> Result<Element, String> {
    let name = String::from_utf8_lossy(start.name().as_ref()).into_owned();
    let mut attributes = BTreeMap::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = attribute.decode_and_unescape_value(reader.decoder()).map_err(|error| error.to_string())?;
        attributes.insert(String::from_utf8_lossy(attribute.key.as_ref()).into_owned(), value.into_owned());
    }
    Ok(Element { name, attributes })
}

/// Which of the selectors mean something in this XML. `Err`: it is no whole XML document.
pub(super) fn found(xml: &str, selectors: &[Selector]) -> Result<Vec<bool>, String> {
    let mut reader = Reader::from_str(xml);
    let mut path: Vec<Element> = Vec::new();
    let mut found = vec![false; selectors.len()];
    let mut elements = 0;
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        match event {
            Event::Start(ref start) | Event::Empty(ref start) => {
                elements += 1;
                path.push(element(start, &reader)?);
                for (selector, found) in selectors.iter().zip(&mut found) {
                    *found |= selector.means(&path);
                }
                if matches!(event, Event::Empty(_)) {
                    path.pop();
                }
            }
            Event::End(_) => {
                path.pop();
            }
            Event::Eof if !path.is_empty() || elements == 0 => return Err("it ends too early".to_owned()),
            Event::Eof => return Ok(found),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written from nmap's documentation of its XML.
    const NMAP: &str = r#"<?xml version="1.0"?><!DOCTYPE nmaprun>
<nmaprun><host><ports><extraports state="filtered" count="2"/>
<port protocol="tcp" portid="80"><state state="open" reason="syn-ack"/></port>
<port protocol="tcp" portid="443"><state state="closed"/></port></ports></host></nmaprun>"#;

    fn is_there(selector: &str) -> bool {
        found(NMAP, &[Selector::parse(selector).unwrap()]).unwrap()[0]
    }

    #[test]
    fn elements_are_found_by_name_attribute_and_place() {
        for selector in [
            r#"ports port[protocol="tcp"][portid="80"] state[state="open"]"#,
            "nmaprun state",
            "port>state",
            "* > [portid=443]",
            "host ports > port[portid] > state[state='closed']",
        ] {
            assert!(is_there(selector), "{selector}");
        }
        for selector in [r#"port[portid="443"] state[state="open"]"#, "ports > state", "state port", "port[name]", r#"port[portid="8"]"#] {
            assert!(!is_there(selector), "{selector}");
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for wrong in ["", "> a", "a >", "a > > b", "a:not(b)", "a[x", "a.b", "a, b"] {
            assert!(Selector::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "nothing", "<a><b></a>", "<a>", "<a b=c/>"] {
            assert!(found(wrong, &[]).is_err(), "{wrong}");
        }
    }
}
