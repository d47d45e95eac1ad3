use super::*;
use crate::resource::firewalld::golden::{from, golden};
use crate::resource::testing::shellcheck;

const LATER: &str = include_str!("../../../tests/golden/firewalld-1.3.3.txt");

fn spec(json: &str) -> Spec {
    serde_json::from_str(json).unwrap()
}

fn show(name: &str, text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("|{line}\n")).collect();
    format!("@ {name}\n{lines}")
}

/// A host as recorded with 1.3.3 and Docker, whose policy is [`policy`].
fn host() -> String {
    let zone = write_of(&policy());
    [
        "@ installed yes\n".to_owned(),
        show("file /etc/firewalld/firewalld.conf", "# x\nDefaultZone=public\nFirewallBackend=iptables\n"),
        show("file /etc/firewalld/zones/public.xml", &zone),
        show("file /etc/firewalld/zones/docker.xml", &from(LATER, "$ cat /etc/firewalld/zones/docker.xml")),
        show("file /etc/firewalld/direct.xml", &golden("$ cat /etc/firewalld/direct.xml")),
        show("file /usr/lib/firewalld/zones/trusted.xml", "<zone target=\"ACCEPT\"/>"),
        show("runtime 0", &from(LATER, "$ firewall-cmd --list-all-zones")),
        show("rules 0", &from(LATER, "$ iptables -S   # with Docker 20.10")),
    ]
    .concat()
}

fn write_of(spec: &Spec) -> String {
    crate::resource::firewalld::write_zone(&spec.zone())
}

