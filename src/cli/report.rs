//! `poclab report`

use std::path::{Path, PathBuf};

use super::args::{Global, Report};
use super::{Stop, files};
use crate::base::Exit;
use crate::report;

pub fn run(global: &Global, command: &Report) -> Result<Exit, Stop> {
    let log = match &command.run {
        // A log that someone sent needs no lab around it.
        Some(run) if run.contains('/') || Path::new(run).is_file() => PathBuf::from(run),
        run => recorded(&files::runs_folder(global)?, run.as_deref())?,
    };
    let html = report::html_report(&log)?;
    match &command.output {
        Some(output) if output.as_os_str() == "-" => report::print_text(&html),
        Some(output) => write(output, &html, false)?,
        None => write(&report::html_beside(&log), &html, true)?,
    }
    Ok(Exit::Done)
}

fn write(file: &Path, html: &str, private: bool) -> Result<(), Stop> {
    report::write_html(file, html, private)?;
    report::print_text(&format!("{}\n", file.display()));
    Ok(())
}

/// The log of a run by its name; of the last run, if none is named.
fn recorded(folder: &Path, name: Option<&str>) -> Result<PathBuf, Stop> {
    let stem = |name: &str| name.trim_end_matches(".jsonl").trim_end_matches(".html").to_owned();
    let mut known: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".jsonl"))
        .map(|name| stem(&name))
        .collect();
    known.sort();
    let wanted = match name {
        Some(name) => stem(name),
        None => known.last().cloned().unwrap_or_default(),
    };
    match known.iter().find(|known| **known == wanted) {
        Some(found) => Ok(folder.join(format!("{found}.jsonl"))),
        None if known.is_empty() => {
            let folder = folder.display();
            Err(Stop::usage(format!("no run of this lab is recorded in {folder}; bootstrap, plan and verify record theirs")))
        }
        None => Err(Stop::usage(files::no_such("recorded run", &wanted, known.iter().map(String::as_str)))),
    }
}
