//! Opening what a command works on: the inventory, the secrets, the lab.

use std::path::{Path, PathBuf};

use super::Stop;
use super::args::Global;
use crate::base::Exit;
use crate::lab::{self, Lab, Problems, Store};
use crate::{mirror, report};

/// Loads the lab with its secrets; whatever is missing is generated. Nothing is contacted.
pub fn load(global: &Global) -> Result<Lab, Stop> {
    // First without the store: a wrong file must not create anything.
    validate(global)?;
    let mut store = open_store(global)?;
    let mut lab = lab::load(global.inventory(), &mut store, &global.overrides).map_err(|problems| wrong(&problems))?;
    report::know(&lab.redactor);
    mirror::enforce(&mut lab);
    lab.notes.iter().for_each(|note| report::print_notice(note));
    Ok(lab)
}

/// Checks the lab's files, without secrets.
pub fn validate(global: &Global) -> Result<Lab, Stop> {
    lab::validate(global.inventory(), &global.overrides).map_err(|problems| wrong(&problems))
}

/// Opens the lab's secrets; says where a new identity is.
pub fn open_store(global: &Global) -> Result<Store, Stop> {
    let (name, state_dir) = lab::peek(global.inventory()).map_err(|problems| wrong(&problems))?;
    let store = Store::open(&state_dir, &name)?;
    if let Some(notice) = store.notice() {
        report::print_notice(notice);
    }
    Ok(store)
}

/// The folder of the lab's run logs; only the inventory is read.
pub fn runs_folder(global: &Global) -> Result<PathBuf, Stop> {
    let (_, state_dir) = lab::peek(global.inventory()).map_err(|problems| wrong(&problems))?;
    Ok(report::runs_folder(&state_dir))
}

/// All problems, one per line, and the exit code for them.
pub fn wrong(problems: &Problems) -> Stop {
    let count = problems.0.len();
    report::print_problems(&problems.0);
    Stop::new(Exit::Usage, format!("{count} {} in the lab's files; nothing was contacted", if count == 1 { "mistake" } else { "mistakes" }))
}

/// `there is no … NAME` with a suggestion.
pub fn no_such<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match lab::nearest(name, known.clone()) {
        Some(near) => format!("there is no {what} `{name}`; did you mean `{near}`?"),
        None => format!("there is no {what} `{name}`; there is: {}", known.collect::<Vec<_>>().join(", ")),
    }
}

/// The project's root, for files that are not part of the lab's model (rehearsal/, Vagrantfile).
pub fn root_of(inventory: &Path) -> PathBuf {
    lab::root(inventory)
}
