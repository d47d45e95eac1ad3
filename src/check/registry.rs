//! All kinds of checks. A new kind is one file and one line here.

use schemars::Schema;

use super::{Arrival, CheckKind, Outcome, Reach};

macro_rules! checks {
    ($($module:ident),* $(,)?) => {
        /// The spec of one check, of whatever kind.
        #[derive(Clone)]
        #[allow(non_camel_case_types, reason = "the variants are the kinds' names as users write them")]
        #[allow(clippy::large_enum_variant, reason = "there are a few per lab")]
        pub enum Spec {
            $(
                #[allow(missing_docs)]
                $module(super::$module::Spec),
            )*
        }

        /// Names of all kinds of checks, as written in role.yml.
        pub const NAMES: &[&str] = &[$(<super::$module::Spec as CheckKind>::NAME),*];

        impl Spec {
            /// The kind's name.
            pub fn kind(&self) -> &'static str {
                match self { $(Spec::$module(_) => <super::$module::Spec as CheckKind>::NAME,)* }
            }

            /// Identifies the check among those of its kind.
            pub fn id(&self) -> String {
                match self { $(Spec::$module(spec) => spec.id(),)* }
            }

            /// Whether running it interrupts something.
            pub fn disruptive(&self) -> bool {
                match self { $(Spec::$module(spec) => spec.disruptive(),)* }
            }

            /// Reads a spec of this kind; `None` when there is no such kind.
            pub fn read(kind: &str, value: serde_json::Value) -> Option<Result<Spec, String>> {
                $(if kind == <super::$module::Spec as CheckKind>::NAME {
                    return Some(serde_json::from_value(value).map(Spec::$module).map_err(|e| e.to_string()));
                })*
                None
            }

            /// The JSON schema of a kind's spec.
            pub fn schema(kind: &str) -> Option<Schema> {
                $(if kind == <super::$module::Spec as CheckKind>::NAME {
                    return Some(schemars::schema_for!(super::$module::Spec));
                })*
                None
            }

            /// When the last data of each host came, if that is what the check is about.
            pub fn arrivals(&self, reach: &dyn Reach) -> Option<Result<Vec<Arrival>, String>> {
                match self { $(Spec::$module(spec) => spec.arrivals(reach),)* }
            }

            /// Runs the check.
            pub fn run(&self, reach: &dyn Reach, progress: &mut dyn FnMut(&str)) -> Vec<Outcome> {
                match self { $(Spec::$module(spec) => spec.run(reach, progress),)* }
            }
        }
    };
}

checks! {
    attacks,
    clair,
    datadog,
    deployment,
    firewall_survives,
    firewalld_running,
    gitlab,
    image_registry,
    jenkins,
    no_insecure_registry,
    pipeline,
    port_matrix,
    published_port,
    selinux_enforcing,
    splunk,
    splunk_forwarder,
    splunk_outage,
    time_sync,
}
