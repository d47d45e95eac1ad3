//! A container's published port is guarded like every other.

use std::net::Ipv4Addr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::disrupt::Disruption;
use super::matrix::{self, Plan, Source};
use super::run::{Framed, Frames};
use super::shapes::{Flow, Host};
use super::{CheckKind, Outcome, Reach, Verdict};
use crate::base::frame::nonce;
use crate::base::quote;

/// How long allowed connections may need to come back after an interruption.
const PATIENCE: Duration = Duration::from_secs(45);
/// How long the probe container lives when nobody removes it, in seconds.
const LIFE: u32 = 900;
/// Where the container's web server listens inside.
const INSIDE: u16 = 8080;

/// Docker publishes ports around the zones of the firewall, so this is proven with a real container.
///
/// A container that serves a page is started on the host for the time of the check, published on a port that the flow matrix allows as
/// `published` (when one is free) and on one that no flow names. Allowed peers must connect, all others must be stopped, although the
/// container listens on both (control: the host itself gets the page). Repeated after the interruptions in `after`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the host that runs the container.
    pub host: String,
    /// All hosts: `{{ lab.hosts }}`.
    pub hosts: Vec<Host>,
    /// The flow matrix: `{{ lab.flows }}`.
    pub flows: Vec<Flow>,
    /// An image that is on the host already and holds `sh`, `sleep` and busybox' `httpd`.
    pub image: String,
    /// Interruptions after which everything is tried again: `reload`, `docker_restart`. Default: none.
    #[serde(default)]
    pub after: Vec<Disruption>,
    /// Networks that operators come from: `{{ lab.operators }}`. Default: none.
    #[serde(default)]
    pub operators: Vec<String>,
    /// A port that no flow names. Default: the highest up to 47113 that none names.
    #[serde(default)]
    pub unlisted_port: Option<u16>,
    /// Where sshd listens on the hosts (for the control on loopback). Default: 22.
    #[serde(default = "super::port_matrix::ssh_port")]
    pub ssh_port: u16,
}

impl CheckKind for Spec {
    const NAME: &'static str = "published_port";

    fn id(&self) -> String {
        self.host.clone()
    }

    fn disruptive(&self) -> bool {
        !self.after.is_empty()
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        let title = format!("a published port on {} is guarded", self.host);
        match self.start(reach, progress) {
            Ok(trial) => trial.run(self, reach, progress),
            Err(why) => vec![Outcome::new(title, Verdict::Failed(why))],
        }
    }
}

/// A running probe container and what is measured with it.
struct Trial<'a> {
    reach: &'a dyn Reach,
    host: String,
    address: Ipv4Addr,
    name: String,
    page: String,
    plan: Plan,
    /// The allowed published port, when one was free.
    listed: Option<u16>,
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        // Reported by `finish` when it matters; this is for the ways out that do not get there.
        if !self.name.is_empty() {
            let _ = self.remove();
        }
    }
}

fn look_script(image: &str, candidates: &[u16]) -> Framed {
    let list: Vec<String> = candidates.iter().map(u16::to_string).collect();
    Framed::new()
        .step("docker", "timeout 60 docker version --format '{{.Server.Version}}'", false)
        .step("leftovers", "ids=$(timeout 60 docker ps -aq --filter name=^/poclab-probe-) || exit 1\n[ -z \"$ids\" ] || { for id in $ids; do timeout 60 docker rm -f \"$id\" || exit 1; done; }", false)
        .step("image", &format!("timeout 60 docker image inspect --format '{{{{.Id}}}}' {}", quote(image)), false)
        .ask(
            "free",
            &format!(
                "for port in {}; do\n  [ -z \"$(timeout 60 docker ps -q --filter publish=\"$port\"/tcp)\" ] || continue\n  timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/'\"$port\" 2>/dev/null && continue\n  echo \"$port\"; break\ndone",
                list.join(" ")
            ),
        )
}

