use std::path::Path;

use super::*;

const DIGEST: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const ARCHIVE: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The lab of this tree with all that is not configured at first, and its lock.
fn ours() -> (Lab, Lock) {
    let terms = ("splunk_general_terms".to_owned(), "--accept-sgt-current-at-splunk-com".to_owned());
    let lab = crate::lab::validate(&tree().join("inventory/lab.yml"), &[terms]).unwrap();
    (lab, Lock::read(&tree().join("lock.yml")).unwrap())
}

/// All that the sets hold, but for packages without a version.
fn locked(used: &Used) -> BTreeSet<&String> {
    [&used.pinned, &used.unverified, &used.signed, &used.fetched].into_iter().flatten().collect()
}

/// The lab of this tree with these resources alone.
fn with(resources: &[(&str, serde_json::Value)], mirror: Option<&str>) -> Lab {
    let (mut lab, _) = ours();
    lab.source.mirror = mirror.map(PathBuf::from);
    lab.nodes.truncate(1);
    lab.nodes[0].resources = resources
        .iter()
        .map(|(kind, value)| crate::lab::Resource {
            spec: Spec::read(kind, value.clone()).unwrap().unwrap(),
            notify: Vec::new(),
            origin: String::new(),
        })
        .collect();
    lab
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_lock_of_this_tree_names_all_that_its_roles_install() {
    let (lab, lock) = ours();
    let found = used(&lab, &lock);
    assert_eq!(found.unlocked, BTreeSet::new(), "one line each in lock.yml, with the version that the role has");
    assert!(locked(&found).len() > 60, "{found:?}");
    for name in ["splunk/splunk:9.4.3", "quay.io/projectquay/clair:4.9.0", "datadog-agent 7.58.1-1", "docker-ce 26.1.4-1.el7"] {
        assert!(locked(&found).contains(&name.to_owned()), "{name} is looked at: {found:?}");
    }
    for name in &found.floating {
        assert!(lock.rpms.contains_key(name), "{name} has no version in its role, so a mirror needs one in lock.yml");
    }
    // Another version is another artifact.
    let mut other = lock;
    other.rpms.get_mut("docker-ce").unwrap().version = "26.1.3-1.el7".to_owned();
    assert_eq!(used(&lab, &other).unlocked, set(&["docker-ce 26.1.4-1.el7"]));
}

#[test]
fn nothing_in_the_lock_is_left_over_from_earlier_versions() {
    let (lab, lock) = ours();
    let found = used(&lab, &lock);
    let mut known: BTreeSet<String> = locked(&found).into_iter().cloned().collect();
    known.extend(found.floating.iter().filter_map(|name| Some(lock.rpms.get(name)?.label(name))));
    // What these need besides, and what a command of a role fetches.
    let needed = [
        "audit-libs-python",
        "checkpolicy",
        "container-selinux",
        "docker-ce-rootless-extras",
        "firewalld-filesystem",
        "fuse-overlayfs",
        "fuse3-libs",
        "libcgroup",
        "libsemanage-python",
        "perl-Git",
        "python-IPy",
        "python-firewall",
        "setools-libs",
        "slirp4netns",
        "splunkforwarder",
    ];
    let left: Vec<String> = lock
        .all()
        .filter(|(section, name, artifact)| !(known.contains(&artifact.label(name)) || *section == Section::Rpms && needed.contains(name)))
        .map(|(section, name, artifact)| format!("{section} {}", artifact.label(name)))
        .collect();
    assert_eq!(left, Vec::<String>::new(), "no role installs it any more, or in another version");
}

#[test]
fn addresses_outside_of_resources_agree_with_the_lock() {
    let (_, lock) = ours();
    let read = |path: &str| std::fs::read_to_string(tree().join(path)).unwrap();
    let forwarder = &lock.rpms["splunkforwarder"];
    let role = read("roles/splunk_forwarder/role.yml");
    assert!(role.contains(&format!("splunk_forwarder_url: {}\n", forwarder.url.as_deref().unwrap())), "splunk_forwarder_url");
    let version = forwarder.version.split('-').next().unwrap();
    assert!(role.contains(&format!("splunk_forwarder_version: {version}\n")), "splunk_forwarder_version");
    let python = lock.images["python"].reference.as_deref().unwrap();
    for file in ["app/simple_api/Dockerfile", "app/website/Dockerfile"] {
        assert!(read(file).contains(&format!("ARG PYTHON_IMAGE={python}\n")), "{file}");
    }
}

#[test]
fn images_from_archives_are_what_the_mirrors_lock_says_of_them() {
    let image = serde_json::json!({"reference": "thing:1", "archive": "/m/images/thing.tar", "sha256": ARCHIVE});
    let lock = |sum: &str, found: &str| {
        Lock::parse(&format!(
            "images:\n  thing: {{version: '1', reference: 'thing:1', sha256: {sum}, file: images/thing.tar, found: {found}}}\n"
        ))
        .unwrap()
    };
    let lab = with(&[("docker_image", image.clone())], Some("/m"));
    assert_eq!(used(&lab, &lock(DIGEST, ARCHIVE)).pinned, set(&["thing:1"]));
    assert_eq!(used(&lab, &lock("unverified", ARCHIVE)).unverified, set(&["thing:1"]), "a fetched mirror without a sum says so");
    let other = used(&lab, &lock(DIGEST, DIGEST));
    assert_eq!(other.unlocked, set(&["thing:1 (its archive has another SHA-256 than the lock says)"]));
    assert_eq!(used(&lab, &Lock::default()).unlocked, set(&["thing:1"]));
    // Without a mirror the inventory itself says which archive.
    assert_eq!(used(&with(&[("docker_image", image)], None), &Lock::default()).pinned, set(&["thing:1"]));
    let bare = serde_json::json!({"reference": "thing:1", "archive": "/m/images/thing.tar"});
    assert_eq!(used(&with(&[("docker_image", bare)], None), &Lock::default()).unlocked, set(&["thing:1"]));
}

#[test]
fn without_a_mirror_only_digests_of_images_are_compared() {
    let resources = [
        ("package", serde_json::json!({"items": [{"name": "a", "version": "1"}, {"name": "b"}]})),
        ("docker_image", serde_json::json!({"reference": "thing:1"})),
        ("docker_image", serde_json::json!({"reference": "own:1", "digest": format!("sha256:{ARCHIVE}")})),
        ("docker_image", serde_json::json!({"reference": "made:1"})),
    ];
    let lock = Lock::parse(&format!(
        "rpms:\n  a: {{version: '1', sha256: {DIGEST}}}\n  b: {{version: '1', sha256: {DIGEST}}}\nimages:\n\
         \x20 thing: {{version: '1', reference: 'thing:1', sha256: {DIGEST}, url: 'docker://h.example/thing:1'}}\n\
         \x20 own: {{version: '1', reference: 'own:1', sha256: {DIGEST}, url: 'docker://h.example/own:1'}}\n\
         \x20 made: {{version: '1', reference: 'made:1', sha256: {DIGEST}}}\n"
    ))
    .unwrap();
    let mut lab = with(&resources, None);
    pin_images(&mut lab, &lock);
    let digests: Vec<_> = lab.nodes[0]
        .resources
        .iter()
        .filter_map(|resource| match &resource.spec {
            Spec::docker_image(spec) => Some(spec.digest.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(digests, [Some(format!("sha256:{DIGEST}")), Some(format!("sha256:{ARCHIVE}")), None], "unless it was given");
    let found = used(&lab, &lock);
    assert_eq!((found.pinned, found.unverified), (set(&["own:1", "thing:1"]), set(&["made:1"])));
    assert_eq!((found.signed, found.floating, found.unlocked), (set(&["a 1"]), set(&["b"]), set(&[])));
    // A mirror has one version of each package.
    let found = used(&with(&resources[..1], Some("/m")), &lock);
    assert_eq!((found.pinned, found.floating), (set(&["a 1", "b 1"]), set(&[])));
}

#[test]
fn what_is_to_be_accepted_is_listed_whole() {
    let names: Vec<String> = (0..70).map(|n| format!("p{n:02}")).collect();
    let used = Used { unverified: names.iter().cloned().collect(), pinned: set(&["x"]), ..Used::default() };
    let events = sorted(used, "lock.yml");
    let [Event::Reservation { what, list, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((what.as_str(), list), ("unverified: 70 of 71 artifacts have no checksum in lock.yml", &names));
    assert_eq!(sorted(Used { pinned: set(&["x"]), ..Used::default() }, "lock.yml"), Vec::new());
}
