//! Files: texts, and copies of files of the control machine.

use std::fmt::Write as _;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use similar::TextDiff;

use super::script::{self, Body, Entry, NewFile, What};
use super::{Action, Certificate, Change, Content, Detail, Kind, Reply, State};
use crate::base::{LocalFile, quote};

/// Files that are larger than this are not fetched to show a diff, in bytes.
const SHOWN: u64 = 64 * 1024;

/// A file with this content, owner and mode. It is replaced as a whole, never half-written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Absolute path. The directory must exist.
    pub path: String,
    /// The whole content, unless `state: absent`. In role.yml a file below templates/ can give it instead: `template: docker/daemon.json.tera`.
    #[serde(default)]
    pub content: Option<Content>,
    /// Instead of `content`: a file of the control machine that is copied byte for byte, such as a program. It is compared by its
    /// SHA-256 and only sent when that differs. A relative path starts at the project's folder.
    #[serde(default)]
    pub source: Option<PathBuf>,
    /// Name of the user that owns it. Default: root.
    #[serde(default = "root")]
    pub owner: String,
    /// Name of its group. Default: root.
    #[serde(default = "root")]
    pub group: String,
    /// Permissions, octal, in quotes. Default: "0644", for sensitive files "0600".
    #[serde(default)]
    pub mode: Option<String>,
    /// Holds secrets: its content is never shown, only hashes. Default: false.
    #[serde(default)]
    pub sensitive: bool,
    /// Shell command that must accept the new content before it is put in place; `%s` becomes the name of a temporary file,
    /// e.g. `dockerd --validate --config-file %s`.
    #[serde(default)]
    pub validate: Option<String>,
    /// `present` (default) or `absent`.
    #[serde(default)]
    pub state: Presence,
}

/// Whether a thing is to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It is to be there.
    #[default]
    Present,
    /// It is not to be there.
    Absent,
}

pub(super) fn root() -> String {
    "root".to_owned()
}

/// A file as it is on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What is there, if anything.
    pub entry: Option<Entry>,
    /// sha256 of a regular file's content, in hexadecimal.
    pub sha256: Option<String>,
    /// The content, when it differs, is text, is not sensitive and is not large.
    pub text: Option<String>,
    /// What SELinux's `restorecon` would change, e.g. `type is user_home_t, want etc_t`.
    pub label: Option<String>,
}

impl Spec {
    /// A file with this content, owned by root, mode 0644.
    pub(super) fn new(path: String, content: String, state: Presence) -> Self {
        Self {
            path,
            content: Some(Content(content)),
            source: None,
            owner: root(),
            group: root(),
            mode: None,
            sensitive: false,
            validate: None,
            state,
        }
    }

    fn mode(&self) -> &str {
        match &self.mode {
            Some(mode) => mode,
            None if self.sensitive => "0600",
            None => "0644",
        }
    }

    /// Whether its text is fetched where it differs.
    fn shown(&self) -> bool {
        !self.sensitive && self.source.is_none() && self.state == Presence::Present
    }

    fn wanted(&self) -> &str {
        self.content.as_ref().map(|content| content.0.as_str()).unwrap_or_default()
    }

    /// The file that is to be copied; `Err` when it cannot be read.
    fn local(&self) -> Result<Option<LocalFile>, String> {
        let Some(source) = &self.source else { return Ok(None) };
        let look = LocalFile::look(source);
        look.map(Some).map_err(|e| format!("the source {} cannot be read on the control machine: {e}", source.display()))
    }

    fn content_change(&self, observed: &Observed, local: Option<&LocalFile>) -> Option<Change> {
        let want = local.map_or_else(|| script::sha256(self.wanted().as_bytes()), |local| local.sha256.clone());
        let have = observed.sha256.as_deref()?;
        if have == want {
            return None;
        }
        let hashes = format!("sha256 {} instead of {}", &have[..12.min(have.len())], &want[..12]);
        let ends = observed.text.as_deref().and_then(certificate_end).zip(certificate_end(self.wanted()));
        if let Some((have, want)) = ends {
            // Its text says nothing to a reader.
            return Some(Change::new(format!("another certificate: ends on {have}, want one that ends on {want} ({hashes})")));
        }
        let what = format!("content differs ({hashes})");
        if local.is_some() {
            return Some(Change::new(what));
        }
        let diff = observed.text.as_ref().map(|text| unified(&self.path, text, self.wanted()));
        Some(Change { what, diff })
    }
}

