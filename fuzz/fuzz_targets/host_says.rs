//! The first byte chooses who reads, the others are what the host says.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use poclab::hostile::{Parser, parsers};

static PARSERS: OnceLock<Vec<Parser>> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    if let Some((first, said)) = data.split_first() {
        let parsers = PARSERS.get_or_init(parsers);
        (parsers[usize::from(*first) % parsers.len()].read)(said);
    }
});
