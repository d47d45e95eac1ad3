//! What a deployment must look like from outside: the registry's digests, the containers of the application's host, its answers.

use std::error::Error;
use std::io::ErrorKind;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::Spec;
use super::site::{Api, first_line};
use crate::base::quote;
use crate::check::run::Framed;
use crate::check::{Reach, chain};

const DEADLINE: Duration = Duration::from_secs(60);

/// The digest that the registry has for a repository's tag. `None` only when it says that it has none.
pub fn digest(spec: &Spec, reach: &dyn Reach, repository: &str, tag: &str) -> Result<Option<String>, String> {
    Api::new(&spec.registry, reach)?.digest(repository, tag)
}

/// The same for an image that must be there.
pub fn pushed(spec: &Spec, reach: &dyn Reach, repository: &str, tag: &str) -> Result<String, String> {
    digest(spec, reach, repository, tag)?.ok_or_else(|| format!("the registry has no {repository}:{tag}"))
}

/// The images that the application's containers run, by service: `REPOSITORY@DIGEST` as they were started.
pub fn running(spec: &Spec, reach: &dyn Reach) -> Result<Vec<(String, String)>, String> {
    let list = format!(
        "docker ps --no-trunc --filter label=com.docker.compose.project={} --format '{{{{.Label \"com.docker.compose.service\"}}}} {{{{.Image}}}}'",
        quote(&spec.app_project)
    );
    let frames = Framed::new().step("ps", &format!("timeout 30 {list}"), false).run(reach, &spec.app, Vec::new(), DEADLINE)?;
    let lines = frames.good("ps").map_err(|why| format!("docker ps on {} failed: {why}", spec.app))?;
    Ok(lines
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
        .map(|(service, image)| (service.to_owned(), image.to_owned()))
        .collect())
}

/// The commit that the running application says it is made of. `None`: none runs. That is only believed of a refused connection, and of a
/// host that says so itself: the firewall drops what comes for a port that no container publishes, which looks like a host that is gone.
pub fn answering(spec: &Spec, reach: &dyn Reach) -> Result<Option<String>, String> {
    let api = Api::new(&spec.api, reach)?;
    let answer = match api.request(Method::GET, "/status").send() {
        Ok(answer) => (answer.status().as_u16(), answer.text().map_err(|e| format!("{}: {}", spec.api.url, chain(&e)))?),
        Err(error) if is_refused(&error) => return Ok(None),
        Err(error) => {
            let why = chain(&error);
            let running = running(spec, reach).map_err(|more| format!("cannot ask the application: {}: {why}; {more}", spec.api.url))?;
            if running.is_empty() {
                return Ok(None);
            }
            return Err(format!("{} runs the application, but it does not answer: {}: {why}", spec.app, spec.api.url));
        }
    };
    let answer = api.read("/status", answer)?.ok_or("the application has no /status")?;
    commit_of(&answer).map(Some)
}

