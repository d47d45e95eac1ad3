//! Runs all probes, from all sources at once.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::plan::{Plan, Source};
use super::probe::{self, AT_ONCE, Seen, WAIT};
use crate::check::run::{on_all, succeed};
use crate::check::{Reach, Tcp};

/// What was measured.
#[derive(Debug, Clone)]
pub struct Measured {
    /// By host: what it saw; errors: it could not be asked.
    pub hosts: Vec<Result<Seen, String>>,
    /// What the control machine met, by target and port.
    pub control: BTreeMap<(usize, u16), Result<Tcp, String>>,
}

/// Measures the whole plan. Takes as long as the slowest source: a few seconds when firewalls reject, `WAIT` seconds per
/// 64 probes when they drop.
pub fn measure(plan: &Plan, reach: &dyn Reach) -> Measured {
    let names: Vec<&str> = plan.hosts.iter().map(|host| host.name.as_str()).collect();
    std::thread::scope(|scope| {
        let control = scope.spawn(|| from_control(plan, reach));
        let hosts = on_all(&names, |name| from_host(plan, reach, name));
        let control = match control.join() {
            Ok(control) => control,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        Measured { hosts, control }
    })
}

fn from_host(plan: &Plan, reach: &dyn Reach, name: &str) -> Result<Seen, String> {
    let index = plan.hosts.iter().position(|host| host.name == name).ok_or("no such host")?;
    let mut probes = vec![(Ipv4Addr::LOCALHOST, plan.ssh_port), (Ipv4Addr::LOCALHOST, plan.closed)];
    let own = plan.probes.iter().filter(|probe| probe.source == Source::Host(index));
    probes.extend(own.map(|probe| (plan.hosts[probe.target].address, probe.port)));
    let rounds = probes.len().div_ceil(AT_ONCE) as u64;
    let deadline = Duration::from_secs(60 + rounds * WAIT);
    let ran = succeed(reach, name, &probe::script(&probes, &plan.published_ports(index)), deadline)?;
    probe::parse(&ran.text())
}

fn from_control(plan: &Plan, reach: &dyn Reach) -> BTreeMap<(usize, u16), Result<Tcp, String>> {
    let probes: Vec<_> = plan.probes.iter().filter(|probe| probe.source == Source::Control).collect();
    let mut met = BTreeMap::new();
    for batch in probes.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            let threads: Vec<_> = batch
                .iter()
                .map(|probe| {
                    let to = SocketAddr::from((plan.hosts[probe.target].address, probe.port));
                    ((probe.target, probe.port), scope.spawn(move || reach.tcp(to, Duration::from_secs(WAIT))))
                })
                .collect();
            for (key, thread) in threads {
                met.insert(key, thread.join().unwrap_or_else(|_| Err("the probe panicked".into())));
            }
        });
    }
    met
}
