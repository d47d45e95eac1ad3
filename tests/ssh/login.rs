//! Connecting, host keys, logging in, jump hosts.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use poclab::base::{Payload, Secret};
use poclab::ssh::*;

use crate::lab::*;
use crate::need_sshd;

#[test]
fn a_key_logs_in() {
    need_sshd!();
    let sshd = Sshd::start();
    assert_eq!(stdout(&mut *sshd.connect(), "id -un"), "root\n");
}

#[test]
fn a_key_with_a_passphrase_logs_in_and_a_wrong_one_is_named() {
    need_sshd!();
    let sshd = Sshd::start();
    for kind in ["ed25519", "rsa"] {
        let path = sshd.path(&format!("locked_{kind}"));
        keygen(&path, kind, "open sesame");
        fs::copy(path.with_extension("pub"), sshd.path("authorized_keys")).unwrap();
        let with = |passphrase: Option<&str>| {
            let auth = vec![Auth::Key { path: path.clone(), passphrase: passphrase.map(Secret::new) }];
            sshd.connect_with(SshTarget { auth, ..sshd.target() }, Sudo::Never, false).map(drop)
        };
        with(Some("open sesame")).unwrap();
        for wrong in [Some("wrong"), None] {
            let error = with(wrong).unwrap_err();
            assert!(
                matches!(&error, SshError::Key { path: p, why } if *p == path.display().to_string() && why.contains("passphrase")),
                "{error}"
            );
        }
    }
}

