#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn spec() -> Spec {
    serde_json::from_value(json!({
        "host": "registry", "api": "https://registry.lab:8089", "user": "admin", "password": "pppppppp", "index": "lab",
        "forwarders": ["app"], "domain": "lab", "image": "busybox", "patience": 0,
    }))
    .unwrap()
}

#[test]
fn a_forwarder_that_may_not_read_is_reported_as_exactly_that() {
    let good = |uid: &str, capabilities: &str| judge_forwarder("active", &format!("uid {uid}\ncapabilities {capabilities}"), "");
    assert!(matches!(good("998", "0000000000000004"), Verdict::Passed(why) if why.contains("CAP_DAC_READ_SEARCH")));
    assert!(matches!(good("0", "0000000000000000"), Verdict::Passed(_)));
    let log = "ERROR TailReader - error opening /var/lib/docker/containers: Permission denied (os error 13)";
    let verdict = judge_forwarder("active", "uid 998\ncapabilities 0000000000000000", log);
    assert!(
        matches!(&verdict, Verdict::Failed(why) if why.contains("may not read the logs of containers") && why.contains("Permission denied")),
        "{verdict:?}"
    );
    assert!(matches!(judge_forwarder("inactive", "", ""), Verdict::Failed(why) if why.contains("is inactive")));
    assert!(matches!(judge_forwarder("active", "", ""), Verdict::Failed(_)));
}

#[test]
fn a_line_must_come_from_where_it_was_printed() {
    let marker = |container: Option<&str>| Marker {
        what: "x".into(),
        host: "app".into(),
        text: "poclab-1-x".into(),
        container: container.map(str::to_owned),
    };
    let found = |host: &str, name: &str| {
        Found::from([("{\"log\":\"poclab-1-x\"}".to_owned(), vec![(host.to_owned(), name.to_owned(), "s".to_owned())])])
    };
    let judge = |marker: &Marker, found: &Found| judge_marker(&spec(), marker, found, None);
    assert!(matches!(judge(&marker(Some("api")), &found("app.lab", "api")), Verdict::Passed(_)));
    assert!(matches!(judge(&marker(None), &found("app.lab", "")), Verdict::Passed(_)));
    for (host, name, want) in [("other.lab", "api", "must be host app.lab"), ("app.lab", "", "must be host app.lab, container api")] {
        let verdict = judge(&marker(Some("api")), &found(host, name));
        assert!(matches!(&verdict, Verdict::Failed(why) if why.contains(want)), "{verdict:?}");
    }
    assert!(
        matches!(judge(&marker(None), &Found::new()), Verdict::Failed(why) if why.contains("was not found") && why.contains("splunkd.log"))
    );
    let known = judge_marker(&spec(), &marker(None), &Found::new(), Some("its forwarder is broken"));
    assert!(matches!(&known, Verdict::Failed(why) if why.ends_with("within 0 s; its forwarder is broken, as said above")), "{known:?}");
}