/// The last day of a PEM certificate, if the text begins with one.
fn certificate_end(text: &str) -> Option<time::Date> {
    let (_, block) = x509_parser::pem::parse_x509_pem(text.as_bytes()).ok().filter(|_| text.starts_with("-----BEGIN CERTIFICATE-----"))?;
    Some(block.parse_x509().ok()?.validity().not_after.to_datetime().date())
}

/// A unified diff with both names set to the path.
pub(super) fn unified(path: &str, have: &str, want: &str) -> String {
    TextDiff::from_lines(have, want).unified_diff().context_radius(3).header(path, path).to_string()
}

impl Kind for Spec {
    const NAME: &'static str = "file";
    type Observed = Observed;

    fn id(&self) -> String {
        self.path.clone()
    }

    fn check(&self) -> Vec<String> {
        let mut errors = script::path_errors("path", &self.path);
        errors.extend(script::mode_errors(self.mode()));
        errors.extend(script::name_errors("owner", &self.owner));
        errors.extend(script::name_errors("group", &self.group));
        match (&self.content, &self.source) {
            (None, None) if self.state == Presence::Present => {
                errors.push("the content is missing: write `content: …`, `template: …` or `source: …`".to_owned());
            }
            (Some(_), Some(_)) => errors.push("both `source` and a content: keep one of them".to_owned()),
            _ => {}
        }
        if self.sensitive && script::parse_mode(self.mode()).is_some_and(|mode| mode & 0o007 != 0) {
            errors.push(format!("a sensitive file must not be open to everybody: mode {:?}, write e.g. \"0600\"", self.mode()));
        }
        if self.validate.as_ref().is_some_and(|command| !command.contains("%s")) {
            errors.push("validate must contain %s, which becomes the name of the file to look at".to_owned());
        }
        errors
    }

    fn observe(specs: &[&Self]) -> String {
        let mut s = script::stat_fragment(specs.iter().map(|spec| spec.path.as_str()));
        // One sha256sum for all; the text is only fetched where the hash is not the wanted one.
        s.push_str(concat!(
            "n=$#\n",
            "while [ \"$n\" -gt 0 ]; do\n",
            "  if [ -f \"$1\" ] && [ ! -L \"$1\" ]; then set -- \"$@\" \"$1\"; fi\n",
            "  shift; n=$((n - 1))\n",
            "done\n",
            "h=\n",
            "if [ $# -gt 0 ]; then h=$(sha256sum -- \"$@\" 2>&1); printf '%s\\n' \"$h\"; fi\n",
            "h=\"$h\n\"\n",
            "if [ $# -gt 0 ] && [ -e /sys/fs/selinux/enforce ] && command -v restorecon >/dev/null; then restorecon -nv \"$@\" 2>/dev/null; fi\n",
        ));
        let shown: Vec<&&Self> = specs.iter().filter(|spec| spec.shown()).collect();
        if !shown.is_empty() {
            s.push_str(concat!(
                "text() {\n",
                "  case \"$h\" in *\"$1  $2\n\"*) return 0 ;; esac\n",
                "  if [ -f \"$2\" ] && [ ! -L \"$2\" ]; then echo \"text $2\"; head -c 65537 -- \"$2\" | sed 's/^/|/'; echo; echo end; fi\n",
                "}\n",
            ));
            for spec in shown {
                let _ = writeln!(s, "text {} {}", script::sha256(spec.wanted().as_bytes()), quote(&spec.path));
            }
        }
        s.push_str(":\n");
        s
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let raw = reply.text();
        specs
            .iter()
            .map(|spec| {
                let entry = script::parse_stat(&raw, &spec.path)?;
                let mut observed = Observed { entry, sha256: None, text: None, label: None };
                if observed.entry.as_ref().is_some_and(|entry| entry.what == What::File) {
                    observed.sha256 = Some(hash_of(&raw, &spec.path)?);
                    observed.label = label_of(&raw, &spec.path);
                    let small = observed.entry.as_ref().is_some_and(|entry| entry.size <= SHOWN);
                    if small && spec.shown() {
                        observed.text = text_of(&reply.stdout, &spec.path);
                    }
                }
                Ok(observed)
            })
            .collect()
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        let local = match self.local() {
            Ok(local) => local,
            Err(why) => return State::Unknown(why),
        };
        let changes = match (&observed.entry, self.state) {
            (None, Presence::Absent) => Vec::new(),
            (Some(entry), Presence::Absent) => vec![Change::new(format!("is there ({}), want it gone", entry.what))],
            (None, Presence::Present) => {
                let diff = self.shown().then(|| unified(&self.path, "", self.wanted()));
                vec![Change { what: "does not exist".to_owned(), diff }]
            }
            (Some(entry), Presence::Present) if entry.what != What::File => vec![Change::new(format!("is {}, want a file", entry.what))],
            (Some(entry), Presence::Present) => {
                let mut changes: Vec<Change> = self.content_change(observed, local.as_ref()).into_iter().collect();
                changes.extend(script::meta_changes(entry, &self.owner, &self.group, self.mode()));
                changes.extend(observed.label.as_ref().map(|label| Change::new(format!("SELinux {label}"))));
                changes
            }
        };
        if changes.is_empty() { State::InSync } else { State::Drift(changes) }
    }

