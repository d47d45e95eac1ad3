//! From the last lines of a failed step to what a person can do about it.

/// Texts that products print, and the remedy. First match wins. yum texts: yum 3.4.3 and dnf 4.14.
const HINTS: &[(&str, &str)] = &[
    ("No space left on device", "the disk is full: free space (df -h, docker system df), then run again"),
    ("Disk quota exceeded", "the quota is used up: free space, then run again"),
    (
        "Read-only file system",
        "the file system is mounted read-only, often after a disk error (dmesg); repair it and remount read-write, then run again",
    ),
    ("holding the yum lock", "another yum is running on the host; wait for it (or stop yum-cron/PackageKit), then run again"),
    ("Failed to obtain the transaction lock", "another yum or rpm is running on the host; wait for it, then run again"),
    ("Waiting for process with pid", "another yum is running on the host; wait for it, then run again"),
    ("Could not resolve host", "the host cannot resolve names: check /etc/resolv.conf, or use a mirror (sources.mirror)"),
    ("Cannot find a valid baseurl", "no repository answers: check the host's way to the internet, or use a mirror (sources.mirror)"),
    (
        "Cannot download repomd.xml",
        "the repository does not answer: check the address and the host's way to it, or use a mirror (sources.mirror)",
    ),
    (
        "Failed to download metadata",
        "the repository does not answer: check the address and the host's way to it, or use a mirror (sources.mirror)",
    ),
    ("GPG check FAILED", "a package's signature is wrong: the mirror is damaged or not the one you think; nothing was installed"),
    ("No package", "the repositories do not have this package (version): check the pinned version and the repositories of role base"),
    (
        "Unable to find a match",
        "the repositories do not have this package (version): check the pinned version and the repositories of role base",
    ),
    ("Cannot connect to the Docker daemon", "Docker is not running: `systemctl status docker` on the host"),
    (
        "certificate has expired or is not yet valid",
        "the host's clock or the certificate is off: check `chronyc tracking` and `date` on the host",
    ),
    ("toomanyrequests", "the image registry limits anonymous pulls: wait, log in, or use a mirror (sources.mirror)"),
];

/// The remedy for a known failure text.
pub fn hint(output: &str) -> Option<String> {
    HINTS.iter().find(|(text, _)| output.contains(text)).map(|(_, remedy)| (*remedy).to_owned())
}
