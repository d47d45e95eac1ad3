//! A container image on a host.

use std::fmt::Write as _;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Change, Detail, Kind, Reply, State};
use crate::base::{Payload, quote};

/// An image that a host has, loaded from an archive of the control machine or pulled from a registry.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name and tag under which the host knows it, e.g. `registry:2.8.3`.
    pub reference: String,
    /// Archive made by `docker save` on the control machine. Default: the host pulls the image.
    #[serde(default)]
    pub archive: Option<PathBuf>,
    /// SHA-256 of the archive, hexadecimal; checked on the host before it is loaded.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Image id (`sha256:…`, the digest of its configuration). An image of the same name with another id is replaced.
    #[serde(default)]
    pub id: Option<String>,
    /// Digest in the registry (`sha256:…`) that a pulled image must have.
    #[serde(default)]
    pub digest: Option<String>,
}

/// Removes what a killed transfer leaves. Docker, when it does not answer, empties that folder at its next start itself.
const SWEEP: &str = "poclab_root=$(docker info --format '{{.DockerRootDir}}' 2>/dev/null) || poclab_root=\nrm -f -- \"${poclab_root:-/var/lib/docker}\"/tmp/poclab-image.??????\n";

/// What a host has under a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Image id.
    pub id: String,
    /// `name@sha256:…`; empty for loaded images.
    pub digests: Vec<String>,
}

/// The short form in which Docker lists a reference: no default registry, always a tag.
fn familiar(reference: &str) -> String {
    let short = reference.strip_prefix("docker.io/").unwrap_or(reference);
    let short = short.strip_prefix("library/").unwrap_or(short);
    let last = short.rsplit('/').next().unwrap_or(short);
    if last.contains([':', '@']) { short.to_owned() } else { format!("{short}:latest") }
}

impl Spec {
    /// The repository without tag, for digests.
    fn repository(&self) -> String {
        let short = familiar(&self.reference);
        let at = short.rfind(':').filter(|at| !short[*at..].contains('/')).unwrap_or(short.len());
        short[..at].to_owned()
    }
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(is_hex)
}

fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

impl Kind for Spec {
    const NAME: &'static str = "docker_image";
    type Observed = Option<Observed>;

    fn id(&self) -> String {
        self.reference.clone()
    }

    fn check(&self) -> Vec<String> {
        let mut errors = Vec::new();
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:".contains(c);
        if self.reference.is_empty() || self.reference.starts_with('-') || !self.reference.chars().all(plain) {
            errors.push(format!("`{}` is not a name and tag: write e.g. registry:2.8.3 (a digest goes into `digest`)", self.reference));
        }
        for (key, value) in [("id", &self.id), ("digest", &self.digest)] {
            if let Some(value) = value.as_ref().filter(|value| !is_digest(value)) {
                errors.push(format!("{key} is `{value}`: write sha256: and 64 hexadecimal digits"));
            }
        }
        if let Some(value) = self.sha256.as_ref().filter(|value| !is_hex(value)) {
            errors.push(format!("sha256 is `{value}`: write 64 hexadecimal digits"));
        }
        match &self.archive {
            Some(_) if self.digest.is_some() => errors.push("digest is for pulled images; for an archive write id and sha256".to_owned()),
            None if self.sha256.is_some() => errors.push("sha256 is the archive's, but there is no archive".to_owned()),
            _ => {}
        }
        errors
    }

