//! Whether a host's clock is right, from an exec that was made anyway.

use std::time::{SystemTime, UNIX_EPOCH};

/// The largest difference to this machine's clock that is not worth a warning, in seconds. (The check `time_sync` is far
/// stricter; this is about clocks so wrong that certificates, signatures and logs go wrong with them.)
pub const LIMIT: i64 = 60;

/// This machine's clock, in seconds since 1970.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().try_into().unwrap_or(i64::MAX))
}

/// How far a host's clock is off at least, in seconds (positive: it is ahead), if that is more than [`LIMIT`].
///
/// `asked` is this machine's clock before anything was sent, `heard` after everything had come back: the host read its own in
/// between. So a slow link only widens the interval, and can never make a right clock look wrong.
pub fn off(asked: i64, said: i64, heard: i64) -> Option<i64> {
    // `date +%s` and our own reading each cut off less than a second.
    let (ahead, behind) = (said - heard - 1, asked - said - 1);
    if ahead > LIMIT {
        Some(ahead)
    } else if behind > LIMIT {
        Some(-behind)
    } else {
        None
    }
}

/// What to say about it.
pub fn warning(off: i64) -> String {
    let way = if off > 0 { "ahead of" } else { "behind" };
    let by = match off.abs() {
        seconds @ 0..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    };
    format!(
        "its clock is at least {by} {way} this machine's: certificates can seem expired or not yet valid there (TLS downloads, image pulls); role base sets it with chrony; if it stays, see `chronyc sources` and run `chronyc makestep` there, and look at this machine's own clock when several hosts are off"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_is_noticed_and_a_slow_link_is_not_one() {
        assert_eq!(off(1000, 1000, 1001), None);
        assert_eq!(off(1000, 1001 + LIMIT, 1001), None);
        assert_eq!(off(1000, 1600, 1003), Some(596));
        assert_eq!(off(1000, 400, 1003), Some(-599));
        // The answer took ten minutes: the host may have looked at any time in between.
        for said in [1000, 1300, 1600] {
            assert_eq!(off(1000, said, 1600), None);
        }
        assert_eq!(off(1000, 1600 + LIMIT + 2, 1600), Some(LIMIT + 1));
        assert!(warning(596).contains("9 min ahead of"), "{}", warning(596));
        assert!(warning(-7300).contains("2 h behind"), "{}", warning(-7300));
    }
}
