//! What can be typed. The help texts here are the reference.

mod pipeline;

use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

pub use pipeline::{Attack, Deploy, Pipeline, Scan};

use super::completions;

/// Turns bare CentOS 7.6 hosts into a verified DevSecOps lab over plain SSH.
///
/// Exit codes: 0 done or nothing to do; 1 something failed; 2 `plan` found changes; 3 a check failed; 4 a host (or
/// something on it) could not be observed; 64 the lab's files or the command line are wrong; 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "poclab", version, max_term_width = 100)]
pub struct Args {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of all commands.
#[derive(Debug, Clone, ClapArgs)]
pub struct Global {
    /// The inventory: hosts, groups, variables, flow matrix [default: inventory/lab.yml; for `rehearse`: inventory/rehearsal.yml]
    #[arg(short, long, global = true, env = "POCLAB_INVENTORY", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub inventory: Option<PathBuf>,
    /// How to report
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Show the scripts that are run on the hosts (secrets are redacted)
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Override a variable of the inventory (repeatable)
    #[arg(short = 'e', long = "set", global = true, value_name = "NAME=VALUE", value_parser = parse_override, add = completions::variables())]
    pub overrides: Vec<(String, String)>,
    /// Pin host keys that are not known yet. A changed key is refused even then
    #[arg(long, global = true)]
    pub accept_new_host_keys: bool,
}

impl Global {
    /// The inventory that was asked for, or the default one.
    pub fn inventory(&self) -> &Path {
        self.inventory.as_deref().unwrap_or(Path::new("inventory/lab.yml"))
    }
}

fn parse_override(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("expected NAME=VALUE, got {text}"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Live progress on a terminal, plain lines otherwise
    Text,
    /// One JSON object per event and line
    Json,
    /// JUnit XML of roles and checks, at the end
    Junit,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Plan, apply and verify, in one go; safe to run again at any time
    Bootstrap(Bootstrap),
    /// What would change, host by host; exit 2 if something would
    Plan(Plan),
    /// Run the end-to-end checks alone
    Verify(Verify),
    /// Make the HTML report of a recorded run: one page, to hand on
    ///
    /// `bootstrap` and `verify` write theirs beside their log (.poclab/LAB/runs/) when they end; this makes it again, for any
    /// recorded run, also one that was killed. The page has no scripts and loads nothing, holds no secrets, and says only what
    /// the run saw, whatever the lab's files say today. It can be printed. Prints where it is.
    Report(Report),
    /// Check inventory, roles and templates without contacting anything
    Validate,
    /// What is where and how it is: hosts, roles, versions, certificates, links; observed live
    ///
    /// A report, not a test: what differs, a certificate near its end or a link that does not answer is said and leaves the
    /// exit code at 0. It is 4 when a host, or something on it, could not be observed.
    Status(Status),
    /// The last build of the application's pipeline, stage by stage
    ///
    /// `--watch` follows the one that runs, or waits for the next one. Exit 0: it is good, unstable (its stages say what was left
    /// open), or still runs; 1: it ended otherwise; 4: Jenkins could not be asked.
    Pipeline(Pipeline),
    /// Who holds which host; removes the locks of runs that are gone. Exit 0: no lock is left; 1: one is; 4: a host cannot be seen
    Unlock(Unlock),
    /// The lab's generated passwords, keys and certificates
    #[command(subcommand)]
    Secrets(Secrets),
    /// Deploy images by digest to the application's host; the previous ones come back when they do not answer
    ///
    /// For the pipeline, on the deployment server. The host pulls and starts them, and they are looked at from here: the API's
    /// /status must answer the commit, and the website must list the students. Otherwise, and when the connection or this program
    /// dies in the middle, the host puts the previous ones back.
    ///
    /// Exit codes: 0 it runs and answers (also when it did before); 1 nothing was changed; 3 the previous version is back and
    /// answers; 4 the application does not answer, or nobody knows: somebody must look; 64 the command line or the configuration
    /// is wrong; 130 interrupted.
    Deploy(Deploy),
    /// Ask Clair about an image in the lab's registry and refuse it for what the policy does not allow
    ///
    /// For the pipeline, on the deployment server. Clair looks into the image; what it finds is judged by a policy (a file of the
    /// repository): by default critical and high vulnerabilities that have a fix are refused. An empty, incomplete or old
    /// vulnerability database, an image that Clair could not look into, or packages that it knows nothing about are never taken
    /// for a clean image.
    ///
    /// Exit codes: 0 the policy lets it pass; 3 refused; 4 could not look; 64 the command line, the policy or the configuration is wrong.
    Scan(Scan),
    /// Run attack files (Gauntlt's language) against what is deployed
    ///
    /// Reads all files first: a step that is not known stops everything. Tools run in the containers that the tools file names for
    /// them, else from the PATH. Prints each scenario when it is over. A folder stands for all `.attack` files in it.
    ///
    /// Exit codes: 0 every attack was withstood; 3 one succeeded; 4 one could not be carried out (a tool is missing, too slow, or
    /// reached nothing), so nothing is known; 64 a file is wrong, or there is nothing to run; 130 interrupted. With --control: 0
    /// every attack succeeded; 3 one missed what is weak.
    Attack(Attack),
    /// What the lab is made of: fill and check a folder with everything that it installs, and list it
    #[command(subcommand)]
    Mirror(Mirror),
    /// The lab on local hosts: rehearse before touching the real ones
    #[command(subcommand)]
    Rehearse(Rehearse),
    /// Print the script that observes a host (to read it, or to time it by itself)
    Observe(Observe),
    /// What a kind, field, check, role, variable or secret means, where it is set and what it comes to
    ///
    /// Contacts nothing. Kinds, checks and their fields are explained anywhere; roles, variables and secrets in a project's folder.
    Explain(Explain),
    /// Write the JSON schemas of the lab's files into a folder (for editors)
    Schema(Schema),
    /// Print the completion script for a shell; it completes names of hosts, roles, checks, secrets and variables, too
    Completions(Completions),
    /// The manual pages: of poclab on standard output, or of all commands into a folder
    Man(Man),
}

/// What to narrow a run to.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct Narrow {
    /// Only this host (repeatable)
    #[arg(long = "host", value_name = "NAME", add = completions::hosts())]
    pub hosts: Vec<String>,
    /// Only this role (repeatable)
    #[arg(long = "role", value_name = "NAME", add = completions::roles())]
    pub roles: Vec<String>,
    /// Work on at most this many hosts at the same time
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub parallel: usize,
}

/// Checks to run.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct Checks {
    /// Only this kind of check (repeatable)
    #[arg(long = "check", value_name = "NAME", add = completions::checks())]
    pub checks: Vec<String>,
    /// Leave out checks that interrupt something (firewall reload, Docker restart)
    #[arg(long)]
    pub no_disruption: bool,
}

