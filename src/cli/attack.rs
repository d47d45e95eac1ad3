//! `poclab attack`

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::args::{Attack, Format, Global};
use super::{Stop, runs};
use crate::attack::{self, Limits, Report, Tags, Tooling, Tools};
use crate::base::Exit;
use crate::report;

pub fn run(global: &Global, command: &Attack) -> Result<Exit, Stop> {
    let tags = command.tags.as_deref().map(tags).transpose().map_err(Stop::usage)?;
    let attacks = read(command)?;
    if command.list {
        report::print_lines(&names(&attacks));
        return Ok(Exit::Done);
    }
    let mut tools = tools(command.tools.as_deref()).map_err(Stop::usage)?;
    if let Some(network) = &command.network {
        tools.network.clone_from(network);
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
    exit(&run)
}

/// Several steps that hold are worth less than one that does not; what nobody could see is not good either.
fn exit(run: &Report) -> Result<Exit, Stop> {
    let [passed, failed, errors, _] = run.counts();
    if passed + failed + errors == 0 {
        return Err(Stop::usage("no scenario has the tags that are wanted, so nothing was attacked"));
    }
    let wrong = if run.control { passed } else { failed };
    Ok(match (wrong, errors) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::Unobserved,
        _ => Exit::CheckFailed,
    })
}

fn tags(text: &str) -> Result<Tags, String> {
    text.parse().map_err(|_| format!("--tags: `{text}` is no expression of tags; write e.g. @slow, \"not @slow\", \"@a and (@b or @c)\""))
}

/// All files, or everything that is wrong with them.
fn read(command: &Attack) -> Result<Vec<attack::Attack>, Stop> {
    let (mut attacks, mut problems) = (Vec::new(), Vec::new());
    for file in &command.files {
        match attack::read(file) {
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

fn names(attacks: &[attack::Attack]) -> Vec<String> {
    let line = |attack: &attack::Attack, scenario: &attack::Scenario| {
        let tags: String = scenario.tags.iter().map(|tag| format!(" @{tag}")).collect();
        format!("{}:{}: {}: {}{tags}", attack.file.display(), scenario.line, attack.name, scenario.name)
    };
    attacks.iter().flat_map(|attack| attack.scenarios.iter().map(move |scenario| line(attack, scenario))).collect()
}

/// The tools file that was named; else the deployment server's, where there is one.
fn tools(named: Option<&Path>) -> Result<Tools, String> {
    match named {
        Some(file) => Tools::read(file),
        None if Path::new(Tools::DEFAULT).exists() => Tools::read(Path::new(Tools::DEFAULT)),
        None => Ok(Tools::default()),
    }
}
