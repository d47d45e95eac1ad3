//! What the deploy key can do, from the host that uses it.

use std::time::Duration;

use super::{Spec, verdict};
use crate::base::{Payload, quote};
use crate::check::run::{Framed, last_line};
use crate::check::{Outcome, Reach};

/// Seconds for a session.
const SECONDS: u64 = 30;

/// Sessions as git begins them: what it reads first when it fetches, and when it pushes.
pub(super) fn script(spec: &Spec) -> Framed {
    let project = quote(&format!("'{}.git'", spec.project));
    let session = |service: &str| {
        // `0000` ends the conversation after the server's first words.
        format!(
            "printf 0000 | timeout {SECONDS} ssh -T -i \"$poclab_t/key\" -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes \
             -o UserKnownHostsFile=\"$poclab_t/known\" -o ConnectTimeout=10 git@{} {service} {project} 2>&1 | tr -d '\\000' | head -c 4000",
            quote(&spec.name)
        )
    };
    let length = spec.checkout_key.expose().len();
    Framed::new()
        .prelude("umask 077\npoclab_t=$(mktemp -d /tmp/poclab-ssh.XXXXXX) || exit 1\ntrap 'rm -rf \"$poclab_t\"' EXIT\ntrap 'exit 1' HUP INT TERM PIPE")
        .step(
            "key",
            &format!("head -c {length} >\"$poclab_t/key\" && printf '%s\\n' {} >\"$poclab_t/known\"", quote(&format!("{} {}", spec.name, spec.host_key))),
            true,
        )
        .ask("read", &session("git-upload-pack"))
        .ask("write", &session("git-receive-pack"))
}

/// Reading must work, and pushing must be refused for the right reason.
pub(super) fn all(spec: &Spec, reach: &dyn Reach) -> Vec<Outcome> {
    let host = &spec.ssh_from;
    let key = Payload::Bytes(spec.checkout_key.expose().as_bytes().to_vec());
    let frames = script(spec).run(reach, host, vec![key], Duration::from_secs(3 * SECONDS));
    let of = |id: &str| {
        let frames = frames.as_ref().map_err(|why| format!("could not look from {host}: {why}"))?;
        frames.get("key").and_then(|frame| if frame.status == 0 { Ok(()) } else { Err(last_line(&frame.text()).to_owned()) })?;
        frames.get(id).map(|frame| frame.text())
    };
    let branch = format!("refs/heads/{}", spec.branch);
    let read = of("read").and_then(|text| match text.contains(&branch) {
        true => Ok(format!("the server names {branch}")),
        false => Err(format!("{host} gets no list of branches: {}", last_line(&text))),
    });
    let write = of("write").and_then(|text| match (text.contains(&branch), text.contains("does not have write access")) {
        (false, true) => Ok("refused: the key has no write access".to_owned()),
        (true, _) => Err("the server begins to take a push".to_owned()),
        (false, false) => Err(format!("is refused, but for another reason: {}", last_line(&text))),
    });
    vec![
        Outcome::new(format!("{host} reads {} with the deploy key", spec.project), verdict(read)),
        Outcome::control(format!("{host} cannot push with the deploy key"), verdict(write)),
    ]
}