#[test]
fn a_key_file_that_cannot_be_used_is_named() {
    need_sshd!();
    let sshd = Sshd::start();
    fs::write(sshd.path("garbage"), "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n").unwrap();
    for (name, why) in [("missing", "No such file"), ("garbage", "")] {
        let path = sshd.path(name);
        let auth = vec![Auth::Key { path: path.clone(), passphrase: None }];
        let error = sshd.refused(SshTarget { auth: auth.clone(), ..sshd.target() });
        assert!(matches!(&error, SshError::Key { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()) && error.to_string().contains(why), "{error}");
        // Another way to log in may still work.
        let both = [auth, vec![sshd.key()]].concat();
        sshd.connect_with(SshTarget { auth: both, ..sshd.target() }, Sudo::Never, false).unwrap();
    }
}

#[test]
fn a_password_logs_in_and_a_wrong_one_does_not() {
    need_sshd!();
    let (sshd, user) = (Sshd::start(), User::new("/bin/bash"));
    let with = |password: &str| {
        let auth = vec![Auth::Password(Secret::new(password))];
        sshd.connect_with(SshTarget { auth, ..user.target(&sshd) }, Sudo::Never, false)
    };
    assert_eq!(stdout(&mut *with(user.password.expose()).unwrap(), "id -un").trim(), user.name);
    let error = with("wrong").err().unwrap();
    assert!(matches!(&error, SshError::AuthFailed { user: u, tried } if u.contains(&user.name) && tried == "password"), "{error}");
    assert!(!error.to_string().contains("wrong"), "the password must not be in the error: {error}");
}

#[test]
fn a_server_that_asks_by_keyboard_interactive_gets_the_password() {
    need_sshd!();
    let sshd = Sshd::start_with("UsePAM yes\nPasswordAuthentication no\nKbdInteractiveAuthentication yes");
    let user = User::new("/bin/bash");
    let with = |password: &Secret| {
        let auth = vec![Auth::Password(password.clone())];
        sshd.connect_with(SshTarget { auth, ..user.target(&sshd) }, Sudo::Never, false)
    };
    let mut transport = with(&user.password).unwrap_or_else(|e| panic!("{e}\n{}", sshd.log()));
    assert_eq!(stdout(&mut *transport, "id -un").trim(), user.name);
    assert!(matches!(with(&Secret::new("wrong")).err().unwrap(), SshError::AuthFailed { .. }));
}

#[test]
fn a_refused_login_says_what_was_tried() {
    need_sshd!();
    let sshd = Sshd::start_with("PasswordAuthentication no");
    keygen(&sshd.path("stranger"), "ed25519", "");
    let auth = vec![Auth::Key { path: sshd.path("stranger"), passphrase: None }, Auth::Password(Secret::new("nothing"))];
    let error = sshd.refused(SshTarget { auth, ..sshd.target() }).to_string();
    for part in ["root on [127.0.0.1]", "stranger", "password (the server offers only: publickey)"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
}

struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The agent is found through the environment, which belongs to the whole process: so this runs in one of its own.
#[test]
fn an_agent_logs_in() {
    need_sshd!();
    let sshd = Sshd::start();
    let socket = sshd.path("agent");
    let _agent = Agent(Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(5);
    while !socket.exists() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    keygen(&sshd.path("other"), "ed25519", "");
    let in_child = |expected: &str| {
        let out = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "login::agent_child", "--ignored", "--nocapture"])
            .env("SSH_AUTH_SOCK", &socket)
            .env("POCLAB_TEST_AGENT", format!("{} {} {}", sshd.port, sshd.fingerprint("ed25519"), sshd.path("unused").display()))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(text.contains(expected), "{text} {}", String::from_utf8_lossy(&out.stdout));
    };
    in_child("refused: login as root on");
    let add = |name: &str| {
        let added = Command::new("ssh-add").arg("-q").arg(sshd.path(name)).env("SSH_AUTH_SOCK", &socket).status().unwrap();
        assert!(added.success());
    };
    add("other");
    in_child("agent (1 keys)");
    add("key");
    in_child("logged in as root");
}

#[test]
#[ignore = "started by an_agent_logs_in"]
fn agent_child() {
    let given = std::env::var("POCLAB_TEST_AGENT").unwrap();
    let [port, host_key, known] = given.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let target = SshTarget {
        address: "127.0.0.1".into(),
        port: port.parse().unwrap(),
        user: "root".into(),
        auth: vec![Auth::Agent],
        host_key: Some(host_key.into()),
        jump: None,
        timeouts: Timeouts::default(),
    };
    let ssh = Ssh::new(HostKeyPolicy { known_hosts: known.into(), accept_new: false }, Default::default());
    match ssh.connect(&Reach::Ssh { target, sudo: Sudo::Never }) {
        Ok(mut transport) => eprintln!("logged in as {}", stdout(&mut *transport, "id -un")),
        Err(e) => eprintln!("refused: {e}"),
    }
}

#[test]
fn an_unknown_key_is_refused_and_accept_new_pins_it_once() {
    need_sshd!();
    let sshd = Sshd::start();
    let target = SshTarget { host_key: None, ..sshd.target() };
    let error = sshd.refused(target.clone());
    assert_eq!(error, SshError::HostKeyUnknown { address: format!("[127.0.0.1]:{}", sshd.port), fingerprint: sshd.fingerprint("ed25519") });
    assert!(!sshd.path("known").exists(), "nothing may be pinned by a refusal");
    for _ in 0..2 {
        sshd.connect_with(target.clone(), Sudo::Never, true).unwrap();
    }
    sshd.connect_with(target, Sudo::Never, false).unwrap();
    let known = fs::read_to_string(sshd.path("known/hosts")).unwrap();
    assert_eq!(known.lines().count(), 1, "{known}");
    // OpenSSH itself agrees with our line.
    let found = Command::new("ssh-keygen")
        .arg("-F")
        .arg(format!("[127.0.0.1]:{}", sshd.port))
        .arg("-f")
        .arg(sshd.path("known/hosts"))
        .output()
        .unwrap();
    assert!(found.status.success());
}

#[test]
fn a_changed_key_shows_both_fingerprints_even_with_accept_new() {
    need_sshd!();
    let (old, new) = (Sshd::start(), Sshd::start());
    let public = fs::read_to_string(old.path("host_ed25519.pub")).unwrap();
    fs::create_dir(new.path("known")).unwrap();
    fs::write(new.path("known/hosts"), format!("[127.0.0.1]:{} {public}", new.port)).unwrap();
    let target = SshTarget { host_key: None, ..new.target() };
    for accept_new in [false, true] {
        let error = new.connect_with(target.clone(), Sudo::Never, accept_new).err().unwrap();
        let SshError::HostKeyChanged { expected, got, known_hosts, .. } = &error else { panic!("{error}") };
        assert_eq!((expected, got), (&old.fingerprint("ed25519"), &new.fingerprint("ed25519")));
        assert_eq!(*known_hosts, new.path("known/hosts").display().to_string());
    }
    // The inventory's fingerprint has priority over the file, in both directions.
    new.connect_with(new.target(), Sudo::Never, false).unwrap();
    let error = new.refused(SshTarget { host_key: Some(old.fingerprint("ed25519")), ..target });
    assert!(error.to_string().contains(&old.fingerprint("ed25519")) && error.to_string().contains(&new.fingerprint("ed25519")), "{error}");
}

#[test]
fn the_pinned_one_of_several_host_keys_is_asked_for() {
    need_sshd!();
    let sshd = Sshd::start();
    // By fingerprint: its type is not known before.
    sshd.connect_with(SshTarget { host_key: Some(sshd.fingerprint("rsa")), ..sshd.target() }, Sudo::Never, false).unwrap();
    let public = fs::read_to_string(sshd.path("host_rsa.pub")).unwrap();
    // The whole key is written down, once, for those who need more than its fingerprint.
    let pinned = SshTarget { host_key: Some(sshd.fingerprint("rsa")), ..sshd.target() };
    sshd.connect_with(pinned.clone(), Sudo::Never, false).unwrap();
    assert_eq!(fs::read_to_string(sshd.path("known/hosts.verified")).unwrap().lines().count(), 1);
    let known = known_key(&sshd.path("known/hosts"), &pinned).unwrap().unwrap();
    assert!(public.starts_with(&known) && known.starts_with("ssh-rsa AAAA"), "{known}");
    assert_eq!(known_key(&sshd.path("known/hosts"), &sshd.target()).unwrap(), None, "that one has another fingerprint");
    // By the file, plain and hashed.
    fs::write(sshd.path("known/hosts"), format!("[127.0.0.1]:{} {public}", sshd.port)).unwrap();
    let target = SshTarget { host_key: None, ..sshd.target() };
    sshd.connect_with(target.clone(), Sudo::Never, false).unwrap();
    sh(&format!("ssh-keygen -q -H -f {} 2>/dev/null", sshd.path("known/hosts").display()));
    sshd.connect_with(target, Sudo::Never, false).unwrap();
}

#[test]
fn a_jump_host_is_gone_through() {
    need_sshd!();
    let (jump, inner) = (Sshd::start(), Sshd::start());
    let target = SshTarget { jump: Some(Box::new(jump.target())), ..inner.target() };
    let mut transport = inner.connect_with(target.clone(), Sudo::Never, false).unwrap();
    assert_eq!(stdout(&mut *transport, "echo $SSH_CONNECTION").split(' ').nth(3).unwrap().trim(), inner.port.to_string());
    let payload: Vec<u8> = (0..6_000_000u32).map(|n| (n / 7) as u8).collect();
    let exec = Exec { script: "tee /dev/stderr".into(), stdin: vec![Payload::Bytes(payload.clone())] };
    let mut back = Vec::new();
    transport.exec(&exec, &mut |bytes| back.extend_from_slice(bytes), &mut |_| {}).unwrap();
    assert!(back == payload, "{} bytes came back", back.len());
    let started = Instant::now();
    drop(transport);
    assert!(started.elapsed() < Duration::from_secs(1));
    assert!(jump.log().contains("Accepted publickey for root"));
    // Each host of the way is checked.
    let stranger = SshTarget { host_key: None, ..jump.target() };
    let error = inner.refused(SshTarget { jump: Some(Box::new(stranger)), ..target.clone() });
    assert!(matches!(&error, SshError::HostKeyUnknown { address, .. } if address.ends_with(&jump.port.to_string())), "{error}");
    let error = inner.refused(SshTarget { host_key: Some(jump.fingerprint("ed25519")), ..target.clone() });
    assert!(matches!(error, SshError::HostKeyChanged { .. }), "{error}");
    // A target that the jump host cannot reach.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = inner.refused(SshTarget { port, ..target });
    assert!(matches!(&error, SshError::Unreachable { why, .. } if why.contains("jump host")), "{error}");
}

#[test]
fn the_jump_host_dies_in_the_middle() {
    need_sshd!();
    let (jump, inner) = (Sshd::start(), Sshd::start());
    let target = SshTarget { jump: Some(Box::new(jump.target())), ..inner.target() };
    let mut transport = inner.connect_with(target, Sudo::Never, false).unwrap();
    let jump_child = jump.session();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        sh(&format!("kill -9 {jump_child}"));
    });
    let error = exec(&mut *transport, "sleep 20").unwrap_err();
    killer.join().unwrap();
    assert!(matches!(error, SshError::Lost { .. }), "{error}");
}

