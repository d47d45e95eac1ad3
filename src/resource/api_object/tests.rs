use serde_json::json;

use super::*;
use crate::resource::testing::shellcheck;

/// A hook, as a role writes it.
fn hook() -> Value {
    json!({
        "what": "hook of student_list",
        "api": {"url": "https://gitlab.lab.example/api/v4", "ca": "/etc/ca.pem", "headers": {"PRIVATE-TOKEN": "hunter22hunter22"}, "installed": "/opt/gitlab/VERSION"},
        "list": "/projects/pozos%2Fstudent_list/hooks?per_page=100",
        "match": {"url": "https://deploy.lab.example:8080/project/student_list"},
        "want": {"push_events": true, "enable_ssl_verification": true},
        "write_only": {"token": "tttttttttttttttt"},
        "create": {"path": "/projects/pozos%2Fstudent_list/hooks", "numbers": {"namespace_id": {"read": "/groups/pozos"}}},
        "update": {"path": "/projects/pozos%2Fstudent_list/hooks/{id}"},
        "delete": "/projects/pozos%2Fstudent_list/hooks/{id}",
    })
}

fn spec(value: Value) -> Spec {
    let spec: Spec = serde_json::from_value(value).unwrap();
    assert_eq!(spec.check(), Vec::<String>::new());
    spec
}

/// What GitLab 17 answers for a hook (doc/api/project_webhooks.md; written from documentation).
fn gitlab_hook(id: u32) -> Value {
    json!({
        "id": id, "url": "https://deploy.lab.example:8080/project/student_list", "name": null, "description": null, "project_id": 3,
        "push_events": true, "push_events_branch_filter": "", "branch_filter_strategy": "wildcard", "issues_events": false,
        "enable_ssl_verification": true, "alert_status": "executable", "disabled_until": null, "url_variables": [],
        "created_at": "2026-11-21T15:00:00.000Z",
    })
}

fn answer(status: u16, body: &str) -> String {
    format!("api 0 {status} {}\n{body}\n", body.len())
}

fn see(spec: &Spec, text: &str) -> Result<Observed, String> {
    Spec::parse(&[spec], &Reply { stdout: text.as_bytes().to_vec(), status: 0 }).remove(0)
}

/// What is reported after this answer.
fn said(spec: &Spec, text: &str) -> Vec<String> {
    match see(spec, text).map(|seen| spec.diff(&seen)) {
        Ok(State::InSync) => Vec::new(),
        Ok(State::Drift(changes)) => changes.into_iter().map(|change| change.what).collect(),
        other => vec![format!("unknown: {}", other.map_or_else(|why| why, |state| format!("{state:?}")))],
    }
}

fn kept(spec: &Spec, id: &str) -> String {
    format!("kept 0 {} {id}\n", spec.hash())
}

#[test]
fn a_login_that_is_refused_is_called_that() {
    let why = see(&spec(hook()), &answer(403, "{}")).err().unwrap();
    assert!(why.contains("was refused with 403 ({})") && why.contains("the key or password for this API is wrong"), "{why}");
    let why = see(&spec(hook()), &answer(500, "{}")).err().unwrap();
    assert!(why.contains("was answered with 500: {}") && !why.contains("key"), "{why}");
}

