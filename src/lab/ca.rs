//! The lab's certificate authority and the certificates that it issues.
//!
//! ECDSA P-256 with SHA-256 throughout: what the clients of the lab all accept (Go's TLS, OpenSSL 1.0.2k, NSS 3.36 of
//! CentOS 7). Names are in the subject alternative names; Go clients ignore the common name.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result, anyhow, bail};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::GeneralName;

use super::Certificate;
use crate::base::Secret;

/// How long a lab CA is valid.
pub const CA_DAYS: i64 = 3650;
/// How long a host's certificate is valid unless its role says less: the longest that common clients accept.
pub const HOST_DAYS: i64 = 825;
/// A certificate with less time left than this is issued again.
pub const RENEW_DAYS: i64 = 30;
/// The operator is told that the CA comes to its end when it has less time left than this.
pub const TELL_DAYS: i64 = 90;

/// When a certificate that is to be valid for `days` is issued again, in days before its end: 30, for short ones a third.
pub fn renew_days(days: i64) -> i64 {
    RENEW_DAYS.min(days / 3)
}

/// Certificates begin to be valid this long before they are made: hosts' clocks may be behind.
const MARGIN: Duration = Duration::days(1);

/// Longest common name that X.520 allows, in characters.
const MAX_CN: usize = 64;

/// A lab CA with its key.
pub struct Authority {
    /// Its certificate, PEM.
    pub cert: String,
    /// Its key, PEM (PKCS#8).
    pub key: Secret,
}

impl Authority {
    /// Makes a new one.
    pub fn create(lab: &str, now: OffsetDateTime) -> Result<Self> {
        let name = format!("poclab {lab} CA");
        if name.chars().count() > MAX_CN {
            bail!("the lab's name {lab:?} is too long for its CA certificate: at most {} characters", MAX_CN - 10);
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(serial()?);
        params.not_before = now - MARGIN;
        params.not_after = now + Duration::days(CA_DAYS);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("cannot make a key for the lab CA")?;
        let cert = params.self_signed(&key).context("cannot make the lab CA's certificate")?;
        Ok(Self { cert: cert.pem(), key: Secret::new(key.serialize_pem()) })
    }

    /// Identifies this CA: SHA-256 of its certificate (PEM), hexadecimal.
    pub fn fingerprint(&self) -> String {
        hex(&Sha256::digest(self.cert.as_bytes()))
    }

    /// Issues a server certificate for these names and addresses (at least one), valid for `days` and never for longer
    /// than the CA.
    pub fn issue(&self, dns: &[String], addresses: &[IpAddr], days: i64, now: OffsetDateTime) -> Result<Certificate> {
        let ca_key = KeyPair::from_pem(self.key.expose()).context("the lab CA's key cannot be read")?;
        let ca_params = CertificateParams::from_ca_cert_pem(&self.cert).context("the lab CA's certificate cannot be read")?;
        let ca_ends = ca_params.not_after;
        // rcgen wants the issuer as an object. This re-signed twin is thrown away; only subject and key id are used.
        let ca = ca_params.self_signed(&ca_key).context("the lab CA's certificate cannot be used")?;

        let mut sans = Vec::new();
        for name in dns {
            check_dns(name)?;
            let name = name.as_str().try_into().map_err(|_| anyhow!("{name:?} is not a DNS name"))?;
            sans.push(SanType::DnsName(name));
        }
        sans.extend(addresses.iter().copied().map(SanType::IpAddress));
        if sans.is_empty() {
            bail!("a certificate needs at least one name or address");
        }
        let title = dns.iter().find(|name| name.len() <= MAX_CN).cloned();
        let title = title.or_else(|| addresses.first().map(IpAddr::to_string)).unwrap_or_else(|| "poclab".to_owned());

        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&title);
        params.subject_alt_names = sans;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial()?);
        params.not_before = now - MARGIN;
        params.not_after = (now + Duration::days(days)).min(ca_ends);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("cannot make a key")?;
        let cert = params.signed_by(&key, &ca, &ca_key).context("cannot sign the certificate")?;
        Ok(Certificate { cert: cert.pem(), key: Secret::new(key.serialize_pem()) })
    }
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// DNS names, sorted.
    pub dns: BTreeSet<String>,
    /// Addresses, sorted.
    pub addresses: BTreeSet<IpAddr>,
    /// Begin of validity.
    pub not_before: OffsetDateTime,
    /// End of validity.
    pub not_after: OffsetDateTime,
}

impl Facts {
    /// For how many days it was issued.
    pub fn days(&self) -> i64 {
        (self.not_after - self.not_before - MARGIN).whole_days()
    }

    /// Whole days left.
    pub fn days_left(&self, now: OffsetDateTime) -> i64 {
        (self.not_after - now).whole_days()
    }
}

/// Reads a PEM certificate.
pub fn inspect(pem: &str) -> Result<Facts> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|e| anyhow!("not a PEM certificate: {e}"))?;
    let cert = block.parse_x509().map_err(|e| anyhow!("not a certificate: {e}"))?;
    let validity = cert.validity();
    let (not_before, not_after) = (validity.not_before.to_datetime(), validity.not_after.to_datetime());
    let mut facts = Facts { dns: BTreeSet::new(), addresses: BTreeSet::new(), not_before, not_after };
    let sans = cert.subject_alternative_name().map_err(|e| anyhow!("the certificate's names cannot be read: {e}"))?;
    for name in sans.iter().flat_map(|sans| &sans.value.general_names) {
        match name {
            GeneralName::DNSName(name) => {
                facts.dns.insert((*name).to_owned());
            }
            GeneralName::IPAddress(bytes) => {
                let address = match bytes.len() {
                    4 => <[u8; 4]>::try_from(*bytes).map(IpAddr::from),
                    _ => <[u8; 16]>::try_from(*bytes).map(IpAddr::from),
                };
                facts.addresses.insert(address.context("the certificate holds an address that is neither IPv4 nor IPv6")?);
            }
            _ => {}
        }
    }
    Ok(facts)
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn common_name(name: &str) -> DistinguishedName {
    let mut dn = DistinguishedName::new();
    dn.push(DnType::CommonName, name);
    dn
}

/// 127 random bits: unique without a register, positive, within the 20 bytes of RFC 5280.
fn serial() -> Result<SerialNumber> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|e| anyhow!("the operating system gives no random bytes: {e}"))?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn check_dns(name: &str) -> Result<()> {
    let host = name.strip_prefix("*.").unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !host.split('.').all(label) {
        bail!("{name:?} is not a DNS name: letters, digits, `-` and `.` only, labels of at most 63 characters");
    }
    Ok(())
}

#[cfg(test)]
#[path = "ca_tests.rs"]
mod tests;
