use super::*;
use crate::resource::Change;
use crate::resource::firewalld::golden::from;
use crate::resource::testing::shellcheck;

/// Docker 20.10, recorded. (No other engine was at hand: that 26.1 says `bridge` for the default network and names
/// the daemon in errors is from its documentation.)
const RECORDED: &str = include_str!("../../../tests/golden/docker-20.10.txt");

fn spec(json: &str) -> Spec {
    serde_json::from_str(json).unwrap()
}

fn probe() -> Spec {
    spec(
        r#"{"name": "probe", "image": "busybox:1.36", "command": ["sleep", "1000"], "env": {"A": "b", "S": "secret"},
            "volumes": ["/srv/x:/x:ro", "/srv/y:/y"], "tmpfs": ["/tmp:size=8m"], "labels": {"a": "b"}, "user": "0:0", "read_only": true,
            "cap_drop": ["all"], "cap_add": ["CAP_NET_BIND_SERVICE"], "memory": "64m", "security_opt": ["no-new-privileges:true"]}"#,
    )
}

fn published() -> Spec {
    spec(
        r#"{"name": "pub", "image": "busybox:1.36", "network": "bridge", "command": ["sleep", "1000"], "restart": "no", "publish": ["127.0.0.1:8080:80", "9090:90/udp"]}"#,
    )
}

/// The recorded `docker inspect`, on one line as the fragment prints it.
fn host() -> String {
    let line = |command: &str| {
        let json: serde_json::Value = serde_json::from_str(&from(RECORDED, command)).unwrap();
        json[0].to_string()
    };
    format!(
        "container {}\ncontainer {}\ndocker 0\nimage busybox:1.36 {}\n",
        line("$ docker inspect --type container probe"),
        line("$ docker inspect --type container pub"),
        line("$ docker image inspect busybox:1.36")
    )
}

fn observed(spec: &Spec, text: &str) -> Result<Observed, String> {
    Spec::parse(&[spec], &Reply { stdout: text.as_bytes().to_vec(), status: 0 }).remove(0)
}

