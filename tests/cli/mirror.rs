//! `poclab mirror`: what upstream sends, what a folder holds, what the lock says.

use crate::lab::Lab;
use crate::upstream::Upstream;

/// As a plugin begins: an archive of Java is a zip archive.
const PLUGIN: &str = "PK\x03\x04 a plugin";

struct Case {
    lab: Lab,
    upstream: Upstream,
}

impl Case {
    /// One thing of each kind but packages (these are in tests/mirror.rs), none of them with a sum.
    fn new() -> Self {
        let case = Self { lab: Lab::new(), upstream: Upstream::new() };
        case.upstream.file("/git/5.10.1/git.hpi", PLUGIN.as_bytes());
        case.upstream.file("/tool-1.0", b"a tool");
        case.upstream.image("library/thing", "1.0", br#"{"os":"linux"}"#, &[b"layer one".to_vec(), b"layer two".to_vec()]);
        let at = &case.upstream.address;
        case.lab.write(
            "lock.yml",
            &format!(
                "# by hand\nimages:\n  thing: {{version: \"1.0\", reference: \"thing:1.0\", sha256: unverified, url: \"docker://{at}/library/thing:1.0\"}}\n\
                 plugins:\n  git: {{version: 5.10.1, sha256: unverified, url: \"http://{at}/git/5.10.1/git.hpi\"}} # why\n\
                 tools:\n  tool: {{version: \"1.0\", sha256: unverified, url: \"http://{at}/tool-1.0\"}}\n"
            ),
        );
        case
    }

    /// The same for tests that have mirrors built. `None` where that cannot be done.
    fn to_build() -> Option<Self> {
        indexer().then(Self::new)
    }

    fn sum(&self, of: &str) -> String {
        poclab::base::sha256(of.as_bytes())
    }
}

/// createrepo_c is among what `make test` installs.
fn indexer() -> bool {
    let there = std::process::Command::new("createrepo_c").arg("--version").output().is_ok_and(|out| out.status.success());
    assert!(there || std::env::var_os("POCLAB_REQUIRE_TOOLS").is_none(), "createrepo_c is missing");
    if !there {
        eprintln!("not run: createrepo_c is missing (rehearsal/install-prerequisites --tests)");
    }
    there
}

#[test]
fn a_folder_is_filled_pinned_and_checked() {
    let Some(case) = Case::to_build() else { return };
    let lab = &case.lab;
    let ran = lab.poclab("mirror build mirror").exits(0);
    assert!(ran.stdout.contains("mirror: 3 artifacts, 3 of them fetched now"), "{ran}");
    assert!(ran.stderr.contains(&format!("unverified: plugin git has the SHA-256 {}", case.sum(PLUGIN))), "{ran}");
    assert!(lab.read("mirror/mirror.yml").contains("reference: thing:1.0"));
    let ran = lab.poclab("mirror verify mirror").exits(0);
    assert!(ran.stdout.contains("0 as the lock says, 3 unverified, 0 wrong"), "{ran}");

    lab.poclab("mirror build mirror --pin").exits(0);
    let lock = lab.read("lock.yml");
    assert!(lock.starts_with("# by hand\n") && lock.contains("} # why\n") && !lock.contains("unverified"), "{lock}");
    assert!(lock.contains(&case.sum(PLUGIN)) && lock.contains(&case.sum("a tool")));
    assert!(lab.poclab("mirror verify mirror").exits(0).stdout.contains("3 as the lock says, 0 unverified, 0 wrong"));
    let ran = lab.poclab("mirror build mirror").exits(0);
    assert!(ran.stdout.contains("3 artifacts, 0 of them fetched now"), "{ran}");
    lab.untouched();
}

#[test]
fn a_wrong_checksum_is_refused_with_both_values() {
    let Some(case) = Case::to_build() else { return };
    let lab = &case.lab;
    lab.poclab("mirror build mirror --pin").exits(0);

    // Somebody changed a file of the mirror.
    lab.write("mirror/plugins/git.hpi", "PK\x03\x04 another plugin");
    let ran = lab.poclab("mirror verify mirror").exits(1);
    let both = |text: &str, have: &str, want: &str| {
        assert!(text.contains(&case.sum(have)) && text.contains(&case.sum(want)), "{text}");
    };
    both(&ran.stderr, "PK\x03\x04 another plugin", PLUGIN);
    // So did he with the mirror's own lock: the project's still knows.
    lab.write("mirror/lock.yml", &lab.read("mirror/lock.yml").replace(&case.sum(PLUGIN), &case.sum("PK\x03\x04 another plugin")));
    both(&lab.poclab("mirror verify mirror").exits(1).stderr, "PK\x03\x04 another plugin", PLUGIN);
    // A build repairs it.
    assert!(lab.poclab("mirror build mirror").exits(0).stdout.contains("1 of them fetched now"));
    lab.poclab("mirror verify mirror").exits(0);

    // Upstream sends something else.
    case.upstream.file("/tool-1.0", b"a worse tool");
    std::fs::remove_file(lab.path("mirror/tools/tool-1.0")).unwrap();
    let ran = lab.poclab("mirror build mirror").exits(1);
    both(&ran.stderr, "a worse tool", "a tool");
    assert!(!lab.path("mirror/tools/tool-1.0").exists() && !lab.path("mirror/mirror.yml").exists(), "what was refused is not kept");
    assert!(lab.poclab("mirror verify mirror").exits(1).stderr.contains("has no mirror.yml"));
    case.upstream.file("/tool-1.0", b"a tool");
    lab.poclab("mirror build mirror").exits(0);

    // A file that nobody asked for.
    lab.write("mirror/rpm/extra-1.rpm", "x");
    assert!(lab.poclab("mirror verify mirror").exits(1).stderr.contains("rpm/extra-1.rpm: is not in the mirror's lock"));
    lab.poclab("mirror build mirror").exits(0);
    assert!(!lab.path("mirror/rpm/extra-1.rpm").exists());
}

#[test]
fn an_image_is_its_digest_whatever_its_tag_says() {
    let Some(case) = Case::to_build() else { return };
    let lab = &case.lab;
    lab.poclab("mirror build mirror --pin").exits(0);
    let first = std::fs::read(lab.path("mirror/images/thing.tar")).unwrap();
    // The tag is moved; the pinned image is fetched all the same.
    case.upstream.image("library/thing", "1.0", br#"{"os":"plan9"}"#, &[b"layer three".to_vec()]);
    lab.poclab("mirror build elsewhere").exits(0);
    assert_eq!(std::fs::read(lab.path("elsewhere/images/thing.tar")).unwrap(), first, "the same to the byte");
    // The registry lies about a layer.
    let layer = case.sum("layer two");
    case.upstream.file(&format!("/v2/library/thing/blobs/sha256:{layer}"), b"layer too");
    let ran = lab.poclab("mirror build third").exits(1);
    assert!(ran.stderr.contains(&layer) && ran.stderr.contains(&case.sum("layer too")), "{ran}");
    assert!(!lab.path("third/images/thing.tar").exists());
}

/// Its list of machines, its manifest and its settings: each may be sent whole and sound, and be another image's.
#[test]
fn another_image_under_the_same_digest_is_refused_with_both_values() {
    let Some(case) = Case::to_build() else { return };
    let lab = &case.lab;
    lab.poclab("mirror build mirror --pin").exits(0);
    let manifests = |digest: &str| format!("/v2/library/thing/manifests/sha256:{digest}");
    let inner = |list: &[u8]| {
        let list: serde_json::Value = serde_json::from_slice(list).unwrap();
        list["manifests"][1]["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned()
    };
    let settings = |config: &str| format!("/v2/library/thing/blobs/sha256:{}", case.sum(config));
    let ours = poclab::base::sha256(&case.upstream.content("/v2/library/thing/manifests/1.0"));
    let other = case.upstream.image("library/thing", "2.0", br#"{"os":"linux","User":"root"}"#, &[b"layer one".to_vec()]);
    let (our_list, other_list) = (case.upstream.content(&manifests(&ours)), case.upstream.content(&manifests(&other)));
    for (asked, sent) in [
        (manifests(&ours), other_list.clone()),
        (manifests(&inner(&our_list)), case.upstream.content(&manifests(&inner(&other_list)))),
        (settings(r#"{"os":"linux"}"#), case.upstream.content(&settings(r#"{"os":"linux","User":"root"}"#))),
    ] {
        let honest = case.upstream.content(&asked);
        let have = case.upstream.file(&asked, &sent);
        let ran = lab.poclab("mirror build elsewhere").exits(1);
        let want = asked.rsplit(':').next().unwrap();
        assert!(ran.stderr.contains(&format!("has the digest sha256:{have}, expected sha256:{want}")), "{asked}: {ran}");
        assert!(!lab.path("elsewhere/images/thing.tar").exists(), "{asked}");
        case.upstream.file(&asked, &honest);
    }
    lab.poclab("mirror build elsewhere").exits(0);
}

#[test]
fn what_cannot_be_fetched_is_named_with_all_the_rest() {
    let Some(case) = Case::to_build() else { return };
    let lab = &case.lab;
    lab.replace("lock.yml", "/tool-1.0", "/tool-1.1");
    lab.replace("lock.yml", "library/thing:1.0", "library/thing:1.1");
    let ran = lab.poclab("mirror build mirror").exits(1);
    assert!(ran.stderr.contains("tool tool 1.0: ") && ran.stderr.contains("image thing:1.0: ") && ran.stderr.contains("404"), "{ran}");
    assert!(lab.poclab("mirror verify mirror").exits(1).stderr.contains("has no mirror.yml: it is not whole"));
    assert!(lab.poclab("mirror verify elsewhere").exits(64).stderr.contains("it is no mirror, or not a whole one"));
    assert!(ran.stderr.contains("mirror is no mirror yet") && !ran.stderr.contains("plugin git 5.10.1:"), "{ran}");
    lab.poclab("mirror build").exits(64);
    lab.replace("lock.yml", "5.10.1, sha256: unverified", "5.10.1, sha256: unknown");
    let ran = lab.poclab("mirror build mirror").exits(64);
    assert!(ran.stderr.contains("write 64 hexadecimal digits, or `unverified`"), "{ran}");
}

#[test]
fn the_bill_of_materials_lists_the_lock() {
    let case = Case::new();
    let ran = case.lab.poclab("mirror sbom").exits(0);
    let bom: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((bom["bomFormat"].as_str(), bom["specVersion"].as_str()), (Some("CycloneDX"), Some("1.5")));
    assert_eq!(bom["components"].as_array().unwrap().len(), 3);
    case.lab.poclab("mirror sbom --output lab.cdx.json").exits(0);
    assert_eq!(case.lab.read("lab.cdx.json"), ran.stdout);
    case.lab.untouched();
}

#[test]
fn a_bootstrap_says_what_has_no_checksum() {
    let lab = Lab::new();
    let base = lab.read("roles/base/role.yml");
    lab.write("roles/base/role.yml", &base.replace("checks:\n", "  - docker_image: {reference: \"thing:1.0\"}\nchecks:\n"));
    for host in ["web", "db"] {
        lab.program(&format!("hosts/{host}/bin/docker"), "echo 'Error: No such image: thing:1.0' >&2; exit 1");
    }
    let warned = |lock: Option<&str>| {
        if let Some(lock) = lock {
            lab.write("lock.yml", lock);
        }
        let ran = lab.poclab("plan").run();
        let notes: Vec<String> = ran.all().lines().filter(|line| line.contains("WARNING: ")).map(str::to_owned).collect();
        notes.join("\n")
    };
    assert!(warned(None).contains("none of the 1 artifacts that this lab installs is pinned by a checksum"), "{}", warned(None));
    let entry = |sum: &str| {
        format!("images:\n  thing: {{version: '1.0', reference: 'thing:1.0', sha256: {sum}, url: 'docker://h.example/thing:1.0'}}\n")
    };
    let text = warned(Some(&entry("unverified")));
    assert!(text.contains("unverified: 1 of 1 artifacts have no checksum in [lab]/lock.yml (thing:1.0)"), "{text}");
    assert_eq!(warned(Some(&entry(&"a".repeat(64)))), "");
    assert!(warned(Some("images: {}\n")).contains("1 of 1 artifacts are not in [lab]/lock.yml (thing:1.0)"));
    assert!(warned(Some("images: 1\n")).contains("are not known"));
    // What is known is enforced: hosts pull that digest, whatever the tag says.
    lab.write("lock.yml", &entry(&"a".repeat(64)));
    let ran = lab.poclab("bootstrap --verbose").run();
    assert!(ran.all().contains(&format!("thing@sha256:{}", "a".repeat(64))), "{ran}");
    // A bootstrap says it, too, and so does a verification; log and report have it whole.
    lab.write("lock.yml", &entry("unverified"));
    for command in ["bootstrap", "verify"] {
        let ran = lab.poclab(command).run();
        assert!(ran.all().contains("WARNING: unverified: 1 of 1"), "{ran}");
        let ran = lab.poclab(&format!("{command} --html {command}.html")).run();
        let page = lab.read(&format!("{command}.html"));
        assert!(page.contains("Unverified: 1 of 1 artifacts have no checksum") && page.contains(">thing:1.0</li>"), "{ran}\n{page}");
        assert!(!page.contains("Nothing in this run speaks against it"), "{page}");
    }
    let ran = lab.poclab("verify --format junit").run();
    assert!(ran.stdout.contains("unverified: 1 of 1"), "{ran}");
}

#[test]
fn a_rerun_fetches_only_the_rest() {
    let Some(case) = Case::to_build() else { return };
    let lab = &case.lab;
    case.upstream.lose("/tool-1.0");
    let layer = format!("/v2/library/thing/blobs/sha256:{}", case.sum("layer two"));
    case.upstream.lose(&layer);
    let ran = lab.poclab("mirror build mirror --pin").exits(1);
    assert!(ran.stderr.contains("tool tool 1.0: ") && ran.stderr.contains("image thing:1.0: "), "{ran}");
    let lock = lab.read("lock.yml");
    assert!(lock.contains(&case.sum(PLUGIN)) && lock.matches("unverified").count() == 2, "what was found out is written down: {lock}");
    assert!(case.upstream.take_given().contains(&"/git/5.10.1/git.hpi".to_owned()));

    case.upstream.file("/tool-1.0", b"a tool");
    case.upstream.file(&layer, b"layer two");
    let ran = lab.poclab("mirror build mirror --pin").exits(0);
    assert!(ran.stdout.contains("3 artifacts, 2 of them fetched now"), "{ran}");
    let given = case.upstream.take_given();
    let first = format!("/v2/library/thing/blobs/sha256:{}", case.sum("layer one"));
    assert!(given.contains(&layer) && !given.contains(&first) && !given.contains(&"/git/5.10.1/git.hpi".to_owned()), "{given:?}");
    assert!(lab.poclab("mirror verify mirror").exits(0).stdout.contains("3 as the lock says, 0 unverified, 0 wrong"));
    assert!(!lab.path("mirror/.layers").exists());
}

#[test]
fn busy_servers_and_tokens_that_run_out_are_no_failures() {
    let Some(case) = Case::to_build() else { return };
    case.upstream.busy(2);
    case.upstream.tokens_last(2);
    case.lab.poclab("mirror build mirror").exits(0);
    // A token for each request.
    case.upstream.tokens_last(1);
    case.lab.poclab("mirror build second").exits(0);
}

#[test]
fn what_is_no_artifact_is_not_taken_for_one() {
    let Some(case) = Case::to_build() else { return };
    let (lab, at) = (&case.lab, &case.upstream.address);
    case.upstream.file("/git/5.10.1/git.hpi", b"<html>try again later</html>");
    let ran = lab.poclab("mirror build mirror").exits(1);
    assert!(ran.stderr.contains("is no plugin (SHA-256 ") && !lab.path("mirror/plugins/git.hpi").exists(), "{ran}");
    // Nobody is led out of TLS, or away from this machine.
    lab.replace("lock.yml", &format!("http://{at}/git/5.10.1/git.hpi"), &format!("http://{at}/leads-to/http://h.example/git.hpi"));
    let ran = lab.poclab("mirror build mirror").exits(1);
    assert!(ran.stderr.contains("leads to http://h.example/git.hpi, which is without TLS"), "{ran}");
    // Files of somebody else are left alone.
    lab.write("home/images/holiday.png", "x");
    let ran = lab.poclab("mirror build home").exits(1);
    assert!(ran.stderr.contains("home is not empty") && lab.path("home/images/holiday.png").exists(), "{ran}");
}

#[test]
fn an_image_that_was_changed_with_all_that_the_mirror_says_of_it_is_found() {
    let Some(case) = Case::to_build() else { return };
    let lab = &case.lab;
    lab.poclab("mirror build mirror --pin").exits(0);
    let pinned = lab.read("lock.yml");
    // Another image of the same name, fetched by somebody else: its folder is sound in itself.
    case.upstream.image("library/thing", "1.0", br#"{"os":"linux"}"#, &[b"layer evil".to_vec()]);
    lab.replace("lock.yml", pinned.split("thing:1.0\", sha256: ").nth(1).unwrap().get(..64).unwrap(), "unverified");
    lab.poclab("mirror build other --pin").exits(0);
    lab.write("lock.yml", &pinned);
    let ran = lab.poclab("mirror verify other").exits(1);
    assert!(ran.stderr.contains("image thing:1.0: ") && ran.stderr.contains("digest"), "{ran}");
    // Without the project's lock nobody knows, and that is said.
    std::fs::remove_file(lab.path("lock.yml")).unwrap();
    let ran = lab.poclab("mirror verify other").exits(0);
    assert!(ran.stderr.contains("WARNING: there is no") && ran.stderr.contains("its own lock alone"), "{ran}");
}
