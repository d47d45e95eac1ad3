//! Files, directories, links, commands, names in /etc/hosts: in a folder, with any name and any content.

use poclab::base::quote;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::host::{Host, me};
use super::property::{Property, Trial};

/// Any name that a file may have and that a spec may ask for: blanks, quotes, leading dashes, all of Unicode.
pub fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[^/\\p{Cc}\\\\]{1,20}",
        1 => "-[-a-z ]{0,8}",
        1 => Just("a && b ; c".to_owned()),
        1 => "[ '\"$`;&|<>*?#~!{}()\\[\\]-]{1,12}",
    ]
    // Names of this form are poclab's own temporary files.
    .prop_filter("a name of its own", |name| name != "." && name != ".." && !name.starts_with(".poclab"))
}

/// Any text, as templates make it: without a line end at its end, with CR, NUL, marks of our own protocol.
fn content() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "(?s).{0,200}",
        1 => "([a-z =#|]{0,12}\r?\n){0,12}",
        1 => Just(String::new()),
        1 => "(absent|stat|text|end|\\|){0,3}[ \n]{0,2}\x1eabc:x:0\x1f\n?",
    ]
}

fn mode(special: &str) -> impl Strategy<Value = String> + use<> {
    // Without root a file that its owner cannot read cannot be looked at.
    let owner = if me().0 == "root" { "[0-7]" } else { "[67]" };
    proptest::string::string_regex(&format!("{special}{owner}[0-7][0-7]")).unwrap()
}

/// Another mode than this one.
fn other(mode: &str) -> String {
    let bits = u32::from_str_radix(mode, 8).unwrap();
    format!("{:04o}", bits ^ 0o41)
}

/// What owner, group and mode say, and what happens to them.
fn hurt_meta(trial: &mut Trial, of: usize, path: &str, mode: &str) {
    let (path, changed) = (quote(path), other(mode));
    trial.hurt(of, format!("chmod -- {changed} {path}"), &[&format!("mode is {changed}, want {mode}")]);
    if me().0 == "root" {
        // chown takes set-user-id away.
        trial.hurt(of, format!("chown daemon {path}\nchmod -- {mode} {path}"), &["owner is daemon, want root"]);
        trial.hurt(of, format!("chgrp bin {path}\nchmod -- {mode} {path}"), &["group is bin, want root"]);
    }
}

pub fn file() -> Property {
    fn trials(host: &Host) -> BoxedStrategy<Trial> {
        let (folder, before) = (host.work(""), host.clear());
        let mode = prop_oneof![mode("[0246]?"), Just("0600".to_owned()), Just("640".to_owned())];
        let one = (content(), mode, any::<bool>(), option::weighted(0.8, Just(())));
        btree_map(name(), one, 1..4)
            .prop_map(move |files| {
                let mut trial = Trial { before: before.clone(), ..Trial::default() };
                let (owner, group) = me();
                for (of, (name, (content, mode, sensitive, present))) in files.into_iter().enumerate() {
                    let path = format!("{folder}{name}");
                    let (p, aside) = (quote(&path), quote(&format!("{folder}aside")));
                    if present.is_none() {
                        trial.specs.push(json!({"path": path, "state": "absent"}));
                        trial.hurt(of, format!(": >{p}"), &["is there (a file), want it gone"]);
                        trial.hurt(of, format!("mkdir -- {p}"), &["is there (a directory), want it gone"]);
                        trial.hurt(of, format!("ln -s -- nowhere {p}"), &["is there (a symbolic link), want it gone"]);
                        continue;
                    }
                    let mut spec = json!({"path": path, "content": content, "mode": mode, "owner": owner, "group": group});
                    // What others may read holds no secrets.
                    if sensitive && mode.ends_with('0') {
                        spec["sensitive"] = true.into();
                        let secret = format!("secret-{of}-{name}");
                        spec["content"] = format!("{content}{secret}").into();
                        trial.secrets.push(secret);
                    }
                    trial.specs.push(spec);
                    let differs = "content differs (sha256 … instead of …)";
                    trial.hurt(of, format!("printf '\\377x' >>{p}"), &[differs]);
                    trial.hurt(of, format!("rm -f -- {aside}\ncp -p -- {p} {aside}\nprintf y >>{aside}\nmv -f -- {aside} {p}"), &[differs]);
                    hurt_meta(&mut trial, of, &path, &mode);
                    trial.hurt(of, format!("rm -f -- {p}"), &["does not exist"]);
                    trial.hurt(of, format!("rm -f -- {p}\nmkdir -- {p}"), &["is a directory, want a file"]);
                    trial.hurt(of, format!("rm -f -- {p}\nmkfifo -- {p}"), &["is a device, socket or pipe, want a file"]);
                    trial.hurt(of, format!("mv -- {p} {aside}\nln -s -- {aside} {p}"), &["is a symbolic link, want a file"]);
                }
                trial
            })
            .boxed()
    }
    Property { cases: 4, trials }
}

