//! firewalld's permanent files: zones/*.xml and direct.xml.

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};

use super::{Item, Zone};

/// Reads a zone file. `Err` = not XML, or not a zone: firewalld would refuse it too.
pub fn read_zone(name: &str, text: &str) -> Result<Zone, String> {
    let mut zone = Zone::new(name);
    let mut seen = false;
    // Open elements below <zone>; a rule's parts are collected until it closes.
    let mut path: Vec<String> = Vec::new();
    let mut rule: Option<Vec<String>> = None;
    for element in elements(text)? {
        match element {
            Element::Open(tag, attributes) => {
                match path.len() {
                    0 if tag == "zone" => {
                        seen = true;
                        if let Some(target) = get(&attributes, "target") {
                            zone.target = target.to_owned();
                        }
                    }
                    0 => return Err(format!("<{tag}> is not a zone")),
                    1 if tag == "rule" => rule = Some(vec![words("rule", &attributes)]),
                    1 => item(&mut zone, &tag, &attributes),
                    _ => {
                        if let Some(parts) = &mut rule {
                            parts.push(words(&tag, &attributes));
                        }
                    }
                }
                path.push(tag);
            }
            Element::Close => {
                if path.pop().as_deref() == Some("rule")
                    && path.len() == 1
                    && let Some(parts) = rule.take()
                {
                    zone.items.insert(Item::Rich(parts.join(" ")));
                }
            }
            Element::Text(_) => {}
        }
    }
    if seen && path.is_empty() { Ok(zone) } else { Err("it ends before </zone>".to_owned()) }
}

fn item(zone: &mut Zone, tag: &str, attributes: &[(String, String)]) {
    let value = |key: &str| get(attributes, key).unwrap_or_default().to_owned();
    let port = || format!("{}/{}", value("port"), value("protocol"));
    let item = match tag {
        "short" | "description" => return,
        "interface" => {
            zone.interfaces.insert(value("name"));
            return;
        }
        "source" => {
            let source = ["address", "mac"].into_iter().find_map(|key| get(attributes, key)).map(str::to_owned);
            zone.sources.insert(source.unwrap_or_else(|| format!("ipset:{}", value("ipset"))));
            return;
        }
        "service" => Item::Service(value("name")),
        "port" => Item::Port(port()),
        "protocol" => Item::Protocol(value("value")),
        "source-port" => Item::SourcePort(port()),
        "icmp-block" => Item::IcmpBlock(value("name")),
        "icmp-block-inversion" => Item::IcmpInversion,
        "masquerade" => Item::Masquerade,
        "forward" => Item::Forward,
        "forward-port" => Item::ForwardPort(format!(
            "port={}:proto={}:toport={}:toaddr={}",
            value("port"),
            value("protocol"),
            value("to-port"),
            value("to-addr")
        )),
        other => Item::Other(other.to_owned(), attributes.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")),
    };
    zone.items.insert(item);
}

/// A rule's part in firewalld's print form: `port port="5000" protocol="tcp"`.
fn words(tag: &str, attributes: &[(String, String)]) -> String {
    let mut text = tag.to_owned();
    if attributes.iter().any(|(key, value)| key == "invert" && matches!(value.to_ascii_lowercase().as_str(), "yes" | "true")) {
        text.push_str(" NOT");
    }
    for (key, value) in attributes.iter().filter(|(key, _)| key != "invert") {
        text.push_str(&format!(" {key}=\"{value}\""));
    }
    text
}

/// Writes a zone file that holds exactly this zone. Rich rules other than those of [`Item::of`] cannot be written.
pub fn write_zone(zone: &Zone) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
    let target = if zone.target == "default" { String::new() } else { format!(" target=\"{}\"", escape(zone.target.as_str())) };
    xml.push_str(&format!(
        "<zone{target}>\n  <short>{}</short>\n  <description>Managed by poclab: changes made here are undone.</description>\n",
        escape(zone.name.as_str())
    ));
    for name in &zone.interfaces {
        xml.push_str(&format!("  <interface name=\"{}\"/>\n", escape(name.as_str())));
    }
    for address in &zone.sources {
        xml.push_str(&format!("  <source address=\"{}\"/>\n", escape(address.as_str())));
    }
    for item in &zone.items {
        match item {
            Item::Service(name) => xml.push_str(&format!("  <service name=\"{}\"/>\n", escape(name.as_str()))),
            Item::Port(port) => {
                let (port, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
                xml.push_str(&format!("  <port port=\"{}\" protocol=\"{}\"/>\n", escape(port), escape(protocol)));
            }
            Item::Rich(rule) => {
                let quoted: Vec<&str> = rule.split('"').collect();
                if let [_, family, _, source, _, port, _, protocol, _] = quoted.as_slice() {
                    xml.push_str(&format!(
                        "  <rule family=\"{family}\">\n    <source address=\"{source}\"/>\n    <port port=\"{port}\" protocol=\"{protocol}\"/>\n    <accept/>\n  </rule>\n"
                    ));
                }
            }
            _ => {}
        }
    }
    xml.push_str("</zone>\n");
    xml
}

/// One entry of direct.xml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Direct {
    /// `chain`, `rule` or `passthrough`.
    pub tag: String,
    /// `ipv4`, `ipv6` or `eb`.
    pub ipv: String,
    /// `filter`; empty for a passthrough.
    pub table: String,
    /// `DOCKER-USER`; empty for a passthrough.
    pub chain: String,
    /// Of a rule: lower is earlier.
    pub priority: i32,
    /// Arguments of iptables.
    pub args: String,
}

