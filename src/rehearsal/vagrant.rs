//! The truthful rehearsal: CentOS 7.6 virtual machines, made by Vagrant from the Vagrantfile and the inventory.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::{HostStatus, stream, vagrant_text};

/// Prints the public host keys of a machine, through vagrant's own login.
const SHOW_KEYS: &str = "cat /etc/ssh/ssh_host_*_key.pub";

/// The Vagrant backend.
#[derive(Debug, Clone)]
pub struct Vagrant {
    /// The project's root: the folder of the Vagrantfile.
    pub root: PathBuf,
    /// The inventory that the Vagrantfile reads.
    pub inventory: PathBuf,
}

impl Vagrant {
    /// Starts the machines; writes the inventory with the way into each (answered), and their host keys into the lab's
    /// `known_hosts`: read through the login that vagrant made, so that nothing has to be trusted at first sight.
    ///
    /// # Errors
    /// When vagrant fails, or shows no way into a host of the inventory.
    pub fn up(&self, say: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
        let inventory = self.text()?;
        let lab = vagrant_text::lab(&inventory).with_context(|| format!("inventory {}", self.inventory.display()))?;
        stream::run("vagrant up", &mut self.vagrant(["up"])?, say)?;
        let machines = vagrant_text::parse_ssh_config(&self.ask(["ssh-config"])?)?;
        let written = vagrant_text::with_machines(&inventory, &machines)?;
        let mut known_hosts = String::new();
        for (name, _) in vagrant_text::hosts(&inventory)? {
            // with_machines has refused a host without a machine
            let Some(machine) = machines.get(&name) else { continue };
            let keys = self.ask(["ssh", name.as_str(), "--command", SHOW_KEYS])?;
            known_hosts.push_str(&vagrant_text::known_hosts(machine, &keys).with_context(|| format!("host {name}"))?);
        }
        let state = self.root.join(".poclab").join(lab);
        fs::create_dir_all(&state).with_context(|| format!("cannot make {}", state.display()))?;
        let path = state.join("vagrant.yml");
        for (path, text) in [(&state.join("known_hosts"), &known_hosts), (&path, &written)] {
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(path)
    }

    /// Destroys the machines.
    ///
    /// # Errors
    /// When vagrant fails.
    pub fn down(&self, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
        stream::run("vagrant destroy", &mut self.vagrant(["destroy", "--force"])?, say)?;
        Ok(())
    }

    /// What vagrant says about each host of the inventory.
    ///
    /// # Errors
    /// When vagrant or the inventory could not be asked.
    pub fn status(&self) -> anyhow::Result<Vec<HostStatus>> {
        let states = vagrant_text::parse_status(&self.ask(["status", "--machine-readable"])?);
        let row = |(name, address): (String, String)| {
            let state = states.get(&name).cloned().unwrap_or_else(|| "unknown to vagrant".to_owned());
            HostStatus { running: state == "running", name, address, state }
        };
        Ok(vagrant_text::hosts(&self.text()?)?.into_iter().map(row).collect())
    }

    /// An ssh command line for a machine; arguments that follow are run there.
    pub fn ssh(&self, name: &str) -> Command {
        let mut command = self.command();
        command.args(["ssh", name, "--"]);
        command
    }

    fn text(&self) -> anyhow::Result<String> {
        fs::read_to_string(&self.inventory).with_context(|| format!("cannot read the inventory {}", self.inventory.display()))
    }

    fn command(&self) -> Command {
        let mut command = Command::new("vagrant");
        command
            .current_dir(&self.root)
            .env("POCLAB_INVENTORY", std::path::absolute(&self.inventory).unwrap_or_else(|_| self.inventory.clone()));
        command
    }

    fn vagrant<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Command> {
        if !self.root.join("Vagrantfile").is_file() {
            bail!("there is no Vagrantfile in {}", self.root.display());
        }
        let mut command = self.command();
        command.args(args);
        Ok(command)
    }

    fn ask<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> anyhow::Result<String> {
        let mut command = self.vagrant(args)?;
        let output =
            command.stdin(Stdio::null()).output().context("cannot start vagrant; install it with a provider (VirtualBox or libvirt)")?;
        if !output.status.success() {
            bail!("vagrant {}: {}", stream::ended(output.status), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
