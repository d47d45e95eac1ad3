//! The lab's secrets at rest: one age-encrypted file in the state folder.
//!
//! Everything generated stays the same in later runs: a password, its bcrypt line, a certificate. Each change is on disk
//! before the value is handed out, so no host can ever have a secret that this machine does not know.

mod disk;
mod entry;
mod identity;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use time::OffsetDateTime;

use super::ca::{self, Authority};
use super::{Certificate, Login, NamedSecret, SshKey, Vault};
use crate::base::Secret;
use disk::Disk;
use entry::{Book, Entry};

pub use disk::FILE;
pub use entry::Kind;
pub use identity::{VARIABLE, default_path};

/// The name of the lab CA's entry.
pub const CA: &str = "ca";
/// Certificates have their own names: a login and a certificate may both be called `registry`.
const CERTIFICATE: &str = "certificate/";
/// bcrypt's cost for htpasswd lines: 2^10 rounds, about 50 ms per login on the registry.
const COST: u32 = 10;
/// What bcrypt looks at, in bytes; longer passwords are refused instead of being cut.
const BCRYPT_MAX: usize = 71;

/// The secrets of one lab. Holds the lock on its file until it is dropped: keep it no longer than needed.
pub struct Store {
    book: Book,
    /// `None`: nothing is kept.
    disk: Option<Disk>,
    notice: Option<String>,
    /// What was made anew because of its age.
    renewed: Vec<String>,
    now: OffsetDateTime,
    cost: u32,
}

/// One line of `poclab secrets list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What `show`, `set` and `rotate` take.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What it is for.
    pub what: String,
    /// RFC 3339, UTC.
    pub created: String,
    /// Certificates: end of validity, RFC 3339, UTC.
    pub expires: Option<String>,
}

impl Store {
    /// Opens the secrets of a lab; the first use makes them (and the operator's identity, see [`Store::notice`]).
    ///
    /// Waits up to 10 s for another process. A file that cannot be decrypted or read is an error, never a new start.
    pub fn open(state_dir: &Path, lab: &str) -> Result<Self> {
        Self::open_as(state_dir, lab, &default_path()?, OffsetDateTime::now_utc(), None)
    }

    /// Secrets that are forgotten with the store: for checking a lab's files without leaving anything behind.
    pub fn in_memory(lab: &str) -> Self {
        // The lowest cost that bcrypt has: these lines protect nothing.
        Self { book: Book::empty(lab), disk: None, notice: None, renewed: Vec::new(), now: OffsetDateTime::now_utc(), cost: 4 }
    }

    fn open_as(state_dir: &Path, lab: &str, identity: &Path, now: OffsetDateTime, wait: Option<Duration>) -> Result<Self> {
        let opened = Disk::open(state_dir, lab, identity, wait)?;
        Ok(Self { book: opened.book, disk: Some(opened.disk), notice: opened.notice, renewed: Vec::new(), now, cost: COST })
    }

    /// What the operator should be told once: where the new identity is.
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// Says what a secret is for, from the role's declaration. Nothing happens when there is no such secret yet.
    pub fn describe(&mut self, name: &str, what: &str) -> Result<()> {
        match self.book.entries.get(name) {
            Some(entry) if entry.what != what => self.put(name, Entry { what: what.to_owned(), ..entry.clone() }),
            _ => Ok(()),
        }
    }

    /// Whether a secret may have this name and value: an error is the operator's mistake, not a failure.
    pub fn check(name: &str, value: &Secret) -> Result<()> {
        check_name(name)?;
        if value.expose().is_empty() {
            bail!("the value of {name} is empty");
        }
        Ok(())
    }

    /// Sets a value, or a login's password (its bcrypt line follows).
    pub fn set(&mut self, name: &str, value: &Secret) -> Result<()> {
        Self::check(name, value)?;
        match self.book.entries.get(name).cloned() {
            Some(entry) if entry.kind == Kind::Login => {
                let user = entry.value("user").to_owned();
                self.put_login(name, &user, value.expose(), &entry.what)
            }
            Some(entry) if entry.kind == Kind::SshKey => {
                bail!("{name} is a key pair: `poclab secrets rotate {name}` makes a new one")
            }
            Some(entry) => self.put(name, Entry::new(Kind::Value, &entry.what, self.now, &[("value", value.expose())])),
            None => self.put(name, Entry::new(Kind::Value, "set by the operator", self.now, &[("value", value.expose())])),
        }
    }

