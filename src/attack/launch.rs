//! Launches tools: in a container where an image is named for them, else from the PATH.
//!
//! Containers see nothing of this machine but a network: the scenario's files are copied in and out, so it does not matter
//! where the engine runs (this program may be in a container itself). They have no capability and cannot get one.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::process::{self, Output};
use super::tools::{Image, Tools};
use crate::base::frame::nonce;

/// How long the engine may take for anything but the attack itself.
const ENGINE: Duration = Duration::from_secs(60);

/// What a tool of the PATH gets of this program's environment: what is in the rest (keys, tokens, proxies) is not for it.
const ENVIRONMENT: &[&str] = &["PATH", "HOME", "LANG"];

/// A proxy would be what is attacked: Docker's client puts the one of its configuration into containers, unless they have their own.
const NO_PROXY: &[&str] = &[
    "http_proxy=",
    "HTTP_PROXY=",
    "https_proxy=",
    "HTTPS_PROXY=",
    "ftp_proxy=",
    "FTP_PROXY=",
    "all_proxy=",
    "ALL_PROXY=",
    "no_proxy=*",
    "NO_PROXY=*",
];

/// What an attack did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ran {
    /// Exit status.
    pub status: i32,
    /// What it printed; invalid UTF-8 becomes U+FFFD.
    pub stdout: String,
    /// The same for standard error.
    pub stderr: String,
    /// How long it took.
    pub seconds: f64,
}

/// How attacks get at tools. Errors are texts for people and mean "could not be carried out".
pub trait Launcher: Sync {
    /// Whether a program can be launched.
    fn installed(&self, program: &str) -> Result<(), String>;
    /// Launches a command in a folder, which has its files; what it leaves there is needed when `files`.
    fn launch(&self, command: &[String], folder: &Path, files: bool, limit: Duration) -> Result<Ran, String>;
    /// An environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// Puts the files that every attack has into a folder.
    fn prepare(&self, folder: &Path) -> Result<(), String>;
}

/// Real tools.
pub struct Tooling<'a> {
    /// What is where.
    pub tools: Tools,
    /// Set when the user wants to stop.
    pub stop: &'a AtomicBool,
}

impl Launcher for Tooling<'_> {
    fn installed(&self, program: &str) -> Result<(), String> {
        match self.tools.images.get(program) {
            Some(image) => self
                .docker(&["image", "inspect", "--format", "{{.Id}}", &image.image])
                .map(|_| ())
                .map_err(|why| format!("{program} would run in the image {}, which is not there: {why}; pull or load it", image.image)),
            None if in_path(program) => Ok(()),
            None => Err(format!("{program} is not installed: not in the PATH, and no image is named for it (--tools)")),
        }
    }

    fn launch(&self, command: &[String], folder: &Path, files: bool, limit: Duration) -> Result<Ran, String> {
        let (program, arguments) = command.split_first().ok_or("the command is empty")?;
        let start = Instant::now();
        let Output { status, stdout, stderr } = match self.tools.images.get(program) {
            Some(image) => self.contained(image, program, arguments, folder, files, limit)?,
            None => {
                self.installed(program)?;
                let environment = ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
                let mut command = Command::new(program);
                command.args(arguments).current_dir(folder).env_clear().envs(environment);
                process::output(&mut command, program, limit, self.stop)?
            }
        };
        Ok(Ran { status, stdout, stderr, seconds: start.elapsed().as_secs_f64() })
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.tools.variable(name)
    }

    fn prepare(&self, folder: &Path) -> Result<(), String> {
        for (name, from) in &self.tools.files {
            std::fs::copy(from, folder.join(name)).map_err(|error| format!("cannot read {}: {error}", from.display()))?;
        }
        Ok(())
    }
}

impl Tooling<'_> {
    fn contained(
        &self,
        image: &Image,
        called: &str,
        arguments: &[String],
        folder: &Path,
        files: bool,
        limit: Duration,
    ) -> Result<Output, String> {
        let container = Container { name: format!("poclab-attack-{}", nonce()) };
        let create = create(image, called, &container.name, &self.tools, arguments);
        let create: Vec<&str> = create.iter().map(String::as_str).collect();
        self.docker(&create).map_err(|why| format!("no container of {} can be made: {why}", image.image))?;
        let inside = format!("{}:{}", container.name, image.folder);
        let own = std::fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?.count();
        if own > 0 {
            self.docker(&["cp", &format!("{}/.", folder.display()), &format!("{inside}/")])?;
        }
        let ran = process::output(docker().args(["start", "--attach", &container.name]), called, limit, self.stop)?;
        let state = self.docker(&[
            "inspect",
            "--format",
            "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Error}}",
            &container.name,
        ])?;
        let status = ended(&state, image)?;
        if files {
            self.docker(&["cp", &format!("{inside}/."), &folder.display().to_string()])?;
        }
        Ok(Output { status, ..ran })
    }

    /// What a short command of the engine printed.
    fn docker(&self, arguments: &[&str]) -> Result<String, String> {
        let ran = process::output(docker().args(arguments), "docker", ENGINE, self.stop)?;
        match ran.status {
            0 => Ok(ran.stdout.trim().to_owned()),
            status => {
                let said = ran.stderr.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason given").to_owned();
                Err(format!("docker {} exited with {status}: {said}", arguments.first().copied().unwrap_or_default()))
            }
        }
    }
}

