//! Points in time as people and files see them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Now, RFC 3339 in UTC, to the second: `2026-11-21T10:01:01Z`.
pub fn now() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn to_the_second() {
        assert_eq!(super::now().len(), "2026-11-21T10:01:01Z".len());
    }
}