pub fn directory() -> Property {
    fn trials(host: &Host) -> BoxedStrategy<Trial> {
        let (folder, before) = (host.work(""), host.clear());
        btree_map((name(), option::of(name())), (mode("[0-7]?"), option::weighted(0.8, Just(()))), 1..4)
            .prop_map(move |directories| {
                let mut trial = Trial { before: before.clone(), ..Trial::default() };
                let (owner, group) = me();
                for (of, ((name, below), (mode, present))) in directories.into_iter().enumerate() {
                    // A number of its own, so that no one is inside of another.
                    let path = format!("{folder}{of}{name}{}", below.map(|name| format!("/{name}")).unwrap_or_default());
                    let p = quote(&path);
                    if present.is_none() {
                        trial.specs.push(json!({"path": path, "state": "absent"}));
                        trial.hurt(of, format!("mkdir -p -- {p}"), &["is there (a directory), want it gone"]);
                        trial.hurt(of, format!("ln -s -- nowhere {p}"), &["is there (a symbolic link), want it gone"]);
                        continue;
                    }
                    trial.specs.push(json!({"path": path, "mode": mode, "owner": owner, "group": group}));
                    hurt_meta(&mut trial, of, &path, &mode);
                    let bits = u32::from_str_radix(&mode, 8).unwrap();
                    if bits & 0o2000 == 0 {
                        trial.hurt(of, format!("chmod g+s -- {p}"), &[&format!("mode is {:04o}, want {mode}", bits | 0o2000)]);
                    }
                    trial.hurt(of, format!("rmdir -- {p}"), &["does not exist"]);
                    trial.hurt(of, format!("rmdir -- {p}\n: >{p}"), &["is a file, want a directory"]);
                    trial.hurt(of, format!("rmdir -- {p}\nln -s -- /etc {p}"), &["is a symbolic link, want a directory"]);
                    // What is in it is nobody's business.
                    if bits & 0o700 == 0o700 || me().0 == "root" {
                        trial.hurt(of, format!(": >{p}/inside\nrm -f -- {p}/inside"), &[]);
                    }
                }
                trial
            })
            .boxed()
    }
    Property { cases: 4, trials }
}

pub fn link() -> Property {
    fn trials(host: &Host) -> BoxedStrategy<Trial> {
        let (folder, before) = (host.work(""), host.clear());
        btree_map(name(), ("\\PC{1,40}", option::weighted(0.8, Just(()))), 1..4)
            .prop_map(move |links| {
                let mut trial = Trial { before: before.clone(), ..Trial::default() };
                for (of, (name, (to, present))) in links.into_iter().enumerate() {
                    let path = format!("{folder}{name}");
                    let p = quote(&path);
                    if present.is_none() {
                        trial.specs.push(json!({"path": path, "to": to, "state": "absent"}));
                        trial.hurt(of, format!("ln -s -- 'a b' {p}"), &["points to a b, want it gone"]);
                        continue;
                    }
                    trial.specs.push(json!({"path": path, "to": to}));
                    let longer = format!("{to}x");
                    trial.hurt(
                        of,
                        format!("rm -- {p}\nln -s -- {} {p}", quote(&longer)),
                        &[&format!("points to {longer}, want {to}").replace('…', "?")],
                    );
                    trial.hurt(of, format!("rm -- {p}"), &["does not exist"]);
                    trial.hurt(of, format!("rm -- {p}\n: >{p}"), &["is not a symbolic link"]);
                    trial.hurt(of, format!("rm -- {p}\nmkdir -- {p}"), &["is not a symbolic link"]);
                    trial.hurt(of, format!("rm -- {p}\nln -s -- / {p}"), &[&format!("points to /, want {to}")]);
                }
                trial
            })
            .prop_filter("no wildcard in what is reported", |trial| !Value::from(trial.specs.clone()).to_string().contains('…'))
            .boxed()
    }
    Property { cases: 4, trials }
}

