//! Probe containers: on each host with Docker one that publishes ports which peers may reach and one which they must not.
//!
//! Docker publishes ports around the zones of the firewall, so what guards them is measured with real containers.

mod scripts;

use std::net::Ipv4Addr;
use std::time::Duration;

use super::matrix::{Plan, Source};
use super::run::{Frames, last_line, names, parallel, succeed};
use super::{Outcome, Reach, Verdict};
use crate::base::frame::nonce;

const DEADLINE: Duration = Duration::from_secs(240);

/// Running probe containers. Dropping them removes them.
pub(super) struct Containers<'a> {
    reach: &'a dyn Reach,
    running: Vec<Running>,
}

/// One of them.
struct Running {
    host: String,
    address: Ipv4Addr,
    name: String,
    page: String,
    /// Published ports that the flow matrix allows, as far as they were free.
    listed: Vec<u16>,
    /// Such ports that something else than a container holds.
    taken: Vec<u16>,
    /// The published port that no flow names.
    unlisted: u16,
}

impl Drop for Containers<'_> {
    fn drop(&mut self) {
        // Reported by `finish`; this is for the ways out that do not get there.
        parallel(&self.running, |running| running.remove(self.reach));
    }
}

impl<'a> Containers<'a> {
    /// Starts one on each of `hosts`, at once. The outcomes name hosts where that failed. `keep`: they must live through a restart of Docker.
    pub fn start(reach: &'a dyn Reach, plan: &Plan, hosts: &[String], image: &str, keep: bool) -> (Self, Vec<Outcome>) {
        let started = parallel(hosts, |host| start(reach, plan, host, image, keep));
        let (mut running, mut out) = (Vec::new(), Vec::new());
        for (host, started) in hosts.iter().zip(started) {
            match started {
                Ok(container) => running.push(container),
                Err(why) => out.push(Outcome::new(format!("published ports on {host} are guarded"), Verdict::Failed(why))),
            }
        }
        (Self { reach, running }, out)
    }

    /// The ports that a container of ours publishes on a host.
    pub fn ports(&self, host: &str) -> Vec<u16> {
        self.running.iter().filter(|running| running.host == host).flat_map(Running::ports).collect()
    }

    /// Control: what peers cannot reach is really there, and packets are led to it.
    pub fn listen(&self, when: &str) -> Vec<Outcome> {
        let title = "the probe containers listen on their published ports";
        let heard = parallel(&self.running, |running| running.listens(self.reach));
        self.control(title, when, heard, |good| {
            let unlisted = good.first().map(|running| running.unlisted).unwrap_or_default();
            format!("each host gets its container's page, also on {unlisted} which peers must not reach")
        })
    }

    /// An allowed peer gets the container's own page, not just a connection.
    pub fn pages(&self, plan: &Plan, when: &str) -> Vec<Outcome> {
        let pairs: Vec<(&Running, String, u16)> = self
            .running
            .iter()
            .filter_map(|running| {
                let probe = plan.probes.iter().find(|probe| {
                    plan.hosts[probe.target].name == running.host
                        && probe.allowed
                        && running.listed.contains(&probe.port)
                        && matches!(probe.source, Source::Host(_))
                })?;
                Some((running, plan.source_name(probe.source).to_owned(), probe.port))
            })
            .collect();
        let fetched = parallel(&pairs, |(running, peer, port)| running.fetch(self.reach, peer, *port));
        let outcome = |((running, peer, port), fetched): (&(&Running, String, u16), Result<(), String>)| {
            let host = &running.host;
            let verdict = match fetched {
                Ok(()) => Verdict::Passed("the container's own page came back".into()),
                Err(why) => Verdict::Failed(format!("{why}; see the DOCKER-USER rules on {host} (`poclab plan --host {host}`)")),
            };
            Outcome::new(format!("{peer} gets the page from {host}:{port}{when}"), verdict)
        };
        pairs.iter().zip(fetched).map(outcome).collect()
    }

    /// Removes all of them, and says what could not be tried.
    pub fn finish(mut self) -> Vec<Outcome> {
        let mut out: Vec<Outcome> = self
            .running
            .iter()
            .filter(|running| !running.taken.is_empty())
            .map(|running| {
                let ports: Vec<String> = running.taken.iter().map(u16::to_string).collect();
                let why = format!(
                    "{} {} not free on {} and no container publishes it; see what listens there with `ss -ltnp`",
                    ports.join(", "),
                    if ports.len() == 1 { "is" } else { "are" },
                    running.host
                );
                Outcome::new(format!("{}: allowed published ports are reached", running.host), Verdict::Skipped(why))
            })
            .collect();
        let removed = parallel(&self.running, |running| running.remove(self.reach));
        let left = removed.iter().zip(&self.running).filter_map(|(removed, running)| {
            let (host, name) = (&running.host, &running.name);
            let why = removed.as_ref().err()?;
            let why = format!(
                "{name} could not be removed: {why}; it ends by itself after {} s, or remove it with `docker rm -f {name}`",
                scripts::LIFE
            );
            Some(Outcome::new(format!("{host}: nothing is left of the probe container"), Verdict::Failed(why)))
        });
        let before = out.len();
        out.extend(left);
        let all = std::mem::take(&mut self.running);
        if out.len() == before && !all.is_empty() {
            out.push(Outcome::new(
                format!("nothing is left of the probe containers on {}", names(all.iter().map(|r| &r.host))),
                Verdict::Passed("removed".into()),
            ));
        }
        out
    }

