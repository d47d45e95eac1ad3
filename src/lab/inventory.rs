//! inventory/*.yml as users write it. The doc comments are the manual and end up in the JSON schema.

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::model::Os;
use super::named::Named;

/// Variables: any names, any values. A text that is exactly one `{{ expression }}` keeps the type of its value.
pub type Vars = Map<String, Value>;

/// One value or a list of them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl OneOrMany {
    /// The values, with the JSON pointer of each below the pointer of the field.
    pub fn at<'a>(&'a self, pointer: &str) -> Vec<(String, &'a str)> {
        match self {
            OneOrMany::One(one) => vec![(pointer.to_owned(), one.as_str())],
            OneOrMany::Many(many) => many.iter().enumerate().map(|(index, one)| (format!("{pointer}/{index}"), one.as_str())).collect(),
        }
    }
}

/// A lab: its hosts, what they are for, who may talk to whom.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "poclab inventory")]
pub struct Inventory {
    /// The lab's name: small letters, digits, dashes. What this machine keeps about the lab is in `.poclab/<name>`.
    pub lab: String,
    /// DNS domain of the hosts: host `app` is `app.<domain>`.
    pub domain: String,
    /// Networks that operators (this machine) come from, e.g. `192.168.56.1/32`. Written as `operators` in flows.
    pub operators: Vec<String>,
    /// What all hosts run, unless a host says otherwise. Default: centos7. Checked before anything is changed.
    #[serde(default = "centos7")]
    pub os: Os,
    /// How this machine gets into the hosts; every host may override any of it.
    #[serde(default)]
    pub ssh: Ssh,
    /// The hosts by name: small letters, digits, dashes.
    pub hosts: Named<Host>,
    /// Groups by name; the group `all` exists by itself. A variable of a later group wins over that of an earlier one.
    #[serde(default)]
    pub groups: Named<Group>,
    /// Roles of every host, in this order.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Variables of every host.
    #[serde(default)]
    pub vars: Vars,
    /// The flow matrix: who may reach which port of whom. Nothing else is open.
    #[serde(default)]
    pub flows: Vec<Flow>,
    /// Where packages and images come from, if not from the internet.
    #[serde(default)]
    pub sources: Sources,
    /// Secrets that no role declares, by name.
    #[serde(default)]
    pub secrets: Named<Secret>,
}

fn centos7() -> Os {
    Os::Centos7
}

/// One host.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Its IPv4 address in the lab: what the other hosts use.
    pub address: Ipv4Addr,
    /// What it runs. Default: the inventory's `os`.
    #[serde(default)]
    pub os: Option<Os>,
    /// How this machine gets in, where it differs from the inventory's `ssh`.
    #[serde(default)]
    pub ssh: Ssh,
    /// Instead of SSH: a local program that runs commands on the host.
    #[serde(default)]
    pub connection: Option<Connection>,
    /// Variables of this host; they win over those of its groups.
    #[serde(default)]
    pub vars: Vars,
    /// Size of the virtual machine that the Vagrantfile makes.
    #[serde(default)]
    #[allow(dead_code, reason = "the Vagrantfile reads it")]
    pub vagrant: Option<Vagrant>,
}

/// Size of a virtual machine.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the Vagrantfile reads it; here for its schema")]
pub struct Vagrant {
    /// MiB.
    pub memory: u32,
    /// Number of virtual CPUs.
    pub cpus: u32,
}

/// A local program instead of SSH.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// Program and arguments; `sh -c SCRIPT` is appended. It must run as root on the host: `[docker, exec, -i, deploy]`.
    pub program: Vec<String>,
}

/// How to get root after login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SudoMode {
    /// sudo works without a password.
    Nopasswd,
    /// sudo asks for a password: the secret `sudo_password_<host>`, else `sudo_password`, or a file (`sudo_password_file`).
    Password,
    /// No sudo: the login user is root.
    None,
}

