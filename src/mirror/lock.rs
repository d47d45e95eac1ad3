//! lock.yml: what the lab is made of.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::address;

/// Every artifact that the lab installs, by what it is and by name: version, where it comes from, and its sum.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "poclab lock")]
pub struct Lock {
    /// RPM packages, by the name that `rpm -q` knows.
    #[serde(default)]
    pub rpms: BTreeMap<String, Artifact>,
    /// Container images, by a short name.
    #[serde(default)]
    pub images: BTreeMap<String, Artifact>,
    /// Plugins of Jenkins, by their short name.
    #[serde(default)]
    pub plugins: BTreeMap<String, Artifact>,
    /// Programs and other files.
    #[serde(default)]
    pub tools: BTreeMap<String, Artifact>,
    /// In a mirror's folder: SHA-256 of its other files, by their path there: yum's index, public keys, what registries said of images.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
}

/// One artifact.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// RPMs: `version-release` without epoch. Images: the tag.
    pub version: String,
    /// SHA-256, 64 hexadecimal digits: of the file; of an image: its digest in the registry that `url` names, without `sha256:`.
    /// `unverified` where nobody could tell it yet: then whatever upstream sends is taken, and every run warns.
    pub sha256: Sum,
    /// Where it comes from: `https://…`, for images `docker://docker.io/library/registry:2.8.3`. `http://` only with a known sum, or on
    /// this machine. Without it `poclab mirror build` cannot fetch it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Images: the name and tag that roles use, e.g. `registry:2.8.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// In a mirror's folder: where it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// In a mirror's folder: SHA-256 of that file when the mirror was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What it really is, if it is not the vendor's original.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
}

/// A SHA-256, or that nobody knows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Sum {
    /// 64 small hexadecimal digits.
    Known(String),
    /// `unverified`
    Unverified,
}

/// The word for a sum that nobody knows.
const UNVERIFIED: &str = "unverified";

impl TryFrom<String> for Sum {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            UNVERIFIED => Ok(Sum::Unverified),
            _ if is_sum(&text) => Ok(Sum::Known(text)),
            _ => Err(format!("sha256 is {text:?}: write 64 hexadecimal digits, or `{UNVERIFIED}`")),
        }
    }
}

impl From<Sum> for String {
    fn from(sum: Sum) -> String {
        sum.known().unwrap_or(UNVERIFIED).to_owned()
    }
}

impl Sum {
    /// The digits, if they are known.
    pub fn known(&self) -> Option<&str> {
        match self {
            Sum::Known(sum) => Some(sum),
            Sum::Unverified => None,
        }
    }
}

/// Whether it is a SHA-256 as `sha256sum` prints it.
pub(super) fn is_sum(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// What kind of thing an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// RPM package.
    Rpms,
    /// Container image.
    Images,
    /// Plugin of Jenkins.
    Plugins,
    /// Program or other file.
    Tools,
}

impl Section {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rpms, Self::Images, Self::Plugins, Self::Tools];

    /// The key in lock.yml.
    pub fn key(self) -> &'static str {
        match self {
            Self::Rpms => "rpms",
            Self::Images => "images",
            Self::Plugins => "plugins",
            Self::Tools => "tools",
        }
    }

    /// The folder in a mirror.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Rpms => "rpm",
            Self::Images => "images",
            Self::Plugins => "plugins",
            Self::Tools => "tools",
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rpms => "package",
            Self::Images => "image",
            Self::Plugins => "plugin",
            Self::Tools => "tool",
        })
    }
}

