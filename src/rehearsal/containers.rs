//! Four (or however many) containers that behave like bare hosts, on one bridge network of this machine.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::docker::{self, Container};
use super::state::State;
use super::wait::{set_up, wait_for_ssh};
use super::{HostStatus, RehearsalHost, setup, stream};

/// Label of everything that belongs to a rehearsal; its value is the state folder.
const LABEL: &str = "poclab.rehearsal";
/// Where the mirror is on every host.
const MIRROR: &str = "/srv/poclab-mirror";
/// Longest wait for a host's sshd after its container started.
const SSH_DEADLINE: Duration = Duration::from_secs(60);

/// What lets systemd, firewalld and a nested Docker run in a container that is not privileged, less what could reach this
/// machine: no setting of the clock, no kernel modules, no block devices.
const FLAGS: &[&str] = &[
    "--cap-add=ALL",
    "--cap-drop=SYS_RESOURCE",
    "--cap-drop=SYS_TIME",
    "--cap-drop=SYS_MODULE",
    "--cap-drop=SYS_RAWIO",
    "--security-opt=seccomp=unconfined",
    "--security-opt=systempaths=unconfined",
    "--security-opt=apparmor=unconfined",
    // a nested engine asks for the right to make device nodes; reading and writing block devices is nobody's business
    "--device-cgroup-rule=c *:* rwm",
    "--device-cgroup-rule=b *:* m",
    "--cgroupns=private",
    "--tmpfs=/run",
    "--tmpfs=/tmp:exec,mode=1777",
    "--volume=/var/lib/docker",
    "--stop-signal=SIGRTMIN+3",
    // a reboot ends the container with a status: this starts it again; `docker stop` does not count
    "--restart=on-failure",
    // what a fresh box calls itself; its real name is the base role's work
    "--hostname=localhost.localdomain",
];

/// The containers backend.
#[derive(Debug, Clone)]
pub struct Containers {
    /// The project's rehearsal/.
    pub rehearsal_dir: PathBuf,
    /// Keys, known hosts and sudo passwords of the rehearsal. `down` removes it.
    pub state_dir: PathBuf,
    /// The hosts.
    pub hosts: Vec<RehearsalHost>,
    /// Network in CIDR form, a /24; its .1 is this machine.
    pub network: String,
    /// Login user.
    pub user: String,
    /// The mirror that the hosts see, if it is not the one that `rehearsal/build-mirror` makes.
    pub mirror: Option<PathBuf>,
}

impl Containers {
    /// The network's name and the prefix of container names: `poclab-<lab>`.
    fn name(&self) -> String {
        format!("poclab-{}", self.state_dir.file_name().unwrap_or_default().to_string_lossy())
    }

    fn container_name(&self, host: &RehearsalHost) -> String {
        format!("{}-{}", self.name(), host.name)
    }

