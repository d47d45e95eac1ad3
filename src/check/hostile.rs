//! Answers to checks: each check runs on a host that answers whatever the bytes say.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use super::disrupt::Disruption;
use super::{Ran, Reach, Spec, Tcp};
use crate::base::Payload;
use crate::hostile::Parser;

/// Hosts that all answer from one text: entries `id US status US payload` with RS between them. A part of a script gets the
/// entry with its id; a script that is not framed gets the entry `plain`.
struct Answers(Vec<(String, i32, Vec<u8>)>);

const ENTRY: u8 = 0x1e;
const FIELD: u8 = 0x1f;

impl Answers {
    fn read(bytes: &[u8]) -> Self {
        let entry = |entry: &[u8]| {
            let mut fields = entry.splitn(3, |&b| b == FIELD);
            let id = String::from_utf8_lossy(fields.next().unwrap_or_default()).into_owned();
            let status = String::from_utf8_lossy(fields.next().unwrap_or_default()).parse().unwrap_or(0);
            (id, status, fields.next().unwrap_or_default().to_vec())
        };
        Self(bytes.split(|&b| b == ENTRY).map(entry).collect())
    }

    fn of(&self, id: &str) -> (i32, &[u8]) {
        self.0.iter().find(|entry| entry.0 == id).map_or((0, b""), |(_, status, payload)| (*status, payload))
    }
}

impl Reach for Answers {
    fn exec(&self, _: &str, script: &str, _: Vec<Payload>, _: Duration) -> Result<Ran, String> {
        let Some(nonce) = script.lines().find_map(|line| line.strip_prefix("poclab_n=")) else {
            let (status, payload) = self.of("plain");
            return Ok(Ran { status, stdout: payload.to_vec(), stderr: Vec::new() });
        };
        let mut stdout = Vec::new();
        for id in script.lines().filter_map(|line| line.strip_prefix("poclab_begin ")) {
            let (status, payload) = self.of(id);
            stdout.extend(format!("\x1e{nonce}:{id}\x1f").bytes());
            stdout.extend(payload);
            stdout.extend(format!("\x1e{nonce}:{id}:{status}\x1f").bytes());
        }
        Ok(Ran { status: 0, stdout, stderr: self.of("stderr").1.to_vec() })
    }

    fn tcp(&self, _: SocketAddr, _: Duration) -> Result<Tcp, String> {
        Ok(Tcp::Rejected)
    }

    fn http(&self, _: &str, _: SocketAddr) -> Result<reqwest::blocking::Client, String> {
        Err("no server here".to_owned())
    }

    fn http_without_ca(&self, _: &str, _: SocketAddr) -> Result<reqwest::blocking::Client, String> {
        Err("no server here".to_owned())
    }
}

