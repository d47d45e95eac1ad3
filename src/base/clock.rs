//! Points in time as people and files see them.

use time::OffsetDateTime;
use time::UtcOffset;
use time::format_description::well_known::Rfc3339;

/// Now, RFC 3339 in UTC, to the second: `2026-11-21T10:01:01Z`.
pub fn now() -> String {
    rfc3339(OffsetDateTime::now_utc())
}

/// RFC 3339 in UTC, to the second.
pub fn rfc3339(at: OffsetDateTime) -> String {
    let at = at.checked_to_offset(UtcOffset::UTC).unwrap_or(at);
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_default()
}

/// A moment given as seconds since 1970, written as [`now`] does it.
pub fn moment(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH).format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    #[test]
    fn moments() {
        assert_eq!(super::moment(1_795_250_461), "2026-11-21T08:41:01Z");
    }

    #[test]
    fn to_the_second() {
        assert_eq!(super::now().len(), "2026-11-21T10:01:01Z".len());
        assert_eq!(super::rfc3339(datetime!(2026-11-21 12:01:01.5 +02:00)), "2026-11-21T10:01:01Z");
    }
}
