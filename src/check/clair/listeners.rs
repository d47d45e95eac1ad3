//! What listens on a host, by its kernel: `ss` is not on every host, /proc/net/tcp is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// POSIX sh that prints the address of each TCP socket that listens, as the kernel writes it: hexadecimal digits, `ADDRESS:PORT`.
pub(super) const SCRIPT: &str = "for f in /proc/net/tcp /proc/net/tcp6; do
    # A kernel without IPv6 has no tcp6.
    if [ \"$f\" = /proc/net/tcp6 ] && [ ! -e \"$f\" ]; then continue; fi
    while read -r _ local _ state _; do
        [ \"$state\" != 0A ] || printf '%s\\n' \"$local\"
    done <\"$f\" || exit 1
done";

/// Reads what [`SCRIPT`] prints. A line that is none of it is an error: what is not understood may listen anywhere.
pub(super) fn read(text: &str) -> Result<Vec<SocketAddr>, String> {
    let address = |line: &str| socket(line).ok_or_else(|| format!("what listens on the host cannot be read: `{line}` is no address"));
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(address).collect()
}

/// `0100007F:17AC` is 127.0.0.1:6060: each group of 32 bits is written as the processor keeps it, and all that run this are x86.
fn socket(line: &str) -> Option<SocketAddr> {
    let (address, port) = line.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for group in address.as_bytes().chunks(8) {
        let group =
            std::str::from_utf8(group).ok().filter(|group| group.len() == 8 && group.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        bytes.extend(u32::from_str_radix(group, 16).ok()?.to_le_bytes());
    }
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => IpAddr::from(Ipv4Addr::from(four)),
        // 127.0.0.1 as IPv6 writes it is loopback, too.
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?).to_canonical(),
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{sh, shellcheck};

    #[test]
    fn the_kernels_addresses_are_read() {
        let text = "0100007F:17AC\n00000000:1538\n0B00640A:0016\n00000000000000000000000001000000:17AD\n00000000000000000000000000000000:1F90\n0000000000000000FFFF00000100007F:1F91\n";
        let read: Vec<String> = read(text).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(read, ["127.0.0.1:6060", "0.0.0.0:5432", "10.100.0.11:22", "[::1]:6061", "[::]:8080", "127.0.0.1:8081"]);
        for bad in ["0100007F", "7F:17AC", "0100007F:1FFFF", "0100007G:17AC", "0100007F00000000:17AC", "+100007F:17AC", "curl: (7)"] {
            assert!(super::read(bad).unwrap_err().contains("is no address"), "{bad}");
        }
    }

    #[test]
    fn the_script_names_what_listens_here() {
        shellcheck(SCRIPT);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let ran = sh(&["sh", "-c"], SCRIPT, b"");
        assert_eq!(ran.status, 0);
        assert!(read(&ran.text()).unwrap().contains(&listener.local_addr().unwrap()), "{}", ran.text());
    }
}