    /// One line when all is well; one per host that is not, besides.
    fn control(&self, title: &str, when: &str, results: Vec<Result<(), String>>, seen: impl FnOnce(&[&Running]) -> String) -> Vec<Outcome> {
        let mut out = Vec::new();
        let mut good = Vec::new();
        for (running, result) in self.running.iter().zip(results) {
            match result {
                Ok(()) => good.push(running),
                Err(why) => out.push(Outcome::control(format!("{title} on {}{when}", running.host), Verdict::Failed(why))),
            }
        }
        if !good.is_empty() {
            let hosts = names(good.iter().map(|running| &running.host));
            out.push(Outcome::control(format!("{title} on {hosts}{when}"), Verdict::Passed(seen(&good))));
        }
        out
    }
}

fn start(reach: &dyn Reach, plan: &Plan, host: &str, image: &str, keep: bool) -> Result<Running, String> {
    let target = plan.hosts.iter().position(|h| h.name == host).ok_or_else(|| format!("{host} is not among the hosts of this check"))?;
    let frames = scripts::look(image, &plan.published_ports(target)).run(reach, host, Vec::new(), DEADLINE)?;
    let ports = ready(&frames, host, image)?;
    let of = |kind: &str| -> Vec<u16> { ports.lines().filter_map(|line| line.strip_prefix(kind)?.trim().parse().ok()).collect() };
    let running = Running {
        host: host.to_owned(),
        address: plan.hosts[target].address,
        name: format!("poclab-probe-{}", nonce()),
        page: format!("poclab-page-{}", nonce()),
        listed: of("free "),
        taken: of("taken "),
        unlisted: plan.unlisted,
    };
    let started = scripts::start(&running.name, image, &running.page, &running.ports(), keep)
        .run(reach, host, Vec::new(), DEADLINE)
        .and_then(|frames| frames.good("run"));
    if let Err(why) = started {
        // Whatever state it got into: the host is not left with it when it can be reached.
        let _ = running.remove(reach);
        return Err(format!("the probe container did not start on {host}: {why}; see `journalctl -u docker` there"));
    }
    Ok(running)
}

/// What the look at the host said about the ports; an error when no container can be started.
fn ready(frames: &Frames, host: &str, image: &str) -> Result<String, String> {
    frames.good("docker").map_err(|why| format!("Docker does not answer on {host}: {why}; see `systemctl status docker` there"))?;
    frames.good("leftovers").map_err(|why| format!("an old probe container cannot be removed on {host}: {why}"))?;
    frames.good("image").map_err(|why| {
        format!("the image {image} is not on {host} ({why}); add it to the host's images (role docker) and run `poclab bootstrap`")
    })?;
    frames.good("ports").map_err(|why| format!("Docker on {host} does not say which ports are published: {why}"))
}

impl Running {
    fn ports(&self) -> Vec<u16> {
        self.listed.iter().copied().chain([self.unlisted]).collect()
    }

    fn listens(&self, reach: &dyn Reach) -> Result<(), String> {
        for port in self.ports() {
            self.fetch(reach, &self.host, port).map_err(|why| {
                format!(
                    "{} itself does not get the page from {}:{port}: {why}; so a stopped peer would prove nothing",
                    self.host, self.address
                )
            })?;
        }
        scripts::led(&self.ports()).run(reach, &self.host, Vec::new(), Duration::from_secs(120))?.good("led").map(|_| ()).map_err(|why| {
            format!("Docker on {} leads no packets to {:?}: {why}; so a stopped peer would prove nothing", self.host, self.ports())
        })
    }

    fn fetch(&self, reach: &dyn Reach, from: &str, port: u16) -> Result<(), String> {
        let text = scripts::fetch(self.address, port).run(reach, from, Vec::new(), Duration::from_secs(120))?.good("page")?;
        match text.contains(&self.page) {
            true => Ok(()),
            false => Err(format!("something else answered: {}", last_line(&text))),
        }
    }

    fn remove(&self, reach: &dyn Reach) -> Result<(), String> {
        succeed(reach, &self.host, &scripts::remove(&self.name), Duration::from_secs(150)).map(|_| ())
    }
}
