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
#[derive(Default)]
pub struct Docker {
    used: BTreeMap<String, (Instant, f64)>,
}

/// A metric: name, tags, value.
pub type Measured = (&'static str, Vec<String>, f64);

impl Docker {
    /// `docker.containers.*`, and per container `container.cpu.usage` (nanoseconds per second) and `container.memory.usage` (bytes).
    pub fn measure(&mut self) -> io::Result<Vec<Measured>> {
        let all = get("/containers/json?all=1")?;
        let all: Vec<&Value> = all.as_array().into_iter().flatten().collect();
        let running: Vec<&Value> = all.iter().copied().filter(|container| container["State"] == "running").collect();
        let mut measured: Vec<Measured> = vec![
            ("docker.containers.running.total", Vec::new(), running.len() as f64),
            ("docker.containers.stopped.total", Vec::new(), (all.len() - running.len()) as f64),
        ];
        let mut images: BTreeMap<&str, usize> = BTreeMap::new();
        running.iter().for_each(|container| *images.entry(container["Image"].as_str().unwrap_or_default()).or_default() += 1);
        for (image, count) in images {
            measured.push(("docker.containers.running", vec![format!("docker_image:{image}")], count as f64));
        }
        if running.is_empty() {
            measured.push(("docker.containers.running", Vec::new(), 0.0));
        }
        let mut used = BTreeMap::new();
        for container in running {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let id = text(&container["Id"]);
            let name = text(&container["Names"][0]).trim_start_matches('/').to_owned();
            // It may be gone by now.
            let Ok(stats) = get(&format!("/containers/{id}/stats?stream=false&one-shot=true")) else { continue };
            let tags =
                vec![format!("container_id:{id}"), format!("container_name:{name}"), format!("docker_image:{}", text(&container["Image"]))];
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
