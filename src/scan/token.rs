//! The token with which Clair knows who asks: a JSON Web Token (RFC 7519) signed with HS256. Clair allows a minute either way, so each
//! request gets one of its own.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use serde_json::json;
use sha2::Sha256;

/// For how long a token is good, in seconds; also before the moment that it is made, as clocks differ.
const LEEWAY: i64 = 60;

/// The value of the header `Authorization` at this moment (seconds since 1970).
pub fn bearer(key: &[u8], issuer: &str, now: i64) -> String {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({"alg": "HS256", "typ": "JWT"}));
    let claims = part(json!({"iss": issuer, "iat": now, "nbf": now - LEEWAY, "exp": now + LEEWAY}));
    let signed = format!("{head}.{claims}");
    #[expect(clippy::expect_used, reason = "there is no key that it does not take")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length (RFC 2104)");
    mac.update(signed.as_bytes());
    format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with another implementation (Python's hmac and hashlib) for the same text and key.
    #[test]
    fn signed_as_others_do() {
        let token = bearer(b"key", "poclab", 1_700_000_000);
        let parts: Vec<&str> = token.strip_prefix("Bearer ").unwrap().split('.').collect();
        let read = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        assert_eq!(read(parts[0]), r#"{"alg":"HS256","typ":"JWT"}"#);
        assert_eq!(read(parts[1]), r#"{"iss":"poclab","iat":1700000000,"nbf":1699999940,"exp":1700000060}"#);
        assert_eq!(parts[2], "VpjuC60cgtN5XTAjgmWzhzVP8R0CANMWgejCFnsty0Q");
    }
}
