//! Role `gitlab` on rehearsal hosts: from bare to verified, nothing on a second run, each damage named and repaired exactly.
//!
//! Run by `make lab-test`. GitLab is the rehearsal's stand-in; git, sshd, TLS and the host are real. Only two hosts are set up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests may panic")]

#[path = "support/container_lab.rs"]
mod container_lab;

use std::collections::BTreeSet;

use container_lab::{Project, changes, of_kind, set};
use serde_json::Value;

const HOSTS: [&str; 2] = ["gitlab", "deploy"];
const NARROW: [&str; 10] = ["--host", "gitlab", "--host", "deploy", "--role", "base", "--role", "firewall", "--role", "gitlab"];
const PROJECT: &str = "/projects/pozos%2Fstudent_list";

struct Lab {
    project: Project,
    token: String,
}

#[test]
#[ignore = "needs docker and minutes: make lab-test"]
fn a_host_becomes_a_gitlab_that_stays_as_it_is_wanted() {
    let project = Project::with("gitlab4", "10.95", &["gitlab"]);
    assert!(project.poclab(&["rehearse", "up"]).status.success());
    let mut lab = Lab { project, token: String::new() };
    bootstrap_sets_up_and_verifies(&mut lab);
    a_second_run_changes_nothing_in_one_exec_per_host(&lab);
    people_push_and_rules_hold(&lab);
    damage_is_named_and_repaired_exactly(&lab);
    without_poclab_s_own_token_nothing_is_taken_for_good(&lab);
    a_stopped_gitlab_is_started(&lab);
    a_rotated_password_and_token_replace_the_old_ones(&lab);
}

impl Lab {
    fn run(&self, what: &[&str], more: &[&str]) -> (i32, Vec<Value>) {
        self.project.events(&[what, NARROW.as_slice(), more].concat())
    }

    fn bootstrap(&self) -> (i32, Vec<Value>) {
        self.run(&["bootstrap"], &["--check", "gitlab"])
    }

