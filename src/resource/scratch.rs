//! Tests against a real host: `POCLAB_SCRATCH=NAME cargo test --lib -- --ignored scratch`, where NAME is a running
//! container with systemd as process 1 that may be changed at will; it has firewalld (iptables backend), Docker and the
//! image busybox:1.36 (a shell and `sleep`).

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::{Action, Kind, Reply, State};
use crate::base::Payload;
use crate::base::frame::ScriptBuilder;

/// Runs a script on the scratch host, as the engine would.
pub fn run(script: &str, stdin: &[u8]) -> (i32, String) {
    let name = std::env::var("POCLAB_SCRATCH").expect("POCLAB_SCRATCH names a container");
    let mut child = Command::new("docker")
        .args(["exec", "-i", &name, "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let out = child.wait_with_output().unwrap();
    (out.status.code().unwrap_or(-1), format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)))
}

/// Looks at one resource.
pub fn look<K: Kind>(spec: &K) -> Result<K::Observed, String> {
    let mut builder = ScriptBuilder::new("n0");
    builder.fragment("x", &K::observe(&[spec]));
    let (script, reader) = builder.finish();
    let frame = reader.read_all(run(&script, b"").1.as_bytes()).unwrap().remove(0);
    assert_eq!(frame.status, 0, "{}", frame.text());
    K::parse(&[spec], &Reply { stdout: frame.payload, status: 0 }).remove(0)
}

/// Makes the steps of a resource.
pub fn apply(actions: &[Action]) -> Result<(), String> {
    for action in actions {
        let mut builder = ScriptBuilder::new("n0");
        builder.step("x", &action.script, action.stdin.is_some());
        let (script, reader) = builder.finish();
        let stdin = match &action.stdin {
            Some(Payload::Bytes(bytes)) => bytes.clone(),
            Some(Payload::File { path, .. }) => std::fs::read(path).unwrap(),
            None => Vec::new(),
        };
        let (_, out) = run(&script, &stdin);
        let frame = reader.read_all(out.as_bytes()).unwrap().remove(0);
        if frame.status != 0 {
            return Err(format!("{}: {}", frame.status, frame.text()));
        }
    }
    Ok(())
}

/// Differences in words.
pub fn plan<K: Kind>(spec: &K) -> Vec<String> {
    match spec.diff(&look(spec).unwrap()) {
        State::InSync => Vec::new(),
        State::Drift(changes) => changes.into_iter().map(|change| change.what).collect(),
        other => panic!("{other:?}"),
    }
}

/// Repairs, and expects that nothing differs afterwards.
pub fn repair<K: Kind>(spec: &K) {
    let observed = look(spec).unwrap();
    apply(&spec.apply(&observed)).unwrap();
    assert_eq!(plan(spec), [""; 0]);
}
