//! What GitLab answers over HTTPS.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use reqwest::blocking::{Client, RequestBuilder};
use serde_json::{Value, json};

use super::{Spec, verdict};
use crate::base::Secret;
use crate::base::frame::nonce;
use crate::check::reach::{chain, is_certificate_error};
use crate::check::{Outcome, Reach};

struct Api<'a> {
    spec: &'a Spec,
    client: Client,
}

/// A status and what came with it.
struct Answer {
    status: u16,
    body: Value,
}

impl Answer {
    /// The body, if the status is the expected one.
    fn good(self, what: &str, status: u16) -> Result<Value, String> {
        if self.status == status {
            return Ok(self.body);
        }
        Err(format!("{what} is answered with {}, must be {status}", self.status))
    }

    fn text(&self, field: &str) -> String {
        self.body.get(field).map_or_else(|| "nothing".to_owned(), |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }
}

/// All lines, in the order in which they matter.
pub(super) fn all(spec: &Spec, reach: &dyn Reach) -> Vec<Outcome> {
    let name = &spec.name;
    let client = match reach.http(name, spec.at()) {
        Ok(client) => client,
        Err(why) => return vec![Outcome::new(format!("{name} answers"), verdict(Err(why)))],
    };
    let api = Api { spec, client };
    let (project, branch) = (&spec.project, &spec.branch);
    vec![
        Outcome::new(format!("{name} is ready, with a certificate of the lab CA"), verdict(api.ready())),
        Outcome::control(format!("{name} is not trusted without the lab CA"), verdict(untrusted(spec, reach))),
        Outcome::new(format!("{name} is GitLab {}", spec.version), verdict(api.version())),
        Outcome::control(format!("{name} refuses a wrong token"), verdict(api.wrong_token())),
        Outcome::new("jenkins' token is jenkins'", verdict(api.whose())),
        Outcome::control("jenkins' token may not read the settings", verdict(api.not_admin())),
        Outcome::new("nobody can register", verdict(api.closed())),
        Outcome::new(format!("developer reads {project} by git over HTTPS"), verdict(api.code(true))),
        Outcome::control(format!("nobody reads {project} without a login"), verdict(api.code(false))),
        Outcome::new(format!("a push to {project} is told to Jenkins"), verdict(api.hook())),
        Outcome::control("a hook to another address of the lab is refused", verdict(api.other_hook())),
        Outcome::new(format!("{branch} is protected"), verdict(api.protected())),
        Outcome::control(format!("{branch} cannot be deleted"), verdict(api.not_deleted())),
        Outcome::new("the deploy key may only read", verdict(api.deploy_key())),
    ]
}

fn untrusted(spec: &Spec, reach: &dyn Reach) -> Result<String, String> {
    let api = Api { spec, client: reach.http_without_ca(&spec.name, spec.at())? };
    match api.ask(Method::GET, "/-/readiness", None) {
        Err(why) if is_certificate_error(&why) => Ok("the handshake fails: the certificate's issuer is unknown".into()),
        Err(why) => Err(format!("fails for another reason than the certificate: {why}")),
        Ok(answer) => Err(format!("answers {} to a client that trusts nobody", answer.status)),
    }
}

impl Api<'_> {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let port = if self.spec.port == 443 { String::new() } else { format!(":{}", self.spec.port) };
        self.client.request(method, format!("https://{}{port}{path}", self.spec.name))
    }

    fn send(request: RequestBuilder) -> Result<Answer, String> {
        let answer = request.send().map_err(|why| chain(&why))?;
        let status = answer.status().as_u16();
        // An answer that is no JSON is told by its status.
        Ok(Answer { status, body: answer.text().ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default() })
    }

    fn ask(&self, method: Method, path: &str, token: Option<&Secret>) -> Result<Answer, String> {
        let request = self.request(method, path);
        Self::send(match token {
            Some(token) => request.header("PRIVATE-TOKEN", token.expose()),
            None => request,
        })
    }

    /// As the administrator.
    fn read(&self, path: &str) -> Result<Value, String> {
        self.ask(Method::GET, &format!("/api/v4{path}"), Some(&self.spec.token))?.good(path, 200)
    }

    fn project(&self) -> String {
        format!("/projects/{}", utf8_percent_encode(&self.spec.project, NON_ALPHANUMERIC))
    }

    fn ready(&self) -> Result<String, String> {
        let answer = self.ask(Method::GET, "/-/readiness", None)?;
        match (answer.status, answer.text("status").as_str()) {
            (200, "ok") => Ok("/-/readiness says ok".into()),
            (404, _) => Err("/-/readiness is 404: this machine is not in gitlab_monitoring".into()),
            (status, word) => Err(format!("/-/readiness is answered with {status}, status {word}")),
        }
    }

    fn version(&self) -> Result<String, String> {
        let version = self.ask(Method::GET, "/api/v4/version", Some(&self.spec.token))?;
        let text = version.text("version");
        version.good("/version with poclab's token", 200)?;
        if text.starts_with(&self.spec.version) { Ok(text) } else { Err(format!("it says {text}")) }
    }

    fn wrong_token(&self) -> Result<String, String> {
        let wrong = Secret::new(format!("not-{}-{}", nonce(), nonce()));
        self.ask(Method::GET, "/api/v4/version", Some(&wrong))?.good("/version with a wrong token", 401).map(|_| "401".into())
    }

    fn whose(&self) -> Result<String, String> {
        let answer = self.ask(Method::GET, "/api/v4/user", Some(&self.spec.status_token))?;
        let user = answer.text("username");
        answer.good("/user", 200)?;
        if user == "jenkins" { Ok("/user says jenkins".into()) } else { Err(format!("/user says {user}")) }
    }

    fn not_admin(&self) -> Result<String, String> {
        let answer = self.ask(Method::GET, "/api/v4/application/settings", Some(&self.spec.status_token))?;
        answer.good("/application/settings", 403).map(|_| "403".into())
    }

    fn closed(&self) -> Result<String, String> {
        let settings = self.read("/application/settings")?;
        if settings.get("signup_enabled") != Some(&json!(false)) {
            return Err("the setting signup_enabled is not false".into());
        }
        match self.ask(Method::GET, "/users/sign_up", None)?.status {
            200 => Err("/users/sign_up shows a form".into()),
            status @ (302 | 404) => Ok(format!("signup_enabled is false, /users/sign_up answers {status}")),
            status => Err(format!("/users/sign_up answers {status}")),
        }
    }

    /// The first thing that git asks for.
    fn code(&self, login: bool) -> Result<String, String> {
        let path = format!("/{}.git/info/refs?service=git-upload-pack", self.spec.project);
        let request = self.request(Method::GET, &path);
        let request = if login { request.basic_auth("developer", Some(self.spec.developer_password.expose())) } else { request };
        let status = if login { 200 } else { 401 };
        Self::send(request)?.good("git's request", status).map(|_| status.to_string())
    }

    fn hook(&self) -> Result<String, String> {
        let hooks = self.read(&format!("{}/hooks?per_page=100", self.project()))?;
        let here = |hook: &&Value| hook.get("url").and_then(Value::as_str) == Some(&self.spec.hook_url);
        let found: Vec<&Value> = hooks.as_array().into_iter().flatten().filter(here).collect();
        let [hook] = found.as_slice() else { return Err(format!("{} hooks to {}, must be one", found.len(), self.spec.hook_url)) };
        for (field, want) in [("push_events", json!(true)), ("enable_ssl_verification", json!(true)), ("alert_status", json!("executable"))]
        {
            let have = hook.get(field).cloned().unwrap_or_default();
            if have != want {
                return Err(format!("the hook's {field} is {have}, must be {want}"));
            }
        }
        Ok(format!("one hook to {}, for pushes, with its certificate verified", self.spec.hook_url))
    }

    /// GitLab's own address is as good as any: nothing in the lab but Jenkins may be asked for anything.
    fn other_hook(&self) -> Result<String, String> {
        let path = format!("/api/v4{}/hooks", self.project());
        let body =
            json!({"url": format!("https://{}:{}/poclab-control", self.spec.address, self.spec.port), "push_events": false}).to_string();
        let request = self.request(Method::POST, &path).header("PRIVATE-TOKEN", self.spec.token.expose());
        let answer = Self::send(request.header("Content-Type", "application/json").body(body))?;
        if answer.status == 201
            && let Some(id) = answer.body.get("id")
        {
            self.ask(Method::DELETE, &format!("{path}/{id}"), Some(&self.spec.token))?;
        }
        answer.good("a hook to GitLab's own address", 422).map(|_| "422".into())
    }

    fn protected(&self) -> Result<String, String> {
        let rule = self.read(&format!("{}/protected_branches/{}", self.project(), self.spec.branch))?;
        match rule.get("allow_force_push") {
            Some(Value::Bool(false)) => Ok("a rule for it, without force pushes".into()),
            other => Err(format!("its rule's allow_force_push is {}, must be false", other.cloned().unwrap_or_default())),
        }
    }

    fn not_deleted(&self) -> Result<String, String> {
        let path = format!("/api/v4{}/repository/branches/{}", self.project(), self.spec.branch);
        match self.ask(Method::DELETE, &path, Some(&self.spec.status_token))?.status {
            status @ (403 | 405) => Ok(status.to_string()),
            status => Err(format!("deleting it is answered with {status}, must be 403 or 405")),
        }
    }

    fn deploy_key(&self) -> Result<String, String> {
        let keys = self.read(&format!("{}/deploy_keys?per_page=100", self.project()))?;
        let keys: Vec<&Value> = keys.as_array().into_iter().flatten().collect();
        let title = |key: &Value| key.get("title").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(key) = keys.iter().find(|key| key.get("can_push") != Some(&json!(false))) {
            return Err(format!("the deploy key `{}` may push", title(key)));
        }
        match keys.iter().find(|key| title(key) == "jenkins") {
            Some(_) => Ok("the key `jenkins`, read only; no other key may push".into()),
            None => Err("there is no deploy key `jenkins`".into()),
        }
    }
}
