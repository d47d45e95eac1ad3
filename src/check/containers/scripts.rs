//! What is run on a host for its probe container.

use std::net::Ipv4Addr;

use crate::base::quote;
use crate::check::run::Framed;

/// How long a probe container lives when nobody removes it, in seconds.
pub const LIFE: u32 = 900;
/// Where the container's web server listens inside.
const INSIDE: u16 = 8080;

/// Removes what an earlier run left, looks for the image, and says of each candidate `free`, `container` (one publishes it) or `taken`.
pub fn look(image: &str, candidates: &[u16]) -> Framed {
    let list: Vec<String> = candidates.iter().map(u16::to_string).collect();
    Framed::new()
        .step("docker", "timeout 60 docker version --format '{{.Server.Version}}'", false)
        .step("leftovers", "ids=$(timeout 60 docker ps -aq --filter name=^/poclab-probe-) || exit 1\n[ -z \"$ids\" ] || { for id in $ids; do timeout 60 docker rm -f \"$id\" || exit 1; done; }", false)
        .step("image", &format!("timeout 60 docker image inspect --format '{{{{.Id}}}}' {}", quote(image)), false)
        .step(
            "ports",
            &format!(
                "for port in {}; do\n  ids=$(timeout 60 docker ps -q --filter publish=\"$port\"/tcp) || exit 1\n  if [ -n \"$ids\" ]; then echo \"container $port\"\n  elif timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/'\"$port\" 2>/dev/null; then echo \"taken $port\"\n  else echo \"free $port\"; fi\ndone",
                list.join(" ")
            ),
            false,
        )
}

/// Starts the container. `keep`: it must live through a restart of Docker.
pub fn start(name: &str, image: &str, page: &str, ports: &[u16], keep: bool) -> Framed {
    // Docker 20.10 ends --rm containers when it restarts, live-restore or not (seen); without it the next run removes what is left.
    let rm = if keep { "" } else { "--rm" };
    let publish: Vec<String> = ports.iter().map(|port| format!("-p {port}:{INSIDE}")).collect();
    // The shell stays process 1 and ends after LIFE seconds: the container ends even when we never come back.
    let inside = format!("mkdir -p /tmp/page && echo {page} >/tmp/page/index.html && httpd -p {INSIDE} -h /tmp/page && sleep {LIFE}");
    Framed::new()
        .step(
            "run",
            &format!(
                "timeout 120 docker run -d {rm} --name {name} --read-only --tmpfs /tmp --cap-drop ALL {} {} sh -c {} ||\n  {{ s=$?; timeout 60 docker rm -f {name} >/dev/null 2>&1; exit \"$s\"; }}",
                publish.join(" "),
                quote(image),
                quote(&inside)
            ),
            false,
        )
}

/// Fetches the page at `address:port` from inside a host; tries again for 15 s.
pub fn fetch(address: Ipv4Addr, port: u16) -> Framed {
    Framed::new().ask(
        "page",
        &until(
            &format!(
                "said=$(timeout 5 bash -c 'exec 3<>/dev/tcp/{address}/{port} && printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3 && cat <&3' 2>&1)"
            ),
            "printf '%s\\n' \"$said\"",
        ),
    )
}

/// Waits until Docker leads packets for these ports into a container (15 s at most). The page alone does not show that: on the host
/// itself docker-proxy answers too, and without the rule a peer would be stopped by the zone and not by what guards published ports.
pub fn led(ports: &[u16]) -> Framed {
    let all: Vec<String> = ports.iter().map(|port| format!("printf '%s\\n' \"$said\" | grep -q -e '--dport {port} '")).collect();
    Framed::new().ask("led", &until(&format!("said=$(iptables -w 5 -t nat -S DOCKER 2>&1) && {}", all.join(" && ")), ":"))
}

fn until(condition: &str, done: &str) -> String {
    format!(
        "n=0\nuntil {condition}; do\n  n=$((n + 1))\n  [ \"$n\" -lt 75 ] || {{ printf '%s\\n' \"$said\"; exit 1; }}\n  sleep 0.2\ndone\n{done}"
    )
}

/// Removes a container and makes sure that it is gone.
pub fn remove(name: &str) -> String {
    format!(
        "timeout 60 docker rm -f {name} >/dev/null 2>&1\nleft=$(timeout 60 docker ps -aq --filter name={name}) || exit 1\n[ -z \"$left\" ]"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{sh, shellcheck};

    #[test]
    fn scripts_are_clean_and_fetching_works_in_real_shells() {
        for script in [
            look("a b", &[80, 81]),
            look("a", &[]),
            start("n", "a b", "page", &[80, 47113], false),
            fetch(Ipv4Addr::LOCALHOST, 1),
            led(&[80, 47113]),
        ] {
            shellcheck(&script.text());
        }
        shellcheck(&remove("n"));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                use std::io::{Read, Write};
                let mut request = [0u8; 64];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nthe page\n");
            }
        });
        for shell in [["sh", "-c"], ["bash", "-c"]] {
            let out = sh(&shell, &fetch(Ipv4Addr::LOCALHOST, port).text(), b"");
            assert!(out.text().contains("the page"), "{}", out.text());
        }
    }
}
