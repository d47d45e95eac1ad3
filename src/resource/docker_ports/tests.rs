use super::*;
use crate::resource::firewalld::golden::{from, golden};
use crate::resource::testing::shellcheck;

const LATER: &str = include_str!("../../../tests/golden/firewalld-1.3.3.txt");

fn spec(json: &str) -> Spec {
    serde_json::from_str(json).unwrap()
}

fn policy() -> Spec {
    spec(r#"{"allow": [{"source": "10.0.0.12/32", "port": 80, "protocol": "tcp"}]}"#)
}

fn show(name: &str, text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("|{line}\n")).collect();
    format!("@ {name}\n{lines}")
}

/// direct.xml as recorded, with the guard (which the recording did not have) behind it: the same rules in mangle FORWARD.
fn direct() -> String {
    let recorded = golden("$ cat /etc/firewalld/direct.xml").replace("-i eth9 -s 10.0.0.12/32", "-s 10.0.0.12/32 -i eth9");
    let rules = recorded.lines().filter(|line| line.trim_start().starts_with("<rule "));
    let guard: String = rules.map(|line| line.replace("\"filter\" chain=\"DOCKER-USER\"", "\"mangle\" chain=\"FORWARD\"") + "\n").collect();
    recorded.replace("</direct>", &format!("{guard}</direct>"))
}

/// `iptables -t mangle -S` with the guard; written after firewalld's source, not recorded.
fn mangle(interface: &str) -> String {
    let recorded = golden("$ iptables -S DOCKER-USER").replace("eth9", interface);
    let rules = recorded.lines().filter_map(|line| line.strip_prefix("-A DOCKER-USER "));
    let rules: String = rules.map(|rule| format!("-A FORWARD_direct {rule}\n")).collect();
    format!("-P FORWARD ACCEPT\n-N FORWARD_direct\n-A FORWARD -j FORWARD_direct\n{rules}")
}

/// A rehearsal host as recorded.
fn host() -> String {
    let direct = direct().replace("eth9", "eth0");
    [
        "@ installed yes\n".to_owned(),
        show("file /etc/firewalld/direct.xml", &direct),
        "@ running yes\n".to_owned(),
        show("docker 0", ""),
        show("addresses 0", &from(LATER, "$ ip -4 -o addr show scope global")),
        show("rules 0", &from(LATER, "$ iptables -S   # with Docker 20.10")),
        show("mangle 0", &mangle("eth0")),
        show("nat 0", super::chains::tests::NAT),
    ]
    .concat()
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
    let script: String = spec.apply(&observed(spec, text).unwrap()).into_iter().map(|action| action.script).collect();
    shellcheck(&script);
    script
}