/// `status`
#[derive(Debug, Clone, ClapArgs)]
pub struct Status {
    /// Only this host (repeatable)
    #[arg(long = "host", value_name = "NAME", add = completions::hosts())]
    pub hosts: Vec<String>,
    /// Look at no more than this many hosts at the same time
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub parallel: usize,
    /// Do not try the links of the services
    #[arg(long)]
    pub no_links: bool,
}

/// `bootstrap`
#[derive(Debug, Clone, ClapArgs)]
pub struct Bootstrap {
    #[command(flatten)]
    pub narrow: Narrow,
    #[command(flatten)]
    pub checks: Checks,
    #[command(flatten)]
    pub page: Page,
    /// Run the checks even when nothing changed and they passed before
    #[arg(long)]
    pub verify: bool,
}

/// Where a report of the run goes.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct Page {
    /// Write the HTML report of this run to FILE: one page that needs nothing else
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// `plan`
#[derive(Debug, Clone, ClapArgs)]
pub struct Plan {
    #[command(flatten)]
    pub narrow: Narrow,
    #[command(flatten)]
    pub page: Page,
}

/// `report`
#[derive(Debug, Clone, ClapArgs)]
pub struct Report {
    /// A run by the name of its log in .poclab/LAB/runs/ (`20261121T080000Z-verify`), or the path of a log [default: the last run]
    pub run: Option<String>,
    /// Where to write the page; `-` is standard output [default: beside the log]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `verify`
#[derive(Debug, Clone, ClapArgs)]
pub struct Verify {
    #[command(flatten)]
    pub narrow: Narrow,
    #[command(flatten)]
    pub checks: Checks,
    #[command(flatten)]
    pub page: Page,
}

/// `unlock`
#[derive(Debug, Clone, ClapArgs)]
pub struct Unlock {
    /// Only this host (repeatable)
    #[arg(long = "host", value_name = "NAME", add = completions::hosts())]
    pub hosts: Vec<String>,
    /// Remove the locks of runs that may be alive as well, and end their connections
    #[arg(long)]
    pub force: bool,
}

/// `secrets`
#[derive(Debug, Clone, Subcommand)]
pub enum Secrets {
    /// Names, what they are for, and when they were made
    List,
    /// Show one
    Show {
        /// Name as in `list`
        #[arg(add = completions::secrets())]
        name: String,
        /// Print only this field (user, password, value, certificate, …)
        #[arg(long)]
        field: Option<String>,
    },
    /// Set one; the value is read from standard input
    Set {
        /// e.g. `sudo_password_app`, `ssh_password`
        #[arg(add = completions::secrets())]
        name: String,
    },
    /// Make a new one; the next bootstrap changes what depends on it
    Rotate {
        /// Name as in `list`
        #[arg(add = completions::secrets())]
        name: String,
    },
}

/// `mirror`
#[derive(Debug, Clone, Subcommand)]
pub enum Mirror {
    /// Fetch everything that lock.yml names into a folder, check it, and make a mirror of it
    ///
    /// For a machine with internet; no lab is contacted. What is there already with the right checksum is kept, also after a build that
    /// failed or was killed. A wrong checksum is refused, with both values, and then the folder is no mirror (it has no mirror.yml).
    /// What the lock does not name is removed from the folder, so one that holds something else is refused. Needs createrepo_c. Exit 1
    /// when something could not be fetched or was refused.
    Build {
        /// The folder to fill [default: the inventory's mirror]
        #[arg(value_hint = ValueHint::DirPath)]
        folder: Option<PathBuf>,
        /// The lock [default: lock.yml of the project]
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        lock: Option<PathBuf>,
        /// Write the checksums of what was `unverified` into the lock: whatever upstream sent today is trusted from now on
        #[arg(long)]
        pin: bool,
    },
    /// Compare a mirror's files with its lock, and with the project's; exit 1 if anything differs, is missing or is too much
    Verify {
        /// The mirror [default: the inventory's]
        #[arg(value_hint = ValueHint::DirPath)]
        folder: Option<PathBuf>,
        /// The lock to compare with, besides the mirror's own [default: lock.yml of the project]
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        lock: Option<PathBuf>,
    },
    /// The lab's bill of materials (SBOM): CycloneDX 1.5 as JSON, from the lock
    Sbom {
        /// The lock [default: that of the inventory's mirror; without a mirror, lock.yml of the project]
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        lock: Option<PathBuf>,
        /// Where to write it [default: standard output]
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
}

/// Where the rehearsal runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// Containers with systemd, sshd, firewalld, yum and Docker inside: minutes, no SELinux
    Containers,
    /// Vagrant VMs with CentOS 7.6 and real SELinux: slower, truthful
    Vagrant,
}

/// `rehearse`
#[derive(Debug, Clone, Subcommand)]
pub enum Rehearse {
    /// Start the hosts (build image and mirror first, if need be)
    Up {
        #[arg(long, value_enum, default_value_t = Backend::Containers)]
        backend: Backend,
    },
    /// Remove the hosts and everything on them
    Down {
        #[arg(long, value_enum, default_value_t = Backend::Containers)]
        backend: Backend,
    },
    /// Which hosts run
    Status {
        #[arg(long, value_enum, default_value_t = Backend::Containers)]
        backend: Backend,
    },
    /// Log in to a host, or run a command there
    Ssh {
        /// Host name
        #[arg(add = completions::hosts())]
        name: String,
        #[arg(long, value_enum, default_value_t = Backend::Containers)]
        backend: Backend,
        /// Command to run
        #[arg(trailing_var_arg = true)]
        command: Vec<String>,
    },
}

/// `observe`
#[derive(Debug, Clone, ClapArgs)]
pub struct Observe {
    /// Host name
    #[arg(add = completions::hosts())]
    pub host: String,
}

/// `schema`
#[derive(Debug, Clone, ClapArgs)]
pub struct Schema {
    /// Folder to write to
    #[arg(default_value = "docs/schema")]
    pub folder: PathBuf,
}

/// `explain`
#[derive(Debug, Clone, ClapArgs)]
pub struct Explain {
    /// e.g. `file`, `file.mode`, `registry`, `docker_repo`, `port_matrix`; without it: everything that there is, by group
    #[arg(value_name = "KIND|FIELD|CHECK|ROLE|VARIABLE|SECRET", add = completions::topics())]
    pub name: Option<String>,
}

/// `completions`
#[derive(Debug, Clone, ClapArgs)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

/// `man`
#[derive(Debug, Clone, ClapArgs)]
pub struct Man {
    /// Folder to write to; made if need be
    #[arg(value_hint = ValueHint::DirPath)]
    pub folder: Option<PathBuf>,
}
