use super::*;

fn spec(json: serde_json::Value) -> Spec {
    serde_json::from_value(json).unwrap()
}

fn reply(text: &str) -> Reply {
    Reply { stdout: text.as_bytes().to_vec(), status: 0 }
}

/// Form of the lines recorded from rpm 4.18; rpm 4.11 (EL7) prints the same for this format, values as on CentOS 7.6.
const RPM: &str = "rpm bash 4.2.46-31.el7\npackage docker-ce is not installed\nrpm kernel 3.10.0-957.el7\nrpm kernel 3.10.0-957.1.3.el7\nrpm docker-ce-cli 27.0.1-1.el7\nrpm ca-certificates 2018.2.22-70.0.el7_5\n";

fn state(json: serde_json::Value) -> State {
    let spec = spec(json);
    assert_eq!(spec.check(), Vec::<String>::new());
    let observed = Spec::parse(&[&spec], &reply(RPM)).remove(0).unwrap();
    spec.diff(&observed)
}

fn reasons(state: State) -> Vec<String> {
    match state {
        State::Drift(changes) => changes.into_iter().map(|change| change.what).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn differences_are_named() {
    use serde_json::json;
    assert_eq!(state(json!({"name": "bash"})), State::InSync);
    assert_eq!(state(json!({"name": "bash", "version": ""})), State::InSync);
    assert_eq!(state(json!({"name": "kernel", "version": "3.10.0-957.el7"})), State::InSync);
    assert_eq!(state(json!({"name": "docker-ce", "state": "absent"})), State::InSync);
    assert_eq!(state(json!({"name": "ca-certificates", "at_least": "2018.2"})), State::InSync);
    assert_eq!(reasons(state(json!({"name": "docker-ce"}))), ["not installed"]);
    assert_eq!(reasons(state(json!({"name": "bash", "version": "4.2.46-34.el7"}))), ["version is 4.2.46-31.el7, want 4.2.46-34.el7"]);
    assert_eq!(
        reasons(state(json!({"name": "ca-certificates", "at_least": "2021.2.50"}))),
        ["version is 2018.2.22-70.0.el7_5, want 2021.2.50 or newer"]
    );
    assert_eq!(reasons(state(json!({"name": "bash", "state": "absent"}))), ["version 4.2.46-31.el7 is installed, want it gone"]);
}

#[test]
fn a_set_is_reported_one_by_one_and_changed_together() {
    let set = spec(serde_json::json!({"items": [
        {"name": "docker-ce", "version": "26.1.4-1.el7"}, {"name": "docker-ce-cli", "version": "26.1.4-1.el7"}, {"name": "bash"},
    ]}));
    assert_eq!(set.id(), "docker-ce and 2 more");
    let observed = Spec::parse(&[&set], &reply(RPM)).remove(0).unwrap();
    assert_eq!(
        reasons(set.diff(&observed)),
        ["docker-ce: not installed, want 26.1.4-1.el7", "docker-ce-cli: version is 27.0.1-1.el7, want the older 26.1.4-1.el7"]
    );
    let actions = set.apply(&observed);
    assert_eq!(actions.len(), 1);
    assert_eq!(actions[0].label, "downgrade docker-ce-cli-26.1.4-1.el7, install docker-ce-26.1.4-1.el7");
}

#[test]
fn looking_that_failed_is_not_absence() {
    // Recorded from rpm 4.18 with an unreadable database (4.11 prints `cannot open Packages index` before it).
    let broken = "error: cannot open Packages database in /var/lib/rpm\npackage bash is not installed\n";
    let bash = spec(serde_json::json!({"name": "bash"}));
    assert!(Spec::parse(&[&bash], &reply(broken))[0].as_ref().unwrap_err().contains("could not look"));
    assert!(Spec::parse(&[&bash], &reply(""))[0].is_err());
    assert_eq!(Spec::parse(&[&bash], &reply("no rpm\n"))[0], Ok(vec![Vec::new()]));
}

#[test]
fn mistakes_are_refused() {
    use serde_json::json;
    for bad in [
        json!({}),
        json!({"name": "a", "items": [{"name": "b"}]}),
        json!({"name": "a", "version": "1.0"}),
        json!({"name": "a", "version": "3:1.0-1"}),
        json!({"name": "a*"}),
        json!({"name": "-y"}),
        json!({"name": "a", "version": "1-1", "at_least": "1"}),
        json!({"items": [{"name": "a"}], "version": "1-1"}),
    ] {
        assert!(!spec(bad.clone()).check().is_empty(), "{bad}");
    }
}