#[test]
fn each_difference_of_a_hook_is_named() {
    let spec = spec(hook());
    let good = json!([{"id": 1, "url": "https://elsewhere"}, gitlab_hook(7)]).to_string();
    let with = |edit: fn(&mut Value)| {
        let mut hook = gitlab_hook(7);
        edit(&mut hook);
        format!("{}{}", kept(&spec, "7"), answer(200, &json!([hook]).to_string()))
    };
    assert_eq!(said(&spec, &format!("{}{}", kept(&spec, "7"), answer(200, &good))), [""; 0]);
    assert_eq!(said(&spec, &answer(200, "[]")), ["does not exist"]);
    assert_eq!(said(&spec, &answer(404, r#"{"message":"404 Project Not Found"}"#)), ["does not exist"]);
    assert_eq!(said(&spec, "absent 0\n"), ["its product is not installed yet"]);
    assert_eq!(said(&spec, &with(|hook| hook["push_events"] = false.into())), ["push_events is false, want true"]);
    assert_eq!(said(&spec, &with(|hook| drop(hook.as_object_mut().unwrap().remove("push_events")))), ["push_events is missing, want true"]);
    let forgotten = "token: not what was sent last (the API never tells it)";
    assert_eq!(said(&spec, &answer(200, &good)), [forgotten]);
    // Somebody made it anew by hand: another id, so another token.
    assert_eq!(said(&spec, &format!("{}{}", kept(&spec, "6"), answer(200, &good))), [forgotten]);
    let twice = json!([gitlab_hook(7), gitlab_hook(8)]).to_string();
    assert_eq!(said(&spec, &format!("{}{}", kept(&spec, "7"), answer(200, &twice))), ["is there 2 times, want it once"]);
}

#[test]
fn what_could_not_be_seen_is_unknown() {
    let spec = spec(hook());
    for (text, about) in [
        (answer(401, r#"{"message":"401 Unauthorized"}"#), "refused with 401 (401 Unauthorized)"),
        (answer(502, "<html>\n<h1>502</h1>"), "502: <html>"),
        (answer(200, "<html>"), "not answered with JSON"),
        (answer(200, "{}"), "not answered with a list"),
        (answer(200, &json!(vec![json!({"id": 1}); 100]).to_string()), "may be on a later page"),
        ("silent 0 curl: (7) Failed to connect\n".to_owned(), "did not answer: curl: (7)"),
        ("silent 0 \n".to_owned(), "did not answer"),
        (String::new(), "said nothing"),
        ("api 0 200 99\n[]\n".to_owned(), "not of the known form"),
        (format!("{}{}", answer(200, "[]"), answer(200, "[]")), "not of the known form"),
    ] {
        let said = said(&spec, &text);
        assert!(said.len() == 1 && said[0].starts_with("unknown: ") && said[0].contains(about), "{text}: {said:?}");
    }
}

#[test]
fn lists_have_the_same_items_in_any_order() {
    let want = json!({"levels": [{"access_level": 40}, {"access_level": 30}], "other": null});
    let differ = |have: Value| diff::differences("", &want, &have);
    assert!(differ(json!({"levels": [{"id": 1, "access_level": 30}, {"id": 2, "access_level": 40}]})).is_empty());
    let few = differ(json!({"levels": [{"access_level": 30}], "other": 1}));
    assert_eq!(few, [r#"levels is [{"access_level":30}], want [{"access_level":40},{"access_level":30}]"#, "other is 1, want null"]);
    assert_eq!(differ(json!({"levels": [{"access_level": 30}, {"access_level": 30}]})).len(), 1);
    let deep = diff::differences("", &json!({"a": {"b": 1}}), &json!({"a": {"b": "1", "c": 2}}));
    assert_eq!(deep, ["a.b is \"1\", want 1"]);
}

#[test]
fn scripts_are_clean_and_secrets_are_in_no_argument() {
    let other = json!({"what": "settings", "api": {"url": "https://o.example"}, "read": "/settings", "want": {"a": "it's \"b\"\n"}, "update": {"path": "/settings"}});
    let (hook, other) = (spec(hook()), spec(other));
    let look = Spec::observe(&[&hook, &other, &hook]);
    shellcheck(&look);
    assert_eq!(look.matches("curl -q").count(), 2, "one for each API:\n{look}");
    for seen in ["absent 0\n".to_owned(), answer(200, "[]"), answer(200, &json!([gitlab_hook(7), gitlab_hook(8)]).to_string())] {
        let seen = see(&hook, &seen).unwrap();
        for action in hook.apply(&seen) {
            shellcheck(&action.script);
            assert!(!action.script.contains("hunter22") && !action.script.contains("tttt"), "{}", action.script);
            let Some(crate::base::Payload::Bytes(bytes)) = &action.stdin else { panic!("no stdin") };
            let text = String::from_utf8_lossy(bytes);
            assert!(
                text.contains("header = \"PRIVATE-TOKEN: hunter22hunter22\"") && text.contains(r#""token":"tttttttttttttttt""#),
                "{text}"
            );
        }
    }
    let seen = see(&other, &answer(200, "{}")).unwrap();
    assert_eq!(other.apply(&seen)[0].label, "change settings");
}

#[test]
fn fields_of_the_object_go_into_the_path() {
    let spec = spec(hook());
    let seen = see(&spec, &answer(200, &json!([gitlab_hook(7), gitlab_hook(8)]).to_string())).unwrap();
    let script = spec.apply(&seen).remove(0).script;
    assert!(script.contains("poclab_call DELETE /projects/pozos%2Fstudent_list/hooks/8 ''"), "{script}");
    assert!(script.contains("poclab_call PUT /projects/pozos%2Fstudent_list/hooks/7 body"), "{script}");
}

#[test]
fn mistakes_are_refused() {
    let with = |edit: fn(&mut Value)| {
        let mut json = hook();
        edit(&mut json);
        serde_json::from_value::<Spec>(json).unwrap().check()
    };
    let edits: [fn(&mut Value); 12] = [
        |json| json["what"] = "".into(),
        |json| json["api"]["url"] = "http://gitlab.lab.example/api/v4".into(),
        |json| json["api"]["url"] = "https://gitlab.lab.example/".into(),
        |json| json["api"]["headers"] = json!({"a b": "c"}),
        |json| json["api"]["headers"] = json!({"a": "b\nc"}),
        |json| json["read"] = "/x".into(),
        |json| json["match"] = json!({}),
        |json| json["list"] = "hooks".into(),
        |json| json["create"]["path"] = "/x/{id}".into(),
        |json| json["create"]["method"] = "DELETE".into(),
        |json| json["create"] = Value::Null,
        |json| {
            json["state"] = "absent".into();
            json["delete"] = Value::Null;
        },
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        assert_eq!(with(edit).len(), 1, "edit {number}: {:?}", with(edit));
    }
}
