//! Everything that reads what a host sends back, by name, with good answers to start from. For tests and fuzzing only.
//!
//! Whatever a host sends: no panic, and no more time than a small multiple of its size.

use std::path::Path;

/// Reads an answer, and makes of it whatever would be made of it.
pub type Read = Box<dyn Fn(&[u8]) + Send + Sync>;

/// One reader of what a host sends.
pub struct Parser {
    /// Area and name, e.g. `resource file`.
    pub name: String,
    /// Good answers.
    pub seeds: Vec<Vec<u8>>,
    /// The reader itself.
    pub read: Read,
}

impl Parser {
    pub(crate) fn new(area: &str, name: &str, seeds: &[&str], read: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        let seeds = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
        Self { name: format!("{area} {name}"), seeds, read: Box::new(read) }
    }

    /// A reader of text: invalid UTF-8 becomes U+FFFD, as everywhere.
    pub(crate) fn text(area: &str, name: &str, seeds: &[&str], read: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self::new(area, name, seeds, move |bytes| read(&String::from_utf8_lossy(bytes)))
    }
}

/// All of them.
pub fn parsers() -> Vec<Parser> {
    let mut all = crate::resource::hostile::parsers();
    all.extend(crate::check::hostile::parsers());
    all.extend(crate::engine::hostile::parsers());
    all.extend(crate::scan::hostile::parsers());
    all.extend(crate::ssh::hostile::parsers());
    all.extend(crate::rehearsal::hostile::parsers());
    all
}

/// Text of a recording in tests/golden.
pub(crate) fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests;
