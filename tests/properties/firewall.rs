//! The firewall of a whole host: its zone, and its policy for published ports.

use proptest::collection::btree_set;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::host::Host;
use super::property::{Property, Trial};

/// A flow that is allowed, and how firewalld and the kernel write it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Flow {
    source: Option<String>,
    port: u16,
    protocol: &'static str,
}

impl Flow {
    fn spec(&self) -> Value {
        json!({"source": self.source.as_deref().unwrap_or("any"), "port": self.port, "protocol": self.protocol})
    }

    /// As firewalld lists it.
    fn item(&self) -> String {
        let Flow { source, port, protocol } = self;
        match source {
            None => format!("port {port}/{protocol}"),
            Some(net) => format!("rule family=\"ipv4\" source address=\"{net}\" port port=\"{port}\" protocol=\"{protocol}\" accept"),
        }
    }

    /// As an option of firewall-cmd, without its verb.
    fn option(&self) -> String {
        let Flow { source, port, protocol } = self;
        match source {
            None => format!("port={port}/{protocol}"),
            Some(_) => format!("rich-rule='{}'", self.item()),
        }
    }

    fn from(&self) -> String {
        self.source.as_ref().map(|net| format!("-s {net} ")).unwrap_or_default()
    }
}

fn flow() -> impl Strategy<Value = Flow> {
    let source = prop_oneof![1 => Just(None), 3 => (0u8..255, 0u8..255).prop_map(|(a, b)| Some(format!("10.{a}.{b}.0/24"))), 1 => (1u8..255).prop_map(|a| Some(format!("10.0.0.{a}/32")))];
    (source, 1024u16.., prop_oneof![Just("tcp"), Just("udp")]).prop_map(|(source, port, protocol)| Flow { source, port, protocol })
}

/// Docker and firewalld run, as packages make them, and nothing of ours is left.
const CLEAN: &str = "rm -rf /etc/firewalld/zones/* /etc/firewalld/direct.xml /etc/firewalld/services/* /var/lib/poclab\n\
    sed -i 's/^DefaultZone=.*/DefaultZone=public/' /etc/firewalld/firewalld.conf\n\
    systemctl reset-failed docker firewalld || :\nsystemctl start firewalld\nfirewall-cmd --complete-reload\nsystemctl restart docker\n\
    i=0; until iptables -w -S FORWARD | grep -q -e '-j DOCKER-USER'; do i=$((i + 1)); [ $i -lt 50 ]; sleep 0.2; done\n";

pub fn firewall_zone() -> Property {
    fn trials(_: &Host) -> BoxedStrategy<Trial> {
        (btree_set(flow(), 2..6), any::<bool>())
            .prop_map(|(flows, drop)| {
                let flows: Vec<Flow> = flows.into_iter().collect();
                let mut allow: Vec<Value> = flows.iter().map(Flow::spec).collect();
                allow.push(json!({"source": "any", "port": 22}));
                let (target, services) = if drop { ("DROP", json!(["ntp"])) } else { ("default", json!([])) };
                let mut trial = Trial { before: CLEAN.to_owned(), after: CLEAN.to_owned(), ..Trial::default() };
                trial.specs.push(json!({"allow": allow, "target": target, "services": services}));
                let flow = &flows[0];
                let (item, option) = (flow.item(), flow.option());
                trial.hurt(0, format!("firewall-cmd --remove-{option}"), &[&format!("{item} is missing (runtime)")]);
                trial.hurt(0, format!("firewall-cmd --permanent --remove-{option}"), &[&format!("{item} is missing (permanent)")]);
                trial.hurt(0, "firewall-cmd --remove-port=22/tcp", &["port 22/tcp is missing (runtime)"]);
                trial.hurt(0, "firewall-cmd --add-port=23/tcp", &["unknown rule `port 23/tcp` (runtime)"]);
                trial.hurt(0, "firewall-cmd --permanent --add-service=http", &["unknown rule `service http` (permanent)"]);
                trial.hurt(
                    0,
                    "firewall-cmd --permanent --add-masquerade\nfirewall-cmd --add-masquerade",
                    &["unknown rule `masquerading` (permanent and runtime)"],
                );
                trial.hurt(0, "firewall-cmd --zone=trusted --change-interface=eth0", &["interface eth0 is in zone trusted (runtime)"]);
                trial.hurt(
                    0,
                    "firewall-cmd --permanent --zone=trusted --add-source=10.8.0.0/16",
                    &["source 10.8.0.0/16 is in zone trusted (permanent)"],
                );
                trial.hurt(0, "firewall-cmd --set-default-zone=trusted", &["the default zone is trusted, want public"]);
                trial.hurt(
                    0,
                    "iptables -w -I INPUT -p tcp --dport 23 -m comment --comment 'a \"b' -j ACCEPT",
                    &["unknown rule `-A INPUT -p tcp -m tcp --dport 23 -m comment --comment \"a \\\"b\" -j ACCEPT` (runtime)"],
                );
                trial.hurt(
                    0,
                    "iptables -w -I IN_public_allow -j ACCEPT",
                    &["unknown rule `-A IN_public_allow -j ACCEPT` in the kernel (runtime)"],
                );
                trial.hurt(
                    0,
                    "firewall-cmd --permanent --direct --add-rule ipv4 filter INPUT 0 -p tcp --dport 23 -j ACCEPT",
                    &["unknown direct rule ipv4 filter INPUT 0 -p tcp --dport 23 -j ACCEPT (permanent)"],
                );
                trial.hurt(
                    0,
                    "cp /usr/lib/firewalld/services/ssh.xml /etc/firewalld/services/",
                    &["/etc/firewalld/services/ssh.xml changes what firewalld ships"],
                );
                trial.hurt(
                    0,
                    "sed -i 's/<zone.*>/<zone target=\"ACCEPT\">/' /etc/firewalld/zones/public.xml",
                    &[&format!("target is ACCEPT, want {target} (permanent)")],
                );
                trial.hurt(0, "sed -i '$d' /etc/firewalld/zones/public.xml", &["/etc/firewalld/zones/public.xml cannot be read: …"]);
                trial
            })
            .boxed()
    }
    Property { cases: 1, trials }
}

