//! The docker command line: how it is called, what its answers mean.

use std::io::{ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Where the engine listens unless `DOCKER_HOST` says otherwise.
const SOCKET: &str = "/var/run/docker.sock";

/// A container as `docker ps` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// e.g. `poclab-app`
    pub name: String,
    /// e.g. `running`, `exited`, `created`, `paused`
    pub state: String,
    /// The image it was made from.
    pub image: String,
}

/// A docker command. A user who may not open the engine's socket goes through sudo, like the scripts.
pub fn docker<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let refused = std::env::var_os("DOCKER_HOST").is_none()
        && UnixStream::connect(SOCKET).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    let mut command = if refused {
        let mut sudo = Command::new("sudo");
        sudo.arg("docker");
        sudo
    } else {
        Command::new("docker")
    };
    command.args(args);
    command
}

/// Runs a docker command, gives its stdout.
pub fn run<'a>(what: &str, args: impl IntoIterator<Item = &'a str>) -> anyhow::Result<String> {
    let output = docker(args)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{what}: cannot start docker; run rehearsal/install-prerequisites"))?;
    text(what, output)
}

/// The same with something on stdin (a script, so that nothing secret is in argv).
pub fn feed<'a>(what: &str, args: impl IntoIterator<Item = &'a str>, stdin: &str) -> anyhow::Result<String> {
    let mut child = docker(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{what}: cannot start docker; run rehearsal/install-prerequisites"))?;
    if let Some(mut pipe) = child.stdin.take() {
        // a child that has ended early says why on stderr: that is the error to show
        let _ = pipe.write_all(stdin.as_bytes());
    }
    text(what, child.wait_with_output().with_context(|| format!("{what}: cannot wait for docker"))?)
}

fn text(what: &str, output: Output) -> anyhow::Result<String> {
    if !output.status.success() {
        bail!("{what} {}: {}", super::stream::ended(output.status), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// All containers with this label, running or not.
pub fn containers(label: &str) -> anyhow::Result<Vec<Container>> {
    let filter = format!("label={label}");
    parse_containers(&run("looking for the rehearsal's containers", ["ps", "-a", "--filter", &filter, "--format", "{{json .}}"])?)
}

/// One JSON object per line.
pub fn parse_containers(text: &str) -> anyhow::Result<Vec<Container>> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let row: Value = serde_json::from_str(line).with_context(|| format!("docker ps wrote what is no JSON: {line}"))?;
            let field = |name: &str| row[name].as_str().map(str::to_owned).with_context(|| format!("docker ps wrote no {name}: {line}"));
            Ok(Container { name: field("Names")?, state: field("State")?, image: field("Image")? })
        })
        .collect()
}

/// A network as `docker network inspect` shows it: subnet, and how many containers are on it. `None`: there is none.
pub fn parse_network(text: &str) -> anyhow::Result<Option<(String, usize)>> {
    let all: Value = serde_json::from_str(text).context("docker network inspect wrote what is no JSON")?;
    let Some(network) = all.get(0) else { return Ok(None) };
    let subnet = network["IPAM"]["Config"][0]["Subnet"].as_str().context("docker network inspect shows no subnet")?;
    Ok(Some((subnet.to_owned(), network["Containers"].as_object().map_or(0, serde_json::Map::len))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_ps_of_20_10() {
        // recorded from docker 20.10.24
        let text = r#"{"Command":"\"/usr/lib/poclab-reh…\"","CreatedAt":"2026-11-21 08:19:35 +0000 UTC","ID":"0d17a4bccabd","Image":"poclab/rehearsal-host:dcc40c931d61","Labels":"poclab.rehearsal.host=gitlab,poclab.rehearsal.image=host,poclab.rehearsal=/tmp/rehearsal-state","LocalVolumes":"1","Mounts":"/root/.cache/p…,6099017b9d73a2…","Names":"poclab-gitlab","Networks":"poclab","Platform":null,"Ports":"","RunningFor":"15 minutes ago","Size":"8.4MB (virtual 311MB)","State":"running","Status":"Up 15 minutes"}
"#;
        let found = parse_containers(text).unwrap();
        assert_eq!(
            found,
            [Container { name: "poclab-gitlab".into(), state: "running".into(), image: "poclab/rehearsal-host:dcc40c931d61".into() }]
        );
        assert!(parse_containers("").unwrap().is_empty());
        assert!(parse_containers("{}\n").is_err());
        assert!(parse_containers("Cannot connect\n").is_err());
    }

    #[test]
    fn networks() {
        let text = r#"[{"Name":"poclab","IPAM":{"Driver":"default","Config":[{"Subnet":"10.90.0.0/24","Gateway":"10.90.0.1"}]},"Containers":{"a":{},"b":{}}}]"#;
        assert_eq!(parse_network(text).unwrap(), Some(("10.90.0.0/24".to_owned(), 2)));
        assert_eq!(parse_network("[]").unwrap(), None);
        assert!(parse_network("oops").is_err());
    }
}
