//! `poclab scan`

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use time::OffsetDateTime;

use super::Stop;
use super::args::{Format, Global, Scan};
use super::runs;
use crate::base::{Exit, Image};
use crate::report::{self, ScanReport};
use crate::scan::{self, Config, Http, Judged};

pub fn run(global: &Global, command: &Scan) -> Result<Exit, Stop> {
    // Before anything can go wrong: a file of an earlier run must not stand for this one.
    [&command.json, &command.sarif, &command.html].into_iter().flatten().try_for_each(|file| remove(file))?;
    if global.format == Format::Junit {
        return Err(Stop::usage("a scan is reported as text or JSON; --sarif and --html write files"));
    }
    let config = Config::read(&command.config).map_err(Stop::usage)?;
    // Nothing is asked yet: what is wrong here is a file of this machine.
    let http = |config: &Config| Http::new(config).map_err(|why| Stop::usage(format!("{}: {why}", command.config.display())));
    let Some(image) = &command.image else { return feeds(global, &config, &http(&config)?) };
    let judged = Judged::read(&command.policy).map_err(Stop::usage)?;
    let http = http(&config)?;
    judge(global, command, &config, &judged, image, &http)
}

fn judge(global: &Global, command: &Scan, config: &Config, judged: &Judged, image: &Image, http: &Http) -> Result<Exit, Stop> {
    let seen = scan::scan(config, &judged.policy, image, http, http, OffsetDateTime::now_utc());
    let name = image.to_string();
    let told = ScanReport {
        image: &name,
        judged,
        max_age_days: config.max_age_days,
        updaters: &config.updaters,
        seen: seen.as_ref().map_err(String::as_str),
    };
    // First to whoever watches: a full disk must not keep the verdict from them.
    told.print(runs::format(global), command.all);
    // Also when nothing was seen: who reads the files must not take nothing for nothing bad.
    let written = [
        write(command.json.as_deref(), || Ok(told.json())),
        write(command.sarif.as_deref(), || Ok(told.sarif())),
        write(command.html.as_deref(), || told.html()),
    ];
    let lost: Vec<String> = written.into_iter().filter_map(Result::err).map(|why| format!("{why:#}")).collect();
    let lost = lost.join("; ");
    let and = if lost.is_empty() { String::new() } else { format!("; besides, {lost}") };
    match &seen {
        Err(why) => Err(Stop::new(Exit::Unobserved, format!("could not look at {name}: {why}{and}"))),
        Ok(scan) if scan.passed() && lost.is_empty() => Ok(Exit::Done),
        Ok(scan) if scan.passed() => Err(Stop::new(Exit::Failed, format!("{name} passed, but {lost}"))),
        Ok(_) => Err(Stop::new(
            Exit::CheckFailed,
            format!("{name} is refused by {}: update what has a fix, or accept it there with a reason and a last day{and}", judged.file),
        )),
    }
}

fn feeds(global: &Global, config: &Config, http: &Http) -> Result<Exit, Stop> {
    let unseen = |why: String| Stop::new(Exit::Unobserved, why);
    let feeds = scan::loaded(http, OffsetDateTime::now_utc()).map_err(unseen)?;
    report::print_feeds(&feeds, runs::format(global));
    match feeds.state(&config.updaters, config.max_age_days) {
        scan::State::Loaded => Ok(Exit::Done),
        other => Err(unseen(other.to_string())),
    }
}

/// Removes a file of an earlier run. Only a plain file: `/dev/stdout` stays.
fn remove(file: &Path) -> Result<(), Stop> {
    let gone = match fs::symlink_metadata(file) {
        Ok(found) if found.is_file() => fs::remove_file(file),
        Ok(_) => Ok(()),
        Err(why) => Err(why),
    };
    match gone {
        Err(why) if why.kind() != ErrorKind::NotFound => {
            Err(Stop::usage(format!("cannot remove {} of an earlier run: {why}; name another file", file.display())))
        }
        _ => Ok(()),
    }
}

fn write(file: Option<&Path>, text: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    report::write_html(file, &text()?, false)
}
