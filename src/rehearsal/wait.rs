//! Waiting for a host: its container, its setup, its sshd.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::docker;

/// Longest wait for a container to run.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// How often a host that goes down during its setup is set up again.
const ATTEMPTS: u32 = 4;

/// Runs the setup script in a container. One that goes down meanwhile is not the script's failure: an interrupted `up` can
/// leave an engine that is still about to end a host and start it again.
pub fn set_up(name: &str, script: &str) -> anyhow::Result<String> {
    let mut attempts = 0;
    loop {
        let start = wait_until_running(name)?;
        let result = docker::feed("setting it up", ["exec", "--interactive", name, "sh", "-s"], script);
        attempts += 1;
        if result.is_ok() || attempts == ATTEMPTS {
            return result;
        }
        // the engine needs a moment to notice the end of a container
        thread::sleep(Duration::from_secs(1));
        if wait_until_running(name)? == start {
            return result;
        }
    }
}

/// Waits until a container runs; answers since when.
fn wait_until_running(name: &str) -> anyhow::Result<String> {
    let end = Instant::now() + START_DEADLINE;
    loop {
        let answer = docker::run("looking at it", ["inspect", "--format", "{{.State.Status}} {{.State.StartedAt}}", name])?;
        match answer.trim().split_once(' ') {
            Some(("running", since)) => return Ok(since.to_owned()),
            _ if Instant::now() >= end => bail!("its container does not run ({}); see `docker logs {name}`", answer.trim()),
            _ => thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// Waits until something at the address says that it is an SSH server.
pub fn wait_for_ssh(address: SocketAddr, deadline: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + deadline;
    loop {
        let why = match greeting(address) {
            Ok(line) if line.starts_with("SSH-") => return Ok(()),
            Ok(line) => format!("it says `{}`", line.trim_end()),
            Err(error) => error.to_string(),
        };
        if Instant::now() >= end {
            bail!("no SSH server answers at {address} within {} s: {why}", deadline.as_secs());
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn greeting(address: SocketAddr) -> std::io::Result<String> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::net::TcpListener;

    #[test]
    fn only_an_ssh_server_counts_as_one() {
        let server = |greeting: &'static [u8]| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            thread::spawn(move || listener.incoming().for_each(|stream| stream.unwrap().write_all(greeting).unwrap()));
            address
        };
        wait_for_ssh(server(b"SSH-2.0-OpenSSH_7.4\r\n"), Duration::from_secs(5)).unwrap();
        let error = wait_for_ssh(server(b"220 mail\r\n"), Duration::from_millis(300)).unwrap_err().to_string();
        assert!(error.contains("it says `220 mail`"), "{error}");
    }
}
