//! Cookies that an answer sets.

use super::step::Cookie;

/// What a `Set-Cookie` header says.
struct Set<'a> {
    name: &'a str,
    secure: bool,
    httponly: bool,
}

fn set(line: &str) -> Option<Set<'_>> {
    let (header, value) = line.trim_start_matches("< ").split_once(':')?;
    if !header.trim().eq_ignore_ascii_case("set-cookie") {
        return None;
    }
    let mut parts = value.split(';').map(str::trim);
    let (name, _) = parts.next()?.split_once('=')?;
    let attributes: Vec<&str> = parts.collect();
    let has = |wanted: &str| attributes.iter().any(|attribute| attribute.eq_ignore_ascii_case(wanted));
    Some(Set { name, secure: has("secure"), httponly: has("httponly") })
}

/// Whether all of them are set in this output, as they should be. `Err`: which is not.
pub(super) fn received(wanted: &[Cookie], output: &str) -> Result<(), String> {
    let sets: Vec<Set<'_>> = output.lines().filter_map(set).collect();
    for cookie in wanted {
        let Some(found) = sets.iter().find(|set| set.name == cookie.name) else {
            return Err(format!("no cookie {} is set", cookie.name));
        };
        for (what, wanted, is) in [("Secure", cookie.secure, found.secure), ("HttpOnly", cookie.httponly, found.httponly)] {
            if wanted.is_some_and(|wanted| wanted != is) {
                return Err(format!("the cookie {} is {} {what}", cookie.name, if is { "set with" } else { "set without" }));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_read_with_their_attributes() {
        let output = "HTTP/1.1 200 OK\r\nset-cookie: id=1; Path=/; Secure; HttpOnly\r\nSet-Cookie: plain=2\r\n\r\nSet-Cookie is a header";
        let cookie = |name: &str, secure, httponly| Cookie { name: name.to_owned(), secure, httponly };
        assert_eq!(received(&[cookie("id", Some(true), Some(true)), cookie("plain", Some(false), None)], output), Ok(()));
        assert!(received(&[cookie("plain", Some(true), None)], output).unwrap_err().contains("set without Secure"));
        assert!(received(&[cookie("other", None, None)], output).unwrap_err().contains("no cookie other"));
    }
}
