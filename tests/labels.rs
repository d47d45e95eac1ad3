//! What containers get of their host keeps its label: on every host the policy knows the type of each folder that a confined container
//! is given. Docker relabels a folder when a container is made; a file that is written later, or a relabelling of the whole host,
//! would otherwise take it away from the container.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::path::Path;

use poclab::lab::{Node, validate};
use poclab::resource::Spec;
use regex::Regex;

/// Folders that containers of a role are given with a label, and whether the role keeps that label in the policy.
fn folders(node: &Node) -> Vec<(String, bool)> {
    let kept: Vec<Regex> = node
        .resources
        .iter()
        .filter_map(|resource| match &resource.spec {
            Spec::selinux_fcontext(context) if context.r#type == "container_file_t" => {
                Some(Regex::new(&format!("^(?:{})$", context.path)).unwrap())
            }
            _ => None,
        })
        .collect();
    let containers = node.resources.iter().filter_map(|resource| match &resource.spec {
        Spec::container(container) if container.relabel.is_some() => Some(container),
        _ => None,
    });
    containers
        .flat_map(|container| &container.volumes)
        .filter(|volume| volume.starts_with('/'))
        .map(|volume| volume.split(':').next().unwrap_or_default().to_owned())
        .map(|folder| (folder.clone(), kept.iter().any(|context| context.is_match(&folder))))
        .collect()
}

#[test]
fn folders_of_confined_containers_keep_their_label() {
    let lab = validate(&Path::new(env!("CARGO_MANIFEST_DIR")).join("inventory/rehearsal.yml"), &[]).unwrap_or_else(|why| panic!("{why}"));
    let mut roles = Vec::new();
    for node in &lab.nodes {
        for (folder, kept) in folders(node) {
            assert!(kept, "role {}: {folder} is given to a container, and no selinux_fcontext of the role has it", node.role);
            roles.push(node.role.as_str());
        }
    }
    roles.dedup();
    roles.sort_unstable();
    assert_eq!(roles, ["clair", "datadog_intake", "jenkins", "registry", "splunk_server"], "the test looks at all of them");
    // Control: without the contexts it would say so.
    let mut node = lab.nodes.iter().find(|node| node.role == "registry").unwrap().clone();
    node.resources.retain(|resource| !matches!(resource.spec, Spec::selinux_fcontext(_)));
    assert!(folders(&node).iter().all(|(_, kept)| !kept));
}
