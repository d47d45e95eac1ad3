//! The script that repairs the firewall: permanent state first, then as few runtime calls as possible.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::Spec;
use super::diff::{Finding, Fix};
use crate::base::{Payload, quote};
use crate::resource::Action;
use crate::resource::confirm::{Revert, arm};
use crate::resource::firewalld::shell::{PUT, RELOAD, SWEEP, direct_elements};
use crate::resource::firewalld::{Item, Zone, write_zone};

/// Docker's zone as Docker makes it.
const DOCKER_ZONE: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<zone version=\"1.0\" target=\"ACCEPT\">\n  <short>docker</short>\n  <description>zone for docker bridge network interfaces</description>\n</zone>\n";

/// The steps for these findings: none when only a start of firewalld is missing.
pub fn actions(spec: &Spec, findings: &[Finding]) -> Vec<Action> {
    let fixes: BTreeSet<&Fix> = findings.iter().flat_map(|finding| &finding.fix).collect();
    if fixes.is_empty() {
        return Vec::new();
    }
    let permanent = fixes
        .iter()
        .any(|fix| !matches!(fix, Fix::Runtime(..) | Fix::Kernel(..) | Fix::Reload | Fix::DefaultZone | Fix::ForgetPassthroughs));
    let default_zone = fixes.contains(&Fix::DefaultZone);
    let mut script = String::from(RELOAD);
    script.push_str(PUT);
    // What was only closed at runtime is opened again when nobody confirms.
    let undo: Vec<&Vec<String>> = fixes
        .iter()
        .filter_map(|fix| match fix {
            Fix::Runtime(_, undo) => undo.as_ref(),
            _ => None,
        })
        .collect();
    script.push_str(&arm(&revert(spec, &undo)));
    let mut stdin = None;
    if fixes.contains(&Fix::WriteZone) {
        let xml = write_zone(&spec.zone());
        let _ = writeln!(script, "head -c {} | poclab_put /etc/firewalld/zones/{}.xml || exit 1", xml.len(), spec.name);
        stdin = Some(Payload::Bytes(xml.into_bytes()));
    }
    for fix in &fixes {
        match fix {
            Fix::DockerZone => {
                let _ = writeln!(script, "printf '%s' {} | poclab_put /etc/firewalld/zones/docker.xml || exit 1", quote(DOCKER_ZONE));
            }
            Fix::CleanDirect => {
                let _ = writeln!(
                    script,
                    "{{ printf '%s\\n' '<?xml version=\"1.0\" encoding=\"utf-8\"?>' '<direct>'\n{}\necho '</direct>'; }} | poclab_put /etc/firewalld/direct.xml || exit 1",
                    direct_elements("mine")
                );
            }
            Fix::MoveAway(file) => {
                let _ = writeln!(
                    script,
                    "mkdir -p /var/lib/poclab/removed\nif [ -e {0} ]; then mv -f {0} /var/lib/poclab/removed/ || exit 1; fi",
                    quote(file)
                );
            }
            _ => {}
        }
    }
    if default_zone {
        // In the file in any case: `--set-default-zone` writes nothing when the runtime is right already. The package brings the file.
        let _ = write!(
            script,
            "if [ -f /etc/firewalld/firewalld.conf ]; then\n  sed -i 's/^DefaultZone=.*/DefaultZone={0}/' /etc/firewalld/firewalld.conf || exit 1\n  \
             grep -q '^DefaultZone={0}$' /etc/firewalld/firewalld.conf || echo 'DefaultZone={0}' >>/etc/firewalld/firewalld.conf || exit 1\nfi\n",
            spec.name
        );
    }
    let reload = permanent || fixes.contains(&Fix::Reload);
    script.push_str("if systemctl is-active --quiet firewalld; then\n");
    let mut online = String::new();
    if reload {
        online.push_str("  poclab_reload || { echo 'firewalld did not take the new policy: see journalctl -u firewalld' >&2; exit 1; }\n");
    }
    if default_zone {
        let _ = writeln!(online, "  firewall-cmd --set-default-zone={} >/dev/null || exit 1", spec.name);
    }
    for fix in &fixes {
        match fix {
            Fix::Runtime(args, _) => {
                // Exit status 0 also means `was so already`; what did not work is seen when the host is looked at again.
                let args: Vec<String> = args.iter().map(|arg| quote(arg)).collect();
                let _ = writeln!(online, "  firewall-cmd {} >/dev/null || exit 1", args.join(" "));
            }
            Fix::ForgetPassthroughs => online.push_str(
                "  firewall-cmd --direct --get-all-passthroughs | while IFS= read -r poclab_l; do\n    \
                 [ -z \"$poclab_l\" ] || printf '%s\\n' \"$poclab_l\" | xargs firewall-cmd --direct --remove-passthrough || exit 1\n  done || exit 1\n",
            ),
            Fix::Kernel(chain, words) => online.push_str(&delete(chain, words)),
            _ => {}
        }
    }
    if online.is_empty() {
        online.push_str("  :\n");
    }
    script.push_str(&online);
    script.push_str("else\n");
    for fix in &fixes {
        if let Fix::Kernel(chain, words) = fix {
            script.push_str(&delete(chain, words));
        }
    }
    // The first start happens while the timer is armed, so that the confirmation proves the new policy and not the old openness.
    // Where it cannot start, the service resource says why.
    script.push_str("  if systemctl start firewalld 2>/dev/null; then poclab_docker_back || exit 1; fi\n");
    script.push_str("fi\n");
    vec![Action {
        label: format!("set the firewall policy of zone {}", spec.name),
        script,
        stdin,
        sweep: SWEEP.to_owned(),
        confirm_within: Some(spec.confirm_seconds),
        ..Action::default()
    }]
}

fn delete(chain: &str, words: &[String]) -> String {
    let rule: Vec<String> = std::iter::once(chain.to_owned()).chain(words.iter().cloned()).map(|word| quote(&word)).collect();
    let rule = rule.join(" ");
    format!("  while iptables -w -C {rule} 2>/dev/null; do iptables -w -D {rule} || exit 1; done\n")
}

/// How the host undoes the change. When firewalld did not run before there is no old policy to go back to and firewalld
/// stays on all the same: then sshd alone is opened, to everybody.
fn revert(spec: &Spec, undo: &[&Vec<String>]) -> Revert<'static> {
    let mut rescue = Zone::new(&spec.name);
    rescue.items.insert(Item::Port(format!("{}/tcp", spec.ssh_port)));
    let mut script = String::from(RELOAD);
    script.push_str(PUT);
    let _ = write!(
        script,
        "if [ \"$poclab_was\" != running ]; then\n  printf '%s' {} | poclab_put /etc/firewalld/zones/{}.xml\nfi\n\
         if systemctl is-active --quiet firewalld; then\n  poclab_reload\n",
        quote(&write_zone(&rescue)),
        spec.name
    );
    for args in undo {
        let args: Vec<String> = args.iter().map(|arg| quote(arg)).collect();
        let _ = writeln!(script, "  firewall-cmd {}", args.join(" "));
    }
    script.push_str("fi\n");
    Revert {
        unit: "poclab-revert-firewall",
        seconds: spec.confirm_seconds,
        directory: "/etc/firewalld",
        remember: "if systemctl is-active --quiet firewalld; then echo running; else echo stopped; fi",
        script,
    }
}
