use std::sync::{Arc, Mutex};

use super::*;
use crate::check::Tcp;
use crate::check::testing::{Scripted, framed, ran};

fn spec() -> Spec {
    let host = |name: &str, last: u8| serde_json::json!({"name": name, "address": format!("10.9.0.{last}")});
    serde_json::from_value(serde_json::json!({
        "docker_hosts": ["app"], "image": "probe:1", "hosts": [host("deploy", 11), host("app", 12), host("gitlab", 14)],
        "flows": [{"to": "app", "port": 22, "protocol": "tcp", "from_operators": true}, {"to": "app", "port": 80, "protocol": "tcp", "from_hosts": ["deploy"], "from_operators": true, "published": true}],
    }))
    .unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Docker goes around the firewall: everybody reaches everything.
    Bypass,
    NoImage,
    NotListening,
    Stays,
    NotLed,
    /// Something that is no container listens on the allowed port.
    PortTaken,
    /// Another container publishes it.
    InUse,
}

fn run(fault: Fault) -> (Vec<Outcome>, Vec<String>) {
    let ran_scripts = Arc::new(Mutex::new(Vec::<String>::new()));
    let (log, page) = (ran_scripts.clone(), Mutex::new(String::new()));
    let mut reach = Scripted::new(move |host, script, _| {
        log.lock().unwrap().push(format!("{host}: {script}"));
        if script.contains("docker version") {
            let ports = match fault {
                Fault::PortTaken => "taken 80\n",
                Fault::InUse => "container 80\n",
                _ => "free 80\n",
            };
            let mut answers = vec![("docker", "26", 0), ("leftovers", "", 0)];
            match fault {
                Fault::NoImage => answers.push(("image", "Error: No such image: probe:1\n", 1)),
                _ => answers.extend([("image", "sha256:1\n", 0), ("ports", ports, 0)]),
            }
            return Ok(framed(script, &answers));
        }
        if script.contains("docker run") {
            let words = script.split_whitespace().find(|word| word.starts_with("poclab-page-")).unwrap();
            *page.lock().unwrap() = words.to_owned();
            return Ok(framed(script, &[("run", "f00\n", 0)]));
        }
        if script.contains("GET / HTTP") {
            let text = page.lock().unwrap().clone();
            return Ok(framed(
                script,
                &[if fault == Fault::NotListening { ("page", "bash: connect: Connection refused\n", 1) } else { ("page", &text, 0) }],
            ));
        }
        if script.contains("nat -S DOCKER") {
            return Ok(framed(script, &[("led", "-N DOCKER\n", i32::from(fault == Fault::NotLed))]));
        }
        if script.contains("docker rm -f") {
            return Ok(crate::check::Ran { status: i32::from(fault == Fault::Stays), ..ran("") });
        }
        // The probes.
        let mut out =
            String::from("probe 127.0.0.1 22 0 \nprobe 127.0.0.1 47112 1 Connection refused\nneighbour 10.9.0.12 0x2\npublished 80 yes\n");
        out.push_str(match host {
            "deploy" => "address 10.9.0.11\n",
            "app" => "address 10.9.0.12\n",
            _ => "address 10.9.0.14\n",
        });
        for line in script.lines().filter(|line| line.starts_with("10.9.0.12 ")) {
            let open = fault == Fault::Bypass || (host == "deploy" && line.ends_with(" 80"));
            out.push_str(&format!("probe {line} {}\n", if open { "0 " } else { "124 " }));
        }
        out.push_str("end of probes\n");
        Ok(ran(&out))
    });
    reach.tcp = Box::new(move |to| Ok(if to.port() != 47113 || fault == Fault::Bypass { Tcp::Open } else { Tcp::Dropped }));
    let out = spec().run(&reach, &mut |_| {});
    drop(reach);
    let scripts = ran_scripts.lock().unwrap().clone();
    (out, scripts)
}

fn failed(out: &[Outcome]) -> Vec<&str> {
    out.iter().filter(|o| matches!(o.verdict, Verdict::Failed(_))).map(|o| o.title.as_str()).collect()
}

#[test]
fn a_guarded_port_passes_and_the_container_is_removed() {
    let (out, scripts) = run(Fault::None);
    assert_eq!(failed(&out), [] as [&str; 0], "{out:#?}");
    let summary =
        out.iter().find(|o| o.title == "app: reachable is exactly what the flow matrix allows, published by a container").unwrap();
    assert_eq!(summary.verdict, Verdict::Passed("9 of 9 as the matrix says: 3 open, 6 dropped".into()));
    assert!(scripts.last().unwrap().contains("docker rm -f poclab-probe-"));
}

#[test]
fn a_bypass_is_found() {
    let (out, scripts) = run(Fault::Bypass);
    let failed = failed(&out);
    assert!(failed.iter().any(|title| title.starts_with("gitlab -> app:22,80,47113/tcp is stopped")), "{failed:?}");
    assert!(failed.iter().any(|title| title.starts_with("the control machine -> app:47113/tcp is stopped")), "{failed:?}");
    assert!(scripts.last().unwrap().contains("docker rm -f poclab-probe-"));
}

#[test]
fn what_cannot_be_tried_is_no_pass() {
    let (out, scripts) = run(Fault::NoImage);
    assert!(out.len() == 1 && matches!(&out[0].verdict, Verdict::Failed(why) if why.contains("probe:1")), "{out:?}");
    assert!(!scripts.iter().any(|script| script.contains("docker run")));

    let (out, _) = run(Fault::NotListening);
    assert!(failed(&out).contains(&"the probe containers listen on their published ports on app"), "{out:?}");

    let (out, _) = run(Fault::Stays);
    assert_eq!(failed(&out), ["app: nothing is left of the probe container"]);

    let (out, _) = run(Fault::NotLed);
    assert_eq!(failed(&out), ["the probe containers listen on their published ports on app"]);

    let (out, _) = run(Fault::PortTaken);
    assert_eq!(failed(&out), [] as [&str; 0]);
    assert!(out.iter().any(|o| matches!(&o.verdict, Verdict::Skipped(why) if why.contains("80 is not free on app"))));

    // The other container's port is measured as it is; nothing is left unproven.
    let (out, _) = run(Fault::InUse);
    assert!(out.iter().all(|o| matches!(o.verdict, Verdict::Passed(_))), "{out:?}");
}
