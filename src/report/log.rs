//! The log of each run: JSON lines in the lab's state folder, with the time of each event.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use super::Sink;
use crate::engine::Event;

/// How many logs are kept.
const KEPT: usize = 20;
const FOLDER: &str = "runs";
const LATEST: &str = "latest";

/// The folder of the run logs in a lab's state folder.
pub fn runs_folder(state_dir: &Path) -> PathBuf {
    state_dir.join(FOLDER)
}

/// One run's log.
pub(super) struct Log {
    out: BufWriter<File>,
    path: PathBuf,
}

#[derive(Serialize)]
struct Stamped<'a> {
    #[serde(flatten)]
    event: &'a Event,
    at: String,
}

impl Log {
    /// Starts a log for a run that begins now, and removes the oldest ones.
    pub fn create(state_dir: &Path, kind: &str, now: OffsetDateTime) -> std::io::Result<Self> {
        let folder = runs_folder(state_dir);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let stamp = now.format(format_description!("[year][month][day]T[hour][minute][second]Z")).map_err(std::io::Error::other)?;
        let open = |name: &str| fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(name));
        let mut name = format!("{stamp}-{kind}.jsonl");
        let mut file = open(&name);
        // Two runs in the same second.
        for again in 2..100 {
            match &file {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => name = format!("{stamp}-{kind}-{again}.jsonl"),
                _ => break,
            }
            file = open(&name);
        }
        let log = Self { out: BufWriter::new(file?), path: folder.join(&name) };
        // Neither is worth stopping a run for.
        let _ = point_latest(&folder, &name);
        let _ = prune(&folder);
        Ok(log)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn write(&mut self, event: &Event, now: OffsetDateTime) {
        let at = now.format(&Rfc3339).unwrap_or_default();
        if let Ok(line) = serde_json::to_string(&Stamped { event, at }) {
            let _ = writeln!(self.out, "{line}");
        }
    }
}

fn point_latest(folder: &Path, name: &str) -> std::io::Result<()> {
    let part = folder.join(format!("{LATEST}.{}.tmp", std::process::id()));
    let _ = fs::remove_file(&part);
    symlink(name, &part)?;
    fs::rename(&part, folder.join(LATEST))
}

/// Names begin with the time, so the oldest come first.
fn prune(folder: &Path) -> std::io::Result<()> {
    let mut logs: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    logs.sort();
    let old = logs.len().saturating_sub(KEPT);
    logs.iter().take(old).try_for_each(|log| {
        // A report without its record could not be made again, nor its end be found.
        let _ = fs::remove_file(super::html_beside(log));
        fs::remove_file(log)
    })
}

impl Sink for Log {
    fn event(&mut self, event: &Event) {
        // Progress of uploads: many events, and nothing that one would look for later.
        if !matches!(event, Event::Uploading { .. }) {
            self.write(event, OffsetDateTime::now_utc());
        }
    }

    fn tick(&mut self) {
        let _ = self.out.flush();
    }

    fn finish(&mut self) {
        let _ = self.out.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn twenty_logs_are_kept_and_latest_is_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let start = OffsetDateTime::from_unix_timestamp(1_795_247_662).unwrap();
        for second in 0..23 {
            let mut log = Log::create(dir.path(), "plan", start + time::Duration::seconds(second)).unwrap();
            log.write(&Event::Note { text: format!("run {second}") }, start);
        }
        let mut names: Vec<String> =
            fs::read_dir(dir.path().join("runs")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names.len(), KEPT + 1);
        assert_eq!(names[0], "20261121T075425Z-plan.jsonl");
        let latest = fs::read_to_string(dir.path().join("runs/latest")).unwrap();
        assert_eq!(latest, "{\"event\":\"note\",\"text\":\"run 22\",\"at\":\"2026-11-21T07:54:22Z\"}\n");
    }

    #[test]
    fn runs_of_the_same_second_have_logs_of_their_own_that_only_the_owner_reads() {
        let dir = tempfile::tempdir().unwrap();
        let now = OffsetDateTime::now_utc();
        let logs = [Log::create(dir.path(), "plan", now).unwrap(), Log::create(dir.path(), "plan", now).unwrap()];
        assert_ne!(logs[0].path(), logs[1].path());
        assert_eq!(fs::metadata(logs[0].path()).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