    /// Makes a new password, key pair, certificate or CA in place of the old one. After a new CA every certificate is issued
    /// again when it is next asked for. A value that the operator set cannot be made anew.
    pub fn rotate(&mut self, name: &str) -> Result<()> {
        let key = self.find(name)?;
        let entry = self.book.entries[&key].clone();
        match entry.kind {
            Kind::Login => {
                let user = entry.value("user").to_owned();
                self.put_login(&key, &user, &entry::password()?, &entry.what)
            }
            Kind::SshKey => self.put_ssh_key(&key, &entry.what).map(|_| ()),
            Kind::Value => bail!("{name} was set by you and cannot be generated: give it a new value with `poclab secrets set {name}`"),
            Kind::Certificate => {
                let facts = ca::inspect(entry.value("cert"))?;
                let days = facts.days();
                let dns: Vec<String> = facts.dns.into_iter().collect();
                let addresses: Vec<IpAddr> = facts.addresses.into_iter().collect();
                self.issue(&key, &dns, &addresses, days).map(|_| ())
            }
            Kind::Ca => self.make_ca().map(|_| ()),
        }
    }

    /// Everything, by name.
    pub fn list(&self) -> Vec<Listed> {
        let expires = |entry: &Entry| ca::inspect(entry.value("cert")).ok().map(|facts| entry::stamp(facts.not_after));
        let line = |(name, entry): (&String, &Entry)| Listed {
            name: name.clone(),
            kind: entry.kind,
            what: entry.what.clone(),
            created: entry.created.clone(),
            expires: if matches!(entry.kind, Kind::Certificate | Kind::Ca) { expires(entry) } else { None },
        };
        self.book.entries.iter().map(line).collect()
    }

    /// The fields of one secret: `user`, `password`, `htpasswd` of a login, `value` of a value, `public` and
    /// `private` of a key pair, `certificate` and `key`.
    pub fn show(&self, name: &str) -> Result<Vec<(String, Secret)>> {
        let entry = &self.book.entries[&self.find(name)?];
        let fields: &[(&str, &str)] = match entry.kind {
            Kind::Login => &[("user", "user"), ("password", "password"), ("htpasswd", "htpasswd")],
            Kind::Value => &[("value", "value")],
            Kind::SshKey => &[("public", "public"), ("private", "private")],
            Kind::Certificate | Kind::Ca => &[("certificate", "cert"), ("key", "key")],
        };
        Ok(fields.iter().map(|(label, key)| ((*label).to_owned(), Secret::new(entry.value(key)))).collect())
    }

    /// The entry that a user means by a name.
    fn find(&self, name: &str) -> Result<String> {
        let names = [name.to_owned(), format!("{CERTIFICATE}{name}")];
        if let Some(found) = names.into_iter().find(|name| self.book.entries.contains_key(name)) {
            return Ok(found);
        }
        match super::nearest(name, self.book.entries.keys().map(String::as_str)) {
            Some(key) => bail!("there is no secret `{name}`; did you mean `{key}`? `poclab secrets list` names all"),
            None => bail!("there is no secret `{name}`; `poclab secrets list` names all"),
        }
    }

    fn put(&mut self, key: &str, entry: Entry) -> Result<()> {
        let old = self.book.entries.insert(key.to_owned(), entry);
        let saved = self.disk.as_ref().map_or(Ok(()), |disk| disk.save(&self.book));
        if saved.is_err() {
            // What is not on disk must not be used by a later call either.
            match old {
                Some(old) => self.book.entries.insert(key.to_owned(), old),
                None => self.book.entries.remove(key),
            };
        }
        saved
    }

    fn put_login(&mut self, name: &str, user: &str, password: &str, what: &str) -> Result<()> {
        if password.len() > BCRYPT_MAX || password.contains(['\0', '\n', '\r']) {
            bail!("the password of {name} must be one line of at most {BCRYPT_MAX} bytes");
        }
        let line = entry::htpasswd(user, password, self.cost)?;
        let binding = entry::binding(user, password, &line);
        let values = [("user", user), ("password", password), ("htpasswd", &line), ("binding", &binding)];
        self.put(name, Entry::new(Kind::Login, what, self.now, &values))
    }