impl Lock {
    /// Reads a lock; the error names file and place.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
        Self::parse(&text).map_err(|why| format!("{}: {why}", path.display()))
    }

    /// Reads a lock's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lock: Self = serde_yaml::from_str(text).map_err(|e| e.to_string())?;
        let mut wrong = Vec::new();
        let mut places = BTreeMap::new();
        for (section, name, artifact) in lock.all() {
            let mut found = artifact.check(section);
            if !is_name(name) {
                found.push("is no name: write letters, digits and . _ + -, beginning with a letter or a digit".to_owned());
            }
            let file = artifact.place(section, name);
            let last = file.rsplit('/').next().unwrap_or_default();
            if artifact.file.is_none() && !is_file_name(last) {
                found.push(format!("the last part of its `url`, {last:?}, is no name of a file"));
            }
            // As on a system that does not tell small letters from large ones: a mirror is copied everywhere.
            if let Some(other) = places.insert(file.to_lowercase(), name) {
                found.push(format!("its file would be {file}, like that of {}.{other}: one would overwrite the other", section.key()));
            }
            wrong.extend(found.into_iter().map(|why| format!("{}.{name}: {why}", section.key())));
        }
        for (file, sum) in &lock.files {
            if !is_inside(file) || !is_sum(sum) {
                wrong.push(format!("files.{file}: write a path inside the mirror's folder, and 64 hexadecimal digits"));
            }
        }
        if wrong.is_empty() { Ok(lock) } else { Err(wrong.join("\n")) }
    }

    /// The artifacts of one kind.
    pub fn section(&self, section: Section) -> &BTreeMap<String, Artifact> {
        match section {
            Section::Rpms => &self.rpms,
            Section::Images => &self.images,
            Section::Plugins => &self.plugins,
            Section::Tools => &self.tools,
        }
    }

    /// The same, to change them.
    pub fn section_mut(&mut self, section: Section) -> &mut BTreeMap<String, Artifact> {
        match section {
            Section::Rpms => &mut self.rpms,
            Section::Images => &mut self.images,
            Section::Plugins => &mut self.plugins,
            Section::Tools => &mut self.tools,
        }
    }

    /// All artifacts, in order.
    pub fn all(&self) -> impl Iterator<Item = (Section, &str, &Artifact)> {
        Section::ALL
            .into_iter()
            .flat_map(|section| self.section(section).iter().map(move |(name, artifact)| (section, name.as_str(), artifact)))
    }

    /// As a file.
    pub fn to_yaml(&self, comment: &str) -> Result<String, String> {
        let text = serde_yaml::to_string(self).map_err(|e| format!("cannot write a lock: {e}"))?;
        Ok(format!("# {comment}\n{text}"))
    }
}

impl Artifact {
    /// `docker-ce 26.1.4-1.el7`, `registry:2.8.3`
    pub fn label(&self, name: &str) -> String {
        self.reference.clone().unwrap_or_else(|| format!("{name} {}", self.version))
    }

    /// Where it is in a mirror's folder.
    pub(super) fn place(&self, section: Section, name: &str) -> String {
        if let Some(file) = &self.file {
            return file.clone();
        }
        let last = self.url.as_deref().and_then(|url| url.split(['?', '#']).next()?.rsplit('/').next()).unwrap_or(name);
        let file = match section {
            Section::Images => format!("{name}.tar"),
            // Jenkins knows a plugin by the name of its file.
            Section::Plugins => format!("{name}.hpi"),
            Section::Rpms | Section::Tools => last.to_owned(),
        };
        format!("{}/{file}", section.folder())
    }

    /// What the types cannot express.
    fn check(&self, section: Section) -> Vec<String> {
        let mut wrong = Vec::new();
        if (section == Section::Images) != self.reference.is_some() {
            wrong.push("`reference` (name and tag) belongs to every image, and to nothing else".to_owned());
        }
        if self.found.as_ref().is_some_and(|sum| !is_sum(sum)) {
            wrong.push("`found` must be 64 hexadecimal digits".to_owned());
        }
        if self.file.as_ref().is_some_and(|file| !is_inside(file)) {
            wrong.push("`file` must be a path inside the mirror's folder".to_owned());
        }
        if let Some(text) = &self.url {
            match address::read(text) {
                Err(why) => wrong.push(why),
                Ok(url) => match (section, url.scheme()) {
                    (Section::Images, "docker") | (Section::Rpms | Section::Plugins | Section::Tools, "https") => {}
                    (Section::Rpms | Section::Plugins | Section::Tools, "http")
                        if self.sha256.known().is_some() || address::is_local(&url) => {}
                    (Section::Rpms | Section::Plugins | Section::Tools, "http") => {
                        wrong.push(format!("{text} is without TLS, and no sum is known: write https, or the sum"));
                    }
                    _ => wrong.push(format!("{text} is no address of {section}s: write https://…, for images docker://HOST/NAME:TAG")),
                },
            }
        }
        wrong
    }
}

