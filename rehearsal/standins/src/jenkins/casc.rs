//! Configuration as Code: reads the YAML, resolves `${…}`, refuses what it does not know or whose plugin is not installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_yaml::{Mapping, Value};

use super::auth::{Matrix, User};
use super::credentials::{Credential, Kind};
use super::dsl::{self, Job};
use super::plugins::Plugins;
use super::resolve::Sources;

/// What the configuration comes to.
#[derive(Default)]
pub struct Config {
    /// Executors of the built-in node.
    pub executors: usize,
    /// Jenkins' own address, with a slash at its end.
    pub url: String,
    /// Local users.
    pub users: Vec<User>,
    /// Who may do what.
    pub matrix: Matrix,
    /// Variables of all builds.
    pub env: Vec<(String, String)>,
    /// Credentials.
    pub credentials: Vec<Credential>,
    /// Connections to GitLab by name.
    pub gitlab: BTreeMap<String, GitLab>,
    /// Whether web hooks without a secret token need a user that may build.
    pub authenticated_endpoint: bool,
    /// Host keys that git accepts, as in a known_hosts file.
    pub known_hosts: Option<String>,
    /// Jobs of the job DSL.
    pub jobs: Vec<Job>,
}

/// A connection to GitLab.
#[derive(Debug, Clone, Default)]
pub struct GitLab {
    /// `https://gitlab.lab.example`
    pub url: String,
    /// Id of a `gitLabApiTokenImpl`.
    pub token_id: String,
}

/// Reads all files that `CASC_JENKINS_CONFIG` names: a file, or a folder of .yml and .yaml files.
pub fn load(place: &Path, plugins: &Plugins, sources: &Sources) -> Result<Config, String> {
    let mut files: Vec<PathBuf> = Vec::new();
    if place.is_dir() {
        let entries = std::fs::read_dir(place).map_err(|e| exception(&format!("{} cannot be read: {e}", place.display())))?;
        let yaml = |path: &Path| path.extension().is_some_and(|end| end == "yml" || end == "yaml");
        files.extend(entries.flatten().map(|entry| entry.path()).filter(|path| yaml(path) && path.is_file()));
        files.sort();
    } else {
        files.push(place.to_owned());
    }
    let mut whole = Mapping::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(|e| exception(&format!("{} cannot be read: {e}", file.display())))?;
        let value: Value = serde_yaml::from_str(&text).map_err(|e| exception(&format!("{}: {e}", file.display())))?;
        let Value::Mapping(map) = value else { return Err(exception(&format!("{} is no mapping", file.display()))) };
        merge(&mut whole, map, "")?;
    }
    read(&Value::Mapping(whole), plugins, sources)
}

fn exception(why: &str) -> String {
    format!("io.jenkins.plugins.casc.ConfiguratorException: {why}")
}

fn merge(into: &mut Mapping, from: Mapping, path: &str) -> Result<(), String> {
    for (key, value) in from {
        let name = format!("{path}/{}", key.as_str().unwrap_or_default());
        match (into.get_mut(&key), value) {
            (None, value) => drop(into.insert(key, value)),
            (Some(Value::Mapping(old)), Value::Mapping(new)) => merge(old, new, &name)?,
            (Some(Value::Sequence(old)), Value::Sequence(new)) => old.extend(new),
            _ => return Err(exception(&format!("Found conflicting configuration at {name}"))),
        }
    }
    Ok(())
}

/// Reads the whole configuration.
pub fn read(value: &Value, plugins: &Plugins, sources: &Sources) -> Result<Config, String> {
    let mut warnings = Vec::new();
    let value = resolve(value, sources, &mut warnings);
    warnings.iter().for_each(|warning| eprintln!("WARNING {warning}"));
    let mut config = Config { executors: 2, authenticated_endpoint: true, ..Config::default() };
    let at = At { plugins, path: String::new() };
    at.each(&value, &["jenkins", "credentials", "unclassified", "security", "jobs"], |key, at, value| match key {
        "jenkins" => jenkins(&at, value, &mut config),
        "credentials" => credentials(&at, value, &mut config),
        "unclassified" => unclassified(&at, value, &mut config),
        "security" => security(&at, value, &mut config),
        _ => jobs(&at, value, &mut config),
    })?;
    Ok(config)
}