    fn secret(&self, name: &str) -> String {
        let output = self.project.poclab_quietly(&["secrets", "show", name, "--field", "password"]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// What a person does with the API.
    fn api(&self, method: &str, path: &str, body: &str) -> Value {
        let ca = "/etc/pki/ca-trust/source/anchors/poclab-gitlab4-ca.pem";
        let (token, url) = (&self.token, "https://gitlab.lab.example/api/v4");
        let shell = format!(
            "curl -q -sS --cacert {ca} -X {method} -H 'PRIVATE-TOKEN: {token}' -H 'Content-Type: application/json' --data '{body}' '{url}{path}'"
        );
        serde_json::from_str(&self.project.on("gitlab", &shell)).unwrap_or_default()
    }

    fn only(&self, list: &str) -> u64 {
        let list = self.api("GET", list, "");
        assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
        list[0]["id"].as_u64().unwrap()
    }
}

fn bootstrap_sets_up_and_verifies(lab: &mut Lab) {
    let (exit, planned) = lab.run(&["plan"], &[]);
    assert_eq!(exit, 2, "a bare host can be planned");
    let (exit, events) = lab.bootstrap();
    let bad: Vec<_> =
        events.iter().filter(|e| e["event"] == "role_failed" || (e["event"] == "check_result" && e["status"] == "failed")).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert_eq!((exit, changes(&events)), (0, changes(&planned)), "exactly what was planned");
    let results = of_kind(&events, "check_result");
    let controls = results.iter().filter(|event| event["control"] == true && event["status"] == "passed").count();
    assert_eq!((results.len(), controls), (16, 7));
    lab.token = lab.secret("gitlab_api");
    // The project begins with the application, as it is in this tree.
    let file = lab.api("GET", &format!("{PROJECT}/repository/files/ci%2Fbuild?ref=main"), "");
    assert_eq!(file["execute_filemode"], true, "{file}");
    assert_eq!(lab.api("GET", &format!("{PROJECT}/repository/commits"), "").as_array().unwrap().len(), 1);
    // No secret is in a file that others may read.
    for name in ["gitlab_root", "gitlab_developer", "gitlab_api", "gitlab_status_token", "gitlab_hook"] {
        let find = format!(
            "find /etc/gitlab /var/lib/poclab /var/opt/gitlab /tmp -type f -perm -o=r -exec grep -lF '{}' {{}} +; true",
            lab.secret(name)
        );
        assert_eq!(lab.project.on("gitlab", &find), "", "{name}");
    }
}

fn a_second_run_changes_nothing_in_one_exec_per_host(lab: &Lab) {
    // poclab's own: the check logs in to git, too.
    let count = |host: &str, text: &str| {
        let log = lab.project.on(host, "journalctl --no-pager -q -t sshd -t sshd-session");
        log.lines().filter(|line| line.contains(text)).count()
    };
    let sessions = |host: &str| (count(host, "Accepted publickey for ops"), count(host, "Starting session: command"));
    let before = HOSTS.map(sessions);
    let (exit, events) = lab.bootstrap();
    assert_eq!((exit, changes(&events)), (0, BTreeSet::new()));
    // Narrowed checks are never complete, so they run again: one exec more, on the host from which the deploy key is tried.
    for (host, (connections, execs), checks) in [("gitlab", before[0], 0), ("deploy", before[1], 1)] {
        assert_eq!(sessions(host), (connections + 1, execs + 1 + checks), "{host}");
    }
    assert_eq!(lab.run(&["plan"], &[]).0, 0);
}

/// A developer pushes over HTTPS; nobody rewrites history; GitLab tries to tell Jenkins.
fn people_push_and_rules_hold(lab: &Lab) {
    let password = lab.secret("gitlab_developer");
    let work = "cd /root/work && export GIT_SSL_CAINFO=/etc/pki/ca-trust/source/anchors/poclab-gitlab4-ca.pem";
    lab.project.on(
        "gitlab",
        &format!(
            "umask 077; mkdir /root/work; printf 'https://developer:%s@gitlab.lab.example\\n' {password} >/root/.git-credentials; {work}; \
             git config --global credential.helper store; git config --global user.email d@x; git config --global user.name d; \
             git clone -q https://gitlab.lab.example/pozos/student_list.git . && echo hello >hello.txt && git add hello.txt && git commit -qm hello && git push -q origin main 2>&1"
        ),
    );
    let commits = lab.api("GET", &format!("{PROJECT}/repository/commits"), "");
    assert_eq!((commits.as_array().unwrap().len(), &commits[0]["title"]), (2, &"hello".into()));
    let refused = lab.project.on("gitlab", &format!("{work}; git commit -q --amend -m other && git push -f origin main 2>&1; [ $? -ne 0 ] && git push origin :main 2>&1; [ $? -ne 0 ]"));
    assert!(refused.contains("You are not allowed to force push code to a protected branch on this project."), "{refused}");
    assert!(refused.contains("pre-receive hook declined"), "{refused}");
    let hook = lab.only(&format!("{PROJECT}/hooks"));
    let sent = (0..50).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(200));
        let log = lab.api("GET", &format!("{PROJECT}/hooks/{hook}/events"), "");
        log[0]["request_data"]["after"] == commits[0]["id"]
    });
    assert!(sent, "the push is in the hook's log");
}

