//! Addresses that artifacts come from.

use reqwest::Url;

/// Reads an address. One with a user name in it is refused: it may look as if it led to another host.
pub(super) fn read(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("{text} is no address: {e}"))?;
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest).split(['/', '\\', '?', '#']).next().unwrap_or_default();
    if has_user(&url) || authority.contains('@') {
        return Err(format!("{text} has a user name or a password in it, which hides what host is meant: write it without"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("{text} names no host"));
    }
    Ok(url)
}

/// Whether there is a user name or a password in it.
pub(super) fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Whether an address is this machine's own: nobody is in between.
pub(super) fn is_local(url: &Url) -> bool {
    matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")) && !has_user(url)
}

/// Whether nobody on the way can change what comes from there.
pub(super) fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_local(url))
}

/// What is wrong with going from the addresses before to the next one; `None`: nothing.
///
/// Every hop must be over TLS, or on this machine. Only what is asked for without TLS from the beginning may be anywhere: its sum is known.
pub(super) fn refused(before: &[Url], next: &Url) -> Option<String> {
    const HOPS: usize = 10;
    let asked_without = before.first().is_some_and(|first| first.scheme() == "http" && !is_local(first));
    if before.len() > HOPS {
        Some(format!("leads to {next} after {HOPS} redirects"))
    } else if has_user(next) {
        Some(format!("leads to {}, with a user name in the address", next.host_str().unwrap_or_default()))
    } else if is_safe(next) || (asked_without && next.scheme() == "http") {
        None
    } else {
        Some(format!("leads to {next}, which is without TLS"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_local_is_decided_by_the_host_alone() {
        for (text, local) in [
            ("http://127.0.0.1:80/x", true),
            ("docker://127.0.0.1:5000/a/b:c", true),
            ("docker://localhost/a:c", true),
            ("http://[::1]:80/x", true),
            ("http://127.0.0.1.example/", false),
            ("http://localhost.example/", false),
            ("docker://docker.io/127.0.0.1:c", false),
        ] {
            assert_eq!(is_local(&read(text).unwrap()), local, "{text}");
        }
        for hidden in
            ["http://127.0.0.1:80@evil.example/", "http://localhost@evil.example/", "docker://127.0.0.1:80@evil.example/a:b", "https://@h/"]
        {
            assert!(read(hidden).unwrap_err().contains("user name"), "{hidden}");
        }
        assert!(read("nonsense").is_err() && read("http://").is_err());
    }

    #[test]
    fn every_hop_is_over_tls_or_local() {
        let url = |text: &str| Url::parse(text).unwrap();
        let hop = |first: &str, middle: &str, next: &str| refused(&[url(first), url(middle)], &url(next));
        assert_eq!(hop("https://a.example/", "https://b.example/", "https://c.example/"), None);
        assert_eq!(hop("https://a.example/", "https://b.example/", "http://127.0.0.1/"), None);
        assert!(hop("https://a.example/", "https://b.example/", "http://c.example/").unwrap().contains("without TLS"));
        assert!(hop("http://127.0.0.1/", "http://127.0.0.1/", "http://c.example/").unwrap().contains("without TLS"));
        assert!(hop("https://a.example/", "https://b.example/", "http://127.0.0.1:80@c.example/").unwrap().contains("user name"));
        assert_eq!(hop("http://a.example/", "http://b.example/", "http://c.example/"), None, "its sum is known");
        assert!(refused(&vec![url("https://a.example/"); 11], &url("https://b.example/")).unwrap().contains("redirects"));
    }
}
