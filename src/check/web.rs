//! Requests that a host makes with its own curl: what it trusts, its proxy and its way out are the ones that count.

use std::fmt::Write as _;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::Reach;
use super::run::{Framed, last_line};
use crate::base::Payload;

/// Seconds for one request.
const SECONDS: u64 = 30;

/// One request. All of it travels on stdin.
#[derive(Debug, Clone, Default)]
pub(super) struct Request {
    pub url: String,
    /// Names with values; values may be secret.
    pub headers: Vec<(String, String)>,
    /// Sent as a form by POST, if there is any.
    pub form: Vec<(String, String)>,
    /// Sent as it is by POST, if there is any.
    pub body: Option<String>,
    /// `http://proxy.example:3128`, if it has to go through one.
    pub proxy: Option<String>,
    /// File on the host with the authorities that are trusted; none: the host's own.
    pub ca: Option<String>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    /// The JSON of an answer with this status.
    pub fn json(&self, status: u16) -> Result<Value, String> {
        if self.status != status {
            return Err(format!("answered with {}, must be {status}: {}", self.status, last_line(&self.body)));
        }
        serde_json::from_str(&self.body).map_err(|why| format!("answered with something else than JSON: {why}"))
    }
}

/// A value in double quotes, as curl's configuration wants it.
fn quoted(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
    format!("\"{escaped}\"")
}

/// A word of a path or a query.
pub(super) fn word(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn config(request: &Request) -> String {
    let mut text = format!("silent\nshow-error\ngloboff\nconnect-timeout = 10\nmax-time = {SECONDS}\nurl = {}\n", quoted(&request.url));
    match &request.proxy {
        Some(proxy) => _ = writeln!(text, "proxy = {}", quoted(proxy)),
        None => text.push_str("noproxy = \"*\"\n"),
    }
    if let Some(ca) = &request.ca {
        _ = writeln!(text, "cacert = {}", quoted(ca));
    }
    for (name, value) in &request.headers {
        _ = writeln!(text, "header = {}", quoted(&format!("{name}: {value}")));
    }
    let form: Vec<String> = request.form.iter().map(|(name, value)| format!("{}={}", word(name), word(value))).collect();
    if let Some(body) = request.body.clone().or_else(|| (!form.is_empty()).then(|| form.join("&"))) {
        _ = writeln!(text, "data-binary = {}", quoted(&body));
    }
    text
}

/// Makes all requests from one host in one exec; what they say, in their order. The outer error: the host could not be asked.
pub(super) fn ask(reach: &dyn Reach, host: &str, requests: &[Request]) -> Result<Vec<Result<Answer, String>>, String> {
    let mut framed = Framed::new().prelude(
        "poclab_t=$(mktemp -d /tmp/poclab-check.XXXXXX) || exit 1\n\
         trap 'rm -rf \"$poclab_t\"' EXIT\ntrap 'exit 1' HUP INT TERM PIPE\n",
    );
    let mut stdin = Vec::new();
    for (index, request) in requests.iter().enumerate() {
        let config = config(request);
        let shell = format!(
            "s=$(head -c {} | curl -q -K - -o \"$poclab_t/{index}\" -w '%{{http_code}}' 2>\"$poclab_t/err\") || s=000\n\
             if [ \"$s\" = 000 ]; then tail -n 1 \"$poclab_t/err\"; else echo \"$s\"; fi\n[ -e \"$poclab_t/{index}\" ] || : >\"$poclab_t/{index}\"",
            config.len()
        );
        framed = framed.step(&format!("status{index}"), &shell, true);
        stdin.push(Payload::Bytes(config.into_bytes()));
    }
    for index in 0..requests.len() {
        framed = framed.ask(&format!("body{index}"), &format!("cat \"$poclab_t/{index}\""));
    }
    let deadline = Duration::from_secs(requests.len() as u64 * SECONDS + 30);
    let frames = framed.run(reach, host, stdin, deadline)?;
    let answer = |index: usize| -> Result<Answer, String> {
        let said = frames.good(&format!("status{index}"))?;
        let status = said.parse().map_err(|_| format!("no answer: {}", last_line(&said)))?;
        Ok(Answer { status, body: frames.get(&format!("body{index}"))?.text() })
    };
    Ok((0..requests.len()).map(answer).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Scripted, framed, sh, shellcheck};

    fn request() -> Request {
        Request {
            url: "https://api.example/api/v1/query?query=avg%3Ax".to_owned(),
            headers: vec![("DD-API-KEY".to_owned(), "se\"cret".to_owned())],
            ..Request::default()
        }
    }

    #[test]
    fn a_request_is_on_stdin_alone() {
        let reach = Scripted::new(|_, script, stdin| {
            shellcheck(script);
            assert!(!script.contains("cret") && !script.contains("api.example"), "{script}");
            let sent = String::from_utf8(stdin.to_vec()).unwrap();
            assert!(sent.contains("header = \"DD-API-KEY: se\\\"cret\"\n") && sent.contains("url = \"https://api.example/"), "{sent}");
            Ok(framed(script, &[("status0", "403\n", 0), ("body0", "{\"errors\":[\"Forbidden\"]}", 0)]))
        });
        let answers = ask(&reach, "deploy", &[request()]).unwrap();
        let answer = answers[0].as_ref().unwrap();
        assert_eq!(answer.status, 403);
        assert_eq!(answer.json(403).unwrap()["errors"][0], "Forbidden");
        assert!(answer.json(200).unwrap_err().starts_with("answered with 403, must be 200"));
    }

    #[test]
    fn no_answer_is_told_in_curls_words() {
        // A port that nothing listens on.
        let reach = Scripted::new(|_, script, stdin| Ok(sh(&["sh", "-c"], script, stdin)));
        let nothing = Request { url: "http://127.0.0.1:1/".to_owned(), ..Request::default() };
        let answers = ask(&reach, "deploy", &[nothing.clone(), nothing]).unwrap();
        for answer in answers {
            let why = answer.unwrap_err();
            assert!(why.starts_with("no answer: curl: (7)"), "{why}");
        }
    }

    #[test]
    fn who_is_trusted_can_be_said() {
        let lab = Request { ca: Some("/etc/lab-ca.pem".to_owned()), ..request() };
        assert!(config(&lab).contains("cacert = \"/etc/lab-ca.pem\"\n") && !config(&request()).contains("cacert"));
    }

    #[test]
    fn forms_are_encoded() {
        let form = Request { form: vec![("search".to_owned(), "search a=\"b\" & c".to_owned())], ..Request::default() };
        assert!(config(&form).contains("data-binary = \"search=search%20a%3D%22b%22%20%26%20c\"\n"));
    }
}
