//! What vagrant, docker and fresh local hosts say.

use super::{docker, setup, vagrant_text};
use crate::hostile::{Parser, golden};

pub(crate) fn parsers() -> Vec<Parser> {
    let row = r#"{"Image":"poclab/rehearsal-host:1","Names":"poclab-x-app","State":"running"}"#;
    let network = r#"[{"IPAM":{"Config":[{"Subnet":"10.90.0.0/24"}]},"Containers":{"a":{}}}]"#;
    let inventory = "lab: lab\noperators: [192.168.56.1/32]\nhosts:\n  deploy: {address: 192.168.56.11}\n  app: {address: 192.168.56.12}\n";
    vec![
        Parser::text("rehearsal", "vagrant ssh-config", &[&golden("vagrant-ssh-config.txt")], move |text| {
            if let Ok(machines) = vagrant_text::parse_ssh_config(text) {
                let _ = vagrant_text::with_machines(inventory, &machines);
                for machine in machines.values() {
                    let _ = vagrant_text::known_hosts(machine, text);
                }
            }
        }),
        Parser::text("rehearsal", "vagrant status", &["1424098924,deploy,state,running\n1424098925,,ui,info,x\n"], |text| {
            let _ = vagrant_text::parse_status(text);
        }),
        Parser::text(
            "rehearsal",
            "host keys",
            &["poclab-host-key ssh-ed25519 AAAAC3 comment\npoclab-host-key ecdsa-sha2-nistp256 AAAAE2\n"],
            |text| {
                let _ = setup::known_hosts(text, std::net::Ipv4Addr::LOCALHOST);
            },
        ),
        Parser::text("rehearsal", "docker ps", &[row], |text| {
            let _ = docker::parse_containers(text);
        }),
        Parser::text("rehearsal", "docker network inspect", &[network], |text| {
            let _ = docker::parse_network(text);
        }),
    ]
}
