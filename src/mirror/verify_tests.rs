use serde_json::json;

use super::super::lock::Sum;
use super::super::said::{Parts, Said};
use super::*;
use crate::base::sha256;

fn lock(sum: &str, found: &str) -> Lock {
    Lock::parse(&format!("rpms:\n  a: {{version: '1', sha256: {sum}, file: rpm/a.rpm, found: \"{found}\"}}\n")).unwrap()
}

/// A folder with one package.
fn folder() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("rpm")).unwrap();
    std::fs::write(dir.path().join("rpm/a.rpm"), "one").unwrap();
    (dir, sha256(b"one"))
}

fn wrong(found: &[(String, Finding)]) -> Vec<String> {
    let is = |(what, finding): &(String, Finding)| match finding {
        Finding::Wrong(why) => Some(format!("{what}: {why}")),
        _ => None,
    };
    found.iter().filter_map(is).collect()
}

#[test]
fn both_sums_are_named() {
    let (dir, one) = folder();
    let two = sha256(b"two");
    let say = |lock: &Lock, pinned: Option<&Lock>| verify(dir.path(), lock, pinned).remove(0).1;
    assert_eq!(say(&lock(&one, &one), None), Finding::Good);
    assert!(matches!(say(&lock("unverified", &one), None), Finding::Unverified(why) if why.contains(&one)));
    for (mirror, pinned) in [
        (lock(&two, &two), None),
        (lock(&two, &one), None),
        (lock("unverified", &two), None),
        (lock("unverified", &one), Some(lock(&two, &two))),
    ] {
        let Finding::Wrong(why) = say(&mirror, pinned.as_ref()) else { panic!("{mirror:?}") };
        assert!(why.contains(&one) && why.contains(&two), "{why}");
    }
    assert!(matches!(say(&lock("unverified", &one), Some(&lock("unverified", &one))), Finding::Unverified(_)));
    assert_eq!(say(&lock("unverified", &one), Some(&lock(&one, &one))), Finding::Good);
}

#[test]
fn nothing_is_missing_and_nothing_else_is_there() {
    let (dir, one) = folder();
    let mut own = lock(&one, &one);
    own.files.insert("rpm/KEY".to_owned(), sha256(b"key"));
    own.files.insert("rpm/repodata/repomd.xml".to_owned(), sha256(b"index"));
    std::fs::create_dir(dir.path().join("rpm/repodata")).unwrap();
    std::fs::write(dir.path().join("rpm/KEY"), "key").unwrap();
    std::fs::write(dir.path().join("rpm/repodata/repomd.xml"), "index").unwrap();
    assert_eq!(verify(dir.path(), &own, Some(&own)), [("package a 1".to_owned(), Finding::Good)]);

    std::fs::write(dir.path().join("rpm/KEY"), "another key").unwrap();
    std::fs::write(dir.path().join("rpm/repodata/repomd.xml"), "another index").unwrap();
    std::fs::create_dir_all(dir.path().join("rpm/sub/deep")).unwrap();
    std::fs::write(dir.path().join("rpm/sub/deep/b.rpm"), "").unwrap();
    std::fs::write(dir.path().join("rpm/KEY2"), "").unwrap();
    std::os::unix::fs::symlink("/", dir.path().join("rpm/link")).unwrap();
    let found = wrong(&verify(dir.path(), &own, None));
    for (what, why) in [
        ("rpm/KEY", &*sha256(b"another key")),
        ("rpm/repodata/repomd.xml", &*sha256(b"index")),
        ("rpm/sub/deep/b.rpm", "is not in the mirror's lock"),
        ("rpm/KEY2", "records it"),
        ("rpm/link", "is not in the mirror's lock"),
    ] {
        assert!(found.iter().any(|line| line.starts_with(&format!("{what}: ")) && line.contains(why)), "{what}: {found:?}");
    }
    assert_eq!(found.len(), 5, "{found:?}");
    std::fs::remove_file(dir.path().join("rpm/KEY")).unwrap();
    std::fs::remove_file(dir.path().join("rpm/a.rpm")).unwrap();
    let found = wrong(&verify(dir.path(), &own, None));
    assert!(found.contains(&"rpm/KEY: is missing".to_owned()) && found.iter().any(|line| line.contains("cannot be read")), "{found:?}");
}

#[test]
fn a_folder_that_cannot_be_read_is_no_good_one() {
    let (dir, one) = folder();
    // For root, who may read everything: a file where a folder should be.
    std::fs::write(dir.path().join("tools"), "").unwrap();
    let found = wrong(&verify(dir.path(), &lock(&one, &one), None));
    assert!(matches!(&found[..], [line] if line.starts_with("tools: cannot be read")), "{found:?}");
}