fn start_script(name: &str, image: &str, page: &str, ports: &[u16], after: &[Disruption]) -> Framed {
    // Docker 20.10 ends --rm containers when it restarts, live-restore or not (seen); without it the next run removes what is left.
    let rm = if after.contains(&Disruption::DockerRestart) { "" } else { "--rm" };
    let publish: Vec<String> = ports.iter().map(|port| format!("-p {port}:{INSIDE}")).collect();
    // The shell stays process 1 and ends after LIFE seconds: the container ends even when we never come back.
    let inside = format!("mkdir -p /tmp/page && echo {page} >/tmp/page/index.html && httpd -p {INSIDE} -h /tmp/page && sleep {LIFE}");
    Framed::new()
        .step(
            "run",
            &format!(
                "timeout 120 docker run -d {rm} --name {name} --read-only --tmpfs /tmp --cap-drop ALL {} {} sh -c {} ||\n  {{ s=$?; timeout 60 docker rm -f {name} >/dev/null 2>&1; exit \"$s\"; }}",
                publish.join(" "),
                quote(image),
                quote(&inside)
            ),
            false,
        )
}

/// Fetches the page at `address:port` from inside a host.
fn fetch_script(address: Ipv4Addr, port: u16) -> Framed {
    Framed::new().ask(
        "page",
        &format!(
            "n=0\nuntil said=$(timeout 5 bash -c 'exec 3<>/dev/tcp/{address}/{port} && printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3 && cat <&3' 2>&1); do\n  n=$((n + 1))\n  [ \"$n\" -lt 15 ] || {{ echo \"$said\"; exit 1; }}\n  sleep 1\ndone\nprintf '%s\\n' \"$said\""
        ),
    )
}

impl Spec {
    fn start<'a>(&self, reach: &'a dyn Reach, progress: &mut dyn FnMut(&str)) -> Result<Trial<'a>, String> {
        let mut plan = matrix::plan(&self.hosts, &self.flows, &self.operators, self.unlisted_port, self.ssh_port)?;
        let target = self
            .hosts
            .iter()
            .position(|host| host.name == self.host)
            .ok_or_else(|| format!("{} is not among the hosts of this check", self.host))?;
        let deadline = Duration::from_secs(240);
        progress(&format!("looking for {} and a free port on {}", self.image, self.host));
        let frames = look_script(&self.image, &plan.published_ports(target)).run(reach, &self.host, Vec::new(), deadline)?;
        self.ready(&frames)?;
        let listed = frames.good("free")?.parse().ok();

        let name = format!("poclab-probe-{}", nonce());
        let ports: Vec<u16> = listed.into_iter().chain([plan.unlisted]).collect();
        // The port of sshd is tried as well: where it answers, a stopped probe is not just a broken way.
        plan.probes.retain(|probe| probe.target == target && (probe.port == self.ssh_port || ports.contains(&probe.port)));
        let page = format!("poclab-page-{}", nonce());
        // From here on dropping the trial removes the container, whatever state it got into.
        let trial = Trial { reach, host: self.host.clone(), address: self.hosts[target].address, name, page, plan, listed };
        progress(&format!("starting a container on {} that publishes {ports:?}", self.host));
        let frames =
            start_script(&trial.name, &self.image, &trial.page, &ports, &self.after).run(reach, &self.host, Vec::new(), deadline)?;
        frames
            .good("run")
            .map_err(|why| format!("the probe container did not start on {}: {why}; see `journalctl -u docker` there", self.host))?;
        Ok(trial)
    }

    fn ready(&self, frames: &Frames) -> Result<(), String> {
        frames
            .good("docker")
            .map_err(|why| format!("Docker does not answer on {}: {why}; see `systemctl status docker` there", self.host))?;
        frames.good("leftovers").map_err(|why| format!("an old probe container cannot be removed on {}: {why}", self.host))?;
        frames.good("image").map_err(|why| {
            format!(
                "the image {} is not on {} ({why}); add it to the host's images (role docker) and run `poclab bootstrap`",
                self.image, self.host
            )
        })?;
        Ok(())
    }
}

