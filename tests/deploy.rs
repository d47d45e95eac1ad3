//! Deployments on the container lab: real registry, real Docker and compose, real sshd and sudo, and the application's images as
//! the pipeline builds them.
//!
//! Run by `make lab-test`. The stages share one lab and run in order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests may panic")]

#[path = "support/container_lab.rs"]
mod container_lab;
#[path = "deploy/versions.rs"]
mod versions;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use container_lab::{Project, changes, of_kind, set};
use versions::{Version, Versions};

/// The roles that a deployment needs.
const ROLES: &[&str] =
    &["--role", "base", "--role", "firewall", "--role", "docker", "--role", "registry", "--role", "app", "--role", "deployment"];

/// Seconds that a version has to become healthy, and that it waits to be confirmed, in these tests.
const LIMITS: (u64, u64) = (60, 12);

const ENTRY: &str = "/usr/local/sbin/student-list-deploy";

#[test]
#[ignore = "needs docker and minutes: make lab-test"]
fn versions_are_deployed_and_put_back() {
    let lab = Project::with("deploy4", "10.99", &["app", "deployment"]);
    let limits = format!("vars:\n  app_health_seconds: {}\n  app_confirm_seconds: {}\n", LIMITS.0, LIMITS.1);
    lab.edit_inventory("vars:\n", &limits);
    assert!(lab.poclab(&["rehearse", "up"]).status.success());
    let started = Instant::now();
    let stage = |name: &str| eprintln!("=== {name} ({:.0} s)", started.elapsed().as_secs_f64());

    stage("bare hosts");
    let nothing_yet = lab.poclab(&[&["bootstrap", "--check", "deployment"], ROLES].concat());
    assert_eq!(nothing_yet.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&nothing_yet.stdout).contains("nothing is deployed yet"));
    stage("three versions, built and pushed");
    let versions = Versions::build(&lab);
    let (a, b, c) = (&versions.a, &versions.b, &versions.sick);

    stage("the first version");
    let (exit, said) = deploy(&lab, a);
    assert_eq!(exit, 0, "{said}");
    answers(&lab, a);
    let (exit, said) = deploy(&lab, a);
    assert!(exit == 0 && said.contains("already; nothing was changed"), "{exit}: {said}");
    stage("the second version");
    assert_eq!(deploy(&lab, b).0, 0);
    answers(&lab, b);
    verified(&lab);
    stage("a version that is sick");
    let (exit, said) = deploy(&lab, c);
    assert_eq!(exit, 3, "{said}");
    assert!(said.contains(&format!("{} is back and answers", b.commit)), "{said}");
    answers(&lab, b);

    stage("what the key may not do");
    nothing_else(&lab, a, b);
    stage("two at a time, and a tool that is killed");
    killed(&lab, a, b);
    stage("a worker that is killed");
    worker_killed(&lab, a, b);
    stage("a restart in the middle");
    restarted(&lab, a, b);
    stage("ansible");
    ansible(&lab, &versions);
    stage("drift");
    no_drift(&lab);
    stage("done");
}

/// Runs app/ci/deploy on the deployment server; exit code and output.
fn deploy(lab: &Project, version: &Version) -> (i32, String) {
    let output = deployment(lab, version).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    eprintln!("{said}");
    (output.status.code().unwrap(), said)
}

fn deployment(lab: &Project, version: &Version) -> Command {
    let mut command = Command::new("docker");
    let script = format!(
        "cp /root/app/pushed/{0}/* /root/app/build/ && PATH=/usr/local/bin:$PATH DEPLOY_KEY=/root/key exec /root/app/ci/deploy",
        version.commit
    );
    command.args(["exec", &lab.container("deploy"), "sh", "-c", &script]);
    command
}

/// This version answers from the deployment server, and its images by digest are what runs.
fn answers(lab: &Project, version: &Version) {
    let address = "10.99.0.12";
    let told = lab.on("deploy", &format!("curl -sf http://{address}:5000/status"));
    assert!(told.contains(&version.commit), "{told}");
    let page = lab.on("deploy", &format!("curl -sf --data submit=List http://{address}/"));
    assert!(page.contains("bob is 13 years old"), "{page}");
    let status = lab.on("app", &format!("{ENTRY} status"));
    assert!(status.contains(&format!("commit: {}", version.commit)) && status.ends_with("result: running\n"), "{status}");
    assert!(status.contains("registry.lab.example:5443/student_list/simple_api@sha256:"), "{status}");
    lab.on("app", "test ! -e /srv/student_list/state/next.env");
}

