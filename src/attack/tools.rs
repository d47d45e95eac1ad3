//! What attacks are run with: images for programs, variables, files. Role `security_tests` writes /etc/poclab/attack.yml.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The file with the tools. Everything may be left out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tools {
    /// Programs that run in containers, by their names in attacks. All others are looked for in the PATH.
    pub images: BTreeMap<String, Image>,
    /// The network of those containers: `host` (the default), `container:NAME` (that container's), or the name of a Docker network. Docker 20.10
    /// can stop answering when many containers join and leave one network at the same time: then prefer a container's.
    pub network: String,
    /// Names of the lab's machines and their addresses, for tools in a network of their own: only in the network `host` this machine's
    /// names are known.
    pub hosts: BTreeMap<String, String>,
    /// What attacks get for environment variables that are not set.
    pub variables: BTreeMap<String, String>,
    /// Files that every attack finds in its folder, by name, and where they are on this machine.
    pub files: BTreeMap<String, PathBuf>,
}

/// An image that has a program.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Name and tag, or digest. It must be on the engine: nothing is pulled.
    pub image: String,
    /// The program in the image, where it is called something else there.
    #[serde(default)]
    pub program: Option<String>,
    /// Where the program finds and leaves files. Default: `/work`.
    #[serde(default = "folder")]
    pub folder: String,
    /// User and group in the container, as for `docker run --user`. Default: `0:0`, without any capability.
    #[serde(default = "user")]
    pub user: String,
    /// Capabilities that it needs, such as `DAC_OVERRIDE`. Default: none.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Most memory that it may take. Default: `1g`.
    #[serde(default = "memory")]
    pub memory: String,
    /// Most processes and threads that it may have. Default: 512.
    #[serde(default = "pids")]
    pub pids: u32,
    /// Variables of its environment, such as `HOME`. Not for secrets: everybody who may ask the engine sees them.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Its network, where it should not be the one of all tools: `bridge` for one that listens itself. `--network` comes before it.
    #[serde(default)]
    pub network: Option<String>,
}

fn folder() -> String {
    "/work".into()
}
fn user() -> String {
    "0:0".into()
}
fn memory() -> String {
    "1g".into()
}
fn pids() -> u32 {
    512
}

impl Default for Tools {
    fn default() -> Self {
        Self { images: BTreeMap::new(), network: "host".into(), hosts: BTreeMap::new(), variables: BTreeMap::new(), files: BTreeMap::new() }
    }
}

impl Tools {
    /// Where the tools of a deployment server are described.
    pub const DEFAULT: &str = "/etc/poclab/attack.yml";

    /// Reads a file; errors name it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
        let tools: Self = serde_yaml::from_str(&text).map_err(|error| format!("{shown}: {error}"))?;
        if let Some(name) = tools.files.keys().find(|name| name.is_empty() || name.starts_with('.') || name.contains('/')) {
            return Err(format!("{shown}: files: `{name}` is no plain file name"));
        }
        Ok(tools)
    }

    /// With this network for all of them.
    #[must_use]
    pub fn in_network(mut self, network: &str) -> Self {
        network.clone_into(&mut self.network);
        self.images.values_mut().for_each(|image| image.network = None);
        self
    }

    /// The value of an environment variable: the environment's own, else the file's. Empty is the same as not set.
    pub fn variable(&self, name: &str) -> Option<String> {
        let own = std::env::var(name).ok().filter(|value| !value.is_empty());
        own.or_else(|| self.variables.get(name).filter(|value| !value.is_empty()).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Tools, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("attack.yml");
        std::fs::write(&file, text).unwrap();
        Tools::read(&file)
    }

    #[test]
    fn everything_has_a_default() {
        let tools = read("images:\n  curl: {image: x:1}\nvariables: {POCLAB_TEST_TARGET: 'http://a', POCLAB_TEST_EMPTY: ''}\n").unwrap();
        let curl = &tools.images["curl"];
        assert_eq!((curl.folder.as_str(), curl.user.as_str(), curl.memory.as_str(), &curl.program), ("/work", "0:0", "1g", &None));
        assert_eq!(tools.network, "host");
        assert_eq!((curl.pids, curl.environment.len(), &curl.network), (512, 0, &None));
        assert_eq!(tools.variable("POCLAB_TEST_TARGET").as_deref(), Some("http://a"));
        assert_eq!((tools.variable("POCLAB_TEST_EMPTY"), tools.variable("POCLAB_TEST_OTHER")), (None, None));
    }

    #[test]
    fn a_network_that_is_asked_for_is_that_of_all_tools() {
        let tools = read("network: a\nimages:\n  zap: {image: x:1, network: bridge}\n").unwrap();
        assert_eq!(tools.images["zap"].network.as_deref(), Some("bridge"));
        let tools = tools.in_network("container:twin");
        assert_eq!((tools.network.as_str(), &tools.images["zap"].network), ("container:twin", &None));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(read("image: {}").unwrap_err().contains("unknown field `image`"));
        assert!(read("files: {../x: /etc/passwd}").unwrap_err().contains("no plain file name"));
        assert!(Tools::read(Path::new("/nonexistent")).unwrap_err().contains("cannot read /nonexistent"));
    }
}
