//! The containers of the application, as Docker knows them.

use std::time::Duration;

use crate::base::quote;
use crate::check::Reach;
use crate::check::run::{Framed, on_all};

/// Seconds after which a container that was restarted counts as settled: Docker waits a minute at most between two tries.
const SETTLED: i64 = 60;

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Container {
    pub name: String,
    /// As Docker says it: `running`, `restarting`, `exited` …
    state: String,
    /// How often Docker had to start it again.
    restarts: u64,
    /// Seconds since its last start.
    age: i64,
}

impl Container {
    /// Why it cannot be expected to be measured; `None`: it runs.
    pub fn trouble(&self, host: &str) -> Option<String> {
        let next = format!("see `docker logs {}` on {host}", self.name);
        match self.state.as_str() {
            "running" if self.restarts > 0 && self.age < SETTLED => {
                Some(format!("it is started again and again, {} times so far, the last time {} s ago; {next}", self.restarts, self.age))
            }
            "running" => None,
            state => Some(format!("it is {state}, restarted {} times; {next}", self.restarts)),
        }
    }
}

/// Reads a line of the script: `name state restarts age`.
fn read(line: &str) -> Result<Container, String> {
    let odd = || format!("what docker says of a container cannot be read: {line}");
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, state, restarts, age] = words.as_slice() else { return Err(odd()) };
    let (restarts, age) = (restarts.parse().map_err(|_| odd())?, age.parse().map_err(|_| odd())?);
    Ok(Container { name: (*name).to_owned(), state: (*state).to_owned(), restarts, age })
}

/// The containers of a compose project on each of these hosts.
pub(super) fn of(reach: &dyn Reach, hosts: &[String], project: &str) -> Vec<Result<Vec<Container>, String>> {
    let label = quote(&format!("label=com.docker.compose.project={project}"));
    let list = format!("docker ps -aq --filter {label}");
    // One that goes away meanwhile is none.
    let tell = format!(
        "{list} | while read -r id; do\n  \
         docker inspect -f '{{{{.Name}}}} {{{{.State.Status}}}} {{{{.RestartCount}}}} {{{{.State.StartedAt}}}}' \"$id\"\n\
         done | while read -r name state restarts started; do\n  \
         echo \"${{name#/}} $state $restarts $(($(date +%s) - $(date -d \"$started\" +%s)))\"\ndone"
    );
    on_all(hosts, |host| {
        let frames = Framed::new().ask("ps", &format!("{list} >/dev/null")).ask("running", &tell);
        let frames = frames.run(reach, host, Vec::new(), Duration::from_secs(60))?;
        frames.good("ps")?;
        frames.good("running")?.lines().map(read).collect()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_does_not_run_or_not_for_long_is_named() {
        let trouble = |line: &str| read(line).unwrap().trouble("app");
        assert_eq!(trouble("api running 0 3"), None);
        assert_eq!(trouble("api running 2 60"), None);
        assert!(trouble("api running 7 5").unwrap().starts_with("it is started again and again, 7 times so far, the last time 5 s ago"));
        assert!(trouble("api restarting 7 5").unwrap().starts_with("it is restarting, restarted 7 times; see `docker logs api` on app"));
        assert!(trouble("api exited 0 500").unwrap().starts_with("it is exited"));
        assert!(read("api running").is_err() && read("api running 0 x").is_err() && read("").is_err());
    }
}
