//! A deployment that never becomes healthy, made of what runs: the previous version must come back by itself.

use std::time::Duration;

use super::{Spec, proof, short};
use crate::base::{Payload, Secret, quote};
use crate::check::Reach;
use crate::check::run::Framed;

/// What `poclab deploy` exits with when what ran before is back and answers.
const PUT_BACK: i32 = 3;
/// Longer than any deployment: pull, health, and health again of what is put back.
const DEADLINE: Duration = Duration::from_secs(900);
/// The tag of the sick image; overwritten by each run of the check.
const TAG: &str = "poclab-verify-sick";

/// The images of one deployment, by digest; the first is made sick.
struct Parts<'a> {
    registry: &'a str,
    sick: &'a str,
    others: Vec<String>,
}

/// POSIX sh. Docker's `commit` needs no builder and keeps the labels, so the host takes the image for one of this commit.
fn script(spec: &Spec, key: &Secret, sha: &str, parts: &Parts<'_>) -> Framed {
    let Parts { registry, sick, others } = parts;
    let name = sick.split_once('@').map_or(*sick, |(name, _)| name);
    let sick_name = quote(&format!("{name}:{TAG}"));
    let prelude = format!(
        "umask 077
work=$(mktemp -d /tmp/poclab-check.XXXXXX) || exit 73
trap '[ ! -s \"$work/id\" ] || docker rm -f \"$(cat \"$work/id\")\" >/dev/null 2>&1; docker image rm {sick_name} >/dev/null 2>&1; rm -rf \"$work\"' EXIT
trap 'exit 130' HUP INT TERM PIPE
DOCKER_CONFIG=$work/docker
export DOCKER_CONFIG"
    );
    let images: String = others.iter().map(|image| format!(" --image {}", quote(image))).collect();
    Framed::new()
        .prelude(&prelude)
        .step("password", &format!("head -c {} >\"$work/password\"", spec.registry.password.expose().len()), true)
        .step("key", &format!("head -c {} >\"$work/key\"", key.expose().len()), true)
        .step(
            "login",
            &format!("docker login --username {} --password-stdin {} <\"$work/password\" 2>&1", quote(&spec.registry.user), quote(registry)),
            false,
        )
        .step("pull", &format!("docker pull -q {} 2>&1", quote(sick)), false)
        .step("create", &format!("docker create {} >\"$work/id\"", quote(sick)), false)
        .step(
            "commit",
            &format!("docker commit --change 'HEALTHCHECK --retries=1 CMD false' \"$(cat \"$work/id\")\" {sick_name} 2>&1"),
            false,
        )
        .step("push", &format!("docker push -q {sick_name} 2>&1"), false)
        .step(
            "digest",
            &format!(
                "docker image inspect --format '{{{{range .RepoDigests}}}}{{{{println .}}}}{{{{end}}}}' {sick_name} | grep {} | head -n 1 | tee \"$work/sick\" | grep .",
                quote(&format!("^{name}@sha256:"))
            ),
            false,
        )
        .ask(
            "deploy",
            &format!(
                "timeout 840 poclab deploy --key \"$work/key\" --commit {} --image \"$(cat \"$work/sick\")\"{images} 2>&1",
                quote(sha)
            ),
        )
}

/// Deploys a sick version over the commit that runs. `Ok` when it was put back and the commit answers again.
pub fn sick(spec: &Spec, key: &Secret, sha: &str, reach: &dyn Reach) -> Result<String, String> {
    let registry = spec.registry.url.split_once("://").map_or(spec.registry.url.as_str(), |(_, name)| name);
    let mut images = Vec::new();
    for repository in spec.images.values() {
        images.push(format!("{registry}/{repository}@{}", proof::pushed(spec, reach, repository, sha)?));
    }
    let [sick, others @ ..] = images.as_slice() else { return Err("the check names no images".into()) };
    let parts = Parts { registry, sick, others: others.to_vec() };
    let stdin = [&spec.registry.password, key].map(|secret| Payload::Bytes(secret.expose().as_bytes().to_vec()));
    let frames = script(spec, key, sha, &parts).run(reach, &spec.push_from, stdin.into(), DEADLINE)?;
    for id in ["login", "pull", "create", "commit", "push", "digest"] {
        frames.good(id).map_err(|why| format!("no sick version could be made on {}: {why}", spec.push_from))?;
    }
    let deployed = frames.get("deploy")?;
    let text = deployed.text();
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("(no output)");
    if deployed.status != PUT_BACK {
        return Err(format!("poclab deploy exited with {}, must be {PUT_BACK}: {last}", deployed.status));
    }
    match proof::answering(spec, reach)? {
        Some(now) if now == sha => Ok(format!("exit {PUT_BACK}, {} answers again", short(sha))),
        Some(now) => Err(format!("{now} answers, {sha} did before")),
        None => Err(format!("nothing answers at {} any more", spec.api.url)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::shellcheck;

    #[test]
    fn the_script_is_sound() {
        let spec = super::super::tests::spec();
        let parts = Parts {
            registry: "registry.lab.example:5000",
            sick: "registry.lab.example:5000/student_list/simple_api@sha256:aa",
            others: vec!["registry.lab.example:5000/student_list/website@sha256:bb".into()],
        };
        let key = Secret::new("-----KEY-----\n");
        let text = script(&spec, &key, "abc", &parts).text();
        assert!(!text.contains("KEY-"), "secrets travel on stdin");
        shellcheck(&text);
    }
}
