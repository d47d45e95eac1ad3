//! Images and containers, on a whole host with Docker.

use proptest::collection::{btree_map, btree_set};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::host::Host;
use super::property::{Damage, How, Property, Trial};

/// One image of the rehearsal's mirror: reference, id, hash of its archive, and the archive on this machine.
fn image(host: &Host, name: &str) -> Value {
    let manifest = String::from_utf8(host.shell("cat /srv/poclab-mirror/mirror.yml")).unwrap();
    let manifest: Value = serde_yaml::from_str(&manifest).unwrap();
    let mut image = manifest["images"][name].clone();
    let file = host.path(&format!("{name}.tar"));
    if !std::path::Path::new(&file).exists() {
        std::fs::write(&file, host.shell(&format!("cat /srv/poclab-mirror/images/{name}.tar"))).unwrap();
    }
    image["archive"] = file.into();
    image
}

pub fn docker_image() -> Property {
    fn trials(host: &Host) -> BoxedStrategy<Trial> {
        let (probe, other) = (image(host, "probe"), image(host, "registry")["id"].as_str().unwrap().to_owned());
        let name = "(registry\\.lab\\.example:5000/)?zz[a-z0-9]{1,8}(/[a-z0-9]{1,5})?";
        let tag = option::of("[a-zA-Z0-9][a-zA-Z0-9._-]{0,8}");
        btree_map(name, (tag, any::<bool>(), any::<bool>()), 2..4)
            .prop_map(move |images| {
                let mut trial = Trial::default();
                for (of, (name, (tag, by_id, hashed))) in images.into_iter().enumerate() {
                    let reference = tag.map_or_else(|| name.clone(), |tag| format!("{name}:{tag}"));
                    let mut spec = json!({"reference": reference, "archive": probe["archive"]});
                    if by_id {
                        spec["id"] = probe["id"].clone();
                    }
                    if hashed {
                        spec["sha256"] = probe["sha256"].clone();
                    }
                    trial.specs.push(spec);
                    trial.after.push_str(&format!("docker rmi -f {reference}\n"));
                    trial.hurt(of, format!("docker rmi {reference}"), &["not on the host: load it"]);
                    let want = format!("id is {other}, want {}", probe["id"].as_str().unwrap());
                    trial.hurt(
                        of,
                        format!("docker tag {other} {reference}"),
                        if by_id { std::slice::from_ref(&want) } else { &[] }.iter().map(String::as_str).collect::<Vec<_>>().as_slice(),
                    );
                    trial.hurt(of, format!("docker tag {reference} zzextra:1\ndocker rmi zzextra:1"), &[]);
                }
                trial
            })
            .boxed()
    }
    Property { cases: 2, trials }
}

pub fn docker_build() -> Property {
    fn trials(_: &Host) -> BoxedStrategy<Trial> {
        // Every character that a shell, a Dockerfile's COPY or a JSON label could trip over.
        btree_map("zz[a-z0-9]{1,8}(/[a-z0-9]{1,5})?", ("[a-z][a-zA-Z0-9._-]{0,8}", "\\PC{0,40}", "[a-z]{1,8}"), 1..3)
            .prop_map(|images| {
                let mut trial = Trial { before: "docker tag busybox:1.36 zzbase:1".to_owned(), ..Trial::default() };
                for (of, (name, (file, content, label))) in images.into_iter().enumerate() {
                    let reference = format!("{name}:lab");
                    let dockerfile = format!("FROM zzbase:1\nLABEL zz={label}\nCOPY {file} /zz\n");
                    let spec =
                        json!({"reference": reference, "content": dockerfile, "files": {file.as_str(): content}, "from": ["zzbase:1"]});
                    let mut other = spec.clone();
                    other["files"][&file] = format!("{content}.").into();
                    trial.damages.push(Damage {
                        of,
                        how: How::Become(format!("docker rmi {reference}"), other),
                        want: vec!["was built from other files (…, want …)".to_owned()],
                    });
                    trial.specs.push(spec);
                    trial.after.push_str(&format!("docker rmi -f {reference}\n"));
                    trial.hurt(of, format!("docker rmi {reference}"), &["not on the host: build it"]);
                    trial.hurt(of, format!("docker tag busybox:1.36 {reference}"), &["was not built by poclab"]);
                    trial.hurt(of, format!("docker tag {reference} zzextra:1\ndocker rmi zzextra:1"), &[]);
                }
                trial.after.push_str("docker rmi zzbase:1\n");
                trial
            })
            .boxed()
    }
    Property { cases: 1, trials }
}

