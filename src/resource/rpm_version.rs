//! Which of two versions rpm takes for the newer one.

use std::cmp::Ordering;

/// Compares two `version-release` texts the way rpm does (rpmvercmp, as in rpm 4.11): version first, then release.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let split = |text: &str| match text.split_once('-') {
        Some((version, release)) => (version.to_owned(), Some(release.to_owned())),
        None => (text.to_owned(), None),
    };
    let ((version_a, release_a), (version_b, release_b)) = (split(a), split(b));
    segments(&version_a, &version_b).then_with(|| match (release_a, release_b) {
        (Some(a), Some(b)) => segments(&a, &b),
        // A version without a release means any release of it.
        _ => Ordering::Equal,
    })
}

fn segments(mut a: &str, mut b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    loop {
        // A tilde sorts before everything, even before the end: 1.0~rc1 is older than 1.0.
        let separator = |c: char| !c.is_ascii_alphanumeric() && c != '~';
        (a, b) = (a.trim_start_matches(separator), b.trim_start_matches(separator));
        match (a.strip_prefix('~'), b.strip_prefix('~')) {
            (Some(rest_a), Some(rest_b)) => {
                (a, b) = (rest_a, rest_b);
                continue;
            }
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        let (Some(first), false) = (a.chars().next(), b.is_empty()) else {
            return a.len().cmp(&0).cmp(&b.len().cmp(&0));
        };
        let digits = first.is_ascii_digit();
        let in_segment = |c: char| if digits { c.is_ascii_digit() } else { c.is_ascii_alphabetic() };
        let (part_a, rest_a) = cut(a, in_segment);
        let (part_b, rest_b) = cut(b, in_segment);
        if part_b.is_empty() {
            // Numbers are newer than letters.
            return if digits { Ordering::Greater } else { Ordering::Less };
        }
        let order = if digits {
            let (x, y) = (part_a.trim_start_matches('0'), part_b.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            part_a.cmp(part_b)
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

fn cut(text: &str, inside: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !inside(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from rpm 4.18 (`rpm --eval '%{lua:print(rpm.vercmp("A","B"))}'`).
    #[test]
    fn agrees_with_rpm() {
        for (a, b, want) in [
            ("1.0", "1.0", Ordering::Equal),
            ("1.0", "2.0", Ordering::Less),
            ("2.0.1", "2.0", Ordering::Greater),
            ("2.0.1a", "2.0.1", Ordering::Greater),
            ("5.5p1", "5.5p10", Ordering::Less),
            ("10xyz", "10.1xyz", Ordering::Less),
            ("xyz.4", "8", Ordering::Less),
            ("1.0~rc1", "1.0", Ordering::Less),
            ("1.0~rc1", "1.0~rc2", Ordering::Less),
            ("1_0", "1.0", Ordering::Equal),
            ("1.05", "1.5", Ordering::Equal),
            ("2018.2.22", "2021.2.50", Ordering::Less),
            ("1.0.", "1.0", Ordering::Equal),
        ] {
            assert_eq!(compare(a, b), want, "{a} {b}");
            assert_eq!(compare(b, a), want.reverse(), "{b} {a}");
        }
    }

    #[test]
    fn releases_count_when_both_have_one() {
        assert_eq!(compare("26.1.4-1.el7", "26.1.4-2.el7"), Ordering::Less);
        assert_eq!(compare("26.1.4-1.el7", "26.1.4"), Ordering::Equal);
        assert_eq!(compare("27.0.1-1.el7", "26.1.4-1.el7"), Ordering::Greater);
    }
}