/// A plain relative path.
fn is_inside(path: &str) -> bool {
    !path.is_empty() && !path.starts_with('/') && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

/// Whether it may be the name of an artifact: it becomes the name of a file.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c))
}

/// Whether upstream's name of a file may be ours; packages have versions like `1.0~rc1`, and `%2B` for a plus.
fn is_file_name(text: &str) -> bool {
    is_name(&text.replace(['~', '^', '%'], "-")) && !text.ends_with(super::folder::PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
rpms:
  docker-ce: {version: 26.1.4-1.el7, url: \"https://h/docker-ce.rpm\", sha256: unverified}
images:
  registry: {version: 2.8.3, reference: \"registry:2.8.3\", url: \"docker://docker.io/library/registry:2.8.3\", sha256: unverified}
";

    #[test]
    fn a_lock_is_read() {
        let lock = Lock::parse(GOOD).unwrap();
        assert_eq!(lock.rpms["docker-ce"].sha256, Sum::Unverified);
        assert_eq!(
            lock.all().map(|(_, name, artifact)| artifact.label(name)).collect::<Vec<_>>(),
            ["docker-ce 26.1.4-1.el7", "registry:2.8.3"]
        );
        assert_eq!(Lock::parse(&lock.to_yaml("x").unwrap()).unwrap(), lock);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let error = |from: &str, to: &str| Lock::parse(&GOOD.replacen(from, to, 1)).unwrap_err();
        let wrong = error("sha256: unverified", "sha256: unverifed");
        assert!(wrong.contains("write 64 hexadecimal digits, or `unverified`") && wrong.contains("line 3"), "{wrong}");
        assert!(error("sha256: unverified", "sha265: unverified").contains("sha265"));
        assert!(error("https://", "http://").contains("without TLS"));
        assert!(error("docker://", "https://").contains("docker://HOST/NAME:TAG"));
        assert!(error("reference: \"registry:2.8.3\", ", "").contains("images.registry: `reference`"));
        for file in ["/etc/passwd", "rpm/../../x", "", "rpm//x"] {
            assert!(error("version: 2.8.3", &format!("version: 2.8.3, file: \"{file}\"")).contains("inside"), "{file}");
        }
    }

    #[test]
    fn without_tls_only_with_a_sum_or_here() {
        let sum = "0".repeat(64);
        assert!(Lock::parse(&GOOD.replacen("https://", "http://", 1).replacen("unverified", &sum, 1)).is_ok());
        assert!(Lock::parse(&GOOD.replacen("https://h/", "http://127.0.0.1:8000/", 1)).is_ok());
        assert!(Lock::parse(&GOOD.replacen("https://h/", "http://127.0.0.1.example/", 1)).is_err());
        let hidden = Lock::parse(&GOOD.replacen("https://h/", "http://127.0.0.1:80@evil.example/", 1)).unwrap_err();
        assert!(hidden.contains("user name"), "{hidden}");
    }

    #[test]
    fn names_become_files_and_each_has_its_own() {
        let lock = Lock::parse(GOOD).unwrap();
        let places: Vec<String> = lock.all().map(|(section, name, artifact)| artifact.place(section, name)).collect();
        assert_eq!(places, ["rpm/docker-ce.rpm", "images/registry.tar"]);
        let error = |from: &str, to: &str| Lock::parse(&GOOD.replacen(from, to, 1)).unwrap_err();
        for name in ["../../etc/x", "a/b", ".hidden", "\"\"", "\"a b\"", "-x"] {
            assert!(error("  registry:", &format!("  {name}:")).contains("is no name"), "{name}");
        }
        for url in ["https://h/..", "https://h/x/", "https://h/.part", "https://h/a.part"] {
            assert!(error("https://h/docker-ce.rpm", url).contains("is no name of a file"), "{url}");
        }
        assert!(Lock::parse(&GOOD.replacen("docker-ce.rpm", "libstdc%2B%2B-1~rc1.rpm?x=/y", 1)).is_ok());
        let twice = "images:\n".to_owned() + "  Registry: {version: '1', reference: 'a:1', sha256: unverified}\n";
        assert!(error("images:\n", &twice).contains("one would overwrite the other"));
        assert!(Lock::parse("files: {rpm/../x: y}").is_err());
    }
}
