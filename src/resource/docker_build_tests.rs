use super::*;
use crate::resource::testing::shellcheck;

fn spec() -> Spec {
    serde_json::from_value(serde_json::json!({
        "reference": "poclab/jenkins:lab", "content": "FROM base:1\nCOPY a.txt /\n", "files": {"a.txt": "it's\n"}, "from": ["base:1", "cli:1"]
    }))
    .unwrap()
}

const ID: &str = "sha256:a416a98b71e224a31ee99cff8e16063554498227d2b696152a9c3e0aa65e5824";
const BASE: &str = "sha256:bbbba98b71e224a31ee99cff8e16063554498227d2b696152a9c3e0aa65e5824";

fn look(text: &str) -> Result<Observed, String> {
    Spec::parse(&[&spec()], &Reply { stdout: text.as_bytes().to_vec(), status: 0 }).remove(0)
}

fn said(text: &str) -> Vec<String> {
    match spec().diff(&look(text).unwrap()) {
        State::InSync => Vec::new(),
        State::Drift(changes) => changes.into_iter().map(|change| change.what).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_difference_is_named() {
    let hash = spec().files_hash();
    let good =
        format!("there {ID} {{\"poclab.files\":\"{hash}\",\"poclab.from\":\"{BASE} {ID}\",\"other\":\"x\"}}\nthere {BASE}\nthere {ID}\n");
    assert_eq!(said(&good), Vec::<String>::new());
    assert_eq!(said("absent\nabsent\nabsent\n"), ["not on the host: build it"]);
    assert_eq!(said("docker absent\n"), ["not on the host: build it"]);
    assert_eq!(said(&format!("there {ID} null\nthere {BASE}\nthere {ID}\n")), ["was not built by poclab"]);
    let other = good.replacen(&hash, &"0".repeat(64), 1);
    assert_eq!(said(&other), [format!("was built from other files (000000000000, want {})", &hash[..12])]);
    let moved =
        format!("there {ID} {{\"poclab.files\":\"{hash}\",\"poclab.from\":\"{BASE} {ID}\",\"other\":\"x\"}}\nthere {ID}\nthere {ID}\n");
    assert_eq!(said(&moved), ["was built from another base:1 (bbbba98b71e2, now a416a98b71e2)"]);
    let gone = format!("there {ID} {{\"poclab.files\":\"{hash}\",\"poclab.from\":\"{BASE} {ID}\"}}\nabsent\nthere {ID}\n");
    assert_eq!(said(&gone), Vec::<String>::new());
}

#[test]
fn what_could_not_be_seen_is_unknown() {
    for text in
        ["", "! Cannot connect to the Docker daemon\nabsent\nabsent\n", "there odd\nabsent\nabsent\n", &format!("there {ID} {{}}\n")]
    {
        assert!(look(text).is_err(), "{text}");
    }
}

#[test]
fn one_hash_over_names_and_contents() {
    let mut other = spec();
    other.files = BTreeMap::from([("b.txt".to_owned(), Content("it's\n".to_owned()))]);
    assert_ne!(other.files_hash(), spec().files_hash());
    other = spec();
    other.content.0.push('\n');
    assert_ne!(other.files_hash(), spec().files_hash());
}

#[test]
fn mistakes_are_refused() {
    for (key, value) in [
        ("reference", serde_json::json!("no-tag")),
        ("reference", serde_json::json!("a b:1")),
        ("content", serde_json::json!(" ")),
        ("from", serde_json::json!([])),
        ("from", serde_json::json!(["a b"])),
        ("files", serde_json::json!({"a/b": ""})),
        ("files", serde_json::json!({"Dockerfile": ""})),
    ] {
        let mut json = serde_json::json!({"reference": "a/b:1", "content": "FROM x:1", "from": ["x:1"]});
        json[key] = value;
        let spec: Spec = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(spec.check().len(), 1, "{json}");
    }
}

#[test]
fn the_scripts() {
    shellcheck(&Spec::observe(&[&spec()]));
    let action = spec().apply(&look("absent\nabsent\nabsent\n").unwrap()).remove(0);
    shellcheck(&action.script);
    assert_eq!(action.stdin, Some(Payload::Bytes(b"FROM base:1\nCOPY a.txt /\nit's\n".to_vec())));
    insta::assert_snapshot!("build", action.script);
}