pub fn command() -> Property {
    fn trials(host: &Host) -> BoxedStrategy<Trial> {
        let (folder, before) = (host.work(""), host.clear());
        btree_map(name(), ("(?s)[^\0]{0,60}", any::<bool>(), "\\PC{0,20}"), 1..4)
            .prop_map(move |commands| {
                let mut trial = Trial { before: before.clone(), ..Trial::default() };
                for (of, (name, (text, guarded, note))) in commands.into_iter().enumerate() {
                    let path = format!("{folder}{name}");
                    let p = quote(&path);
                    let text = quote(&text);
                    let run = format!("# {note}\nprintf %s {text} >{p}\ncd /\nexit 0");
                    if guarded {
                        let guard = format!("[ -e {p} ] && printf %s {text} | cmp -s - {p}");
                        trial.specs.push(json!({"what": format!("{of} is there"), "run": run, "unless": guard}));
                        trial.hurt(of, format!("rm -- {p}"), &["its guard says that it is needed"]);
                        trial.hurt(of, format!("echo more >>{p}"), &["its guard says that it is needed"]);
                    } else {
                        trial.specs.push(json!({"what": format!("{of} is there"), "run": run, "creates": path}));
                        trial.hurt(of, format!("rm -- {p}"), &[&format!("{path} does not exist")]);
                        trial.hurt(of, format!("echo more >>{p}"), &[]);
                    }
                }
                trial
            })
            .prop_filter("no wildcard in what is reported", |trial| !Value::from(trial.specs.clone()).to_string().contains('…'))
            .boxed()
    }
    Property { cases: 4, trials }
}

pub fn hosts_entries() -> Property {
    fn trials(host: &Host) -> BoxedStrategy<Trial> {
        if !host.root {
            eprintln!("hosts_entries: only a look at nothing, as only root can write a file that root owns");
            return Just(Trial::default()).boxed();
        }
        let (folder, before) = (host.work(""), host.clear());
        let address =
            prop_oneof![any::<std::net::Ipv4Addr>().prop_map(|a| a.to_string()), any::<std::net::Ipv6Addr>().prop_map(|a| a.to_string())];
        let others = "(127\\.0\\.0\\.1 localhost\n|# own\n|\n|10\\.1\\.1\\.1\tnas nas2 # box\n){0,5}";
        (name(), vec(address, 2..6), btree_set("[a-z][a-z0-9._-]{0,12}", 6..10), others)
            .prop_map(move |(name, addresses, names, others)| {
                let path = format!("{folder}{name}");
                let p = quote(&path);
                let names: Vec<String> = names.into_iter().filter(|name| !["localhost", "nas", "nas2"].contains(&name.as_str())).collect();
                let entries: Vec<Value> = addresses
                    .iter()
                    .enumerate()
                    .map(|(i, address)| json!({"address": address, "names": names.iter().skip(i).step_by(addresses.len()).collect::<Vec<_>>()}))
                    .filter(|entry| entry["names"].as_array().is_some_and(|names| !names.is_empty()))
                    .collect();
                let mut trial = Trial { before: format!("{before}printf %s {} >{p}\n", quote(&others)), ..Trial::default() };
                let (first, address) = (&names[0], &addresses[0]);
                trial.specs.push(json!({"path": path, "entries": entries}));
                let line = |text: &str| format!("printf '%s\\n' {} >>{p}", quote(text));
                let stray = format!("{first} is 9.9.9.9 in another line, want {address}");
                trial.hurt(0, line(&format!("9.9.9.9 {first}")), &[&stray]);
                trial.hurt(0, line(&format!("9.9.9.9 other {} # why", first.to_uppercase())), &[&stray.replacen(first.as_str(), &first.to_uppercase(), 1)]);
                trial.hurt(0, format!("sed -i '2s/$/x/' {p}"), &["the lab's block differs"]);
                trial.hurt(0, format!("sed -i 2d {p}"), &["the lab's block differs"]);
                trial.hurt(0, format!("sed -i '/^# poclab end/d' {p}"), &["the lab's block is missing"]);
                trial.hurt(0, format!("rm -- {p}"), &["the lab's block is missing"]);
                trial.hurt(0, line("9.9.9.9 elsewhere # poclab begin"), &[]);
                trial.hurt(0, line("# a note"), &[]);
                trial
            })
            .boxed()
    }
    Property { cases: 4, trials }
}