/// Whether the other side answered that nobody listens there.
fn is_refused(error: &(dyn Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(|cause| cause.kind() == ErrorKind::ConnectionRefused)
}

fn commit_of(status: &Value) -> Result<String, String> {
    let sha = status["myapplication"][0]["lastcommitsha"].as_str();
    sha.map(str::to_owned).ok_or_else(|| format!("/status names no commit: {}", first_line(&status.to_string())))
}

/// POSTs the website's button; the line that names a student.
pub fn student(spec: &Spec, reach: &dyn Reach) -> Result<String, String> {
    let site = Api::new(&spec.website, reach)?;
    let form = site.request(Method::POST, "/").header("Content-Type", "application/x-www-form-urlencoded").body("submit=List+Student");
    let (status, page) = site.send(form)?;
    if status != 200 {
        return Err(format!("the website answers {status} to its button: {}", first_line(&page)));
    }
    let line = page.lines().find(|line| line.contains(&spec.student) && line.contains("years old"));
    line.map(|line| without_tags(line).trim().chars().take(100).collect())
        .ok_or_else(|| format!("the website answers 200, but nobody called {} is on its list", spec.student))
}

/// A line of a page as a person reads it; only to show it.
fn without_tags(line: &str) -> String {
    line.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use serde_json::json;

    use super::super::site::Site;
    use super::super::tests::spec;
    use super::*;
    use crate::check::testing::{Ca, Scripted, TlsServer, framed, lab_ca};

    /// A check whose registry and application answer with this status.
    fn answers(ca: &Ca, status: u16) -> Spec {
        let server = TlsServer::start(ca, "lab.x", move |_| (status, vec![("Docker-Content-Digest".into(), "sha256:aa".into())], vec![]));
        at(server.address)
    }

    fn at(address: SocketAddr) -> Spec {
        let spec = spec();
        let to = |site: &Site| Site { url: format!("https://lab.x:{}", address.port()), address: [127, 0, 0, 1].into(), ..site.clone() };
        Spec { registry: to(&spec.registry), api: to(&spec.api), ..spec }
    }

    /// A port at which nobody listens.
    fn nobody() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    /// Whose application's host runs these containers.
    fn reach<'a>(ca: &'a Ca, containers: &'static str) -> Scripted<'a> {
        let exec = move |_: &str, script: &str, _: &[u8]| Ok(framed(script, &[("ps", containers, 0)]));
        Scripted { ca: Some(ca), ..Scripted::new(exec) }
    }

    #[test]
    fn only_404_means_that_the_registry_has_no_such_image() {
        let ca = lab_ca();
        let ask = |spec: &Spec| digest(spec, &reach(&ca, ""), "a/api", "abc");
        assert_eq!(ask(&answers(&ca, 200)), Ok(Some("sha256:aa".into())));
        assert_eq!(ask(&answers(&ca, 404)), Ok(None));
        for status in [401, 403, 429, 500, 503] {
            let why = ask(&answers(&ca, status)).unwrap_err();
            assert!(
                why.starts_with("cannot see whether the registry has a/api:abc: it answers ") && why.contains(&status.to_string()),
                "{why}"
            );
        }
        let why = ask(&at(nobody())).unwrap_err();
        assert!(why.contains("Connection refused"), "{why}");
        let why = ask(&answers(&lab_ca(), 404)).unwrap_err();
        assert!(crate::check::is_certificate_error(&why), "{why}");
        let why = pushed(&answers(&ca, 404), &reach(&ca, ""), "a/api", "abc").unwrap_err();
        assert_eq!(why, "the registry has no a/api:abc");
    }

    #[test]
    fn nothing_is_deployed_only_where_nobody_listens_or_the_host_says_so() {
        let ca = lab_ca();
        assert_eq!(answering(&at(nobody()), &reach(&ca, "api a/api@sha256:aa\n")), Ok(None));
        // Something is in the way: the host is asked.
        let other = lab_ca();
        assert_eq!(answering(&answers(&other, 200), &reach(&ca, "")), Ok(None));
        let why = answering(&answers(&other, 200), &reach(&ca, "api a/api@sha256:aa\n")).unwrap_err();
        assert!(why.starts_with("app runs the application, but it does not answer"), "{why}");
        let away = Scripted { ca: Some(&ca), ..Scripted::new(|_, _, _| Err("no route".into())) };
        let why = answering(&answers(&other, 200), &away).unwrap_err();
        assert!(why.starts_with("cannot ask the application") && why.ends_with("no route"), "{why}");
        for status in [401, 500] {
            let why = answering(&answers(&ca, status), &reach(&ca, "")).unwrap_err();
            assert!(why.contains(&format!("answers {status}")), "{why}");
        }
    }

    #[test]
    fn a_line_is_shown_without_its_tags() {
        assert_eq!(without_tags("  <p class=\"student\">- alice is 12 years old</p>").trim(), "- alice is 12 years old");
    }

    #[test]
    fn the_commit_is_read_from_the_documented_shape_only() {
        let good = json!({"myapplication": [{"version": "1.0", "lastcommitsha": "abc57858585", "description": "x"}]});
        assert_eq!(commit_of(&good).unwrap(), "abc57858585");
        for bad in [json!({}), json!({"myapplication": {"lastcommitsha": "a"}}), json!([])] {
            assert!(commit_of(&bad).unwrap_err().starts_with("/status names no commit"));
        }
    }
}