pub fn docker_ports() -> Property {
    fn trials(_: &Host) -> BoxedStrategy<Trial> {
        btree_set(flow(), 1..4)
            .prop_map(|flows| {
                let flows: Vec<Flow> = flows.into_iter().collect();
                let mut trial = Trial { before: CLEAN.to_owned(), after: CLEAN.to_owned(), ..Trial::default() };
                trial.specs.push(json!({"allow": flows.iter().map(Flow::spec).collect::<Vec<_>>()}));
                let flow = &flows[0];
                let rule = format!(
                    "{}-i eth0 -p {} -m conntrack --ctorigdstport {} --ctdir ORIGINAL -j RETURN",
                    flow.from(),
                    flow.protocol,
                    flow.port
                );
                let missing = |rule: &str, place: &str| format!("`{rule}` is missing ({place})");
                trial.hurt(0, format!("iptables -w -D DOCKER-USER {rule}"), &[&missing(&rule, "runtime")]);
                trial.hurt(0, "iptables -w -D DOCKER-USER -i eth0 -j DROP", &[&missing("-i eth0 -j DROP", "runtime")]);
                let guard = format!("guard: {}", missing(&rule, "runtime"));
                trial.hurt(0, format!("iptables -w -t mangle -D FORWARD_direct {rule}"), &[&guard]);
                trial.hurt(
                    0,
                    "iptables -w -I DOCKER-USER -s 10.9.9.9 -m comment --comment 'a b' -j RETURN",
                    &["unknown rule `-s 10.9.9.9/32 -m comment --comment \"a b\" -j RETURN` (runtime)"],
                );
                trial.hurt(0, "iptables -w -t mangle -I FORWARD_direct -j ACCEPT", &["guard: unknown rule `-j ACCEPT` (runtime)"]);
                trial.hurt(
                    0,
                    "firewall-cmd --permanent --direct --add-rule ipv4 filter DOCKER-USER 5 -s 10.9.9.9 -j ACCEPT",
                    &["unknown rule `-s 10.9.9.9 -j ACCEPT` (permanent)"],
                );
                trial.hurt(
                    0,
                    format!("firewall-cmd --permanent --direct --remove-rule ipv4 filter DOCKER-USER 10 {rule}"),
                    &[&missing(&rule, "permanent")],
                );
                trial.hurt(
                    0,
                    "iptables -w -D DOCKER-USER -i eth0 -j DROP\niptables -w -I DOCKER-USER -i eth0 -j DROP",
                    &["the rules of DOCKER-USER are in the wrong order"],
                );
                trial.hurt(
                    0,
                    "iptables -w -D FORWARD -j DOCKER-USER",
                    &["Docker's rules are gone from the kernel: the jump from FORWARD to DOCKER-USER"],
                );
                trial.hurt(0, "rm /etc/firewalld/direct.xml", &["no policy for published ports (permanent)"]);
                trial.hurt(0, "sed -i '$d' /etc/firewalld/direct.xml", &["/etc/firewalld/direct.xml cannot be read: …"]);
                trial
            })
            .boxed()
    }
    Property { cases: 1, trials }
}
