#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::mpsc::{Receiver, channel};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::common::http::{Request, Response};
use crate::common::{date, now, sha256};
use crate::gitlab::app::{App, Paths};
use crate::gitlab::config::Config;
use crate::gitlab::deliver::Job;
use crate::gitlab::rails;
use crate::gitlab::state::Token;

/// An installation in a folder, with an administrator whose token is `root-token`.
struct Lab {
    app: App,
    jobs: Receiver<Job>,
    _folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path());
        std::fs::create_dir_all(paths.own("")).unwrap();
        std::fs::create_dir_all(paths.repository(1).parent().unwrap()).unwrap();
        let config = Config {
            external_url: "https://gitlab.lab.example".into(),
            monitoring: vec!["127.0.0.0/8".into()],
            webhook_timeout: 2,
            ..Config::default()
        };
        std::fs::write(paths.own("config.json"), serde_json::to_vec(&config).unwrap()).unwrap();
        let (sender, jobs) = channel();
        let app = App::open(paths, sender).unwrap().warm();
        App::seed(&app.store, "abcdEFGH2345jkmn").unwrap();
        let lab = Self { app, jobs, _folder: folder };
        lab.token(1, "root-token", &["api"]);
        lab
    }

    fn token(&self, user: u64, value: &str, scopes: &[&str]) {
        let digest = sha256(value.as_bytes());
        let expires_at = date(OffsetDateTime::now_utc() + Duration::days(9));
        let change = self.app.store.change(|state| {
            let id = state.id("personal_access_tokens");
            let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
            state.tokens.push(Token { id, user, name: "t".into(), digest, scopes, revoked: false, expires_at, created_at: now() });
        });
        change.unwrap();
    }

    fn request(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Response {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut headers = HeaderMap::new();
        let mut set =
            |name: &'static str, value: &str| drop(headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        if !token.is_empty() {
            set("private-token", token);
        }
        if body.is_some() {
            set("content-type", "application/json");
        }
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let peer = "127.0.0.1".parse().unwrap();
        self.app.handle(&Request { method: method.into(), path: path.into(), query: query.into(), headers, body, peer })
    }

    fn api(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.api_as("root-token", method, path, body)
    }

    fn api_as(&self, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        let answer = self.request(method, &format!("/api/v4{path}"), token, (!body.is_null()).then_some(body));
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    /// The lab's project with its people, as the role makes them.
    fn project(&self) {
        let group = self.api("POST", "/groups", json!({"name": "pozos", "path": "pozos"}));
        assert_eq!(group.0, 201, "{group:?}");
        let project = json!({"name": "student_list", "path": "student_list", "namespace_id": group.1["id"], "default_branch": "main"});
        let (status, made) = self.api("POST", "/projects", project.clone());
        assert_eq!((status, &made["path_with_namespace"], &made["empty_repo"]), (201, &json!("pozos/student_list"), &json!(true)));
        let taken = json!(["has already been taken"]);
        let again = self.api("POST", "/projects", project);
        assert_eq!((again.0, &again.1["message"]["path"]), (400, &taken));
        for (name, token) in [("developer", "developer-token"), ("jenkins", "jenkins-token")] {
            let user = json!({"username": name, "name": name, "email": format!("{name}@lab.example"), "password": "abcdEFGH2345jkmn", "skip_confirmation": true});
            let (status, made) = self.api("POST", "/users", user);
            assert_eq!(status, 201, "{made}");
            self.token(made["id"].as_u64().unwrap(), token, &["api"]);
            let member = json!({"user_id": made["id"], "access_level": 30});
            assert_eq!(self.api("POST", &format!("{PROJECT}/members"), member.clone()).0, 201);
            assert_eq!(self.api("POST", &format!("{PROJECT}/members"), member), (409, json!({"message": "Member already exists"})));
        }
    }

    fn commit(&self, token: &str, branch: &str, file: &str) -> (u16, Value) {
        let body = json!({"branch": branch, "commit_message": "m", "actions": [{"action": "create", "file_path": file, "content": "x"}]});
        self.api_as(token, "POST", &format!("{PROJECT}/repository/commits"), body)
    }

    /// As long as nobody knows of a changed setting yet.
    fn settle(&self) {
        self.app.store.change(|state| state.settings_before = None).unwrap();
    }
}

