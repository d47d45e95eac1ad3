//! `POST /project/NAME`: GitLab's web hook, with the rules of the GitLab plugin (BuildWebHookAction, ActionResolver).

use std::collections::BTreeMap;

use serde_json::Value;

use super::auth::same;
use super::record::Cause;
use super::state::Jenkins;

/// What is answered: status and text.
pub type Answer = (u16, String);

/// A request as it came.
pub struct Hook<'a> {
    /// Name of the job, from the address.
    pub job: &'a str,
    /// `X-Gitlab-Event`
    pub event: Option<&'a str>,
    /// `X-Gitlab-Token`
    pub token: Option<&'a str>,
    /// The user that is logged in, if any.
    pub user: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// Takes a hook. An unknown job is a 404; an event that is missing or not known is nothing at all, with a 200; a wrong token is a
/// 401; without a token in the job, a user that may build is needed.
pub fn take(jenkins: &Jenkins, hook: &Hook<'_>) -> Answer {
    let Some(job) = jenkins.job(hook.job) else { return (404, "Not Found".into()) };
    if hook.event != Some("Push Hook") {
        return (200, String::new());
    }
    let Some(trigger) = &job.trigger else { return (200, String::new()) };
    match &trigger.secret {
        Some(secret) if hook.token.is_some_and(|token| same(token, secret)) => {}
        Some(_) => return (401, "Invalid token".into()),
        None if !jenkins.config().authenticated_endpoint => {}
        None if jenkins.config().matrix.allows(hook.user, "Job/Build") => {}
        None => {
            let who = hook.user.unwrap_or("anonymous");
            return (403, format!("{who} is missing the Job/Build permission"));
        }
    }
    let Ok(push) = serde_json::from_slice::<Value>(hook.body) else { return (500, "the push event cannot be read".into()) };
    let text = |key: &str| push[key].as_str().unwrap_or_default().to_owned();
    let (reference, after) = (text("ref"), text("after"));
    let Some(branch) = reference.strip_prefix("refs/heads/") else { return (200, String::new()) };
    let deleted = after.chars().all(|c| c == '0');
    let wanted = trigger.all_branches || trigger.branches.iter().any(|name| name == branch);
    let message = push["commits"].as_array().and_then(|commits| commits.last()).map(|last| last["message"].to_string()).unwrap_or_default();
    if !trigger.on_push || deleted || !wanted || message.contains("[ci-skip]") {
        return (200, String::new());
    }
    if !(after.len() == 40 && after.chars().all(|c| c.is_ascii_hexdigit())) {
        return (500, "the push event names no commit".into());
    }
    let who = match text("user_name") {
        name if name.is_empty() => text("user_username"),
        name => name,
    };
    let project = push["project_id"].as_u64().or_else(|| push["project"]["id"].as_u64()).map(|id| id.to_string()).unwrap_or_default();
    let variables: BTreeMap<String, String> = [
        ("gitlabBranch", branch.to_owned()),
        ("gitlabSourceBranch", branch.to_owned()),
        ("gitlabTargetBranch", branch.to_owned()),
        ("gitlabActionType", "PUSH".into()),
        ("gitlabBefore", text("before")),
        ("gitlabAfter", after),
        ("gitlabUserName", who.clone()),
        ("gitlabUserUsername", text("user_username")),
        ("gitlabProjectId", project),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    let waiting = super::record::Build {
        job: job.name.clone(),
        number: 0,
        queue_id: 0,
        started: 0,
        duration: 0,
        result: None,
        cause: Cause::GitLab(who.clone()),
        hook: variables.clone(),
        commit: None,
        remote: String::new(),
        stages: Vec::new(),
        artifacts: Vec::new(),
        tests: None,
    };
    if let Some(name) = &trigger.pending_name
        && let Err(why) = super::gitlab::report(jenkins, &waiting, None, name, "pending")
    {
        eprintln!("WARNING Failed to update Gitlab commit status for '{name}' to 'pending': {why}");
    }
    jenkins.enqueue(&job.name, Cause::GitLab(who), variables);
    (200, String::new())
}
