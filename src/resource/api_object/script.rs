//! What is asked and sent, with the curl of EL7 (7.29): several addresses in one process share a connection there, too.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::{Api, Observed, Presence, Spec};
use crate::base::{Payload, quote, sha256};
use crate::resource::Action;

/// Where hashes of fields that are never told are kept.
const KEPT: &str = "/var/lib/poclab/api";
/// Temporary folders; they hold what is sent and answered.
const TEMPORARY: &str = "/tmp/poclab-api.XXXXXX";
/// Seconds for a connection, and for a whole request.
const SECONDS: (u32, u32) = (10, 120);
/// What is left of a path segment as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// `poclab_flat` prints the fields of a JSON object, or of each object of a list, as the API wrote them: its number, the name and
/// the value, with tabs between (raw tabs are in no JSON string). What is inside of a field is left out. `poclab_field NAME` prints one
/// field of the first object, without quotes. `poclab_has FILE` succeeds when some object has all the fields in the file.
const FIELDS: &str = r#"poclab_flat() {
  awk '
    { text = text $0 "\n" }
    END {
      n = length(text); depth = 0; top = (text ~ /^[ \t\n]*\[/) ? 2 : 1
      for (i = 1; i <= n; i++) {
        c = substr(text, i, 1); word = ""
        if (c == "\"") {
          for (j = i + 1; j <= n && substr(text, j, 1) != "\""; j++) if (substr(text, j, 1) == "\\") j++
          word = substr(text, i, j - i + 1); i = j
        } else if (c == "{" || c == "[") { depth++; if (depth == top) { side = "key"; item++ } }
        else if (c == "}" || c == "]") depth--
        else if (depth == top && c == ":") side = "value"
        else if (depth == top && c == ",") side = "key"
        else if (depth == top && side == "value" && c ~ /[-0-9a-z]/) {
          match(substr(text, i), /^[-+.0-9A-Za-z]+/); word = substr(text, i, RLENGTH); i += RLENGTH - 1
        }
        if (word == "" || depth != top) continue
        if (side == "key") key = word; else printf "%d\t%s\t%s\n", item, key, word
      }
    }'
}
poclab_field() { poclab_flat | awk -F '\t' -v key="\"$1\"" '$1 == 1 && $2 == key { gsub(/^"|"$/, "", $3); print $3; exit }'; }
poclab_has() {
  poclab_flat | awk '
    FILENAME != "-" { want[$0]; all++; next }
    { item = $1; sub(/^[^\t]*\t/, ""); if ($0 in want) found[item]++ }
    END { for (item in found) if (found[item] == all) exit 0; exit 1 }' "$1" -
}
"#;

/// A value in double quotes, as curl's configuration wants it.
fn curl_quote(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
    format!("\"{escaped}\"")
}

/// What every request has in common. Holds secrets: it travels on stdin.
fn config(api: &Api) -> String {
    let mut text = format!("silent\nshow-error\ngloboff\nconnect-timeout = {}\nmax-time = {}\n", SECONDS.0, SECONDS.1);
    if let Some(proxy) = api.proxy() {
        let _ = writeln!(text, "proxy = {}", curl_quote(proxy));
    }
    if let Some(ca) = &api.ca {
        let _ = writeln!(text, "cacert = {}", curl_quote(ca));
    }
    for (name, value) in &api.headers {
        let _ = writeln!(text, "header = {}", curl_quote(&format!("{name}: {}", value.0)));
    }
    text
}

/// The file in which a spec's hash is kept.
fn kept_file(spec: &Spec) -> String {
    format!("{KEPT}/{}", &sha256(spec.what.as_bytes())[..16])
}

