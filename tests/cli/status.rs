//! `poclab status`: what is seen, at one exec per host.

use std::net::TcpListener;

use crate::lab::{Lab, Ran};

fn json(ran: &Ran) -> serde_json::Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran}"))
}

/// A certificate for `web.test.example` whose last day is this many days away.
fn certificate(days: i64) -> String {
    let mut params = rcgen::CertificateParams::new(vec!["web.test.example".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "web.test.example");
    params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(days) + time::Duration::hours(1);
    params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
}

#[test]
fn what_is_where() {
    let lab = Lab::bootstrapped();
    same!(lab.poclab("status --no-links").exits(0));
    assert_eq!((lab.take_execs("web"), lab.take_execs("db")), (1, 1), "one look at each host");
}

#[test]
fn differences_are_a_report_and_a_host_that_is_down_is_4() {
    let lab = Lab::bootstrapped();
    lab.write("hosts/db/etc/motd", "hello\n");
    same!(lab.poclab("status --no-links --host db").exits(0));
    lab.write("hosts/web/down", "no route to host\n");
    same!(lab.poclab("status --no-links").env("COLUMNS", "80").exits(4));
    let seen = json(&lab.poclab("status --no-links --format json").exits(4));
    assert_eq!(seen["exit"], 4);
    assert_eq!(seen["hosts"][1]["roles"][0]["differs"][0]["resource"].as_str().unwrap().split('/').next_back(), Some("motd"));
    assert!(seen["hosts"][0]["error"].as_str().unwrap().contains("no route to host"), "{seen}");
}

#[test]
fn the_json_fits_its_schema() {
    let schema = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema/status.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let lab = Lab::bootstrapped();
    let seen = json(&lab.poclab("status --no-links --format json").exits(0));
    assert!(schema.is_valid(&seen), "{seen}");
    assert_eq!(seen["links"][0]["reached"], "not_tried");
}

#[test]
fn it_is_narrowed_to_hosts_that_exist() {
    let lab = Lab::bootstrapped();
    let seen = json(&lab.poclab("status --no-links --host db --format json").exits(0));
    assert_eq!(seen["hosts"].as_array().unwrap().len(), 1);
    assert_eq!((lab.take_execs("web"), lab.take_execs("db")), (0, 1));
    let ran = lab.poclab("status --host wbe").exits(64);
    assert!(ran.stderr.contains("did you mean `web`?"), "{ran}");
    lab.untouched();
}

/// From the file on the host, also when it is not the one that is wanted.
#[test]
fn ends_of_certificates_are_those_of_the_files_on_the_hosts() {
    let lab = Lab::new();
    let file = r#"  - file: {path: "{{ root }}/etc/site.crt", content: "{{ cert }}", owner: "{{ me }}", group: "{{ my_group }}"}"#;
    let role = lab.read("roles/site/role.yml").replace("handlers:\n", &format!("{file}\nhandlers:\n"));
    let wanted = certificate(400);
    lab.write(
        "roles/site/role.yml",
        &role.replace("defaults: {site_port: 8080}", &format!("defaults: {{site_port: 8080, cert: {wanted:?}}}")),
    );
    lab.poclab("bootstrap").exits(0);
    let ran = lab.poclab("status --no-links --host web").exits(0);
    assert!(ran.stdout.contains("web.test.example valid until") && ran.stdout.contains("(400 days)"), "{ran}");
    lab.write("hosts/web/etc/site.crt", &certificate(12));
    let ran = lab.poclab("status --no-links --host web").exits(0);
    assert!(ran.stdout.contains("ENDS SOON") && ran.stdout.contains("(12 days left)"), "{ran}");
    lab.write("hosts/web/etc/site.crt", &certificate(-3));
    let ran = lab.poclab("status --no-links --host web").exits(0);
    assert!(ran.stdout.contains("web.test.example ENDED on") && ran.stdout.contains("are made anew by `poclab bootstrap`"), "{ran}");
}

/// Links are tried from here: against a port where nothing listens, and one that speaks plain HTTP.
#[test]
fn links_are_tried_and_a_silence_has_its_reason() {
    let lab = Lab::bootstrapped();
    lab.replace("inventory/lab.yml", "address: 10.0.0.11", "address: 127.0.0.1");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let link = |port: u16, more: &str| {
        let ran = lab.poclab(&format!("status --format json --host web --set site_port={port}{more}")).exits(0);
        json(&ran)["links"][0].clone()
    };
    let no = link(closed, "");
    assert_eq!(no["reached"], "no");
    assert!(no["says"].as_str().unwrap().contains(&format!("refused (os error 111) (tried 127.0.0.1:{closed} from this machine)")), "{no}");

    lab.replace("roles/site/role.yml", "https://{{ host.fqdn }}", "http://{{ host.fqdn }}");
    let server = answering(&["401 Unauthorized", "401 Unauthorized", "503 Service Unavailable"]);
    assert_eq!((link(server, "")["reached"].as_str(), link(server, "")["says"].as_str()), (Some("yes"), Some("answers 401")));
    assert_eq!(link(server, "")["reached"], "wrong");

    lab.replace("roles/site/role.yml", "login: poclab secrets show api", "probe: {path: /v2/, status: 401}");
    let server = answering(&["401 Unauthorized", "200 OK"]);
    assert_eq!(link(server, "")["says"], "answers 401 as it should");
    assert_eq!(link(server, "")["says"], "answers 200, and should answer 401");
}

/// A server on loopback that gives these answers, one per connection.
fn answering(answers: &[&str]) -> u16 {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        }
    });
    port
}
