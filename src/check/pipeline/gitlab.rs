//! What GitLab knows of a push: the delivery of its hook and the commit's statuses (REST API of 17.7).

use reqwest::Method;
use serde_json::Value;

use super::site::Api;
use crate::base::Secret;

/// One delivery of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its number.
    pub id: u64,
    /// What the receiver answered: `200`, or words such as `internal error`.
    pub response: String,
    /// The commit that was pushed (the request's `after`), if the log has it.
    pub sha: Option<String>,
}

/// A status of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The stage.
    pub name: String,
    /// `pending`, `running`, `success`, `failed`, `canceled`, `skipped`.
    pub status: String,
    /// Where it comes from.
    pub target: String,
}

/// GitLab as somebody with an API token sees one project.
pub struct Project<'a> {
    /// The site.
    pub api: &'a Api<'a>,
    /// The token.
    pub token: &'a Secret,
    /// Path with namespace.
    pub path: &'a str,
}

impl Project<'_> {
    fn get(&self, rest: &str) -> Result<Option<Value>, String> {
        let path = format!("/api/v4/projects/{}{rest}", self.path.replace('/', "%2F"));
        let answer = self.api.send(self.api.request(Method::GET, &path).header("PRIVATE-TOKEN", self.token.expose()))?;
        self.api.read(&path, answer)
    }

    fn list(&self, rest: &str) -> Result<Vec<Value>, String> {
        match self.get(rest)? {
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(format!("GitLab answers something else than a list to {rest}")),
            None => Err(format!("GitLab knows no {}{rest} (or the token may not see it)", self.path)),
        }
    }

    /// The latest deliveries of the hook that goes to `url`, newest first.
    pub fn deliveries(&self, url: &str) -> Result<Vec<Delivery>, String> {
        let hooks = self.list("/hooks")?;
        let hook = hooks.iter().find(|hook| hook["url"] == url).ok_or_else(|| format!("GitLab has no hook to {url}"))?;
        Ok(self.list(&format!("/hooks/{}/events?per_page=20", hook["id"]))?.iter().map(delivery).collect())
    }

    /// The statuses of a commit.
    pub fn statuses(&self, sha: &str) -> Result<Vec<Status>, String> {
        Ok(self.list(&format!("/repository/commits/{sha}/statuses?per_page=100"))?.iter().map(status).collect())
    }
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// `request_data` is an object in some versions and JSON in a text in others.
fn delivery(value: &Value) -> Delivery {
    let data = match &value["request_data"] {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        other => other.clone(),
    };
    Delivery {
        id: value["id"].as_u64().unwrap_or_default(),
        response: words(&value["response_status"]),
        sha: data["after"].as_str().map(str::to_owned),
    }
}

fn status(value: &Value) -> Status {
    Status { name: words(&value["name"]), status: words(&value["status"]), target: words(&value["target_url"]) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn deliveries_are_read_with_the_commit_in_either_form() {
        let known = Delivery { id: 5, response: "200".into(), sha: Some("abc".into()) };
        assert_eq!(delivery(&json!({"id": 5, "response_status": "200", "request_data": {"after": "abc"}})), known);
        assert_eq!(delivery(&json!({"id": 5, "response_status": 200, "request_data": "{\"after\": \"abc\"}"})), known);
        let failed = delivery(&json!({"id": 6, "response_status": "internal error", "request_data": {}}));
        assert_eq!((failed.response.as_str(), failed.sha), ("internal error", None));
    }

    #[test]
    fn a_status_without_a_target_is_read() {
        let read = status(&json!({"name": "build", "status": "running", "target_url": null}));
        assert_eq!(read, Status { name: "build".into(), status: "running".into(), target: String::new() });
    }
}
