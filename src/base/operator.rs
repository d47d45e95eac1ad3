//! Who runs the tool, and where.

use rustix::process::getuid;

/// `user@host` of this machine; the user is `uid N` when no name is known (a service, a bare container).
pub fn operator() -> String {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = set("USER").or_else(|| set("LOGNAME")).unwrap_or_else(|| match getuid() {
        uid if uid.is_root() => "root".to_owned(),
        uid => format!("uid {}", uid.as_raw()),
    });
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{user}@{host}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_user_and_a_host() {
        let operator = super::operator();
        let (user, host) = operator.split_once('@').unwrap();
        assert!(!user.is_empty() && !host.is_empty(), "{operator}");
    }
}
