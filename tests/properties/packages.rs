//! Packages and repositories, on a whole host with the rehearsal's mirror.

use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;
use serde_json::json;

use super::host::Host;
use super::property::{Property, Trial};

/// Packages of the mirror that nothing on the host needs.
const FREE: [&str; 3] = ["policycoreutils-python", "chrony", "ca-certificates"];

/// Makes an RPM of another version, for the same architecture (yum downgrades within one only), and installs it past yum.
fn other_version(name: &str, version: &str) -> String {
    format!(
        "d=$(mktemp -d)\na=$(rpm -q --qf '%{{ARCH}}' {name})\n\
         printf 'Name: {name}\\nVersion: {version}\\nRelease: 1\\nSummary: x\\nLicense: x\\n' >\"$d/x.spec\"\n\
         [ \"$a\" != noarch ] || echo 'BuildArch: noarch' >>\"$d/x.spec\"\n\
         printf '%%description\\nx\\n%%files\\n' >>\"$d/x.spec\"\n\
         rpmbuild -bb --define \"_topdir $d\" \"$d/x.spec\" >\"$d/log\" 2>&1 || {{ cat \"$d/log\"; exit 1; }}\n\
         rpm -U --oldpackage --replacefiles \"$d\"/RPMS/\"$a\"/*.rpm\nrm -rf \"$d\""
    )
}

pub fn package() -> Property {
    fn trials(host: &Host) -> BoxedStrategy<Trial> {
        // What the mirror holds, asked past poclab.
        let listed = host.shell("dnf -q repoquery --disablerepo='*' --enablerepo=poclab-mirror --qf '%{name} %{version}-%{release}'");
        let listed = String::from_utf8(listed).unwrap();
        let version =
            move |name: &str| listed.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).expect("in the mirror").to_owned();
        let repositories = "mkdir -p /tmp/repos\nfor f in /etc/yum.repos.d/*.repo; do case $f in */poclab-mirror.repo) ;; *) mv \"$f\" /tmp/repos/ ;; esac; done\n";
        (Just(FREE.to_vec()).prop_shuffle(), 0usize..3, any::<bool>())
            .prop_map(move |(names, how, absent)| {
                let after = "mv /tmp/repos/* /etc/yum.repos.d/\n".to_owned();
                let before = format!("{repositories}rpm -e {} || :\n", FREE.join(" "));
                let mut trial = Trial { before, after, ..Trial::default() };
                let [single, one, other] = names[..] else { unreachable!("three names") };
                let want = version(single);
                let (spec, missing) = match how {
                    0 => (json!({"name": single}), "not installed".to_owned()),
                    1 => (json!({"name": single, "version": want}), format!("not installed, want {want}")),
                    _ => (json!({"name": single, "at_least": want}), format!("not installed, want {want} or newer")),
                };
                trial.specs.push(spec);
                trial.hurt(0, format!("rpm -e {single}"), &[&missing]);
                match how {
                    0 => trial.hurt(0, other_version(single, "99999999"), &[]),
                    1 => {
                        trial.hurt(0, other_version(single, "99999999"), &[&format!("version is 99999999-1, want the older {want}")]);
                        trial.hurt(0, other_version(single, "0~1"), &[&format!("version is 0~1-1, want {want}")]);
                    }
                    _ => {
                        trial.hurt(0, other_version(single, "0~1"), &[&format!("version is 0~1-1, want {want} or newer")]);
                        trial.hurt(0, other_version(single, "99999999"), &[]);
                    }
                }
                if absent {
                    trial.specs.push(json!({"items": [{"name": one}, {"name": other}], "state": "absent"}));
                    let gone = format!("{other}: version {} is installed, want it gone", version(other));
                    trial.hurt(1, format!("yum -y -q install {other}"), &[&gone]);
                } else {
                    trial.specs.push(json!({"items": [{"name": one, "version": version(one)}, {"name": other}]}));
                    trial.hurt(1, format!("rpm -e {other}"), &[&format!("{other}: not installed")]);
                    trial.hurt(1, format!("rpm -e {one}"), &[&format!("{one}: not installed, want {}", version(one))]);
                }
                trial
            })
            .boxed()
    }
    Property { cases: 2, trials }
}

