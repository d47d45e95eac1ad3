//! Variables of a build.

use std::collections::BTreeMap;
use std::path::Path;

use super::record::Build;

/// What every step of a build gets: this process' own variables, without what only concerns the server; what Jenkins tells;
/// what the hook told; what the configuration gives to all builds (`PATH+X` is put in front of PATH).
pub fn of_build(build: &Build, root: &str, home: &Path, workspace: &Path, lab: &[(String, String)]) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = std::env::vars().filter(|(key, _)| !key.starts_with("CASC_") && key != "SECRETS").collect();
    let number = build.number.to_string();
    let job_url = format!("{root}job/{}/", build.job);
    for (key, value) in [
        ("BUILD_DISPLAY_NAME", format!("#{number}")),
        ("BUILD_ID", number.clone()),
        ("BUILD_NUMBER", number.clone()),
        ("BUILD_TAG", format!("jenkins-{}-{number}", build.job)),
        ("BUILD_URL", build.url(root)),
        ("CI", "true".into()),
        ("EXECUTOR_NUMBER", "0".into()),
        ("HOME", home.display().to_string()),
        ("JENKINS_HOME", home.display().to_string()),
        ("JENKINS_URL", root.to_owned()),
        ("JOB_BASE_NAME", build.job.clone()),
        ("JOB_NAME", build.job.clone()),
        ("JOB_URL", job_url),
        ("NODE_NAME", "built-in".into()),
        ("WORKSPACE", workspace.display().to_string()),
        ("WORKSPACE_TMP", format!("{}@tmp", workspace.display())),
    ] {
        env.insert(key.to_owned(), value);
    }
    env.extend(build.hook.iter().map(|(key, value)| (key.clone(), value.clone())));
    for (key, value) in lab {
        set(&mut env, key, value);
    }
    env
}

/// Sets a variable; `PATH+X` goes in front of PATH.
pub fn set(env: &mut BTreeMap<String, String>, key: &str, value: &str) {
    match key.split_once('+') {
        None => drop(env.insert(key.to_owned(), value.to_owned())),
        Some((key, _)) => {
            let old = env.get(key).cloned().unwrap_or_default();
            env.insert(key.to_owned(), if old.is_empty() { value.to_owned() } else { format!("{value}:{old}") });
        }
    }
}