fn verified(lab: &Project) {
    let (exit, events) = lab.events(&["verify", "--check", "deployment"]);
    assert_eq!(exit, 0, "{events:#?}");
    let passed = of_kind(&events, "check_result").iter().filter(|event| event["status"] == "passed").count();
    assert_eq!(passed, 5, "{events:#?}");
}

/// ssh as the deployment key does, from the deployment server; exit code and output.
fn ask(lab: &Project, options: &str, command: &str) -> (i32, String) {
    let script = format!(
        "ssh -n -i /root/key -o UserKnownHostsFile=/etc/poclab/known_hosts -o BatchMode=yes -o IdentitiesOnly=yes {options} deployer@10.99.0.12 {command} 2>&1; echo \"exit $?\""
    );
    let said = lab.on("deploy", &script);
    let exit = said.lines().last().unwrap().strip_prefix("exit ").unwrap().parse().unwrap();
    (exit, said)
}

/// Everything that the restricted key and the sudo rule must refuse, and that nothing changed by it.
fn nothing_else(lab: &Project, a: &Version, b: &Version) {
    let id = "0123456789abcdef";
    let (api, website) = (&a.pulled("simple_api"), &a.pulled("website"));
    let elsewhere = api.replace("registry.lab.example:5443", "evil.example:5443");
    let pushed = api.replace(":5443", ":5000");
    let other = api.replace("simple_api", "other");
    let commit = &a.commit;
    for command in [
        String::new(),
        "id".into(),
        "'sh -c id'".into(),
        format!("'deploy {id} {commit} {api} {website}; id'"),
        format!("'deploy {id} {commit} {api} {website} extra'"),
        format!("'deploy {id} {commit} {api}'"),
        format!("'deploy {id} {commit} {api} {api}'"),
        format!("'deploy {id} {commit} {elsewhere} {website}'"),
        format!("'deploy {id} {commit} {pushed} {website}'"),
        format!("'deploy {id} {commit} {other} {website}'"),
        format!("'deploy {id} {commit} {api}0 {website}'"),
        format!("'deploy {id} main {api} {website}'"),
        format!("'deploy ../../../tmp/x {commit} {api} {website}'"),
        format!("'deploy $(id) {commit} {api} {website}'"),
        "'work 0123456789abcdef'".into(),
        "'settle boot'".into(),
        "'confirm 0123456789abcdef'".into(),
        "'confirm ../current'".into(),
    ] {
        let (exit, said) = ask(lab, "", &command);
        assert!(exit != 0 && said.contains("refused") && !said.contains("uid="), "{command}: {exit}: {said}");
    }
    // No terminal, no forwarding, no files.
    assert_ne!(ask(lab, "-o ExitOnForwardFailure=yes -R 12345:127.0.0.1:22", "status").0, 0);
    assert!(!ask(lab, "-tt", "id").1.contains("uid="));
    assert_ne!(ask(lab, "-s", "sftp").0, 0);
    let (exit, said) = ask(lab, "", "status");
    assert!(exit == 0 && said.contains("result: running"), "{said}");
    // Somebody who is that user has no more than the key: neither to become root nor to change what the key may do.
    for command in
        ["id", "sh", "/bin/cat /etc/shadow", &format!("{ENTRY} work {id}"), &format!("{ENTRY} settle boot"), &format!("{ENTRY} apply")]
    {
        lab.on("app", &format!("! su -s /bin/sh deployer -c 'sudo -n {command}' 2>&1"));
    }
    lab.on("app", "! su -s /bin/sh deployer -c 'touch ~/.ssh/authorized_keys ~/x /srv/student_list/state/current.env' 2>/dev/null; ! su -s /bin/sh deployer -c 'cat /srv/student_list/docker/config.json /srv/student_list/secrets/password' 2>/dev/null");
    // An image that is ours, of another commit than the one that is named.
    let (exit, said) = ask(lab, "", &format!("'deploy {id} {} {api} {website}'", b.commit));
    assert!(exit == 1 && said.contains("was built of commit") && said.contains("result: refused"), "{said}");
    answers(lab, b);
}

/// The program on the deployment server is killed once the new version runs; meanwhile nobody else may deploy.
fn killed(lab: &Project, a: &Version, b: &Version) {
    let mut run = deployment(lab, a).stdout(Stdio::null()).spawn().unwrap();
    until(lab, "the new version is on trial", "test -e /srv/student_list/state/next.env");
    let (exit, said) = deploy(lab, b);
    assert!(exit == 1 && said.contains("another deployment is under way"), "{exit}: {said}");
    lab.on("deploy", "kill -9 $(pidof poclab)");
    let _ = run.wait();
    let at = Instant::now();
    until(lab, "the host has put the previous version back", "test ! -e /srv/student_list/state/next.env");
    eprintln!("--- put back {:.0} s after the kill", at.elapsed().as_secs_f64());
    answers(lab, b);
}