pub fn container() -> Property {
    fn trials(_: &Host) -> BoxedStrategy<Trial> {
        // One line each, as an --env-file has them; `=`, quotes, `#`, blanks and all of Unicode inside.
        let env = btree_map("[A-Z_][A-Z0-9_]{0,8}", "[^\\p{Cc}]{0,20}", 1..4);
        let labels = btree_map("[a-z][a-z0-9.-]{0,8}", "[^\\p{Cc}]{0,16}", 1..3);
        let caps = btree_set(prop_oneof![Just("NET_BIND_SERVICE"), Just("CHOWN"), Just("KILL")], 1..3);
        let rest = (any::<bool>(), option::of(6u64..64), prop_oneof![Just("host"), Just("bridge")], "[^\\p{Cc}]{0,12}");
        (env, labels, caps, rest, "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,10}")
            .prop_map(|(env, labels, caps, (read_only, memory, network, argument), name)| {
                let name = format!("zz{name}");
                let mut first = json!({
                    "name": name, "image": "busybox:1.36", "env": env, "labels": labels, "cap_drop": ["ALL"], "cap_add": caps,
                    "read_only": read_only, "network": network, "tmpfs": ["/tmp:size=1m"], "volumes": ["/srv:/srv:ro"],
                    "command": ["sh", "-c", "exec sleep 1000", argument], "user": "0:0", "security_opt": ["no-new-privileges"],
                    "groups": ["adm"],
                });
                if let Some(megabytes) = memory {
                    first["memory"] = format!("{megabytes}m").into();
                }
                if network == "bridge" {
                    first["publish"] = json!(["127.0.0.1:18080:80", "18081:81/udp"]);
                }
                let second = json!({"name": format!("{name}2"), "image": "busybox:1.36", "command": ["sleep", "1000"], "restart": "no"});
                let mut trial = Trial {
                    after: format!("docker rm -f {name} {name}2\n"),
                    specs: vec![first.clone(), second],
                    secrets: Vec::new(),
                    ..Trial::default()
                };
                trial.hurt(0, format!("docker stop -t 0 {name}"), &["is stopped (exit status 137)"]);
                trial.hurt(0, format!("docker pause {name}"), &["is paused"]);
                trial.hurt(1, format!("docker rm -f {name}2"), &["does not exist"]);
                trial.hurt(0, format!("docker update --restart=no {name}"), &["restart policy is no, want always"]);
                trial.hurt(1, format!("docker update --restart=always {name}2"), &["restart policy is always, want no"]);
                let mut becomes = |change: &dyn Fn(&mut Value), want: &str| {
                    let mut value = first.clone();
                    change(&mut value);
                    assert_ne!(value, first, "{want}");
                    trial.damages.push(Damage {
                        of: 0,
                        how: How::Become(format!("docker rm -f {name}"), value),
                        want: vec![want.to_owned()],
                    });
                };
                let (key, label) = (env.keys().next().unwrap().clone(), labels.keys().next().unwrap().clone());
                becomes(&|v| v["env"][&key] = "zz other".into(), &format!("env {key} differs"));
                becomes(&|v| drop(v["env"].as_object_mut().unwrap().remove(&key)), &format!("env {key} is missing"));
                becomes(&|v| drop(v["labels"].as_object_mut().unwrap().remove(&label)), &format!("label {label} is missing"));
                becomes(&|v| v["cap_add"].as_array_mut().unwrap().push("SETUID".into()), "added capabilities is … SETUID, want …");
                becomes(&|v| v["read_only"] = (!read_only).into(), &format!("read-only root is {}, want {read_only}", !read_only));
                becomes(&|v| v["groups"] = json!(["adm", "tty"]), "groups is …, want …");
                becomes(&|v| v["env"]["ZZ_NEW"] = "x".into(), "unknown env ZZ_NEW");
                becomes(&|v| v["volumes"] = json!(["/srv:/srv"]), "volumes is /srv:/srv, want /srv:/srv:ro");
                trial
            })
            // Docker's own `env` has PATH; a name that it sets itself is another test's business.
            .prop_filter("no wildcard, no PATH", |trial| {
                let text = Value::from(trial.specs.clone()).to_string();
                !text.contains('…') && !text.contains("\"PATH\"")
            })
            .boxed()
    }
    Property { cases: 1, trials }
}
