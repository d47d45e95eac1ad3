//! `poclab mirror …`

use std::path::{Path, PathBuf};

use super::args::{Global, Mirror};
use super::{Stop, files};
use crate::base::Exit;
use crate::mirror::{self, Finding, Lock, Pin, Unfinished};
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
    let failed = |why: String| Stop::new(Exit::Failed, why);
    let built = match mirror::build(&wanted, &folder, &mut |line| report::print_notice(line)) {
        Ok(built) => built,
        Err(Unfinished { wrong, pins }) => {
            wrong.iter().for_each(|why| report::print_error(why));
            if pin {
                // What was found out until now cost time, too.
                write_pins(&path, &pins).map_err(failed)?;
            }
            let text =
                format!("{} is no mirror yet: mend what is said above and run again; what is there already is kept", folder.display());
            return Err(failed(text));
        }
    };
    report::print_text(&format!("{}: {} artifacts, {} of them fetched now\n", folder.display(), built.lock.all().count(), built.fetched));
    let pins = &built.pins;
    if pin {
        write_pins(&path, pins).map_err(failed)?;
        mirror::write_lock(&mirror::pinned(&built.lock, pins), &folder).map_err(failed)?;
    } else if !pins.is_empty() {
        pins.iter().for_each(|(section, name, sum)| report::print_notice(&format!("unverified: {section} {name} has the SHA-256 {sum}")));
        report::print_notice(&format!(
            "{} artifacts were taken as upstream sent them; --pin writes their checksums into {}",
            pins.len(),
            path.display()
        ));
    }
    Ok(Exit::Done)
}

/// Writes checksums into the project's lock.
fn write_pins(path: &Path, pins: &[Pin]) -> Result<(), String> {
    if pins.is_empty() {
        return Ok(());
    }
    mirror::write_pins(path, pins)?;
    report::print_text(&format!(
        "{} checksums written to {}: compare them with what the vendors say, then commit it\n",
        pins.len(),
        path.display()
    ));
    Ok(())
}

fn verify(global: &Global, folder: Option<&Path>, lock: Option<&Path>) -> Result<Exit, Stop> {
    let folder = folder_of(global, folder)?;
    let lock_file = folder.join("lock.yml");
    if !lock_file.exists() {
        let text = format!("{} has no lock.yml: it is no mirror, or not a whole one (`poclab mirror build` fills it)", folder.display());
        return Err(Stop::usage(text));
    }
    let own = read(&lock_file)?;
    let pinned = match lock {
        Some(path) => Some(read(path)?),
        None if project_lock(global).exists() => Some(read(&project_lock(global))?),
        None => {
            report::print_notice(&format!(
                "WARNING: there is no {}, so the mirror is compared with its own lock alone, which whoever changed the mirror can have changed as well; name another one with --lock",
                project_lock(global).display()
            ));
            None
        }
    };
    let (mut wrong, mut unverified, mut good) = (0, 0, 0);
    let mut stand_ins = Vec::new();
    for (what, finding) in mirror::verify(&folder, &own, pinned.as_ref()) {
        match finding {
            Finding::Good => good += 1,
            Finding::StandIn(_) => stand_ins.push(what),
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
    if !stand_ins.is_empty() {
        report::print_notice(&format!(
            "WARNING: stand-ins, which are compared with the mirror's own lock alone and are not the vendors' originals: {}",
            stand_ins.join(", ")
        ));
    }
    let also = if stand_ins.is_empty() { String::new() } else { format!("{} stand-ins, ", stand_ins.len()) };
    report::print_text(&format!("{}: {good} as the lock says, {also}{unverified} unverified, {wrong} wrong\n", folder.display()));
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
