//! TLS from PEM files.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What a server shows, from two PEM files; an error says which file and why.
pub fn server(certificate: &Path, key: &Path) -> io::Result<Arc<rustls::ServerConfig>> {
    let wrong = |path: &Path, why: &dyn std::fmt::Display| io::Error::other(format!("{}: {why}", path.display()));
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|why| wrong(certificate, &why))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|why| wrong(key, &why))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|why| wrong(certificate, &why))?;
    Ok(Arc::new(config))
}

/// All PEM certificates in a folder's files, as one text; empty when there is no such folder.
pub fn authorities(folder: &Path) -> io::Result<String> {
    let mut all = String::new();
    let entries = match std::fs::read_dir(folder) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(all),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_file() {
            all.push_str(&std::fs::read_to_string(&path).map_err(|why| io::Error::other(format!("{}: {why}", path.display())))?);
            all.push('\n');
        }
    }
    Ok(all)
}