impl Trial<'_> {
    fn run(mut self, spec: &Spec, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        let mut out = vec![self.listens("")];
        progress(&format!("trying {} connections to the published ports of {}", self.plan.probes.len(), self.host));
        let before = matrix::measure(&self.plan, reach);
        let what = ", published by a container";
        out.extend(matrix::report(&self.plan, &before, None, what));
        out.extend(matrix::control(&self.plan, &before));
        out.extend(self.peer_gets_the_page(what));
        for disruption in &spec.after {
            progress(&format!("interrupting {}: {}", self.host, disruption.when().trim_start_matches(", ")));
            out.extend(disruption.run(reach, std::slice::from_ref(&self.host)).0);
            let when = format!("{what}{}", disruption.when());
            out.push(self.listens(disruption.when()));
            out.extend(matrix::settle(&self.plan, reach, &before, &when, PATIENCE, progress));
            out.extend(self.peer_gets_the_page(&when));
        }
        if self.listed.is_none() {
            let why = "no port that the flow matrix allows as published is free on this host; those in use are measured by port_matrix";
            out.push(Outcome::new(format!("{}: an allowed published port is reached", self.host), Verdict::Skipped(why.into())));
        }
        out.push(self.finish());
        out
    }

    fn fetch(&self, from: &str, port: u16) -> Result<(), String> {
        let text = fetch_script(self.address, port).run(self.reach, from, Vec::new(), Duration::from_secs(120))?.good("page")?;
        match text.contains(&self.page) {
            true => Ok(()),
            false => Err(format!("something else answered: {}", super::run::last_line(&text))),
        }
    }

    /// Control: what peers cannot reach is really there.
    fn listens(&self, when: &str) -> Outcome {
        let title = format!("{}: the container listens on its published ports{when}", self.host);
        for port in self.listed.into_iter().chain([self.plan.unlisted]) {
            if let Err(why) = self.fetch(&self.host, port) {
                return Outcome::control(
                    title,
                    Verdict::Failed(format!(
                        "{} itself does not get the page from {}:{port}: {why}; so a stopped peer would prove nothing",
                        self.host, self.address
                    )),
                );
            }
        }
        Outcome::control(
            title,
            Verdict::Passed(format!("the host itself gets the page, also on {} which peers must not reach", self.plan.unlisted)),
        )
    }

    fn peer_gets_the_page(&self, when: &str) -> Option<Outcome> {
        let probe = self
            .plan
            .probes
            .iter()
            .find(|probe| probe.allowed && Some(probe.port) == self.listed && matches!(probe.source, Source::Host(_)))?;
        let peer = self.plan.source_name(probe.source).to_owned();
        let verdict = match self.fetch(&peer, probe.port) {
            Ok(()) => Verdict::Passed("the container's own page came back".into()),
            Err(why) => Verdict::Failed(format!("{why}; see the DOCKER-USER rules on {} (`poclab plan --host {}`)", self.host, self.host)),
        };
        Some(Outcome::new(format!("{peer} gets the page from {}:{}{when}", self.host, probe.port), verdict))
    }

    fn remove(&self) -> Result<(), String> {
        let script = format!(
            "timeout 60 docker rm -f {name} >/dev/null 2>&1\nleft=$(timeout 60 docker ps -aq --filter name={name}) || exit 1\n[ -z \"$left\" ]",
            name = self.name
        );
        super::run::succeed(self.reach, &self.host, &script, Duration::from_secs(150)).map(|_| ())
    }

    fn finish(&mut self) -> Outcome {
        let result = self.remove();
        let name = std::mem::take(&mut self.name);
        let verdict = match result {
            Ok(()) => Verdict::Passed("removed".into()),
            Err(why) => Verdict::Failed(format!(
                "{name} could not be removed: {why}; it ends by itself after {LIFE} s, or remove it with `docker rm -f {name}`"
            )),
        };
        Outcome::new(format!("{}: nothing is left of the probe container", self.host), verdict)
    }
}

#[cfg(test)]
#[path = "published_port_tests.rs"]
mod tests;
