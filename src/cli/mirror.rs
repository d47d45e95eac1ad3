//! `poclab mirror …`

use std::path::{Path, PathBuf};

use super::args::{Global, Mirror};
use super::{Stop, files};
use crate::base::Exit;
use crate::mirror::{self, Finding, Lock};
use crate::{lab, report};

pub fn run(global: &Global, command: &Mirror) -> Result<Exit, Stop> {
    match command {
        Mirror::Build { folder, lock, pin } => build(global, folder.as_deref(), lock.as_deref(), *pin),
        Mirror::Verify { folder, lock } => verify(global, folder.as_deref(), lock.as_deref()),
        Mirror::Sbom { lock, output } => sbom(global, lock.as_deref(), output.as_deref()),
    }
}

/// The folder that was named, or the inventory's.
fn folder_of(global: &Global, named: Option<&Path>) -> Result<PathBuf, Stop> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let found = lab::mirror_folder(global.inventory()).map_err(|problems| files::wrong(&problems))?;
    let none = || format!("{} names no mirror (sources: mirror: …): name a folder", global.inventory().display());
    found.ok_or_else(|| Stop::usage(none()))
}

/// The project's lock.
fn project_lock(global: &Global) -> PathBuf {
    files::root_of(global.inventory()).join("lock.yml")
}

fn read(path: &Path) -> Result<Lock, Stop> {
    Lock::read(path).map_err(Stop::usage)
}

fn build(global: &Global, folder: Option<&Path>, lock: Option<&Path>, pin: bool) -> Result<Exit, Stop> {
    let folder = folder_of(global, folder)?;
    let path = lock.map_or_else(|| project_lock(global), Path::to_owned);
    let wanted = read(&path)?;
    let built = mirror::build(&wanted, &folder, &mut |line| report::print_notice(line));
    let built = match built {
        Ok(built) => built,
        Err(wrong) => {
            wrong.iter().for_each(|why| report::print_error(why));
            let text = format!(
                "{} of {} artifacts are missing: {} is no mirror yet; run again",
                wrong.len(),
                wanted.all().count(),
                folder.display()
            );
            return Err(Stop::new(Exit::Failed, text));
        }
    };
    report::print_text(&format!("{}: {} artifacts, {} of them fetched now\n", folder.display(), built.lock.all().count(), built.fetched));
    if pin && !built.pins.is_empty() {
        let text =
            std::fs::read_to_string(&path).map_err(|e| Stop::new(Exit::Failed, format!("{} cannot be read: {e}", path.display())))?;
        let pinned = mirror::pin(&text, &built.pins).map_err(|why| Stop::new(Exit::Failed, format!("{}: {why}", path.display())))?;
        std::fs::write(&path, pinned).map_err(|e| Stop::new(Exit::Failed, format!("{} cannot be written: {e}", path.display())))?;
        report::print_text(&format!(
            "{} checksums written to {}: compare them with what the vendors say, then commit it\n",
            built.pins.len(),
            path.display()
        ));
        built.pinned().and_then(|lock| mirror::write_lock(&lock, &folder)).map_err(|why| Stop::new(Exit::Failed, why))?;
    } else if !built.pins.is_empty() {
        let pins = &built.pins;
        pins.iter().for_each(|(section, name, sum)| report::print_notice(&format!("unverified: {section} {name} has the SHA-256 {sum}")));
        report::print_notice(&format!(
            "{} artifacts were taken as upstream sent them; --pin writes their checksums into {}",
            pins.len(),
            path.display()
        ));
    }
    Ok(Exit::Done)
}

fn verify(global: &Global, folder: Option<&Path>, lock: Option<&Path>) -> Result<Exit, Stop> {
    let folder = folder_of(global, folder)?;
    let lock_file = folder.join("lock.yml");
    if !lock_file.exists() {
        let text = format!("{} has no lock.yml: it is no mirror, or not a whole one (`poclab mirror build` fills it)", folder.display());
        return Err(Stop::usage(text));
    }
    let own = read(&lock_file)?;
    // A mirror that somebody made himself has nothing to do with upstream's sums.
    let fetched = own.all().any(|(_, _, artifact)| artifact.url.is_some());
    let pinned = match lock {
        Some(path) => Some(read(path)?),
        None if fetched && project_lock(global).exists() => Some(read(&project_lock(global))?),
        None => None,
    };
    let (mut wrong, mut unverified, mut good) = (0, 0, 0);
    for (what, finding) in mirror::verify(&folder, &own, pinned.as_ref()) {
        match finding {
            Finding::Good => good += 1,
            Finding::Unverified(why) => {
                unverified += 1;
                report::print_notice(&format!("{what}: {why}"));
            }
            Finding::Wrong(why) => {
                wrong += 1;
                report::print_error(&format!("{what}: {why}"));
            }
        }
    }
    if !folder.join("mirror.yml").is_file() {
        wrong += 1;
        report::print_error(&format!("{} has no mirror.yml: it is not whole (poclab mirror build)", folder.display()));
    }
    report::print_text(&format!("{}: {good} as the lock says, {unverified} unverified, {wrong} wrong\n", folder.display()));
    Ok(if wrong == 0 { Exit::Done } else { Exit::Failed })
}

fn sbom(global: &Global, lock: Option<&Path>, output: Option<&Path>) -> Result<Exit, Stop> {
    let (name, _) = lab::peek(global.inventory()).map_err(|problems| files::wrong(&problems))?;
    let path = match lock {
        Some(path) => path.to_owned(),
        None => {
            let mirror = lab::mirror_folder(global.inventory()).map_err(|problems| files::wrong(&problems))?;
            mirror.map_or_else(|| project_lock(global), |folder| folder.join("lock.yml"))
        }
    };
    let text = mirror::sbom(&name, &read(&path)?).map_err(|why| Stop::new(Exit::Failed, why))?;
    match output {
        None => report::print_text(&text),
        Some(file) => {
            std::fs::write(file, text).map_err(|e| Stop::new(Exit::Failed, format!("{} cannot be written: {e}", file.display())))?;
            report::print_text(&format!("{}\n", file.display()));
        }
    }
    Ok(Exit::Done)
}