const PROJECT: &str = "/projects/pozos%2Fstudent_list";

#[test]
fn who_may_ask() {
    let lab = Lab::new();
    let unauthorized = (401, json!({"message": "401 Unauthorized"}));
    assert_eq!(lab.api_as("", "GET", "/version", Value::Null), unauthorized);
    assert_eq!(lab.api_as("wrong", "GET", "/version", Value::Null), unauthorized);
    assert!(lab.api("GET", "/version", Value::Null).1["version"].as_str().unwrap().starts_with("17.7.7"));
    lab.token(1, "reads", &["read_api"]);
    assert_eq!(lab.api_as("reads", "GET", "/user", Value::Null).0, 200);
    assert_eq!(lab.api_as("reads", "POST", "/groups", json!({"name": "a", "path": "a"})).1["error"], "insufficient_scope");
    lab.project();
    assert_eq!(lab.api_as("jenkins-token", "GET", "/application/settings", Value::Null), (403, json!({"message": "403 Forbidden"})));
    assert_eq!(lab.api_as("jenkins-token", "GET", &format!("{PROJECT}/hooks"), Value::Null).0, 403);
    assert_eq!(lab.api("GET", "/projects/pozos%2Fnone", Value::Null), (404, json!({"message": "404 Project Not Found"})));
    assert_eq!(lab.api("GET", "/nothing", Value::Null), (404, json!({"error": "404 Not Found"})));
    assert_eq!(lab.api("DELETE", "/personal_access_tokens/self", Value::Null).0, 204);
    assert_eq!(
        lab.api("GET", "/version", Value::Null).1["error_description"],
        "Token was revoked. You have to re-authorize from the user."
    );
}

#[test]
fn what_is_taken_or_wrong_is_refused_as_gitlab_does() {
    let lab = Lab::new();
    lab.project();
    let user =
        |name: &str, password: &str| json!({"username": name, "name": name, "email": format!("{name}@x.example"), "password": password});
    assert_eq!(
        lab.api("POST", "/users", user("developer", "abcdEFGH2345jkmn")),
        (409, json!({"message": "Username has already been taken"}))
    );
    let weak = lab.api("POST", "/users", user("new", "password1234"));
    assert_eq!(
        (weak.0, &weak.1["message"]["password"]),
        (400, &json!(["must not contain commonly used combinations of words and letters"]))
    );
    assert_eq!(lab.api("POST", "/users", json!({"username": "x"})), (400, json!({"error": "email is missing"})));
    let group = lab.api("POST", "/groups", json!({"name": "pozos", "path": "pozos"}));
    assert_eq!(group, (400, json!({"message": "Failed to save group {:path=>[\"has already been taken\"]}"})));
    assert_eq!(lab.api("PUT", PROJECT, json!({"visibility": "secret"})), (400, json!({"error": "visibility does not have a valid value"})));
    assert_eq!(
        lab.api("PUT", "/application/settings", json!({"signup_enabled": "no"})),
        (400, json!({"error": "signup_enabled is invalid"}))
    );
    assert_eq!(lab.api("PUT", "/application/settings", json!({"nothing": 1})).0, 400);
    let bad = lab.request("PUT", "/api/v4/application/settings", "root-token", Some(json!("no object")));
    assert_eq!(bad.status, 400);
}

