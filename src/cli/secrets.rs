//! `poclab secrets …`

use std::io::Read as _;

use super::args::{Global, Secrets};
use super::{Stop, files};
use crate::base::{Exit, Secret};
use crate::report;

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
            let store = files::open_store(global)?;
            let fields = store.show(name)?;
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
            let mut store = files::open_store(global)?;
            store.set(name, &Secret::new(value.trim_end_matches(['\n', '\r'])))?;
            report::print_text(&format!("{name} is set; `poclab bootstrap` changes what depends on it\n"));
        }
        Secrets::Rotate { name } => {
            let mut store = files::open_store(global)?;
            store.rotate(name)?;
            report::print_text(&format!("{name} is new; `poclab bootstrap` changes what depends on it\n"));
        }
    }
    Ok(Exit::Done)
}
