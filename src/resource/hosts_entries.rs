//! The lab's names in /etc/hosts.

use std::fmt::Write as _;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::{self, unified};
use super::script::{self, Body, NewFile};
use super::{Action, Change, Content, Kind, Reply, State};
use crate::base::quote;

const BEGIN: &str = "# poclab begin: written by poclab, changes are reverted";
const END: &str = "# poclab end";

/// A block of lines in /etc/hosts. Other lines stay, but lose names of the block that they give another address.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Hosts of the lab, one line each: `{{ lab.hosts }}`.
    #[serde(default)]
    pub hosts: Vec<Host>,
    /// Further lines, in this order.
    #[serde(default)]
    pub entries: Vec<Entry>,
    /// The file. Default: /etc/hosts.
    #[serde(default = "etc_hosts")]
    pub path: String,
}

/// What the lab says of a host; more than this is ignored.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Host {
    /// Its short name.
    pub name: String,
    /// Its fully qualified name.
    pub fqdn: String,
    /// Its address.
    pub address: String,
}

/// One address and its names.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// IPv4 or IPv6 address.
    pub address: String,
    /// Names, the fully qualified one first.
    pub names: Vec<String>,
}

fn etc_hosts() -> String {
    "/etc/hosts".to_owned()
}

/// The file as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Its text; `None`: there is no such file.
    pub text: Option<String>,
    /// sha256 of the text.
    pub sha256: String,
}

impl Spec {
    fn all(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        let hosts = self.hosts.iter().map(|host| (host.address.as_str(), vec![host.fqdn.as_str(), host.name.as_str()]));
        hosts.chain(self.entries.iter().map(|entry| (entry.address.as_str(), entry.names.iter().map(String::as_str).collect())))
    }

    fn block(&self) -> String {
        let mut s = format!("{BEGIN}\n");
        for (address, names) in self.all() {
            let _ = writeln!(s, "{address} {}", names.join(" "));
        }
        let _ = writeln!(s, "{END}");
        s
    }

    /// The address that the lab gives a name.
    fn address(&self, name: &str) -> Option<&str> {
        self.all().find(|(_, names)| names.iter().any(|n| n.eq_ignore_ascii_case(name))).map(|(address, _)| address)
    }

    /// A line outside of the block without names that the lab gives another address; `None` when no name is left in it.
    /// The second value tells what was taken out.
    fn cleaned(&self, line: &str) -> (Option<String>, Vec<String>) {
        let (entry, comment) = line.split_once('#').map_or((line, None), |(entry, comment)| (entry, Some(comment)));
        let mut words = entry.split_whitespace();
        let Some(address) = words.next() else { return (Some(line.to_owned()), Vec::new()) };
        let (stray, kept): (Vec<&str>, Vec<&str>) = words.partition(|name| self.address(name).is_some_and(|want| want != address));
        if stray.is_empty() {
            return (Some(line.to_owned()), Vec::new());
        }
        let why = stray
            .iter()
            .map(|name| format!("{name} is {address} in another line, want {}", self.address(name).unwrap_or_default()))
            .collect();
        if kept.is_empty() {
            return (None, why);
        }
        let comment = comment.map(|comment| format!(" #{comment}")).unwrap_or_default();
        (Some(format!("{address} {}{comment}", kept.join(" "))), why)
    }

    /// The whole file as it should be, and why it differs (empty when it does not).
    fn wanted(&self, text: &str) -> (String, Vec<String>) {
        let lines: Vec<&str> = text.lines().collect();
        let begin = lines.iter().position(|line| line.starts_with("# poclab begin"));
        let end = begin.and_then(|begin| lines[begin..].iter().position(|line| line.starts_with(END)).map(|n| begin + n));
        let mut reasons = Vec::new();
        let (mut head, mut tail) = (String::new(), String::new());
        for (i, line) in lines.iter().enumerate() {
            let inside = begin.zip(end).is_some_and(|(begin, end)| (begin..=end).contains(&i));
            // A mark without its other half marks nothing: only it is taken out.
            if inside || line.starts_with("# poclab begin") || line.starts_with(END) {
                continue;
            }
            let (kept, why) = self.cleaned(line);
            reasons.extend(why);
            // A new block comes first: the first line that has a name decides.
            let part = if begin.is_some_and(|begin| i < begin) { &mut head } else { &mut tail };
            if let Some(kept) = kept {
                let _ = writeln!(part, "{kept}");
            }
        }
        let wanted = format!("{head}{}{tail}", self.block());
        if wanted != text && (reasons.is_empty() || !text.contains(&self.block())) {
            reasons.insert(0, if end.is_some() { "the lab's block differs" } else { "the lab's block is missing" }.to_owned());
        }
        (wanted, reasons)
    }
}

impl Kind for Spec {
    const NAME: &'static str = "hosts_entries";
    type Observed = Observed;

    fn id(&self) -> String {
        self.path.clone()
    }

    fn check(&self) -> Vec<String> {
        let mut errors = script::path_errors("path", &self.path);
        let name = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        if self.all().next().is_none() {
            errors.push("hosts or entries must be given".to_owned());
        }
        for (address, names) in self.all() {
            if address.parse::<IpAddr>().is_err() {
                errors.push(format!("address must be an IP address, not {address:?}"));
            }
            if names.is_empty() || !names.iter().all(name) {
                errors.push(format!("names of {address} must be one or more host names"));
            }
        }
        errors
    }

