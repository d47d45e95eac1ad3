//! Releases of distributions: which of Clair's updaters know one, and since when nobody says anything about it any more.

use time::Date;
use time::macros::date;

use super::vulnerabilities::Distribution;

/// Distributions by the ID of their os-release, and their updaters (claircore 1.5); `*` at the end stands for anything. Ubuntu's and
/// Alpine's are below: they have one for each release.
const DISTRIBUTIONS: &[(&str, &str)] = &[
    ("amzn", "aws-*"),
    ("debian", "debian/*"),
    ("ol", "oracle-*"),
    ("opensuse", "suse-*"),
    ("opensuse-leap", "suse-*"),
    ("photon", "photon-*"),
    ("rhel", "rhel-vex*"),
    ("sles", "suse-*"),
];

/// Debian's releases and the last day of their long term support: the security tracker, which is all that Clair knows Debian by, follows
/// none for longer. From Debian's package distro-info-data (column eol-lts; before 6: the end of security support).
const DEBIAN: &[(&str, &str, Date)] = &[
    ("4", "etch", date!(2010 - 02 - 15)),
    ("5", "lenny", date!(2012 - 02 - 06)),
    ("6", "squeeze", date!(2016 - 02 - 29)),
    ("7", "wheezy", date!(2018 - 05 - 31)),
    ("8", "jessie", date!(2020 - 06 - 30)),
    ("9", "stretch", date!(2022 - 06 - 30)),
    ("10", "buster", date!(2024 - 06 - 30)),
    ("11", "bullseye", date!(2026 - 08 - 31)),
    ("12", "bookworm", date!(2028 - 06 - 30)),
    ("13", "trixie", date!(2030 - 06 - 30)),
];

/// The updaters that must have loaded something for this release: all of them. `None`: Clair has none for it.
pub fn updaters(distribution: &Distribution) -> Option<Vec<String>> {
    match distribution.did.as_str() {
        "ubuntu" => Some(vec![format!("ubuntu/updater/{}", distribution.version_code_name)]),
        "alpine" => {
            let release = alpine(distribution.release());
            Some(["main", "community"].map(|part| format!("alpine-{part}-{release}-updater")).into())
        }
        other => DISTRIBUTIONS.iter().find(|(did, _)| *did == other).map(|(_, updater)| vec![(*updater).to_owned()]),
    }
}

/// `v3.19` of `3.19` and of `3.19.1`: Alpine's data is by branch.
fn alpine(release: &str) -> String {
    if release.starts_with(|c: char| c.is_ascii_digit()) {
        format!("v{}", release.split('.').take(2).collect::<Vec<_>>().join("."))
    } else {
        release.to_owned()
    }
}

/// In words, that a release has ended: `Debian 10 (buster) ended on 2024-06-30`.
pub fn ended(distribution: &Distribution, today: Date) -> Option<String> {
    let release = distribution.release().split('.').next()?;
    let (number, name, last) = DEBIAN.iter().find(|(number, ..)| distribution.did == "debian" && *number == release)?;
    (today > *last).then(|| format!("Debian {number} ({name}) ended on {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(did: &str, version: &str, id: &str, name: &str) -> Distribution {
        serde_json::from_value(serde_json::json!({"did": did, "version": version, "version_id": id, "version_code_name": name})).unwrap()
    }

    /// Names as claircore 1.5.48 makes them, of distributions as it finds them.
    #[test]
    fn each_release_has_its_updaters() {
        for (of, want) in [
            (distribution("ubuntu", "24.04 (Noble)", "24.04", "noble"), Some(vec!["ubuntu/updater/noble"])),
            (distribution("alpine", "3.19", "", ""), Some(vec!["alpine-main-v3.19-updater", "alpine-community-v3.19-updater"])),
            (distribution("alpine", "", "3.19.1", ""), Some(vec!["alpine-main-v3.19-updater", "alpine-community-v3.19-updater"])),
            (distribution("alpine", "edge", "", ""), Some(vec!["alpine-main-edge-updater", "alpine-community-edge-updater"])),
            (distribution("debian", "12 (bookworm)", "12", "bookworm"), Some(vec!["debian/*"])),
            (distribution("rocky", "9.3", "9.3", ""), None),
        ] {
            assert_eq!(updaters(&of), want.map(|want| want.into_iter().map(str::to_owned).collect()), "{of:?}");
        }
    }

    #[test]
    fn releases_end_after_their_last_day() {
        let buster = distribution("debian", "10 (buster)", "10", "buster");
        assert_eq!(ended(&buster, date!(2024 - 06 - 30)), None);
        assert_eq!(ended(&buster, date!(2024 - 07 - 01)).unwrap(), "Debian 10 (buster) ended on 2024-06-30");
        // Known by its version alone.
        assert!(ended(&distribution("debian", "11 (bullseye)", "", ""), date!(2026 - 11 - 30)).is_some());
        for good in [
            distribution("debian", "12 (bookworm)", "12", "bookworm"),
            distribution("debian", "14 (forky)", "14", ""),
            distribution("alpine", "10", "10", ""),
        ] {
            assert_eq!(ended(&good, date!(2026 - 11 - 30)), None, "{good:?}");
        }
    }
}