    fn observe(specs: &[&Self]) -> String {
        let names: Vec<String> = specs.iter().map(|spec| quote(&spec.reference)).collect();
        format!(
            "if command -v docker >/dev/null 2>&1; then\n  {{ poclab_err=$({{ \
             docker image inspect --format '{{{{.Id}}}} {{{{json .RepoTags}}}} {{{{json .RepoDigests}}}}' {} 3>&-\n  \
             echo \"docker $?\"; }} 2>&1 >&3); }} 3>&1\n  printf '%s\\n' \"$poclab_err\" | sed 's/^/! /'\nelse\n  echo 'docker absent'\nfi",
            names.join(" ")
        )
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let text = reply.text();
        let all = |result: Result<Self::Observed, String>| specs.iter().map(|_| result.clone()).collect();
        if text.lines().any(|line| line == "docker absent") {
            return all(Ok(None));
        }
        // `Error: No such image: x` (20.10), `Error response from daemon: No such image: x:latest` (26.1)
        if let Some(error) =
            text.lines().filter_map(|line| line.strip_prefix("! ")).find(|line| !line.trim().is_empty() && !line.contains("No such image"))
        {
            return all(Err(format!("docker image inspect: {error}")));
        }
        if !text.lines().any(|line| line == "docker 0" || line == "docker 1") {
            return all(Err("docker image inspect did not end well".to_owned()));
        }
        let mut images: Vec<(Vec<String>, Observed)> = Vec::new();
        for line in text.lines().filter(|line| line.starts_with("sha256:")) {
            let mut parts = line.splitn(3, ' ');
            let (id, tags, digests) =
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let list = |json: &str| serde_json::from_str::<Option<Vec<String>>>(json).map(Option::unwrap_or_default);
            match (list(tags), list(digests)) {
                (Ok(tags), Ok(digests)) => images.push((tags, Observed { id: id.to_owned(), digests })),
                _ => return all(Err(format!("docker image inspect printed `{line}`"))),
            }
        }
        specs
            .iter()
            .map(|spec| {
                let name = familiar(&spec.reference);
                Ok(images.iter().find(|(tags, _)| tags.contains(&name)).map(|(_, image)| image.clone()))
            })
            .collect()
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        let Some(have) = observed else {
            let how = if self.archive.is_some() { "load it" } else { "pull it" };
            return State::Drift(vec![Change::new(format!("not on the host: {how}"))]);
        };
        let mut changes = Vec::new();
        if let Some(want) = self.id.as_ref().filter(|want| **want != have.id) {
            changes.push(Change::new(format!("id is {}, want {want}", have.id)));
        }
        if let Some(want) = &self.digest {
            let want = format!("{}@{want}", self.repository());
            if !have.digests.contains(&want) {
                changes.push(Change::new(format!("digest is not {want}")));
            }
        }
        if changes.is_empty() { State::InSync } else { State::Drift(changes) }
    }

    fn details(&self, observed: &Self::Observed) -> Vec<Detail> {
        observed.iter().map(|image| Detail::Image { reference: self.reference.clone(), id: image.id.clone() }).collect()
    }

