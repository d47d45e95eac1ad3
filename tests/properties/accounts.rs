//! Users and groups, on a whole host.

use proptest::collection::btree_map;
use proptest::option;
use proptest::prelude::*;
use serde_json::json;

use super::host::Host;
use super::property::{Property, Trial};

/// A name that useradd takes, too.
fn name() -> impl Strategy<Value = String> {
    "zz[a-z0-9_-]{1,12}"
}

pub fn group() -> Property {
    fn trials(_: &Host) -> BoxedStrategy<Trial> {
        btree_map(name(), (option::of(20_000u32..60_000), any::<bool>(), option::weighted(0.8, Just(()))), 2..5)
            .prop_map(|groups| {
                let mut trial = Trial::default();
                for (of, (name, (gid, system, present))) in groups.into_iter().enumerate() {
                    trial.after.push_str(&format!("groupdel {name} || :\n"));
                    if present.is_none() {
                        trial.specs.push(json!({"name": name, "state": "absent"}));
                        trial.hurt(of, format!("groupadd {name}"), &["exists, want it gone"]);
                        continue;
                    }
                    // Numbers of the same trial differ.
                    let gid = gid.map(|gid| gid * 10 % 50_000 + 10_000 + of as u32);
                    trial.specs.push(json!({"name": name, "gid": gid, "system": system}));
                    trial.hurt(of, format!("groupdel {name}"), &["does not exist"]);
                    match gid {
                        Some(gid) => trial.hurt(of, format!("groupmod -g 9{of} {name}"), &[&format!("gid is 9{of}, want {gid}")]),
                        None => trial.hurt(of, format!("groupmod -g 9{of} {name}"), &[]),
                    }
                    trial.hurt(of, format!("gpasswd -a daemon {name}"), &[]);
                }
                trial
            })
            .boxed()
    }
    Property { cases: 3, trials }
}

pub fn user() -> Property {
    fn trials(_: &Host) -> BoxedStrategy<Trial> {
        let home = option::of("/home/zz[^/\\p{Cc}\\\\:]{0,12}");
        let shell = option::of(prop_oneof![Just("/bin/sh"), Just("/usr/sbin/nologin"), Just("/bin/bash")]);
        let groups = proptest::sample::subsequence(vec!["bin", "games", "zzone"], 0..=3);
        btree_map(
            name(),
            (option::of(20_000u32..60_000), option::of(Just("users")), groups, home, shell, any::<bool>(), option::weighted(0.8, Just(()))),
            2..4,
        )
        .prop_map(|users| {
            let mut trial = Trial { before: "getent group zzone || groupadd zzone\n".to_owned(), ..Trial::default() };
            for (of, (name, (uid, group, groups, home, shell, system, present))) in users.into_iter().enumerate() {
                trial.after.push_str(&format!("userdel -f -- {name} || :\ngroupdel {name} 2>/dev/null || :\nrm -rf /home/{name}\n"));
                if present.is_none() {
                    trial.specs.push(json!({"name": name, "state": "absent"}));
                    trial.hurt(of, format!("useradd -M {name}"), &["exists, want it gone"]);
                    continue;
                }
                let uid = uid.map(|uid| uid * 10 % 50_000 + 10_000 + of as u32);
                let spec =
                    json!({"name": name, "uid": uid, "group": group, "groups": groups, "home": home, "shell": shell, "system": system});
                trial.specs.push(spec);
                if let Some(uid) = uid {
                    trial.hurt(of, format!("usermod -u 900{of} {name}"), &[&format!("uid is 900{of}, want {uid}")]);
                }
                if let Some(shell) = shell {
                    trial.hurt(of, format!("usermod -s /bin/false {name}"), &[&format!("shell is /bin/false, want {shell}")]);
                }
                if let Some(home) = home {
                    trial.hurt(of, format!("usermod -d /srv/elsewhere {name}"), &[&format!("home is /srv/elsewhere, want {home}")]);
                }
                for group in &groups {
                    trial.hurt(of, format!("gpasswd -d {name} {group}"), &[&format!("is not in the group {group}")]);
                }
                if let Some(group) = group {
                    trial.hurt(of, format!("usermod -g mail {name}"), &[&format!("group is mail, want {group}")]);
                }
                trial.hurt(of, format!("gpasswd -a {name} mail"), &[]);
                trial.hurt(of, format!("userdel -f {name}"), &["does not exist"]);
            }
            trial.after.push_str("rm -rf /home/zz*\ngroupdel zzone\n");
            trial
        })
        .prop_filter("no wildcard in what is reported", |trial| {
            !trial.damages.iter().any(|damage| damage.want.iter().any(|want| want.contains('…')))
        })
        .boxed()
    }
    Property { cases: 3, trials }
}