/// The fragment that looks: one curl per API.
pub(super) fn observe(specs: &[&Spec]) -> String {
    let mut s = format!(
        "poclab_t=$(mktemp -d {TEMPORARY}) || exit 1\ntrap 'rm -rf \"$poclab_t\"' EXIT\ntrap 'exit 1' HUP INT TERM PIPE\ncd \"$poclab_t\" || exit 1\n"
    );
    for (index, spec) in specs.iter().enumerate().filter(|(_, spec)| !spec.write_only.is_empty()) {
        let file = kept_file(spec);
        let _ = writeln!(s, "if [ -e {file} ]; then printf 'kept {index} %s\\n' \"$(head -n 1 {file})\"; fi");
    }
    let mut groups: Vec<(&Api, Vec<usize>)> = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        match groups.iter_mut().find(|(api, _)| *api == &spec.api) {
            Some((_, members)) => members.push(index),
            None => groups.push((&spec.api, vec![index])),
        }
    }
    for (api, members) in groups {
        let mut asked = config(api);
        asked.push_str("write-out = \"%{http_code}\\n\"\n");
        for &index in &members {
            let path = specs[index].read.as_ref().or(specs[index].list.as_ref()).map_or("", String::as_str);
            let _ = writeln!(asked, "url = {}\noutput = \"{index}\"", curl_quote(&format!("{}{path}", api.url)));
        }
        // No text contains its own hash.
        let mark = format!("POCLAB_{}", &sha256(asked.as_bytes())[..16]);
        let all: Vec<String> = members.iter().map(ToString::to_string).collect();
        let all = all.join(" ");
        let there =
            api.installed.as_ref().map_or_else(|| "command -v curl >/dev/null 2>&1".to_owned(), |path| format!("[ -e {} ]", quote(path)));
        let _ = write!(
            s,
            "poclab_all='{all}'\nif {there}; then\n  curl -q -K - >codes 2>err <<'{mark}'\n{asked}{mark}\n  \
             poclab_why=$(tail -n 1 err)\n  \
             # shellcheck disable=SC2046\n  set -- $(cat codes)\n  \
             for poclab_i in $poclab_all; do\n    [ -e \"$poclab_i\" ] || : >\"$poclab_i\"\n    \
             case ${{1:-000}} in\n    000) printf 'silent %s %s\\n' \"$poclab_i\" \"$poclab_why\" ;;\n    \
             *) echo \"api $poclab_i $1 $(wc -c <\"$poclab_i\")\"; cat \"$poclab_i\"; echo ;;\n    esac\n    \
             [ $# -eq 0 ] || shift\n  done\nelse\n  for poclab_i in $poclab_all; do echo \"absent $poclab_i\"; done\nfi\n"
        );
    }
    s
}

/// What the host said about one object.
pub(super) enum Answer {
    /// The product is not there.
    NotInstalled,
    /// No answer, for this reason.
    Silent(String),
    /// HTTP status and body.
    Status(u16, Vec<u8>),
}

/// What the host said about all objects, by their number.
#[derive(Default)]
pub(super) struct Answers {
    pub of: BTreeMap<usize, Answer>,
    pub kept: BTreeMap<usize, (String, String)>,
}

/// Reads what [`observe`] prints.
pub(super) fn read(mut bytes: &[u8]) -> Result<Answers, String> {
    let mut answers = Answers::default();
    while !bytes.is_empty() {
        let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
        let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes = bytes.get(end + 1..).unwrap_or_default();
        let broken = || format!("the host's answer about API objects is not of the known form: {line:?}");
        let (word, rest) = line.split_once(' ').ok_or_else(broken)?;
        let (index, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let index: usize = index.parse().map_err(|_| broken())?;
        let answer = match word {
            "absent" => Answer::NotInstalled,
            "silent" => Answer::Silent(if rest.is_empty() { "curl could not be run".to_owned() } else { rest.to_owned() }),
            "kept" => {
                let (hash, id) = rest.split_once(' ').unwrap_or((rest, ""));
                answers.kept.insert(index, (hash.to_owned(), id.to_owned()));
                continue;
            }
            "api" => {
                let (status, length) = rest.split_once(' ').ok_or_else(broken)?;
                let (status, length): (u16, usize) = (status.parse().map_err(|_| broken())?, length.parse().map_err(|_| broken())?);
                let body = bytes.get(..length).ok_or_else(broken)?.to_vec();
                bytes = bytes.get(length..).and_then(|rest| rest.strip_prefix(b"\n")).ok_or_else(broken)?;
                Answer::Status(status, body)
            }
            _ => return Err(broken()),
        };
        if answers.of.insert(index, answer).is_some() {
            return Err(broken());
        }
    }
    Ok(answers)
}

/// The fields as a form.
fn form(fields: &Map<String, Value>) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let pair = |(field, value): (&String, &Value)| {
        format!("{}={}", utf8_percent_encode(field, SEGMENT), utf8_percent_encode(&text(value), SEGMENT))
    };
    fields.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// A script of requests and what it reads from stdin.
struct Requests<'a> {
    spec: &'a Spec,
    script: String,
    stdin: Vec<u8>,
}

