//! `poclab completions SHELL`: the shell asks poclab itself at every Tab, so names of hosts, roles and secrets are known.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
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
    if command.shell == Shell::Zsh {
        // As a file `_poclab` in zsh's fpath the script is the completion function's own first call: it has to answer, too.
        script.extend_from_slice(b"if [[ ${funcstack[1]} == _poclab ]]; then _clap_dynamic_completer_poclab \"$@\"; fi\n");
    }
    report::print_text(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}

/// Answers a completion script, if one asks; `true`: the program is done.
pub fn answer() -> bool {
    let here = std::env::current_dir().ok();
    let nothing_typed = std::env::args_os().next_back().is_some_and(|word| word.is_empty());
    let command = || {
        let mut command = Args::command();
        // Now, or --help would come later.
        command.build();
        if nothing_typed { names_first(command) } else { command }
    };
    // What goes wrong while completing must not spoil the command line that is being typed.
    CompleteEnv::with_factory(command).var(ASKED).try_complete(std::env::args_os(), here.as_deref()).unwrap_or(true)
}

/// Options are offered when there is nothing else, or when a dash is typed: so the only secret there is is completed at once.
fn names_first(command: Command) -> Command {
    command.mut_args(|arg| if arg.is_positional() { arg } else { arg.hide(true) }).mut_subcommands(names_first)
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
