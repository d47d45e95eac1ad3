//! `firewall-cmd --list-all-zones`.

use super::{Item, Zone};

/// Reads the listing. A zone starts at the left margin, its settings are indented by blanks, its rich rules by a tab
/// (`\trule …`; 0.5.3 also prints a tab when there is none).
pub fn zones(text: &str) -> Vec<Zone> {
    let mut zones: Vec<Zone> = Vec::new();
    for line in text.lines() {
        if line.trim().is_empty() {
            continue;
        }
        if !line.starts_with([' ', '\t']) {
            // `public`, `public (active)`, `public (default, active)`
            let name = line.split_whitespace().next().unwrap_or_default();
            zones.push(Zone::new(name));
        } else if let Some(zone) = zones.last_mut() {
            setting(zone, line.trim());
        }
    }
    zones
}

fn setting(zone: &mut Zone, line: &str) {
    if line.starts_with("rule ") {
        zone.items.insert(Item::Rich(line.to_owned()));
        return;
    }
    // Forward ports contain colons: only the first one ends the key.
    let Some((key, value)) = line.split_once(':') else {
        if line.starts_with("port=") {
            zone.items.insert(Item::ForwardPort(line.to_owned()));
        }
        return;
    };
    let value = value.trim();
    let words = || value.split_whitespace().map(str::to_owned);
    let yes = value == "yes";
    match key {
        "target" => zone.target = value.to_owned(),
        "interfaces" => zone.interfaces.extend(words()),
        "sources" => zone.sources.extend(words()),
        "services" => zone.items.extend(words().map(Item::Service)),
        "ports" => zone.items.extend(words().map(Item::Port)),
        "protocols" => zone.items.extend(words().map(Item::Protocol)),
        "source-ports" => zone.items.extend(words().map(Item::SourcePort)),
        "icmp-blocks" => zone.items.extend(words().map(Item::IcmpBlock)),
        "forward-ports" => zone.items.extend(words().map(Item::ForwardPort)),
        "masquerade" if yes => {
            zone.items.insert(Item::Masquerade);
        }
        "forward" if yes => {
            zone.items.insert(Item::Forward);
        }
        "icmp-block-inversion" if yes => {
            zone.items.insert(Item::IcmpInversion);
        }
        "masquerade" | "forward" | "icmp-block-inversion" | "rich rules" => {}
        // `port=80:proto=tcp:…` on a line of its own (later versions)
        port if port.starts_with("port=") => {
            zone.items.insert(Item::ForwardPort(line.to_owned()));
        }
        _ if matches!(value, "" | "0" | "no") => {}
        other => {
            zone.items.insert(Item::Other(other.to_owned(), value.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::golden::golden;
    use super::*;

    #[test]
    fn recorded_by_0_5_3() {
        let zones = zones(&golden("$ firewall-cmd --list-all-zones"));
        let names: Vec<&str> = zones.iter().map(|z| z.name.as_str()).collect();
        assert_eq!(names, ["block", "dmz", "drop", "external", "home", "internal", "lab", "public", "trusted", "work"]);
        let public = zones.iter().find(|z| z.name == "public").unwrap();
        assert_eq!(public.target, "default");
        assert_eq!(public.interfaces.iter().collect::<Vec<_>>(), ["eth9"]);
        let items: Vec<String> = public.items.iter().map(ToString::to_string).collect();
        assert_eq!(
            items,
            [
                "service dhcpv6-client",
                "service https",
                "service ssh",
                "port 5000/tcp",
                r#"rule family="ipv4" source address="10.0.0.12/32" port port="5000" protocol="tcp" accept"#,
                r#"rule family="ipv4" source address="10.0.0.13/32" port port="5000" protocol="tcp" accept"#,
            ]
        );
        let lab = zones.iter().find(|z| z.name == "lab").unwrap();
        assert_eq!((lab.target.as_str(), lab.sources.len(), lab.items.len()), ("DROP", 1, 0));
        let external = zones.iter().find(|z| z.name == "external").unwrap();
        assert!(external.items.contains(&Item::Masquerade));
    }

    #[test]
    fn later_versions_print_more() {
        // Form of 1.3.3 (priorities, forward) and of forward ports on lines of their own.
        let text = "public (default, active)\n  target: default\n  ingress-priority: 0\n  egress-priority: 0\n  icmp-block-inversion: no\n  \
                    interfaces: eth0\n  sources: \n  services: \n  ports: 22/tcp\n  protocols: \n  forward: yes\n  masquerade: no\n  \
                    forward-ports: \n\tport=80:proto=tcp:toport=8080:toaddr=10.0.0.1\n  source-ports: \n  icmp-blocks: \n  rich rules: \n\trule priority=\"-5\" accept\n  shiny: on\n";
        let zones = zones(text);
        assert_eq!(zones[0].name, "public");
        let items: Vec<String> = zones[0].items.iter().map(ToString::to_string).collect();
        assert_eq!(
            items,
            [
                "port 22/tcp",
                "forward port port=80:proto=tcp:toport=8080:toaddr=10.0.0.1",
                "forwarding inside the zone",
                "rule priority=\"-5\" accept",
                "shiny: on"
            ]
        );
    }
}
