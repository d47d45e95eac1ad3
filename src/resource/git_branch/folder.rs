//! A folder as an archive, the same to the byte from the same files.

use std::io;
use std::path::Path;

use ignore::WalkBuilder;

/// Everything in a folder that git would take, as an uncompressed tar: files, whether they are executable, links.
pub(super) fn pack(folder: &Path) -> io::Result<Vec<u8>> {
    let mut walk = WalkBuilder::new(folder);
    // Only what the folder itself says: neither the user's own rules nor those of folders above it.
    walk.standard_filters(false).git_ignore(true).require_git(false).parents(false).sort_by_file_name(Ord::cmp);
    walk.filter_entry(|entry| entry.file_name() != ".git");
    let mut archive = tar::Builder::new(Vec::new());
    archive.follow_symlinks(false);
    archive.mode(tar::HeaderMode::Deterministic);
    let mut files = 0;
    for entry in walk.build() {
        let entry = entry.map_err(io::Error::other)?;
        let Ok(name) = entry.path().strip_prefix(folder) else { continue };
        if name.as_os_str().is_empty() || entry.file_type().is_none_or(|what| what.is_dir()) {
            continue;
        }
        archive.append_path_with_name(entry.path(), name)?;
        files += 1;
    }
    if files == 0 {
        return Err(io::Error::other("there is no file in it"));
    }
    archive.into_inner()
}