impl<'a> Requests<'a> {
    fn new(spec: &'a Spec) -> Self {
        let patience = spec.patience;
        let url = quote(&spec.api.url);
        let kind = if spec.api.form { "application/x-www-form-urlencoded" } else { "application/json" };
        let mut requests = Self { spec, script: String::from("set -e\numask 077\n"), stdin: Vec::new() };
        let _ = write!(
            requests.script,
            "poclab_t=$(mktemp -d {TEMPORARY})\ntrap 'rm -rf \"$poclab_t\"' EXIT\ntrap 'exit 1' HUP INT TERM PIPE\n{FIELDS}\
             poclab_call() {{\n  poclab_m=$1 poclab_p=$2 poclab_b=$3\n  poclab_until=$(($(date +%s) + {patience}))\n  while :; do\n    \
             set --\n    [ -z \"$poclab_b\" ] || set -- -H 'Content-Type: {kind}' --data-binary \"@$poclab_t/$poclab_b\"\n    \
             poclab_s=$(curl -q -K \"$poclab_t/config\" -X \"$poclab_m\" \"$@\" -o \"$poclab_t/answer\" -w '%{{http_code}}' {url}\"$poclab_p\" 2>\"$poclab_t/err\") || poclab_s=000\n    \
             case $poclab_s in 2??) return 0 ;; esac\n    \
             [ \"$(date +%s)\" -lt \"$poclab_until\" ] || break\n    sleep 2\n  done\n  \
             if [ \"$poclab_s\" = 000 ]; then echo \"$poclab_m $poclab_p: the API did not answer: $(tail -n 1 \"$poclab_t/err\")\" >&2\n  \
             else echo \"$poclab_m $poclab_p: the API answered $poclab_s: $(head -c 1000 \"$poclab_t/answer\")\" >&2; fi\n  exit 1\n}}\n"
        );
        requests.take("config", &config(&spec.api));
        requests
    }

    /// Puts a text into a file of the temporary folder.
    fn take(&mut self, name: &str, text: &str) {
        let _ = writeln!(self.script, "head -c {} >\"$poclab_t/{name}\"", text.len());
        self.stdin.extend(text.as_bytes());
    }

    /// The body of a request: what is wanted or given, and what is never told.
    fn body(&mut self, given: Option<&Map<String, Value>>) {
        let mut body = given.unwrap_or(&self.spec.want).clone();
        body.extend(self.spec.write_only.iter().map(|(field, value)| (field.clone(), Value::String(value.0.clone()))));
        let text = if self.spec.api.form { form(&body) } else { Value::Object(body).to_string() };
        self.take("body", &text);
    }

