//! The gate, run as the pipeline runs it: a clean image passes, a bad one is refused, and nothing passes where data is missing.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::{Spec, verdict};
use crate::base::frame::nonce;
use crate::base::{Payload, is_digest, quote};
use crate::check::pipeline::site::Api;
use crate::check::run::{Framed, Frames, last_line};
use crate::check::{Outcome, Reach, Verdict};

const DEADLINE: Duration = Duration::from_secs(600);
/// Where the two images are for the time of the check.
const REPOSITORY: &str = "poclab/scan-probe";
/// An updater that there is not.
const NOBODY: &str = "poclab-none";

/// An image without programs, which is all that a scanner looks at: Debian's os-release, dpkg's list of packages, and what pip leaves of a
/// package.
struct Probe {
    name: &'static str,
    packages: &'static [(&'static str, &'static str)],
    pyyaml: &'static str,
}

const CLEAN: Probe = Probe { name: "clean", packages: &[("base-files", "12.4+deb12u5")], pyyaml: "6.0.2" };
/// PyYAML 5.3: CVE-2020-14343, critical, fixed in 5.4. OpenSSL as Debian 12 first had it: CVE-2023-5363 and more, most of which Debian does
/// not rate, so that only a CVSS score says that they are high.
const BAD: Probe = Probe { name: "bad", packages: &[("base-files", "12.4+deb12u5"), ("openssl", "3.0.9-1")], pyyaml: "5.3" };
/// What of the bad image must be refused: by the data of osv/pypi, and of debian/updater and clair.cvss.
const LANGUAGE: &str = "pyyaml";
const DISTRIBUTION: &str = "openssl";

impl Probe {
    /// POSIX sh that makes it: `$work/NAME` becomes `image`.
    fn make(&self, image: &str) -> String {
        let Self { name, pyyaml, .. } = self;
        let status: String = self
            .packages
            .iter()
            .map(|(package, version)| {
                format!("Package: {package}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n")
            })
            .collect();
        let release = "ID=debian\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        let metadata = format!("Metadata-Version: 2.1\nName: PyYAML\nVersion: {pyyaml}\n");
        let info = format!("app/PyYAML-{pyyaml}.dist-info");
        format!(
            "cd \"$work\" && mkdir -p {name}/etc {name}/var/lib/dpkg/info {name}/{info} &&\n\
             printf %s {} >{name}/etc/os-release && printf %s {} >{name}/var/lib/dpkg/status && printf %s {} >{name}/{info}/METADATA &&\n\
             chmod -R a+rX {name} && tar -C {name} --owner 0 --group 0 -cf - . | timeout 120 docker import - {image} 2>&1",
            quote(release),
            quote(&status),
            quote(&metadata)
        )
    }
}

/// `registry.lab.example:5000`
fn endpoint(spec: &Spec) -> String {
    spec.registry.url.split_once("://").map_or(spec.registry.url.as_str(), |(_, rest)| rest).trim_end_matches('/').to_owned()
}

/// The gate inside the container of the pipeline, with its policy or its configuration on stdin. What it says comes after its document.
fn gate(spec: &Spec, arguments: &str) -> String {
    let gate = format!("timeout 300 docker exec -i {} {} scan {arguments}", quote(&spec.container), quote(&spec.program));
    format!("{{ {gate} 2>\"$work/said\"; s=$?; cat \"$work/said\"; exit \"$s\"; }}")
}

