//! A line that was printed to be found again.

use std::collections::BTreeMap;

use super::Spec;
use crate::check::Verdict;

/// Where a line was printed, and how it must be found.
#[derive(Debug, Clone, PartialEq)]
pub struct Marker {
    /// What printed it, in words.
    pub what: String,
    /// Name of its host.
    pub host: String,
    /// The line, or a part that nothing else has.
    pub text: String,
    /// The container's name, if a container printed it.
    pub container: Option<String>,
    /// What the source of the event must begin with: a line may come by several ways, and one of them is meant.
    pub from: &'static str,
}

/// A row of a search: host, container (may be empty), and where it was read.
pub type Row = (String, String, String);

/// The rows by the text of the event.
pub type Found = BTreeMap<String, Vec<Row>>;

impl Marker {
    /// Whether it was found as what printed it; `known` says what is wrong with its way, if that was seen.
    pub fn judge(&self, spec: &Spec, found: &Found, known: Option<&str>) -> Verdict {
        let rows: Vec<&Row> = found.iter().filter(|(raw, _)| raw.contains(&self.text)).flat_map(|(_, rows)| rows).collect();
        let host = spec.fqdn(&self.host);
        if rows.is_empty() {
            let log = format!("see /opt/splunkforwarder/var/log/splunk/splunkd.log on {0}, and that {0} may reach the indexer", self.host);
            return Verdict::Failed(format!("{} was not found within {} s; {}", self.text, spec.patience, known.unwrap_or(&log)));
        }
        let as_wanted =
            |row: &&&Row| row.0 == host && row.2.starts_with(self.from) && self.container.as_ref().is_none_or(|name| row.1 == *name);
        match rows.iter().find(as_wanted) {
            Some((_, name, source)) if name.is_empty() => Verdict::Passed(format!("found with host {host}, from {source}")),
            Some((_, name, _)) => Verdict::Passed(format!("found with host {host} and container {name}")),
            None => {
                let seen: Vec<String> =
                    rows.iter().map(|(host, name, source)| format!("host {host}, container `{name}`, from {source}")).collect();
                let (name, hint) = match &self.container {
                    Some(name) => (
                        format!(", container {name}"),
                        "; containers that are older than the daemon's log options lack their name: make them anew; an indexer of your \
                         own needs the lab's settings for docker:json (docs/monitoring.md)",
                    ),
                    None => (String::new(), ""),
                };
                let from = if self.from.is_empty() { String::new() } else { format!(", from {}…", self.from) };
                Verdict::Failed(format!("found as something else ({}), must be host {host}{name}{from}{hint}", seen.join("; ")))
            }
        }
    }
}
