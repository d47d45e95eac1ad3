//! What all stand-ins share: a state file, an HTTP server, moments, random values.

pub mod http;
pub mod store;
pub mod tls;

use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// `2026-11-21T15:00:00.000Z`
const MOMENT: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
/// `2026-11-21`
const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// A moment as products write it: UTC, milliseconds.
pub fn moment(at: OffsetDateTime) -> String {
    at.to_offset(time::UtcOffset::UTC).format(MOMENT).unwrap_or_default()
}

/// This moment.
pub fn now() -> String {
    moment(OffsetDateTime::now_utc())
}

/// A date.
pub fn date(at: OffsetDateTime) -> String {
    at.format(DATE).unwrap_or_default()
}

/// SHA-256 in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Random hexadecimal digits: two for each byte.
pub fn random(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    #[expect(clippy::expect_used, reason = "there is no way to go on without randomness")]
    getrandom::fill(&mut buffer).expect("the operating system gives random bytes");
    buffer.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A random version 4 UUID.
pub fn uuid() -> String {
    let hex = random(16);
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}
