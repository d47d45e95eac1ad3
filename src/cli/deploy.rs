//! `poclab deploy`

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::args::{Deploy, Format, Global};
use super::{Stop, runs};
use crate::base::{Exit, frame};
use crate::deploy::{self, Config, Http, Order, Outcome, SshHost};
use crate::report;

pub fn run(global: &Global, command: &Deploy) -> Result<Exit, Stop> {
    if global.accept_new_host_keys {
        return Err(Stop::usage("a deployment accepts no new host keys: role deployment writes the known ones"));
    }
    if global.format != Format::Text {
        return Err(Stop::usage("a deployment is reported as text only"));
    }
    let config = Config::read(&command.config).map_err(Stop::usage)?;
    let (name, target) = config.target(command.to.as_deref()).map_err(Stop::usage)?;
    let key = command.key.clone().or_else(|| config.key.clone());
    let key = key.ok_or_else(|| Stop::usage("no private key: name one with --key or DEPLOY_KEY"))?;
    let images = command.images.iter().map(|image| Ok(image.pulled(&config.push_to, &config.pull_from)?.to_string()));
    let images: Vec<String> = images.collect::<Result<_, String>>().map_err(Stop::usage)?;
    if images.len() != 2 {
        return Err(Stop::usage(format!("a version is two images, the API's and the website's; {} given with --image", images.len())));
    }
    let order = Order { id: frame::nonce(), commit: command.commit.clone(), images };
    let interrupted = runs::interruptible()?;
    let host = SshHost::new(&config, target, key, interrupted.clone());
    let http = Http::new().map_err(|why| Stop::new(Exit::Failed, why))?;
    let started = Instant::now();
    let mut say = |line: &str| report::print_lines(&[format!("{:5.1} s  {line}", started.elapsed().as_secs_f64())]);
    say(&format!("deploying {} to {name} ({}@{})", order.commit, config.user, target.address));
    let outcome = deploy::run(&host, &http, target, &order, &interrupted, &mut say);
    let (exit, text) = words(name, &order, &outcome);
    if exit == Exit::Done {
        say(&text);
        return Ok(exit);
    }
    Err(Stop::new(if interrupted.load(Ordering::Relaxed) { Exit::Interrupted } else { exit }, text))
}

/// The exit code and the last line.
fn words(name: &str, order: &Order, outcome: &Outcome) -> (Exit, String) {
    let commit = &order.commit;
    match outcome {
        Outcome::Deployed => (Exit::Done, format!("{name} runs {commit}")),
        Outcome::Unchanged => (Exit::Done, format!("{name} runs {commit} already; nothing was changed")),
        Outcome::RolledBack { before, why } if before == "nothing" => {
            (Exit::CheckFailed, format!("{commit} was not deployed to {name}: {why}; nothing was deployed before, and nothing is now"))
        }
        Outcome::RolledBack { before, why } => {
            (Exit::CheckFailed, format!("{commit} was not deployed to {name}: {why}; {before} is back and answers"))
        }
        Outcome::NothingChanged(why) => (Exit::Failed, format!("{commit} was not deployed to {name}, nothing was changed: {why}")),
        Outcome::Unknown(why) => (Exit::Unobserved, format!("{name} must be looked at (`student-list-deploy status` there): {why}")),
    }
}
