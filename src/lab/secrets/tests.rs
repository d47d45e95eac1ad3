use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use time::Duration as Days;

use super::*;

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }
    fn state(&self) -> PathBuf {
        self.dir.path().join(".poclab/test")
    }
    fn identity(&self) -> PathBuf {
        self.dir.path().join("config/poclab/identity.txt")
    }
    fn file(&self) -> PathBuf {
        self.state().join(FILE)
    }
    fn open_at(&self, now: OffsetDateTime) -> Result<Store> {
        let mut store = Store::open_as(&self.state(), "test", &self.identity(), now, Some(Duration::from_millis(60)))?;
        store.cost = 4;
        Ok(store)
    }
    fn open(&self) -> Store {
        self.open_at(OffsetDateTime::now_utc()).unwrap()
    }
    fn refusal(&self) -> String {
        let Err(error) = self.open_at(OffsetDateTime::now_utc()) else { panic!("it was opened") };
        format!("{error:#}")
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 56, 13));

#[test]
fn everything_comes_back_the_same() {
    let place = Place::new();
    let (login, cert, ca) = {
        let mut store = place.open();
        assert!(store.notice().unwrap().contains("identity.txt"));
        store.set("sudo_password", &Secret::new("s3 cr'et")).unwrap();
        let login = store.login("registry_push", "push").unwrap();
        (login, store.certificate("registry", &names(&["a", "b"]), &[ADDRESS], ca::HOST_DAYS).unwrap(), store.ca_pem().unwrap())
    };
    let before = fs::read(place.file()).unwrap();
    {
        let mut store = place.open();
        assert_eq!(store.notice(), None);
        let again = store.login("registry_push", "push").unwrap();
        assert_eq!((again.password, again.htpasswd), (login.password.clone(), login.htpasswd.clone()));
        // The order of names is of no account.
        let again = store.certificate("registry", &names(&["b", "a"]), &[ADDRESS], ca::HOST_DAYS).unwrap();
        assert_eq!((again.cert, again.key), (cert.cert, cert.key));
        assert_eq!(store.ca_pem().unwrap(), ca);
        assert_eq!(store.get("sudo_password").unwrap().expose(), "s3 cr'et");
        assert_eq!(store.get("registry_push").unwrap(), login.password);
        assert!(store.get("ca").is_none() && store.get("certificate/registry").is_none() && store.get("other").is_none());
    }
    assert_eq!(fs::read(place.file()).unwrap(), before, "nothing changed, so nothing is written");
    let (user, hash) = login.htpasswd.expose().split_once(':').unwrap();
    assert_eq!(user, "push");
    assert!(hash.starts_with("$2y$"));
    assert!(bcrypt::verify(login.password.expose(), hash).unwrap());
}

#[test]
fn new_lines_have_cost_ten() {
    let place = Place::new();
    let mut store = Store::open_as(&place.state(), "test", &place.identity(), OffsetDateTime::now_utc(), None).unwrap();
    assert!(store.login("a", "a").unwrap().htpasswd.expose().starts_with("a:$2y$10$"));
}