#[test]
fn a_recorded_host_is_in_sync() {
    assert_eq!(drift(&policy(), &host()), [""; 0]);
    // CentOS 7.6, without Docker; `iptables -S` there prints the source first, too.
    let eth9 = spec(r#"{"interfaces": ["eth9"], "allow": [{"source": "10.0.0.12", "port": 80}]}"#);
    let recorded = [
        "@ installed yes\n@ running yes\n".to_owned(),
        show("file /etc/firewalld/direct.xml", &direct()),
        show("addresses 0", ""),
        show("rules 0", &golden("$ iptables -S   # after the above")),
        show("mangle 0", &mangle("eth9")),
    ]
    .concat();
    assert_eq!(drift(&eth9, &recorded), [""; 0]);
}

#[test]
fn each_damage_is_exactly_one_change() {
    let allow = "-s 10.0.0.12/32 -i eth0 -p tcp -m conntrack --ctorigdstport 80 --ctdir ORIGINAL -j RETURN";
    for (from, to, want, does) in [
        (&*format!("|-A DOCKER-USER {allow}\n"), "", &*format!("`{allow}` is missing (runtime)"), "poclab_reload"),
        ("|-A DOCKER-USER -i eth0 -j DROP\n", "", "`-i eth0 -j DROP` is missing (runtime)", "poclab_reload"),
        (
            "|-A DOCKER-USER -i eth0 -j DROP\n",
            "|-A DOCKER-USER -s 10.9.9.9/32 -j RETURN\n|-A DOCKER-USER -i eth0 -j DROP\n",
            "unknown rule `-s 10.9.9.9/32 -j RETURN` (runtime)",
            "iptables -w -t filter -D DOCKER-USER -s 10.9.9.9/32 -j RETURN",
        ),
        (
            "|  <chain ",
            "|<rule ipv=\"ipv4\" table=\"filter\" chain=\"DOCKER-USER\" priority=\"5\">-j ACCEPT</rule>\n|  <chain ",
            "unknown rule `-j ACCEPT` (permanent)",
            "poclab_put /etc/firewalld/direct.xml",
        ),
        (
            "priority=\"100\">-i eth0 -j DROP",
            "priority=\"100\">-i eth1 -j DROP",
            "unknown rule `-i eth1 -j DROP` (permanent)",
            "poclab_put",
        ),
        (
            "|-A FORWARD -j DOCKER-USER\n",
            "",
            "Docker's rules are gone from the kernel: the jump from FORWARD to DOCKER-USER",
            "poclab_reload",
        ),
        (
            "|-A DOCKER-ISOLATION-STAGE-1 -j RETURN\n",
            "",
            "Docker's rules are gone from the kernel: the rules of DOCKER-ISOLATION-STAGE-1",
            "poclab_reload",
        ),
        (
            "|-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n",
            "",
            "Docker's rules are gone from the kernel: the jump from PREROUTING to DOCKER in nat",
            "poclab_reload",
        ),
        (
            "@ docker 0\n",
            "@ docker 0\n|0.0.0.0:80->8080/tcp\n",
            "Docker's rules are gone from the kernel: the permission for port 80/tcp in DOCKER",
            "poclab_reload",
        ),
        ("|-A FORWARD_direct -i eth0 -j DROP\n", "", "guard: `-i eth0 -j DROP` is missing (runtime)", "poclab_reload"),
        (
            "@ mangle 0\n|-P FORWARD ACCEPT\n|-N FORWARD_direct\n|-A FORWARD -j FORWARD_direct\n",
            "@ mangle 0\n|-P FORWARD ACCEPT\n|-N FORWARD_direct\n",
            "guard: `-i eth0 -j DROP` is missing (runtime)",
            "poclab_reload",
        ),
        (
            "|-A FORWARD_direct -i eth0 -j DROP\n",
            "|-A FORWARD_direct -s 10.9.9.9/32 -j ACCEPT\n|-A FORWARD_direct -i eth0 -j DROP\n",
            "guard: unknown rule `-s 10.9.9.9/32 -j ACCEPT` (runtime)",
            "iptables -w -t mangle -D FORWARD_direct -s 10.9.9.9/32 -j ACCEPT",
        ),
        (
            "|</direct>",
            "|<rule ipv=\"ipv4\" table=\"mangle\" chain=\"FORWARD\" priority=\"5\">-j ACCEPT</rule>\n|</direct>",
            "guard: unknown rule `-j ACCEPT` (permanent)",
            "poclab_put /etc/firewalld/direct.xml",
        ),
        ("@ running yes\n", "", "firewalld does not run: nothing guards published ports", ":"),
        ("|</direct>\n", "", "/etc/firewalld/direct.xml cannot be read: it ends before </direct>", "poclab_put"),
    ] {
        let damaged = host().replacen(from, to, 1);
        assert_ne!(damaged, host(), "{want}");
        let found = drift(&policy(), &damaged);
        assert!(found.iter().any(|f| f == want), "{want}: {found:?}");
        assert!(found.len() == 1 || to.contains("eth1") || to.contains("mangle 0"), "{want}: {found:?}");
        assert!(script(&policy(), &damaged).contains(does), "{want}");
    }
    // The drop for one interface given to another: two rules differ.
    let moved = host().replacen("priority=\"100\">-i eth0 -j DROP", "priority=\"100\">-i eth1 -j DROP", 1);
    assert_eq!(drift(&policy(), &moved), ["`-i eth0 -j DROP` is missing (permanent)", "unknown rule `-i eth1 -j DROP` (permanent)"]);
}

#[test]
fn order_matters() {
    let allow = "|-A DOCKER-USER -s 10.0.0.12/32 -i eth0 -p tcp -m conntrack --ctorigdstport 80 --ctdir ORIGINAL -j RETURN\n";
    let drop = "|-A DOCKER-USER -i eth0 -j DROP\n";
    let swapped = host().replacen(&format!("{allow}{drop}"), &format!("{drop}{allow}"), 1);
    assert_eq!(drift(&policy(), &swapped), ["the rules of DOCKER-USER are in the wrong order"]);
}

#[test]
fn the_place_of_the_jump_is_dockers_business() {
    for before in ["-j DOCKER-ISOLATION-STAGE-1", "-o docker0 -j DOCKER"] {
        let jump = "|-A FORWARD -j DOCKER-USER\n";
        let later = host().replacen(jump, "", 1).replacen(&format!("|-A FORWARD {before}\n"), &format!("|-A FORWARD {before}\n{jump}"), 1);
        assert_ne!(later, host());
        assert_eq!(drift(&policy(), &later), [""; 0]);
    }
}

#[test]
fn bare_hosts_and_failed_looks() {
    let bare = "@ installed no\n@ addresses 0\n|2: eth0@if7    inet 10.0.0.11/24 brd 10.0.0.255 scope global eth0\\ valid_lft forever\n";
    assert_eq!(drift(&policy(), bare), ["firewalld is not installed: 1 flows to allow, all else to drop"]);
    insta::assert_snapshot!(script(&policy(), bare));
    assert!(
        observed(&policy(), "@ installed yes\n@ addresses 0\n|3: docker0    inet 172.17.0.1/16\n").unwrap_err().contains("no interface")
    );
    assert!(observed(&policy(), "@ installed yes\n@ addresses 127\n|sh: ip: not found\n").is_err());
    assert!(observed(&policy(), &host().replacen("@ rules 0", "@ rules 4", 1)).is_err());
}

#[test]
fn interfaces_are_a_list_or_auto() {
    assert_eq!(spec(r#"{"interfaces": "auto", "allow": []}"#).check(), [""; 0]);
    assert_eq!(spec(r#"{"interfaces": ["eth0", "eth1"], "allow": []}"#).rules(&["eth0".into(), "eth1".into()]).len(), 3);
    assert_eq!(spec(r#"{"interfaces": [], "allow": []}"#).check().len(), 1);
    assert_eq!(spec(r#"{"interfaces": ["eth0; reboot"], "allow": []}"#).check().len(), 1);
    assert!(serde_json::from_str::<Spec>(r#"{"interfaces": "eth0", "allow": []}"#).is_err());
}

#[test]
#[ignore = "needs a scratch host"]
fn scratch_host() {
    use crate::resource::scratch::{plan, repair, run};
    let ok = |script: &str| {
        let (status, out) = run(script, b"");
        assert_eq!(status, 0, "{script}: {out}");
    };
    ok("systemctl start firewalld docker; rm -f /etc/firewalld/direct.xml; firewall-cmd --reload; sleep 1");
    let spec = policy();
    assert_eq!(plan(&spec), ["no policy for published ports (permanent)"]);
    repair(&spec);
    for (damage, want) in [
        ("iptables -F DOCKER-USER", 3), // protection: damage that must be found and repaired
        ("iptables -I DOCKER-USER -s 10.9.9.9 -j RETURN", 1),
        ("iptables -I DOCKER-USER -j RETURN", 1),
        ("firewall-cmd --direct --add-rule ipv4 filter DOCKER-USER 5 -s 10.9.9.9 -m comment --comment 'a b' -j ACCEPT", 1),
        ("firewall-cmd --permanent --direct --add-rule ipv4 filter DOCKER-USER 5 -s 10.9.9.9 -j ACCEPT; firewall-cmd --reload; sleep 1", 2),
        ("firewall-cmd --direct --remove-rule ipv4 filter DOCKER-USER 100 -i eth0 -j DROP", 1),
        ("iptables -D FORWARD -j DOCKER-USER", 1),
        ("rm /etc/firewalld/direct.xml", 1),
    ] {
        ok(damage);
        let found = plan(&spec);
        assert_eq!(found.len(), want, "{damage}: {found:?}");
        repair(&spec);
        ok("firewall-cmd --reload; sleep 1");
        let again = plan(&spec);
        assert_eq!(again, [""; 0], "{damage}: after a reload");
    }
    // one flow less: it is gone at runtime, too
    let none = super::Spec { allow: vec![], ..policy() };
    let found = plan(&none);
    // Once for each of the two places where it stands (ADR 0005).
    assert_eq!(found.len(), 2, "{found:?}");
    repair(&none);
    ok("systemctl restart docker; sleep 1");
    assert_eq!(plan(&none), [""; 0]);
}
