//! Objects of an API and branches of a git server: the API is a small server in this process, the git server a folder.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use poclab::base::quote;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::files::name;
use super::host::Host;
use super::property::{Property, Trial};

/// What the API keeps: `/settings`, and things by number.
struct Things {
    settings: Map<String, Value>,
    things: BTreeMap<u64, Map<String, Value>>,
    last: u64,
}

const TOKEN: &str = "it-is-a-token-of-the-api";

/// Starts an API of its own for a trial; its address. It never ends.
fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let settings = Map::from_iter([("id".to_owned(), json!(1)), ("open".to_owned(), json!(true)), ("list".to_owned(), json!([]))]);
    let state = Arc::new(Mutex::new(Things { settings, things: BTreeMap::new(), last: 0 }));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = state.clone();
            std::thread::spawn(move || while serve(&stream, &state).is_some() {});
        }
    });
    url
}

fn serve(mut stream: &TcpStream, state: &Mutex<Things>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut known) = (0, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        match header.trim().split_once(": ") {
            None => break,
            Some((key, value)) if key.eq_ignore_ascii_case("content-length") => length = value.parse().ok()?,
            Some((key, value)) if key.eq_ignore_ascii_case("token") => known = value == TOKEN,
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: Map<String, Value> = serde_json::from_slice(&body).unwrap_or_default();
    let (status, answer) =
        if known { state.lock().unwrap().answer(&method, &path, body) } else { (401, json!({"message": "401 Unauthorized"})) };
    let text = answer.to_string();
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}", text.len()).ok()
}

impl Things {
    fn answer(&mut self, method: &str, path: &str, mut body: Map<String, Value>) -> (u16, Value) {
        // Taken, never told.
        body.remove("secret");
        let path = path.split('?').next().unwrap_or_default();
        let id = path.strip_prefix("/things/").and_then(|id| id.parse::<u64>().ok());
        match (method, path, id) {
            ("GET", "/settings", _) => (200, json!(self.settings)),
            ("PUT", "/settings", _) => {
                self.settings.extend(body);
                (200, json!(self.settings))
            }
            ("GET", "/things", _) => (200, self.things.values().cloned().map(Value::Object).collect()),
            ("POST", "/things", _) => {
                self.last += 1;
                // Not in the first place: what reads it must look for it.
                let mut thing = body;
                thing.insert("inside".to_owned(), json!({"id": 999, "text": "\"id\": 7"}));
                thing.insert("id".to_owned(), json!(self.last));
                self.things.insert(self.last, thing.clone());
                (201, Value::Object(thing))
            }
            (method, _, Some(id)) => match (method, self.things.get_mut(&id)) {
                (_, None) => (404, json!({"message": "404 Not found"})),
                ("GET", Some(thing)) => (200, json!(thing)),
                ("PUT", Some(thing)) => {
                    thing.extend(body);
                    (200, json!(thing))
                }
                ("DELETE", Some(_)) => {
                    self.things.remove(&id);
                    (204, Value::Null)
                }
                _ => (405, json!({})),
            },
            _ => (404, json!({"message": "404 Not found"})),
        }
    }
}

/// What a person does with the API.
fn by_hand(url: &str, method: &str, path: &str, body: &Value) -> String {
    format!(
        "curl -q -sS -f -o /dev/null -X {method} -H 'Token: {TOKEN}' -H 'Content-Type: application/json' --data-binary {} {}",
        quote(&body.to_string()),
        quote(&format!("{url}{path}"))
    )
}

/// What makes sh ask for the number of a thing before it does something with it.
fn number(url: &str, name: &str) -> String {
    format!(
        "n=$(curl -q -sS -f -H 'Token: {TOKEN}' {url}/things | python3 -c 'import json,sys; print([t[\"id\"] for t in json.load(sys.stdin) if t[\"name\"] == sys.argv[1]][0])' {})\n",
        quote(name)
    )
}

