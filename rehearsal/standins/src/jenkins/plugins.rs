//! Plugins: which are installed, what each brings, and `jenkins-plugin-cli`, which puts them into the image.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Name and version.
pub type Plugins = BTreeMap<String, String>;

const CATALOG: &str = include_str!("catalog.txt");

/// What the update centre knows: name and what it needs.
pub fn catalog() -> BTreeMap<&'static str, Vec<&'static str>> {
    CATALOG
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.collect()))
        })
        .collect()
}

/// Reads a plugins.txt. Each must be known, pinned, and come with everything that it needs: the real tool would take the newest
/// of what is not written down, so that no two builds are the same.
pub fn read_list(text: &str) -> Result<Plugins, Vec<String>> {
    let catalog = catalog();
    let mut plugins = Plugins::new();
    let mut errors = Vec::new();
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).filter(|line| !line.is_empty()) {
        let (name, version) = line.split_once(':').unwrap_or((line, ""));
        if !catalog.contains_key(name) {
            errors.push(format!("Unable to find plugin {name} in update center (of the rehearsal: catalog.txt of the Jenkins stand-in)"));
        } else if version.is_empty() || matches!(version, "latest" | "incrementals") || !version.starts_with(|c: char| c.is_ascii_digit()) {
            errors.push(format!("{name} is not pinned to a version: write {name}:VERSION"));
        } else if plugins.insert(name.to_owned(), version.to_owned()).is_some() {
            errors.push(format!("{name} is in the list twice"));
        }
    }
    for (name, needs) in plugins.keys().filter_map(|name| catalog.get_key_value(name.as_str())) {
        for need in needs.iter().filter(|need| !plugins.contains_key(**need)) {
            errors.push(format!("{name} needs {need}, which is not pinned in the list"));
        }
    }
    if errors.is_empty() { Ok(plugins) } else { Err(errors) }
}

/// Installed plugins of a folder of `.jpi` files.
pub fn installed(folder: &Path) -> Plugins {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let path = entry.path();
            let name = path.file_stem()?.to_str()?.to_owned();
            (path.extension()? == "jpi").then_some(())?;
            let text = std::fs::read_to_string(&path).ok()?;
            let version = text.lines().find_map(|line| line.strip_prefix("Plugin-Version: "))?;
            Some((name, version.to_owned()))
        })
        .collect()
}

/// Writes the files that stand for plugins.
pub fn write(folder: &Path, plugins: &Plugins) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (name, version) in plugins {
        let text = format!(
            "Short-Name: {name}\nPlugin-Version: {version}\nRehearsal: no plugin is in this file, the stand-in knows what it brings\n"
        );
        std::fs::write(folder.join(format!("{name}.jpi")), text)?;
    }
    Ok(())
}

/// Plugins that are installed without something that they need: Jenkins does not load these.
pub fn broken(plugins: &Plugins) -> Vec<String> {
    let catalog = catalog();
    let missing = |name: &String| {
        let needs = catalog.get(name.as_str())?;
        needs.iter().find(|need| !plugins.contains_key(**need)).map(|need| format!("{name}: {need} is missing"))
    };
    plugins.keys().filter_map(missing).collect()
}

/// The plugin that brings a step, option or directive of a Jenkinsfile; `Some("")`: Jenkins itself. `None`: there is no such thing.
pub fn of_step(name: &str) -> Option<&'static str> {
    Some(match name {
        "pipeline" => "pipeline-model-definition",
        "sh" => "workflow-durable-task-step",
        "checkout" => "workflow-scm-step",
        "echo" | "error" | "dir" | "timeout" | "unstable" | "archiveArtifacts" | "retry" => "workflow-basic-steps",
        "withCredentials" => "credentials-binding",
        "gitlabCommitStatus" | "updateGitlabCommitStatus" | "gitLabConnection" => "gitlab-plugin",
        "junit" => "junit",
        "timestamps" => "timestamper",
        "buildDiscarder" | "disableConcurrentBuilds" | "skipDefaultCheckout" => "",
        _ => return None,
    })
}

/// All steps that these plugins bring, for the error about one that they do not.
pub fn steps(plugins: &Plugins) -> Vec<&'static str> {
    let all = [
        "archiveArtifacts",
        "checkout",
        "dir",
        "echo",
        "error",
        "gitlabCommitStatus",
        "junit",
        "sh",
        "timeout",
        "unstable",
        "updateGitlabCommitStatus",
        "withCredentials",
    ];
    all.into_iter().filter(|step| of_step(step).is_some_and(|plugin| plugin.is_empty() || plugins.contains_key(plugin))).collect()
}

/// `jenkins-plugin-cli`: options, then what was done or why not.
pub fn command_line(args: &[String], reference: &Path) -> Result<String, String> {
    let mut lists = Vec::new();
    let mut folder = reference.join("plugins");
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let mut value = || rest.next().cloned().ok_or_else(|| format!("Option \"{arg}\" takes an operand"));
        match arg.as_str() {
            "-f" | "--plugin-file" => {
                let file = value()?;
                lists.push(std::fs::read_to_string(&file).map_err(|e| format!("Unable to open {file}: {e}"))?);
            }
            "-p" | "--plugins" => lists.push(value()?.replace(' ', "\n")),
            "-d" | "--plugin-download-directory" => folder = value()?.into(),
            "--latest" => match value()?.as_str() {
                "true" | "false" => {}
                other => return Err(format!("\"{other}\" is not a legal boolean value")),
            },
            "--verbose" => {}
            other => return Err(format!("\"{other}\" is not a valid option (of the rehearsal's jenkins-plugin-cli)")),
        }
    }
    if lists.is_empty() {
        return Err("no plugins were given: --plugin-file FILE".into());
    }
    let plugins = read_list(&lists.join("\n")).map_err(|errors| errors.join("\n"))?;
    write(&folder, &plugins).map_err(|e| format!("Unable to write to {}: {e}", folder.display()))?;
    let unique: BTreeSet<_> = plugins.iter().map(|(name, version)| format!("{name} {version}")).collect();
    Ok(format!("Resulting plugin list (rehearsal: nothing was downloaded):\n{}\nDone", unique.into_iter().collect::<Vec<_>>().join("\n")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_closed() {
        let catalog = catalog();
        for (name, needs) in &catalog {
            for need in needs {
                assert!(catalog.contains_key(need), "{name} needs {need}");
            }
        }
    }

    #[test]
    fn only_pinned_known_and_complete_lists() {
        let good = read_list("structs:362.va\nscm-api:728.v # why\n\n").unwrap();
        assert_eq!(good["structs"], "362.va");
        let errors = read_list("structs\nscm-api:latest\nblueocean:1.0\nplain-credentials:1\nvariant:1\nvariant:2").unwrap_err();
        let want = ["structs is not pinned", "scm-api is not pinned", "Unable to find plugin blueocean", "twice", "needs credentials"];
        for text in want {
            assert!(errors.iter().any(|error| error.contains(text)), "{text}: {errors:?}");
        }
        assert_eq!(errors.len(), want.len(), "{errors:?}");
    }

    #[test]
    fn the_command_writes_what_is_then_installed() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("plugins.txt");
        std::fs::write(&list, "structs:362.va\n").unwrap();
        let args: Vec<String> = ["--plugin-file", list.to_str().unwrap(), "--latest", "false"].map(str::to_owned).to_vec();
        command_line(&args, dir.path()).unwrap();
        assert_eq!(installed(&dir.path().join("plugins")), Plugins::from([("structs".into(), "362.va".into())]));
        assert!(command_line(&["--war".to_owned()], dir.path()).is_err());
    }
}
