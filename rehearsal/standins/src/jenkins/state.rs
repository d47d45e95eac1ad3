//! The whole server's state: configuration, queue, running builds, and JENKINS_HOME, where builds survive a restart.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use super::auth::random;
use super::casc::{self, Config};
use super::dsl::Job;
use super::plugins::{self, Plugins};
use super::process::Abort;
use super::queue::Queue;
use super::record::{Build, Cause};
use super::resolve::Sources;

/// Everything.
pub struct Jenkins {
    /// JENKINS_HOME.
    pub home: PathBuf,
    /// Where the configuration is.
    pub casc: PathBuf,
    /// Installed plugins.
    pub plugins: Plugins,
    /// The configuration; replaced as a whole by a reload.
    pub config: RwLock<Arc<Config>>,
    /// Authorities that calls to GitLab trust (PEM).
    pub authorities: PathBuf,
    work: Mutex<Work>,
    wake: Condvar,
    /// Crumbs by session.
    pub sessions: Mutex<HashMap<String, String>>,
    /// Names of users by their API tokens' hashes; kept in JENKINS_HOME.
    pub tokens: Mutex<BTreeMap<String, String>>,
}

/// What executors share.
#[derive(Default)]
pub struct Work {
    /// What waits.
    pub queue: Queue,
    /// What runs.
    pub running: HashMap<(String, u64), (Abort, Build)>,
    /// Jobs whose Jenkinsfile says `disableConcurrentBuilds()`.
    pub alone: HashSet<String>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Jenkins {
    /// Starts from what is in the home folder and in the configuration. Plugins of the image are put in place first.
    pub fn start(home: &Path, casc: &Path, reference: &Path, authorities: &Path) -> Result<Arc<Self>, String> {
        let folder = home.join("plugins");
        let image = plugins::installed(&reference.join("plugins"));
        std::fs::create_dir_all(home).map_err(|e| format!("{} cannot be made: {e}", home.display()))?;
        plugins::write(&folder, &image).map_err(|e| format!("plugins cannot be copied to {}: {e}", folder.display()))?;
        let installed = plugins::installed(&folder);
        let broken = plugins::broken(&installed);
        if !broken.is_empty() {
            return Err(format!("Failed to load plugins: {}", broken.join("; ")));
        }
        let config = casc::load(casc, &installed, &Sources::of_process())?;
        let tokens = std::fs::read_to_string(home.join("api-tokens.json")).ok().and_then(|text| serde_json::from_str(&text).ok());
        let jenkins = Self {
            home: home.to_owned(),
            casc: casc.to_owned(),
            plugins: installed,
            config: RwLock::new(Arc::new(config)),
            authorities: authorities.to_owned(),
            work: Mutex::default(),
            wake: Condvar::new(),
            sessions: Mutex::default(),
            tokens: Mutex::new(tokens.unwrap_or_default()),
        };
        jenkins.prepare_jobs()?;
        Ok(Arc::new(jenkins))
    }

    /// The configuration of now.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the configuration anew; the old one stays when the new one is wrong.
    pub fn reload(&self) -> Result<(), String> {
        let config = casc::load(&self.casc, &self.plugins, &Sources::of_process())?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        self.prepare_jobs()
    }

    /// Folders of the jobs. Builds that a stop has cut off end here: the real one would go on with them.
    fn prepare_jobs(&self) -> Result<(), String> {
        for job in &self.config().jobs {
            let folder = self.home.join("jobs").join(&job.name).join("builds");
            std::fs::create_dir_all(&folder).map_err(|e| format!("{} cannot be made: {e}", folder.display()))?;
            for number in Build::numbers(&self.home, &job.name) {
                let running = locked(&self.work).running.contains_key(&(job.name.clone(), number));
                match Build::load(&self.home, &job.name, number) {
                    Some(mut build) if build.result.is_none() && !running => {
                        build.result = Some("ABORTED".into());
                        build
                            .stages
                            .iter_mut()
                            .filter(|stage| stage.status == "IN_PROGRESS")
                            .for_each(|stage| stage.status = "ABORTED".into());
                        build.save(&self.home).map_err(|e| format!("a build cannot be saved: {e}"))?;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// A job by its name.
    pub fn job(&self, name: &str) -> Option<Job> {
        self.config().jobs.iter().find(|job| job.name == name).cloned()
    }

    /// Puts a build into the queue; the item's id.
    pub fn enqueue(&self, job: &str, cause: Cause, hook: BTreeMap<String, String>) -> u64 {
        let id = locked(&self.work).queue.add(job, cause, hook);
        self.wake.notify_all();
        id
    }

    /// Looks at or changes the queue and what runs.
    pub fn work<T>(&self, act: impl FnOnce(&mut Work) -> T) -> T {
        act(&mut locked(&self.work))
    }

    /// Waits for something to build.
    pub fn next(&self) -> (Build, Abort) {
        let mut work = locked(&self.work);
        loop {
            let Work { queue, running, alone } = &mut *work;
            let may = |job: &str| !alone.contains(job) || !running.keys().any(|(other, _)| other == job);
            if let Some((item, number)) = queue.take(may, |job| self.number(job)) {
                let build = Build {
                    job: item.job.clone(),
                    number,
                    queue_id: item.id,
                    started: super::record::now(),
                    duration: 0,
                    result: None,
                    cause: item.cause,
                    hook: item.hook,
                    commit: None,
                    remote: String::new(),
                    stages: Vec::new(),
                    artifacts: Vec::new(),
                    tests: None,
                };
                let abort = Abort::default();
                running.insert((item.job, number), (abort.clone(), build.clone()));
                return (build, abort);
            }
            work = self.wake.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next number of a job's builds; never one that was used before.
    fn number(&self, job: &str) -> u64 {
        let file = self.home.join("jobs").join(job).join("nextBuildNumber");
        let written = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(1);
        let number = written.max(Build::numbers(&self.home, job).first().map_or(1, |last| last + 1));
        if let Err(error) = std::fs::write(&file, format!("{}\n", number + 1)) {
            eprintln!("WARNING {} cannot be written: {error}", file.display());
        }
        number
    }

    /// Makes a build's progress known.
    pub fn progress(&self, build: &Build) {
        if let Some((_, known)) = locked(&self.work).running.get_mut(&(build.job.clone(), build.number)) {
            *known = build.clone();
        }
        if let Err(error) = build.save(&self.home) {
            eprintln!("WARNING {} #{} cannot be saved: {error}", build.job, build.number);
        }
    }

    /// A build has ended.
    pub fn done(&self, build: &Build) {
        self.progress(build);
        locked(&self.work).running.remove(&(build.job.clone(), build.number));
        self.wake.notify_all();
    }

    /// A build, running or not.
    pub fn build(&self, job: &str, number: u64) -> Option<Build> {
        let running = locked(&self.work).running.get(&(job.to_owned(), number)).map(|(_, build)| build.clone());
        running.or_else(|| Build::load(&self.home, job, number))
    }

    /// Makes an API token for a user; only its hash is kept.
    pub fn new_token(&self, user: &str) -> Result<String, String> {
        let token = format!("11{}", random(16));
        let mut tokens = locked(&self.tokens);
        tokens.insert(hashed(&token), user.to_owned());
        let text = serde_json::to_string(&*tokens).map_err(|e| e.to_string())?;
        std::fs::write(self.home.join("api-tokens.json"), text).map_err(|e| format!("the token cannot be kept: {e}"))?;
        Ok(token)
    }

    /// Whose API token this is.
    pub fn token_of(&self, token: &str) -> Option<String> {
        locked(&self.tokens).get(&hashed(token)).cloned()
    }
}

fn hashed(token: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect()
}
