//! What a deployment must look like from outside: the registry's digests, the containers of the application's host, its answers.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::Spec;
use super::site::{Api, first_line};
use crate::base::quote;
use crate::check::Reach;
use crate::check::run::Framed;

/// What Docker 20.10 to 26 push.
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json";
const DEADLINE: Duration = Duration::from_secs(60);

/// The digest that the registry has for a repository's tag.
pub fn digest(spec: &Spec, reach: &dyn Reach, repository: &str, tag: &str) -> Result<String, String> {
    let api = Api::new(&spec.registry, reach)?;
    let request = api
        .request(Method::HEAD, &format!("/v2/{repository}/manifests/{tag}"))
        .basic_auth(&spec.registry.user, Some(spec.registry.password.expose()))
        .header("Accept", MANIFEST);
    let answer = request.send().map_err(|e| crate::check::chain(&e))?;
    match answer.status().as_u16() {
        200 => answer
            .headers()
            .get("Docker-Content-Digest")
            .and_then(|digest| digest.to_str().ok())
            .map(str::to_owned)
            .ok_or_else(|| "the registry names no digest".into()),
        404 => Err(format!("the registry has no {repository}:{tag}")),
        status => Err(format!("the registry answers {status} for {repository}:{tag}")),
    }
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

/// The commit that the running application says it is made of. `None`: nothing answers there.
pub fn answering(spec: &Spec, reach: &dyn Reach) -> Result<Option<String>, String> {
    let api = Api::new(&spec.api, reach)?;
    // A refused connection is what an application that was never deployed looks like.
    let Ok(answer) = api.send(api.request(Method::GET, "/status")) else { return Ok(None) };
    let answer = api.read("/status", answer)?.ok_or("the application has no /status")?;
    commit_of(&answer).map(Some)
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
    use serde_json::json;

    use super::*;

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