#[test]
fn hooks_into_the_lab_are_refused_until_they_are_allowed_and_forget_their_token_with_their_address() {
    let lab = Lab::new();
    lab.project();
    let hooks = format!("{PROJECT}/hooks");
    let hook = json!({"url": "https://10.90.0.11:8080/project/student_list", "token": "secret-token", "push_events": true});
    let refused = (422, json!({"error": "Invalid url given"}));
    assert_eq!(lab.api("POST", &hooks, hook.clone()), refused);
    assert_eq!(lab.api("PUT", "/application/settings", json!({"outbound_local_requests_whitelist": ["10.90.0.11:8080"]})).0, 200);
    assert_eq!(lab.api("POST", &hooks, hook.clone()), refused, "processes know of the change only later");
    lab.settle();
    let (status, made) = lab.api("POST", &hooks, hook);
    assert_eq!((status, made.get("token")), (201, None));
    assert_eq!(lab.api("POST", &hooks, json!({"url": "https://10.90.0.11:9090/"})), refused, "another port");
    assert_eq!(lab.api("POST", &hooks, json!({"url": "ftp://example.com"})), refused);
    assert_eq!(lab.api("POST", &hooks, json!({})), (400, json!({"error": "url is missing"})));
    let token = || lab.app.store.read(|state| state.hooks[0].token.clone());
    let own = format!("{hooks}/{}", made["id"]);
    assert_eq!(lab.api("PUT", &own, json!({"push_events": false})).1["push_events"], false);
    assert_eq!(token().as_deref(), Some("secret-token"));
    assert_eq!(lab.api("PUT", &own, json!({"url": "https://10.90.0.11:8080/other"})).0, 200);
    assert_eq!(token(), None);
    assert_eq!(lab.api("DELETE", &own, Value::Null).0, 204);
    assert_eq!(lab.api("DELETE", &own, Value::Null), (404, json!({"message": "404 Not found"})));
}

#[test]
fn a_protected_branch_takes_commits_of_developers_only_if_it_says_so() {
    let lab = Lab::new();
    lab.project();
    let rules = format!("{PROJECT}/protected_branches");
    let rule = json!({"name": "main", "push_access_level": 40});
    assert_eq!(lab.api("POST", &rules, rule.clone()).1["push_access_levels"][0]["access_level"], 40);
    assert_eq!(lab.api("POST", &rules, rule), (409, json!({"message": "Protected branch 'main' already exists"})));
    assert_eq!(
        lab.commit("developer-token", "main", "a"),
        (400, json!({"message": "You are not allowed to push into this branch (main)"}))
    );
    assert_eq!(lab.api("DELETE", &format!("{rules}/main"), Value::Null).0, 204);
    assert_eq!(lab.api("POST", &rules, json!({"name": "main", "push_access_level": 30, "merge_access_level": 30})).0, 201);
    let (status, made) = lab.commit("developer-token", "main", "a");
    assert_eq!((status, &made["author_name"]), (201, &json!("developer")));
    assert_eq!(lab.commit("developer-token", "main", "a"), (400, json!({"message": "A file with this name already exists"})));
    let branch = format!("{PROJECT}/repository/branches/main");
    assert_eq!(lab.api_as("developer-token", "DELETE", &branch, Value::Null).0, 405);
    assert_eq!(lab.api("GET", &branch, Value::Null).1["protected"], true);
    let file = lab.api("GET", &format!("{PROJECT}/repository/files/a?ref=main"), Value::Null);
    assert_eq!((file.0, &file.1["content"]), (200, &json!("eA==")));
    assert_eq!(lab.api("GET", &format!("{PROJECT}/repository/files/b?ref=main"), Value::Null).0, 404);
}

#[test]
fn after_the_first_push_gitlab_protects_the_default_branch_itself() {
    let lab = Lab::new();
    lab.project();
    assert_eq!(lab.commit("developer-token", "main", "a").0, 201);
    let rule = lab.api("GET", &format!("{PROJECT}/protected_branches/main"), Value::Null);
    assert_eq!((rule.0, &rule.1["push_access_levels"][0]["access_level"]), (200, &json!(40)));
    assert_eq!(lab.commit("developer-token", "main", "b").0, 400);
}