/// How this machine gets into a host by SSH.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ssh {
    /// Name or address to connect to, if it is not the host's `address` (e.g. a forwarded port of a virtual machine). Only for a host.
    #[serde(default)]
    pub address: Option<String>,
    /// Default: 22.
    #[serde(default)]
    pub port: Option<u16>,
    /// Login user. Default: root.
    #[serde(default)]
    pub user: Option<String>,
    /// Private key file. A relative path starts at the project's root; `~/` and `${POCLAB_CACHE}/` are replaced.
    /// Its passphrase, if it has one: the secret `ssh_key_passphrase`.
    #[serde(default)]
    pub key: Option<String>,
    /// Also try the keys of a running ssh-agent. Default: true.
    #[serde(default)]
    pub agent: Option<bool>,
    /// Also try a password: the secret `ssh_password_<host>`, else `ssh_password`. Default: false.
    #[serde(default)]
    pub password: Option<bool>,
    /// How to become root: nopasswd, password or none. Default: nopasswd, or none when the user is root.
    #[serde(default)]
    pub sudo: Option<SudoMode>,
    /// A file (mode 0600) whose first line is the sudo password, instead of a secret. Path as for `key`.
    #[serde(default)]
    pub sudo_password_file: Option<String>,
    /// Fingerprint of the host's key as `ssh-keygen -l` prints it: `SHA256:…`. Only for a host.
    #[serde(default)]
    pub host_key: Option<String>,
    /// A host to go through.
    #[serde(default)]
    pub jump: Option<Jump>,
    /// Longest wait for the connection and for the SSH handshake, each, in seconds. (A login attempt may take 60: hosts ask slow
    /// name servers.) Default: 10.
    #[serde(default)]
    pub connect_timeout: Option<u32>,
    /// Longest silence of a running command in seconds, while the host itself still answers. Default: 900 (yum can be slow).
    #[serde(default)]
    pub idle_timeout: Option<u32>,
    /// Seconds between keepalives, at least 2. Three unanswered ones end the connection: a host that is cut off is given up after
    /// four times this, whatever runs there. Default: 15.
    #[serde(default)]
    pub keepalive: Option<u32>,
    /// poclab's own file of known host keys. Only for the whole inventory. Path as for `key`. Default: `.poclab/<lab>/known_hosts`.
    #[serde(default)]
    pub known_hosts: Option<String>,
}

/// A host to go through.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jump {
    /// Name or address.
    pub address: String,
    /// Default: 22.
    #[serde(default)]
    pub port: Option<u16>,
    /// Login user. Default: as for the host behind it.
    #[serde(default)]
    pub user: Option<String>,
    /// Private key file. Default: as for the host behind it.
    #[serde(default)]
    pub key: Option<String>,
    /// Fingerprint of its key: `SHA256:…`.
    #[serde(default)]
    pub host_key: Option<String>,
    /// The host to go through to get to this one.
    #[serde(default)]
    pub jump: Option<Box<Jump>>,
}

/// Hosts that are for the same thing.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Names of hosts.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Roles of these hosts, in this order, after the inventory's `roles`.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Variables of these hosts.
    #[serde(default)]
    pub vars: Vars,
}

/// One line of the flow matrix.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// Host names, group names or `all`.
    pub to: OneOrMany,
    /// Ports with protocol: `5000/tcp`, or a list.
    pub port: OneOrMany,
    /// Host names, group names, `all`, `operators`, `any`, or networks (`10.0.0.0/24`).
    pub from: Vec<String>,
    /// Whether it is a container's published port, which the zone of the firewall does not guard. Default: false.
    #[serde(default)]
    pub published: bool,
    /// What it is for.
    pub why: String,
}

/// Where things come from.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sources {
    /// A folder of pinned packages and images (`poclab rehearse up` makes one); its `mirror.yml` is the variable `mirror`.
    /// A relative path starts at the project's root; `~/` and `${POCLAB_CACHE}/` are replaced.
    #[serde(default)]
    pub mirror: Option<String>,
}

/// A secret: a login whose password is generated, an SSH key pair, or a value that is set by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// What it is for.
    pub what: String,
    /// The login's user name. Default: the secret's name.
    #[serde(default)]
    pub user: Option<String>,
    /// Whether it is set by hand (`poclab secrets set NAME`) instead of generated. Default: false.
    #[serde(default)]
    pub given: bool,
    /// Whether the lab can do without it, as long as nobody has set it: its password is empty then. Only with `given`. Default: false.
    #[serde(default)]
    pub optional: bool,
    /// Whether it is an SSH key pair (Ed25519) instead of a login: `{{ secrets.NAME.public }}` is one line, `.private` a file in
    /// OpenSSH's format. Default: false.
    #[serde(default)]
    pub ssh_key: bool,
}

/// mirror.yml in the mirror's folder.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
pub struct Mirror {
    /// The day on which it was made.
    #[serde(default)]
    pub built: Option<String>,
    /// Container images by name.
    #[serde(default)]
    pub images: Named<MirrorImage>,
    /// RPM packages by name.
    #[serde(default)]
    pub rpms: Named<MirrorRpm>,
}

/// A container image of the mirror.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
pub struct MirrorImage {
    /// Name and tag after loading: `registry:2.8.3`.
    pub reference: String,
    /// The archive (`docker save`), relative to the mirror.
    pub archive: String,
    /// SHA-256 of the archive, 64 hexadecimal digits.
    pub sha256: String,
    /// Image id (`sha256:…`).
    pub id: String,
    /// What it really is, if it is not the vendor's original: reports name it as a stand-in.
    #[serde(default)]
    pub what: Option<String>,
}

/// A package of the mirror.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
pub struct MirrorRpm {
    /// `version-release`
    pub version: String,
    /// What it really is, if it is not the vendor's original: reports name it as a stand-in.
    #[serde(default)]
    pub what: Option<String>,
}