fn drift(spec: &Spec, text: &str) -> Vec<String> {
    match spec.diff(&observed(spec, text).unwrap()) {
        State::Drift(changes) => changes.into_iter().map(|change| change.what).collect(),
        State::InSync => Vec::new(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn recorded_containers_are_in_sync() {
    assert_eq!(drift(&probe(), &host()), [""; 0]);
    assert_eq!(drift(&published(), &host()), [""; 0]);
}

#[test]
fn each_difference_is_exactly_one_change() {
    let image = "sha256:6fd53c291e09a8e3e379e65c34b9967d551f5d9df4a1d28ba9e7cc64e599ce9b";
    for (from, to, want) in [
        (r#""Running":true"#, r#""Running":false"#, "is stopped (exit status 0)"),
        (r#""Paused":false"#, r#""Paused":true"#, "is paused"),
        (r#""Restarting":false"#, r#""Restarting":true"#, "starts again and again (exit status 0)"),
        (r#""/srv/x:/x:ro""#, r#""/srv/x:/x""#, "volumes is /srv/x:/x /srv/y:/y, want /srv/x:/x:ro /srv/y:/y"),
        (r#""NetworkMode":"host""#, r#""NetworkMode":"default""#, "network is bridge, want host"),
        (r#""Name":"always""#, r#""Name":"no""#, "restart policy is no, want always"),
        (r#"["ALL"]"#, "null", "dropped capabilities is none, want ALL"),
        (
            r#"["NET_BIND_SERVICE"]"#,
            r#"["CAP_NET_BIND_SERVICE","SYS_ADMIN"]"#,
            "added capabilities is NET_BIND_SERVICE SYS_ADMIN, want NET_BIND_SERVICE",
        ),
        (r#""Privileged":false"#, r#""Privileged":true"#, "privileged is true, want false"),
        (r#""ReadonlyRootfs":true"#, r#""ReadonlyRootfs":false"#, "read-only root is false, want true"),
        (r#"["no-new-privileges"]"#, "null", "security option no-new-privileges:true is missing"),
        (r#"["no-new-privileges"]"#, r#"["no-new-privileges","seccomp=unconfined"]"#, "unknown security option seccomp=unconfined"),
        (r#""Memory":67108864"#, r#""Memory":0"#, "memory limit is none, want 67108864 bytes"),
        (r#""/tmp":"size=8m""#, r#""/tmp":"""#, "tmpfs is /tmp, want /tmp:size=8m"),
        (r#""S=secret""#, r#""S=other""#, "env S differs"),
        (r#""A=b","#, "", "env A is missing"),
        (r#"["sleep","1000"],"Image""#, r#"["sleep","9"],"Image""#, "command is sleep 9, want sleep 1000"),
        (r#""User":"0:0""#, r#""User":"1:1""#, "user is 1:1, want 0:0"),
        (r#""Labels":{"a":"b"}"#, r#""Labels":{}"#, "label a is missing"),
        (r#""Image":"busybox:1.36""#, r#""Image":"busybox:1.35""#, "image is busybox:1.35, want busybox:1.36"),
        (&*format!(r#""Image":"{image}""#), r#""Image":"sha256:old""#, &*format!("image is sha256:old, want {image} (busybox:1.36)")),
    ] {
        let damaged = host().replacen(from, to, 1);
        assert_ne!(damaged, host(), "{from}");
        assert_eq!(drift(&probe(), &damaged), [want]);
    }
    let moved = host().replacen(r#""HostIp":"127.0.0.1""#, r#""HostIp":"0.0.0.0""#, 1);
    assert_eq!(drift(&published(), &moved), ["published ports is 8080:80/tcp 9090:90/udp, want 127.0.0.1:8080:80/tcp 9090:90/udp"]);
    let later = host().replacen(r#""NetworkMode":"default""#, r#""NetworkMode":"bridge""#, 1);
    assert_eq!(drift(&published(), &later), [""; 0]);
}

#[test]
fn what_could_not_be_looked_at_is_an_error() {
    let none = "docker 1\n! Error: No such container: probe\n";
    assert_eq!(drift(&probe(), none), ["does not exist"]);
    assert_eq!(drift(&probe(), "docker absent\n"), ["does not exist"]);
    assert!(observed(&probe(), "docker 1\n! Cannot connect to the Docker daemon at unix:///var/run/docker.sock.\n").is_err());
    assert!(observed(&probe(), "docker 0\ncontainer {}\n").is_err());
    assert!(observed(&probe(), "").is_err());
}

#[test]
fn secrets_are_not_in_scripts_changes_or_debug_texts() {
    let spec = probe();
    let seen = observed(&spec, &host().replacen("S=secret", "S=topsecret", 1)).unwrap();
    let actions = spec.apply(&seen);
    assert!(!actions[0].script.contains("secret"));
    assert_eq!(actions[0].stdin, Some(crate::base::Payload::Bytes(b"A=b\nS=secret\n".to_vec())));
    assert!(!format!("{spec:?}{seen:?}{actions:?}").contains("secret"), "{seen:?}");
}

#[test]
fn the_scripts() {
    let none = observed(&probe(), "docker absent\n").unwrap();
    let run = probe().apply(&none).remove(0);
    shellcheck(&run.script);
    insta::assert_snapshot!("run", run.script);
    let labelled = Spec {
        relabel: Some(Relabel::Shared),
        volumes: vec!["/a:/a:ro".into(), "/b:/b".into(), "v:/c".into(), "/d:/d:Z".into()],
        ..published()
    };
    assert_eq!(labelled.binds(), ["/a:/a:ro,z", "/b:/b:z", "v:/c", "/d:/d:Z"]);
    let stopped = observed(&probe(), &host().replacen(r#""Running":true"#, r#""Running":false"#, 1)).unwrap();
    let start = probe().apply(&stopped).remove(0);
    assert!(start.script.contains("docker start probe") && !start.script.contains("docker rm"));
    shellcheck(&start.script);
    shellcheck(&Spec::observe(&[&probe(), &published()]));
}

#[test]
fn mistakes_are_refused() {
    for json in [
        r#"{"name": "-x", "image": "a"}"#,
        r#"{"name": "x", "image": "-a"}"#,
        r#"{"name": "x", "image": "a", "publish": ["80:80"]}"#,
        r#"{"name": "x", "image": "a", "network": "bridge", "publish": ["80"]}"#,
        r#"{"name": "x", "image": "a", "volumes": ["/x"]}"#,
        r#"{"name": "x", "image": "a", "volumes": ["/x:/y:rox"]}"#,
        r#"{"name": "x", "image": "a", "env": {"A": "b\nC=d"}}"#,
        r#"{"name": "x", "image": "a", "memory": "lots"}"#,
        r#"{"name": "x", "image": "a", "restart": "often"}"#,
    ] {
        assert_eq!(spec(json).check().len(), 1, "{json}");
    }
    assert_eq!(probe().check(), [""; 0]);
    assert_eq!(published().check(), [""; 0]);
    let _ = Change::default();
}

#[test]
#[ignore = "needs a scratch host"]
fn scratch_host() {
    use crate::resource::scratch::{apply, look, plan, repair, run};
    let ok = |script: &str| {
        let (status, out) = run(script, b"");
        assert_eq!(status, 0, "{script}: {out}");
        out
    };
    ok("docker rm -f probe pub >/dev/null 2>&1; mkdir -p /srv/x /srv/y; docker image inspect busybox:1.36 >/dev/null");
    for spec in [probe(), published()] {
        assert_eq!(plan(&spec), ["does not exist"]);
        repair(&spec);
    }
    for (damage, want) in [
        ("docker stop -t 0 probe", "is stopped (exit status 137)"),
        ("docker pause probe", "is paused"),
        ("docker rm -f probe", "does not exist"),
        ("docker update --restart=no probe", "restart policy is no, want always"),
    ] {
        ok(damage);
        assert_eq!(plan(&probe()), [want]);
        repair(&probe());
    }
    let broken = Spec { name: "broken".into(), command: vec!["sh".into(), "-c".into(), "echo last words; exit 3".into()], ..probe() };
    let error = apply(&broken.apply(&look(&broken).unwrap())).unwrap_err();
    assert!(error.contains("does not stay up") && error.contains("last words"), "{error}");
    let missing = Spec { image: "nope:1".into(), ..probe() };
    let error = apply(&missing.apply(&look(&missing).unwrap())).unwrap_err();
    assert!(error.contains("image nope:1 is not on this host"), "{error}");
    assert_eq!(plan(&probe()), [""; 0], "the old one still runs");
    ok("docker rm -f probe pub broken; ! ls /run/poclab-env.* 2>/dev/null");
}