    fn create(&mut self) {
        let Some(create) = &self.spec.create else { return };
        self.body(create.body.as_ref());
        let matching: String =
            self.spec.matching.iter().map(|(field, value)| format!("{}\t{value}\n", Value::String(field.clone()))).collect();
        self.take("match", &matching);
        self.script.push_str("exec </dev/null\n");
        if let Some(list) = &self.spec.list {
            // Where nothing but a look prevents it, it must not be made twice.
            let _ = write!(
                self.script,
                "poclab_call GET {} ''\nif poclab_has \"$poclab_t/match\" <\"$poclab_t/answer\"; then\n  \
                 echo 'it was created by something else since it was looked at: run again' >&2\n  exit 1\nfi\n",
                quote(list)
            );
        }
        for (field, number) in &create.numbers {
            let key = Value::String(field.clone()).to_string();
            let (path, name) = (quote(&number.read), quote(&number.field));
            let _ = write!(
                self.script,
                "poclab_call GET {path} ''\npoclab_v=$(poclab_field {name} <\"$poclab_t/answer\")\n\
                 case $poclab_v in '' | *[!0-9]*) echo {} >&2; exit 1 ;; esac\n\
                 {{ printf '{{%s:%s' {} \"$poclab_v\"; sed '1s/^{{}}$/}}/; 1s/^{{\"/,\"/' \"$poclab_t/body\"; }} >\"$poclab_t/body.new\"\n\
                 mv -f \"$poclab_t/body.new\" \"$poclab_t/body\"\n",
                quote(&format!("GET {}: the answer has no number {}", number.read, number.field)),
                quote(&key)
            );
        }
        let _ = writeln!(self.script, "poclab_call {} {} body", create.method, quote(&create.path));
        self.keep();
    }

    fn update(&mut self, object: &Map<String, Value>) {
        let Some(update) = &self.spec.update else { return };
        self.body(update.body.as_ref());
        let _ = writeln!(self.script, "exec </dev/null\npoclab_call {} {} body", update.method, quote(&filled(&update.path, object)));
        self.keep();
    }

    fn delete(&mut self, objects: &[Map<String, Value>]) {
        for object in objects {
            let path = filled(self.spec.delete.as_deref().unwrap_or_default(), object);
            let _ = writeln!(self.script, "poclab_call DELETE {} ''", quote(&path));
        }
    }

    /// Writes down what was sent and to which object.
    fn keep(&mut self) {
        if self.spec.write_only.is_empty() {
            return;
        }
        let (file, hash) = (kept_file(self.spec), self.spec.hash());
        let _ = write!(
            self.script,
            "mkdir -p {KEPT}\nprintf '%s %s\\n' {hash} \"$(poclab_field id <\"$poclab_t/answer\")\" >{file}.new\nmv -f {file}.new {file}\n"
        );
    }

    fn action(self, verb: &str) -> Action {
        Action {
            label: format!("{verb} {}", self.spec.what),
            script: self.script,
            stdin: Some(Payload::Bytes(self.stdin)),
            sweep: "rm -rf /tmp/poclab-api.??????\n".to_owned(),
            ..Action::default()
        }
    }
}

/// A path with the fields of an object in it.
fn filled(path: &str, object: &Map<String, Value>) -> String {
    object.iter().fold(path.to_owned(), |path, (field, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        path.replace(&format!("{{{field}}}"), &utf8_percent_encode(&text, SEGMENT).to_string())
    })
}

impl Spec {
    /// The steps that repair a difference.
    pub(super) fn repair(&self, observed: &Observed) -> Vec<Action> {
        let mut requests = Requests::new(self);
        let objects = observed.objects.as_slice();
        let verb = match (self.state, objects) {
            (Presence::Absent, _) => {
                requests.delete(objects);
                let _ = writeln!(requests.script, "rm -f {}", kept_file(self));
                "delete"
            }
            (Presence::Present, []) if self.create.is_some() => {
                requests.create();
                "create"
            }
            // Settings that always exist, of a product that is not there yet.
            (Presence::Present, []) => {
                requests.update(&Map::new());
                "set"
            }
            (Presence::Present, [first, others @ ..]) => {
                requests.delete(others);
                if self.update.is_some() {
                    requests.update(first);
                    "change"
                } else {
                    requests.delete(&objects[..1]);
                    requests.create();
                    "replace"
                }
            }
        };
        vec![requests.action(verb)]
    }
}
