use std::process::Command;

use super::*;

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

#[test]
fn certificates_say_what_was_asked() {
    let ca = Authority::create("poclab", now()).unwrap();
    let dns = ["registry.lab.example".to_owned(), "registry".to_owned()];
    let addresses = ["192.168.56.13".parse().unwrap(), "fd00::13".parse().unwrap()];
    let issued = ca.issue(&dns, &addresses, HOST_DAYS, now()).unwrap();
    let facts = inspect(&issued.cert).unwrap();
    assert_eq!(facts.dns, dns.iter().cloned().collect());
    assert_eq!(facts.addresses, addresses.iter().copied().collect());
    assert_eq!((facts.days_left(now()), facts.days()), (HOST_DAYS - 1, HOST_DAYS));
    let short = ca.issue(&dns, &[], 25, now()).unwrap();
    assert_eq!(inspect(&short.cert).unwrap().days(), 25);
    assert_eq!([1, 25, 90, 825].map(renew_days), [0, 8, 30, 30]);

    let (_, block) = x509_parser::pem::parse_x509_pem(issued.cert.as_bytes()).unwrap();
    let cert = block.parse_x509().unwrap();
    assert_eq!(cert.issuer().to_string(), "CN=poclab poclab CA");
    assert_eq!(cert.subject().to_string(), "CN=registry.lab.example");
    assert!(!cert.is_ca());
    let usage = cert.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && !usage.key_cert_sign());
    let extended = cert.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && !extended.client_auth && !extended.any);
    assert!(cert.validity().not_before.to_datetime() < now());

    let (_, block) = x509_parser::pem::parse_x509_pem(ca.cert.as_bytes()).unwrap();
    let root = block.parse_x509().unwrap();
    assert!(root.is_ca() && root.key_usage().unwrap().unwrap().value.key_cert_sign());
    assert_ne!(root.raw_serial(), cert.raw_serial());
}

#[test]
fn a_certificate_does_not_outlive_its_ca() {
    let ca = Authority::create("poclab", now() - Duration::days(CA_DAYS - 100)).unwrap();
    let issued = ca.issue(&["a".to_owned()], &[], HOST_DAYS, now()).unwrap();
    assert_eq!(inspect(&issued.cert).unwrap().not_after, inspect(&ca.cert).unwrap().not_after);
}

#[test]
fn nonsense_is_refused() {
    let ca = Authority::create("poclab", now()).unwrap();
    for name in ["", "a b", "ä.example", "-a", "a..b", "a\nb", "*", &"a".repeat(64)] {
        assert!(ca.issue(&[name.to_owned()], &[], HOST_DAYS, now()).is_err(), "{name:?}");
    }
    assert!(ca.issue(&["*.lab.example".to_owned()], &[], HOST_DAYS, now()).is_ok());
    assert!(ca.issue(&[], &[], HOST_DAYS, now()).is_err());
    assert!(ca.issue(&[], &["10.0.0.1".parse().unwrap()], HOST_DAYS, now()).is_ok());
    assert!(Authority::create(&"x".repeat(80), now()).is_err());
    assert!(inspect("nothing").is_err());
    assert!(inspect(ca.key.expose()).is_err());
}

/// An independent program agrees: chain, purpose, host name, address; and it refuses a certificate of another CA.
#[test]
fn openssl_accepts_the_chain() {
    assert!(Command::new("openssl").arg("version").output().is_ok(), "this test needs the openssl program");
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let ca = Authority::create("poclab", now()).unwrap();
    let other = Authority::create("poclab", now()).unwrap();
    let issued = ca.issue(&["registry.lab.example".to_owned()], &["192.168.56.13".parse().unwrap()], HOST_DAYS, now()).unwrap();
    std::fs::write(path("ca.pem"), &ca.cert).unwrap();
    std::fs::write(path("other.pem"), &other.cert).unwrap();
    std::fs::write(path("host.pem"), &issued.cert).unwrap();
    std::fs::write(path("host.key"), issued.key.expose()).unwrap();
    let verify = |root: &str, more: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile"]).arg(path(root));
        command.args(more).arg(path("host.pem")).output().unwrap()
    };
    let good = verify("ca.pem", &["-verify_hostname", "registry.lab.example"]);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    assert!(verify("ca.pem", &["-verify_ip", "192.168.56.13"]).status.success());
    assert!(!verify("ca.pem", &["-verify_hostname", "gitlab.lab.example"]).status.success());
    assert!(!verify("ca.pem", &["-verify_ip", "192.168.56.14"]).status.success());
    assert!(!verify("other.pem", &[]).status.success());

    let public = |args: &[&str], file: &str| Command::new("openssl").args(args).arg("-in").arg(path(file)).output().unwrap().stdout;
    let of_key = public(&["pkey", "-pubout"], "host.key");
    assert!(!of_key.is_empty());
    assert_eq!(of_key, public(&["x509", "-noout", "-pubkey"], "host.pem"));
}