    fn put_ssh_key(&mut self, name: &str, what: &str) -> Result<SshKey> {
        let key = SshKey::generate(&format!("{name}@{}", self.book.lab)).with_context(|| format!("cannot make the SSH key pair {name}"))?;
        self.put(name, Entry::new(Kind::SshKey, what, self.now, &[("public", &key.public), ("private", key.private.expose())]))?;
        Ok(key)
    }

    fn make_ca(&mut self) -> Result<Authority> {
        let authority = Authority::create(&self.book.lab, self.now)?;
        let what = format!("CA of the lab {}", self.book.lab);
        self.put(CA, Entry::new(Kind::Ca, &what, self.now, &[("cert", &authority.cert), ("key", authority.key.expose())]))?;
        Ok(authority)
    }

    /// The CA; made at first use and again when it is about to expire.
    fn authority(&mut self) -> Result<Authority> {
        if let Some(entry) = self.book.entries.get(CA) {
            let facts = ca::inspect(entry.value("cert")).context("the lab CA in the secrets file cannot be read")?;
            if facts.days_left(self.now) >= ca::RENEW_DAYS {
                return Ok(Authority { cert: entry.value("cert").to_owned(), key: Secret::new(entry.value("key")) });
            }
            let made = self.make_ca()?;
            self.renewed.push(format!(
                "the lab CA {} on {}: there is a new one, and `poclab bootstrap` brings it and new certificates to the hosts; \
                 give it to everybody else who trusts the old one (poclab secrets show ca --field certificate)",
                if facts.not_after < self.now { "ended" } else { "ends" },
                facts.not_after.date()
            ));
            return Ok(made);
        }
        self.make_ca()
    }

    fn issue(&mut self, key: &str, dns: &[String], addresses: &[IpAddr], days: i64) -> Result<Certificate> {
        let authority = self.authority()?;
        let name = key.strip_prefix(CERTIFICATE).unwrap_or(key);
        let issued = authority.issue(dns, addresses, days, self.now).with_context(|| format!("cannot issue the certificate {name}"))?;
        let names = dns.iter().cloned().chain(addresses.iter().map(IpAddr::to_string)).collect::<Vec<_>>().join(", ");
        let values = [("cert", issued.cert.as_str()), ("key", issued.key.expose()), ("ca", &authority.fingerprint())];
        self.put(key, Entry::new(Kind::Certificate, &format!("certificate for {names}"), self.now, &values))?;
        Ok(issued)
    }
}

impl Vault for Store {
    fn describe(&mut self, name: &str, what: &str) -> Result<()> {
        Store::describe(self, name, what)
    }

    fn login(&mut self, name: &str, user: &str) -> Result<Login> {
        check_name(name)?;
        if user.is_empty() || user.contains(|c: char| c == ':' || c.is_control() || c.is_whitespace()) {
            bail!("{user:?} cannot be the user of {name}: no `:`, no blanks, not empty");
        }
        let whole = |entry: &Entry| {
            let (password, line) = (entry.value("password"), entry.value("htpasswd"));
            entry.kind == Kind::Login && entry.value("user") == user && entry.value("binding") == entry::binding(user, password, line)
        };
        match self.book.entries.get(name).cloned() {
            Some(entry) if whole(&entry) => {}
            // Another user, or a line that does not belong to the password: the password stays.
            Some(entry) if entry.kind == Kind::Login => self.put_login(name, user, entry.value("password"), &entry.what)?,
            Some(entry) if entry.kind != Kind::Value => bail!("there is a {} of that name already", entry.kind),
            // Set by the operator before a role asked for it.
            Some(entry) => self.put_login(name, user, entry.value("value"), &entry.what)?,
            None => self.put_login(name, user, &entry::password()?, &format!("login of {user}"))?,
        }
        let entry = &self.book.entries[name];
        Ok(Login { user: user.to_owned(), password: Secret::new(entry.value("password")), htpasswd: Secret::new(entry.value("htpasswd")) })
    }

