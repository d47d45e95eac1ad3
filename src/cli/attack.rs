//! `poclab attack`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::args::{Attack, Format, Global};
use super::{Stop, runs};
use crate::attack::{self, Limits, Report, Tags, Tooling, Tools};
use crate::base::Exit;
use crate::report;

pub fn run(global: &Global, command: &Attack) -> Result<Exit, Stop> {
    if command.steps {
        report::print_lines(&attack::steps().collect::<Vec<_>>());
        return Ok(Exit::Done);
    }
    let tags = command.tags.as_deref().map(tags).transpose().map_err(Stop::usage)?;
    let attacks = read(command)?;
    wanted(&attacks, tags.as_ref())?;
    if command.list {
        report::print_lines(&names(&attacks, tags.as_ref()));
        return Ok(Exit::Done);
    }
    let mut tools = tools(command.tools.as_deref()).map_err(Stop::usage)?;
    if let Some(network) = &command.network {
        tools = tools.in_network(network);
    }
    // What cannot be written is said now and not after an hour of attacks.
    if let Some(prefix) = &command.output {
        report::try_attacks(prefix)?;
    }
    let stop = runs::interruptible()?;
    let limits = Limits { parallel: command.parallel, patience: command.patience };
    let started = Instant::now();
    let told = |outcome: &attack::Outcome| {
        if global.format == Format::Text {
            report::print_attack(outcome, command.control);
        }
    };
    let tooling = Tooling { tools, stop: &stop };
    let scenarios = attack::run(&attacks, tags.as_ref(), &tooling, limits, &stop, &told).map_err(|why| Stop::new(Exit::Failed, why))?;
    let run = Report { control: command.control, seconds: started.elapsed().as_secs_f64(), scenarios };
    report::print_attacks(runs::format(global), &run)?;
    if let Some(prefix) = &command.output {
        report::write_attacks(prefix, &run)?;
    }
    if stop.load(Ordering::Relaxed) {
        return Ok(Exit::Interrupted);
    }
    Ok(exit(&run))
}

/// Whether there is something to run. Tags that no scenario has are said: `--tags "not @slwo"` would run everything.
fn wanted(attacks: &[attack::Attack], tags: Option<&Tags>) -> Result<(), Stop> {
    let Some(tags) = tags else { return Ok(()) };
    let scenarios = || attacks.iter().flat_map(|attack| &attack.scenarios);
    let there: BTreeSet<&str> = scenarios().flat_map(|one| one.tags.iter().map(String::as_str)).collect();
    let missing: BTreeSet<&str> = attack::named(tags).into_iter().filter(|tag| !there.contains(tag)).collect();
    for tag in missing {
        report::print_notice(&format!("--tags: no scenario of these files has the tag @{tag}"));
    }
    if scenarios().any(|one| attack::wants(tags, &one.tags)) {
        return Ok(());
    }
    let known: Vec<String> = there.iter().map(|tag| format!("@{tag}")).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Err(Stop::usage(format!("no scenario has the tags that are wanted, so nothing was attacked; the files' tags: {known}")))
}

/// Several steps that hold are worth less than one that does not; what nobody could see is not good either.
fn exit(run: &Report) -> Exit {
    let [passed, failed, errors, _] = run.counts();
    let wrong = if run.control { passed } else { failed };
    match (wrong, errors) {
        // Not reached: a run without any scenario is refused before it begins.
        (0, 0) if passed + failed == 0 => Exit::Unobserved,
        (0, 0) => Exit::Done,
        (0, _) => Exit::Unobserved,
        _ => Exit::CheckFailed,
    }
}

fn tags(text: &str) -> Result<Tags, String> {
    text.parse().map_err(|_| format!("--tags: `{text}` is no expression of tags; write e.g. @slow, \"not @slow\", \"@a and (@b or @c)\""))
}

/// All files, or everything that is wrong with them.
fn read(command: &Attack) -> Result<Vec<attack::Attack>, Stop> {
    let (mut attacks, mut problems) = (Vec::new(), Vec::new());
    for file in files(&command.files).map_err(Stop::usage)? {
        match attack::read(&file) {
            Ok(attack) => attacks.push(attack),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() {
        return Ok(attacks);
    }
    report::print_problems(&problems);
    let number = if problems.len() == 1 { "1 mistake".to_owned() } else { format!("{} mistakes", problems.len()) };
    Err(Stop::usage(format!("{number} in the attack files; nothing was attacked")))
}

/// The files, and those of folders in the order of their names; each once.
fn files(given: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut seen = BTreeSet::new();
    for path in given {
        let mut found = if path.is_dir() { in_folder(path)? } else { vec![path.clone()] };
        found.retain(|file| seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())));
        files.extend(found);
    }
    Ok(files)
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let wrong = |error: std::io::Error| format!("cannot read the folder {}: {error}", folder.display());
    let entries = std::fs::read_dir(folder).map_err(wrong)?.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    let mut files: Vec<PathBuf> =
        entries.into_iter().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "attack")).collect();
    files.sort();
    if files.is_empty() {
        return Err(format!("there is no .attack file in the folder {}: name the files, or the folder that has them", folder.display()));
    }
    Ok(files)
}

fn names(attacks: &[attack::Attack], wanted: Option<&Tags>) -> Vec<String> {
    let line = |attack: &attack::Attack, scenario: &attack::Scenario| {
        let tags: String = scenario.tags.iter().map(|tag| format!(" @{tag}")).collect();
        format!("{}:{}: {}: {}{tags}", attack.file.display(), scenario.line, attack.name, scenario.name)
    };
    let all = attacks.iter().flat_map(|attack| attack.scenarios.iter().map(move |scenario| (attack, scenario)));
    all.filter(|(_, scenario)| wanted.is_none_or(|wanted| attack::wants(wanted, &scenario.tags)))
        .map(|(attack, scenario)| line(attack, scenario))
        .collect()
}

/// The tools file that was named; else the deployment server's, where there is one.
fn tools(named: Option<&Path>) -> Result<Tools, String> {
    match named {
        Some(file) => Tools::read(file),
        None if Path::new(Tools::DEFAULT).exists() => Tools::read(Path::new(Tools::DEFAULT)),
        None => Ok(Tools::default()),
    }
}