/// Good answers: id, status, text. Those of one check after the other.
const GOOD: &[(&str, i32, &str)] = &[
    // firewalld_running
    ("active", 0, "active\n"),
    ("enabled", 0, "enabled\n"),
    ("panic", 0, "   boolean false\n"),
    ("interfaces", 0, "   array [\n   ]\n"),
    ("sources", 0, "   array [\n   ]\n"),
    ("default", 0, "public (active)\n  target: default\n  icmp-block-inversion: no\n  interfaces: eth9\n"),
    ("nonsense", 1, "Error org.fedoraproject.FirewallD1.Exception: INVALID_ZONE: poclab-none\n"),
    // selinux_enforcing
    ("rehearsal", 1, ""),
    ("kernel", 0, ""),
    ("mounted", 0, "yes\n"),
    ("enforce", 0, "1"),
    ("getenforce", 0, "Enforcing\n"),
    ("config", 0, "enforcing\n"),
    // no_insecure_registry
    ("info", 0, r#"{"InsecureRegistryCIDRs":["127.0.0.0/8"],"IndexConfigs":{"docker.io":{"Name":"docker.io","Secure":true}}}"#),
    ("daemon", 0, r#"{"live-restore": true}"#),
    ("units", 0, ""),
    // time_sync
    ("chronyc", 0, "/usr/bin/chronyc\n"),
    ("wait", 0, ""),
    (
        "tracking",
        0,
        "Reference ID    : CB00710F (203.0.113.15)\nSystem time     : 0.000006523 seconds slow of NTP time\nLeap status     : Normal\n",
    ),
    // registry
    ("image", 0, "sha256:aa\n"),
    ("login", 0, "Login Succeeded\n"),
    ("push", 0, ""),
    ("digest", 0, "registry.lab.example:5000/probe@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"),
    ("absent", 1, "Error: No such image: x\n"),
    ("forbidden", 1, "denied: requested access to the resource is denied\n"),
    // gitlab
    ("key", 0, ""),
    ("read", 0, "00fa1e5f0d6c refs/heads/main\n0000"),
    ("write", 1, "remote: ERROR: This deploy key does not have write access to this project.\n"),
    // published_port
    ("docker", 0, "20.10.24\n"),
    ("leftovers", 0, ""),
    ("ports", 0, "free 80\ntaken 81\n"),
    ("run", 0, ""),
    ("page", 0, "poclab-page\n"),
    ("led", 0, ""),
    // deployment
    ("deployed", 0, "commit: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\napi: r/a@sha256:1\nwebsite: r/w@sha256:2\nresult: running\n"),
    ("status", 0, r#"{"myapplication":[{"lastcommitsha":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}]}"#),
    ("website", 0, "<p>- bob is 13 years old</p>"),
    ("denied", 0, "401"),
    // clair
    ("ready", 0, "\n200"),
    ("nobody", 0, "\n401"),
    ("wrong", 0, "\n401"),
    ("database", 2, "psql: error: fe_sendauth: no password supplied\n"),
    ("known", 0, "{\"debian/updater\":[{\"date\":\"2026-11-21T08:00:00Z\",\"fingerprint\":\"Sat, 21 Nov 2026 07:00:00 GMT\"}]}\n200"),
    ("clean-image", 0, "sha256:aa\n"),
    ("bad-image", 0, "sha256:bb\n"),
    ("digests", 0, "x\n"),
    ("clean", 0, r#"{"format":"poclab scan 1","verdict":"passed","packages":2}"#),
    (
        "bad",
        3,
        r#"{"format":"poclab scan 1","verdict":"refused","findings":[{"vulnerability":"a","package":"pyyaml","policy":"refused"}]}"#,
    ),
    ("missing", 4, "error: nothing of poclab-none yet\n"),
    // attacks
    (
        "control",
        4,
        "{\"control\": true, \"scenarios\": [{\"feature\": \"a\", \"scenario\": \"x\", \"verdict\": \"failed\", \"why\": \"z\"}]}\n",
    ),
    ("attack", 0, "note: x\n{\"control\": false, \"scenarios\": [{\"feature\": \"a\", \"scenario\": \"x\", \"verdict\": \"passed\"}]}\n"),
    // datadog, splunk
    ("now", 0, "1700000000\n"),
    ("health", 0, "Agent health: PASS\n"),
    ("told", 0, r#"{"forwarderStats":{"APIKeyStatus":{"a":"API Key valid"},"Transactions":{"Success":9,"HTTPErrorsByCode":{"403":1}}}}"#),
    ("ps", 0, ""),
    ("running", 0, "api running 0 100\n"),
    ("process", 0, "uid 998\ncapabilities 0000000000000004\n"),
    ("log", 1, ""),
    ("connections", 0, "1\n"),
    ("status0", 0, "200\n"),
    ("status1", 0, "403\n"),
    ("status2", 0, "200\n"),
    ("status3", 0, "200\n"),
    (
        "body0",
        0,
        r#"{"valid":true,"result":{"_raw":"x","host":"app.lab","last":"1700000000.5"},"entry":[{"content":{"version":"9"}}],"series":[{"scope":"host:app.lab","pointlist":[[1700000000000.0,1.5]]}]}"#,
    ),
    ("body1", 0, r#"{"series":[]}"#),
    ("body2", 0, r#"{"series":[{"scope":"container_name:api,host:app.lab","pointlist":[[1700000000000,null]]}]}"#),
    ("body3", 0, r#"{"series":[],"entry":[{"content":{"message":"minimum free disk space"}}]}"#),
    // interruptions
    ("marker", 0, "-A IN_public_deny -s 192.0.2.213/32 -j DROP\n"),
    ("rules", 0, "-A INPUT -j INPUT_direct\n"),
    ("before", 0, "MainPID=10\ncontainer /web 77\n"),
    ("after", 0, "MainPID=20\ncontainer /web 77\n"),
    // the matrix, the time, and everything else that is not framed
    (
        "plain",
        0,
        "address 127.0.0.1\naddress 10.9.0.11\nprobe 127.0.0.1 22 0 \nprobe 127.0.0.1 47113 1 bash: connect: Connection refused\n\
         probe 10.9.0.12 80 1 bash: connect: No route to host\nprobe 10.9.0.12 81 124 \nneighbour 10.9.0.12 0x2\npublished 80 yes\n\
         published 82 error Cannot connect\nend of probes\n",
    ),
];

pub(crate) fn parsers() -> Vec<Parser> {
    let entry = |(id, status, text): &(&str, i32, &str)| format!("{id}\x1f{status}\x1f{text}\x1e");
    let all: String = GOOD.iter().map(entry).collect();
    let time = all.replace("address 127.0.0.1\naddress 10.9.0.11\n", "1700000000.5\n");
    let hosts = json!([{"name": "app", "address": "10.9.0.11"}, {"name": "registry", "address": "10.9.0.12"}]);
    let flows = json!([{"to": "registry", "port": 80, "protocol": "tcp", "from_hosts": ["app"], "published": true}]);
    let names = json!(["app", "registry"]);
    let matrix = json!({"hosts": hosts, "flows": flows});
    let specs = [
        ("firewalld_running", json!({"hosts": names})),
        ("selinux_enforcing", json!({"hosts": names, "absent_ok": true})),
        ("no_insecure_registry", json!({"hosts": names})),
        ("time_sync", json!({"hosts": names})),
        ("deployment", json!({"host": "app", "from": "registry", "api": "http://10.9.0.11:5000", "website": "http://10.9.0.11"})),
        (
            "clair",
            json!({"host": "app", "address": "10.9.0.11", "api": "http://127.0.0.1:6060", "health": "http://127.0.0.1:6061", "database_port": 5432,
                "key": "c2VjcmV0", "issuer": "a", "updaters": ["debian/updater"], "max_age_days": 365000, "container": "c",
                "registry": {"url": "https://registry.lab.example:5000", "address": "10.9.0.12", "user": "a", "password": "b"}}),
        ),
        ("attacks", json!({"host": "app", "folder": "/srv/security_tests", "scanner": "wapiti", "twin_image": "tools:1", "app": "app"})),
        (
            "datadog",
            json!({"hosts": names, "domain": "lab", "docker_hosts": ["app"], "containers_of": ["app"], "ask_from": "app",
                "tag": "lab:x", "api": "https://api.example", "api_key": "a", "app_key": "b", "container_metric": "m", "patience": 0}),
        ),
        (
            "splunk",
            json!({"host": "registry", "api": "https://r:8089", "user": "a", "password": "b", "index": "lab", "forwarders": ["app"],
                "collector": {"url": "https://r:8088", "token": "c"},
                "domain": "lab", "application_hosts": ["app"], "image": "i", "patience": 0}),
        ),
        ("splunk_forwarder", json!({"hosts": ["app"], "indexer": "r:9997", "patience": 0})),
        (
            "splunk_outage",
            json!({"host": "registry", "container": "c", "ready": "/r", "api": "https://r:8089", "user": "a", "password": "b",
                "index": "lab", "domain": "lab", "application_hosts": ["app"], "patience": 0}),
        ),
        ("port_matrix", matrix),
        ("published_port", json!({"hosts": hosts, "flows": flows, "docker_hosts": names, "image": "busybox:1.36"})),
        (
            "registry",
            json!({"push_endpoint": "registry.lab.example:5000", "address": "10.9.0.12", "push_user": "a", "push_password": "b",
                "pull_user": "c", "pull_password": "d", "push_from": "app", "pull_on": "registry", "repository": "probe"}),
        ),
        (
            "gitlab",
            json!({"name": "gitlab.lab.example", "address": "10.9.0.12", "version": "17", "token": "a", "status_token": "b",
                "developer_password": "c", "project": "a/b", "branch": "main", "hook_url": "https://h/x", "ssh_from": "app", "host_key": "k",
                "checkout_key": "d"}),
        ),
    ];
    let parser = |(kind, value): (&'static str, serde_json::Value)| {
        let spec = Spec::read(kind, value).unwrap_or_else(|| panic!("{kind} is no check")).unwrap_or_else(|why| panic!("{kind}: {why}"));
        Parser::new("check", kind, &[&all, &time], move |bytes| {
            assert!(!spec.run(&Answers::read(bytes), &mut |_| {}).is_empty());
        })
    };
    let mut parsers: Vec<Parser> = specs.into_iter().map(parser).collect();
    // Of `firewall_survives` the parts that the others do not have: it waits for a matrix that gets right again.
    parsers.push(Parser::new("check", "interruptions", &[&all], |bytes| {
        for disruption in [Disruption::Reload, Disruption::DockerRestart] {
            assert!(!disruption.run(&Answers::read(bytes), &["app".to_owned()]).is_empty());
        }
    }));
    parsers
}
