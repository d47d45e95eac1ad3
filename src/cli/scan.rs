//! `poclab scan`

use std::path::Path;

use time::OffsetDateTime;

use super::Stop;
use super::args::{Format, Global, Scan};
use super::runs;
use crate::base::{Exit, Image};
use crate::report::{self, ScanReport};
use crate::scan::{self, Config, Http, Policy};

pub fn run(global: &Global, command: &Scan) -> Result<Exit, Stop> {
    if global.format == Format::Junit {
        return Err(Stop::usage("a scan is reported as text or JSON; --sarif and --html write files"));
    }
    let config = Config::read(&command.config).map_err(Stop::usage)?;
    let Some(image) = &command.image else { return feeds(global, &config) };
    let policy = Policy::read(&command.policy).map_err(Stop::usage)?;
    let seen = look(&config, &policy, image);
    let name = image.to_string();
    let told = ScanReport {
        image: &name,
        file: &command.policy.display().to_string(),
        policy: &policy,
        seen: seen.as_ref().map_err(String::as_str),
    };
    // Also when nothing was seen: a file of an earlier run must not stand for this one.
    write(command.json.as_deref(), || Ok(told.json()))?;
    write(command.sarif.as_deref(), || Ok(told.sarif()))?;
    write(command.html.as_deref(), || told.html())?;
    told.print(runs::format(global), command.all);
    match &seen {
        Err(why) => Err(Stop::new(Exit::Unobserved, format!("could not look at {name}: {why}"))),
        Ok(scan) if scan.passed() => Ok(Exit::Done),
        Ok(_) => Err(Stop::new(
            Exit::CheckFailed,
            format!(
                "{name} is refused by {}: update what has a fix, or accept it there with a reason and a last day",
                command.policy.display()
            ),
        )),
    }
}

fn look(config: &Config, policy: &Policy, image: &Image) -> Result<scan::Scan, String> {
    let http = Http::new(config)?;
    scan::scan(config, policy, image, &http, &http, OffsetDateTime::now_utc())
}

fn feeds(global: &Global, config: &Config) -> Result<Exit, Stop> {
    let unseen = |why: String| Stop::new(Exit::Unobserved, why);
    let feeds = Http::new(config).and_then(|http| scan::loaded(&http, OffsetDateTime::now_utc())).map_err(unseen)?;
    report::print_feeds(&feeds, runs::format(global));
    match feeds.state(&config.updaters, config.max_age_days) {
        scan::State::Loaded => Ok(Exit::Done),
        other => Err(unseen(other.to_string())),
    }
}

fn write(file: Option<&Path>, text: impl FnOnce() -> anyhow::Result<String>) -> Result<(), Stop> {
    let Some(file) = file else { return Ok(()) };
    Ok(report::write_html(file, &text()?, false)?)
}
