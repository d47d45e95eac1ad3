//! Files and folders of the project and of the user.

use std::path::{Path, PathBuf};

/// The project around an inventory: the nearest folder above it that has `roles/`, else the folder above `inventory/`.
pub fn root(inventory: &Path) -> PathBuf {
    let absolute = std::path::absolute(inventory).unwrap_or_else(|_| inventory.to_owned());
    let above: Vec<&Path> = absolute.ancestors().skip(1).collect();
    let with_roles = above.iter().find(|folder| folder.join("roles").is_dir());
    with_roles.or(above.get(1)).or(above.first()).map_or_else(|| PathBuf::from("."), |folder| folder.to_path_buf())
}

/// A file's name as it is shown: relative to the root if it is inside.
pub fn shown(root: &Path, file: &Path) -> String {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    absolute.strip_prefix(root).unwrap_or(file).display().to_string()
}

/// poclab's cache: `$POCLAB_CACHE`, else `$XDG_CACHE_HOME/poclab`, else `~/.cache/poclab`.
pub fn cache_dir() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("POCLAB_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("poclab")))
        .unwrap_or_else(|| home().join(".cache/poclab"))
}

fn home() -> PathBuf {
    std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from)
}

/// A path as written in the inventory.
///
/// `~/…` is in the home folder, `${POCLAB_CACHE}/…` in poclab's cache (set or not, see [`cache_dir`]); a relative path
/// starts at the project's root. No other variable is replaced.
pub fn expand(root: &Path, written: &str) -> Result<PathBuf, String> {
    if let Some(rest) = written.strip_prefix("${POCLAB_CACHE}") {
        return Ok(cache_dir().join(rest.trim_start_matches('/')));
    }
    if written.contains("${") {
        return Err(format!("`{written}`: only `~/` and `${{POCLAB_CACHE}}/` are replaced in paths"));
    }
    if written == "~" {
        return Ok(home());
    }
    Ok(match written.strip_prefix("~/") {
        Some(rest) => home().join(rest),
        None => root.join(written),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_rule() {
        let root = Path::new("/lab");
        assert_eq!(expand(root, "a/b").unwrap(), Path::new("/lab/a/b"));
        assert_eq!(expand(root, "/a").unwrap(), Path::new("/a"));
        assert_eq!(expand(root, "~/a").unwrap(), home().join("a"));
        assert_eq!(expand(root, "${POCLAB_CACHE}/mirror").unwrap(), cache_dir().join("mirror"));
        assert!(expand(root, "${HOME}/x").is_err());
    }
}
