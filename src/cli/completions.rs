//! `poclab completions SHELL`: the shell asks poclab itself at every Tab, so names of hosts, roles and secrets are known.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use clap::CommandFactory as _;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};

use super::Stop;
use super::args::{Args, Completions};
use crate::base::Exit;
use crate::lab::manual::Manual;
use crate::{check, lab, report};

/// Set by the completion scripts when they ask. Not COMPLETE, as others use that.
const ASKED: &str = "POCLAB_COMPLETE";

pub fn run(command: &Completions) -> Result<Exit, Stop> {
    let name = command.shell.to_string();
    let shells = Shells::builtins();
    let shell = shells.completer(&name).ok_or_else(|| anyhow!("no completions for {name}"))?;
    let mut script = Vec::new();
    shell.write_registration(ASKED, "poclab", "poclab", "poclab", &mut script).context("cannot make the completion script")?;
    report::print_text(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}

/// Answers a completion script, if one asks; `true`: the program is done.
pub fn answer() -> bool {
    let here = std::env::current_dir().ok();
    // What goes wrong while completing must not spoil the command line that is being typed.
    CompleteEnv::with_factory(Args::command).var(ASKED).try_complete(std::env::args_os(), here.as_deref()).unwrap_or(true)
}

/// Names of the inventory's hosts.
pub fn hosts() -> ArgValueCandidates {
    candidates(|inventory| lab::names_of(inventory).hosts)
}

/// Names of the project's roles.
pub fn roles() -> ArgValueCandidates {
    candidates(|inventory| lab::names_of(inventory).roles)
}

/// Names of the secrets that inventory and roles declare.
pub fn secrets() -> ArgValueCandidates {
    candidates(|inventory| lab::names_of(inventory).secrets)
}

/// Names of the variables, with the `=` behind.
pub fn variables() -> ArgValueCandidates {
    candidates(|inventory| lab::names_of(inventory).variables.into_iter().map(|name| format!("{name}=")).collect())
}

/// Names of the kinds of checks.
pub fn checks() -> ArgValueCandidates {
    candidates(|_| check::NAMES.iter().map(|name| (*name).to_owned()).collect())
}

/// Everything that `explain` knows.
pub fn topics() -> ArgValueCandidates {
    candidates(|inventory| Manual::open(inventory, &[]).names())
}

fn candidates(names: fn(&Path) -> Vec<String>) -> ArgValueCandidates {
    ArgValueCandidates::new(move || {
        let inventory = inventory(&std::env::args_os().collect::<Vec<_>>(), std::env::var_os("POCLAB_INVENTORY").as_deref());
        names(Path::new(&inventory)).into_iter().map(CompletionCandidate::new).collect()
    })
}

/// The inventory of the command line that is being typed.
fn inventory(words: &[OsString], from_environment: Option<&OsStr>) -> OsString {
    let mut words = words.iter().filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        if let Some(file) = word.strip_prefix("--inventory=") {
            return file.into();
        }
        if matches!(word, "-i" | "--inventory")
            && let Some(file) = words.next()
        {
            return file.into();
        }
    }
    from_environment.map_or_else(|| "inventory/lab.yml".into(), OsStr::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inventory_that_is_typed_counts() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(inventory(&words("poclab -- poclab plan -i x.yml --host"), None), "x.yml");
        assert_eq!(inventory(&words("poclab -- poclab --inventory=y.yml plan"), None), "y.yml");
        assert_eq!(inventory(&words("poclab -- poclab plan"), Some(OsStr::new("z.yml"))), "z.yml");
        assert_eq!(inventory(&words("poclab plan -i"), None), "inventory/lab.yml");
    }
}