fn resolve(value: &Value, sources: &Sources, warnings: &mut Vec<String>) -> Value {
    match value {
        Value::String(text) => Value::String(sources.resolve(text, warnings)),
        Value::Sequence(items) => Value::Sequence(items.iter().map(|item| resolve(item, sources, warnings)).collect()),
        Value::Mapping(map) => Value::Mapping(map.iter().map(|(key, value)| (key.clone(), resolve(value, sources, warnings))).collect()),
        other => other.clone(),
    }
}

/// Where in the configuration we are.
struct At<'a> {
    plugins: &'a Plugins,
    path: String,
}

impl<'a> At<'a> {
    fn to(&self, key: &str) -> At<'a> {
        At { plugins: self.plugins, path: if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) } }
    }

    fn fail<T>(&self, why: &str) -> Result<T, String> {
        Err(exception(&format!("{}: {why}", if self.path.is_empty() { "the configuration" } else { &self.path })))
    }

    /// The plugin that brings this element is installed; without it Jenkins does not know the element at all.
    fn needs(&self, plugin: &str) -> Result<(), String> {
        match self.plugins.contains_key(plugin) {
            true => Ok(()),
            false => self.fail(&format!(
                "No configurator for the following root elements or attributes: it is of the plugin {plugin}, which is not installed"
            )),
        }
    }

    /// Visits every key of a mapping; one that is not among `known` is an error.
    fn each(&self, value: &Value, known: &[&str], mut visit: impl FnMut(&str, At<'a>, &Value) -> Result<(), String>) -> Result<(), String> {
        let Value::Mapping(map) = value else { return self.fail("a mapping was expected") };
        for (key, value) in map {
            let Some(name) = key.as_str() else { return self.fail("keys must be text") };
            if !known.contains(&name) {
                let what =
                    if self.path.is_empty() { "No configurator for the following root elements" } else { "Invalid configuration elements" };
                return self.fail(&format!("{what}: {name}. Available attributes : {}", known.join(", ")));
            }
            visit(name, self.to(name), value)?;
        }
        Ok(())
    }

    fn items<'v>(&self, value: &'v Value) -> Result<&'v [Value], String> {
        match value {
            Value::Sequence(items) => Ok(items),
            _ => self.fail("a list was expected"),
        }
    }

    fn text(&self, value: &Value) -> Result<String, String> {
        match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(value) => Ok(value.to_string()),
            _ => self.fail("a text was expected"),
        }
    }

    fn flag(&self, value: &Value) -> Result<bool, String> {
        match value {
            Value::Bool(value) => Ok(*value),
            _ => self.fail("true or false was expected"),
        }
    }

    fn number(&self, value: &Value) -> Result<u64, String> {
        match value.as_u64() {
            Some(number) => Ok(number),
            None => self.fail("a number was expected"),
        }
    }

    /// A mapping of texts.
    fn texts(&self, value: &Value, known: &[&str]) -> Result<BTreeMap<String, String>, String> {
        let mut texts = BTreeMap::new();
        self.each(value, known, |key, at, value| {
            texts.insert(key.to_owned(), at.text(value)?);
            Ok(())
        })?;
        Ok(texts)
    }
}

