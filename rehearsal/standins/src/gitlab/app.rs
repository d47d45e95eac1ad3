//! The running service: its paths, its state, and where each request goes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::config::Config;
use super::deliver::Job;
use super::state::{State, User};
use super::{api, git, internal, pages};
use crate::common::http::{Request, Response};
use crate::common::store::Store;

/// The version of the product, and whose word it is.
pub const VERSION: &str = "17.7.7-rehearsal";
/// For so long after its start the web server has no application behind it.
const WARM_UP: Duration = Duration::from_millis(1500);

/// The folders of an installation below `root` (`/` on a host).
#[derive(Debug, Clone)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// An installation somewhere.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// A path of the product.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// What the stand-in itself keeps.
    pub fn own(&self, name: &str) -> PathBuf {
        self.at("/var/opt/gitlab/rehearsal").join(name)
    }

    /// Where programs of this machine reach the service.
    pub fn socket(&self) -> PathBuf {
        self.own("socket")
    }

    /// The repository of a project.
    pub fn repository(&self, project: u64) -> PathBuf {
        self.at("/var/opt/gitlab/git-data/repositories").join(format!("{project}.git"))
    }

    /// The folder of the hooks that git runs.
    pub fn git_hooks(&self) -> PathBuf {
        self.at("/opt/gitlab/embedded/service/gitlab-shell/hooks")
    }
}

/// The running service.
pub struct App {
    /// Its folders.
    pub paths: Paths,
    /// What it was configured with.
    pub config: Config,
    /// What it keeps.
    pub store: Store<State>,
    /// Where hooks to deliver go.
    pub jobs: Mutex<Sender<Job>>,
    started: Instant,
}

impl App {
    /// Reads the configuration that `reconfigure` wrote, and the state.
    pub fn open(paths: Paths, jobs: Sender<Job>) -> io::Result<Self> {
        let file = paths.own("config.json");
        let config =
            serde_json::from_slice(&std::fs::read(&file)?).map_err(|why| io::Error::other(format!("{}: {why}", file.display())))?;
        let store = Store::open(&paths.own("state.json"))?;
        Ok(Self { paths, config, store, jobs: Mutex::new(jobs), started: Instant::now() })
    }

    /// Pretends that it has been running for a while.
    #[cfg(test)]
    pub fn warm(mut self) -> Self {
        self.started = Instant::now() - WARM_UP * 2;
        self
    }

    /// The first user, as the first `reconfigure` makes it.
    pub fn seed(store: &Store<State>, password: &str) -> Result<(), String> {
        if store.read(|state| !state.users.is_empty()) {
            return Ok(());
        }
        if let Some(why) = super::config::weak(password, "root") {
            return Err(format!("Could not create the default administrator account:\n\n--> Password {why}"));
        }
        let hash = hash(password)?;
        let seeded = store.change(|state| {
            let id = state.id("users");
            state.users.push(User {
                id,
                username: "root".into(),
                name: "Administrator".into(),
                email: "admin@example.com".into(),
                password: hash,
                password_expired: false,
                admin: true,
                state: "active".into(),
                external: false,
                can_create_group: true,
                projects_limit: 100_000,
                created_at: crate::common::now(),
            });
        });
        seeded.map_err(|why| why.to_string())
    }

    /// Whether the application behind the web server answers yet.
    pub fn ready(&self) -> bool {
        self.started.elapsed() >= WARM_UP
    }

    /// Answers a request from the network.
    pub fn handle(&self, request: &Request) -> Response {
        if !self.ready() {
            let page = "<!DOCTYPE html>\n<title>GitLab is not responding (502)</title>\n<h1>502</h1>\n<p>Whoops, GitLab is taking too much time to respond.</p>\n";
            return Response::text(502, "text/html", page);
        }
        let segments = request.segments();
        let words: Vec<&str> = segments.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["api", "v4", rest @ ..] => api::handle(self, request, rest),
            ["-", ..] => pages::health(self, request, &words),
            _ if git::wanted(request) => git::handle(self, request, &words),
            _ => pages::handle(self, &words),
        }
    }

    /// Answers a request from a program of this machine.
    pub fn handle_local(&self, request: &Request) -> Response {
        match request.parameters() {
            Some(body) => internal::handle(self, &request.path, &Value::Object(body)),
            None => Response::json(400, &json!({"message": "not JSON"})),
        }
    }

    /// The address of a page.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.config.external_url)
    }

    /// Sends a hook on its way.
    pub fn queue(&self, job: Job) {
        let jobs = self.jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Without a receiver (tests) nothing is delivered.
        let _ = jobs.send(job);
    }
}

/// bcrypt with a low cost: the rehearsal's machine is small, and these passwords are random.
pub fn hash(password: &str) -> Result<String, String> {
    bcrypt::hash(password, 6).map_err(|why| why.to_string())
}

/// A folder for the service's own files, for its user only.
pub fn private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o750))
}
