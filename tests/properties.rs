//! The promise of every kind of resource: apply, then observe is in sync; any single damage is reported as exactly that.
//!
//! Specs and damages are made by proptest; each kind says how in `tests/properties/`. Kinds that only need a folder run in
//! plain `cargo test`. The others change a whole host, so they are ignored there and `make lab-test` runs them on a scratch
//! host: `eval "$(tests/lab/scratch up | tail -n 1 | sed s/^/POCLAB_SCRATCH=/)"`, then `cargo test --test properties -- --ignored`.
//!
//! `PROPTEST_CASES` multiplies the work; `POCLAB_RECORD=1` writes what the hosts answered to tests/golden/replies, which
//! the tests of hostile replies start from (`tests/replies.rs`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::print_stdout, reason = "tests may panic")]

#[path = "properties/accounts.rs"]
mod accounts;
#[path = "properties/api.rs"]
mod api;
#[path = "properties/docker.rs"]
mod docker;
#[path = "properties/files.rs"]
mod files;
#[path = "properties/firewall.rs"]
mod firewall;
#[path = "properties/host.rs"]
mod host;
#[path = "properties/packages.rs"]
mod packages;
#[path = "properties/policy.rs"]
mod policy;
#[path = "properties/property.rs"]
mod property;
#[path = "properties/system.rs"]
mod system;

use property::prove;

/// One line per kind: its name and its property. Kinds under `folder` run anywhere, those under `host` need a scratch host.
macro_rules! properties {
    (folder: $($local:ident => $here:path),* ; host: $($kind:ident => $there:path),* $(,)?) => {
        /// Every kind that has a property.
        const KINDS: &[&str] = &[$(stringify!($local),)* $(stringify!($kind)),*];

        $(
            #[test]
            fn $local() {
                prove(stringify!($local), &host::folders(), &$here());
            }
        )*

        /// On a whole host.
        mod scratch {
            use super::*;
            $(
                #[test]
                #[ignore = "needs docker and minutes: make lab-test"]
                fn $kind() {
                    prove(stringify!($kind), &[host::scratch()], &$there());
                }
            )*
        }
    };
}

properties! {
    folder:
    file => files::file,
    directory => files::directory,
    link => files::link,
    command => files::command,
    api_object => api::api_object,
    git_branch => api::git_branch,
    hosts_entries => files::hosts_entries,
    selinux => system::selinux,
    selinux_boolean => policy::selinux_boolean,
    selinux_port => policy::selinux_port,
    selinux_fcontext => policy::selinux_fcontext;
    host:
    package => packages::package,
    yum_repo => packages::yum_repo,
    yum_repos_only => packages::yum_repos_only,
    user => accounts::user,
    group => accounts::group,
    service => system::service,
    hostname => system::hostname,
    sysctl => system::sysctl,
    firewall_zone => firewall::firewall_zone,
    docker_ports => firewall::docker_ports,
    docker_image => docker::docker_image,
    docker_build => docker::docker_build,
    container => docker::container,
}

#[test]
fn every_kind_has_a_property() {
    let all: std::collections::BTreeSet<&str> = poclab::resource::NAMES.iter().copied().collect();
    assert_eq!(KINDS.iter().copied().collect::<std::collections::BTreeSet<_>>(), all);
}
