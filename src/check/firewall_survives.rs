//! The firewall's policy holds after a reload and after a restart of Docker.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::containers::Containers;
use super::disrupt::Disruption;
use super::shapes::{Flow, Host};
use super::{CheckKind, Outcome, Reach, Verdict, matrix};

/// How long allowed connections may need to come back after an interruption.
const PATIENCE: Duration = Duration::from_secs(45);

/// The whole connection matrix before, again after `firewall-cmd --reload` on all hosts, and again after `systemctl restart docker`.
///
/// With an `image`, a container on every host with Docker publishes ports meanwhile: those that the flow matrix allows there as
/// `published` (when free) and one that no flow names. What was open before must be open again within 45 seconds; what the flow matrix
/// denies must be stopped all the time. Controls: a rule that lives at runtime only must be gone after the reload, Docker must have a
/// new process after the restart, with the containers of before, and each host itself must get its container's page every time.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// All hosts: `{{ lab.hosts }}`.
    pub hosts: Vec<Host>,
    /// The flow matrix: `{{ lab.flows }}`.
    pub flows: Vec<Flow>,
    /// Names of the hosts with Docker: `{{ groups.docker }}`. Default: none.
    #[serde(default)]
    pub docker_hosts: Vec<String>,
    /// An image that is on the hosts with Docker already and holds `sh`, `sleep` and busybox' `httpd`. Default: no containers are started.
    #[serde(default)]
    pub image: Option<String>,
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
    const NAME: &'static str = "firewall_survives";

    fn id(&self) -> String {
        String::new()
    }

    fn disruptive(&self) -> bool {
        true
    }

    fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
        let plan = match matrix::plan(&self.hosts, &self.flows, &self.operators, self.unlisted_port, self.ssh_port) {
            Ok(plan) => plan,
            Err(why) => {
                return vec![Outcome::new("the flow matrix can be measured", Verdict::Failed(why))];
            }
        };
        let all: Vec<String> = self.hosts.iter().map(|host| host.name.clone()).collect();
        let mut out = Vec::new();
        let containers = self.image.as_ref().map(|image| {
            progress(&format!("starting containers that publish ports on {}", self.docker_hosts.join(", ")));
            let (containers, failed) = Containers::start(reach, &plan, &self.docker_hosts, image, true);
            out.extend(failed);
            containers
        });
        let listen = |when: &str| containers.iter().flat_map(|containers| containers.listen(when)).collect::<Vec<_>>();
        let pages = |when: &str| containers.iter().flat_map(|containers| containers.pages(&plan, when)).collect::<Vec<_>>();

        let when = ", before the interruptions";
        out.extend(listen(when));
        progress(&format!("trying {} connections before the interruptions", plan.probes.len()));
        let before = matrix::measure(&plan, reach);
        out.extend(matrix::report(&plan, &before, None, when));
        out.extend(matrix::control(&plan, &before));
        out.extend(pages(when));
        for (disruption, hosts) in [(Disruption::Reload, &all), (Disruption::DockerRestart, &self.docker_hosts)] {
            if hosts.is_empty() {
                continue;
            }
            let what = match disruption {
                Disruption::Reload => "reloading the firewall",
                Disruption::DockerRestart => "restarting Docker",
            };
            let when = disruption.when();
            progress(&format!("{what} on {}", hosts.join(", ")));
            out.extend(disruption.run(reach, hosts));
            // First: a denied port that nothing is behind yet would be stopped by chance.
            out.extend(listen(when));
            progress(&format!("trying {} connections{when}", plan.probes.len()));
            out.extend(matrix::settle(&plan, reach, &before, when, PATIENCE, progress));
            out.extend(pages(when));
        }
        if let Some(containers) = containers {
            progress("removing the containers");
            out.extend(containers.finish());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::check::Tcp;
    use crate::check::testing::{Scripted, framed, ran};

    /// Two hosts; `leaks(round)`: whether app's unlisted port answers in this round of probes from deploy.
    fn run(docker: (&'static str, &'static str), leaks: fn(usize) -> bool) -> Vec<Outcome> {
        run_with(docker, leaks, |_| true)
    }

    /// `listens(round)`: whether app gets the page of its own container in this round.
    fn run_with(docker: (&'static str, &'static str), leaks: fn(usize) -> bool, listens: fn(usize) -> bool) -> Vec<Outcome> {
        let rounds = AtomicUsize::new(0);
        let fetched = AtomicUsize::new(0);
        let page = Mutex::new(String::new());
        let mut reach = Scripted::new(move |host, script, _| {
            if script.contains("--reload") {
                return Ok(framed(script, &[("marker", "success", 0), ("reload", "success", 0), ("rules", "-A INPUT -j INPUT_ZONES", 0)]));
            }
            if script.contains("restart docker") {
                return Ok(framed(script, &[("before", docker.0, 0), ("restart", "", 0), ("answers", "", 0), ("after", docker.1, 0)]));
            }
            if script.contains("docker version") {
                let answers = [("docker", "26", 0), ("leftovers", "", 0), ("image", "sha256:1", 0), ("ports", "", 0)];
                return Ok(framed(script, &answers));
            }
            if script.contains("docker run") {
                let word = script.split_whitespace().find(|word| word.starts_with("poclab-page-")).unwrap();
                *page.lock().unwrap() = word.to_owned();
                return Ok(framed(script, &[("run", "f00", 0)]));
            }
            if script.contains("GET / HTTP") {
                let fetches = fetched.fetch_add(1, Ordering::SeqCst);
                let text = page.lock().unwrap().clone();
                return Ok(framed(script, &[if listens(fetches) { ("page", &text, 0) } else { ("page", "Connection refused", 1) }]));
            }
            if script.contains("nat -S DOCKER") {
                return Ok(framed(script, &[("led", "", 0)]));
            }
            if script.contains("docker rm -f") {
                return Ok(ran(""));
            }
            let (own, other) = if host == "deploy" { ("10.9.0.11", "10.9.0.12") } else { ("10.9.0.12", "10.9.0.11") };
            let leak = host == "deploy" && leaks(rounds.fetch_add(1, Ordering::SeqCst));
            let unlisted = if leak { "1 Connection refused" } else { "1 No route to host" };
            Ok(ran(&format!(
                "address {own}\nprobe 127.0.0.1 22 0 \nprobe 127.0.0.1 47112 1 Connection refused\nprobe {other} 22 0 \nprobe {other} 47113 {unlisted}\nneighbour {other} 0x2\nend of probes\n"
            )))
        });
        reach.tcp = Box::new(|to| Ok(if to.port() == 22 { Tcp::Open } else { Tcp::Rejected }));
        let ssh = |to: &str| serde_json::json!({"to": to, "port": 22, "protocol": "tcp", "from_any": true});
        let spec: Spec = serde_json::from_value(serde_json::json!({
            "hosts": [{"name": "deploy", "address": "10.9.0.11"}, {"name": "app", "address": "10.9.0.12"}],
            "flows": [ssh("deploy"), ssh("app")], "docker_hosts": ["app"], "image": "probe:1",
        }))
        .unwrap();
        assert!(spec.disruptive());
        spec.run(&reach, &mut |_| {})
    }

    const GOOD: (&str, &str) = ("MainPID=1\ncontainer /web 7\n", "MainPID=2\ncontainer /web 7\n");

    fn failed(out: &[Outcome]) -> Vec<&str> {
        out.iter().filter(|o| matches!(o.verdict, Verdict::Failed(_))).map(|o| o.title.as_str()).collect()
    }

    #[test]
    fn a_lab_that_holds_passes() {
        let out = run(GOOD, |_| false);
        assert_eq!(failed(&out), [] as [&str; 0]);
        assert_eq!(out.iter().filter(|o| !o.control && o.title.ends_with("after a reload of the firewall")).count(), 2);
        assert_eq!(out.iter().filter(|o| !o.control && o.title.ends_with("after a restart of Docker")).count(), 2);
        assert_eq!(out.iter().filter(|o| o.title.ends_with("before the interruptions") && !o.control).count(), 2);
        // Open from closed, a wrong expectation, both interruptions, and the container three times.
        assert_eq!(out.iter().filter(|o| o.control).count(), 7);
        assert_eq!(out.last().map(|o| o.title.as_str()), Some("nothing is left of the probe containers on app"));
    }

    #[test]
    fn a_container_that_is_not_there_any_more_proves_nothing() {
        let out = run_with(GOOD, |_| false, |round| round != 1);
        assert_eq!(failed(&out), ["the probe containers listen on their published ports on app, after a reload of the firewall"]);
    }

    #[test]
    fn a_leak_right_after_the_reload_is_not_forgiven() {
        let out = run(GOOD, |round| round == 1);
        assert_eq!(failed(&out), ["deploy -> app:47113/tcp is stopped all the time, after a reload of the firewall"]);
    }

    #[test]
    fn a_restart_that_did_not_happen_or_killed_containers_fails() {
        for docker in [("MainPID=1\n", "MainPID=1\n"), ("MainPID=1\ncontainer /web 7\n", "MainPID=2\n")] {
            let out = run(docker, |_| false);
            assert_eq!(failed(&out), ["the restart of Docker really happened and containers kept running on app"]);
        }
    }
}