impl Direct {
    /// Whether it belongs to the guard of published ports (a rule of mangle FORWARD), which `docker_ports` looks after.
    pub fn is_docker_guard(&self) -> bool {
        self.tag == "rule" && (self.ipv.as_str(), self.table.as_str(), self.chain.as_str()) == ("ipv4", "mangle", "FORWARD")
    }

    /// Whether the kind `docker_ports` looks after it.
    pub fn is_docker_user(&self) -> bool {
        (self.ipv.as_str(), self.table.as_str(), self.chain.as_str()) == ("ipv4", "filter", "DOCKER-USER")
    }
}

impl std::fmt::Display for Direct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.tag.as_str() {
            "rule" => write!(f, "rule {} {} {} {} {}", self.ipv, self.table, self.chain, self.priority, self.args),
            "chain" => write!(f, "chain {} {} {}", self.ipv, self.table, self.chain),
            tag => write!(f, "{tag} {} {}", self.ipv, self.args),
        }
    }
}

/// Reads direct.xml, in the file's order.
pub fn read_direct(text: &str) -> Result<Vec<Direct>, String> {
    let mut entries: Vec<Direct> = Vec::new();
    let mut depth = 0usize;
    let mut seen = false;
    for element in elements(text)? {
        match element {
            Element::Open(tag, attributes) => {
                if depth == 0 && tag != "direct" {
                    return Err(format!("<{tag}> is not <direct>"));
                }
                seen = true;
                if depth == 1 {
                    let value = |key: &str| get(&attributes, key).unwrap_or_default().to_owned();
                    entries.push(Direct {
                        ipv: value("ipv"),
                        table: value("table"),
                        chain: value("chain"),
                        priority: value("priority").parse().unwrap_or(0),
                        tag,
                        args: String::new(),
                    });
                }
                depth += 1;
            }
            Element::Close => depth = depth.saturating_sub(1),
            Element::Text(text) => {
                if let (2, Some(entry)) = (depth, entries.last_mut()) {
                    entry.args.push_str(&text);
                }
            }
        }
    }
    for entry in &mut entries {
        entry.args = entry.args.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    if seen && depth == 0 { Ok(entries) } else { Err("it ends before </direct>".to_owned()) }
}

/// The IPv4 rules that a service becomes, as `iptables -S` prints them, without the connection's state. `None` = it cannot be
/// read, or it refers to other services.
pub fn service_rules(text: &str) -> Option<Vec<String>> {
    let (mut depth, mut seen) = (0usize, false);
    let mut matches = Vec::new();
    let mut destination = String::new();
    for element in elements(text).ok()? {
        match element {
            Element::Open(tag, attributes) => {
                let value = |key: &str| get(&attributes, key).filter(|value| !value.is_empty());
                match (depth, tag.as_str()) {
                    (0, "service") => seen = true,
                    (0, _) | (1, "include") => return None,
                    (1, "port") => matches.push(match (value("protocol")?, value("port")) {
                        (protocol, Some(port)) => format!("-p {protocol} -m {protocol} --dport {}", port.replace('-', ":")),
                        (protocol, None) => format!("-p {protocol}"),
                    }),
                    (1, "source-port") => {
                        let (protocol, port) = (value("protocol")?, value("port")?);
                        matches.push(format!("-p {protocol} -m {protocol} --sport {}", port.replace('-', ":")));
                    }
                    (1, "protocol") => matches.push(format!("-p {}", value("value")?)),
                    (1, "destination") => match value("ipv4") {
                        Some(net) => destination = format!("-d {net}{} ", if net.contains('/') { "" } else { "/32" }),
                        // For IPv6 only.
                        None => return Some(Vec::new()),
                    },
                    _ => {}
                }
                depth += 1;
            }
            Element::Close => depth = depth.saturating_sub(1),
            Element::Text(_) => {}
        }
    }
    (seen && depth == 0).then(|| matches.into_iter().map(|rule| format!("{destination}{rule} -j ACCEPT")).collect())
}

enum Element {
    Open(String, Vec<(String, String)>),
    Close,
    Text(String),
}

fn get<'a>(attributes: &'a [(String, String)], key: &str) -> Option<&'a str> {
    attributes.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
}

