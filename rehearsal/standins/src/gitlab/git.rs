//! Repositories: git over HTTPS by git's own http-backend, and git's commands for everything else. All of it runs as the
//! user `git`, as sessions over SSH do.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::access::{self, Identity};
use super::app::App;
use super::state::Project;
use crate::common::http::{Request, Response};

/// Whether a request is git's.
pub fn wanted(request: &Request) -> bool {
    let path = &request.path;
    path.ends_with("/info/refs") || path.ends_with("/git-upload-pack") || path.ends_with("/git-receive-pack")
}

/// A command as the user `git`, with an environment of its own.
pub fn as_git(app: &App, program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/opt/gitlab/embedded/bin:/usr/bin:/bin").env("HOME", app.paths.at("/var/opt/gitlab"));
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    if let Some(root) = std::env::var_os("POCLAB_GITLAB_ROOT") {
        command.env("POCLAB_GITLAB_ROOT", root);
    }
    // Only root can become somebody else; tests are run by anybody.
    if let Some((uid, gid)) = account("git")
        && std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
    {
        command.uid(uid).gid(gid);
    }
    command
}

/// User and group id of an account of this machine.
pub fn account(name: &str) -> Option<(u32, u32)> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Runs git in a project's repository; stdout when it succeeded.
pub fn run(app: &App, project: u64, arguments: &[&str], environment: &[(&str, &str)], stdin: &[u8]) -> Result<Vec<u8>, String> {
    let mut command = as_git(app, "git");
    command.arg("--git-dir").arg(app.paths.repository(project)).args(arguments).envs(environment.iter().copied());
    let output = feed(&mut command, stdin).map_err(|why| format!("git cannot be run: {why}"))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// The same as text without the line end.
pub fn text(app: &App, project: u64, arguments: &[&str]) -> Result<String, String> {
    run(app, project, arguments, &[], b"").map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

fn feed(command: &mut Command, stdin: &[u8]) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut pipe = child.stdin.take();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A command that fails early does not read all of it.
            if let Some(pipe) = &mut pipe {
                let _ = pipe.write_all(stdin);
            }
            drop(pipe);
        });
        child.wait_with_output()
    })
}

/// Makes the empty repository of a new project.
pub fn create(app: &App, project: u64, branch: &str) -> Result<(), String> {
    let folder = app.paths.repository(project);
    let output = as_git(app, "git").args(["init", "-q", "--bare", "-b", branch]).arg(&folder).output();
    let output = output.map_err(|why| format!("git cannot be run: {why}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let hooks = app.paths.git_hooks();
    for (key, value) in [("core.hooksPath", hooks.to_string_lossy().as_ref()), ("receive.denyCurrentBranch", "ignore")] {
        run(app, project, &["config", key, value], &[], b"")?;
    }
    Ok(())
}

/// Whether nothing was ever pushed.
pub fn is_empty(app: &App, project: u64) -> bool {
    text(app, project, &["for-each-ref", "--count=1", "refs/heads"]).is_ok_and(|text| text.is_empty())
}

fn refuse(status: u16, text: &str) -> Response {
    Response::text(status, "text/plain; charset=utf-8", text)
}

/// Git over HTTPS.
pub fn handle(app: &App, request: &Request, words: &[&str]) -> Response {
    let (path, service) = match words {
        [path @ .., "info", "refs"] => {
            let service =
                form_urlencoded::parse(request.query.as_bytes()).find(|(key, _)| key == "service").map(|(_, value)| value.into_owned());
            (path, service.unwrap_or_default())
        }
        [path @ .., service] => (path, (*service).to_owned()),
        [] => return refuse(404, "Not found\n"),
    };
    let tail = if request.path.ends_with("/info/refs") { "/info/refs".to_owned() } else { format!("/{service}") };
    let full = path.join("/");
    let full = full.strip_suffix(".git").unwrap_or(&full);
    if !["git-upload-pack", "git-receive-pack"].contains(&service.as_str()) {
        return refuse(403, "Git access over HTTP is not allowed\n");
    }
    let identity = access::of_git(app, request);
    let denied = || {
        refuse(401, "HTTP Basic: Access denied. If a password was provided for Git authentication, the password was incorrect or you're required to use a token instead of a password.\n")
            .with("WWW-Authenticate", "Basic realm=\"GitLab\"")
    };
    if identity.is_none() && !request.header("authorization").is_empty() {
        return denied();
    }
    let user = identity.as_ref().map(|identity| &identity.user);
    let project = app.store.read(|state| {
        let project = state.projects.iter().find(|project| project.full_path() == full)?;
        access::reads_code(state, user, project).then(|| project.clone())
    });
    let Some(project) = project else {
        return match identity {
            // Whoever is not known is asked first: what exists is nobody's business.
            None => denied(),
            Some(_) => refuse(404, "The project you were looking for could not be found or you don't have permission to view it.\n"),
        };
    };
    if service == "git-receive-pack" {
        let Some(identity) = &identity else { return denied() };
        if !identity.has(&["api", "write_repository"]) {
            return refuse(403, "You are not allowed to push code to this project.\n");
        }
        if app.store.read(|state| access::level(state, &identity.user, &project)) < access::DEVELOPER {
            return refuse(403, "You are not allowed to push code to this project.\n");
        }
    } else if identity.as_ref().is_some_and(|identity| !identity.has(&["api", "read_repository", "write_repository"])) {
        return refuse(403, "You are not allowed to download code from this project.\n");
    }
    backend(app, request, &project, identity.as_ref(), &tail).unwrap_or_else(|why| refuse(500, &format!("{why}\n")))
}

/// git's own CGI program.
fn backend(app: &App, request: &Request, project: &Project, identity: Option<&Identity>, tail: &str) -> Result<Response, String> {
    let repository = app.paths.repository(project.id);
    let mut command = as_git(app, "git");
    command.arg("http-backend");
    command.env("GIT_PROJECT_ROOT", &repository).env("PATH_INFO", tail).env("GIT_HTTP_EXPORT_ALL", "1");
    command.env("REQUEST_METHOD", &request.method).env("QUERY_STRING", &request.query);
    command.env("CONTENT_TYPE", request.header("content-type")).env("CONTENT_LENGTH", request.body.len().to_string());
    command.env("HTTP_CONTENT_ENCODING", request.header("content-encoding")).env("GIT_PROTOCOL", request.header("git-protocol"));
    command.env("REMOTE_ADDR", request.peer.to_string());
    if let Some(identity) = identity {
        // With a user git allows pushes without asking its configuration.
        command.env("REMOTE_USER", &identity.user.username).env("GL_ID", format!("user-{}", identity.user.id));
    }
    command.env("GL_PROJECT", project.id.to_string());
    let output = feed(&mut command, &request.body).map_err(|why| format!("git http-backend cannot be run: {why}"))?;
    let split = output.stdout.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let Some(split) = split else {
        return Err(format!("git http-backend: {}", String::from_utf8_lossy(&output.stderr)));
    };
    let mut response = Response { status: 200, headers: Vec::new(), body: output.stdout[split + 4..].to_vec() };
    for line in String::from_utf8_lossy(&output.stdout[..split]).lines() {
        match line.split_once(": ") {
            Some(("Status", status)) => response.status = status.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(500),
            Some((name, value)) => response.headers.push((name.to_owned(), value.to_owned())),
            None => {}
        }
    }
    Ok(response)
}

/// Whether a file or folder is there; for messages of `reconfigure`.
pub fn readable(path: &Path) -> Result<(), String> {
    std::fs::File::open(path).map(drop).map_err(|why| format!("{}: {why}", path.display()))
}