    /// The hash says that the file holds what is wanted, so the wanted text is the observed one. A sensitive file that
    /// differs is not fetched, so nothing is said about it.
    fn details(&self, observed: &Self::Observed) -> Vec<Detail> {
        if self.source.is_some() {
            return Vec::new();
        }
        let same = observed.sha256.as_deref() == Some(script::sha256(self.wanted().as_bytes()).as_str());
        let text = if same { Some(self.wanted()) } else { observed.text.as_deref() };
        let certificates = text.map(Certificate::all_in).unwrap_or_default();
        let detail = |found: Certificate| Detail::Certificate { path: self.path.clone(), subject: found.subject, ends: found.ends };
        certificates.into_iter().map(detail).collect()
    }

    fn apply(&self, observed: &Self::Observed) -> Vec<Action> {
        let path = quote(&self.path);
        if self.state == Presence::Absent {
            let script = format!("if [ -d {path} ] && [ ! -L {path} ]; then rmdir -- {path}; else rm -f -- {path}; fi\n");
            return vec![Action { label: format!("remove {}", self.path), script, ..Action::default() }];
        }
        let file = observed.entry.as_ref().is_some_and(|entry| entry.what == What::File);
        let local = match self.local() {
            Ok(local) => local,
            Err(why) => {
                let script = format!("echo {} >&2\nexit 1\n", quote(&why));
                return vec![Action { label: format!("write {}", self.path), script, ..Action::default() }];
            }
        };
        if file && self.content_change(observed, local.as_ref()).is_none() {
            let mut script = format!("set -e\n{}", script::meta_lines(&self.path, &self.owner, &self.group, self.mode()));
            if observed.label.is_some() {
                let _ = writeln!(script, "restorecon {path}");
            }
            return vec![Action { label: format!("set owner and mode of {}", self.path), script, ..Action::default() }];
        }
        let content = self.content.clone().unwrap_or_default();
        let new = NewFile {
            path: &self.path,
            body: local.as_ref().map_or(Body::Text(&content), Body::Local),
            owner: &self.owner,
            group: &self.group,
            mode: self.mode(),
            validate: self.validate.as_deref(),
            mounted: false,
            only_if: None,
        };
        vec![script::write_file(format!("write {}", self.path), &new)]
    }
}

/// The hash in sha256sum's line about a path.
pub(super) fn hash_of(text: &str, path: &str) -> Result<String, String> {
    text.split('\n')
        .filter_map(|line| line.split_once("  "))
        .find(|(hash, name)| hash.len() == 64 && *name == path && hash.bytes().all(|b| b.is_ascii_hexdigit()))
        .map(|(hash, _)| hash.to_owned())
        .ok_or_else(|| {
            let why = text.split('\n').find(|line| line.starts_with("sha256sum: ") && line.contains(path));
            why.unwrap_or("sha256sum said nothing about it").to_owned()
        })
}

