//! The Jenkins stand-in as a whole: configured from code, called by a hook, building a real git repository with real programs, and
//! telling a GitLab of this test what it does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests may panic")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use standins::jenkins::hook::{Hook, take};
use standins::jenkins::record::{Build, Cause};
use standins::jenkins::state::Jenkins;
use standins::jenkins::{build, plugins};

/// A GitLab that takes commit statuses: what it was told, in order.
fn gitlab() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let out = Arc::clone(&told);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").and_then(|n| n.trim().parse().ok()));
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            let status: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let good = head.contains("private-token: t0ken") && head.starts_with("POST /api/v4/projects/7/statuses/");
            told.lock().unwrap().push(format!("{} {}", status["name"].as_str().unwrap(), status["state"].as_str().unwrap()));
            let code = if good { "201 Created" } else { "401 Unauthorized" };
            let _ = write!(&stream, "HTTP/1.1 {code}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
        }
    });
    (url, out)
}

struct Lab {
    dir: tempfile::TempDir,
    jenkins: Arc<Jenkins>,
    told: Arc<Mutex<Vec<String>>>,
}

fn git(repository: &Path, args: &[&str]) -> String {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false"];
    let output = Command::new("git").args(identity).args(args).current_dir(repository).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

const CASC: &str = r#"
jenkins:
  numExecutors: 1
  securityRealm: {local: {allowsSignup: false, users: [{id: admin, password: admin-password}]}}
  authorizationStrategy: {globalMatrix: {entries: [{user: {name: admin, permissions: [Overall/Administer]}}]}}
  globalNodeProperties: [{envVars: {env: [{key: LAB, value: here}, {key: PATH+LAB, value: /opt/lab/bin}]}}]
credentials:
  system:
    domainCredentials:
      - credentials:
          - usernamePassword: {scope: GLOBAL, id: registry-push, username: push, password: s3cret-word}
          - gitLabApiTokenImpl: {scope: SYSTEM, id: gitlab-api, apiToken: t0ken}
          - basicSSHUserPrivateKey: {scope: GLOBAL, id: key, username: git, privateKeySource: {directEntry: {privateKey: PRIVATE}}}
unclassified:
  location: {url: "https://j.example:8080/"}
  gitlabconnectionconfig: {connections: [{name: gitlab, url: "GITLAB", apiTokenId: gitlab-api}]}
security:
  gitHostKeyVerificationConfiguration: {sshHostKeyVerificationStrategy: {manuallyProvidedKeyVerificationStrategy: {approvedHostKeys: "g ssh-ed25519 A"}}}
jobs:
  - script: |
      pipelineJob('app') {
          properties {
              gitLabConnection { gitLabConnection('gitlab') }
              pipelineTriggers { triggers { gitlab { triggerOnPush(true); secretToken('hook-token'); pendingBuildName('pipeline') } } }
          }
          definition { cpsScm {
              scm { git { remote { url('REPOSITORY'); credentials('key') }; branch('*/main') } }
              lightweight(false)
          } }
      }
"#;

impl Lab {
    /// A Jenkins whose job builds a repository with this Jenkinsfile.
    fn new(jenkinsfile: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (url, told) = gitlab();
        let repository = dir.path().join("repository");
        std::fs::create_dir(&repository).unwrap();
        git(&repository, &["init", "--quiet", "."]);
        let plugins: BTreeMap<String, String> = plugins::catalog().keys().map(|name| ((*name).to_owned(), "1".to_owned())).collect();
        plugins::write(&dir.path().join("ref/plugins"), &plugins).unwrap();
        let casc = CASC.replace("GITLAB", &url).replace("REPOSITORY", repository.to_str().unwrap());
        std::fs::create_dir(dir.path().join("casc")).unwrap();
        std::fs::write(dir.path().join("casc/jenkins.yml"), casc).unwrap();
        std::fs::write(dir.path().join("cacerts"), "").unwrap();
        let jenkins = Self::start(dir.path());
        let lab = Self { dir, jenkins, told };
        lab.commit("Jenkinsfile", jenkinsfile);
        lab
    }

    fn start(dir: &Path) -> Arc<Jenkins> {
        let jenkins = Jenkins::start(&dir.join("home"), &dir.join("casc"), &dir.join("ref"), &dir.join("cacerts")).unwrap();
        let executor = Arc::clone(&jenkins);
        std::thread::spawn(move || build::executor(&executor));
        jenkins
    }

    fn repository(&self) -> PathBuf {
        self.dir.path().join("repository")
    }

    fn commit(&self, file: &str, content: &str) -> String {
        std::fs::write(self.repository().join(file), content).unwrap();
        git(&self.repository(), &["add", "."]);
        git(&self.repository(), &["commit", "--quiet", "-m", "change"]);
        git(&self.repository(), &["rev-parse", "HEAD"])
    }

    fn push(&self, branch: &str, sha: &str) -> (u16, String) {
        self.hook("app", Some("Push Hook"), Some("hook-token"), &format!("refs/heads/{branch}"), sha)
    }

    fn hook(&self, job: &str, event: Option<&str>, token: Option<&str>, reference: &str, sha: &str) -> (u16, String) {
        let body = serde_json::json!({"ref": reference, "after": sha, "before": "0".repeat(40), "user_name": "developer", "project_id": 7, "commits": []});
        take(&self.jenkins, &Hook { job, event, token, user: None, body: body.to_string().as_bytes() })
    }

    fn wait(&self, number: u64) -> Build {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(build) = self.jenkins.build("app", number).filter(|build| build.result.is_some()) {
                return build;
            }
            assert!(Instant::now() < until, "build {number} does not end:\n{}", self.log(number));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self, number: u64) -> String {
        std::fs::read_to_string(self.dir.path().join(format!("home/jobs/app/builds/{number}/log"))).unwrap_or_default()
    }

    fn stages(&self, build: &Build) -> Vec<String> {
        build.stages.iter().map(|stage| format!("{} {}", stage.name, stage.status)).collect()
    }
}

const WHOLE: &str = r#"
pipeline {
    agent any
    options { gitLabConnection('gitlab'); disableConcurrentBuilds(); skipDefaultCheckout(); timestamps(); timeout(time: 1, unit: 'MINUTES') }
    environment { NAME = "app-${LAB}" }
    stages {
        stage('checkout') { steps { gitlabCommitStatus('checkout') { checkout scm; sh 'git log -1 --oneline; ls' } } }
        stage('secrets') {
            steps {
                withCredentials([usernamePassword(credentialsId: 'registry-push', usernameVariable: 'U', passwordVariable: 'P')]) {
                    sh 'echo "user $U password $P"; printf %s "$P" | base64'
                }
                withCredentials([sshUserPrivateKey(credentialsId: 'key', keyFileVariable: 'K')]) {
                    sh 'cat "$K"; stat -c %a "$K"; echo at $K'
                }
                sh 'echo "gone: ${P-unset}" && echo $NAME $STAGE_NAME && case $PATH in /opt/lab/bin:*) echo path;; esac'
            }
        }
        stage('other branches') {
            when { expression { env.gitlabBranch != 'main' } }
            steps { sh 'exit 1' }
        }
        stage('soft') { steps { unstable 'only a warning' } }
        stage('fails') { steps { gitlabCommitStatus('fails') { sh 'mkdir -p out && echo kept >out/a.txt && exit ${CODE:-3}' } } }
        stage('never') { steps { gitlabCommitStatus('never') { sh 'echo reached' } } }
    }
    post {
        failure { updateGitlabCommitStatus name: 'pipeline', state: 'failed' }
        always { archiveArtifacts artifacts: 'out/*'; sh 'echo cleaned' }
        success { sh 'echo wrong' }
    }
}
"#;

#[test]
fn a_push_runs_the_stages_for_real() {
    let lab = Lab::new(WHOLE);
    let sha = git(&lab.repository(), &["rev-parse", "HEAD"]);
    assert_eq!(lab.push("main", &sha), (200, String::new()));
    let build = lab.wait(1);
    let log = lab.log(1);
    assert_eq!(build.result.as_deref(), Some("FAILURE"), "{log}");
    assert_eq!(
        lab.stages(&build),
        [
            "checkout SUCCESS",
            "secrets SUCCESS",
            "other branches NOT_EXECUTED",
            "soft UNSTABLE",
            "fails FAILED",
            "never NOT_EXECUTED",
            "Declarative: Post Actions SUCCESS"
        ],
        "{log}"
    );
    for text in [
        "Started by GitLab push by developer",
        "Obtained Jenkinsfile from git",
        "user push password ****",
        "gone: unset",
        "app-here secrets",
        "600",
        "at ****",
        "] path",
        "script returned exit code 3",
        "cleaned",
        "Finished: FAILURE",
    ] {
        assert!(log.contains(text), "{text}\n{log}");
    }
    for secret in ["s3cret-word", "czNjcmV0LXdvcmQ", "echo reached", "echo wrong"] {
        assert!(!log.contains(secret), "{secret}\n{log}");
    }
    assert!(log.lines().any(|line| line.starts_with("[20") && line.contains("Z] + git log -1")), "times: {log}");
    assert_eq!(build.commit.as_deref(), Some(sha.as_str()));
    assert_eq!(build.artifacts, ["out/a.txt"]);
    let told = lab.told.lock().unwrap().clone();
    assert_eq!(told, ["pipeline pending", "checkout running", "checkout success", "fails running", "fails failed", "pipeline failed"]);
    // Keys and the like are gone with the build.
    let left =
        Command::new("find").args([lab.dir.path().join("home").to_str().unwrap(), "-path", "*@tmp/*", "-type", "f"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
    let json = build.json("https://j.example:8080/");
    assert_eq!(json["actions"][0]["causes"][0]["shortDescription"], "Started by GitLab push by developer");
    assert_eq!(json["actions"][1]["lastBuiltRevision"]["SHA1"], sha.as_str());
}

#[test]
fn the_rules_of_the_hook() {
    let lab = Lab::new("pipeline { agent any; stages { stage('a') { steps { sh 'true' } } } }");
    let sha = git(&lab.repository(), &["rev-parse", "HEAD"]);
    let main = "refs/heads/main";
    assert_eq!(lab.hook("app", Some("Push Hook"), Some("wrong"), main, &sha), (401, "Invalid token".into()));
    assert_eq!(lab.hook("app", Some("Push Hook"), None, main, &sha).0, 401);
    assert_eq!(lab.hook("other", Some("Push Hook"), Some("hook-token"), main, &sha).0, 404);
    // Nothing happens, and nobody is told.
    assert_eq!(lab.hook("app", None, None, main, &sha).0, 200);
    assert_eq!(lab.hook("app", Some("Wiki Page Hook"), Some("wrong"), main, &sha).0, 200);
    assert_eq!(lab.hook("app", Some("Push Hook"), Some("hook-token"), main, &"0".repeat(40)).0, 200);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(Build::numbers(&lab.jenkins.home, "app"), [0_u64; 0]);
    assert_eq!(lab.push("main", &sha).0, 200);
    let build = lab.wait(1);
    assert_eq!(
        (build.result.as_deref(), lab.stages(&build)),
        (Some("SUCCESS"), vec!["Declarative: Checkout SCM SUCCESS".into(), "a SUCCESS".into()]),
        "{}",
        lab.log(1)
    );
}

#[test]
fn the_pushed_commit_is_built_not_the_newest() {
    let lab = Lab::new("pipeline { agent any; stages { stage('a') { steps { sh 'cat version' } } } }");
    let first = lab.commit("version", "one\n");
    git(&lab.repository(), &["checkout", "--quiet", "-b", "feature"]);
    let second = lab.commit("version", "two\n");
    lab.push("main", &first);
    lab.push("feature", &second);
    let (one, two) = (lab.wait(1), lab.wait(2));
    assert_eq!((one.commit, two.commit), (Some(first), Some(second)));
    assert!(lab.log(1).contains("\none\n") && lab.log(2).contains("\ntwo\n"));
    // Started by hand: the job's branch.
    lab.jenkins.enqueue("app", Cause::User("admin".into()), BTreeMap::new());
    lab.wait(3);
    assert!(lab.log(3).contains("\none\n"), "{}", lab.log(3));
}

#[test]
fn builds_are_aborted_time_out_and_survive_a_restart() {
    let lab = Lab::new(
        "pipeline { agent any; stages { stage('a') { steps { sh 'sleep 50' } } }\n post { aborted { sh 'echo after the abort' } } }",
    );
    let sha = git(&lab.repository(), &["rev-parse", "HEAD"]);
    lab.push("main", &sha);
    let until = Instant::now() + Duration::from_secs(30);
    while !lab.log(1).contains("+ sleep 50") {
        assert!(Instant::now() < until, "{}", lab.log(1));
        std::thread::sleep(Duration::from_millis(20));
    }
    lab.jenkins.work(|work| work.running.values().for_each(|(abort, _)| abort.ask()));
    let build = lab.wait(1);
    assert_eq!((build.result.as_deref(), lab.stages(&build)[1].as_str()), (Some("ABORTED"), "a ABORTED"));
    assert!(lab.log(1).contains("after the abort"));

    let sha = lab.commit(
        "Jenkinsfile",
        "pipeline { agent any; stages { stage('a') { steps { timeout(time: 1, unit: 'SECONDS') { sh 'sleep 50' } } } } }",
    );
    lab.push("main", &sha);
    assert_eq!(lab.wait(2).result.as_deref(), Some("ABORTED"));
    assert!(lab.log(2).contains("Timeout has been exceeded"));

    let sha = lab.commit("Jenkinsfile", "pipeline { agent any; stages { stage('a') { steps { bat 'dir' } } } }");
    lab.push("main", &sha);
    assert_eq!(lab.wait(3).result.as_deref(), Some("FAILURE"));
    assert!(lab.log(3).contains("No such DSL method 'bat' found among steps [archiveArtifacts, checkout"), "{}", lab.log(3));

    // A restart: builds are there, one that was cut off has ended, numbers go on.
    let mut cut = lab.jenkins.build("app", 3).unwrap();
    (cut.number, cut.result) = (4, None);
    cut.save(&lab.jenkins.home).unwrap();
    let jenkins = Lab::start(lab.dir.path());
    assert_eq!(jenkins.build("app", 4).unwrap().result.as_deref(), Some("ABORTED"));
    jenkins.enqueue("app", Cause::User("admin".into()), BTreeMap::new());
    let until = Instant::now() + Duration::from_secs(30);
    while jenkins.build("app", 5).is_none() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_wrong_configuration_does_not_start_and_a_wrong_reload_changes_nothing() {
    let lab = Lab::new("");
    let file = lab.dir.path().join("casc/jenkins.yml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, good.replace("numExecutors", "numExecutorz")).unwrap();
    let start = |home: &str| {
        Jenkins::start(
            &lab.dir.path().join(home),
            &lab.dir.path().join("casc"),
            &lab.dir.path().join("ref"),
            &lab.dir.path().join("cacerts"),
        )
    };
    assert!(start("second").err().unwrap().contains("ConfiguratorException: jenkins: Invalid configuration elements: numExecutorz"));
    assert!(lab.jenkins.reload().is_err());
    assert_eq!(lab.jenkins.config().jobs.len(), 1);
    std::fs::write(&file, good.replace("numExecutors: 1", "numExecutors: 3")).unwrap();
    lab.jenkins.reload().unwrap();
    assert_eq!(lab.jenkins.config().executors, 3);
    // A plugin that misses another one is no plugin.
    std::fs::remove_file(lab.dir.path().join("ref/plugins/structs.jpi")).unwrap();
    assert!(start("third").err().unwrap().contains("structs is missing"));
}