#[test]
fn the_other_lock_decides_what_belongs_there() {
    let (dir, one) = folder();
    let own = lock(&one, &one);
    let found = |own: &Lock, pinned: &Lock| verify(dir.path(), own, Some(pinned));
    let more = Lock::parse(&format!("tools:\n  t: {{version: '1', sha256: {one}}}\n")).unwrap();
    let both = wrong(&found(&own, &more));
    assert!(both.contains(&"package a 1: only the mirror's own lock names it".to_owned()), "{both:?}");
    assert!(both.contains(&"tool t 1: is not in the mirror".to_owned()), "{both:?}");
    for (field, change) in [("version", "2"), ("url", "https://h/a.rpm")] {
        let mut other = own.clone();
        let entry = other.rpms.get_mut("a").unwrap();
        match field {
            "version" => entry.version = change.to_owned(),
            _ => entry.url = Some(change.to_owned()),
        }
        let both = wrong(&found(&own, &other));
        assert!(matches!(&both[..], [line] if line.contains(&format!("the {field} ")) && line.contains(change)), "{both:?}");
    }
    // What the rehearsal makes says so, and is never called good.
    let mut made = own.clone();
    made.rpms.get_mut("a").unwrap().what = Some("Debian's".to_owned());
    std::fs::write(dir.path().join("rpm/KEY"), "").unwrap();
    let all = found(&made, &more);
    assert_eq!(all[0].1, Finding::StandIn("Debian's".to_owned()));
    assert_eq!(wrong(&all), Vec::<String>::new(), "its own mirror needs not be whole, and says nothing of keys");
    assert!(matches!(&all[1], (place, Finding::Unverified(_)) if place == "rpm"), "{all:?}");
    // The other lock knows of it: it is compared.
    assert!(matches!(found(&made, &made)[0].1, Finding::Good));
}

#[test]
fn an_image_is_followed_from_the_digest_that_the_other_lock_knows() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("images")).unwrap();
    let file = dir.path().join("images/i.tar");
    let descriptor = |sum: &str| json!({"digest": format!("sha256:{sum}")});
    // Everything that whoever can write to the folder can make fit together.
    let make = |layer: &[u8]| {
        let (config, layer_sum) = (b"{}", sha256(layer));
        std::fs::write(dir.path().join(&layer_sum), layer).unwrap();
        let parts = Parts { config: sha256(config), layers: vec![layer_sum.clone()] };
        archive::pack("i:1", &parts, config, dir.path(), &file).unwrap();
        let manifest = json!({"config": descriptor(&sha256(config)), "layers": [descriptor(&layer_sum)]}).to_string();
        let said = Said { list: None, manifest: manifest.into_bytes() };
        said.write(&file).unwrap();
        let found = LocalFile::look(&file).unwrap().sha256;
        let mut own = Lock::parse(&format!(
            "images:\n  i: {{version: '1', reference: 'i:1', url: 'docker://h.example/i:1', sha256: {}, file: images/i.tar, found: {found}}}\n",
            said.digest()
        ))
        .unwrap();
        own.files = folder::others(&own, dir.path()).unwrap();
        let ids = BTreeMap::from([("i".to_owned(), archive::id(&file).unwrap())]);
        std::fs::write(dir.path().join(MANIFEST), manifest::text(&own, &ids).unwrap()).unwrap();
        own
    };
    let good = make(b"layer");
    let pinned = good.clone();
    assert_eq!(verify(dir.path(), &good, Some(&pinned)), [("image i:1".to_owned(), Finding::Good)]);
    let mut bad = make(b"another layer");
    assert_eq!(wrong(&verify(dir.path(), &bad, None)), Vec::<String>::new(), "its own lock knows nothing better");
    let digest = |lock: &Lock| lock.images["i"].sha256.known().unwrap().to_owned();
    let (have, want) = (digest(&bad), digest(&pinned));
    let both = |own: &Lock| {
        let found = wrong(&verify(dir.path(), own, Some(&pinned)));
        assert!(found.iter().any(|line| line.contains(&have) && line.contains(&want)), "{found:?}");
    };
    both(&bad);
    // The lock keeps what the project says, or says nothing: the chain tells.
    bad.images.get_mut("i").unwrap().sha256 = pinned.images["i"].sha256.clone();
    both(&bad);
    bad.images.get_mut("i").unwrap().sha256 = Sum::Unverified;
    both(&bad);
    // Without what the registry said nothing is proven.
    std::fs::remove_file(dir.path().join("images/i.manifest.json")).unwrap();
    bad.files.clear();
    let found = wrong(&verify(dir.path(), &bad, Some(&pinned)));
    assert!(found.iter().any(|line| line.contains("i.manifest.json") && line.contains("mirror build")), "{found:?}");
    // mirror.yml is what a lab reads.
    let good = make(b"layer");
    let text = std::fs::read_to_string(dir.path().join(MANIFEST)).unwrap();
    std::fs::write(dir.path().join(MANIFEST), text.replace("id: sha256:", "id: sha256:0")).unwrap();
    let found = wrong(&verify(dir.path(), &good, Some(&pinned)));
    assert!(matches!(&found[..], [line] if line.starts_with("mirror.yml: images.i.id")), "{found:?}");
}
