//! `poclab validate`

use super::args::Global;
use super::{Stop, files};
use crate::base::Exit;
use crate::report;

pub fn run(global: &Global) -> Result<Exit, Stop> {
    let lab = files::validate(global)?;
    lab.notes.iter().for_each(|note| report::print_notice(note));
    let resources: usize = lab.nodes.iter().map(|node| node.resources.len()).sum();
    report::print_text(&format!(
        "{}: good; {}, {} on them, {}, {}\n",
        global.inventory().display(),
        count(lab.hosts.len(), "host"),
        count(lab.nodes.len(), "role"),
        count(resources, "resource"),
        count(lab.checks.len(), "check")
    ));
    Ok(Exit::Done)
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