pub(super) fn script(spec: &Spec, tag: &str) -> Framed {
    let at = endpoint(spec);
    let image = |probe: &Probe| quote(&format!("{at}/{REPOSITORY}:{tag}-{}", probe.name));
    let (clean, bad) = (image(&CLEAN), image(&BAD));
    let prelude = format!(
        "umask 077
work=$(mktemp -d /tmp/poclab-check.XXXXXX) || exit 73
DOCKER_CONFIG=$work/docker; export DOCKER_CONFIG
cleanup() {{ timeout 60 docker rmi -f {clean} {bad} >/dev/null 2>&1; rm -rf \"$work\"; }}
trap cleanup EXIT
trap 'exit 130' HUP INT TERM PIPE
# The digest under which an image was pushed.
digest() {{ timeout 60 docker image inspect --format '{{{{range .RepoDigests}}}}{{{{println .}}}}{{{{end}}}}' \"$1\" | grep -F {} | head -n 1; }}
policy='severities: [critical, high]'",
        quote(&format!("{at}/{REPOSITORY}@"))
    );
    let login = format!(
        "head -c {} | timeout 60 docker login --username {} --password-stdin {} 2>&1",
        spec.registry.password.expose().len(),
        quote(&spec.registry.user),
        quote(&at)
    );
    let scan = |image: &str| {
        let gate = gate(spec, &format!("--format json --config {} --policy /dev/stdin \"$(digest {image})\"", quote(&spec.config)));
        format!("printf '%s\\n' \"$policy\" | {gate}")
    };
    // The policy is the default one: the configuration is on stdin.
    let missing = format!(
        "sed 's/^updaters:.*/updaters: [{NOBODY}]/' {} | {}",
        quote(&spec.config),
        gate(spec, &format!("--format json --config /dev/stdin --policy /dev/null \"$(digest {clean})\""))
    );
    Framed::new()
        .prelude(&prelude)
        .step("clean-image", &CLEAN.make(&clean), false)
        .step("bad-image", &BAD.make(&bad), false)
        .step("login", &login, true)
        .step("push", &format!("timeout 180 docker push {clean} 2>&1 && timeout 180 docker push {bad} 2>&1"), false)
        .step("digests", &format!("digest {clean} && digest {bad}"), false)
        .ask("clean", &scan(&clean))
        .ask("bad", &scan(&bad))
        .ask("missing", &missing)
}

/// The JSON document in what the gate printed, and its exit status.
fn told(frames: &Frames, id: &str) -> Result<(i32, Value), String> {
    let frame = frames.get(id)?;
    let text = frame.text();
    let mut documents = serde_json::Deserializer::from_str(text.trim_start()).into_iter::<Value>();
    match documents.next() {
        Some(Ok(document)) if document["format"] == "poclab scan 1" => Ok((frame.status, document)),
        _ => Err(format!("the gate ended with {} and said: {}", frame.status, last_line(&text))),
    }
}

fn clean(frames: &Frames) -> Result<String, String> {
    match told(frames, "clean")? {
        (0, document) if document["verdict"] == "passed" => Ok(format!("passed, {} packages", document["packages"])),
        (status, document) => Err(format!("the gate ended with {status}: {}", reasons(&document))),
    }
}

/// The bad image is refused for what the ecosystem's data says.
fn language(frames: &Frames) -> Result<String, String> {
    let (status, document) = told(frames, "bad")?;
    let refused = found(&document, "refused");
    match (status, names(&refused, LANGUAGE)) {
        (3, true) => Ok(format!("exit 3: {}", refused.join(", "))),
        (3, false) => Err(format!("it is refused, but not for {LANGUAGE}: {}", refused.join(", "))),
        (status, _) => Err(format!("the gate ended with {status}, must be 3: {}", reasons(&document))),
    }
}

/// It is refused for what Debian's data says, too. Without CVSS scores nobody may have rated that: then it must be found.
fn distribution(frames: &Frames, rated: bool) -> Result<String, String> {
    let (status, document) = told(frames, "bad")?;
    let refused = found(&document, "refused");
    match (status, names(&refused, DISTRIBUTION)) {
        (3, true) => Ok(format!("exit 3: {}", refused.join(", "))),
        (0 | 3, false) if !rated && names(&found(&document, ""), DISTRIBUTION) => {
            Ok(format!("{DISTRIBUTION} is found; without clair.cvss among clair_updaters nobody rates it"))
        }
        (0 | 3, false) => Err(format!(
            "it is not refused for {DISTRIBUTION}: Debian's data{} is not there; refused: {}",
            if rated { " or its CVSS scores" } else { "" },
            if refused.is_empty() { "nothing".into() } else { refused.join(", ") }
        )),
        (status, _) => Err(format!("the gate ended with {status}, must be 3: {}", reasons(&document))),
    }
}

/// What the gate found and the policy calls this; all of it for an empty word. `CVE-2023-5363 in openssl (CVSS 7.5)`
fn found(document: &Value, policy: &str) -> Vec<String> {
    let findings = document["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let told = |finding: &Value| {
        let word = |key: &str| finding[key].as_str().unwrap_or("?").to_owned();
        let score = finding["score"].as_f64().map_or_else(String::new, |score| format!(" (CVSS {score})"));
        format!("{} in {}{score}", word("vulnerability"), word("package"))
    };
    findings.iter().filter(|finding| policy.is_empty() || finding["policy"] == policy).map(told).collect()
}

/// Whether any of these is in a package.
fn names(found: &[String], package: &str) -> bool {
    found.iter().any(|text| text.split(" in ").nth(1).and_then(|rest| rest.split(' ').next()) == Some(package))
}

/// An image is scanned with what Clair does not have: the gate could not look, whatever is in it.
fn missing(frames: &Frames) -> Result<String, String> {
    let (status, document) = told(frames, "missing")?;
    let why = reasons(&document);
    match (status, document["verdict"] == "could not look" && why.contains(&format!("nothing of {NOBODY} yet"))) {
        (4, true) => Ok("exit 4, could not look".into()),
        (status, _) => Err(format!("the gate ended with {status}, must be 4 because of {NOBODY}: {why}")),
    }
}

fn reasons(document: &Value) -> String {
    match document["why"].as_str() {
        Some(why) => why.to_owned(),
        None => format!("{}, {}", document["verdict"].as_str().unwrap_or("no verdict"), document["counts"]),
    }
}

/// Whether an updater is among those that must have loaded something.
fn wants(spec: &Spec, updater: &str) -> bool {
    spec.updaters.iter().any(|name| name.strip_suffix('*').map_or(name == updater, |start| updater.starts_with(start)))
}

/// The proofs. Without data there is nothing to prove them by, and what is not wanted need not be known.
pub(super) fn outcomes(spec: &Spec, reach: &dyn Reach, judges: bool) -> Vec<Outcome> {
    let titles = [
        "an image with nothing bad in it passes the gate",
        "an image with a known vulnerability is refused",
        "so is one with a known vulnerability of Debian's",
        "without its data Clair's word counts for nothing",
    ];
    let skipped = |why: &str| Verdict::Skipped(why.to_owned());
    if !judges {
        let [clean, controls @ ..] = titles;
        let why = "Clair does not know what it must";
        return std::iter::once(Outcome::new(clean, skipped(why)))
            .chain(controls.map(|title| Outcome::control(title, skipped(why))))
            .collect();
    }
    let tag = nonce();
    let stdin = vec![Payload::Bytes(spec.registry.password.expose().as_bytes().to_vec())];
    let frames = script(spec, &tag).run(reach, &spec.host, stdin, DEADLINE);
    let judge = |look: &dyn Fn(&Frames) -> Result<String, String>| {
        verdict(frames.as_ref().map_err(String::clone).and_then(|frames| {
            for step in ["clean-image", "bad-image", "login", "push", "digests"] {
                frames.good(step).map_err(|why| format!("the images cannot be made and pushed: {why}"))?;
            }
            look(frames)
        }))
    };
    let if_wanted = |updater: &str, look: &dyn Fn(&Frames) -> Result<String, String>| match wants(spec, updater) {
        true => judge(look),
        false => skipped(&format!("{updater} is not among clair_updaters")),
    };
    let rated = wants(spec, "clair.cvss");
    let out = vec![
        Outcome::new(titles[0], judge(&clean)),
        Outcome::control(titles[1], if_wanted("osv/pypi", &language)),
        Outcome::control(titles[2], if_wanted("debian/updater", &|frames| distribution(frames, rated))),
        Outcome::control(titles[3], judge(&missing)),
    ];
    remove(spec, reach, &tag);
    out
}

/// Takes what was pushed out of the registry again, however far the script came. What cannot be removed is small, and the next check has
/// its own.
fn remove(spec: &Spec, reach: &dyn Reach, tag: &str) {
    let Ok(api) = Api::new(&spec.registry, reach) else { return };
    for probe in [CLEAN, BAD] {
        let Ok(Some(digest)) = api.digest(REPOSITORY, &format!("{tag}-{}", probe.name)) else { continue };
        if is_digest(&digest) {
            let request = api.request(Method::DELETE, &format!("/v2/{REPOSITORY}/manifests/{digest}"));
            let _ = api.send(request.basic_auth(&spec.registry.user, Some(spec.registry.password.expose())));
        }
    }
}
