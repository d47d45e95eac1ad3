//! `poclab secrets …`

use std::io::Read as _;

use super::args::{Global, Secrets};
use super::{Stop, files};
use crate::base::{Exit, Secret};
use crate::lab::Store;
use crate::report;

/// Secrets that poclab itself looks for when it connects, and those of single hosts (docs/formats.md).
const OWN: &[&str] = &["ssh_password", "sudo_password", "ssh_key_passphrase"];

pub fn run(global: &Global, command: &Secrets) -> Result<Exit, Stop> {
    match command {
        Secrets::List => {
            // What the roles declare exists from the first look on, not from the first bootstrap.
            files::load(global)?;
            let store = files::open_store(global)?;
            let rows = store.list().into_iter().map(|line| {
                let expires = line.expires.map(|end| format!("until {}", end.split('T').next().unwrap_or_default())).unwrap_or_default();
                vec![line.name, line.kind.to_string(), line.created.split('T').next().unwrap_or_default().to_owned(), expires, line.what]
            });
            report::print_table(&["name", "kind", "made", "valid", "what it is for"], &rows.collect::<Vec<_>>());
        }
        Secrets::Show { name, field } => {
            let store = open_with(global, name)?;
            let fields = store.show(name).map_err(|error| Stop::usage(error.to_string()))?;
            match field {
                None => fields.iter().for_each(|(label, value)| report::print_text(&format!("{label}: {}\n", value.expose().trim_end()))),
                Some(wanted) => {
                    let found = fields.iter().find(|(label, _)| label == wanted);
                    let known = fields.iter().map(|(label, _)| label.as_str());
                    let (_, value) = found.ok_or_else(|| Stop::usage(files::no_such("field", wanted, known)))?;
                    report::print_text(&format!("{}\n", value.expose().trim_end()));
                }
            }
        }
        Secrets::Set { name } => {
            let mut value = String::new();
            report::print_prompt(&format!("value of {name} (end with Enter and Ctrl-D): "));
            std::io::stdin()
                .read_to_string(&mut value)
                .map_err(|e| Stop::usage(format!("cannot read the value from standard input: {e}")))?;
            let value = Secret::new(value.trim_end_matches(['\n', '\r']));
            Store::check(name, &value).map_err(|error| Stop::usage(error.to_string()))?;
            if let Some(doubt) = doubt(global, name) {
                report::print_notice(&doubt);
            }
            files::open_store(global)?.set(name, &value)?;
            report::print_text(&format!("{name} is set; `poclab bootstrap` changes what depends on it\n"));
        }
        Secrets::Rotate { name } => {
            let mut store = open_with(global, name)?;
            store.show(name).map_err(|error| Stop::usage(error.to_string()))?;
            store.rotate(name)?;
            report::print_text(&format!("{name} is new; `poclab bootstrap` changes what depends on it\n"));
        }
    }
    Ok(Exit::Done)
}

/// The store; if it does not know the name yet, with everything that the lab declares. (Only then: secrets can be shown
/// while the lab's files are wrong.)
fn open_with(global: &Global, name: &str) -> Result<Store, Stop> {
    let store = files::open_store(global)?;
    if store.show(name).is_ok() {
        return Ok(store);
    }
    drop(store);
    files::load(global)?;
    files::open_store(global)
}

/// What speaks against setting a secret of this name: that nobody asks for it. Wrong files speak for themselves later.
fn doubt(global: &Global, name: &str) -> Option<String> {
    let lab = crate::lab::validate(global.inventory(), &global.overrides).ok()?;
    let declared = lab.secrets.iter().map(|secret| secret.name.as_str());
    let known = OWN.iter().any(|own| name.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')));
    if known || declared.clone().any(|other| other == name) {
        return None;
    }
    Some(format!("{} (it is set all the same)", files::no_such("declared secret", name, declared.chain(OWN.iter().copied()))))
}