#[test]
fn a_push_is_told_in_the_documented_form() {
    let lab = Lab::new();
    lab.project();
    lab.api("PUT", "/application/settings", json!({"outbound_local_requests_whitelist": ["127.0.0.1"]}));
    lab.settle();
    let hooks = format!("{PROJECT}/hooks");
    assert_eq!(lab.api("POST", &hooks, json!({"url": "http://127.0.0.1:1/x", "token": "t"})).0, 201);
    assert_eq!(lab.api("POST", &hooks, json!({"url": "http://127.0.0.1:1/y", "push_events_branch_filter": "release-*"})).0, 201);
    let (_, made) = lab.commit("root-token", "main", "a");
    let job = lab.jobs.try_recv().unwrap();
    assert!(lab.jobs.try_recv().is_err(), "the other hook is for other branches");
    let payload = &job.payload;
    for (path, want) in [
        ("/object_kind", json!("push")),
        ("/event_name", json!("push")),
        ("/ref", json!("refs/heads/main")),
        ("/before", json!("0".repeat(40))),
        ("/after", made["id"].clone()),
        ("/checkout_sha", made["id"].clone()),
        ("/user_username", json!("root")),
        ("/project/path_with_namespace", json!("pozos/student_list")),
        ("/project/git_http_url", json!("https://gitlab.lab.example/pozos/student_list.git")),
        ("/project/git_ssh_url", json!("git@gitlab.lab.example:pozos/student_list.git")),
        ("/project/default_branch", json!("main")),
        ("/commits/0/id", made["id"].clone()),
        ("/commits/0/added", json!(["a"])),
        ("/total_commits_count", json!(1)),
        ("/repository/homepage", json!("https://gitlab.lab.example/pozos/student_list")),
    ] {
        assert_eq!(payload.pointer(path), Some(&want), "{path}");
    }
    // Nobody listens there: the log says so, and after four failures in a row the hook rests.
    for _ in 0..4 {
        crate::gitlab::deliver::deliver(&lab.app, &job);
    }
    let (_, events) = lab.api("GET", &format!("{hooks}/{}/events", job.hook), Value::Null);
    assert_eq!((events.as_array().unwrap().len(), &events[0]["response_status"]), (4, &json!("internal error")));
    assert_eq!(events[0]["request_headers"]["X-Gitlab-Token"], "[REDACTED]");
    assert_eq!(lab.api("GET", &format!("{hooks}/{}", job.hook), Value::Null).1["alert_status"], "temporarily_disabled");
    lab.commit("root-token", "main", "b");
    assert!(lab.jobs.try_recv().is_err(), "it rests");
}

#[test]
fn states_of_commits() {
    let lab = Lab::new();
    lab.project();
    let (_, made) = lab.commit("root-token", "main", "a");
    let sha = made["id"].as_str().unwrap();
    let path = format!("{PROJECT}/statuses/{sha}");
    let state = |word: &str| json!({"state": word, "name": "build", "ref": "main", "target_url": "https://deploy.lab.example:8080/job/1"});
    assert_eq!(lab.api_as("jenkins-token", "POST", &path, state("running")).0, 403, "main is for maintainers");
    lab.api("DELETE", &format!("{PROJECT}/protected_branches/main"), Value::Null);
    lab.api("POST", &format!("{PROJECT}/protected_branches"), json!({"name": "main", "push_access_level": 30}));
    assert_eq!(lab.api_as("jenkins-token", "POST", &path, state("running")).0, 201);
    let twice = lab.api_as("jenkins-token", "POST", &path, state("running"));
    assert!(twice.0 == 400 && twice.1["message"].as_str().unwrap().starts_with("Cannot transition status via :run from :running"));
    assert_eq!(lab.api_as("jenkins-token", "POST", &path, state("done")), (400, json!({"error": "state does not have a valid value"})));
    assert_eq!(lab.api_as("jenkins-token", "POST", &path, state("success")).1["status"], "success");
    let list = lab.api("GET", &format!("{PROJECT}/repository/commits/{sha}/statuses"), Value::Null).1;
    assert_eq!(
        (list.as_array().unwrap().len(), &list[0]["status"], &list[0]["author"]["username"]),
        (1, &json!("success"), &json!("jenkins"))
    );
    assert_eq!(lab.api("GET", &format!("{PROJECT}/repository/commits/{sha}"), Value::Null).1["status"], "success");
    assert_eq!(lab.api("POST", &format!("{PROJECT}/statuses/{}", "a".repeat(40)), state("success")).0, 404);
}

