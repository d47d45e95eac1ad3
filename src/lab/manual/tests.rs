//! The manual of the shipped project.

use std::path::Path;

use super::*;

fn shipped() -> Manual {
    Manual::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("inventory/lab.yml"), &[])
}

/// Whoever adds a kind, a field, a role, a variable or a secret writes down what it means.
#[test]
fn everything_that_is_shipped_is_explained() {
    let manual = shipped();
    let contents = manual.contents();
    for topic in [Topic::Resource, Topic::Check, Topic::Role, Topic::Variable, Topic::Secret] {
        assert!(contents.iter().any(|(known, _)| *known == topic), "{topic:?}");
    }
    let mut silent = Vec::new();
    for (topic, name) in contents {
        let page = manual.page(topic, &name).unwrap_or_else(|| panic!("{topic:?} {name}"));
        if page.text.trim().is_empty() {
            silent.push(format!("{topic:?} {name}: {}", page.set.first().map(|setting| setting.origin.as_str()).unwrap_or_default()));
        }
        if topic != Topic::Role {
            silent.extend(page.fields.iter().filter(|field| field.text.is_empty()).map(|field| format!("{topic:?} {name}.{}", field.name)));
        }
    }
    assert!(silent.is_empty(), "not explained: write a doc comment, or a comment above the variable:\n{}", silent.join("\n"));
}

#[test]
fn every_name_leads_to_a_page_and_wrong_ones_to_near_names() {
    let manual = shipped();
    for name in manual.names() {
        assert!(!manual.pages(&name).is_empty(), "{name}");
    }
    assert_eq!(manual.find("nothing_like_this"), []);
    assert_eq!(manual.near("fiel").first().map(String::as_str), Some("file"));
    assert_eq!(manual.near("registry_push_prot").first().map(String::as_str), Some("registry_push_port"));
    assert_eq!(manual.near("qqqqqqqqqqqq"), Vec::<String>::new());
}

#[test]
fn a_name_may_mean_several_things() {
    let topics: Vec<Topic> = shipped().find("registry").into_iter().map(|page| page.topic).collect();
    assert_eq!(topics, [Topic::Check, Topic::Role]);
    let owners: Vec<String> = shipped().find("mode").into_iter().map(|page| page.name).collect();
    assert_eq!(owners, ["file.mode", "directory.mode"]);
}

#[test]
fn variables_come_to_something_on_hosts() {
    let page = &shipped().find("registry_push_port")[0];
    let by: Vec<&str> = page.set.iter().map(|setting| setting.by.as_str()).collect();
    assert_eq!(by, ["role clair", "role docker", "role jenkins", "role pipeline", "role registry", "role security_tests"]);
    let of_docker = page.values.iter().find(|value| value.roles == ["docker"]).unwrap();
    assert_eq!((of_docker.hosts.join(" ").as_str(), of_docker.value.as_str()), ("deploy app registry", "5000"));
    // Where sshd listens is asked by two roles; both have it from their own defaults.
    let pages = shipped().find("sshd_port");
    let origins: Vec<&str> = pages[0].values.iter().map(|value| value.origin.split(':').next().unwrap()).collect();
    assert_eq!(origins, ["roles/firewall/role.yml", "roles/docker/role.yml"]);
    let overridden =
        Manual::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("inventory/lab.yml"), &[("registry_push_port".into(), "6000".into())]);
    let page = &overridden.find("registry_push_port")[0];
    assert!(page.values.iter().all(|value| value.value == "6000" && value.origin == "--set"), "{page:?}");
}

#[test]
fn kinds_have_fields_and_a_real_use() {
    let page = &shipped().find("file")[0];
    let names: Vec<&str> = page.fields.iter().map(|field| field.name.as_str()).collect();
    assert!(names.starts_with(&["path", "content"]) && names.contains(&"template"), "{names:?}");
    assert_eq!(page.smallest, "- file: {path: …}");
    let example = page.example.as_ref().unwrap();
    assert!(example.origin.starts_with("roles/") && example.text.starts_with("- file: {"), "{example:?}");
    let state = &shipped().find("file.state")[0];
    assert_eq!(state.facts[0].1, ["`present` or `absent`"]);
}