/// The engine's command that makes a container.
fn create(image: &Image, called: &str, name: &str, tools: &Tools, arguments: &[String]) -> Vec<String> {
    let pids = image.pids.to_string();
    let network = image.network.as_deref().unwrap_or(&tools.network);
    // Docker refuses names for a container that shares another one's network; in this machine's all of its names are known.
    let named = image.network.is_some() && network != "host" && !network.starts_with("container:");
    let hosts = tools.hosts.iter().filter(|_| named).flat_map(|(name, address)| ["--add-host".to_owned(), format!("{name}:{address}")]);
    let options = ["create", "--name", name, "--network", network, "--workdir", &image.folder, "--user", &image.user];
    let limits = ["--memory", &image.memory, "--pids-limit", &pids, "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
    // What it prints is read while it runs: nothing of it needs to be kept on the engine's disk.
    let rest = ["--pull", "never", "--log-driver", "none", "--label", "poclab.attack=true"];
    let own = image.environment.iter().map(|(name, value)| format!("{name}={value}"));
    let environment = NO_PROXY.iter().map(|variable| (*variable).to_owned()).chain(own).flat_map(|one| ["--env".to_owned(), one]);
    let capabilities = image.capabilities.iter().flat_map(|name| ["--cap-add".to_owned(), name.clone()]);
    let what = ["--entrypoint", image.program.as_deref().unwrap_or(called), &image.image];
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    [
        words(&options),
        words(&limits),
        words(&rest),
        hosts.collect(),
        environment.collect(),
        capabilities.collect(),
        words(&what),
        arguments.to_vec(),
    ]
    .concat()
}

fn docker() -> Command {
    Command::new("docker")
}

/// Whether the container ran to its end, and how: `exited 0 false ERROR`.
fn ended(state: &str, image: &Image) -> Result<i32, String> {
    let mut words = state.splitn(4, ' ');
    let (status, code, killed, error) = (words.next(), words.next(), words.next(), words.next().unwrap_or_default().trim());
    match (status, code.and_then(|code| code.parse().ok()), killed) {
        (_, _, Some("true")) => Err(format!("the tool needs more memory than {}", image.memory)),
        _ if !error.is_empty() => Err(format!("the container of {} did not start: {error}", image.image)),
        (Some("exited"), Some(code), _) => Ok(code),
        _ => Err(format!("the container of {} is in the state `{state}`", image.image)),
    }
}

fn in_path(program: &str) -> bool {
    let runs = |file: &Path| file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    if program.contains('/') {
        return runs(Path::new(program));
    }
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| runs(&folder.join(program))))
}

/// Removed when dropped, however its run ended.
struct Container {
    name: String,
}

impl Drop for Container {
    fn drop(&mut self) {
        // Not stopped by the user's interrupt: this is the cleaning up. One that was never made is no fault.
        let _ = process::output(docker().args(["rm", "--force", "--volumes", &self.name]), "docker", ENGINE, &AtomicBool::new(false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_container_that_ran_to_its_end_has_a_status() {
        let image: Image = serde_yaml::from_str("{image: 'x:1'}").unwrap();
        assert_eq!(ended("exited 7 false ", &image), Ok(7));
        assert_eq!(ended("exited 0 false", &image), Ok(0));
        assert!(ended("exited 137 true ", &image).unwrap_err().contains("more memory than 1g"));
        assert!(ended("created 127 false exec: \"nmap\": not found", &image).unwrap_err().contains("did not start: exec"));
        assert!(ended("running 0 false ", &image).is_err());
        assert!(ended("", &image).is_err());
    }

    #[test]
    fn containers_get_what_is_named_and_no_proxy() {
        let image: Image =
            serde_yaml::from_str("{image: 'zap:1', environment: {HOME: /root}, pids: 2048, network: bridge, capabilities: [X]}").unwrap();
        let tools = Tools { hosts: [("app.lab".to_owned(), "10.0.0.2".to_owned())].into(), ..Tools::default() };
        let words = create(&image, "zap.py", "n", &tools, &["-t".to_owned()]).join(" ");
        for part in [
            "--network bridge ",
            "--add-host app.lab:10.0.0.2 ",
            "--pids-limit 2048 ",
            "--log-driver none ",
            "--env http_proxy= ",
            "--env NO_PROXY=* ",
            "--env HOME=/root ",
        ] {
            assert!(words.contains(part), "{part}: {words}");
        }
        assert!(words.ends_with(" --cap-add X --entrypoint zap.py zap:1 -t"), "{words}");
        let image: Image = serde_yaml::from_str("{image: 'x:1', program: y}").unwrap();
        let words = create(&image, "z", "n", &tools, &[]).join(" ");
        assert!(words.contains("--network host ") && !words.contains("--add-host") && words.ends_with("--entrypoint y x:1"), "{words}");
    }

    #[test]
    fn programs_are_looked_for_in_the_path() {
        let stop = AtomicBool::new(false);
        let tooling = Tooling { tools: Tools::default(), stop: &stop };
        assert_eq!(tooling.installed("sh"), Ok(()));
        assert!(tooling.installed("no-such-program").unwrap_err().contains("not in the PATH"));
        assert!(tooling.launch(&["no-such-program".into()], Path::new("/"), false, ENGINE).is_err());
        let ran = tooling.launch(&["pwd".into()], Path::new("/"), false, ENGINE).unwrap();
        assert_eq!((ran.status, ran.stdout.as_str()), (0, "/\n"));
        let ran = tooling.launch(&["env".into()], Path::new("/"), false, ENGINE).unwrap();
        // Cargo's own variables are in the environment of every test.
        assert!(ran.stdout.contains("PATH=") && !ran.stdout.contains("CARGO"), "{}", ran.stdout);
    }
}
