//! Push and pull with the hosts' own Docker.

use std::time::Duration;

use super::{Login, Trial, verdict};
use crate::base::{Payload, quote};
use crate::check::run::{Framed, last_line};
use crate::check::{Outcome, Verdict};

const DEADLINE: Duration = Duration::from_secs(420);

/// A work directory that only root can read and that goes away in any case; Docker's credentials are kept nowhere else.
fn prelude(cleanup: &str) -> String {
    format!(
        "umask 077
work=$(mktemp -d /tmp/poclab-check.XXXXXX) || exit 73
DOCKER_CONFIG=$work/docker; export DOCKER_CONFIG
cleanup() {{ {cleanup}; rm -rf \"$work\"; }}
trap cleanup EXIT
trap 'exit 130' HUP INT TERM PIPE"
    )
}

/// `docker login` with a password from the exec's stdin; takes exactly its bytes.
fn login(endpoint: &str, login: Login<'_>) -> String {
    format!(
        "head -c {} | timeout 60 docker login --username {} --password-stdin {} 2>&1",
        login.password.expose().len(),
        quote(login.user),
        quote(endpoint)
    )
}

fn password(login: Login<'_>) -> Payload {
    Payload::Bytes(login.password.expose().as_bytes().to_vec())
}

pub(super) fn push_script(trial: &Trial<'_>) -> Framed {
    let image = quote(&format!("{}/{}:{}", trial.push.text(), trial.spec.repository, trial.tag));
    Framed::new()
        .prelude(&prelude(&format!("timeout 60 docker rmi -f {image} >/dev/null 2>&1")))
        .step("image", &format!("mkdir \"$work/root\" && printf %s {} >\"$work/root/poclab-marker\" && tar -C \"$work/root\" -cf - poclab-marker | timeout 120 docker import - {image}", quote(&trial.marker)), false)
        .step("login", &login(&trial.push.text(), trial.pusher), true)
        .step("push", &format!("timeout 180 docker push {image}"), false)
        .step("digest", &format!("timeout 60 docker image inspect --format '{{{{range .RepoDigests}}}}{{{{println .}}}}{{{{end}}}}' {image}"), false)
}

/// Makes the unique image, pushes it, returns its digest. Leaves nothing on the host.
pub(super) fn push(trial: &Trial<'_>) -> Result<String, String> {
    let host = &trial.spec.push_from;
    let frames = push_script(trial).run(trial.reach, host, vec![password(trial.pusher)], DEADLINE)?;
    for (id, what) in [("image", "making the image"), ("login", "docker login"), ("push", "docker push")] {
        frames.good(id).map_err(|why| format!("{what} on {host} failed: {why}"))?;
    }
    let digests = frames.good("digest")?;
    let wanted = format!("{}/{}@", trial.push.text(), trial.spec.repository);
    let digest = digests.lines().find_map(|line| line.trim().strip_prefix(&wanted));
    digest
        .filter(|digest| is_digest(digest))
        .map(str::to_owned)
        .ok_or_else(|| format!("{host} names no digest for what it pushed: {digests}"))
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit()))
}

pub(super) fn pull_script(trial: &Trial<'_>, digest: &str) -> Framed {
    let image = quote(&format!("{}/{}@{digest}", trial.pull.text(), trial.spec.repository));
    // To where the pull user is known and can log in: that it may not push there is what is to be proven.
    let forbidden = quote(&format!("{}/{}:{}-forbidden", trial.pull.text(), trial.spec.repository, trial.tag));
    let container = format!("poclab-{}", trial.tag);
    Framed::new()
        .prelude(&prelude(&format!("timeout 60 docker rm -f {container} >/dev/null 2>&1; timeout 60 docker rmi -f {forbidden} {image} >/dev/null 2>&1")))
        .step("docker", "timeout 60 docker version --format '{{.Server.Version}}'", false)
        .ask("absent", &format!("timeout 60 docker image inspect {image} 2>&1"))
        .step("login", &login(&trial.pull.text(), trial.puller), true)
        .step("pull", &format!("timeout 180 docker pull {image}"), false)
        .step("marker", &format!("timeout 60 docker create --name {container} {image} /poclab-marker >/dev/null && timeout 60 docker cp {container}:/poclab-marker - | tar -xOf -"), false)
        .step("tag", &format!("timeout 60 docker tag {image} {forbidden}"), false)
        .ask("forbidden", &format!("timeout 180 docker push {forbidden} 2>&1"))
}

