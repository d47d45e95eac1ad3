//! Units, the host's name, kernel settings on a whole host; SELinux played by files.

use proptest::collection::btree_map;
use proptest::prelude::*;
use serde_json::json;

use super::host::Host;
use super::property::{Property, Trial};

pub fn service() -> Property {
    fn trials(_: &Host) -> BoxedStrategy<Trial> {
        btree_map("[a-zA-Z0-9_.-]{1,10}", (any::<bool>(), any::<bool>()), 2..4)
            .prop_map(|units| {
                let mut trial = Trial::default();
                for (of, (name, (running, enabled))) in units.into_iter().enumerate() {
                    let unit = format!("zz{of}{name}");
                    let file = format!("/usr/lib/systemd/system/{unit}.service");
                    trial.before.push_str(&format!(
                        "printf '[Service]\\nExecStart=/bin/sleep infinity\\nTimeoutStopSec=2\\n[Install]\\nWantedBy=multi-user.target\\n' >{file}\n"
                    ));
                    trial.after.push_str(&format!("systemctl disable --now {unit} 2>/dev/null\nrm -f {file}\n"));
                    trial.specs.push(json!({"name": unit, "running": running, "enabled": enabled}));
                    if running {
                        trial.hurt(of, format!("systemctl stop {unit}"), &["is inactive (dead), want it running"]);
                        trial.hurt(
                            of,
                            format!(
                                "systemctl kill -s KILL {unit}\nuntil systemctl show -p ActiveState {unit} | grep -q failed; do sleep 0.1; done"
                            ),
                            &["is failed (failed), want it running"],
                        );
                    } else {
                        trial.hurt(of, format!("systemctl start {unit}"), &["is active (running), want it stopped"]);
                    }
                    if enabled {
                        trial.hurt(of, format!("systemctl disable {unit}"), &["is disabled at boot, want it enabled"]);
                    } else {
                        trial.hurt(of, format!("systemctl enable {unit}"), &["is enabled at boot, want it disabled"]);
                    }
                    if running || enabled {
                        trial.hurt(of, format!("systemctl mask {unit}"), &["is masked"]);
                    } else {
                        trial.hurt(of, format!("systemctl mask {unit}"), &[]);
                        trial.hurt(of, format!("systemctl unmask {unit}"), &[]);
                    }
                    if running {
                        // (systemd forgets units that do not run, and reads them again.)
                        trial.hurt(of, format!("echo '# new' >>{file}"), &["its unit file changed on disk since systemd read it"]);
                    }
                }
                trial.before.push_str("systemctl daemon-reload\n");
                trial.after.push_str("systemctl daemon-reload\n");
                trial
            })
            .boxed()
    }
    Property { cases: 2, trials }
}

pub fn hostname() -> Property {
    fn trials(_: &Host) -> BoxedStrategy<Trial> {
        "[a-z]([a-z0-9-]{0,12}[a-z0-9])?(\\.[a-z0-9]{1,8}){0,3}"
            .prop_map(|name| {
                let after = "hostname localhost.localdomain\necho localhost.localdomain >/etc/hostname\n".to_owned();
                let mut trial = Trial { specs: vec![json!({"name": name})], after, ..Trial::default() };
                trial.hurt(0, format!("hostname {name}x"), &[&format!("host name is {name}x, want {name}")]);
                trial.hurt(0, "echo other.example >/etc/hostname", &[&format!("host name after a boot is \"other.example\", want {name}")]);
                trial.hurt(0, ": >/etc/hostname", &[&format!("host name after a boot is \"\", want {name}")]);
                trial
            })
            .boxed()
    }
    Property { cases: 3, trials }
}

pub fn sysctl() -> Property {
    fn trials(_: &Host) -> BoxedStrategy<Trial> {
        let settings = ["net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_rmem", "net.ipv4.ip_local_port_range"];
        (proptest::sample::subsequence(settings.to_vec(), 1..=4), 10_000u32..30_000)
            .prop_map(|(keys, number)| {
                let mut trial = Trial::default();
                for (of, key) in keys.into_iter().enumerate() {
                    let (value, wrong) = match key {
                        "net.ipv4.tcp_rmem" => (format!("4096 {number} 6291456"), format!("4096 {number}0 6291456")),
                        "net.ipv4.ip_local_port_range" => (format!("{number} 60999"), format!("{number} 61000")),
                        _ => (number.to_string(), "1234".to_owned()),
                    };
                    let file = format!("/etc/sysctl.d/90-poclab-{key}.conf");
                    trial.after.push_str(&format!("rm -f {file}\n"));
                    trial.specs.push(json!({"key": key, "value": value}));
                    trial.hurt(of, format!("sysctl -qw '{key}={wrong}'"), &[&format!("is {wrong}, want {value}")]);
                    trial.hurt(of, format!("rm {file}"), &[&format!("{file}: does not exist")]);
                    trial.hurt(of, format!("echo '{key} = 1' >>{file}"), &[&format!("{file}: content differs (sha256 … instead of …)")]);
                    trial.hurt(of, format!("chmod 0600 {file}"), &[&format!("{file}: mode is 0600, want 0644")]);
                }
                trial
            })
            .boxed()
    }
    Property { cases: 3, trials }
}

/// No container has SELinux: files and a `setenforce` of our own play the kernel. What a real kernel says is proven by
/// `make test-selinux`.
pub fn selinux() -> Property {
    fn trials(host: &Host) -> BoxedStrategy<Trial> {
        let tools = host.path("tools");
        (0u8..2, "enforcing|permissive|disabled|Enforcing", "[ \t]{0,2}", "(# SELINUX=x\n|SELINUXTYPE=targeted\n|\n){0,3}")
            .prop_map(move |(live, stored, blank, others)| {
                let before = format!(
                    "mkdir -p /sys/fs/selinux /etc/selinux {tools}\nprintf {live} >/sys/fs/selinux/enforce\n\
                     printf '%s' '{others}SELINUX={blank}{stored}\n{others}' >/etc/selinux/config\n\
                     printf '#!/bin/sh\\nprintf 1 >/sys/fs/selinux/enforce\\n' >{tools}/setenforce\nchmod +x {tools}/setenforce\n\
                     printf '#!/bin/sh\\necho Enforcing\\n' >{tools}/getenforce\nchmod +x {tools}/getenforce\n"
                );
                let mut trial = Trial { before, specs: vec![json!({"state": "enforcing"})], ..Trial::default() };
                let after_boot = |what: &str| format!("SELinux after a boot is {what:?}, want enforcing");
                trial.hurt(0, "printf 0 >/sys/fs/selinux/enforce", &["SELinux only logs, want it enforcing"]);
                for word in ["permissive", "disabled", "enforcin"] {
                    trial.hurt(0, format!("sed -i 's/^SELINUX=.*/SELINUX={word}/' /etc/selinux/config"), &[&after_boot(word)]);
                }
                // The last line counts.
                trial.hurt(0, "printf 'SELINUX=%s\\n' Disabled >>/etc/selinux/config", &[&after_boot("disabled")]);
                trial.hurt(0, "rm /etc/selinux/config", &["/etc/selinux/config does not say what SELinux is after a boot, want enforcing"]);
                trial
            })
            .boxed()
    }
    eprintln!("selinux: a real SELinux is skipped here: containers have none; files play the kernel");
    Property { cases: 4, trials }
}
