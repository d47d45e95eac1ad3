//! Credentials: what each kind is, and how a build gets it (`withCredentials`).

use std::path::{Path, PathBuf};

use super::groovy::{Call, Expr, plain};
use super::process::write_private;

/// One credential. Its secrets are in memory only: they come from Configuration as Code at every start.
#[derive(Clone)]
pub struct Credential {
    /// Its id.
    pub id: String,
    /// What it holds.
    pub kind: Kind,
}

/// Kinds of credentials.
#[derive(Clone)]
pub enum Kind {
    /// `basicSSHUserPrivateKey`
    SshKey { username: String, key: String },
    /// `usernamePassword`
    Password { username: String, password: String },
    /// `string`
    Text { secret: String },
    /// `gitLabApiTokenImpl`
    GitLabToken { token: String },
    /// `file`
    File { name: String, content: Vec<u8> },
}

/// What a build has while its `withCredentials` block runs. Files are gone when it is dropped.
#[derive(Default)]
pub struct Bound {
    /// Variables.
    pub variables: Vec<(String, String)>,
    /// What the console must not show.
    pub secrets: Vec<String>,
    files: Vec<PathBuf>,
}

impl Drop for Bound {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// One line of `withCredentials`, read and checked before any build step runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    kind: String,
    id: String,
    variables: Vec<(String, String)>,
}

/// Kind of binding, the names of its variables (`?`: optional).
const BINDINGS: &[(&str, &[&str])] = &[
    ("usernamePassword", &["usernameVariable", "passwordVariable"]),
    ("string", &["variable"]),
    ("file", &["variable"]),
    ("sshUserPrivateKey", &["keyFileVariable", "?usernameVariable", "?passphraseVariable"]),
];

impl Binding {
    /// Reads `usernamePassword(credentialsId: 'x', …)`.
    pub fn read(expr: &Expr) -> Result<Self, String> {
        let Expr::Call(call) = expr else { return Err("withCredentials takes a list of bindings".into()) };
        let Some((kind, names)) = BINDINGS.iter().find(|(kind, _)| *kind == call.name) else {
            return Err(format!("java.lang.NoSuchMethodError: No such DSL method '{}' found among bindings of credentials", call.name));
        };
        let known = |key: &str| key == "credentialsId" || names.iter().any(|name| name.trim_start_matches('?') == key);
        if let Some((key, _)) = call.named.iter().find(|(key, _)| !known(key)) {
            return Err(format!("Unknown parameter '{key}' for {kind}"));
        }
        let text = |key: &str| named_text(call, key);
        let mut variables = Vec::new();
        for name in *names {
            match (text(name.trim_start_matches('?')), name.starts_with('?')) {
                (Some(variable), _) => variables.push((name.trim_start_matches('?').to_owned(), variable)),
                (None, true) => {}
                (None, false) => return Err(format!("Missing required parameter: \"{name}\" of {kind}")),
            }
        }
        let id = text("credentialsId").ok_or_else(|| format!("Missing required parameter: \"credentialsId\" of {kind}"))?;
        Ok(Self { kind: (*kind).to_owned(), id, variables })
    }

    /// Gives the build what it asks for. Errors are Jenkins' words.
    pub fn bind(&self, all: &[Credential], folder: &Path, bound: &mut Bound) -> Result<(), String> {
        let Some(credential) = all.iter().find(|credential| credential.id == self.id) else {
            return Err(format!(
                "org.jenkinsci.plugins.credentialsbinding.impl.CredentialNotFoundException: Could not find credentials entry with ID '{}'",
                self.id
            ));
        };
        let wrong = || {
            let kind = &self.kind;
            Err(format!(
                "org.jenkinsci.plugins.credentialsbinding.impl.CredentialNotFoundException: Credentials '{}' is of another type where '{kind}' was expected",
                self.id
            ))
        };
        for (field, variable) in &self.variables {
            let value = match (self.kind.as_str(), &credential.kind, field.as_str()) {
                ("usernamePassword", Kind::Password { username, .. }, "usernameVariable") => username.clone(),
                ("usernamePassword", Kind::Password { password, .. }, _) => {
                    bound.secrets.push(password.clone());
                    password.clone()
                }
                ("string", Kind::Text { secret }, _) => {
                    bound.secrets.push(secret.clone());
                    secret.clone()
                }
                ("file", Kind::File { name, content }, _) => self.file(folder, name, content, bound)?,
                ("sshUserPrivateKey", Kind::SshKey { username, .. }, "usernameVariable") => username.clone(),
                ("sshUserPrivateKey", Kind::SshKey { .. }, "passphraseVariable") => String::new(),
                ("sshUserPrivateKey", Kind::SshKey { key, .. }, _) => {
                    let key = format!("{}\n", key.trim_end());
                    self.file(folder, &format!("ssh-key-{variable}"), key.as_bytes(), bound)?
                }
                _ => return wrong(),
            };
            bound.variables.push((variable.clone(), value));
        }
        Ok(())
    }

    fn file(&self, folder: &Path, name: &str, content: &[u8], bound: &mut Bound) -> Result<String, String> {
        let folder = folder.join("secretFiles");
        let path = folder.join(name.replace('/', "_"));
        std::fs::create_dir_all(&folder)
            .and_then(|()| write_private(&path, content))
            .map_err(|e| format!("cannot write the secret file of {}: {e}", self.id))?;
        bound.files.push(path.clone());
        let text = path.display().to_string();
        bound.secrets.push(text.clone());
        Ok(text)
    }
}

/// A named argument that is plain text.
pub fn named_text(call: &Call, key: &str) -> Option<String> {
    match call.named(key) {
        Some(Expr::Text(parts)) => plain(parts).map(str::to_owned),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;
    use crate::jenkins::groovy::parse;

    fn binding(source: &str) -> Result<Binding, String> {
        let call = parse(source).unwrap()[0].call().unwrap().clone();
        Binding::read(&Expr::Call(call))
    }

    #[test]
    fn each_kind_is_bound_and_files_go_again() {
        let dir = tempfile::tempdir().unwrap();
        let all = vec![
            Credential { id: "p".into(), kind: Kind::Password { username: "u".into(), password: "pw".into() } },
            Credential { id: "k".into(), kind: Kind::SshKey { username: "git".into(), key: "KEY".into() } },
        ];
        let mut bound = Bound::default();
        binding("usernamePassword(credentialsId: 'p', usernameVariable: 'U', passwordVariable: 'P')")
            .unwrap()
            .bind(&all, dir.path(), &mut bound)
            .unwrap();
        binding("sshUserPrivateKey(credentialsId: 'k', keyFileVariable: 'F')").unwrap().bind(&all, dir.path(), &mut bound).unwrap();
        assert_eq!(bound.variables[..2], [("U".into(), "u".into()), ("P".into(), "pw".into())]);
        let file = bound.variables[2].1.clone();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "KEY\n");
        assert_eq!(bound.secrets, ["pw".to_owned(), file.clone()]);
        drop(bound);
        assert!(!Path::new(&file).exists());

        let mut bound = Bound::default();
        let error = |source: &str, bound: &mut Bound| binding(source).unwrap().bind(&all, dir.path(), bound).unwrap_err();
        assert!(error("string(credentialsId: 'x', variable: 'X')", &mut bound).contains("Could not find credentials entry with ID 'x'"));
        assert!(error("string(credentialsId: 'p', variable: 'X')", &mut bound).contains("another type"));
        assert!(binding("string(credentialsId: 'p', wariable: 'X')").unwrap_err().contains("wariable"));
        assert!(binding("string(variable: 'X')").unwrap_err().contains("credentialsId"));
    }
}
