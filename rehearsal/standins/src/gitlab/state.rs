//! What GitLab keeps: users, tokens, groups, projects, hooks, keys, statuses, settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Everything. Survives restarts.
#[derive(Debug, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct State {
    /// The last id of each table.
    ids: BTreeMap<String, u64>,
    pub users: Vec<User>,
    pub tokens: Vec<Token>,
    pub groups: Vec<Group>,
    pub projects: Vec<Project>,
    pub hooks: Vec<Hook>,
    pub deliveries: Vec<Delivery>,
    pub keys: Vec<Key>,
    pub statuses: Vec<Status>,
    /// Settings that differ from the defaults.
    pub settings: Map<String, Value>,
    /// When the settings were changed last, in Unix seconds, and what they were before: processes see a change only later.
    pub settings_before: Option<(i64, Map<String, Value>)>,
}

impl State {
    /// A new id of a table.
    pub fn id(&mut self, table: &str) -> u64 {
        let id = self.ids.entry(table.to_owned()).or_default();
        *id += 1;
        *id
    }
}

/// A user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct User {
    pub id: u64,
    pub username: String,
    pub name: String,
    pub email: String,
    /// bcrypt
    pub password: String,
    /// Changed by an administrator: the user must choose a new one before it is good for anything.
    pub password_expired: bool,
    pub admin: bool,
    /// `active`, `blocked`
    pub state: String,
    pub external: bool,
    pub can_create_group: bool,
    pub projects_limit: u64,
    pub created_at: String,
}

/// A personal access token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Token {
    pub id: u64,
    pub user: u64,
    pub name: String,
    /// SHA-256 of the token.
    pub digest: String,
    pub scopes: Vec<String>,
    pub revoked: bool,
    /// A date.
    pub expires_at: String,
    pub created_at: String,
}

/// Members: user id and access level.
pub type Members = BTreeMap<u64, u64>;

/// A group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Group {
    pub id: u64,
    pub path: String,
    pub name: String,
    pub description: String,
    pub visibility: String,
    pub members: Members,
    pub created_at: String,
}

/// A project.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Project {
    pub id: u64,
    /// Group or user.
    pub namespace: String,
    pub path: String,
    pub name: String,
    /// What the API gives back as it was set: description, visibility, default_branch, switches.
    pub fields: Map<String, Value>,
    pub members: Members,
    pub protected: Vec<Protected>,
    pub created_at: String,
    pub last_activity_at: String,
}

impl Project {
    /// `pozos/student_list`
    pub fn full_path(&self) -> String {
        format!("{}/{}", self.namespace, self.path)
    }

    /// A field as text.
    pub fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }
}

/// A protected branch or wildcard.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Protected {
    pub id: u64,
    pub name: String,
    /// Least access level that may push; 0: nobody.
    pub push: u64,
    pub merge: u64,
    pub force: bool,
}

/// A hook of a project.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hook {
    pub id: u64,
    pub project: u64,
    pub url: String,
    /// Never told by the API; lost when `url` changes without it.
    pub token: Option<String>,
    /// Everything that the API gives back as it was set.
    pub fields: Map<String, Value>,
    pub failures: u64,
    /// `executable`, `temporarily_disabled`, `disabled`
    pub alert_status: String,
    /// Unix seconds.
    pub disabled_until: Option<i64>,
    pub created_at: String,
}

/// One attempt to deliver a hook.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Delivery {
    pub id: u64,
    pub hook: u64,
    /// As the API gives it back.
    pub log: Map<String, Value>,
}

/// A deploy key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Key {
    pub id: u64,
    pub title: String,
    /// `ssh-ed25519 AAAA…`, without a comment.
    pub key: String,
    /// Projects, and whether it may push there.
    pub projects: BTreeMap<u64, bool>,
    pub created_at: String,
}

/// A commit status.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    pub project: u64,
    pub sha: String,
    /// As the API gives it back.
    pub fields: Map<String, Value>,
}

/// Settings as GitLab has them out of the box, as far as they are known here.
pub fn default_settings() -> Map<String, Value> {
    let all = json!({
        "id": 1, "signup_enabled": true, "require_admin_approval_after_user_signup": true, "password_authentication_enabled_for_web": true,
        "password_authentication_enabled_for_git": true, "allow_local_requests_from_web_hooks_and_services": false,
        "allow_local_requests_from_system_hooks": true, "outbound_local_requests_whitelist": [], "dns_rebinding_protection_enabled": true,
        "deny_all_requests_except_allowed": false, "default_branch_name": null, "default_project_visibility": "private",
        "default_group_visibility": "private", "default_project_creation": 2, "default_projects_limit": 100000, "can_create_group": true, "gravatar_enabled": true,
        "usage_ping_enabled": true, "version_check_enabled": true, "auto_devops_enabled": true, "shared_runners_enabled": true,
        "restricted_visibility_levels": [], "home_page_url": null, "session_expire_delay": 10080, "import_sources": [],
        "hashed_storage_enabled": true, "whats_new_variant": "all_tiers", "require_two_factor_authentication": false, "admin_mode": false,
        "user_default_external": false, "user_oauth_applications": true, "disable_feed_token": false, "public_projects_limit": null,
        "max_attachment_size": 100, "first_day_of_week": 0, "plantuml_enabled": false, "snowplow_enabled": false, "gitpod_enabled": false,
        "remember_me_enabled": true, "default_branch_protection": 2, "receive_max_input_size": null, "push_event_hooks_limit": 3
    });
    match all {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The settings with what was changed.
pub fn settings(changed: &Map<String, Value>) -> Map<String, Value> {
    let mut all = default_settings();
    all.extend(changed.clone());
    all
}
