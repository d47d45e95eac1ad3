//! What every other module may use: exit codes, secrets, quoting, redaction, frames.

mod clock;
mod exit;
pub mod frame;
mod hash;
mod hostile;
mod image;
mod operator;
mod payload;
mod quote;
mod redact;
mod secret;
mod tail;

pub use clock::{moment, now, rfc3339};
pub use exit::Exit;
pub use hash::{LocalFile, sha256, sha256_of};
pub use hostile::is_hostile;
pub use image::{Image, is_digest, is_hex};
pub use operator::operator;
pub use payload::Payload;
pub use quote::quote;
pub use redact::Redactor;
pub use secret::Secret;
pub use tail::Tail;