    fn ssh_key(&mut self, name: &str) -> Result<SshKey> {
        check_name(name)?;
        match self.book.entries.get(name) {
            Some(entry) if entry.kind == Kind::SshKey => {
                Ok(SshKey { public: entry.value("public").to_owned(), private: Secret::new(entry.value("private")) })
            }
            Some(entry) => bail!("there is a {} of that name already", entry.kind),
            None => self.put_ssh_key(name, "SSH key pair"),
        }
    }

    fn certificate(&mut self, name: &str, dns: &[String], addresses: &[IpAddr], days: i64) -> Result<Certificate> {
        check_name(name)?;
        let authority = self.authority()?;
        let key = format!("{CERTIFICATE}{name}");
        if let Some(entry) = self.book.entries.get(&key) {
            let facts =
                ca::inspect(entry.value("cert")).with_context(|| format!("the certificate {name} in the secrets file cannot be read"))?;
            let same_names = facts.dns == dns.iter().cloned().collect::<BTreeSet<_>>();
            let same_addresses = facts.addresses == addresses.iter().copied().collect::<BTreeSet<_>>();
            let young = facts.days_left(self.now) >= ca::renew_days(days);
            let short = facts.days() <= days;
            if same_names && same_addresses && young && short && entry.value("ca") == authority.fingerprint() {
                return Ok(Certificate { cert: entry.value("cert").to_owned(), key: Secret::new(entry.value("key")) });
            }
            let what = entry.what.clone();
            let issued = self.issue(&key, dns, addresses, days)?;
            if !young {
                let (old, new) = (facts.not_after, ca::inspect(&issued.cert)?.not_after);
                let ends = if old < self.now { "ended" } else { "ends" };
                self.renewed.push(format!("the {what} {ends} on {}: issued again, until {}", old.date(), new.date()));
            }
            return Ok(issued);
        }
        self.issue(&key, dns, addresses, days)
    }

    fn news(&self) -> Vec<String> {
        let ca = self.book.entries.get(CA).and_then(|entry| ca::inspect(entry.value("cert")).ok());
        let near = ca.filter(|facts| facts.days_left(self.now) < ca::TELL_DAYS).map(|facts| {
            let (end, renewed) = (facts.not_after.date(), (facts.not_after - time::Duration::days(ca::RENEW_DAYS)).date());
            format!(
                "the lab CA ends on {end}: from {renewed} on, the next run makes a new one, and with it every certificate; \
                 `poclab secrets rotate ca` does it when it suits you"
            )
        });
        self.renewed.iter().cloned().chain(near).collect()
    }

    fn ca_pem(&mut self) -> Result<String> {
        Ok(self.authority()?.cert)
    }

    /// A value that was set, or a login's password. Never a key.
    fn get(&self, name: &str) -> Option<Secret> {
        let entry = self.book.entries.get(name)?;
        match entry.kind {
            Kind::Login => Some(Secret::new(entry.value("password"))),
            Kind::Value => Some(Secret::new(entry.value("value"))),
            Kind::SshKey | Kind::Certificate | Kind::Ca => None,
        }
    }

    /// Everything that must not be seen, in every form in which it leaves this machine: for the redactor.
    fn all(&self) -> Vec<NamedSecret> {
        let mut all = Vec::new();
        for (name, entry) in &self.book.entries {
            let mut add = |name: String, value: &str| all.push(NamedSecret { name, what: entry.what.clone(), value: Secret::new(value) });
            match entry.kind {
                Kind::Login => {
                    let (user, password, line) = (entry.value("user"), entry.value("password"), entry.value("htpasswd"));
                    add(name.clone(), password);
                    add(format!("{name}.htpasswd"), line);
                    add(format!("{name}.htpasswd"), line.split_once(':').map_or(line, |(_, hash)| hash));
                    // As in Docker's config.json and in an Authorization header.
                    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
                    add(format!("{name}.basic_auth"), &basic);
                }
                Kind::Value => add(name.clone(), entry.value("value")),
                Kind::SshKey => add(format!("{name}.private"), entry.value("private")),
                Kind::Certificate | Kind::Ca => add(format!("{name}.key"), entry.value("key")),
            }
        }
        all
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > 128 || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        bail!("{name:?} is not a name for a secret: 1 to 128 characters without blanks");
    }
    if name == CA || name.starts_with(CERTIFICATE) {
        bail!("the name {name:?} is poclab's own (the lab CA, a certificate): choose another");
    }
    Ok(())
}