pub fn yum_repo() -> Property {
    fn trials(_: &Host) -> BoxedStrategy<Trial> {
        let url = || "(http|https)://[a-z0-9.]{1,12}/[a-zA-Z0-9$_/.-]{0,20}";
        let one = (
            proptest::collection::vec(url(), 1..3),
            proptest::option::of("[^\\p{Cc}]{1,20}"),
            any::<bool>(),
            proptest::option::of(1u8..100),
        );
        btree_map("zz[A-Za-z0-9._-]{1,10}", (one, proptest::option::weighted(0.8, Just(()))), 1..4)
            .prop_map(|repositories| {
                let mut trial = Trial::default();
                for (of, (id, ((urls, name, enabled, priority), present))) in repositories.into_iter().enumerate() {
                    let file = format!("/etc/yum.repos.d/poclab-{id}.repo");
                    trial.after.push_str(&format!("rm -f {file}\n"));
                    if present.is_none() {
                        trial.specs.push(json!({"id": id, "state": "absent"}));
                        trial.hurt(of, format!(": >{file}"), &["is there (a file), want it gone"]);
                        continue;
                    }
                    let spec = json!({"id": id, "baseurl": urls, "name": name, "enabled": enabled, "priority": priority, "gpgkey": "file:///etc/key"});
                    trial.specs.push(spec);
                    trial.hurt(of, format!("sed -i 's/^gpgkey=.*/gpgkey=file:\\/\\/\\/tmp\\/mine/' {file}"), &["content differs (sha256 … instead of …)"]);
                    trial.hurt(of, format!("echo exclude=x >>{file}"), &["content differs (sha256 … instead of …)"]);
                    trial.hurt(of, format!("chmod 0666 {file}"), &["mode is 0666, want 0644"]);
                    trial.hurt(of, format!("chown daemon {file}"), &["owner is daemon, want root"]);
                    trial.hurt(of, format!("rm {file}"), &["does not exist"]);
                }
                trial
            })
            .boxed()
    }
    Property { cases: 3, trials }
}

pub fn yum_repos_only() -> Property {
    fn trials(_: &Host) -> BoxedStrategy<Trial> {
        let name = "[^/\\p{Cc}.*…'][^/\\p{Cc}'…]{0,12}";
        (btree_set(name, 1..3), btree_set(name, 1..3))
            .prop_map(|(keep, foreign)| {
                let keep: Vec<String> = keep.into_iter().map(|name| format!("k{name}.repo")).collect();
                let mut trial = Trial {
                    before: "rm -rf /tmp/repos\ncp -a /etc/yum.repos.d /tmp/repos\n".to_owned(),
                    specs: vec![json!({"keep": keep})],
                    after: "rm -rf /etc/yum.repos.d/*\ncp -a /tmp/repos/. /etc/yum.repos.d/\n".to_owned(),
                    ..Trial::default()
                };
                for name in foreign {
                    let name = format!("f{name}.repo");
                    let want = format!("{name} is not one of the lab's repositories and will be disabled");
                    trial.hurt(0, format!(": >'/etc/yum.repos.d/{name}'"), &[&want]);
                    trial.hurt(0, format!("ln -s nowhere '/etc/yum.repos.d/{name}'"), &[&want]);
                }
                for name in &keep {
                    trial.hurt(0, format!(": >'/etc/yum.repos.d/{name}'"), &[]);
                }
                trial.hurt(0, ": >/etc/yum.repos.d/poclab-other.repo", &[]);
                trial.hurt(0, ": >/etc/yum.repos.d/not-a-repository", &[]);
                trial
            })
            .boxed()
    }
    Property { cases: 3, trials }
}