#[test]
fn a_closed_port_and_a_silent_server_are_told_apart() {
    need_sshd!();
    let sshd = Sshd::start();
    let timeouts = Timeouts { connect: Duration::from_millis(700), ..Timeouts::default() };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = sshd.refused(SshTarget { port: closed, timeouts, ..sshd.target() });
    assert!(matches!(&error, SshError::Unreachable { why, .. } if why.contains("refused")), "{error}");
    // The kernel accepts for it, nobody speaks.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let started = Instant::now();
    let error = sshd.refused(SshTarget { port: silent.local_addr().unwrap().port(), timeouts, ..sshd.target() });
    assert!(matches!(&error, SshError::Timeout { doing, .. } if doing.contains("handshake")), "{error}");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    let error = sshd.refused(SshTarget { address: "no-such-host.invalid".into(), timeouts: Timeouts::default(), ..sshd.target() });
    assert!(matches!(&error, SshError::Unreachable { why, .. } if why.contains("resolve")), "{error}");
}

#[test]
fn something_that_is_no_ssh_server_is_named_as_such() {
    need_sshd!();
    let sshd = Sshd::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::Write;
        let (mut client, _) = listener.accept().unwrap();
        let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let error = sshd.refused(SshTarget { port, ..sshd.target() });
    assert!(matches!(&error, SshError::Unreachable { why, .. } if why.contains("handshake")), "{error}");
}
