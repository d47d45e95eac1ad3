//! `iptables -S`: the filter table as the kernel has it.

use std::collections::BTreeSet;

/// The filter table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Chains, built-in ones too.
    pub chains: Vec<String>,
    /// (chain, rule without `-A CHAIN`), in order.
    pub rules: Vec<(String, String)>,
}

impl Rules {
    /// Reads the output of `iptables -S`.
    pub fn read(text: &str) -> Self {
        let mut read = Self::default();
        for line in text.lines() {
            let mut words = line.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("-P" | "-N"), Some(chain), _) => read.chains.push(chain.to_owned()),
                (Some("-A"), Some(chain), rule) => read.rules.push((chain.to_owned(), rule.unwrap_or_default().to_owned())),
                _ => {}
            }
        }
        read
    }

    /// Rules of one chain, in order.
    pub fn of<'a>(&'a self, chain: &'a str) -> impl Iterator<Item = &'a str> {
        self.rules.iter().filter(move |(c, _)| c == chain).map(|(_, rule)| rule.as_str())
    }

    /// Whether a chain exists.
    pub fn has(&self, chain: &str) -> bool {
        self.chains.iter().any(|c| c == chain)
    }

    /// Rules that neither firewalld nor Docker writes, in the chains that judge arriving and forwarded packets:
    /// (chain, rule). Zones' own `IN_…` chains are not looked at.
    pub fn foreign(&self) -> Vec<(String, String)> {
        let bridges = self.of("FORWARD").filter_map(|rule| rule.strip_prefix("-o ")?.strip_suffix(" -j DOCKER"));
        let dockers: BTreeSet<String> = bridges.flat_map(dockers).collect();
        self.rules
            .iter()
            .filter(|(chain, rule)| {
                let known = match chain.as_str() {
                    "INPUT" => base(rule) || (rule.starts_with("-j INPUT_")),
                    "FORWARD" => base(rule) || rule.starts_with("-j FORWARD_") || docker(rule) || dockers.contains(rule),
                    "INPUT_ZONES" | "INPUT_ZONES_SOURCE" => target(rule).is_some_and(|t| t.starts_with("IN_")),
                    "INPUT_direct" | "FORWARD_direct" | "OUTPUT_direct" => false,
                    _ => true,
                };
                !known && target(rule) != Some("LOG")
            })
            .cloned()
            .collect()
    }
}

/// What a rule jumps or goes to.
fn target(rule: &str) -> Option<&str> {
    let mut words = rule.split(' ').skip_while(|word| *word != "-j" && *word != "-g").skip(1);
    words.next()
}

/// firewalld's own rules in INPUT and FORWARD (0.5.3, 0.6.3, 1.3.3).
fn base(rule: &str) -> bool {
    matches!(
        rule,
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
            | "-m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT"
            | "-m conntrack --ctstate INVALID -j DROP"
            | "-i lo -j ACCEPT"
            | "-j REJECT --reject-with icmp-host-prohibited"
    )
}

/// Docker's own rules in FORWARD (20.10 to 26.1).
fn docker(rule: &str) -> bool {
    matches!(rule, "-j DOCKER-USER" | "-j DOCKER-ISOLATION-STAGE-1" | "-j DOCKER-INGRESS" | "-j DOCKER-FORWARD")
}

/// Docker's own rules for one bridge.
fn dockers(bridge: &str) -> [String; 5] {
    [
        format!("-o {bridge} -j DOCKER"),
        format!("-o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
        format!("-i {bridge} ! -o {bridge} -j ACCEPT"),
        format!("-i {bridge} -o {bridge} -j ACCEPT"),
        format!("-i {bridge} -o {bridge} -j DROP"),
    ]
}

/// The words of a printed rule: `iptables -S` puts words with blanks into double quotes, with `\"` inside.
pub fn command_words(rule: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut chars = rule.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => word.get_or_insert_default().extend(chars.next()),
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::super::golden::{from, golden};
    use super::*;

    #[test]
    fn recorded_tables_hold_nothing_foreign() {
        let rules = Rules::read(&golden("$ iptables -S   # after the above"));
        assert!(rules.has("IN_public_allow"));
        assert_eq!(rules.of("DOCKER-USER").count(), 3);
        assert_eq!(rules.foreign(), []);
        let later = Rules::read(&from(include_str!("../../../tests/golden/firewalld-1.3.3.txt"), "$ iptables -S   # with Docker 20.10"));
        assert!(later.has("DOCKER-ISOLATION-STAGE-1"));
        assert_eq!(later.foreign(), []);
    }

    #[test]
    fn each_foreign_rule_is_found() {
        for line in [
            "-A INPUT -p tcp -m tcp --dport 23 -j ACCEPT",
            "-A INPUT -m comment --comment \"a \\\" b\" -j ACCEPT",
            "-A INPUT_direct -p tcp -m tcp --dport 23 -j ACCEPT",
            "-A FORWARD_direct -j ACCEPT",
            "-A FORWARD -s 10.0.0.9/32 -j ACCEPT",
            "-A FORWARD -i eth0 -o docker0 -j ACCEPT",
            "-A INPUT_ZONES -i eth0 -j ACCEPT",
        ] {
            let text = format!("{}{line}\n", golden("$ iptables -S   # after the above"));
            let foreign = Rules::read(&text).foreign();
            assert_eq!(foreign.iter().map(|(c, r)| format!("-A {c} {r}")).collect::<Vec<_>>(), [line]);
        }
    }

    #[test]
    fn printed_rules_become_words() {
        assert_eq!(
            command_words(r#"-m comment --comment "a \"b\" $c" -j ACCEPT"#),
            ["-m", "comment", "--comment", "a \"b\" $c", "-j", "ACCEPT"]
        );
        assert_eq!(command_words(r#"--comment "" x"#), ["--comment", "", "x"]);
    }
}