/// Pulls by digest on a host that has never seen the image, compares the content, and tries to push as the pull user.
pub(super) fn pull(trial: &Trial<'_>, digest: &str, next: &str) -> Vec<Outcome> {
    let host = &trial.spec.pull_on;
    let stdin = vec![password(trial.puller)];
    let answers = pull_script(trial, digest).run(trial.reach, host, stdin, DEADLINE);
    let pulled = answers.as_ref().map_err(String::clone).and_then(|frames| {
        frames.good("docker").map_err(|why| format!("Docker does not answer on {host}: {why}"))?;
        let absent = frames.get("absent")?;
        if absent.status == 0 || !absent.text().contains("No such image") {
            return Err(format!("{host} was to have never seen the image, but: {}", last_line(&absent.text())));
        }
        frames.good("login").map_err(|why| format!("docker login on {host} failed: {why}"))?;
        frames.good("pull").map_err(|why| format!("docker pull on {host} failed: {why}"))?;
        let content = frames.good("marker").map_err(|why| format!("the image's content cannot be read on {host}: {why}"))?;
        match content == trial.marker {
            true => Ok(format!("{digest}, absent before, content as pushed")),
            false => Err(format!("the pulled image holds `{}`, pushed was `{}`", last_line(&content), trial.marker)),
        }
    });
    let forbidden = answers.and_then(|frames| {
        frames.good("tag").map_err(|why| format!("not tried: {why}"))?;
        let frame = frames.get("forbidden")?;
        refused(frame.status, &frame.text())
    });
    vec![
        Outcome::new(format!("{host} pulls the image by digest from {}", trial.pull.text()), verdict(pulled, next)),
        Outcome::control(
            format!("docker push by {} from {host} to {} is refused", trial.puller.user, trial.pull.text()),
            match forbidden {
                Ok(text) => Verdict::Passed(text),
                Err(why) => Verdict::Failed(format!("{why}; see the users of the role registry")),
            },
        ),
    ]
}

/// Whether a push failed because it is not allowed, and not because something is broken.
fn refused(status: i32, said: &str) -> Result<String, String> {
    let reasons = [
        "unauthorized",
        "denied",
        "authentication required",
        "no basic auth credentials",
        "forbidden",
        "operation is unsupported",
        "method not allowed",
        "401 ",
        "403 ",
        "405 ",
    ];
    let low = said.to_lowercase();
    match (status, reasons.iter().any(|reason| low.contains(reason))) {
        (0, _) => Err("the push went through".into()),
        (_, true) => Ok(last_line(said).to_owned()),
        (_, false) => Err(format!("the push failed for another reason than a refusal: {}", last_line(said))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_not_a_breakdown() {
        assert!(refused(1, "denied: requested access to the resource is denied\n").is_ok());
        assert!(refused(1, "unauthorized: authentication required\n").is_ok());
        assert!(refused(1, "no basic auth credentials\n").is_ok());
        assert!(refused(0, "latest: digest: sha256:00\n").is_err());
        assert!(refused(1, "dial tcp 10.9.0.13:5000: connect: no route to host\n").is_err());
        assert!(refused(124, "").is_err());
    }

    #[test]
    fn digests() {
        assert!(is_digest(&format!("sha256:{}", "ab".repeat(32))));
        assert!(!is_digest("sha256:ab") && !is_digest("latest"));
    }
}