    fn observe(specs: &[&Self]) -> String {
        let paths: Vec<String> = specs.iter().map(|spec| quote(&spec.path)).collect();
        format!(
            concat!(
                "set -- {}\nfor p do\n",
                "  if [ -e \"$p\" ]; then sha256sum -- \"$p\" 2>&1; echo \"text $p\"; head -c 65537 -- \"$p\" | sed 's/^/|/'; echo; echo end\n",
                "  else echo \"absent $p\"; fi\n",
                "done\n:\n",
            ),
            paths.join(" ")
        )
    }

    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>> {
        let raw = reply.text();
        specs
            .iter()
            .map(|spec| {
                if raw.split('\n').any(|line| line.strip_prefix("absent ") == Some(&spec.path)) {
                    return Ok(Observed { text: None, sha256: String::new() });
                }
                let sha256 = file::hash_of(&raw, &spec.path)?;
                let text = file::text_of(&reply.stdout, &spec.path).ok_or_else(|| format!("{} is not text", spec.path))?;
                // What would be written comes from this text, so it must be all of it.
                if script::sha256(text.as_bytes()) != sha256 {
                    return Err(format!("{} is larger than 64 KiB or changed while it was read", spec.path));
                }
                Ok(Observed { text: Some(text), sha256 })
            })
            .collect()
    }

    fn diff(&self, observed: &Self::Observed) -> State {
        let text = observed.text.as_deref().unwrap_or_default();
        let (wanted, reasons) = self.wanted(text);
        if wanted == text {
            return State::InSync;
        }
        let mut changes: Vec<Change> = reasons.into_iter().map(Change::new).collect();
        if let Some(first) = changes.first_mut() {
            first.diff = Some(unified(&self.path, text, &wanted));
        }
        State::Drift(changes)
    }

    fn apply(&self, observed: &Self::Observed) -> Vec<Action> {
        let content = Content(self.wanted(observed.text.as_deref().unwrap_or_default()).0);
        let new = NewFile {
            path: &self.path,
            body: Body::Text(&content),
            owner: "root",
            group: "root",
            mode: "0644",
            validate: None,
            mounted: true,
            only_if: observed.text.as_ref().map(|_| observed.sha256.as_str()),
        };
        vec![script::write_file(format!("write the lab's names into {}", self.path), &new)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        let entry =
            |address: &str, name: &str| Entry { address: address.to_owned(), names: vec![format!("{name}.lab.example"), name.to_owned()] };
        let deploy = Host { name: "deploy".to_owned(), fqdn: "deploy.lab.example".to_owned(), address: "10.90.0.11".to_owned() };
        Spec { hosts: vec![deploy], entries: vec![entry("10.90.0.12", "app")], path: etc_hosts() }
    }

    const BLOCK: &str = "# poclab begin: written by poclab, changes are reverted\n10.90.0.11 deploy.lab.example deploy\n10.90.0.12 app.lab.example app\n# poclab end\n";

    #[test]
    fn a_new_block_comes_first_and_the_rest_stays() {
        let (text, reasons) = spec().wanted("127.0.0.1 localhost\n\n# own\n10.1.1.1 nas\n");
        assert_eq!(text, format!("{BLOCK}127.0.0.1 localhost\n\n# own\n10.1.1.1 nas\n"));
        assert_eq!(reasons, ["the lab's block is missing"]);
        assert_eq!(spec().wanted(&text), (text.clone(), vec![]));
    }

    #[test]
    fn a_damaged_block_is_replaced_in_its_place() {
        let text = format!("127.0.0.1 localhost\n{}10.1.1.1 nas", BLOCK.replace("10.90.0.12 app", "10.90.0.99 app"));
        let (wanted, reasons) = spec().wanted(&text);
        assert_eq!(wanted, format!("127.0.0.1 localhost\n{BLOCK}10.1.1.1 nas\n"));
        assert_eq!(reasons, ["the lab's block differs"]);
        // Without its end nothing but the mark is taken out.
        let (wanted, _) = spec().wanted("127.0.0.1 localhost\n# poclab begin\n10.1.1.1 nas\n");
        assert_eq!(wanted, format!("127.0.0.1 localhost\n{BLOCK}10.1.1.1 nas\n"));
    }

    #[test]
    fn lines_that_contradict_lose_the_name() {
        let (wanted, reasons) =
            spec().wanted(&format!("{BLOCK}127.0.1.1 app App.lab.example # box\n::1 localhost deploy # six\n10.90.0.11 deploy\n"));
        assert_eq!(wanted, format!("{BLOCK}::1 localhost # six\n10.90.0.11 deploy\n"));
        assert_eq!(
            reasons,
            [
                "app is 127.0.1.1 in another line, want 10.90.0.12",
                "App.lab.example is 127.0.1.1 in another line, want 10.90.0.12",
                "deploy is ::1 in another line, want 10.90.0.11"
            ]
        );
    }

    #[test]
    fn only_a_whole_file_is_rewritten() {
        let reply = |text: &str| Reply { stdout: text.as_bytes().to_vec(), status: 0 };
        let cut = format!("{}  /etc/hosts\ntext /etc/hosts\n|127.0.0.1 localhost\n\nend\n", "0".repeat(64));
        assert!(Spec::parse(&[&spec()], &reply(&cut))[0].as_ref().unwrap_err().contains("larger than"));
        assert!(Spec::parse(&[&spec()], &reply(""))[0].is_err());
        assert_eq!(Spec::parse(&[&spec()], &reply("absent /etc/hosts\n"))[0].as_ref().unwrap().text, None);
    }
}
