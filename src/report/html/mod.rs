//! The HTML report of a run: one file that needs nothing else, for people who were not there.
//!
//! It is made from the run's log (`../log.rs`) and nothing else, so it says what the run saw, not what the lab's files say
//! today; and a report can be made again at any time. The way: [`record`] (lines -> events with times) -> [`run`] (what
//! happened, by subject) -> one view per subject -> [`page`] (tera, every value escaped).

mod attack;
mod changes;
mod checks;
mod document;
mod figure;
mod hosts;
mod page;
mod record;
mod run;
mod scan;
mod sign;
mod timeline;
mod topology;

#[cfg(test)]
mod figure_tests;
#[cfg(test)]
mod tests;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

pub use attack::attack_page;
pub use scan::scan_page;

/// The report as text, made from a run's log.
pub fn html_report(log: &Path) -> Result<String> {
    let text = fs::read_to_string(log).with_context(|| format!("cannot read the log of the run, {}", log.display()))?;
    let name = log.file_name().unwrap_or_default().to_string_lossy();
    page::render(&run::Run::from(&record::read(&text)?), &name)
}

/// Where the report of a run is: beside its log.
pub fn html_beside(log: &Path) -> PathBuf {
    log.with_extension("html")
}

/// Writes a report; only its owner may read it if it is `private`. The file is there whole or not at all.
pub fn write_html(file: &Path, html: &str, private: bool) -> Result<()> {
    let mut part = file.as_os_str().to_owned();
    part.push(format!(".{}.tmp", std::process::id()));
    let part = PathBuf::from(part);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(if private { 0o600 } else { 0o666 })
        .open(&part)
        .and_then(|mut out| out.write_all(html.as_bytes()))
        .and_then(|()| fs::rename(&part, file));
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written.with_context(|| format!("cannot write the report {}", file.display()))
}
