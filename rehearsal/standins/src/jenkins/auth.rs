//! Users of the local realm, the permission matrix, API tokens and crumbs.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// A user of the local realm. The password is kept as its salted hash.
#[derive(Clone)]
pub struct User {
    /// Its id.
    pub id: String,
    salt: [u8; 16],
    hash: [u8; 32],
}

fn hash(salt: &[u8], text: &str) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(text.as_bytes()).finalize().into()
}

/// Random text, hexadecimal.
pub fn random(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    // Without random numbers nothing here is worth anything: better no service than a guessable one.
    if getrandom::fill(&mut random).is_err() {
        eprintln!("SEVERE no random numbers on this machine");
        std::process::exit(1);
    }
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares in a time that does not depend on where texts differ.
pub fn same(a: &str, b: &str) -> bool {
    // Hashes of the two differ everywhere, so the place of the first difference tells nothing.
    Sha256::digest(a) == Sha256::digest(b)
}

impl User {
    /// A user with this password.
    pub fn new(id: &str, password: &str) -> Self {
        let text = random(16);
        let mut salt = [0; 16];
        salt.copy_from_slice(&text.as_bytes()[..16]);
        Self { id: id.to_owned(), salt, hash: hash(&salt, password) }
    }

    /// Whether this is the password.
    pub fn accepts(&self, password: &str) -> bool {
        hash(&self.salt, password) == self.hash
    }
}

/// The permissions that exist here; `Overall/Administer` implies all.
pub const PERMISSIONS: &[&str] = &[
    "Overall/Administer",
    "Overall/Read",
    "Overall/SystemRead",
    "Job/Build",
    "Job/Cancel",
    "Job/Configure",
    "Job/Create",
    "Job/Delete",
    "Job/Discover",
    "Job/Read",
    "Job/Workspace",
    "Run/Delete",
    "Run/Replay",
    "Run/Update",
    "View/Read",
    "Credentials/View",
    "SCM/Tag",
];

/// Who may do what.
#[derive(Default)]
pub struct Matrix {
    /// (`user` or `group`, name) to permissions.
    grants: BTreeMap<(String, String), Vec<String>>,
}

impl Matrix {
    /// Adds an entry. Errors: a permission that does not exist.
    pub fn grant(&mut self, kind: &str, name: &str, permissions: &[String]) -> Result<(), String> {
        if name.is_empty() {
            return Err("name is required".into());
        }
        if let Some(unknown) = permissions.iter().find(|permission| !PERMISSIONS.contains(&permission.as_str())) {
            return Err(format!("there is no permission {unknown}"));
        }
        self.grants.entry((kind.to_owned(), name.to_owned())).or_default().extend(permissions.iter().cloned());
        Ok(())
    }

    /// Whether somebody (`None`: nobody has logged in) may do this.
    pub fn allows(&self, user: Option<&str>, permission: &str) -> bool {
        let has = |kind: &str, name: &str| {
            let granted = self.grants.get(&(kind.to_owned(), name.to_owned()));
            granted.is_some_and(|granted| granted.iter().any(|have| have == permission || have == "Overall/Administer"))
        };
        match user {
            None => has("user", "anonymous") || has("group", "anonymous"),
            Some(user) => has("user", user) || has("group", "authenticated"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_matrix() {
        let mut matrix = Matrix::default();
        matrix.grant("user", "admin", &["Overall/Administer".into()]).unwrap();
        matrix.grant("group", "authenticated", &["Overall/Read".into(), "Job/Read".into()]).unwrap();
        assert!(matrix.allows(Some("admin"), "Job/Build"));
        assert!(matrix.allows(Some("other"), "Job/Read") && !matrix.allows(Some("other"), "Job/Build"));
        assert!(!matrix.allows(None, "Overall/Read"));
        assert!(matrix.grant("user", "x", &["Job/Everything".into()]).is_err());
    }
}
