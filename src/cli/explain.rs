//! `poclab explain`

use super::args::{Explain, Global};
use super::{Stop, runs};
use crate::base::Exit;
use crate::lab::manual::Manual;
use crate::report;

pub fn run(global: &Global, command: &Explain) -> Result<Exit, Stop> {
    let manual = Manual::open(global.inventory(), &global.overrides);
    let unclean = |why: String| Stop::new(Exit::Failed, why);
    let Some(name) = &command.name else {
        let pages: Vec<_> = manual.contents().into_iter().filter_map(|(topic, name)| manual.page(topic, &name)).collect();
        report::print_contents(&pages, runs::format(global)).map_err(unclean)?;
        return Ok(Exit::Done);
    };
    let pages = manual.find(name);
    if pages.is_empty() {
        let near: Vec<String> = manual.near(name).into_iter().map(|near| format!("`{near}`")).collect();
        let hint = if near.is_empty() { "`poclab explain` lists all names".to_owned() } else { format!("near to it: {}", near.join(", ")) };
        return Err(Stop::usage(format!("nothing is called `{name}`; {hint}")));
    }
    report::print_pages(&pages, runs::format(global)).map_err(unclean)?;
    Ok(Exit::Done)
}
