//! What every other module may use: exit codes, secrets, quoting, redaction, frames.

mod clock;
mod exit;
pub mod frame;
mod operator;
mod payload;
mod quote;
mod redact;
mod secret;

pub use clock::now;
pub use exit::Exit;
pub use operator::operator;
pub use payload::Payload;
pub use quote::quote;
pub use redact::Redactor;
pub use secret::Secret;
