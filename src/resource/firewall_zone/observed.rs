//! What a host's firewall is like.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::quote;
use crate::resource::firewalld::{Direct, Rules, Sections, Zone, read_direct, read_listing, read_zone, service_rules};

/// firewalld's runtime (one `firewall-cmd`), its files, and the kernel's filter table.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Whether firewalld is installed.
    pub installed: bool,
    /// Zones at runtime; `None` = firewalld does not run.
    pub runtime: Option<Vec<Zone>>,
    /// Zones on disk, those of /etc before the shipped ones. `Err` = the file cannot be read as a zone.
    pub permanent: BTreeMap<String, Result<Zone, String>>,
    /// `DefaultZone` of firewalld.conf.
    pub default_zone: Option<String>,
    /// Whether firewalld uses the iptables backend, so that `rules` holds all of its rules.
    pub iptables_backend: bool,
    /// Entries of direct.xml.
    pub direct: Result<Vec<Direct>, String>,
    /// Files that change the meaning of what is shipped: services with a shipped name, policies.
    pub overrides: Vec<String>,
    /// Rules that named services become; `None` = the file says more than this program understands.
    pub services: BTreeMap<String, Option<Vec<String>>>,
    /// The filter table; `None` without iptables.
    pub rules: Option<Rules>,
    /// Zones that have a spec.
    pub managed: Vec<String>,
}

/// Looks. firewall-cmd is slow (Python), so it is called once; everything else is read from files and the kernel.
/// Right after its start firewalld answers before its rules are in the kernel: that is waited for.
const FRAGMENT: &str = "\
if ! command -v firewall-cmd >/dev/null 2>&1; then
  echo '@ installed no'
else
  echo '@ installed yes'
  set --
  for f in /etc/firewalld/firewalld.conf /etc/firewalld/direct.xml /etc/firewalld/zones/*.xml /usr/lib/firewalld/zones/*.xml poclab_services; do
    if [ -f \"$f\" ]; then set -- \"$@\" \"$f\"; fi
  done
  [ $# -eq 0 ] || awk 'FNR == 1 { print \"@ file \" FILENAME } { print \"|\" $0 }' \"$@\"
  for f in /etc/firewalld/services/*.xml; do
    if [ -f \"$f\" ] && [ -f \"/usr/lib/firewalld/services/${f##*/}\" ]; then printf '@ override %s\\n' \"$f\"; fi
  done
  for f in /etc/firewalld/policies/*.xml; do
    if [ -f \"$f\" ] && [ \"${f##*/}\" != docker-forwarding.xml ]; then printf '@ override %s\\n' \"$f\"; fi
  done
  poclab_out=$(firewall-cmd --list-all-zones 2>&1)
  poclab_rc=$?
  printf '@ runtime %s\\n' \"$poclab_rc\"
  printf '%s\\n' \"$poclab_out\" | sed 's/^/|/'
  if [ \"$poclab_rc\" -eq 0 ] && ! grep -q '^FirewallBackend=nftables' /etc/firewalld/firewalld.conf; then
    poclab_i=0
    until iptables -w -S INPUT 2>/dev/null | grep -q -e '-j REJECT' || [ \"$poclab_i\" -ge 25 ]; do
      poclab_i=$((poclab_i + 1))
      sleep 0.2
    done
  fi
fi
if command -v iptables >/dev/null 2>&1; then
  poclab_out=$(iptables -w -S 2>&1)
  printf '@ rules %s\\n' \"$?\"
  printf '%s\\n' \"$poclab_out\" | sed 's/^/|/'
fi
";

/// The fragment that looks, also at the files of these services.
pub fn fragment<'a>(services: impl Iterator<Item = &'a String>) -> String {
    let names: BTreeSet<&String> = services.collect();
    let files = names.iter().flat_map(|name| [ETC_SERVICES, SHIPPED_SERVICES].map(|folder| quote(&format!("{folder}/{name}.xml"))));
    let files: Vec<String> = files.collect();
    FRAGMENT.replace(" poclab_services", &files.iter().map(|file| format!(" {file}")).collect::<String>())
}

const ETC_SERVICES: &str = "/etc/firewalld/services";
const SHIPPED_SERVICES: &str = "/usr/lib/firewalld/services";

impl Observed {
    /// Reads the fragment's output. `Err` = could not look.
    pub fn read(text: &str, managed: Vec<String>) -> Result<Self, String> {
        let sections = Sections::read(text);
        let mut observed = Self {
            installed: false,
            runtime: None,
            permanent: BTreeMap::new(),
            default_zone: None,
            iptables_backend: true,
            direct: Ok(Vec::new()),
            overrides: Vec::new(),
            services: BTreeMap::new(),
            rules: None,
            managed,
        };
        match sections.value("installed") {
            Some("yes") => observed.installed = true,
            Some("no") => return Ok(observed),
            _ => return Err("the observation did not say whether firewalld is installed".to_owned()),
        }
        let listing = sections.content("runtime").unwrap_or_default();
        let said = listing.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing").to_owned();
        // 252: not running; 251: running but failed to apply its configuration (later versions).
        observed.runtime = match sections.value("runtime") {
            Some("0") => Some(read_listing(&listing)),
            Some("251" | "252") => None,
            Some(status) => return Err(format!("firewall-cmd --list-all-zones ended with exit status {status}: {said}")),
            None => return Err("the observation ended before firewall-cmd".to_owned()),
        };
        observed.rules = match sections.value("rules") {
            Some("0") => Some(Rules::read(&sections.content("rules").unwrap_or_default())),
            Some(status) => {
                let said = sections.content("rules").unwrap_or_default();
                return Err(format!("iptables -S ended with exit status {status}: {}", said.lines().last().unwrap_or("nothing")));
            }
            None => None,
        };
        for (path, text) in sections.files() {
            let Some((folder, file)) = path.rsplit_once('/') else { continue };
            match (folder, file.strip_suffix(".xml")) {
                ("/etc/firewalld/zones", Some(zone)) => {
                    observed.permanent.insert(zone.to_owned(), read_zone(zone, &text));
                }
                ("/usr/lib/firewalld/zones", Some(zone)) => {
                    observed.permanent.entry(zone.to_owned()).or_insert_with(|| read_zone(zone, &text));
                }
                (ETC_SERVICES, Some(name)) => {
                    observed.services.insert(name.to_owned(), service_rules(&text));
                }
                (SHIPPED_SERVICES, Some(name)) => {
                    observed.services.entry(name.to_owned()).or_insert_with(|| service_rules(&text));
                }
                ("/etc/firewalld", Some("direct")) => observed.direct = read_direct(&text),
                _ => {}
            }
        }
        let conf = sections.file("/etc/firewalld/firewalld.conf").unwrap_or_default();
        let setting = |key: &str| {
            conf.lines().filter_map(|line| line.trim().split_once('=')).find(|(k, _)| k.trim() == key).map(|(_, v)| v.trim().to_owned())
        };
        observed.default_zone = setting("DefaultZone");
        // 0.5.3 has no such setting and knows iptables only.
        observed.iptables_backend = setting("FirewallBackend").is_none_or(|backend| backend == "iptables");
        observed.overrides = sections.values("override");
        Ok(observed)
    }
}
