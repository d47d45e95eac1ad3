//! Programs of the image besides the server: `jenkins-plugin-cli` and `keytool`.

use std::path::Path;

/// `keytool -importcert -noprompt -alias A -file F -keystore K -storepass P`: adds an authority to the trust store, which is a
/// PEM file here. Everything else is refused.
pub fn keytool(args: &[String]) -> Result<String, String> {
    let mut values = std::collections::BTreeMap::new();
    let mut flags = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "-importcert" | "-noprompt" | "-trustcacerts" => flags.push(arg.as_str()),
            "-alias" | "-file" | "-keystore" | "-storepass" => {
                let value = rest.next().ok_or_else(|| format!("Command option {arg} needs an argument."))?;
                values.insert(arg.as_str(), value.as_str());
            }
            other => return Err(format!("Illegal option:  {other} (of the rehearsal's keytool)")),
        }
    }
    if !flags.contains(&"-importcert") || !flags.contains(&"-noprompt") {
        return Err("the rehearsal's keytool knows -importcert -noprompt only".into());
    }
    let value = |key: &str| values.get(key).copied().ok_or_else(|| format!("{key} is required"));
    if value("-storepass")? != "changeit" {
        return Err("keystore password was incorrect".into());
    }
    let (file, store, alias) = (value("-file")?, value("-keystore")?, value("-alias")?);
    let pem = std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
    let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).unwrap_or_default();
    if certificates.is_empty() {
        return Err("Input not an X.509 certificate".into());
    }
    let old = match Path::new(store).exists() {
        true => std::fs::read_to_string(store).map_err(|e| format!("{store}: {e}"))?,
        false => String::new(),
    };
    let mark = format!("# alias {alias}\n");
    if old.contains(&mark) {
        return Err(format!("Certificate not imported, alias <{alias}> already exists"));
    }
    std::fs::write(store, format!("{old}{mark}{}\n", pem.trim_end())).map_err(|e| format!("{store}: {e}"))?;
    Ok("Certificate was added to keystore".into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;

    #[test]
    fn only_certificates_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(path("bad.pem"), "no certificate").unwrap();
        let args = |file: &str| -> Vec<String> {
            let store = path("cacerts");
            ["-importcert", "-noprompt", "-alias", "lab", "-file", file, "-keystore", &store, "-storepass", "changeit"]
                .map(str::to_owned)
                .to_vec()
        };
        assert!(keytool(&args(&path("bad.pem"))).unwrap_err().contains("not an X.509"));
        assert!(keytool(&["-list".to_owned()]).is_err());
    }
}
