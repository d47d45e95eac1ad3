//! What splunkd writes into its own configuration when it starts: keys that nobody gave it. The real one does that with every start
//! that finds one missing, so `etc/system/local` is no place for files that somebody else keeps.

use std::path::Path;

use super::conf::Conf;
use crate::common::sha256;

/// Stanzas, keys and what stands for a secret of the host's own.
const OWN: [(&str, &str, &str); 7] = [
    ("general", "serverName", "HOST"),
    ("general", "pass4SymmKey", "SECRET"),
    ("sslConfig", "sslPassword", "SECRET"),
    ("lmpool:auto_generated_pool_forwarder", "description", "auto_generated_pool_forwarder"),
    ("lmpool:auto_generated_pool_forwarder", "peers", "*"),
    ("lmpool:auto_generated_pool_forwarder", "quota", "MAX"),
    ("lmpool:auto_generated_pool_forwarder", "stack_id", "forwarder"),
];

/// Writes what is missing into `etc/system/local/server.conf`; what is there stays.
pub fn start(home: &Path) -> Result<(), String> {
    let path = home.join("etc/system/local/server.conf");
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let mut conf = Conf::parse(&old);
    for (stanza, key, value) in OWN {
        let made = match value {
            "HOST" => std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
            // As long as the real one's, and as different from host to host.
            "SECRET" => format!("$7${}", &sha256(format!("{stanza}{key}{}", machine()).as_bytes())[..44]),
            other => other.to_owned(),
        };
        conf.0.entry(stanza.to_owned()).or_default().entry(key.to_owned()).or_insert(made);
    }
    let new = conf.text();
    if conf == Conf::parse(&old) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(home);
    std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, new)).map_err(|why| format!("ERROR {}: {why}", path.display()))
}

fn machine() -> String {
    std::fs::read_to_string("/etc/machine-id").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_missing_is_written_once_and_the_rest_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("etc/system/local/server.conf");
        start(home.path()).unwrap();
        let first = std::fs::read_to_string(&path).unwrap();
        for part in ["[general]", "pass4SymmKey = $7$", "sslPassword = $7$", "[lmpool:auto_generated_pool_forwarder]"] {
            assert!(first.contains(part), "{part}: {first}");
        }
        start(home.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
        std::fs::write(&path, "[general]\nserverName = mine\n").unwrap();
        start(home.path()).unwrap();
        let again = Conf::parse(&std::fs::read_to_string(&path).unwrap());
        assert_eq!(again.get("general", "serverName"), "mine");
        assert!(!again.get("sslConfig", "sslPassword").is_empty());
    }
}
