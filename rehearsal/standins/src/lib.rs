//! Stand-ins: small services that speak for products which the container rehearsal cannot install. Each has the product's
//! package or image name, paths, ports, commands and API as far as poclab's roles use them, does the work for real where that is
//! possible, refuses what the product would refuse, and says `rehearsal` in its version.

// Long tables of settings are written as JSON.
#![recursion_limit = "256"]

pub mod common;
pub mod datadog;
pub mod gitlab;
pub mod jenkins;
pub mod splunk;
