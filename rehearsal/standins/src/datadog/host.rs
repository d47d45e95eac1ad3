//! What the agent measures of its host, from /proc.

use std::path::Path;

/// Time that the processors spent, in ticks: user, system, idle, wait, stolen and all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cpu {
    user: f64,
    system: f64,
    idle: f64,
    iowait: f64,
    stolen: f64,
    all: f64,
}

/// Reads /proc/stat.
pub fn cpu(stat: &str) -> Option<Cpu> {
    let ticks: Vec<f64> = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [user, nice, system, idle, iowait, irq, softirq, stolen, ..] = ticks.as_slice() else { return None };
    let system = system + irq + softirq;
    Some(Cpu {
        user: user + nice,
        system,
        idle: *idle,
        iowait: *iowait,
        stolen: *stolen,
        all: user + nice + system + idle + iowait + stolen,
    })
}

/// `system.cpu.*` in percent, of the time between two looks.
pub fn cpu_metrics(before: Cpu, now: Cpu) -> Vec<(&'static str, f64)> {
    let all = now.all - before.all;
    if all <= 0.0 {
        return Vec::new();
    }
    let part = |before: f64, now: f64| ((now - before) / all * 100.0).clamp(0.0, 100.0);
    vec![
        ("system.cpu.user", part(before.user, now.user)),
        ("system.cpu.system", part(before.system, now.system)),
        ("system.cpu.idle", part(before.idle, now.idle)),
        ("system.cpu.iowait", part(before.iowait, now.iowait)),
        ("system.cpu.stolen", part(before.stolen, now.stolen)),
    ]
}

/// `system.load.*`, `system.mem.*` (MiB) and `system.uptime` (seconds).
pub fn other_metrics(proc: &Path) -> Vec<(&'static str, f64)> {
    let read = |name: &str| std::fs::read_to_string(proc.join(name)).unwrap_or_default();
    let mut found = Vec::new();
    let load = read("loadavg");
    for (name, word) in ["system.load.1", "system.load.5", "system.load.15"].into_iter().zip(load.split_whitespace()) {
        found.extend(word.parse().ok().map(|value| (name, value)));
    }
    let memory = read("meminfo");
    let kilobytes = |field: &str| -> Option<f64> {
        memory.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')?.split_whitespace().next()?.parse().ok())
    };
    for (name, field) in [("system.mem.total", "MemTotal"), ("system.mem.free", "MemFree"), ("system.mem.usable", "MemAvailable")] {
        found.extend(kilobytes(field).map(|value| (name, value / 1024.0)));
    }
    found.extend(read("uptime").split_whitespace().next().and_then(|word| word.parse().ok()).map(|value| ("system.uptime", value)));
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn shares_of_time() {
        let at = |user, idle| cpu(&format!("cpu  {user} 0 10 {idle} 0 0 0 0 0 0\ncpu0 1 2 3\n")).unwrap();
        let metrics = cpu_metrics(at(100, 900), at(125, 975));
        assert_eq!(metrics[0], ("system.cpu.user", 25.0));
        assert_eq!(metrics[2], ("system.cpu.idle", 75.0));
        assert!(cpu_metrics(at(1, 1), at(1, 1)).is_empty() && cpu("intr 1").is_none());
    }
}
