//! `poclab pipeline`

use std::time::Duration;

use super::args::{Global, Pipeline};
use super::{Stop, files, runs};
use crate::base::Exit;
use crate::check::pipeline::jenkins::{self, Build, Stage};
use crate::check::pipeline::site::{Api, Site};
use crate::check::{self, Reach};
use crate::lab::Lab;
use crate::report;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

pub fn run(global: &Global, command: &Pipeline) -> Result<Exit, Stop> {
    let lab = files::load(global)?;
    let (site, job) = job(&lab).ok_or_else(|| Stop::usage("this lab has no pipeline: none of its roles has a check `pipeline`"))?;
    let unseen = |why: String| Stop::new(Exit::Unobserved, why);
    let api = Api::new(site, &FromHere { ca: &lab.ca_pem }).map_err(unseen)?;
    let mut seen: Option<(Build, Vec<Stage>)> = None;
    // While watching, the last build that had ended before anybody looked: the next one is waited for.
    let mut ended_before: Option<u64> = None;
    loop {
        let builds = jenkins::builds(&api, job).map_err(unseen)?.ok_or_else(|| unseen(format!("Jenkins has no job {job}")))?;
        let number = command.build.or(seen.as_ref().map(|(build, _)| build.number));
        let wanted = |build: &Build| number.map_or(Some(build.number) > ended_before, |number| build.number == number);
        let Some(build) = builds.into_iter().find(wanted) else {
            match (command.watch, number) {
                (_, Some(number)) => {
                    return Err(Stop::usage(format!("{job} has no build {number} (any more); `poclab pipeline` shows the last one")));
                }
                (false, None) => {
                    report::print_notice("there is no build yet: push a commit");
                    return Ok(Exit::Done);
                }
                (true, None) => {
                    if ended_before.is_none() {
                        report::print_notice("there is no build yet: waiting for the first push (Ctrl-C ends this)");
                        ended_before = Some(0);
                    }
                    std::thread::sleep(PAUSE);
                    continue;
                }
            }
        };
        if command.watch && seen.is_none() && command.build.is_none() && ended_before.is_none() && build.result.is_some() {
            let result = build.result.as_deref().unwrap_or_default();
            report::print_notice(&format!("build {} has ended ({result}): waiting for the next one (Ctrl-C ends this)", build.number));
            ended_before = Some(build.number);
            continue;
        }
        let stages = jenkins::stages(&api, job, build.number).map_err(unseen)?.unwrap_or_default();
        let now = (build, stages);
        report::print_build(runs::format(global), seen.as_ref(), &now);
        if let Some(result) = &now.0.result {
            return Ok(exit(result));
        }
        if !command.watch {
            return Ok(Exit::Done);
        }
        seen = Some(now);
        std::thread::sleep(PAUSE);
    }
}

/// Unstable is not bad: it ran to its end, and what it leaves open is among its stages.
fn exit(result: &str) -> Exit {
    match result {
        "SUCCESS" | "UNSTABLE" => Exit::Done,
        _ => Exit::Failed,
    }
}

/// Jenkins and the job, as the lab's check of the pipeline has them.
fn job(lab: &Lab) -> Option<(&Site, &str)> {
    lab.checks.iter().find_map(|check| match &check.spec {
        check::Spec::pipeline(spec) => Some((&spec.jenkins, spec.job.as_str())),
        _ => None,
    })
}

/// Only HTTPS, from this machine.
struct FromHere<'a> {
    ca: &'a str,
}

impl Reach for FromHere<'_> {
    fn exec(&self, _: &str, _: &str, _: Vec<crate::base::Payload>, _: Duration) -> Result<check::Ran, String> {
        Err("nothing is run on hosts here".into())
    }

    fn tcp(&self, to: std::net::SocketAddr, deadline: Duration) -> Result<check::Tcp, String> {
        check::tcp_connect(to, deadline)
    }

    fn http(&self, name: &str, address: std::net::SocketAddr) -> Result<reqwest::blocking::Client, String> {
        check::https_client(self.ca, name, address)
    }
}
