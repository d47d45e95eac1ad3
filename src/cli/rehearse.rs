//! `poclab rehearse …`

use std::path::Path;

use anyhow::Context as _;

use super::args::{Backend, Global, Rehearse};
use super::{Stop, files};
use crate::base::Exit;
use crate::rehearsal::{self, Containers, Vagrant};
use crate::report;

pub fn run(global: &Global, command: &Rehearse) -> Result<Exit, Stop> {
    let mut say = |line: &str| report::print_notice(line);
    match command {
        Rehearse::Up { backend: Backend::Containers } => {
            let containers = containers(global)?;
            containers.up(&mut say)?;
            let inventory = inventory(global, Backend::Containers);
            report::print_text(&format!("the hosts are up; next: poclab --inventory {} bootstrap\n", inventory.display()));
        }
        Rehearse::Up { backend: Backend::Vagrant } => {
            let written = vagrant(global).up(&mut say)?;
            report::print_text(&format!("the VMs are up; next: poclab --inventory {} bootstrap\n", written.display()));
        }
        Rehearse::Down { backend: Backend::Containers } => containers(global)?.down(&mut say)?,
        Rehearse::Down { backend: Backend::Vagrant } => vagrant(global).down(&mut say)?,
        Rehearse::Status { backend } => {
            let rows = match backend {
                Backend::Containers => containers(global)?.status()?,
                Backend::Vagrant => vagrant(global).status()?,
            };
            let all = rows.iter().all(|row| row.running);
            let rows = rows.into_iter().map(|row| vec![row.name, row.address, row.state]);
            report::print_table(&["host", "address", "state"], &rows.collect::<Vec<_>>());
            return Ok(if all { Exit::Done } else { Exit::Failed });
        }
        Rehearse::Ssh { name, backend, command } => {
            let mut ssh = match backend {
                Backend::Containers => containers(global)?.ssh(name)?,
                Backend::Vagrant => vagrant(global).ssh(name),
            };
            let status = ssh.args(command).status().context("cannot start the ssh client")?;
            let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
            return if code == 0 {
                Ok(Exit::Done)
            } else {
                Err(Stop::new(Exit::Failed, format!("ssh to {name} ended with exit status {code}")))
            };
        }
    }
    Ok(Exit::Done)
}

fn inventory(global: &Global, backend: Backend) -> std::path::PathBuf {
    let default = if backend == Backend::Containers { "inventory/rehearsal.yml" } else { "inventory/lab.yml" };
    global.inventory.clone().unwrap_or_else(|| Path::new(default).to_owned())
}

fn containers(global: &Global) -> Result<Containers, Stop> {
    let inventory = inventory(global, Backend::Containers);
    rehearsal::containers(&inventory, &files::root_of(&inventory)).map_err(|error| Stop::usage(format!("{error:#}")))
}

fn vagrant(global: &Global) -> Vagrant {
    let inventory = inventory(global, Backend::Vagrant);
    Vagrant { root: files::root_of(&inventory), inventory }
}
