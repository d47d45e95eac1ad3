//! What a kind tells about what it saw, beyond "as desired or not": versions, states, ends of certificates.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::pem::Pem;

/// One thing that was seen on a host. Nothing in here is taken from what is desired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Detail {
    /// An installed package.
    Package {
        /// As rpm knows it.
        name: String,
        /// `version-release`; several, when several are installed.
        version: String,
    },
    /// A container image.
    Image {
        /// Name and tag.
        reference: String,
        /// Image id, `sha256:…`
        id: String,
    },
    /// A systemd unit.
    Unit {
        /// The unit.
        name: String,
        /// As systemd says it: `active (running, enabled)`.
        state: String,
        /// Whether that is what the lab wants.
        good: bool,
    },
    /// A container.
    Container {
        /// Its name.
        name: String,
        /// As Docker says it: `running`, `exited (1)`; `absent` when there is none.
        state: String,
        /// The image that it was made from, as it was called then.
        image: String,
        /// What the image's label `org.opencontainers.image.version` says, if it has one.
        version: Option<String>,
        /// Whether it is what the lab wants.
        good: bool,
    },
    /// A certificate in a file.
    Certificate {
        /// The file.
        path: String,
        /// Common name, else the whole subject.
        subject: String,
        /// Last moment at which it is valid (RFC 3339, UTC).
        ends: String,
    },
}

/// A certificate's subject and end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Common name, else the whole subject.
    pub subject: String,
    /// RFC 3339, UTC.
    pub ends: String,
}

impl Certificate {
    /// Reads a certificate (DER); `None` when it is none.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next().and_then(|name| name.as_str().ok()).map(str::to_owned);
        let ends: OffsetDateTime = certificate.validity().not_after.to_datetime();
        Some(Self { subject: name.unwrap_or_else(|| subject.to_string()), ends: ends.format(&Rfc3339).ok()? })
    }

    /// All certificates in a text; whatever else is in it (keys, comments) is passed over.
    pub fn all_in(text: &str) -> Vec<Self> {
        if !text.contains("-----BEGIN CERTIFICATE-----") {
            return Vec::new();
        }
        let blocks = Pem::iter_from_buffer(text.as_bytes()).flatten();
        blocks.filter(|block| block.label == "CERTIFICATE").filter_map(|block| Self::from_der(&block.contents)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_found_among_other_things() {
        let mut params = rcgen::CertificateParams::new(vec!["registry.lab.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2031, 5, 6);
        params.distinguished_name.push(rcgen::DnType::CommonName, "registry.lab.example");
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let found = Certificate { subject: "registry.lab.example".to_owned(), ends: "2031-05-06T00:00:00Z".to_owned() };
        assert_eq!(Certificate::all_in(&pem), std::slice::from_ref(&found));
        assert_eq!(Certificate::all_in(&format!("# a chain\n{}{pem}{pem}", key.serialize_pem())), [found.clone(), found]);
        for nothing in ["", "port = 80\n", "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n", &pem[..200]] {
            assert_eq!(Certificate::all_in(nothing), [], "{nothing:?}");
        }
    }
}
