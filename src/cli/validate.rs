//! `poclab validate`

use super::args::Global;
use super::{Stop, files};
use crate::base::Exit;
use crate::report;

pub fn run(global: &Global) -> Result<Exit, Stop> {
    let lab = files::validate(global)?;
    let resources: usize = lab.nodes.iter().map(|node| node.resources.len()).sum();
    report::print_text(&format!(
        "{}: good; {} hosts, {} roles on them, {resources} resources, {} checks\n",
        global.inventory().display(),
        lab.hosts.len(),
        lab.nodes.len(),
        lab.checks.len()
    ));
    Ok(Exit::Done)
}