/// What does the work on the host is killed.
fn worker_killed(lab: &Project, a: &Version, b: &Version) {
    let mut run = deployment(lab, a).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(lab, "the new version is on trial", "test -e /srv/student_list/state/next.env");
    lab.on("app", "systemctl kill --signal=KILL 'student_list-deploy@*'");
    assert_eq!(run.wait().unwrap().code(), Some(3));
    answers(lab, b);
}

/// The application's host restarts while a version is on trial, and later for no reason.
fn restarted(lab: &Project, a: &Version, b: &Version) {
    let mut run = deployment(lab, a).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(lab, "the new version is on trial", "test -e /srv/student_list/state/next.env");
    let name = lab.container("app");
    // As when the power fails: nobody is told to stop.
    assert!(Command::new("docker").args(["kill", &name]).stdout(Stdio::null()).status().unwrap().success());
    assert!(Command::new("docker").args(["start", &name]).stdout(Stdio::null()).status().unwrap().success());
    until(lab, "the previous version is back", &format!("test ! -e /srv/student_list/state/next.env && {ENTRY} status"));
    answers(lab, b);
    let exit = run.wait().unwrap().code();
    assert!(matches!(exit, Some(3 | 4)), "{exit:?}");
    assert!(Command::new("docker").args(["restart", "--time", "20", &name]).stdout(Stdio::null()).status().unwrap().success());
    until(lab, "the application came back by itself", &format!("{ENTRY} status"));
    answers(lab, b);
}

/// Waits until a command succeeds on the application's host, within what the host promises.
fn until(lab: &Project, what: &str, command: &str) {
    let deadline = Instant::now() + Duration::from_secs(3 * LIMITS.0 + LIMITS.1 + 20);
    let name = lab.container("app");
    loop {
        let done = Command::new("docker").args(["exec", &name, "sh", "-c", command]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if done.unwrap().success() {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: not within {} s", 3 * LIMITS.0 + LIMITS.1 + 20);
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The playbook, by a real ansible-core on this machine, with the same key.
fn ansible(lab: &Project, versions: &Versions) {
    let run = |version: &Version| {
        let output = versions.playbook(lab, version).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        eprintln!("{said}");
        (output.status.code().unwrap(), said)
    };
    let changed = |said: &str| {
        let recap: Vec<&str> = said.lines().filter(|line| line.contains("changed=")).collect();
        recap.iter().map(|line| line.split("changed=").nth(1).unwrap().split(' ').next().unwrap().parse::<u32>().unwrap()).sum::<u32>()
    };
    let (exit, said) = run(&versions.a);
    assert_eq!((exit, changed(&said)), (0, 1), "{said}");
    answers(lab, &versions.a);
    let (exit, said) = run(&versions.a);
    assert_eq!((exit, changed(&said)), (0, 0), "{said}");
    let (exit, said) = run(&versions.sick);
    assert!(exit != 0 && said.contains("was not deployed"), "{exit}: {said}");
    answers(lab, &versions.a);
}

/// What a deployment did is nobody's drift: a bootstrap changes nothing, in one exec per host. A new login reaches the containers.
fn no_drift(lab: &Project) {
    let before: Vec<_> = ["deploy", "app"].iter().map(|host| lab.sessions(host)).collect();
    let (exit, events) = lab.events(&[&["plan"], ROLES].concat());
    assert_eq!((exit, changes(&events)), (0, set(&[])));
    for (host, (connections, execs)) in ["deploy", "app"].iter().zip(before) {
        assert_eq!(lab.sessions(host), (connections + 1, execs + 1), "{host}: one connection with one exec");
    }
    let list = "http://10.99.0.12:5000/pozos/api/v1.0/get_student_ages";
    let status = |login: &str| lab.on("deploy", &format!("curl -s -o /dev/null -w '%{{http_code}}' -u {login} {list}"));
    assert_eq!(status("toto:python"), "200");
    let exit =
        lab.poclab(&[&["bootstrap", "--check", "deployment", "--set", "student_list_password=another"], ROLES].concat()).status.code();
    assert_eq!(exit, Some(0));
    assert_eq!((status("toto:python").as_str(), status("toto:another").as_str()), ("401", "200"));
    lab.on("deploy", "curl -sf --data submit=List http://10.99.0.12/ | grep -q 'years old'");
}