fn policy() -> Spec {
    spec(r#"{"allow": [{"source": "any", "port": 22}, {"source": "10.0.0.11/32", "port": 5000, "protocol": "tcp"}]}"#)
}

fn observed(spec: &Spec, text: &str) -> Result<Observed, String> {
    Spec::parse(&[spec], &Reply { stdout: text.as_bytes().to_vec(), status: 0 }).remove(0)
}

fn drift(spec: &Spec, text: &str) -> Vec<String> {
    match spec.diff(&observed(spec, text).unwrap()) {
        State::Drift(changes) => changes.into_iter().map(|change| change.what).collect(),
        State::InSync => Vec::new(),
        other => panic!("{other:?}"),
    }
}

fn script(spec: &Spec, text: &str) -> String {
    spec.apply(&observed(spec, text).unwrap()).into_iter().map(|action| action.script).collect()
}

/// What the script does to the firewall, without its functions and the arming.
fn body(script: &str) -> String {
    script.split("nothing was changed' >&2; exit 1; }\n").last().unwrap().to_owned()
}

#[test]
fn a_recorded_host_is_in_sync() {
    assert_eq!(drift(&policy(), &host()), [""; 0]);
}

#[test]
fn each_damage_is_exactly_one_change() {
    let rich = "\trule family=\"ipv4\" source address=\"10.0.0.11/32\" port port=\"5000\" protocol=\"tcp\" accept\n";
    let kernel = "-A IN_public_allow -s 10.0.0.11/32 -p tcp -m tcp --dport 5000 -j ACCEPT\n";
    for (from, to, want, does) in [
        // a port closed at runtime only
        ("|  ports: 22/tcp\n", "|  ports: \n", "port 22/tcp is missing (runtime)", "firewall-cmd --zone=public --add-port=22/tcp"),
        // a rich rule opened at runtime only
        (
            &*format!("|{rich}"),
            &format!("|{rich}|\trule family=\"ipv4\" source address=\"10.9.9.9/32\" accept\n"),
            "unknown rule `rule family=\"ipv4\" source address=\"10.9.9.9/32\" accept` (runtime)",
            "firewall-cmd --zone=public '--remove-rich-rule=rule family=\"ipv4\" source address=\"10.9.9.9/32\" accept'",
        ),
        // a port opened on disk only
        (
            "|  <port port=\"22\" protocol=\"tcp\"/>\n",
            "|  <port port=\"22\" protocol=\"tcp\"/>\n|  <port port=\"23\" protocol=\"tcp\"/>\n",
            "unknown rule `port 23/tcp` (permanent)",
            "poclab_put /etc/firewalld/zones/public.xml",
        ),
        (
            "|<zone>\n|  <short>public",
            "|<zone target=\"ACCEPT\">\n|  <short>public",
            "target is ACCEPT, want default (permanent)",
            "poclab_reload",
        ),
        (
            "|DefaultZone=public\n",
            "|DefaultZone=trusted\n",
            "the default zone is trusted, want public",
            "firewall-cmd --set-default-zone=public",
        ),
        (
            "|-A INPUT_ZONES -g IN_public\n",
            "|-A INPUT_ZONES -g IN_trusted\n",
            "the default zone is trusted, want public (runtime)",
            "--set-default-zone=public",
        ),
        (
            "|trusted\n|  target: ACCEPT\n|  icmp-block-inversion: no\n|  interfaces: \n",
            "|trusted (active)\n|  target: ACCEPT\n|  icmp-block-inversion: no\n|  interfaces: eth0\n",
            "interface eth0 is in zone trusted (runtime)",
            "firewall-cmd --zone=public --change-interface=eth0",
        ),
        (
            "|  interfaces: docker0\n",
            "|  interfaces: docker0 eth0\n",
            "interface eth0 is in zone docker (runtime)",
            "--zone=public --change-interface=eth0",
        ),
        (
            "|<zone target=\"ACCEPT\"/>\n",
            "|<zone target=\"ACCEPT\"><source address=\"10.9.0.0/16\"/></zone>\n",
            "source 10.9.0.0/16 is in zone trusted (permanent)",
            "mv -f /etc/firewalld/zones/trusted.xml /var/lib/poclab/removed/",
        ),
        (
            "|</direct>\n",
            "|<rule ipv=\"ipv4\" table=\"filter\" chain=\"INPUT\" priority=\"0\">-p tcp --dport 23 -j ACCEPT</rule></direct>\n",
            "unknown direct rule ipv4 filter INPUT 0 -p tcp --dport 23 -j ACCEPT (permanent)",
            "firewall-cmd --direct --remove-rules ipv4 filter INPUT",
        ),
        (
            kernel,
            &format!("{kernel}|-A INPUT_direct -p tcp -m tcp --dport 23 -j ACCEPT\n"),
            "unknown rule `-A INPUT_direct -p tcp -m tcp --dport 23 -j ACCEPT` (runtime)",
            "firewall-cmd --direct --remove-rules ipv4 filter INPUT",
        ),
        (
            kernel,
            &format!("{kernel}|-A INPUT -p tcp -m tcp --dport 23 -j ACCEPT\n"),
            "unknown rule `-A INPUT -p tcp -m tcp --dport 23 -j ACCEPT` (runtime)",
            "while iptables -w -C INPUT -p tcp -m tcp --dport 23 -j ACCEPT 2>/dev/null; do iptables -w -D INPUT -p tcp -m tcp --dport 23 -j ACCEPT || exit 1; done",
        ),
        (
            kernel,
            &format!("{kernel}|-A IN_public_allow -j ACCEPT\n"),
            "unknown rule `-A IN_public_allow -j ACCEPT` in the kernel (runtime)",
            "iptables -w -D IN_public_allow -j ACCEPT",
        ),
        (
            &format!("|{kernel}"),
            "",
            "the kernel's chain IN_public_allow lacks `-s 10.0.0.11/32 -p tcp -m tcp --dport 5000 -j ACCEPT`",
            "poclab_reload",
        ),
        ("|-A INPUT -j INPUT_ZONES\n", "", "the kernel's rules are gone although firewalld runs: nothing is enforced", "poclab_reload"),
        (
            "@ runtime 0\n",
            "@ override /etc/firewalld/services/ssh.xml\n@ runtime 0\n",
            "/etc/firewalld/services/ssh.xml changes what firewalld ships",
            "poclab_reload",
        ),
    ] {
        let damaged = host().replacen(from, to, 1);
        assert_ne!(damaged, host(), "{want}: nothing was damaged");
        assert_eq!(drift(&policy(), &damaged), [want]);
        let script = script(&policy(), &damaged);
        assert!(body(&script).contains(does), "{want}:\n{}", body(&script));
        shellcheck(&script);
    }
}

#[test]
fn runtime_changes_do_not_reload() {
    let script = script(&policy(), &host().replacen("|  ports: 22/tcp\n", "|  ports: \n", 1));
    assert!(!body(&script).contains("poclab_reload"), "{script}");
}

#[test]
fn a_flow_that_is_missing_everywhere_is_one_change() {
    let more =
        spec(r#"{"allow": [{"source": "any", "port": 22}, {"source": "10.0.0.11", "port": 5000}, {"source": "10.0.0.0/24", "port": 80}]}"#);
    let rule = r#"rule family="ipv4" source address="10.0.0.0/24" port port="80" protocol="tcp" accept"#;
    assert_eq!(drift(&more, &host()), [format!("{rule} is missing (permanent and runtime)")]);
    let body = body(&script(&more, &host()));
    assert!(body.contains("poclab_reload") && !body.contains("--add-"), "{body}");
}

#[test]
fn centos_7_6_as_recorded() {
    let text = [
        "@ installed yes\n".to_owned(),
        show("file /etc/firewalld/firewalld.conf", "DefaultZone=public\n"),
        show("file /etc/firewalld/zones/public.xml", &golden("$ cat /etc/firewalld/zones/public.xml")),
        show("file /etc/firewalld/zones/lab.xml", &golden("$ cat /etc/firewalld/zones/lab.xml")),
        show("file /etc/firewalld/direct.xml", &golden("$ cat /etc/firewalld/direct.xml")),
        show("runtime 0", &golden("$ firewall-cmd --list-all-zones")),
        show("rules 0", &golden("$ iptables -S   # after the above")),
    ]
    .concat();
    let as_recorded = spec(
        r#"{"services": ["ssh", "dhcpv6-client", "https"], "allow": [{"source": "any", "port": 5000}, {"source": "10.0.0.12", "port": 5000}, {"source": "10.0.0.13", "port": 5000}]}"#,
    );
    assert_eq!(
        drift(&as_recorded, &text),
        ["source 10.0.0.0/24 is in zone lab (permanent)", "source 10.0.0.0/24 is in zone lab (runtime)"],
        // eth9 was moved to `lab` between the two recorded calls
    );
}

#[test]
fn bare_stopped_and_broken_hosts() {
    let spec = policy();
    assert_eq!(drift(&spec, "@ installed no\n"), ["firewalld is not installed: 2 flows to allow"]);
    assert_eq!(
        script(&spec, "@ installed no\n").matches("poclab_put /etc/firewalld/zones/public.xml").count(),
        2,
        "the policy and the rescue"
    );
    let stopped = host().replacen("@ runtime 0\n", "@ runtime 252\n", 1);
    let empty = format!("{}@ rules 0\n|-P INPUT ACCEPT\n", &stopped[..stopped.find("@ rules").unwrap()]);
    assert_eq!(drift(&spec, &empty), ["firewalld does not run: nothing is enforced"]);
    assert_eq!(spec.apply(&observed(&spec, &empty).unwrap()), []);
    for (from, to) in [("@ runtime 0\n", "@ runtime 253\n"), ("@ rules 0\n", "@ rules 4\n"), ("@ installed yes\n", "")] {
        assert!(observed(&spec, &host().replacen(from, to, 1)).is_err(), "{to}");
    }
    let broken = host().replacen("</zone>", "", 1);
    let found = drift(&spec, &broken);
    assert!(found.len() == 1 && found[0].starts_with("/etc/firewalld/zones/public.xml cannot be read"), "{found:?}");
}

#[test]
fn a_policy_without_ssh_is_refused() {
    let errors = |json: &str| spec(json).check();
    assert_eq!(errors(r#"{"allow": [{"source": "any", "port": 80}]}"#).len(), 1);
    assert_eq!(errors(r#"{"ssh_port": 2222, "services": ["ssh"], "allow": []}"#).len(), 1);
    assert_eq!(errors(r#"{"ssh_port": 2222, "allow": [{"source": "10.0.0.1", "port": 2222}]}"#), [""; 0]);
    assert_eq!(errors(r#"{"target": "allow", "name": "a b", "allow": [{"source": "any", "port": 22}]}"#).len(), 2);
    assert_eq!(errors(r#"{"confirm_seconds": 3, "allow": [{"source": "any", "port": 22}]}"#).len(), 1);
}

#[test]
fn the_scripts() {
    shellcheck(&observed::fragment(["ssh".to_owned(), "a b".to_owned()].iter()));
    shellcheck(crate::resource::confirm::CONFIRM);
    insta::assert_snapshot!(script(&policy(), "@ installed no\n"));
}

#[test]
#[ignore = "needs a scratch host"]
fn scratch_host() {
    use crate::resource::scratch::{plan, repair, run};
    let ok = |script: &str| {
        let (status, out) = run(script, b"");
        assert_eq!(status, 0, "{script}: {out}");
        out
    };
    let confirm = || ok(crate::resource::confirm::CONFIRM);
    // before the first start
    ok(
        "systemctl stop docker docker.socket; systemctl kill -s TERM firewalld; sleep 2; rm -rf /etc/firewalld/zones/* /etc/firewalld/direct.xml /var/lib/poclab",
    );
    let spec = policy();
    println!("{:?}", plan(&spec));
    let observed = crate::resource::scratch::look(&spec).unwrap();
    crate::resource::scratch::apply(&spec.apply(&observed)).unwrap();
    assert_eq!(plan(&spec), [""; 0]);
    confirm();
    ok("systemctl reset-failed docker; systemctl start docker && sleep 1");
    assert_eq!(plan(&spec), [""; 0]);
    for (damage, want) in [
        ("firewall-cmd --remove-port=22/tcp", "port 22/tcp is missing (runtime)"),
        ("firewall-cmd --add-port=23/tcp", "unknown rule `port 23/tcp` (runtime)"),
        ("firewall-cmd --permanent --add-port=23/tcp", "unknown rule `port 23/tcp` (permanent)"),
        ("firewall-cmd --add-service=http", "unknown rule `service http` (runtime)"),
        ("firewall-cmd --zone=trusted --change-interface=eth0", "interface eth0 is in zone trusted (runtime)"),
        ("firewall-cmd --zone=trusted --add-source=10.8.0.0/16", "source 10.8.0.0/16 is in zone trusted (runtime)"),
        ("firewall-cmd --permanent --zone=trusted --add-source=10.8.0.0/16", "source 10.8.0.0/16 is in zone trusted (permanent)"),
        (
            "iptables -I INPUT -p tcp --dport 23 -m comment --comment 'a \"b' -j ACCEPT",
            "unknown rule `-A INPUT -p tcp -m tcp --dport 23 -m comment --comment \"a \\\"b\" -j ACCEPT` (runtime)",
        ),
        ("iptables -I FORWARD -s 10.8.0.1 -j ACCEPT", "unknown rule `-A FORWARD -s 10.8.0.1/32 -j ACCEPT` (runtime)"),
        ("iptables -I IN_public_allow -j ACCEPT", "unknown rule `-A IN_public_allow -j ACCEPT` in the kernel (runtime)"),
        (
            "iptables -F IN_public_allow; iptables -A IN_public_allow -p tcp -m tcp --dport 22 -j ACCEPT", // protection: damage that must be found and repaired
            "the kernel's chain IN_public_allow lacks `-s 10.0.0.11/32 -p tcp -m tcp --dport 5000 -j ACCEPT`",
        ),
        (
            "firewall-cmd --direct --add-rule ipv4 filter INPUT 0 -p tcp --dport 23 -j ACCEPT",
            "unknown rule `-A INPUT_direct -p tcp -m tcp --dport 23 -j ACCEPT` (runtime)",
        ),
        (
            "firewall-cmd --permanent --direct --add-rule ipv4 filter INPUT 0 -p tcp --dport 23 -j ACCEPT",
            "unknown direct rule ipv4 filter INPUT 0 -p tcp --dport 23 -j ACCEPT (permanent)",
        ),
        (
            "firewall-cmd --direct --add-passthrough ipv4 -I INPUT -p tcp --dport 23 -j ACCEPT",
            "unknown rule `-A INPUT -p tcp -m tcp --dport 23 -j ACCEPT` (runtime)",
        ),
        ("cp /usr/lib/firewalld/services/ssh.xml /etc/firewalld/services/", "/etc/firewalld/services/ssh.xml changes what firewalld ships"),
        ("sed -i s/DefaultZone=.*/DefaultZone=trusted/ /etc/firewalld/firewalld.conf", "the default zone is trusted, want public"),
        ("firewall-cmd --set-default-zone=trusted", "the default zone is trusted, want public"),
        (
            "iptables -P INPUT ACCEPT; iptables -F INPUT", // protection: damage that must be found and repaired
            "the kernel's rules are gone although firewalld runs: nothing is enforced",
        ),
    ] {
        ok(damage);
        assert_eq!(plan(&spec), [want], "{damage}");
        repair(&spec);
        confirm();
        // also what a reload would bring back
        ok("firewall-cmd --reload; sleep 1");
        assert_eq!(plan(&spec), [""; 0], "{damage}: after a reload");
        ok("iptables -w -S FORWARD | grep -q -e '-j DOCKER-USER'");
    }
    // nobody confirms: the host puts the old policy back
    let more = super::Spec { allow: vec![], services: vec!["ssh".into(), "http".into()], ..policy() };
    repair(&more);
    ok(
        "sed -i 's/^PATH=/PATH=/' /var/lib/poclab/confirm/poclab-revert-firewall/revert.sh; systemctl list-timers --all | grep poclab-revert-firewall",
    );
    std::thread::sleep(std::time::Duration::from_secs(65));
    assert_eq!(plan(&spec), [""; 0]);
    let (status, out) = run(crate::resource::confirm::CONFIRM, b"");
    assert!(status == 1 && out.contains("was not confirmed in time"), "{out}");
}
