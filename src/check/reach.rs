//! placeholder until the checks land
use super::Tcp;
use std::net::SocketAddr;
use std::time::Duration;
/// x
pub fn tcp_connect(_to: SocketAddr, _deadline: Duration) -> Result<Tcp, String> {
    Err(String::new())
}
/// x
pub fn https_client(_ca: &str, _name: &str, _a: SocketAddr) -> Result<reqwest::blocking::Client, String> {
    Err(String::new())
}
