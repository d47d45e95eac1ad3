//! From the last lines of a failed step to what a person can do about it.

const NO_REPOSITORY: &str = "the repository does not answer: check the address and the host's way to it, or use a mirror (sources.mirror)";

/// A certificate that is out of its time for the host: Go; OpenSSL (twice); NSS, which EL7's curl and yum use.
const CERTIFICATE: [&str; 4] = [
    "certificate has expired or is not yet valid",
    "certificate is not yet valid",
    "certificate has expired",
    "Peer's Certificate has expired",
];

const CERTIFICATE_REMEDY: &str = "the host's clock or the certificate is off: compare `date` and `chronyc tracking` on the host with a good clock; if the clock is wrong, `chronyc makestep` there, then run again";

/// Texts that products print, and the remedy. First match wins. yum texts: yum 3.4.3 (after its source) and dnf 4.14 (seen);
/// `yum is locked by another program`: ours, after two minutes; certificates: Go 1.15 to 1.22 (Docker), curl 7.29 with NSS, OpenSSL.
const HINTS: &[(&str, &str)] = &[
    ("No space left on device", "the disk is full: free space (df -h, docker system df), then run again"),
    ("Disk quota exceeded", "the quota is used up: free space, then run again"),
    (
        "Read-only file system",
        "the file system is mounted read-only, often after a disk error (dmesg); repair it and remount read-write, then run again",
    ),
    (
        "yum is locked by another program",
        "wait until the process named above is done (or end it, if it hangs: often yum-cron or PackageKit), then run again",
    ),
    ("holding the yum lock", "another yum is running on the host; wait for it (or stop yum-cron/PackageKit), then run again"),
    (
        "waiting for transaction lock",
        "another rpm is running on the host; wait until it is done (or end it, if it hangs: `fuser -v /var/lib/rpm/.rpm.lock`), then run again",
    ),
    ("Failed to obtain the transaction lock", "another yum or rpm is running on the host; wait for it, then run again"),
    ("Waiting for process with pid", "another yum is running on the host; wait for it, then run again"),
    ("Could not resolve host", "the host cannot resolve names: check /etc/resolv.conf, or use a mirror (sources.mirror)"),
    ("Cannot find a valid baseurl", "no repository answers: check the host's way to the internet, or use a mirror (sources.mirror)"),
    ("Cannot download repomd.xml", NO_REPOSITORY),
    ("Failed to download metadata", NO_REPOSITORY),
    // What yum 3.4 says at the end when the repository does not answer, or not with what it should.
    ("No more mirrors to try", NO_REPOSITORY),
    // dnf, when it still knows the index.
    ("All mirrors were tried", NO_REPOSITORY),
    (
        "from local repository",
        "the mirror's files are gone, or not those that its index names: check the address and the host's way to it (is it mounted?), or build the mirror anew",
    ),
    ("GPG check FAILED", "a package's signature is wrong: the mirror is damaged or not the one you think; nothing was installed"),
    ("No package", "the repositories do not have this package (version): check the pinned version and the repositories of role base"),
    (
        "Unable to find a match",
        "the repositories do not have this package (version): check the pinned version and the repositories of role base",
    ),
    ("Cannot connect to the Docker daemon", "Docker is not running: `systemctl status docker` on the host"),
    (CERTIFICATE[0], CERTIFICATE_REMEDY),
    (CERTIFICATE[1], CERTIFICATE_REMEDY),
    (CERTIFICATE[2], CERTIFICATE_REMEDY),
    (CERTIFICATE[3], CERTIFICATE_REMEDY),
    ("toomanyrequests", "the image registry limits anonymous pulls: wait, log in, or use a mirror (sources.mirror)"),
];

/// The remedy for a known failure text.
pub fn hint(output: &str) -> Option<String> {
    HINTS.iter().find(|(text, _)| output.contains(text)).map(|(_, remedy)| (*remedy).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_texts_have_their_remedy() {
        for (text, remedy) in [
            ("dd: error writing '/etc/x': No space left on device", "the disk is full"),
            ("mktemp: failed to create file via template '/etc/.poclab.XXXXXX': Read-only file system", "mounted read-only"),
            // What the package kind says itself, with yum's own words before it.
            (
                "Another app is currently holding the yum lock; exiting as configured by exit_on_lock\nyum is locked by another program (process 7: sleep) for 2 minutes",
                "process named above",
            ),
            (
                "x509: certificate has expired or is not yet valid: current time 2026-11-21T10:00:00Z is before 2026-11-22",
                "chronyc makestep",
            ),
            ("curl: (60) SSL certificate problem: certificate is not yet valid", "chronyc makestep"),
            ("curl: (60) Peer's Certificate has expired.", "chronyc makestep"),
            (
                "http://10.0.0.1/repodata/repomd.xml: [Errno 14] curl#7 - \"Failed connect\"\nTrying other mirror.\n[Errno 256] No more mirrors to try.",
                "does not answer",
            ),
            ("Error: Failed to download metadata for repo 'mirror': Cannot download repomd.xml", "does not answer"),
        ] {
            assert!(hint(text).is_some_and(|hint| hint.contains(remedy)), "{text}: {:?}", hint(text));
        }
        assert_eq!(hint("something else"), None);
    }
}
