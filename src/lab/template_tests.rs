use super::*;
use serde_json::json;

fn templates(files: &[(&str, &str)]) -> (Templates, Vec<String>) {
    let mut problems = Vec::new();
    let templates =
        Templates::from_files(files.iter().map(|(name, source)| ((*name).to_owned(), (*source).to_owned())).collect(), &mut problems);
    (templates, problems.iter().map(ToString::to_string).collect())
}

fn context() -> Context {
    Context::from_value(
        json!({"n": 5, "list": [1, 2], "host": {"name": "app", "rehearsal": true}, "no": false, "html": "<&>", "map": {"b": 1, "a": 2}}),
    )
    .unwrap()
}

fn text(source: &str) -> Result<Value, Vec<Fault>> {
    templates(&[]).0.text(source, &context())
}

fn undefined(path: &str) -> Fault {
    Fault::Undefined { path: path.into(), template: None }
}

#[test]
fn one_expression_keeps_its_type() {
    assert_eq!(text("{{ n }}"), Ok(json!(5)));
    assert_eq!(text("{{list}}"), Ok(json!([1, 2])));
    assert_eq!(text("{{ host.rehearsal and not no }}"), Ok(json!(true)));
    assert_eq!(text("{{ not host.rehearsal }}"), Ok(json!(false)));
    assert_eq!(text("{{ 'app' in host.name }}"), Ok(json!(true)));
    assert_eq!(text("{{ nothing | default(value=[]) }}"), Ok(json!([])));
    assert_eq!(text("{{ nothing is defined }}"), Ok(json!(false)));
    assert_eq!(text("{{ n + 1 }}"), Ok(json!(6)));
    assert_eq!(text("a{{ n }}"), Ok(json!("a5")));
    assert_eq!(text("{{ html }}!"), Ok(json!("<&>!")));
    assert_eq!(text("{% if no %}x{% else %}{{ n }}{% endif %}"), Ok(json!("5")));
}

#[test]
fn filters_of_our_own() {
    assert_eq!(text("{{ 'a b' | sh }}"), Ok(json!("'a b'")));
    assert_eq!(text("{{ list | json }}"), Ok(json!("[1,2]")));
    assert_eq!(text("{{ map | to_json(pretty=true) }}"), Ok(json!("{\n  \"b\": 1,\n  \"a\": 2\n}")));
    for (plain, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
        assert_eq!(base64(plain.as_bytes()), encoded);
    }
}

#[test]
fn undefined_is_an_error_everywhere() {
    for source in [
        "{{ x }}",
        "a {{ x }}",
        "{% if x %}a{% endif %}",
        "{% if not x %}a{% endif %}",
        "{{ not x }}",
        "{% if n and x %}a{% endif %}",
        "{% for a in x %}{% endfor %}",
        "{% if n == x %}{% endif %}",
        "{{ n ~ x }}",
        "{% if no %}{% elif x %}{% endif %}",
        "{% if x | length %}{% endif %}",
    ] {
        assert_eq!(text(source), Err(vec![undefined("x")]), "{source}");
    }
    assert_eq!(text("{{ x }} {{ host.y }} {{ n }} {% if z %}{% endif %}"), Err(vec![undefined("x"), undefined("host.y"), undefined("z")]));
}

#[test]
fn a_branch_that_is_not_taken_may_use_what_is_not_there() {
    assert_eq!(text("{% if x is defined %}{{ x.y }}{% endif %}."), Ok(json!(".")));
    assert_eq!(text("{% if x is defined and x.y %}a{% endif %}."), Ok(json!(".")));
}

#[test]
fn unknown_filters_functions_and_syntax() {
    assert_eq!(
        text("{{ n | jsn }}"),
        Err(vec![Fault::Other { what: "there is no filter `jsn`".into(), suggestion: Some("did you mean `json`?".into()) }])
    );
    assert!(
        matches!(&text("{{ get_env(name='HOME') }}").unwrap_err()[..], [Fault::Other { what, .. }] if what == "there is no function `get_env`")
    );
    assert!(matches!(&text("{{ n").unwrap_err()[..], [Fault::Other { .. }]));
}

#[test]
fn files_include_each_other_and_are_checked_when_read() {
    let (good, problems) = templates(&[("a", "{% include \"b\" %}"), ("b", "{% if x %}1{% endif %}")]);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(good.variables_of_file("a"), BTreeSet::from(["x".to_owned()]));
    assert_eq!(good.file("a", &context()), Err(vec![Fault::Undefined { path: "x".into(), template: Some("b".into()) }]));
    let (bad, problems) = templates(&[("a", "x\n{% include \"bb\" %}"), ("b1", "1\n{{ x"), ("c", "\n\n{{ x | upperr }}")]);
    assert_eq!(problems[0], "templates/a:2:13: there is no templates/bb; did you mean `b1`?");
    assert!(problems[1].starts_with("templates/b1:2:5: the template is not well-formed: expected"), "{}", problems[1]);
    assert_eq!(problems[2], "templates/c:3:8: there is no filter `upperr`; did you mean `upper`?");
    assert!(bad.is_broken("a"));
}