#[test]
fn nothing_is_in_clear_and_nobody_else_may_read() {
    let place = Place::new();
    let all = {
        let mut store = place.open();
        store.login("registry_push", "push").unwrap();
        store.set("smtp", &Secret::new("hunter22")).unwrap();
        store.certificate("registry", &names(&["a"]), &[], ca::HOST_DAYS).unwrap();
        store.all()
    };
    assert_eq!(all.len(), 4 + 1 + 1 + 1, "login in four forms, value, certificate key, CA key");
    for file in fs::read_dir(place.state()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
        let bytes = fs::read(file.path()).unwrap();
        for secret in &all {
            for line in secret.value.expose().lines().filter(|line| line.len() > 4) {
                assert!(!bytes.windows(line.len()).any(|w| w == line.as_bytes()), "{} in {:?}", secret.name, file.path());
            }
        }
        assert!(!bytes.windows(13).any(|w| w == b"registry_push"), "names are nobody's business either");
    }
    assert_eq!(fs::metadata(place.state()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn certificates_are_issued_again_for_a_reason_only() {
    let place = Place::new();
    // Certificates know whole seconds only.
    let start = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
    let at = |days: i64, dns: &[&str], addresses: &[IpAddr]| {
        let mut store = place.open_at(start + Days::days(days)).unwrap();
        store.certificate("registry", &names(dns), addresses, ca::HOST_DAYS).unwrap().cert
    };
    let first = at(0, &["a"], &[ADDRESS]);
    assert_eq!(at(ca::HOST_DAYS - ca::RENEW_DAYS, &["a"], &[ADDRESS]), first, "thirty days are enough");
    let renewed = at(ca::HOST_DAYS - ca::RENEW_DAYS + 1, &["a"], &[ADDRESS]);
    assert_ne!(renewed, first, "less than thirty days");
    assert_eq!(at(ca::HOST_DAYS, &["a"], &[ADDRESS]), renewed);
    let named = at(0, &["a", "b"], &[ADDRESS]);
    assert_ne!(named, renewed, "another name");
    let moved = at(0, &["a", "b"], &[]);
    assert_ne!(moved, named, "another address");

    let old_ca = place.open().ca_pem().unwrap();
    place.open().rotate("ca").unwrap();
    assert_ne!(place.open().ca_pem().unwrap(), old_ca);
    let resigned = at(0, &["a", "b"], &[]);
    assert_ne!(resigned, moved, "another CA");
    assert_eq!(at(0, &["a", "b"], &[]), resigned);

    // A CA at its end is replaced, and what it signed as well.
    let late = at(ca::CA_DAYS - ca::RENEW_DAYS + 1, &["a", "b"], &[]);
    assert_ne!(late, resigned);
    assert_ne!(place.open().ca_pem().unwrap(), old_ca);
}

/// A role may ask for less than the default; what is asked for later decides when the old one has to go.
#[test]
fn a_short_certificate_is_issued_again_in_its_last_third() {
    let place = Place::new();
    let start = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
    let at = |day: i64, days: i64| {
        let mut store = place.open_at(start + Days::days(day)).unwrap();
        let cert = store.certificate("registry", &names(&["a"]), &[], days).unwrap().cert;
        (cert, store.news())
    };
    let (long, _) = at(0, ca::HOST_DAYS);
    let (short, news) = at(0, 24);
    assert_ne!(short, long, "valid for longer than the role wants");
    assert_eq!(news, [""; 0], "not because of its age");
    assert_eq!(at(16, 24).0, short);
    let (renewed, news) = at(17, 24);
    assert_ne!(renewed, short);
    let date = |day| (start + Days::days(day)).date();
    assert_eq!(news, [format!("the certificate for a ends on {}: issued again, until {}", date(24), date(41))]);
    place.open_at(start + Days::days(17)).unwrap().rotate("certificate/registry").unwrap();
    let rotated = place.open().show("certificate/registry").unwrap()[0].1.clone();
    assert_eq!(ca::inspect(rotated.expose()).unwrap().days(), 24, "rotated for as long as before");
    let (default, news) = at(17, ca::HOST_DAYS);
    assert_ne!(default, rotated.expose());
    assert_eq!(news.len(), 1, "24 days are less than thirty");
}

#[test]
fn the_end_of_the_ca_is_told_before_it_comes() {
    let place = Place::new();
    let start = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
    let news = |day: i64| {
        let mut store = place.open_at(start + Days::days(day)).unwrap();
        store.certificate("registry", &names(&["a"]), &[], ca::HOST_DAYS).unwrap();
        store.news()
    };
    assert_eq!(news(0), [""; 0]);
    assert_eq!(
        news(ca::CA_DAYS - ca::TELL_DAYS),
        [format!(
            "the certificate for a ended on {}: issued again, until {}",
            (start + Days::days(ca::HOST_DAYS)).date(),
            (start + Days::days(ca::CA_DAYS)).date()
        )]
    );
    let near = news(ca::CA_DAYS - ca::TELL_DAYS + 1);
    assert!(near.len() == 1 && near[0].contains(&format!("ends on {}", (start + Days::days(ca::CA_DAYS)).date())), "{near:?}");
    let replaced = news(ca::CA_DAYS - ca::RENEW_DAYS + 1);
    assert!(replaced.len() == 2 && replaced[0].contains("there is a new one"), "{replaced:?}");
    assert!(replaced[1].contains("issued again"), "a certificate ends with its CA: {replaced:?}");
    assert_eq!(news(ca::CA_DAYS - ca::RENEW_DAYS + 1), [""; 0]);
}

#[test]
fn set_and_rotate() {
    let place = Place::new();
    let mut store = place.open();
    let first = store.login("push", "push").unwrap();
    store.describe("push", "pushes to the registry").unwrap();
    store.rotate("push").unwrap();
    let second = store.login("push", "push").unwrap();
    assert_ne!(second.password, first.password);
    assert_ne!(second.htpasswd, first.htpasswd);

    store.set("push", &Secret::new("my own")).unwrap();
    let third = store.login("push", "push").unwrap();
    assert_eq!(third.password.expose(), "my own");
    assert!(bcrypt::verify("my own", third.htpasswd.expose().strip_prefix("push:").unwrap()).unwrap());
    // Another user: same password, new line.
    let renamed = store.login("push", "pusher").unwrap();
    assert_eq!((renamed.user.as_str(), renamed.password.expose()), ("pusher", "my own"));
    assert!(renamed.htpasswd.expose().starts_with("pusher:"));
    assert_eq!(store.list()[0].what, "pushes to the registry");

    // Set before a role asks for it as a login.
    store.set("pull", &Secret::new("first come")).unwrap();
    assert_eq!(store.login("pull", "pull").unwrap().password.expose(), "first come");

    store.set("sudo_password", &Secret::new("hunter22")).unwrap();
    let error = store.rotate("sudo_password").unwrap_err().to_string();
    assert!(error.contains("secrets set sudo_password") && !error.contains("hunter22"), "{error}");

    store.certificate("push", &names(&["a"]), &[], ca::HOST_DAYS).unwrap();
    let before = store.certificate("push", &names(&["a"]), &[], ca::HOST_DAYS).unwrap().cert;
    store.rotate("certificate/push").unwrap();
    assert_ne!(store.certificate("push", &names(&["a"]), &[], ca::HOST_DAYS).unwrap().cert, before);

    for (name, value) in [("ca", "x"), ("certificate/push", "x"), ("a b", "x"), ("", "x"), ("empty", "")] {
        assert!(store.set(name, &Secret::new(value)).is_err(), "{name:?}");
    }
    assert!(store.set("push", &Secret::new("x".repeat(72))).is_err(), "bcrypt would cut it");
    for user in ["", "a:b", "a b", "a\n"] {
        assert!(store.login("other", user).is_err(), "{user:?}");
    }
    let fields: Vec<String> = store.show("push").unwrap().into_iter().map(|(label, _)| label).collect();
    assert_eq!(fields, ["user", "password", "htpasswd"]);
    assert!(store.show("pusch").unwrap_err().to_string().contains("did you mean `push`?"));
    assert!(store.show("quite different").unwrap_err().to_string().contains("secrets list"));
}

#[test]
fn a_line_that_does_not_belong_to_its_password_is_made_anew() {
    let place = Place::new();
    let mut store = place.open();
    let good = store.login("push", "push").unwrap();
    let mut entry = store.book.entries["push"].clone();
    entry.values.insert("htpasswd".to_owned(), "push:$2y$04$other".to_owned());
    store.put("push", entry).unwrap();
    let again = store.login("push", "push").unwrap();
    assert_eq!(again.password, good.password);
    assert!(bcrypt::verify(good.password.expose(), again.htpasswd.expose().strip_prefix("push:").unwrap()).unwrap());
}

#[test]
fn a_damaged_file_is_an_error_and_stays() {
    let place = Place::new();
    place.open().login("push", "push").unwrap();
    let good = fs::read(place.file()).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [&good[..0], &good[..good.len() / 2], &good[..good.len() - 1], b"nonsense", &flipped] {
        fs::write(place.file(), bad).unwrap();
        let error = place.refusal();
        assert!(error.contains("secrets.age") && error.contains("damaged"), "{error}");
        assert_eq!(fs::read(place.file()).unwrap(), bad);
    }
    fs::write(place.file(), good).unwrap();
    assert_eq!(place.open().list().len(), 1);
}

#[test]
fn a_wrong_or_missing_identity_says_which_and_what_to_do() {
    let place = Place::new();
    place.open().login("push", "push").unwrap();
    let key = fs::read_to_string(place.identity()).unwrap();
    let recipient = key.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();

    fs::remove_file(place.identity()).unwrap();
    let error = place.refusal();
    for part in ["no identity file", recipient, "POCLAB_IDENTITY", "secrets.age", "identity.txt"] {
        assert!(error.contains(part), "{part} not in: {error}");
    }
    assert!(!place.identity().exists(), "a new identity could not open the file and would hide the loss");

    let other = identity::Identities::create(&place.identity()).unwrap().names();
    let error = place.refusal();
    for part in [recipient, &other, "POCLAB_IDENTITY", "made anew"] {
        assert!(error.contains(part), "{part} not in: {error}");
    }
    assert!(!error.contains("AGE-SECRET-KEY"));

    fs::write(place.identity(), key).unwrap();
    assert_eq!(place.open().list().len(), 1);
}

#[test]
fn another_labs_file_and_a_newer_format_are_refused() {
    let place = Place::new();
    place.open().login("push", "push").unwrap();
    let Err(error) = Store::open_as(&place.state(), "else", &place.identity(), OffsetDateTime::now_utc(), None) else { panic!("opened") };
    assert!(format!("{error:#}").contains("belongs to the lab \"test\""), "{error:#}");

    let mut store = place.open();
    store.book.version = 2;
    store.set("x", &Secret::new("hunter22")).unwrap();
    drop(store);
    assert!(place.refusal().contains("version 2"));
}

#[test]
fn one_process_at_a_time() {
    let place = Place::new();
    let store = place.open();
    let error = place.refusal();
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    drop(store);
    place.open();
}

#[test]
fn a_leftover_of_a_crash_does_no_harm() {
    let place = Place::new();
    place.open().set("a", &Secret::new("hunter22")).unwrap();
    let left = place.state().join("secrets.age.tmp");
    fs::write(&left, "half").unwrap();
    fs::set_permissions(&left, fs::Permissions::from_mode(0o644)).unwrap();
    place.open().set("b", &Secret::new("hunter23")).unwrap();
    assert!(!left.exists());
    assert_eq!(place.open().list().len(), 2);
    assert_eq!(fs::metadata(place.file()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_could_not_be_written_is_not_used() {
    let place = Place::new();
    let mut store = place.open();
    store.login("push", "push").unwrap();
    // A folder in the way of the temporary file: fails for root, too.
    let way = place.state().join("secrets.age.tmp");
    fs::create_dir(&way).unwrap();
    assert!(store.login("pull", "pull").is_err());
    assert!(store.rotate("push").is_err());
    assert!(store.get("pull").is_none());
    fs::remove_dir(&way).unwrap();
    let login = store.login("push", "push").unwrap();
    drop(store);
    assert_eq!(place.open().get("push"), Some(login.password));
}

#[test]
fn a_store_in_memory_leaves_nothing() {
    let mut store = Store::in_memory("test");
    store.login("push", "push").unwrap();
    store.certificate("a", &names(&["a"]), &[], ca::HOST_DAYS).unwrap();
    assert_eq!(store.list().len(), 3);
    assert!(store.list().iter().any(|listed| listed.name == "certificate/a" && listed.expires.is_some()));
}

/// Loading is part of every run. Generous, for busy machines and unoptimized builds: what it must catch is a bcrypt or a
/// scrypt per load.
#[test]
fn loading_is_quick() {
    let place = Place::new();
    {
        let mut store = place.open();
        store.cost = COST;
        for name in ["a", "b", "c", "d"] {
            store.login(name, name).unwrap();
            store.certificate(name, &names(&[name]), &[], ca::HOST_DAYS).unwrap();
        }
    }
    let best = (0..5).map(|_| {
        let start = std::time::Instant::now();
        let mut store = place.open();
        for name in ["a", "b", "c", "d"] {
            store.login(name, name).unwrap();
            store.certificate(name, &names(&[name]), &[], ca::HOST_DAYS).unwrap();
        }
        start.elapsed()
    });
    let best = best.min().unwrap();
    eprintln!("load with 4 logins and 4 certificates: {best:?}");
    assert!(best < Duration::from_millis(200), "{best:?}");
}

#[test]
fn a_key_pair_stays_is_told_apart_and_made_anew_on_demand() {
    let place = Place::new();
    let first = place.open().ssh_key("deploy").unwrap();
    let mut store = place.open();
    assert_eq!(store.ssh_key("deploy").unwrap().public, first.public);
    assert!(first.public.starts_with("ssh-ed25519 AAAA") && first.public.ends_with(" deploy@test"), "{}", first.public);
    assert!(first.private.expose().starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n") && first.private.expose().ends_with("-----\n"));
    assert!(store.all().iter().any(|secret| secret.name == "deploy.private" && secret.value == first.private));
    assert!(store.get("deploy").is_none(), "nothing but a role gets at it");
    assert!(store.login("deploy", "x").unwrap_err().to_string().contains("there is a ssh key of that name"));
    assert!(store.set("deploy", &Secret::new("x")).unwrap_err().to_string().contains("rotate deploy"));
    store.rotate("deploy").unwrap();
    let second = store.ssh_key("deploy").unwrap();
    assert_ne!((&second.public, &second.private), (&first.public, &first.private));
    // What ssh itself reads.
    let file = place.dir.path().join("key");
    fs::write(&file, second.private.expose()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let told = std::process::Command::new("ssh-keygen").arg("-yf").arg(&file).output().unwrap();
    assert_eq!(String::from_utf8(told.stdout).unwrap().trim(), second.public);
}