fn jenkins(at: &At<'_>, value: &Value, config: &mut Config) -> Result<(), String> {
    let known = [
        "authorizationStrategy",
        "crumbIssuer",
        "disableRememberMe",
        "globalNodeProperties",
        "labelString",
        "mode",
        "numExecutors",
        "quietPeriod",
        "remotingSecurity",
        "securityRealm",
        "slaveAgentPort",
        "systemMessage",
    ];
    at.each(value, &known, |key, at, value| match key {
        "numExecutors" => at.number(value).map(|number| config.executors = usize::try_from(number).unwrap_or(1)),
        "securityRealm" => at.each(value, &["local"], |_, at, value| {
            at.each(value, &["allowsSignup", "enableCaptcha", "users"], |key, at, value| match key {
                "users" => {
                    for user in at.items(value)? {
                        config.users.push(read_user(&at, user)?);
                    }
                    Ok(())
                }
                _ if at.flag(value)? => at.fail("true is not in the rehearsal"),
                _ => Ok(()),
            })
        }),
        "authorizationStrategy" => at.each(value, &["globalMatrix"], |_, at, value| {
            at.needs("matrix-auth")?;
            at.each(value, &["entries"], |_, at, value| at.items(value)?.iter().try_for_each(|entry| matrix_entry(&at, entry, config)))
        }),
        "globalNodeProperties" => at.items(value)?.iter().try_for_each(|item| {
            at.each(item, &["envVars"], |_, at, value| {
                at.each(value, &["env"], |_, at, value| {
                    at.items(value)?.iter().try_for_each(|item| {
                        let mut pair = at.texts(item, &["key", "value"])?;
                        match (pair.remove("key"), pair.remove("value")) {
                            (Some(key), Some(value)) => config.env.push((key, value)),
                            _ => return at.fail("key and value are required"),
                        }
                        Ok(())
                    })
                })
            })
        }),
        "quietPeriod" => at.number(value).map(drop),
        "slaveAgentPort" if at.text(value)? == "-1" => Ok(()),
        "slaveAgentPort" => at.fail("inbound agents are not in the rehearsal: write -1"),
        "crumbIssuer" => at.each(value, &["standard"], |_, at, value| match value {
            Value::String(_) | Value::Null => Ok(()),
            value => at.each(value, &["excludeClientIPFromCrumb"], |_, at, value| at.flag(value).map(drop)),
        }),
        "remotingSecurity" => at.each(value, &["enabled"], |_, at, value| at.flag(value).map(drop)),
        "disableRememberMe" => at.flag(value).map(drop),
        "mode" if !matches!(at.text(value)?.as_str(), "NORMAL" | "EXCLUSIVE") => at.fail("Invalid configuration: NORMAL or EXCLUSIVE"),
        _ => at.text(value).map(drop),
    })
}

fn read_user(at: &At<'_>, value: &Value) -> Result<User, String> {
    let mut user = at.texts(value, &["id", "name", "password"])?;
    let (Some(id), Some(password)) = (user.remove("id"), user.remove("password")) else { return at.fail("id and password are required") };
    if password.is_empty() {
        return at.fail(&format!("the password of {id} is empty"));
    }
    if password.starts_with("#jbcrypt:") {
        return at.fail("#jbcrypt: passwords are not in the rehearsal");
    }
    Ok(User::new(&id, &password))
}

fn matrix_entry(at: &At<'_>, value: &Value, config: &mut Config) -> Result<(), String> {
    at.each(value, &["user", "group"], |kind, at, value| {
        let (mut name, mut permissions) = (String::new(), Vec::new());
        at.each(value, &["name", "permissions"], |key, at, value| match key {
            "name" => at.text(value).map(|text| name = text),
            _ => at.items(value)?.iter().try_for_each(|item| at.text(item).map(|text| permissions.push(text))),
        })?;
        config.matrix.grant(kind, &name, &permissions).or_else(|why| at.fail(&why))
    })
}

fn credentials(at: &At<'_>, value: &Value, config: &mut Config) -> Result<(), String> {
    at.needs("credentials")?;
    at.each(value, &["system"], |_, at, value| {
        at.each(value, &["domainCredentials"], |_, at, value| {
            at.items(value)?.iter().try_for_each(|domain| {
                at.each(domain, &["credentials"], |_, at, value| at.items(value)?.iter().try_for_each(|item| credential(&at, item, config)))
            })
        })
    })
}