#[test]
fn keys_and_what_they_open() {
    let lab = Lab::new();
    lab.project();
    let keys = format!("{PROJECT}/deploy_keys");
    let key = format!("ssh-ed25519 {}", "A".repeat(68));
    assert_eq!(lab.api("POST", &keys, json!({"title": "jenkins", "key": "ssh-ed25519 x"})).0, 400);
    let (status, made) = lab.api("POST", &keys, json!({"title": "jenkins", "key": key}));
    assert_eq!((status, &made["can_push"], &made["key"]), (201, &json!(false), &json!(key)));
    let written = std::fs::read_to_string(lab.app.paths.at("/var/opt/gitlab/.ssh/authorized_keys")).unwrap();
    assert!(
        written
            .contains(&format!("gitlab-shell key-{}\",no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty {key}", made["id"])),
        "{written}"
    );
    let ssh = |command: &str| {
        let body = json!({"key": format!("key-{}", made["id"]), "command": command});
        serde_json::from_slice::<Value>(&crate::gitlab::internal::handle(&lab.app, "/ssh", &body).body).unwrap()
    };
    assert_eq!(ssh("git-upload-pack 'pozos/student_list.git'")["allowed"], true);
    assert_eq!(ssh("git-receive-pack 'pozos/student_list.git'")["message"], "This deploy key does not have write access to this project.");
    assert_eq!(ssh("git-upload-pack 'pozos/other.git'")["allowed"], false);
    assert_eq!(ssh("sh -i")["message"], "Disallowed command");
    assert_eq!(ssh("")["welcome"], "Welcome to GitLab, Anonymous!");
    assert_eq!(lab.api("DELETE", &format!("{keys}/{}", made["id"]), Value::Null).0, 204);
    assert!(!std::fs::read_to_string(lab.app.paths.at("/var/opt/gitlab/.ssh/authorized_keys")).unwrap().contains("key-"));
}

#[test]
fn rails_runs_what_the_role_sends_and_nothing_else() {
    let lab = Lab::new();
    lab.project();
    let run = |calls: &str| rails::run(&lab.app, &format!("{}{calls}\n", rails::PRELUDE));
    run("poclab_token('jenkins', 'commit statuses', 'abcdEFGH2345jkmnabcd', %w[api])").unwrap();
    assert_eq!(lab.api_as("abcdEFGH2345jkmnabcd", "GET", "/user", Value::Null).1["username"], "jenkins");
    run("poclab_token('jenkins', 'commit statuses', 'ABCDefgh2345jkmnabcd', %w[api])").unwrap();
    assert_eq!(lab.api_as("abcdEFGH2345jkmnabcd", "GET", "/user", Value::Null).0, 401, "the older one of this name is revoked");
    run("poclab_password('developer', 'new-abcdEFGH2345')").unwrap();
    for (calls, says) in [
        ("poclab_token('nobody', 'x', 'ABCDefgh2345jkmnabcd', %w[api])", "nil"),
        ("poclab_token('jenkins', 'x', 'short', %w[api])", "too short"),
        ("poclab_token('jenkins', 'x', 'ABCDefgh2345jkmnabcd', %w[sudo_all])", "Scopes"),
        ("poclab_password('developer', 'password')", "commonly used"),
        ("User.all.destroy_all()", "not a statement"),
        ("system('reboot')", "not a statement"),
    ] {
        assert!(run(calls).unwrap_err().contains(says), "{calls}: {:?}", run(calls));
    }
    assert!(rails::run(&lab.app, "puts 1\n").is_err());
}

#[test]
fn a_password_that_an_administrator_changes_must_be_changed_again() {
    let lab = Lab::new();
    lab.project();
    let id = lab.api("GET", "/users?username=developer", Value::Null).1[0]["id"].clone();
    assert_eq!(lab.api("PUT", &format!("/users/{id}"), json!({"password": "new-abcdEFGH2345"})).0, 200);
    assert!(lab.app.store.read(|state| state.users.iter().any(|user| user.username == "developer" && user.password_expired)));
}

#[test]
fn health_is_for_those_who_may_know_it() {
    let lab = Lab::new();
    assert_eq!(lab.request("GET", "/-/readiness", "", None).status, 200);
    let headers = HeaderMap::new();
    let stranger = Request {
        method: "GET".into(),
        path: "/-/readiness".into(),
        query: String::new(),
        headers,
        body: Vec::new(),
        peer: "10.0.0.9".parse().unwrap(),
    };
    assert_eq!(lab.app.handle(&stranger).status, 404);
    assert_eq!(lab.request("GET", "/users/sign_up", "", None).status, 200);
    lab.api("PUT", "/application/settings", json!({"signup_enabled": false}));
    assert_eq!(lab.request("GET", "/users/sign_up", "", None).status, 302);
}
