//! The shape of a kind.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Detail;
use crate::base::Payload;

/// What an observation fragment printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// stdout (raw).
    pub stdout: Vec<u8>,
    /// Exit status of the fragment.
    pub status: i32,
}

impl Reply {
    /// stdout as text; invalid UTF-8 becomes U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// One difference between desired and observed state, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// What differs and what will be done, one line, e.g. `mode is 0644, want 0600`. No secrets.
    pub what: String,
    /// Unified diff of a text file. Never set for secret content.
    pub diff: Option<String>,
}

impl Change {
    /// A change without a diff.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), diff: None }
    }
}

/// Observed against desired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// As desired.
    InSync,
    /// Differs; never empty.
    Drift(Vec<Change>),
    /// Cannot exist here, for a stated reason that the lab allows (e.g. no SELinux in a rehearsal host's kernel).
    Skipped(String),
    /// Could not look; never treated as good.
    Unknown(String),
}

/// One step that changes something on the host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Action {
    /// For people: `install docker-ce-26.1.4-1.el7`.
    pub label: String,
    /// POSIX sh; must be idempotent and fail (non-zero) when it did not work.
    pub script: String,
    /// What the script reads from its stdin: exactly this many bytes (`head -c N`).
    pub stdin: Option<Payload>,
    /// The systemd unit that this step (re)starts, so that a later restart of the same unit can be spared.
    pub starts: Option<String>,
    /// POSIX sh that removes the temporary files which a run of `script` that was killed may have left; empty when it makes
    /// none. It is written down on the host before the script runs, and the next run executes it.
    pub sweep: String,
    /// The host undoes this change by itself after so many seconds unless it is confirmed over a new connection (see
    /// [`super::confirm`]).
    pub confirm_within: Option<u32>,
}

/// State of one resource and the steps that repair it (empty unless `Drift`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// Observed against desired.
    pub state: State,
    /// What would repair it.
    pub actions: Vec<Action>,
}

/// A kind of resource.
///
/// `Self` is the spec as users write it; doc comments on its fields are the user's manual.
pub trait Kind: DeserializeOwned + JsonSchema + Clone + Send + Sync {
    /// The key in role.yml, e.g. `yum_repo`.
    const NAME: &'static str;
    /// What the parser makes of the fragment's output for one resource.
    type Observed;

    /// Identifies the resource on its host among those of its kind: a path, a name.
    fn id(&self) -> String;

    /// Rules that the schema cannot express (e.g. exactly one of two fields). One line per error.
    fn check(&self) -> Vec<String> {
        Vec::new()
    }

    /// ONE fragment that looks at all these resources. It must exit 0 when it could look, also at things that do not
    /// exist, and must work on a bare host (a missing tool means "absent", said in the output, not an error).
    fn observe(specs: &[&Self]) -> String;

    /// Reads the fragment's output; one entry per spec, in order. `Err(why)` = could not look at that one.
    fn parse(specs: &[&Self], reply: &Reply) -> Vec<Result<Self::Observed, String>>;

    /// Desired against observed. Pure.
    fn diff(&self, observed: &Self::Observed) -> State;

    /// What people want to know about it on day two: versions, states, ends. From what was observed, never from the spec.
    fn details(&self, observed: &Self::Observed) -> Vec<Detail> {
        let _ = observed;
        Vec::new()
    }

    /// The steps that turn `observed` into the desired state; only called when `diff` says `Drift`.
    fn apply(&self, observed: &Self::Observed) -> Vec<Action>;
}

/// Text of a file. `Debug` does not show it, as it may hold secrets.
#[derive(Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Content(pub String);

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({} bytes)", self.0.len())
    }
}