    /// Makes sure that all hosts run and answer: builds what is not cached, starts what is not started, keeps what runs.
    /// May run again after an interrupt at any place.
    ///
    /// # Errors
    /// With the step that failed, its reason, and what to do.
    pub fn up(&self, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
        let state = State::open(&self.state_dir)?;
        let key = state.key()?;
        self.run_script("ensure-docker", &[], say)?;
        let image = self.run_script("build-host-image", &[], say)?;
        let mirror = match &self.mirror {
            Some(folder) => folder.display().to_string(),
            None => self.run_script("build-mirror", &[], say)?,
        };
        if !image.starts_with("poclab/rehearsal-host:") {
            bail!("rehearsal/build-host-image named no image on its last line, but: {image}");
        }
        if !Path::new(&mirror).join("mirror.yml").is_file() {
            bail!("there is no mirror (no mirror.yml) in {mirror}");
        }
        let present = self.present(state.folder())?;
        self.network(say)?;
        let known = self.hosts.iter().map(|host| self.container_name(host)).collect::<BTreeSet<_>>();
        for stray in present.iter().filter(|container| !known.contains(&container.name)) {
            say(&format!("{} is no longer in the inventory; left alone (`poclab rehearse down` removes it)", stray.name));
        }
        let started = Instant::now();
        let results = thread::scope(|scope| {
            let start = |host| {
                let (image, mirror, state, key, present) = (&image, &mirror, &state, &key, &present);
                scope.spawn(move || self.start(host, image, mirror, state, key, present))
            };
            let threads: Vec<_> = self.hosts.iter().map(start).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("starting a host panicked"))).collect::<Vec<_>>()
        });
        let mut known_hosts = String::new();
        let mut failed = Vec::new();
        for (host, result) in self.hosts.iter().zip(results) {
            match result {
                Ok((line, keys)) => {
                    say(&line);
                    known_hosts.push_str(&keys);
                }
                Err(error) => {
                    say(&format!("{}: {error:#}", host.name));
                    failed.push(host.name.as_str());
                }
            }
        }
        state.known_hosts(&known_hosts)?;
        if !failed.is_empty() {
            bail!("not up: {}; run it again, or `poclab rehearse down` first to start from nothing", failed.join(", "));
        }
        say(&format!("{} hosts answer ({:.1} s)", self.hosts.len(), started.elapsed().as_secs_f64()));
        Ok(())
    }

    /// Removes the hosts, their volumes, the network and the state; stops the dockerd that `up` started, if any.
    ///
    /// # Errors
    /// When something could not be removed; the state is kept then, so that it can be tried again.
    pub fn down(&self, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
        let state = absolute(&self.state_dir)?;
        if !engine_answers() {
            if !engine_left_behind(&self.rehearsal_dir) {
                say("no Docker engine answers: there are no hosts to remove");
                return State::remove(&state);
            }
            // the hosts of a stopped engine are on its disk all the same
            self.run_script("ensure-docker", &[], say)?;
        }
        let ours = docker::containers(&format!("{LABEL}={}", state.display()))?;
        if !ours.is_empty() {
            say(&format!("removing {}", names(&ours)));
            let mut arguments = vec!["rm", "--force", "--volumes"];
            arguments.extend(ours.iter().map(|container| container.name.as_str()));
            docker::run("removing the hosts", arguments)?;
        }
        if self.network_there()?.is_some() {
            say("removing the network");
            docker::run("removing the network", ["network", "rm", &self.name()])?;
        }
        let others = docker::containers(LABEL)?;
        if !others.is_empty() {
            say(&format!("left alone, of another rehearsal: {}", names(&others)));
        }
        State::remove(&state)?;
        if others.is_empty() {
            self.run_script("ensure-docker", &["--stop"], say)?;
        }
        Ok(())
    }

    /// What is known about each host of the inventory, and about hosts that are no longer in it.
    ///
    /// # Errors
    /// When the engine could not be asked: that is not the same as "absent".
    pub fn status(&self) -> anyhow::Result<Vec<HostStatus>> {
        let present = docker::containers(&format!("{LABEL}={}", absolute(&self.state_dir)?.display()))?;
        Ok(merge(&self.hosts, &format!("{}-", self.name()), &present))
    }

    /// An ssh command line for a host: our key only, strict host keys.
    ///
    /// # Errors
    /// For a host that is not in the inventory.
    pub fn ssh(&self, name: &str) -> anyhow::Result<Command> {
        let Some(host) = self.hosts.iter().find(|host| host.name == name) else {
            let known: Vec<_> = self.hosts.iter().map(|host| host.name.as_str()).collect();
            bail!("there is no host `{name}` in the inventory; known: {}", known.join(", "));
        };
        let mut command = Command::new("ssh");
        command.args(["-F", "none", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=/dev/null"]);
        command.arg("-o").arg(format!("UserKnownHostsFile={}", self.state_dir.join("known_hosts").display()));
        command.arg("-i").arg(self.state_dir.join("id_ed25519"));
        command.arg(format!("{}@{}", self.user, host.address));
        Ok(command)
    }

    fn run_script(&self, name: &str, args: &[&str], say: &mut dyn FnMut(&str)) -> anyhow::Result<String> {
        stream::run(&format!("rehearsal/{name}"), Command::new(self.rehearsal_dir.join(name)).args(args), say)
    }

    /// Our containers; an error when another rehearsal holds one of our names.
    fn present(&self, state: &Path) -> anyhow::Result<Vec<Container>> {
        let ours = docker::containers(&format!("{LABEL}={}", state.display()))?;
        let all = docker::containers(LABEL)?;
        let wanted: BTreeSet<_> = self.hosts.iter().map(|host| self.container_name(host)).collect();
        if let Some(other) =
            all.iter().find(|container| wanted.contains(&container.name) && !ours.iter().any(|own| own.name == container.name))
        {
            let format = format!("{{{{index .Config.Labels \"{LABEL}\"}}}}");
            let owner = docker::run("asking whose host that is", ["inspect", "--format", &format, &other.name])?;
            bail!(
                "{} belongs to another rehearsal on this machine, with its state in {}; take that one down first",
                other.name,
                owner.trim()
            );
        }
        Ok(ours)
    }

    fn network_there(&self) -> anyhow::Result<Option<(String, usize)>> {
        let filter = format!("name=^{}$", self.name());
        let found = docker::run("looking for the network", ["network", "ls", "--quiet", "--filter", &filter])?;
        if found.trim().is_empty() {
            return Ok(None);
        }
        docker::parse_network(&docker::run("looking at the network", ["network", "inspect", &self.name()])?)
    }

    fn network(&self, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
        let name = self.name();
        match self.network_there()? {
            Some((subnet, _)) if subnet == self.network => return Ok(()),
            Some((subnet, 0)) => {
                say(&format!("the network {name} was {subnet}: making it anew"));
                docker::run("removing the old network", ["network", "rm", &name])?;
            }
            Some((subnet, users)) => {
                bail!(
                    "the network {name} is {subnet} with {users} hosts on it, and the inventory says {}; run `poclab rehearse down` first",
                    self.network
                )
            }
            None => {}
        }
        let base = self.network.strip_suffix(".0/24").with_context(|| format!("the rehearsal's network {} is no /24", self.network))?;
        let (gateway, label) = (format!("{base}.1"), format!("{LABEL}=network"));
        docker::run(
            "making the network",
            ["network", "create", "--subnet", &self.network, "--gateway", &gateway, "--label", &label, &name],
        )?;
        Ok(())
    }

    /// Starts one host unless it runs, sets it up, waits for its sshd. Answers a line for the user and known_hosts lines.
    fn start(
        &self,
        host: &RehearsalHost,
        image: &str,
        mirror: &str,
        state: &State,
        key: &str,
        present: &[Container],
    ) -> anyhow::Result<(String, String)> {
        let name = self.container_name(host);
        let there = present.iter().find(|container| container.name == name);
        let mut line = match there {
            Some(container) if container.state == "running" => format!("{}: runs, kept", host.name),
            Some(_) => {
                docker::run("starting it", ["start", &name])?;
                format!("{}: started", host.name)
            }
            None => {
                self.create(host, &name, image, mirror, state)?;
                format!("{}: made and started", host.name)
            }
        };
        if there.is_some_and(|container| container.image != image) {
            line.push_str(" (of an older host image; `poclab rehearse down`, then `up`, renews it)");
        }
        let password = if host.sudo_password { Some(state.sudo_password(&host.name)?) } else { None };
        let output = set_up(&name, &setup::script(&self.user, key, password.as_ref()))?;
        let keys = setup::known_hosts(&output, host.address)?;
        wait_for_ssh(SocketAddr::from((host.address, 22)), SSH_DEADLINE)?;
        Ok((line, keys))
    }

    fn create(&self, host: &RehearsalHost, name: &str, image: &str, mirror: &str, state: &State) -> anyhow::Result<()> {
        let address = host.address.to_string();
        let labels = [format!("{LABEL}={}", state.folder().display()), format!("{LABEL}.host={}", host.name)];
        let volume = format!("{mirror}:{MIRROR}:ro");
        let network = self.name();
        let mut arguments = vec!["run", "--detach", "--name", name, "--network", &network, "--ip", &address, "--volume", &volume];
        arguments.extend(labels.iter().flat_map(|label| ["--label", label]));
        arguments.extend(FLAGS);
        arguments.push(image);
        docker::run("making it", arguments)?;
        Ok(())
    }
}

fn names(containers: &[Container]) -> String {
    containers.iter().map(|container| container.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("no such place: {}", path.display()))
}

fn engine_answers() -> bool {
    docker::run("asking the engine", ["version", "--format", "{{.Server.Version}}"]).is_ok()
}

/// Whether there is an engine here that could be started again (with hosts of ours on its disk).
fn engine_left_behind(rehearsal_dir: &Path) -> bool {
    rehearsal_dir.join("ensure-docker").is_file() && Path::new("/var/lib/docker").is_dir()
}

fn merge(hosts: &[RehearsalHost], prefix: &str, present: &[Container]) -> Vec<HostStatus> {
    let row = |name: &str, address: String, state: &str| HostStatus {
        name: name.to_owned(),
        address,
        state: state.to_owned(),
        running: state == "running",
    };
    let mut rows: Vec<_> = hosts
        .iter()
        .map(|host| {
            let name = format!("{prefix}{}", host.name);
            let state = present.iter().find(|container| container.name == name).map_or("absent", |container| container.state.as_str());
            row(&host.name, host.address.to_string(), state)
        })
        .collect();
    let strays = present.iter().filter(|container| !hosts.iter().any(|host| format!("{prefix}{}", host.name) == container.name));
    rows.extend(
        strays.map(|container| row(container.name.trim_start_matches(prefix), "not in the inventory".to_owned(), &container.state)),
    );
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn host(name: &str, last: u8) -> RehearsalHost {
        RehearsalHost { name: name.to_owned(), address: Ipv4Addr::new(10, 90, 0, last), sudo_password: false }
    }

    fn containers() -> Containers {
        Containers {
            rehearsal_dir: "rehearsal".into(),
            state_dir: "/lab/.poclab/rehearsal".into(),
            hosts: vec![host("app", 12), host("deploy", 11)],
            network: "10.90.0.0/24".into(),
            user: "ops".into(),
            mirror: None,
        }
    }

    #[test]
    fn status_tells_absent_stopped_and_forgotten_hosts_apart() {
        let container = |name: &str, state: &str| Container { name: name.into(), state: state.into(), image: "i".into() };
        let rows = merge(&containers().hosts, "poclab-x-", &[container("poclab-x-app", "exited"), container("poclab-x-old", "running")]);
        let rows: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.state.as_str(), row.running)).collect();
        assert_eq!(rows, [("app", "exited", false), ("deploy", "absent", false), ("old", "running", true)]);
    }

    #[test]
    fn ssh_is_strict_and_knows_its_hosts() {
        let command = containers().ssh("app").unwrap();
        let line = format!("{command:?}");
        for part in [
            "StrictHostKeyChecking=yes",
            "UserKnownHostsFile=/lab/.poclab/rehearsal/known_hosts",
            "/lab/.poclab/rehearsal/id_ed25519",
            "ops@10.90.0.12",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        assert!(containers().ssh("ap").unwrap_err().to_string().contains("known: app, deploy"));
    }
}