fn credential(at: &At<'_>, value: &Value, config: &mut Config) -> Result<(), String> {
    let kinds = ["basicSSHUserPrivateKey", "file", "gitLabApiTokenImpl", "string", "usernamePassword"];
    at.each(value, &kinds, |kind, at, value| {
        let (plugin, own): (_, &[&str]) = match kind {
            "basicSSHUserPrivateKey" => ("ssh-credentials", &["username", "passphrase", "privateKeySource", "usernameSecret"]),
            "file" => ("plain-credentials", &["fileName", "secretBytes"]),
            "gitLabApiTokenImpl" => ("gitlab-plugin", &["apiToken"]),
            "string" => ("plain-credentials", &["secret"]),
            _ => ("credentials", &["username", "password", "usernameSecret"]),
        };
        at.needs(plugin)?;
        let known: Vec<&str> = ["scope", "id", "description"].iter().chain(own).copied().collect();
        let mut texts = BTreeMap::new();
        at.each(value, &known, |key, at, value| match key {
            "privateKeySource" => at.each(value, &["directEntry"], |_, at, value| {
                texts.extend(at.texts(value, &["privateKey"])?);
                Ok(())
            }),
            _ => {
                texts.insert(key.to_owned(), at.text(value)?);
                Ok(())
            }
        })?;
        if let Some(scope) = texts.get("scope").filter(|scope| !matches!(scope.as_str(), "GLOBAL" | "SYSTEM")) {
            return at.fail(&format!("No enum constant com.cloudbees.plugins.credentials.CredentialsScope.{scope}"));
        }
        let mut take = |key: &str| texts.remove(key).unwrap_or_default();
        let id = take("id");
        if id.is_empty() {
            return at.fail("id is required: without it the credential gets a new name at every start");
        }
        let kind = match kind {
            "basicSSHUserPrivateKey" => Kind::SshKey { username: take("username"), key: take("privateKey") },
            "file" => {
                use base64::Engine as _;
                let name = take("fileName");
                let content = base64::engine::general_purpose::STANDARD.decode(take("secretBytes"));
                Kind::File { name, content: content.or_else(|_| at.fail("secretBytes is not base64"))? }
            }
            "gitLabApiTokenImpl" => Kind::GitLabToken { token: take("apiToken") },
            "string" => Kind::Text { secret: take("secret") },
            _ => Kind::Password { username: take("username"), password: take("password") },
        };
        if config.credentials.iter().any(|other| other.id == id) {
            return at.fail(&format!("the id {id} is there twice"));
        }
        config.credentials.push(Credential { id, kind });
        Ok(())
    })
}

fn unclassified(at: &At<'_>, value: &Value, config: &mut Config) -> Result<(), String> {
    at.each(value, &["gitlabconnectionconfig", "location"], |key, at, value| {
        if key == "location" {
            config.url = at.texts(value, &["url", "adminAddress"])?.remove("url").unwrap_or_default();
            return Ok(());
        }
        at.needs("gitlab-plugin")?;
        at.each(value, &["connections", "useAuthenticatedEndpoint"], |key, at, value| {
            if key == "useAuthenticatedEndpoint" {
                return at.flag(value).map(|flag| config.authenticated_endpoint = flag);
            }
            at.items(value)?.iter().try_for_each(|item| {
                let known = ["apiTokenId", "clientBuilderId", "connectionTimeout", "ignoreCertificateErrors", "name", "readTimeout", "url"];
                let mut connection = at.texts(item, &known)?;
                if connection.get("ignoreCertificateErrors").is_some_and(|flag| flag == "true") {
                    return at.fail("ignoreCertificateErrors: true is not in the rehearsal");
                }
                let mut take = |key: &str| connection.remove(key).unwrap_or_default();
                let url = take("url").trim_end_matches('/').to_owned();
                config.gitlab.insert(take("name"), GitLab { url, token_id: take("apiTokenId") });
                Ok(())
            })
        })
    })
}

fn security(at: &At<'_>, value: &Value, config: &mut Config) -> Result<(), String> {
    at.each(value, &["gitHostKeyVerificationConfiguration", "globalJobDslSecurityConfiguration"], |key, at, value| match key {
        "globalJobDslSecurityConfiguration" => {
            at.needs("job-dsl")?;
            at.each(value, &["useScriptSecurity"], |_, at, value| at.flag(value).map(drop))
        }
        _ => {
            at.needs("git-client")?;
            at.each(value, &["sshHostKeyVerificationStrategy"], |_, at, value| {
                at.each(value, &["manuallyProvidedKeyVerificationStrategy"], |_, at, value| {
                    config.known_hosts = at.texts(value, &["approvedHostKeys"])?.remove("approvedHostKeys");
                    Ok(())
                })
            })
        }
    })
}

fn jobs(at: &At<'_>, value: &Value, config: &mut Config) -> Result<(), String> {
    at.needs("job-dsl")?;
    at.items(value)?.iter().try_for_each(|item| {
        at.each(item, &["script"], |_, at, value| {
            let jobs = dsl::read(&at.text(value)?, at.plugins)
                .or_else(|why| at.fail(&format!("javaposse.jobdsl.dsl.DslScriptException: {why}")))?;
            config.jobs.extend(jobs);
            Ok(())
        })
    })
}

#[cfg(test)]
#[path = "casc_tests.rs"]
mod tests;
