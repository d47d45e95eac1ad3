//! Answers about resources, as recorded from real hosts.

use serde::Deserialize;

use super::{NAMES, Reply, Spec};
use crate::hostile::{Parser, golden};

/// What tests/properties wrote down about one kind.
#[derive(Debug, Deserialize)]
pub(crate) struct Recorded {
    /// As roles write them.
    pub specs: Vec<serde_json::Value>,
    /// The answer of a host where all of them are in sync.
    pub in_sync: String,
    /// Answers after single damages.
    pub damaged: Vec<Damaged>,
}

/// One damage.
#[derive(Debug, Deserialize)]
pub(crate) struct Damaged {
    /// Which resource was damaged.
    pub of: usize,
    /// What is reported; `…` stands for anything.
    pub want: Vec<String>,
    /// The answer.
    pub reply: String,
}

impl Recorded {
    /// The recording of a kind.
    pub fn of(kind: &str) -> Self {
        serde_json::from_str(&golden(&format!("replies/{kind}.json"))).unwrap_or_else(|why| panic!("replies/{kind}.json: {why}"))
    }

    /// Its specs, read.
    pub fn read(&self, kind: &str) -> Vec<Spec> {
        let read = |value: &serde_json::Value| Spec::read(kind, value.clone()).and_then(Result::ok);
        self.specs.iter().map(|value| read(value).unwrap_or_else(|| panic!("{kind}: {value} is no spec"))).collect()
    }
}

pub(crate) fn parsers() -> Vec<Parser> {
    let parser = |kind: &&'static str| {
        let recorded = Recorded::of(kind);
        let specs = recorded.read(kind);
        let seeds: Vec<&str> =
            std::iter::once(&recorded.in_sync).chain(recorded.damaged.iter().map(|d| &d.reply)).map(String::as_str).collect();
        Parser::new("resource", kind, &seeds, move |bytes| {
            let specs: Vec<&Spec> = specs.iter().collect();
            let assessed = Spec::assess(&specs, &Reply { stdout: bytes.to_vec(), status: 0 });
            assert_eq!(assessed.len(), specs.len());
            // Most answers in a fuzzer have lost their end, and would never get further.
            let whole = [bytes, b"poclab: looked\n"].concat();
            assert_eq!(Spec::assess(&specs, &Reply { stdout: whole, status: 0 }).len(), specs.len());
        })
    };
    NAMES.iter().map(parser).collect()
}