pub fn api_object() -> Property {
    fn trials(_: &Host) -> BoxedStrategy<Trial> {
        let text = "[^…\\p{Cc}]{0,24}";
        (btree_map("[a-z]{1,8}", (text, any::<bool>(), any::<u32>()), 1..3), vec("[a-z]{1,6}", 0..4), "[ -~]{8,24}")
            .prop_map(|(things, list, secret)| {
                let url = server();
                let api = json!({"url": url, "headers": {"Token": TOKEN}});
                let secret = format!("secret {secret}");
                let mut trial = Trial { secrets: vec![secret.clone(), TOKEN.to_owned()], ..Trial::default() };
                trial.after = "rm -rf /var/lib/poclab/api\n".to_owned();
                trial.specs.push(json!({
                    "what": "settings", "api": api, "read": "/settings", "want": {"open": false, "list": list}, "update": {"path": "/settings"}
                }));
                trial.hurt(0, by_hand(&url, "PUT", "/settings", &json!({"open": true})), &["open is true, want false"]);
                trial.hurt(0, by_hand(&url, "PUT", "/settings", &json!({"other": true})), &[]);
                trial.hurt(0, by_hand(&url, "PUT", "/settings", &json!({"list": list.iter().rev().collect::<Vec<_>>()})), &[]);
                trial.hurt(0, by_hand(&url, "PUT", "/settings", &json!({"list": ["zzzzzzz"]})), &["list is [\"zzzzzzz\"], want …"]);
                for (name, (text, flag, count)) in things {
                    let of = trial.specs.len();
                    let what = format!("thing {name}");
                    trial.specs.push(json!({
                        "what": what, "api": api, "list": "/things", "match": {"name": name}, "want": {"text": text, "flag": flag, "deep": {"count": count}},
                        "write_only": {"secret": secret}, "delete": "/things/{id}", "update": {"path": "/things/{id}"},
                        "create": {"path": "/things", "body": {"name": name, "text": text, "flag": flag, "deep": {"count": count}}, "numbers": {"setting": {"read": "/settings"}}},
                    }));
                    let ask = number(&url, &name);
                    let change = |body: &Value| format!("{ask}{}\"$n\"", by_hand(&url, "PUT", "/things/", body));
                    trial.hurt(of, change(&json!({"text": "other…"})), &["text is \"other…"]);
                    trial.hurt(of, change(&json!({"flag": !flag})), &[&format!("flag is {}, want {flag}", !flag)]);
                    trial.hurt(of, change(&json!({"deep": {"count": 0.5, "more": 1}})), &[&format!("deep.count is 0.5, want {count}")]);
                    trial.hurt(of, change(&json!({"more": {"a": 1}})), &[]);
                    trial.hurt(of, format!("{ask}{}\"$n\"", by_hand(&url, "DELETE", "/things/", &Value::Null)), &["does not exist"]);
                    let anew = json!({"name": name, "text": text, "flag": flag, "deep": {"count": count}});
                    let forgotten = "secret: not what was sent last (the API never tells it)";
                    trial.hurt(of, by_hand(&url, "POST", "/things", &anew), &["is there 2 times, want it once"]);
                    let replaced = format!("{ask}{}\"$n\"\n{}", by_hand(&url, "DELETE", "/things/", &Value::Null), by_hand(&url, "POST", "/things", &anew));
                    trial.hurt(of, replaced, &[forgotten]);
                    let hash = &poclab_hash(&what)[..16];
                    trial.hurt(of, format!("rm /var/lib/poclab/api/{hash}"), &[forgotten]);
                    trial.hurt(of, format!("echo x >/var/lib/poclab/api/{hash}"), &[forgotten]);
                }
                let gone = trial.specs.len();
                trial.specs.push(json!({"what": "no thing zz9", "api": api, "list": "/things", "match": {"name": "zz9"}, "state": "absent", "delete": "/things/{id}"}));
                let stray = by_hand(&url, "POST", "/things", &json!({"name": "zz9"}));
                trial.hurt(gone, stray.clone(), &["is there, want it gone"]);
                trial.hurt(gone, format!("{stray}\n{stray}"), &["is there 2 times, want it gone"]);
                trial
            })
            .boxed()
    }
    Property { cases: 1, trials }
}

/// SHA-256 in hexadecimal digits, by the tool that hosts have.
fn poclab_hash(text: &str) -> String {
    let mut child =
        std::process::Command::new("sha256sum").stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

pub fn git_branch() -> Property {
    fn trials(host: &Host) -> BoxedStrategy<Trial> {
        let (clear, source, repository) = (host.clear(), host.path("source"), host.work("repo.git"));
        (btree_map(name(), "\\PC{0,60}", 1..5), "[a-z][a-z0-9/]{0,8}[a-z]", "\\PC{0,30}[a-z]")
            .prop_filter("git has rules for names", |(files, branch, _)| {
                !branch.contains("//") && files.keys().all(|name| !name.eq_ignore_ascii_case(".git") && !name.starts_with(".git"))
            })
            .prop_map(move |(files, branch, message)| {
                let s = quote(&source);
                let mut before = format!("{clear}rm -rf {s}\nmkdir -p {s}/sub\ngit init -q --bare {repository}\n");
                for (name, text) in files {
                    before.push_str(&format!("printf %s {} >{s}/sub/{}\n", quote(&text), quote(&name)));
                }
                before.push_str(&format!("printf '#!/bin/sh\\n' >{s}/run\nchmod 755 {s}/run\n"));
                let mut trial =
                    Trial { before, after: format!("rm -rf {s}\n"), secrets: vec!["hunter22hunter22".to_owned()], ..Trial::default() };
                trial.specs.push(json!({
                    "url": format!("file://{repository}"), "branch": branch, "source": source, "message": message,
                    "author": "poclab <poclab@lab.example>", "password": "hunter22hunter22"
                }));
                let git = format!("git --git-dir={repository}");
                trial.hurt(
                    0,
                    format!("[ \"$({git} ls-tree {branch} run | cut -c1-6)\" = 100755 ]\n{git} update-ref -d refs/heads/{branch}"),
                    &["does not exist"],
                );
                // What people push is theirs.
                let commit = "-c user.name=a -c user.email=b commit-tree -m other";
                trial.hurt(0, format!("{git} update-ref refs/heads/{branch} \"$({git} {commit} \"$({git} mktree </dev/null)\")\""), &[]);
                trial
            })
            .boxed()
    }
    Property { cases: 2, trials }
}