fn damage_is_named_and_repaired_exactly(lab: &Lab) {
    let hook = lab.only(&format!("{PROJECT}/hooks"));
    lab.api("DELETE", &format!("{PROJECT}/hooks/{hook}"), "");
    lab.api("PUT", "/application/settings", r#"{"signup_enabled": true}"#);
    let jenkins = lab.only("/users?username=jenkins");
    lab.api("DELETE", &format!("{PROJECT}/members/{jenkins}"), "");
    let key = lab.only(&format!("{PROJECT}/deploy_keys"));
    lab.api("PUT", &format!("{PROJECT}/deploy_keys/{key}"), r#"{"can_push": true}"#);
    lab.api("DELETE", &format!("{PROJECT}/protected_branches/main"), "");
    let token = lab.only(&format!("/personal_access_tokens?user_id={jenkins}"));
    lab.api("DELETE", &format!("/personal_access_tokens/{token}"), "");
    lab.project.on("gitlab", "echo \"puma['worker_processes'] = 4\" >>/etc/gitlab/gitlab.rb");
    let (exit, events) = lab.run(&["plan"], &[]);
    let planned = changes(&events);
    let expected = set(&[
        "gitlab: api_object hook of student_list",
        "gitlab: api_object settings of GitLab",
        "gitlab: api_object member jenkins of student_list",
        "gitlab: api_object deploy key of Jenkins",
        "gitlab: api_object protection of main",
        "gitlab: command API token of jenkins",
        "gitlab: file /etc/gitlab/gitlab.rb",
        "gitlab: command GitLab is configured as its files say",
    ]);
    assert_eq!((exit, &planned), (2, &expected));
    let reason = |resource: &str| {
        of_kind(&events, "change").iter().filter(|e| e["resource"] == resource).map(|e| e["reasons"].to_string()).collect::<String>()
    };
    assert_eq!(reason("api_object settings of GitLab"), r#"["signup_enabled is true, want false"]"#);
    assert_eq!(reason("api_object deploy key of Jenkins"), r#"["can_push is true, want false"]"#);
    let (exit, events) = lab.bootstrap();
    assert_eq!(exit, 0);
    let repaired = changes(&events);
    // After the restart that gitlab.rb asks for, GitLab is waited for.
    let more: Vec<_> = repaired.difference(&planned).filter(|change| *change != "gitlab: command GitLab answers").collect();
    assert!(planned.is_subset(&repaired) && more.is_empty(), "{repaired:#?}");
    assert_eq!(lab.run(&["plan"], &[]).0, 0);
    // What people pushed is still theirs.
    assert_eq!(lab.api("GET", &format!("{PROJECT}/repository/commits"), "").as_array().unwrap().len(), 2);

    // A hook whose address somebody changed has lost its token: it is another hook for us, and the wanted one is made anew.
    let hook = lab.only(&format!("{PROJECT}/hooks"));
    lab.api("PUT", &format!("{PROJECT}/hooks/{hook}"), r#"{"enable_ssl_verification": false}"#);
    lab.project.on("gitlab", "rm -f /var/lib/poclab/api/*");
    let (exit, events) = lab.run(&["plan"], &[]);
    assert_eq!((exit, changes(&events)), (2, set(&["gitlab: api_object hook of student_list"])));
    assert_eq!(lab.bootstrap().0, 0);
    assert_eq!(lab.api("GET", &format!("{PROJECT}/hooks/{hook}"), "")["enable_ssl_verification"], true, "the same hook");
}

fn without_poclab_s_own_token_nothing_is_taken_for_good(lab: &Lab) {
    lab.api("DELETE", "/personal_access_tokens/self", "");
    let (exit, events) = lab.run(&["plan"], &[]);
    assert_eq!((exit, changes(&events)), (2, set(&["gitlab: command API token of root"])));
    let unknown = of_kind(&events, "resource_unknown");
    assert_eq!(unknown.len(), 11, "{unknown:#?}");
    assert!(unknown.iter().all(|event| event["deferred"] == true), "they can be looked at after that change");
    let (exit, events) = lab.bootstrap();
    assert_eq!((exit, changes(&events)), (0, set(&["gitlab: command API token of root"])));
}

fn a_stopped_gitlab_is_started(lab: &Lab) {
    lab.project.on("gitlab", "gitlab-ctl stop");
    let (exit, events) = lab.run(&["plan"], &[]);
    assert_eq!((exit, of_kind(&events, "resource_unknown").len()), (2, 11));
    assert_eq!(lab.bootstrap().0, 0);
    lab.project.on("gitlab", "gitlab-ctl status");
    assert_eq!(lab.run(&["plan"], &[]).0, 0);
}

fn a_rotated_password_and_token_replace_the_old_ones(lab: &Lab) {
    let old = lab.secret("gitlab_status_token");
    for name in ["gitlab_developer", "gitlab_status_token", "gitlab_hook"] {
        assert!(lab.project.poclab(&["secrets", "rotate", name]).status.success());
    }
    let (exit, events) = lab.run(&["plan"], &[]);
    let expected =
        set(&["gitlab: command password of developer", "gitlab: command API token of jenkins", "gitlab: api_object hook of student_list"]);
    assert_eq!((exit, changes(&events)), (2, expected));
    assert_eq!(lab.bootstrap().0, 0);
    let tokens = lab.api("GET", "/personal_access_tokens?per_page=100", "");
    let live = tokens.as_array().unwrap().iter().filter(|token| token["name"] == "commit statuses" && token["active"] == true).count();
    assert_eq!(live, 1, "the old one is revoked: {tokens}");
    assert_ne!(old, lab.secret("gitlab_status_token"));
    assert_eq!(lab.run(&["plan"], &[]).0, 0);
}