/// The lines after `text PATH`, each after a `|`; an empty line follows when the last one was complete, then `end`.
pub(super) fn text_of(bytes: &[u8], path: &str) -> Option<String> {
    let mut lines = bytes.split(|&b| b == b'\n');
    let head = format!("text {path}");
    lines.find(|line| *line == head.as_bytes())?;
    let (mut shown, mut complete) = (Vec::new(), false);
    for line in lines {
        match line.split_first() {
            Some((b'|', rest)) => shown.push(rest),
            Some(_) => break,
            None => complete = true,
        }
    }
    let mut text = shown.join(&b'\n');
    if complete && !shown.is_empty() {
        text.push(b'\n');
    }
    String::from_utf8(text).ok().filter(|text| !text.contains('\0'))
}

/// What restorecon would change. EL7 (policycoreutils 2.5): `restorecon reset PATH context A->B`; newer: `Would relabel PATH from A to B`.
pub(super) fn label_of(text: &str, path: &str) -> Option<String> {
    let old = format!("restorecon reset {path} context ");
    let new = format!("Would relabel {path} from ");
    text.split('\n').find_map(|line| {
        let (have, want) = match line.strip_prefix(old.as_str()) {
            Some(rest) => rest.split_once("->")?,
            None => line.strip_prefix(new.as_str())?.split_once(" to ")?,
        };
        let kind = |context: &str| context.split(':').nth(2).unwrap_or(context).to_owned();
        Some(format!("type is {}, want {}", kind(have), kind(want)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Payload;

    #[test]
    fn a_source_is_compared_by_its_hash_and_streamed() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("program");
        std::fs::write(&source, b"\x7fELF\0\xff").unwrap();
        let json = serde_json::json!({"path": "/usr/local/bin/p", "source": source, "mode": "0755"});
        let spec: Spec = serde_json::from_value(json).unwrap();
        assert_eq!(spec.check(), [""; 0]);
        let entry = Entry { what: What::File, owner: root(), group: root(), mode: 0o755, size: 6 };
        let mut observed = Observed { entry: Some(entry), sha256: Some(script::sha256(b"\x7fELF\0\xff")), text: None, label: None };
        assert_eq!(spec.diff(&observed), State::InSync);
        observed.sha256 = Some(script::sha256(b"old"));
        let State::Drift(changes) = spec.diff(&observed) else { panic!("it differs") };
        assert!(changes[0].what.starts_with("content differs (sha256 ") && changes[0].diff.is_none(), "{changes:?}");
        let action = spec.apply(&observed).remove(0);
        assert_eq!(action.stdin, Some(Payload::File { path: source.clone(), len: 6 }));
        assert!(action.script.contains(&script::sha256(b"\x7fELF\0\xff")));
        // Its bytes are never asked for.
        assert!(!Spec::observe(&[&spec]).contains("text() {"));

        std::fs::remove_file(&source).unwrap();
        assert!(matches!(spec.diff(&observed), State::Unknown(why) if why.contains("cannot be read on the control machine")));
        let both = serde_json::json!({"path": "/p", "source": "/s", "content": "x"});
        assert_eq!(serde_json::from_value::<Spec>(both).unwrap().check(), ["both `source` and a content: keep one of them"]);
    }

    fn certificate(year: i32) -> String {
        let mut params = rcgen::CertificateParams::new(vec!["registry.lab.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 3, 4);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn certificates_differ_by_their_ends() {
        let reason = |have: &str, want: &str| {
            let spec = Spec::new("/c.crt".to_owned(), want.to_owned(), Presence::Present);
            let text = Some(have.to_owned());
            let observed = Observed { entry: None, sha256: Some(script::sha256(have.as_bytes())), text, label: None };
            spec.content_change(&observed, None).map(|change| (change.what.split(" (").next().unwrap().to_owned(), change.diff.is_some()))
        };
        let (old, new) = (certificate(2031), certificate(2033));
        let change = reason(&old, &new).unwrap();
        assert_eq!(change, ("another certificate: ends on 2031-03-04, want one that ends on 2033-03-04".to_owned(), false));
        assert_eq!(reason(&new, &new), None);
        for have in ["text\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &format!("# {old}")] {
            assert_eq!(reason(have, &new).unwrap(), ("content differs".to_owned(), true), "{have}");
        }
    }
}
