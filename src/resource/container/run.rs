//! The script that makes, starts or replaces a container.

use std::fmt::Write as _;

use super::{Observed, Spec, diff};
use crate::base::{Payload, quote};
use crate::resource::Action;

/// Removes the secrets that a killed script leaves in memory.
const SWEEP: &str = "rm -f -- /run/poclab-env.??????\n";

/// Steps for what differs.
pub fn actions(spec: &Spec, observed: &Observed) -> Vec<Action> {
    let name = quote(&spec.name);
    let mut script = waiting(&name);
    let Some(found) = &observed.container else {
        let stdin = create(spec, &mut script);
        return vec![Action { label: format!("run container {}", spec.name), script, stdin, sweep: SWEEP.to_owned(), ..Action::default() }];
    };
    // One that cannot stay up is made anew, too: its configuration may be right while its files are spoiled.
    if diff::configuration(spec, found, observed).is_empty() && !found.state.restarting {
        let verb = if found.state.paused { "unpause" } else { "start" };
        let _ = writeln!(script, "docker {verb} {name} >/dev/null || exit 1\npoclab_wait");
        return vec![Action { label: format!("{verb} container {}", spec.name), script, ..Action::default() }];
    }
    let stdin = create(spec, &mut script);
    vec![Action { label: format!("make container {} anew", spec.name), script, stdin, sweep: SWEEP.to_owned(), ..Action::default() }]
}

/// Up for two seconds without a restart, or its last words.
fn waiting(name: &str) -> String {
    format!(
        "poclab_wait() {{\n\
         \x20 poclab_good=0\n\
         \x20 for poclab_i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do\n\
         \x20   poclab_s=$(docker inspect --type container --format '{{{{.State.Running}}}} {{{{.State.Restarting}}}} {{{{.RestartCount}}}}' {name}) || return 1\n\
         \x20   if [ \"$poclab_s\" = \"true false ${{poclab_r:-0}}\" ]; then poclab_good=$((poclab_good + 1)); else poclab_good=0; fi\n\
         \x20   if [ \"$poclab_good\" -ge 4 ]; then return 0; fi\n\
         \x20   case $poclab_s in 'false false '*) break ;; esac\n\
         \x20   sleep 0.5\n\
         \x20 done\n\
         \x20 echo \"container\" {name} \"does not stay up (running, restarting, restarts: $poclab_s, after look $poclab_i); the end of its log:\" >&2\n\
         \x20 docker logs --tail 15 {name} >&2\n\
         \x20 return 1\n\
         }}\n"
    )
}

/// Adds the script that makes the container; what it reads from stdin.
fn create(spec: &Spec, script: &mut String) -> Option<Payload> {
    let (name, image) = (quote(&spec.name), quote(&spec.image));
    let mut env = String::new();
    for (key, value) in &spec.env {
        let _ = writeln!(env, "{key}={}", value.0);
    }
    if !env.is_empty() {
        // In memory, readable by root only, and gone at the end.
        let _ = write!(
            script,
            "umask 077\npoclab_env=$(mktemp /run/poclab-env.XXXXXX) || exit 1\ntrap 'rm -f \"$poclab_env\"' EXIT\ntrap 'exit 1' HUP INT TERM PIPE\nhead -c {} >\"$poclab_env\" || exit 1\n",
            env.len()
        );
    }
    let _ =
        writeln!(script, "docker image inspect {image} >/dev/null 2>&1 || {{ echo 'image' {image} 'is not on this host' >&2; exit 1; }}");
    for source in spec.volumes.iter().filter_map(|volume| volume.split(':').next()).filter(|source| source.starts_with('/')) {
        // Docker would make an empty folder of it.
        let source = quote(source);
        let _ = writeln!(script, "[ -e {source} ] || {{ echo {source} 'does not exist: it cannot be mounted' >&2; exit 1; }}");
    }
    if !spec.groups.is_empty() {
        script.push_str("set --\n");
    }
    for group in &spec.groups {
        let group = quote(group);
        let _ = writeln!(
            script,
            "poclab_g=$(getent group {group} | cut -d: -f3) && [ -n \"$poclab_g\" ] || {{ echo 'the group' {group} 'does not exist on this host' >&2; exit 1; }}\n\
             set -- \"$@\" --group-add=\"$poclab_g\""
        );
    }
    let _ =
        writeln!(script, "if docker inspect --type container {name} >/dev/null 2>&1; then docker rm -f {name} >/dev/null || exit 1; fi");
    let mut options: Vec<String> = Vec::new();
    let mut option = |key: &str, value: &str| options.push(format!("{key}={}", quote(value)));
    option("--name", &spec.name);
    option("--network", &spec.network);
    option("--restart", &spec.restart);
    spec.user.iter().for_each(|user| option("--user", user));
    spec.memory.iter().for_each(|memory| option("--memory", memory));
    spec.cap_drop.iter().for_each(|cap| option("--cap-drop", cap));
    spec.cap_add.iter().for_each(|cap| option("--cap-add", cap));
    spec.security_opt.iter().for_each(|opt| option("--security-opt", opt));
    spec.binds().iter().for_each(|bind| option("--volume", bind));
    spec.tmpfs.iter().for_each(|mount| option("--tmpfs", mount));
    spec.publish.iter().for_each(|port| option("--publish", port));
    spec.labels.iter().for_each(|(key, value)| option("--label", &format!("{key}={value}")));
    if spec.read_only {
        options.push("--read-only".to_owned());
    }
    if !env.is_empty() {
        options.push("--env-file=\"$poclab_env\"".to_owned());
    }
    if !spec.groups.is_empty() {
        options.push("\"$@\"".to_owned());
    }
    options.push(image);
    options.extend(spec.command.iter().map(|word| quote(word)));
    let _ = writeln!(
        script,
        "docker run -d {} >/dev/null || {{ docker rm -f {name} >/dev/null 2>&1; exit 1; }}\npoclab_wait",
        options.join(" ")
    );
    (!env.is_empty()).then(|| Payload::Bytes(env.into_bytes()))
}
