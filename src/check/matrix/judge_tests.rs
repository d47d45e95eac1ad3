use super::super::plan::{plan, tests::lab};
use super::super::probe::Seen;
use super::*;

/// What a perfect lab would answer.
fn perfect(plan: &Plan) -> Measured {
    let mut measured = Measured { hosts: vec![], control: BTreeMap::new() };
    for (index, host) in plan.hosts.iter().enumerate() {
        let mut seen = Seen { addresses: vec![host.address], ..Seen::default() };
        seen.met.insert((Ipv4Addr::LOCALHOST, 22), Ok(Tcp::Open));
        seen.met.insert((Ipv4Addr::LOCALHOST, plan.closed), Ok(Tcp::Refused));
        for probe in plan.probes.iter().filter(|probe| probe.source == Source::Host(index)) {
            let address = plan.hosts[probe.target].address;
            seen.neighbours.insert(address, true);
            seen.met.insert((address, probe.port), Ok(if probe.allowed { Tcp::Open } else { Tcp::Rejected }));
        }
        seen.published.insert(80, Ok(true));
        measured.hosts.push(Ok(seen));
    }
    for probe in plan.probes.iter().filter(|probe| probe.source == Source::Control) {
        measured.control.insert((probe.target, probe.port), Ok(if probe.allowed { Tcp::Open } else { Tcp::Dropped }));
    }
    measured
}

fn three() -> (Plan, Measured) {
    let (hosts, flows) = lab();
    let plan = plan(&hosts, &flows, &[], None, 22).unwrap();
    let measured = perfect(&plan);
    (plan, measured)
}

fn set(plan: &Plan, measured: &mut Measured, from: usize, to: usize, port: u16, tcp: Tcp) {
    measured.hosts[from].as_mut().unwrap().met.insert((plan.hosts[to].address, port), Ok(tcp));
}

fn failed(outcomes: &[Outcome]) -> Vec<String> {
    outcomes
        .iter()
        .filter_map(|outcome| match &outcome.verdict {
            Verdict::Failed(why) => Some(format!("{} / {why}", outcome.title)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_perfect_lab_is_reported_in_few_lines() {
    let (plan, measured) = three();
    let report = outcomes(&plan, &measured);
    assert_eq!(failed(&report), [] as [String; 0]);
    assert_eq!(report.len(), 3 + 2 + 1);
    assert_eq!(report[2].verdict, Verdict::Passed("12 of 12 as the matrix says: 4 open, 6 rejected, 2 dropped".into()), "{report:?}");
    assert!(report[3].control && report[4].control);
    assert!(matches!(&report[5].verdict, Verdict::Skipped(why) if why.contains("deploy:123")));
}

#[test]
fn leaks_and_blocks_are_named_one_by_one() {
    let (plan, mut measured) = three();
    set(&plan, &mut measured, 0, 1, plan.unlisted, Tcp::Refused);
    set(&plan, &mut measured, 2, 1, 80, Tcp::Open);
    set(&plan, &mut measured, 1, 2, 5000, Tcp::Dropped);
    let found = violations(&plan, &measured, None);
    assert_eq!(found.iter().map(|v| v.wrong).collect::<Vec<_>>(), [Wrong::Leak, Wrong::Blocked, Wrong::Leak]);
    let text = failed(&outcomes(&plan, &measured)).join("\n");
    for part in [
        "deploy -> app:47113/tcp is stopped / answered by the host itself",
        "registry -> app:80/tcp is stopped / open although",
        "app -> registry:5000/tcp goes through / no answer",
        "10 of 12 as the matrix says",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn a_port_that_no_container_publishes_now_is_no_failure() {
    let (plan, mut measured) = three();
    for published in [true, false] {
        measured.hosts[1].as_mut().unwrap().published.insert(80, Ok(published));
        set(&plan, &mut measured, 0, 1, 80, Tcp::Rejected);
        assert_eq!(violations(&plan, &measured, None).is_empty(), !published);
    }
    measured.hosts[1].as_mut().unwrap().published.insert(80, Err("down".into()));
    assert!(violations(&plan, &measured, None).iter().all(|v| v.wrong == Wrong::Blind && v.why.contains("down")));
}

#[test]
fn an_absent_target_is_not_a_protected_one() {
    let (plan, mut measured) = three();
    let address = plan.hosts[0].address;
    // deploy is away: the kernel says "no route to host" for every port, which looks like a firewall's rejection.
    for source in [1, 2] {
        measured.hosts[source].as_mut().unwrap().neighbours.insert(address, false);
    }
    let found = violations(&plan, &measured, None);
    assert_eq!(found.len(), 8);
    assert!(found.iter().all(|v| v.wrong == Wrong::Blind && v.why.contains("ARP")), "{found:?}");
    // One line for the target and one for each source, not one per port.
    let text = failed(&report(&plan, &measured, None, ""));
    assert_eq!(text.len(), 3);
    assert!(text[1].starts_with("app -> deploy:22,80,5000,47113/tcp is stopped"), "{text:?}");
    // Behind a router there is no ARP; silence then proves nothing, a rejection does when others reach the target.
    for source in [1, 2] {
        measured.hosts[source].as_mut().unwrap().neighbours.clear();
    }
    assert!(violations(&plan, &measured, None).is_empty());
    for port in [22, 80, 5000, plan.unlisted] {
        set(&plan, &mut measured, 1, 0, port, Tcp::Dropped);
    }
    assert_eq!(violations(&plan, &measured, None).len(), 4);
}

#[test]
fn blind_hosts_and_wrong_addresses_fail() {
    let (plan, mut measured) = three();
    measured.hosts[1] = Err("connection lost".into());
    measured.hosts[0].as_mut().unwrap().addresses.clear();
    let text = failed(&outcomes(&plan, &measured)).join("\n");
    assert!(text.contains("could not look at app: connection lost"), "{text}");
    assert!(text.contains("no interface of deploy has the address 10.9.0.11"), "{text}");
    assert!(text.contains("deploy: reachable is exactly what the flow matrix allows / 8 of 12"), "{text}");
}

#[test]
fn what_was_open_must_be_open_again() {
    let (plan, before) = three();
    let mut after = before.clone();
    set(&plan, &mut after, 0, 2, 5000, Tcp::Refused);
    assert!(violations(&plan, &after, None).is_empty());
    let found = violations(&plan, &after, Some(&before));
    assert_eq!((found.len(), found[0].wrong), (1, Wrong::Blocked));
    assert!(found[0].why.contains("was open before"));
}

#[test]
fn controls_fail_when_the_probe_cannot_tell() {
    let (plan, mut measured) = three();
    measured.hosts[1].as_mut().unwrap().met.insert((Ipv4Addr::LOCALHOST, plan.closed), Ok(Tcp::Open));
    let report = control(&plan, &measured);
    assert_eq!(failed(&report).len(), 1);
    assert!(report[0].control);

    let mut nothing = measured.clone();
    nothing.hosts = vec![Err("away".into()), Err("away".into()), Err("away".into())];
    nothing.control.clear();
    assert_eq!(failed(&control(&plan, &nothing)).len(), 1);
}