    fn apply(&self, _observed: &Self::Observed) -> Vec<Action> {
        let reference = quote(&self.reference);
        let mut script = String::new();
        let mut stdin = None;
        match &self.archive {
            Some(archive) => {
                let len = match std::fs::metadata(archive) {
                    Ok(file) => file.len(),
                    Err(error) => {
                        let why = format!(
                            "the archive {} of image {} cannot be read on the control machine: {error}",
                            archive.display(),
                            self.reference
                        );
                        return vec![Action {
                            label: format!("load image {}", self.reference),
                            script: format!("echo {} >&2\nexit 1\n", quote(&why)),
                            ..Action::default()
                        }];
                    }
                };
                // Beside Docker's own data, where the room is; Docker empties this folder when it starts.
                let _ = write!(
                    script,
                    "poclab_root=$(docker info --format '{{{{.DockerRootDir}}}}') || exit 1\n\
                     mkdir -p \"$poclab_root/tmp\" && poclab_f=$(mktemp \"$poclab_root/tmp/poclab-image.XXXXXX\") || exit 1\n\
                     trap 'rm -f \"$poclab_f\"' EXIT\n\
                     trap 'exit 1' HUP INT TERM PIPE\n\
                     head -c {len} >\"$poclab_f\" || {{ echo \"cannot store the image archive ({len} bytes) in $poclab_root/tmp: is the disk full? (df -h $poclab_root)\" >&2; exit 1; }}\n\
                     [ \"$(wc -c <\"$poclab_f\")\" -eq {len} ] || {{ echo 'the image archive arrived incomplete' >&2; exit 1; }}\n"
                );
                if let Some(sha256) = &self.sha256 {
                    let _ = write!(
                        script,
                        "poclab_sum=$(sha256sum \"$poclab_f\") && poclab_sum=${{poclab_sum%% *}} || exit 1\n\
                         [ \"$poclab_sum\" = {sha256} ] || {{ echo \"the image archive has SHA-256 $poclab_sum, want {sha256}\" >&2; exit 1; }}\n"
                    );
                }
                script.push_str("poclab_out=$(docker load -i \"$poclab_f\") || exit 1\nprintf '%s\\n' \"$poclab_out\"\n");
                match &self.id {
                    // A name may still belong to an older image: the id decides.
                    Some(id) => {
                        let _ = writeln!(
                            script,
                            "docker tag {id} {reference} || {{ echo 'the archive does not hold the image {id}' >&2; exit 1; }}"
                        );
                    }
                    None => {
                        let _ = write!(
                            script,
                            "poclab_l=$(printf '%s\\n' \"$poclab_out\" | sed -n -e 's/^Loaded image: //p' -e 's/^Loaded image ID: //p' | head -n 1)\n\
                             if [ \"$poclab_l\" != {reference} ]; then docker tag \"$poclab_l\" {reference} || exit 1; fi\n"
                        );
                    }
                }
                stdin = Some(Payload::File { path: archive.clone(), len });
            }
            None => match &self.digest {
                Some(digest) => {
                    let pinned = quote(&format!("{}@{digest}", self.repository()));
                    let _ = writeln!(script, "docker pull {pinned} && docker tag {pinned} {reference} || exit 1");
                }
                None => {
                    let _ = writeln!(script, "docker pull {reference} || exit 1");
                }
            },
        }
        if let Some(id) = &self.id {
            let _ = write!(
                script,
                "poclab_id=$(docker image inspect --format '{{{{.Id}}}}' {reference}) || exit 1\n\
                 [ \"$poclab_id\" = {id} ] || {{ echo \"the image has the id $poclab_id, want {id}\" >&2; exit 1; }}\n"
            );
        }
        let verb = if self.archive.is_some() { "load" } else { "pull" };
        let sweep = if stdin.is_some() { SWEEP.to_owned() } else { String::new() };
        vec![Action { label: format!("{verb} image {}", self.reference), script, stdin, sweep, ..Action::default() }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::testing::shellcheck;

    fn spec(json: &str) -> Spec {
        serde_json::from_str(json).unwrap()
    }

    const ID: &str = "sha256:a416a98b71e224a31ee99cff8e16063554498227d2b696152a9c3e0aa65e5824";

    fn parse(spec: &Spec, text: &str) -> Result<Option<Observed>, String> {
        Spec::parse(&[spec], &Reply { stdout: text.as_bytes().to_vec(), status: 0 }).remove(0)
    }

    #[test]
    fn names_become_docker_s_own() {
        assert_eq!(familiar("docker.io/library/registry:2.8.3"), "registry:2.8.3");
        assert_eq!(familiar("registry.lab.example:5000/app"), "registry.lab.example:5000/app:latest");
        assert_eq!(spec(r#"{"reference": "r.example:5000/a/b:1"}"#).repository(), "r.example:5000/a/b");
    }

    #[test]
    fn recorded_by_docker_20_10() {
        let busybox = spec(r#"{"reference": "busybox:1.36"}"#);
        // recorded with 20.10.24
        let present = format!("{ID} [\"busybox:1.36\",\"probe:1\"] []\ndocker 0\n");
        assert_eq!(parse(&busybox, &present), Ok(Some(Observed { id: ID.into(), digests: vec![] })));
        let one_of_two = format!("{ID} [\"busybox:1.36\"] []\ndocker 1\n! Error: No such image: nope:1\n");
        assert!(parse(&busybox, &one_of_two).unwrap().is_some());
        assert_eq!(parse(&spec(r#"{"reference": "nope:1"}"#), &one_of_two), Ok(None));
        assert_eq!(parse(&busybox, "docker absent\n"), Ok(None));
        let dead = "docker 1\n! Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\n";
        assert!(parse(&busybox, dead).unwrap_err().contains("Cannot connect"));
        // written from documentation: 26.1 names the daemon
        assert_eq!(parse(&busybox, "docker 1\n! Error response from daemon: No such image: busybox:1.36\n"), Ok(None));
        assert!(parse(&busybox, "").is_err());
    }

    #[test]
    fn each_difference_is_named() {
        let want = format!("sha256:{}", "b".repeat(64));
        let by_id = spec(&format!(r#"{{"reference": "registry:2.8.3", "id": "{want}"}}"#));
        let have = Some(Observed { id: ID.into(), digests: vec![format!("registry@{ID}")] });
        assert_eq!(by_id.diff(&have), State::Drift(vec![Change::new(format!("id is {ID}, want {want}"))]));
        let by_digest = spec(&format!(r#"{{"reference": "docker.io/library/registry:2.8.3", "digest": "{ID}"}}"#));
        assert_eq!(by_digest.diff(&have), State::InSync);
        assert_eq!(by_digest.diff(&None), State::Drift(vec![Change::new("not on the host: pull it")]));
    }

    #[test]
    fn mistakes_are_refused() {
        for json in [
            r#"{"reference": "-x"}"#,
            r#"{"reference": "a b"}"#,
            r#"{"reference": "a@sha256:1"}"#,
            r#"{"reference": "a", "id": "abc"}"#,
            r#"{"reference": "a", "sha256": "abc", "archive": "x"}"#,
            &format!(r#"{{"reference": "a", "digest": "{ID}", "archive": "x"}}"#),
        ] {
            assert_eq!(spec(json).check().len(), 1, "{json}");
        }
    }

    #[test]
    fn the_scripts() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.tar");
        std::fs::write(&archive, "12345").unwrap();
        let loaded =
            spec(&format!(r#"{{"reference": "registry:2.8.3", "archive": {archive:?}, "sha256": "{}", "id": "{ID}"}}"#, "c".repeat(64)));
        let action = loaded.apply(&None).remove(0);
        assert_eq!(action.stdin, Some(Payload::File { path: archive, len: 5 }));
        shellcheck(&action.script);
        insta::assert_snapshot!("load", action.script);
        let pulled = spec(&format!(r#"{{"reference": "registry:2.8.3", "digest": "{ID}"}}"#)).apply(&None).remove(0);
        shellcheck(&pulled.script);
        insta::assert_snapshot!("pull", pulled.script);
        shellcheck(&Spec::observe(&[&loaded]));
        let missing = spec(r#"{"reference": "x:1", "archive": "/nonexistent.tar"}"#).apply(&None).remove(0);
        assert!(missing.script.contains("cannot be read on the control machine") && missing.script.ends_with("exit 1\n"));
    }
}

#[cfg(test)]
mod scratch {
    use super::*;
    use crate::resource::scratch::{apply, look, plan, repair, run};

    #[test]
    #[ignore = "needs a scratch host"]
    fn scratch_host() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.tar");
        let name = std::env::var("POCLAB_SCRATCH").unwrap();
        let saved = std::process::Command::new("docker").args(["exec", &name, "docker", "save", "busybox:1.36"]).output().unwrap();
        std::fs::write(&archive, saved.stdout).unwrap();
        let id = run("docker image inspect --format '{{.Id}}' busybox:1.36", b"").1.trim().to_owned();
        let sum = std::process::Command::new("sha256sum").arg(&archive).output().unwrap();
        let sum = String::from_utf8_lossy(&sum.stdout)[..64].to_owned();
        let json =
            |reference: &str, sha256: &str| serde_json::json!({"reference": reference, "archive": archive, "id": id, "sha256": sha256});
        // as its own name, and under a name that the archive does not know
        for reference in ["busybox:1.36", "registry.lab.example:5000/probe:1"] {
            let spec: Spec = serde_json::from_value(json(reference, &sum)).unwrap();
            run(&format!("docker rmi -f {reference}"), b"");
            assert_eq!(plan(&spec), ["not on the host: load it"]);
            repair(&spec);
            repair(&spec);
        }
        // the name belongs to another image
        run("echo x | docker import - busybox:1.36 || tar -C /srv -c . | docker import - busybox:1.36", b"");
        let spec: Spec = serde_json::from_value(json("busybox:1.36", &sum)).unwrap();
        assert_eq!(plan(&spec).len(), 1);
        repair(&spec);
        // a spoiled archive, and a full disk
        let spoiled: Spec = serde_json::from_value(json("other:1", &"0".repeat(64))).unwrap();
        assert!(apply(&spoiled.apply(&look(&spoiled).unwrap())).unwrap_err().contains("has SHA-256"));
        let spec: Spec = serde_json::from_value(json("other:1", &sum)).unwrap();
        run("mkdir -p /var/lib/docker/tmp; mount -t tmpfs -o size=64k tmpfs /var/lib/docker/tmp", b"");
        let full = apply(&spec.apply(&look(&spec).unwrap())).unwrap_err();
        let left = run("ls /var/lib/docker/tmp; umount /var/lib/docker/tmp", b"").1;
        assert!(full.contains("is the disk full?"), "{full}");
        assert_eq!(left, "");
    }
}
