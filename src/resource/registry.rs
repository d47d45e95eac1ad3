//! All kinds. A new kind is one file and one line here.

use schemars::Schema;

use super::{Assessment, Detail, Kind, Reply, State};

macro_rules! kinds {
    ($($module:ident),* $(,)?) => {
        /// The spec of one resource, of whatever kind.
        #[derive(Clone)]
        #[allow(non_camel_case_types, reason = "the variants are the kinds' names as users write them")]
        #[allow(clippy::large_enum_variant, reason = "a lab has hundreds of them, not millions")]
        pub enum Spec {
            $(
                #[allow(missing_docs)]
                $module(super::$module::Spec),
            )*
        }

        /// Names of all kinds, as written in role.yml.
        pub const NAMES: &[&str] = &[$(<super::$module::Spec as Kind>::NAME),*];

        impl Spec {
            /// The kind's name.
            pub fn kind(&self) -> &'static str {
                match self { $(Spec::$module(_) => <super::$module::Spec as Kind>::NAME,)* }
            }

            /// Identifies the resource among those of its kind on one host.
            pub fn id(&self) -> String {
                match self { $(Spec::$module(spec) => spec.id(),)* }
            }

            /// Errors that the schema cannot express.
            pub fn check(&self) -> Vec<String> {
                match self { $(Spec::$module(spec) => spec.check(),)* }
            }

            /// Reads a spec of this kind; `None` when there is no such kind.
            pub fn read(kind: &str, value: serde_json::Value) -> Option<Result<Spec, String>> {
                $(if kind == <super::$module::Spec as Kind>::NAME {
                    return Some(serde_json::from_value(value).map(Spec::$module).map_err(|e| e.to_string()));
                })*
                None
            }

            /// The JSON schema of a kind's spec.
            pub fn schema(kind: &str) -> Option<Schema> {
                $(if kind == <super::$module::Spec as Kind>::NAME {
                    return Some(schemars::schema_for!(super::$module::Spec));
                })*
                None
            }

            /// The fragment that observes these resources, all of one kind.
            pub fn observe(specs: &[&Spec]) -> String {
                match specs.first() {
                    $(Some(Spec::$module(_)) => ended(Kind::observe(&specs.iter().filter_map(|s| match s { Spec::$module(spec) => Some(spec), _ => None }).collect::<Vec<&super::$module::Spec>>())),)*
                    None => String::new(),
                }
            }

            /// Assesses these resources, all of one kind, from what their fragment printed.
            pub fn assess(specs: &[&Spec], reply: &Reply) -> Vec<Assessment> {
                match specs.first() {
                    $(Some(Spec::$module(_)) => assess(&specs.iter().filter_map(|s| match s { Spec::$module(spec) => Some(spec), _ => None }).collect::<Vec<&super::$module::Spec>>(), reply),)*
                    None => Vec::new(),
                }
            }

            /// What else was seen of these resources, all of one kind; nothing of those that could not be looked at.
            pub fn details(specs: &[&Spec], reply: &Reply) -> Vec<Detail> {
                match specs.first() {
                    $(Some(Spec::$module(_)) => details(&specs.iter().filter_map(|s| match s { Spec::$module(spec) => Some(spec), _ => None }).collect::<Vec<&super::$module::Spec>>(), reply),)*
                    None => Vec::new(),
                }
            }
        }
    };
}

kinds! {
    package,
    yum_repo,
    yum_repos_only,
    file,
    directory,
    link,
    user,
    group,
    service,
    hostname,
    hosts_entries,
    sysctl,
    selinux,
    selinux_boolean,
    selinux_port,
    selinux_fcontext,
    command,
    firewall_zone,
    docker_ports,
    docker_image,
    docker_build,
    container,
    api_object,
    git_branch,
}

/// The last line of every answer. For some kinds silence is good news, so an answer without its end is none.
const END: &str = "poclab: looked\n";

/// A fragment that says so when it came to its end.
fn ended(fragment: String) -> String {
    format!("{{\n{}\n}} || exit\necho '{}'\n", fragment.trim_end_matches('\n'), END.trim_end())
}

fn assess<K: Kind>(specs: &[&K], reply: &Reply) -> Vec<Assessment> {
    let unknown = |why: String| Assessment { state: State::Unknown(why), actions: Vec::new() };
    if reply.status != 0 {
        let last = reply.text().lines().last().unwrap_or_default().to_owned();
        return specs
            .iter()
            .map(|_| unknown(format!("looking at {} resources ended with exit status {}: {last}", K::NAME, reply.status)))
            .collect();
    }
    let Some(stdout) = reply.stdout.strip_suffix(END.as_bytes()) else {
        return specs.iter().map(|_| unknown(format!("the answer about {} resources is cut off", K::NAME))).collect();
    };
    let mut parsed = K::parse(specs, &Reply { stdout: stdout.to_vec(), status: reply.status }).into_iter();
    specs
        .iter()
        .map(|spec| match parsed.next() {
            None => unknown("the observation said nothing about it".to_owned()),
            Some(Err(why)) => unknown(why),
            Some(Ok(observed)) => {
                let state = spec.diff(&observed);
                let actions = if matches!(state, State::Drift(_)) { spec.apply(&observed) } else { Vec::new() };
                Assessment { state, actions }
            }
        })
        .collect()
}

fn details<K: Kind>(specs: &[&K], reply: &Reply) -> Vec<Detail> {
    if reply.status != 0 {
        return Vec::new();
    }
    let parsed = specs.iter().zip(K::parse(specs, reply));
    parsed.filter_map(|(spec, seen)| Some(spec.details(&seen.ok()?))).flatten().collect()
}
