//! Commit statuses in GitLab, as the GitLab plugin reports them.

use std::time::Duration;

use serde_json::json;

use super::credentials::Kind;
use super::record::Build;
use super::state::Jenkins;

/// Reports a status of a build's commit. Errors are for the console: they do not change the build's result.
pub fn report(jenkins: &Jenkins, build: &Build, connection: Option<&str>, name: &str, state: &str) -> Result<(), String> {
    let config = jenkins.config();
    let job = jenkins.job(&build.job);
    let connection = connection.map(str::to_owned).or_else(|| job.as_ref()?.connection.clone());
    let connection = connection.ok_or("No GitLab connection configured")?;
    let gitlab = config.gitlab.get(&connection).ok_or_else(|| format!("there is no GitLab connection `{connection}`"))?;
    let credential = config.credentials.iter().find(|credential| credential.id == gitlab.token_id);
    let Some(Kind::GitLabToken { token }) = credential.map(|credential| &credential.kind) else {
        return Err(format!("there is no GitLab API token `{}`", gitlab.token_id));
    };
    let commit = build.commit.as_ref().or_else(|| build.hook.get("gitlabAfter")).ok_or("the commit is not known yet")?;
    let project = match build.hook.get("gitlabProjectId") {
        Some(id) => id.clone(),
        None => job.as_ref().and_then(|job| project_of(&job.url)).ok_or("the GitLab project is not known")?,
    };
    let project = percent_encoding::utf8_percent_encode(&project, percent_encoding::NON_ALPHANUMERIC);
    let branch = build.hook.get("gitlabBranch").cloned().or_else(|| job.map(|job| job.branch)).unwrap_or_default();
    let body = json!({
        "state": state,
        "name": name,
        "ref": branch,
        "target_url": format!("{}display/redirect", build.url(&config.url)),
        "description": name,
    });
    let pem = std::fs::read(&jenkins.authorities).map_err(|e| format!("{}: {e}", jenkins.authorities.display()))?;
    let authorities = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| format!("the trusted authorities cannot be read: {e}"))?;
    let client = authorities
        .into_iter()
        .fold(reqwest::blocking::Client::builder(), reqwest::blocking::ClientBuilder::add_root_certificate)
        .timeout(Duration::from_secs(30))
        .no_proxy()
        .build()
        .map_err(|e| chain(&e))?;
    let answer = client
        .post(format!("{}/api/v4/projects/{project}/statuses/{commit}", gitlab.url))
        .header("PRIVATE-TOKEN", token.as_str())
        .header("Content-Type", "application/json")
        .body(body.to_string())
        .send()
        .map_err(|e| chain(&e))?;
    match answer.status().as_u16() {
        200 | 201 => Ok(()),
        // GitLab refuses a change to the state that it has already; the plugin ignores that, too.
        400 if answer.text().is_ok_and(|text| text.contains("Cannot transition status")) => Ok(()),
        status => Err(format!("HTTP {status} from {}", gitlab.url)),
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

/// `group/project` of `git@host:group/project.git` or `ssh://git@host/group/project.git`.
pub fn project_of(url: &str) -> Option<String> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => url.split_once(':')?.1,
    };
    let path = path.trim_start_matches('/').trim_end_matches(".git");
    (!path.is_empty()).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::project_of;

    #[test]
    fn projects_of_addresses() {
        assert_eq!(project_of("git@g.example:pozos/student_list.git").as_deref(), Some("pozos/student_list"));
        assert_eq!(project_of("ssh://git@g.example:22/a/b").as_deref(), Some("a/b"));
        assert_eq!(project_of("nothing"), None);
    }
}
