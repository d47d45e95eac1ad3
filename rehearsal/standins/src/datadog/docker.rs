//! What the agent measures of the Docker engine, through its socket.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::Value;

const SOCKET: &str = "/var/run/docker.sock";

/// Asks the engine; version 1.0 of the protocol keeps the answer in one piece.
fn get(path: &str) -> io::Result<Value> {
    let mut stream = UnixStream::connect(SOCKET)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let odd = || io::Error::other(format!("the engine's answer to {path} cannot be read"));
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or_else(odd)?;
    let (head, body) = (String::from_utf8_lossy(&answer[..end]).into_owned(), &answer[end + 4..]);
    match head.split_whitespace().nth(1) {
        Some("200") => serde_json::from_slice(body).map_err(|_| odd()),
        other => Err(io::Error::other(format!("the engine answers {path} with {}", other.unwrap_or("nothing")))),
    }
}

/// Remembers processor times, to tell how much was used between two looks.
pub struct Docker {
    used: BTreeMap<String, (Instant, f64)>,
    /// Labels that become tags, with the names of these.
    labels: BTreeMap<String, String>,
}

/// A metric: name, tags, value.
pub type Measured = (&'static str, Vec<String>, f64);

/// The image of a container, and those of its labels that become tags.
fn tags(container: &Value, labels: &BTreeMap<String, String>) -> Vec<String> {
    let of = |(label, value): (&String, &Value)| Some(format!("{}:{}", labels.get(&label.to_lowercase())?, value.as_str()?));
    let from_labels = container["Labels"].as_object().into_iter().flatten().filter_map(of);
    [format!("docker_image:{}", container["Image"].as_str().unwrap_or_default())].into_iter().chain(from_labels).collect()
}

/// How many run, in all and of each kind. As with the real agent nothing is sent of a kind of which none runs.
fn counts(all: &[Value], labels: &BTreeMap<String, String>) -> Vec<Measured> {
    let mut kinds: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    let running = all.iter().filter(|container| container["State"] == "running");
    running.for_each(|container| *kinds.entry(tags(container, labels)).or_default() += 1);
    let count: usize = kinds.values().sum();
    let totals = [("running", count), ("stopped", all.len() - count)];
    let name = |state| if state == "running" { "docker.containers.running.total" } else { "docker.containers.stopped.total" };
    let totals = totals.into_iter().map(|(state, count)| (name(state), Vec::new(), count as f64));
    totals.chain(kinds.into_iter().map(|(tags, count)| ("docker.containers.running", tags, count as f64))).collect()
}

impl Docker {
    /// Nothing is known yet; `labels` are those that become tags.
    pub fn new(labels: BTreeMap<String, String>) -> Self {
        Self { used: BTreeMap::new(), labels }
    }

    /// `docker.containers.*`, and per container `container.cpu.usage` (nanoseconds per second) and `container.memory.usage` (bytes).
    pub fn measure(&mut self) -> io::Result<Vec<Measured>> {
        let all = get("/containers/json?all=1")?;
        let all: Vec<Value> = all.as_array().cloned().unwrap_or_default();
        let mut measured = counts(&all, &self.labels);
        let mut used = BTreeMap::new();
        for container in all.iter().filter(|container| container["State"] == "running") {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let id = text(&container["Id"]);
            let name = text(&container["Names"][0]).trim_start_matches('/').to_owned();
            // It may be gone by now.
            let Ok(stats) = get(&format!("/containers/{id}/stats?stream=false&one-shot=true")) else { continue };
            let own = [format!("container_id:{id}"), format!("container_name:{name}")];
            let tags: Vec<String> = own.into_iter().chain(tags(container, &self.labels)).collect();
            if let Some(memory) = stats["memory_stats"]["usage"].as_f64() {
                measured.push(("container.memory.usage", tags.clone(), memory));
            }
            if let Some(total) = stats["cpu_stats"]["cpu_usage"]["total_usage"].as_f64() {
                let now = Instant::now();
                if let Some((then, before)) = self.used.get(&id) {
                    measured.push((
                        "container.cpu.usage",
                        tags,
                        (total - before).max(0.0) / now.duration_since(*then).as_secs_f64().max(0.001),
                    ));
                }
                used.insert(id, (now, total));
            }
        }
        self.used = used;
        Ok(measured)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_run_is_not_sent() {
        let labels = BTreeMap::from([("com.docker.compose.project".to_owned(), "compose_project".to_owned())]);
        let one =
            |image: &str, state: &str| json!({"Image": image, "State": state, "Labels": {"com.docker.compose.project": "lab", "x": "y"}});
        let names = |all: &[Value]| -> Vec<String> {
            counts(all, &labels).into_iter().map(|(name, tags, count)| format!("{name} {} {count}", tags.join(","))).collect()
        };
        let none = ["docker.containers.running.total  0", "docker.containers.stopped.total  1"];
        assert_eq!(names(&[one("a", "exited")]), none);
        let two = [
            "docker.containers.running.total  2",
            "docker.containers.stopped.total  1",
            "docker.containers.running docker_image:a,compose_project:lab 2",
        ];
        assert_eq!(names(&[one("a", "running"), one("a", "running"), one("b", "exited")]), two);
    }
}