fn elements(text: &str) -> Result<Vec<Element>, String> {
    let mut reader = Reader::from_str(text);
    let mut found = Vec::new();
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Eof => return Ok(found),
            Event::Start(tag) => found.push(open(&tag)?),
            Event::Empty(tag) => found.extend([open(&tag)?, Element::Close]),
            Event::End(_) => found.push(Element::Close),
            Event::Text(text) => found.push(Element::Text(text.unescape().map_err(|error| error.to_string())?.into_owned())),
            _ => {}
        }
    }
}

fn open(tag: &BytesStart<'_>) -> Result<Element, String> {
    let mut attributes = Vec::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = attribute.unescape_value().map_err(|error| error.to_string())?.into_owned();
        attributes.push((String::from_utf8_lossy(attribute.key.as_ref()).into_owned(), value));
    }
    Ok(Element::Open(String::from_utf8_lossy(tag.name().as_ref()).into_owned(), attributes))
}

#[cfg(test)]
mod tests {
    use super::super::golden::golden;
    use super::super::{Allow, listing};
    use super::*;

    #[test]
    fn a_recorded_file_equals_the_recorded_listing() {
        let file = read_zone("public", &golden("$ cat /etc/firewalld/zones/public.xml")).unwrap();
        let listed = listing::zones(&golden("$ firewall-cmd --permanent --zone=public --list-all")).remove(0);
        assert_eq!(file, listed);
        let lab = read_zone("lab", &golden("$ cat /etc/firewalld/zones/lab.xml")).unwrap();
        assert_eq!((lab.target.as_str(), lab.sources.first().map(String::as_str)), ("DROP", Some("10.0.0.0/24")));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let allow =
            |source: &str, port| Item::of(&Allow { source: source.to_owned().try_into().unwrap(), port, protocol: Default::default() });
        let mut zone = Zone::new("public");
        zone.interfaces.insert("eth1".into());
        zone.items = [allow("any", 22), allow("10.0.0.11", 5000), Item::Service("ntp".into())].into();
        assert_eq!(read_zone("public", &write_zone(&zone)).unwrap(), zone);
        insta::assert_snapshot!(write_zone(&zone), @r#"
        <?xml version="1.0" encoding="utf-8"?>
        <zone>
          <short>public</short>
          <description>Managed by poclab: changes made here are undone.</description>
          <interface name="eth1"/>
          <service name="ntp"/>
          <port port="22" protocol="tcp"/>
          <rule family="ipv4">
            <source address="10.0.0.11/32"/>
            <port port="5000" protocol="tcp"/>
            <accept/>
          </rule>
        </zone>
        "#);
    }

    #[test]
    fn rules_of_others_are_shown_as_firewalld_prints_them() {
        let xml = r#"<zone target="DROP"><rule priority="-5" family="ipv4"><source address="10.0.0.1" invert="True"/><service name="ssh"/>
            <log prefix="x" level="info"><limit value="1/m"/></log><drop/></rule><forward-port port="80" protocol="tcp" to-port="8080"/><new-thing a="b"/></zone>"#;
        let zone = read_zone("x", xml).unwrap();
        let items: Vec<String> = zone.items.iter().map(ToString::to_string).collect();
        assert_eq!(
            items,
            [
                "forward port port=80:proto=tcp:toport=8080:toaddr=",
                r#"rule priority="-5" family="ipv4" source NOT address="10.0.0.1" service name="ssh" log prefix="x" level="info" limit value="1/m" drop"#,
                "new-thing: a=b",
            ]
        );
    }

    #[test]
    fn services_become_rules() {
        // Files of firewalld 1.3.3 (0.5.3 has the same), shortened.
        let read = |inner: &str| service_rules(&format!("<?xml version=\"1.0\"?><service><short>x</short>{inner}</service>"));
        assert_eq!(read(r#"<port protocol="udp" port="123"/>"#).unwrap(), ["-p udp -m udp --dport 123 -j ACCEPT"]);
        assert_eq!(
            read(r#"<port protocol="udp" port="5353"/><destination ipv4="224.0.0.251" ipv6="ff02::fb"/>"#).unwrap(),
            ["-d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT"]
        );
        assert_eq!(read(r#"<port protocol="udp" port="546"/><destination ipv6="fe80::/64"/>"#).unwrap(), [""; 0]);
        assert_eq!(
            read(r#"<port protocol="tcp" port="300-310"/><protocol value="vrrp"/>"#).unwrap(),
            ["-p tcp -m tcp --dport 300:310 -j ACCEPT", "-p vrrp -j ACCEPT"]
        );
        assert_eq!(read(r#"<include service="http"/>"#), None);
        assert_eq!(service_rules("<service>"), None);
        assert_eq!(service_rules("<zone/>"), None);
    }

    #[test]
    fn broken_files_are_errors() {
        for text in ["", "<zone>", "<zone><port></zone>", "text", "<direct/>"] {
            assert!(read_zone("public", text).is_err(), "{text}");
        }
        for text in ["", "<direct>", "<zone/>"] {
            assert!(read_direct(text).is_err(), "{text}");
        }
        assert_eq!(read_direct("<direct/>"), Ok(Vec::new()));
    }

    #[test]
    fn recorded_direct_rules() {
        let entries = read_direct(&golden("$ cat /etc/firewalld/direct.xml")).unwrap();
        let rules: Vec<String> = entries.iter().filter(|e| e.tag == "rule").map(|e| e.to_string().replacen("rule ", "", 1)).collect();
        let listed = golden("$ firewall-cmd --permanent --direct --get-all-rules");
        assert_eq!(rules, listed.lines().collect::<Vec<_>>());
        assert!(entries.iter().all(Direct::is_docker_user));
        let foreign = read_direct("<direct><passthrough ipv=\"ipv4\">-I INPUT -p tcp\n -j ACCEPT</passthrough></direct>").unwrap();
        assert_eq!(foreign[0].to_string(), "passthrough ipv4 -I INPUT -p tcp -j ACCEPT");
    }
}
