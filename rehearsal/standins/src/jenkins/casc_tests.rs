#![allow(clippy::unwrap_used, reason = "tests may panic")]

use super::*;

fn all() -> Plugins {
    crate::jenkins::plugins::catalog().keys().map(|name| ((*name).to_owned(), "1".to_owned())).collect()
}

fn sources() -> Sources {
    Sources { env: |name| (name == "ADMIN").then(|| "s3cret".to_owned()), secrets: "/nonexistent".into() }
}

fn config(yaml: &str, plugins: &Plugins) -> Result<Config, String> {
    read(&serde_yaml::from_str(yaml).unwrap(), plugins, &sources())
}

const GOOD: &str = r#"
jenkins:
  numExecutors: 1
  slaveAgentPort: -1
  securityRealm: {local: {allowsSignup: false, users: [{id: admin, password: "${ADMIN}"}]}}
  authorizationStrategy:
    globalMatrix:
      entries:
        - user: {name: admin, permissions: [Overall/Administer]}
  globalNodeProperties:
    - envVars: {env: [{key: REGISTRY, value: "r:5000"}]}
credentials:
  system:
    domainCredentials:
      - credentials:
          - usernamePassword: {scope: GLOBAL, id: p, username: u, password: "${ADMIN}"}
          - gitLabApiTokenImpl: {scope: SYSTEM, id: t, apiToken: x}
          - basicSSHUserPrivateKey: {scope: GLOBAL, id: k, username: git, privateKeySource: {directEntry: {privateKey: "K"}}}
unclassified:
  location: {url: "https://j.example:8080/"}
  gitlabconnectionconfig: {useAuthenticatedEndpoint: true, connections: [{name: gitlab, url: "https://g.example/", apiTokenId: t}]}
security:
  gitHostKeyVerificationConfiguration: {sshHostKeyVerificationStrategy: {manuallyProvidedKeyVerificationStrategy: {approvedHostKeys: "g ssh-ed25519 A"}}}
  globalJobDslSecurityConfiguration: {useScriptSecurity: false}
"#;

#[test]
fn a_whole_configuration() {
    let config = config(GOOD, &all()).unwrap();
    assert_eq!((config.executors, config.url.as_str()), (1, "https://j.example:8080/"));
    assert!(config.users[0].accepts("s3cret") && !config.users[0].accepts("other"));
    assert_eq!(config.credentials.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["p", "t", "k"]);
    assert_eq!(config.gitlab["gitlab"].url, "https://g.example");
    assert_eq!(config.env, [("REGISTRY".to_owned(), "r:5000".to_owned())]);
    assert_eq!(config.known_hosts.as_deref(), Some("g ssh-ed25519 A"));
}

#[test]
fn what_it_does_not_know_is_refused() {
    for (from, to, want) in [
        ("numExecutors", "numExecutorz", "Invalid configuration elements: numExecutorz. Available attributes : "),
        ("jenkins:", "jenkinz:", "No configurator for the following root elements: jenkinz"),
        ("usernamePassword", "userPassword", "userPassword"),
        ("scope: GLOBAL, id: p", "scope: LOCAL, id: p", "CredentialsScope.LOCAL"),
        ("id: t,", "id: p,", "the id p is there twice"),
        ("password: \"${ADMIN}\"}]}}", "password: \"${NOPE}\"}]}}", "the password of admin is empty"),
        ("Overall/Administer", "Overall/Admin", "Overall/Admin"),
        ("numExecutors: 1", "numExecutors: many", "jenkins.numExecutors: a number was expected"),
        ("connections: [{", "connections: [{ignoreCertificateErrors: true, ", "not in the rehearsal"),
    ] {
        let yaml = GOOD.replacen(from, to, 1);
        assert_ne!(yaml, GOOD, "{from}");
        let error = config(&yaml, &all()).err().unwrap();
        assert!(error.contains(want) && error.contains("ConfiguratorException"), "{want}: {error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn every_element_needs_its_plugin() {
    for plugin in ["matrix-auth", "credentials", "ssh-credentials", "gitlab-plugin", "git-client", "job-dsl"] {
        let mut plugins = all();
        plugins.remove(plugin);
        let error = config(GOOD, &plugins).err().unwrap();
        assert!(error.contains(&format!("of the plugin {plugin}, which is not installed")), "{plugin}: {error}");
    }
}

#[test]
fn two_files_must_not_say_the_same() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.yml"), GOOD).unwrap();
    std::fs::write(dir.path().join("b.yaml"), "jenkins: {systemMessage: hello}\n").unwrap();
    assert!(load(dir.path(), &all(), &sources()).is_ok());
    std::fs::write(dir.path().join("b.yaml"), "jenkins: {numExecutors: 4}\n").unwrap();
    assert!(load(dir.path(), &all(), &sources()).err().unwrap().contains("conflicting configuration at /jenkins/numExecutors"));
}
