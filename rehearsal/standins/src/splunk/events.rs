//! What was indexed: in memory and in a file of JSON lines.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use super::wire::Event;

/// Most events that are kept; the oldest go first, as they do in an index that is full.
const KEPT: usize = 300_000;

/// All events.
pub struct Events {
    file: File,
    folder: PathBuf,
    /// Oldest first.
    pub all: Vec<Event>,
}

impl Events {
    /// Opens the folder; what was indexed before is there again.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join("events.jsonl");
        let file = File::options().create(true).append(true).read(true).open(&path)?;
        let read = BufReader::new(File::open(&path)?).lines();
        // A last line that a crash cut off was never acknowledged.
        let all = read.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok()).collect();
        Ok(Self { file, folder: folder.to_owned(), all })
    }

    /// Keeps events; they are on disk before this returns.
    pub fn add(&mut self, events: Vec<Event>) -> io::Result<()> {
        let mut text = Vec::new();
        for event in &events {
            serde_json::to_writer(&mut text, event)?;
            text.push(b'\n');
        }
        self.file.write_all(&text)?;
        self.file.sync_data()?;
        self.all.extend(events);
        let over = self.all.len().saturating_sub(KEPT);
        self.all.drain(..over);
        Ok(())
    }

    /// Megabytes that are free where the index is.
    pub fn free(&self) -> io::Result<u64> {
        let about = rustix::fs::statvfs(&self.folder)?;
        Ok(about.f_bavail.saturating_mul(about.f_frsize) >> 20)
    }
}
